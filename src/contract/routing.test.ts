import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { formatAddress, formatCidr } from '#core/address/index.ts';
import { planTopology, readTopology } from '#core/plan/topology/index.ts';
import { exportDevice } from '#core/routing/export/index.ts';
import { planRouting } from '#core/routing/index.ts';
import { Device, Fabric, HostUplink } from './fabric.ts';
import { Host, Network, Topology } from './model.ts';
import {
  readDevice,
  readFabric,
  readUplink,
  routingInput,
  storedDevice,
  storedFabric,
  storedUplink,
} from './routing.ts';

const stored = { uid: 'u', revision: 1, createdAt: '2026-01-01T00:00:00.000Z' };

function network(name: string, cidr: string, createdAt = stored.createdAt): Network {
  const [a, b] = cidr.includes(':') ? [16, 64] : [8, 4];
  const layout = { host: a, tenant: a, segment: cidr.includes(':') ? 16 : 4, endpoint: b };
  return Network.parse({
    name,
    cidr,
    layout,
    infrastructure: 'deny',
    reserved: [],
    quarantineSeconds: 30,
    ...stored,
    family: cidr.includes(':') ? 6 : 4,
    createdAt,
  });
}
function host(name: string, ids: [network: string, id: number, cidr: string][], more: object = {}): Host {
  return Host.parse({
    name,
    addresses: ['192.168.0.1', 'fd00::1'],
    group: null,
    labels: {},
    ids: ids.map(([of, id, cidr]) => ({ network: of, id, allocator: 'agent', cidr })),
    joined: true,
    ...stored,
    ...more,
  });
}
const v4 = network('v4', '10.0.0.0/8');
const v6 = network('v6', 'fd10::/16');
const tree = (more: object): Topology => Topology.parse({ groups: [], aggregates: [], revision: 1, ...more });

