/**
 * Route computation from 10 to 5,000 hosts: how long it takes, and how many routes a device holds beside one route per block and one per
 * endpoint. Racks of 40 hosts behind two leaves each, two spines; 30 endpoints in 10 blocks on every host.
 */
import { addressPlan, hostCidr, parseCidr, parseLayout } from '#core/address/index.ts';
import { carve } from '#core/plan/index.ts';
import type { Fabric, RoutingInput } from '#core/routing/index.ts';
import { planRouting } from '#core/routing/index.ts';
import { bgp, device, l3Static, network, uplink } from '#core/routing/testing.ts';

const perRack = 40;
const blocks = 10;
const endpoints = 30;
const n4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('14/4/2/4'));
const n6 = addressPlan(parseCidr('fd10::/16'), parseLayout('32/16/16/48'));

function site(hosts: number, fabric: Fabric | null): RoutingInput {
  const racks = Math.ceil(hosts / perRack);
  const groups = Array.from({ length: racks }, (_, rack) => ({ name: `rack${rack}` }));
  const carved = [carve(n4, { groups, slots: 128 }), carve(n6, { groups, slots: 128 })] as const;
  const asn = (number: number): number | null => (fabric?.kind === 'bgp' ? number : null);
  return {
    networks: [network('n4', '10.0.0.0/8'), network('n6', 'fd10::/16')],
    topologies: [
      {
        name: 'default',
        root: {
          path: '',
          fabric,
          devices: [1, 2].map((n) =>
            device(`spine${n}`, [`172.16.0.${n}`, `fd00::${n}`], { asn: asn(65_000) }),
          ),
          aggregates: [
            { network: 'n4', cidr: n4.cidr },
            { network: 'n6', cidr: n6.cidr },
          ],
          groups: groups.map(({ name }, rack) => ({
            path: name,
            fabric: null,
            devices: ['a', 'b'].map((leaf, n) =>
              device(`leaf${rack}${leaf}`, [`172.${17 + n}.${rack}.1`, `fd0${n + 1}:${rack}::1`], {
                asn: asn(65_001 + rack),
              }),
            ),
            aggregates: [
              { network: 'n4', cidr: carved[0][rack]!.cidr },
              { network: 'n6', cidr: carved[1][rack]!.cidr },
            ],
            groups: [],
          })),
        },
      },
    ],
    hosts: Array.from({ length: hosts }, (_, n) => {
      const rack = Math.floor(n / perRack);
      const id = 1 + (n % perRack);
      return {
        name: `host${n}`,
        addresses: [],
        uplinks: ['a', 'b'].map((leaf, i) =>
          uplink(
            `leaf${rack}${leaf}`,
            [`172.${17 + i}.${rack}.${id + 1}`, `fd0${i + 1}:${rack}::${id + 1}`],
            `up${i}`,
          ),
        ),
        asn: null,
        places: [{ topology: 'default', path: `rack${rack}` }],
        ranges: [
          { network: 'n4', cidr: hostCidr(n4, carved[0][rack]!.firstHostId + id) },
          { network: 'n6', cidr: hostCidr(n6, carved[1][rack]!.firstHostId + id) },
        ],
        granted: [],
        state: 'active' as const,
        number: n + 1,
      };
    }),
  };
}

interface Figures {
  readonly ms: number;
  /** One host alone, as its agent does at every change. */
  readonly one: number;
  readonly routes: number;
  readonly spine: number;
  readonly leaf: number;
}

/** Milliseconds of processor time, which other programs on a busy machine lengthen less than the clock's. */
function processor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function measure(input: RoutingInput): Figures {
  let best: Figures | undefined;
  for (let run = 0; run < 5; run++) {
    const start = processor();
    const plan = planRouting(input);
    let routes = 0;
    for (const name of plan.hosts) {
      const host = plan.host(name)!;
      routes += host.routes.length + host.learned.length;
    }
    for (const name of plan.devices) routes += plan.device(name)!.routes.length;
    const ms = processor() - start;
    const begin = processor();
    planRouting(input).host('host1');
    const one = processor() - begin;
    if (best !== undefined && best.ms <= ms) continue;
    const spine = plan.device('spine1')!.routes.length;
    best = { ms, one, routes, spine, leaf: plan.device('leaf0a')!.routes.length };
  }
  return best!;
}

const fabrics: readonly (readonly [string, Fabric | null])[] = [
  ['l2 in racks', null],
  ['l3-static', l3Static],
  ['bgp, aggregates', bgp({ hostAsn: 64_600, aggregate: true })],
  ['bgp, ranges', bgp({ hostAsn: 64_600 })],
];
process.stdout.write(
  'Planning, and the routes of all hosts and devices, both families; processor time, the best of 5 runs\n',
);
for (const [name, fabric] of fabrics) {
  for (const hosts of [10, 100, 1_000, 5_000]) {
    const input = site(hosts, fabric);
    const { ms, one, routes, spine, leaf } = measure(input);
    const each = ((ms * 1000) / hosts).toFixed(1);
    process.stdout.write(
      `${name.padEnd(16)} ${String(hosts).padStart(5)} hosts ${ms.toFixed(1).padStart(7)} ms, ${each} µs a host; one host alone ${one.toFixed(1)} ms; ${routes} routes; ` +
        `spine ${spine}, leaf ${leaf}; one per block ${2 * blocks * hosts}, one per endpoint ${2 * endpoints * hosts}\n`,
    );
  }
}