describe('stored objects as input of the route computation', () => {
  it('without a topology there is one group of everything, and every host stands in it', () => {
    const a = host('a', [['v4', 1, '10.1.0.0/16']]);
    for (const topology of [undefined, tree({})]) {
      const { topologies, networks, hosts } = routingInput({ topology, networks: [v6, v4], hosts: [a] });
      assert.deepEqual(
        topologies.map(({ name, root }) => [name, root.path, root.fabric, root.groups.length]),
        [['default', '', null, 0]],
      );
      assert.deepEqual(
        networks.map(({ name, topology: by }) => [name, by]),
        [
          ['v4', 'default'],
          ['v6', 'default'],
        ],
      );
      assert.deepEqual(
        topologies[0]?.root.aggregates.map((one) => formatCidr(one.cidr)),
        ['10.0.0.0/8', 'fd10::/16'],
      );
      assert.deepEqual(hosts[0]?.places, [{ topology: 'default', path: '' }]);
    }
  });

  it('groups have their aggregates, fabrics and devices; the top has the networks that it carves', () => {
    const fabric = { kind: 'l3-static' };
    const topology = tree({
      groups: [{ name: 'z', groups: [{ name: 'r1', devices: [device('leaf')] }, { name: 'r2' }] }],
      networks: ['v4'],
      fabric,
      devices: [device('spine')],
      aggregates: [
        { path: 'z', network: 'v4', cidr: '10.0.0.0/8', leaf: false },
        { path: 'z/r1', network: 'v4', cidr: '10.0.0.0/9', leaf: true },
        { path: 'z/r2', network: 'v4', cidr: '10.128.0.0/9', leaf: true },
        { path: '', network: 'v6', cidr: 'fd10::/16', leaf: true },
      ],
    });
    const a = host('a', [], { group: 'z/r1' });
    const { networks, topologies, hosts } = routingInput({ topology, networks: [v4, v6], hosts: [a] });
    assert.equal(networks.find(({ name }) => name === 'v6')?.topology, null);
    const root = topologies[0]!.root;
    assert.deepEqual(root.fabric, fabric);
    assert.deepEqual(
      root.devices.map(({ name }) => name),
      ['spine'],
    );
    const shown = (group: typeof root): unknown[] => [
      group.path,
      group.aggregates.map(({ network: of, cidr }) => `${of} ${formatCidr(cidr)}`),
      group.groups.map(shown),
    ];
    assert.deepEqual(shown(root), [
      '',
      ['v4 10.0.0.0/8'],
      [
        [
          'z',
          ['v4 10.0.0.0/8'],
          [
            ['z/r1', ['v4 10.0.0.0/9'], []],
            ['z/r2', ['v4 10.128.0.0/9'], []],
          ],
        ],
      ],
    ]);
    assert.deepEqual(root.groups[0]?.groups[0]?.devices[0]?.addresses.map(formatAddress), ['192.168.9.1']);
    assert.deepEqual(hosts[0]?.places, [{ topology: 'default', path: 'z/r1' }]);
  });

  it('a host that no group has, beside groups, stands nowhere', () => {
    const topology = tree({ groups: [{ name: 'r1' }] });
    assert.deepEqual(routingInput({ topology, networks: [], hosts: [host('a', [])] }).hosts[0]?.places, []);
  });

  it('several topologies: each has its own networks and aggregates, hosts stand in several', () => {
    const topology = tree({
      name: 'a',
      networks: ['v4'],
      groups: [{ name: 'r' }],
      further: [{ name: 'b', groups: [{ name: 'r' }] }],
      aggregates: [
        { path: 'r', network: 'v4', cidr: '10.0.0.0/8', leaf: true, topology: 'a' },
        { path: 'r', network: 'v6', cidr: 'fd10::/16', leaf: true, topology: 'b' },
      ],
    });
    const groups = [
      { topology: 'a', path: 'r' },
      { topology: 'b', path: 'r' },
    ];
    const { topologies, hosts } = routingInput({
      topology,
      networks: [v4, v6],
      hosts: [host('h', [], { group: 'r', groups })],
    });
    assert.deepEqual(
      topologies.map(({ name, root }) => [name, root.groups[0]?.aggregates.map((one) => one.network)]),
      [
        ['a', ['v4']],
        ['b', ['v6']],
      ],
    );
    assert.deepEqual(hosts[0]?.places, groups);
  });

  it('ranges are reservations as a whole, pending ones too; ids where an older server tells of none', () => {
    const reservation = { network: 'v4', first: 4, size: 4, cidr: '10.4.0.0/14', pending: null };
    const pending = { revision: 1, id: 8, allocator: 'agent', switches: true, waitingFor: [] };
    const waiting = { ...reservation, first: 8, size: 1, cidr: '10.8.0.0/16', pending };
    const hosts = [
      host('new', [['v4', 5, '10.5.0.0/16']], { reservations: [reservation, waiting] }),
      host('old', [
        ['v4', 2, '10.2.0.0/16'],
        ['v4', 3, '10.3.0.0/16'],
        ['v6', 2, 'fd10:2::/32'],
      ]),
    ];
    const made = routingInput({ topology: undefined, networks: [v4, v6], hosts }).hosts;
    assert.deepEqual(
      made.map(({ ranges }) => ranges.map(({ network: of, cidr }) => `${of} ${formatCidr(cidr)}`)),
      [
        ['v4 10.4.0.0/14', 'v4 10.8.0.0/16'],
        ['v4 10.2.0.0/15', 'v6 fd10:2::/32'],
      ],
    );
  });

  it('a host that grows in place keeps what it had beside the wider range, until that is everywhere; elsewhere nothing is kept', () => {
    const pending = { revision: 1, id: 3, allocator: 'agent', switches: true, waitingFor: [] };
    const at = (first: number, waits: boolean): Record<string, unknown> => ({
      network: 'v4',
      first,
      size: 1,
      cidr: `10.${first}.0.0/16`,
      pending: waits ? pending : null,
    });
    const whole = { ...at(2, false), size: 2, cidr: '10.2.0.0/15' };
    const id: [string, number, string][] = [['v4', 2, '10.2.0.0/16']];
    const made = (reservations: unknown[]): string[][] => {
      const hosts = [host('h', id, { reservations })];
      const [one] = routingInput({ topology: undefined, networks: [v4], hosts }).hosts;
      assert.ok(one !== undefined);
      return [one.ranges.map(({ cidr }) => formatCidr(cidr)), (one.former ?? []).map(formatCidr)];
    };
    assert.deepEqual(made([at(2, false)]), [['10.2.0.0/16'], []]);
    assert.deepEqual(made([at(2, false), at(3, true)]), [['10.2.0.0/15'], ['10.2.0.0/16']]);
    assert.deepEqual(made([whole]), [['10.2.0.0/15'], []]);
    assert.deepEqual(made([at(2, false), at(9, true)]), [['10.2.0.0/16', '10.9.0.0/16'], []]);
  });

  it('the number of a host stays when ids and networks are added', () => {
    const ids: [string, number, string][] = [['v6', 7, 'fd10:7::/32']];
    const number = (networks: Network[], all: typeof ids): number | null =>
      routingInput({ topology: undefined, networks, hosts: [host('h', all)] }).hosts[0]!.number;
    const later = network('a4', '11.0.0.0/8', '2026-02-01T00:00:00.000Z');
    assert.equal(number([v6], []), null);
    assert.equal(number([v6], ids), 7);
    assert.equal(number([later, v6], [['a4', 1, '11.1.0.0/16'], ...ids]), 7);
    assert.equal(number([v6], [...ids, ['v6', 2, 'fd10:2::/32']]), 7);
  });

  it('fenced is stronger than lost, lost stronger than draining', () => {
    const state = (more: object): string =>
      routingInput({ topology: undefined, networks: [], hosts: [host('h', [], more)] }).hosts[0]!.state;
    assert.equal(state({}), 'active');
    assert.equal(state({ state: 'draining' }), 'draining');
    assert.equal(state({ lost: true, state: 'draining' }), 'lost');
    assert.equal(state({ lost: true, state: 'fenced' }), 'fenced');
  });

  it('flat networks are not routed', () => {
    const flat = { ...v4, layout: null };
    assert.deepEqual(routingInput({ topology: undefined, networks: [flat], hosts: [] }).networks, []);
  });

  it('does not depend on the order of the objects', () => {
    const hosts = ['a', 'b', 'c'].map((name, n) => host(name, [['v4', n + 1, `10.${n + 1}.0.0/16`]]));
    const want = routingInput({ topology: undefined, networks: [v4, v6], hosts });
    fc.assert(
      fc.property(
        fc.shuffledSubarray(hosts, { minLength: 3 }),
        fc.shuffledSubarray([v4, v6], { minLength: 2 }),
        (some, networks) => {
          assert.deepEqual(routingInput({ topology: undefined, networks, hosts: some }), want);
        },
      ),
    );
  });
});

function device(name: string): Device {
  return Device.parse({
    name,
    platform: 'frr',
    addresses: ['192.168.9.1'],
    uplinks: [],
    asn: null,
    routerId: null,
    routeReflector: false,
    links: {},
    budget: null,
  });
}

it('what files say of fabrics, devices and uplinks is stored and read back as it was', () => {
  const { file, issues } = readTopology({
    topologies: [
      {
        fabric: {
          kind: 'bgp',
          hostAsn: 65100,
          bfd: { intervalMs: 1000, multiplier: 3 },
          communities: ['65001:100', '65001:1:2'],
          accept: ['192.0.2.0/24', '2001:db8::/32'],
        },
        devices: [
          { name: 'spine', asn: 1, addresses: ['192.168.9.1', 'fd00::1'], budget: 50, links: { a: 'swp1' } },
        ],
        map: [
          { name: 'l2', fabric: { kind: 'l2', withdrawAfterSeconds: 30, observers: 3 } },
          { name: 'st', fabric: 'l3-static' },
          {
            name: 'vpc',
            fabric: {
              kind: 'vpc',
              region: 'eu-west-1',
              vpc: 'vpc-1',
              routeTables: ['rtb-1'],
              peerings: [{ group: 'l2', connection: 'pcx-1' }],
            },
          },
          {
            name: 'r',
            devices: [
              {
                name: 'leaf',
                platform: 'arista-eos',
                asn: 4200000000,
                uplinks: [{ device: 'spine', local: ['10.9.0.1'], remote: ['10.9.0.0'] }],
              },
            ],
            hosts: [
              {
                name: 'h',
                ip: '192.168.0.1',
                asn: 7,
                uplinks: ['leaf', { device: 'spine', addresses: ['192.0.2.1', 'fd00::9'], link: 'eth1' }],
              },
            ],
          },
        ],
      },
    ],
  });
  assert.deepEqual(issues, []);
  const [top] = file.topologies!;
  const fabrics = [top!.fabric!, ...top!.groups.flatMap(({ fabric }) => fabric ?? [])];
  assert.equal(fabrics.length, 4);
  for (const fabric of fabrics) assert.deepEqual(readFabric(Fabric.parse(storedFabric(fabric))), fabric);
  const devices = [...top!.devices!, ...top!.groups.flatMap(({ devices: here = [] }) => here)];
  assert.equal(devices.length, 2);
  for (const { at: _, ...one } of devices) assert.deepEqual(readDevice(Device.parse(storedDevice(one))), one);
  const uplinks = top!.groups.at(-1)!.hosts[0]!.uplinks!;
  assert.equal(uplinks.length, 2);
  for (const one of uplinks) assert.deepEqual(readUplink(HostUplink.parse(storedUplink(one))), one);
});

it('what was read of a host is not read again', () => {
  const hosts = Array.from({ length: 500 }, (_, n) =>
    host(`h${n}`, [['v4', n + 1, formatCidr({ address: { ...v4address(n) }, length: 32 })]]),
  );
  const first = routingInput({ topology: undefined, networks: [v4], hosts }).hosts;
  const second = routingInput({ topology: undefined, networks: [v4], hosts }).hosts;
  const names = new Map(first.map((one) => [one.name, one]));
  assert.equal(first.length, 500);
  assert.ok(second.every((one) => names.get(one.name)?.ranges === one.ranges));
});

function v4address(n: number) {
  return readUplink({ device: 'x', addresses: [`10.0.${n >> 8}.${n & 255}`], link: null }).addresses[0]!;
}

describe('whatever is written in place of a part of a good file', () => {
  const site = {
    networks: [{ name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' }],
    topologies: [
      {
        name: 'dc',
        fabric: {
          kind: 'bgp',
          daemon: 'frr',
          hostAsn: 65100,
          hostAsnPerHost: false,
          holdSeconds: 9,
          gracefulRestartSeconds: 0,
          bfd: { intervalMs: 300, multiplier: 3 },
          ttlSecurity: true,
          passwordFile: '/etc/romana/bgp-password',
          maxPrefixes: 5,
          communities: ['65001:100', '65001:1:2'],
          ecmp: 4,
          accept: ['192.0.2.0/24'],
          unnumbered: false,
          aggregate: false,
        },
        devices: [{ name: 'spine', platform: 'frr', asn: 65000, addresses: ['192.168.255.1'], budget: 9 }],
        map: [
          {
            name: 'r1',
            devices: [
              {
                name: 'leaf',
                asn: 65001,
                routerId: '192.0.2.1',
                routeReflector: false,
                addresses: ['192.168.1.1', 'fd00:1::1'],
                uplinks: [{ device: 'spine', local: ['172.16.0.2'], remote: ['172.16.0.1'] }],
              },
            ],
            hosts: [
              {
                name: 'h1',
                ip: '192.168.1.9',
                asn: 65200,
                uplinks: [{ device: 'leaf', addresses: ['192.168.1.10'], link: 'eth0' }],
              },
            ],
          },
          { name: 'r2', fabric: { kind: 'l2', withdrawAfterSeconds: 3, observers: 2 } },
          {
            name: 'r3',
            fabric: {
              kind: 'vpc',
              region: 'eu-west-1',
              vpc: 'vpc-1',
              routeTables: ['rtb-1'],
              peerings: [{ group: 'r2', connection: 'tgw-1' }],
            },
          },
        ],
      },
    ],
  };
  const places = (value: unknown, path: (string | number)[] = []): (string | number)[][] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => {
          const at = [...path, Array.isArray(value) ? Number(key) : key];
          return [at, ...places(inner, at)];
        })
      : [];
  const put = (value: unknown, [first, ...rest]: (string | number)[], to: unknown): unknown => {
    if (first === undefined) return to;
    if (Array.isArray(value))
      return value.map((one, i) => (i === first ? put(one, rest, to) : (one as unknown)));
    const object = value as Record<string, unknown>;
    return { ...object, [first]: put(object[first], rest, to) };
  };
  const odd = fc.oneof(
    fc.anything({ maxDepth: 1 }),
    fc.constantFrom(null, [], {}, '', 'x', 0, -1, 1.5, 65_000, 65_001, 4_294_967_295, 2 ** 53, true, false),
    fc.constantFrom(
      'l2',
      'l3-static',
      'bgp',
      'leaf',
      'spine',
      'bird',
      'exabgp',
      '192.168.1.9',
      '::1',
      '0.0.0.0/0',
    ),
  );
  const all = places(site);

  it('is refused, or can be stored, routed and exported', () => {
    assert.ok(all.length > 60);
    let kept = 0;
    fc.assert(
      fc.property(fc.constantFrom(...all), odd, (path, value) => {
        const { file, issues } = readTopology(put(site, path, value));
        if (issues.length > 0 || planTopology(file).issues.length > 0) return;
        kept++;
        const [top] = file.topologies ?? [];
        const groups = top?.groups ?? [];
        const tree = Topology.parse({
          name: top?.name,
          ...(top?.fabric === undefined ? {} : { fabric: Fabric.parse(storedFabric(top.fabric)) }),
          devices: (top?.devices ?? []).map((one) => Device.parse(storedDevice(one))),
          groups: groups.map(({ name, fabric, devices = [] }) => ({
            name,
            ...(fabric === undefined ? {} : { fabric: storedFabric(fabric) }),
            devices: devices.map(storedDevice),
          })),
          aggregates: [{ path: 'r1', network: 'v4', cidr: '10.0.0.0/10', leaf: true }],
          revision: 1,
        });
        const hosts = groups.flatMap((group) =>
          group.hosts.map(({ name, addresses, asn, uplinks = [] }) =>
            host(name, [['v4', 1, '10.1.0.0/16']], {
              addresses: [...addresses],
              group: group.name,
              ...(asn === undefined ? {} : { asn }),
              uplinks: uplinks.map(storedUplink),
            }),
          ),
        );
        const plan = planRouting(routingInput({ topology: tree, networks: [v4], hosts }));
        for (const name of plan.hosts) assert.ok(plan.host(name));
        for (const name of plan.devices) {
          const routing = plan.device(name)!;
          for (const format of [
            'json',
            'frr',
            'cisco-ios',
            'arista-eos',
            'juniper-junos',
            'iproute2',
          ] as const)
            assert.ok(exportDevice(routing, format).length > 0);
        }
      }),
      { numRuns: 400 },
    );
    assert.ok(kept > 3);
  });
});
