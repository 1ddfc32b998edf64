/** Several networks with different layouts at once: each ordered pair of them is judged with its own masks, and packets are counted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressPlan, encode, formatAddress, formatCidr, hostCidr, parseCidr } from '#core/address/index.ts';
import type { Isolation, PolicyModel, PolicyNetwork } from '#core/policy/index.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { type TestEndpoint, type TestHost, twoHosts, type World } from './support/two-hosts.ts';

type Widths = readonly [host: number, tenant: number, segment: number, endpoint: number];

function network(name: string, cidr: string, [host, tenant, segment, endpoint]: Widths): PolicyNetwork {
  const plan = addressPlan(parseCidr(cidr), { host, tenant, segment, endpoint });
  return { name, plan, infrastructure: 'deny' };
}

const wide = network('wide', '10.0.0.0/8', [8, 8, 4, 4]);
const narrow = network('narrow', '172.16.0.0/12', [8, 6, 2, 4]);
const six = network('six', 'fd10::/16', [16, 16, 16, 64]);
const odd = network('odd', 'fd20:0:1200::/40', [7, 9, 5, 67]);
const networks = [wide, narrow, six, odd];

/** Each network numbers tenants and segments in its own way; what is acme's number here is globex's there. */
const tenantIds: Record<string, readonly number[]> = { acme: [1, 3, 1, 300], globex: [3, 1, 2, 1] };
const segmentIds: Record<string, readonly number[]> = { web: [1, 2, 7, 1], db: [2, 1, 1, 31] };
const idsIn = (only: readonly PolicyNetwork[], numbers: readonly number[]) =>
  only.map(({ name }) => ({ network: name, id: numbers[networks.findIndex((one) => one.name === name)]! }));

function model(only: readonly PolicyNetwork[], acme: Isolation): PolicyModel {
  const segments = Object.entries(segmentIds).map(([name, numbers]) => ({ name, ids: idsIn(only, numbers) }));
  return {
    networks: only,
    tenants: Object.entries(tenantIds).map(([name, numbers]) => ({
      name,
      isolation: name === 'acme' ? acme : 'segment',
      ids: idsIn(only, numbers),
      segments,
    })),
  };
}

interface Place extends TestEndpoint {
  readonly segment: string;
}

let last = 0;
/** An endpoint with an address in each network, on the host id given for it. */
function place(
  tenant: string,
  segment: string,
  host: string,
  hostId: number,
  ...where: PolicyNetwork[]
): Place {
  const endpoint = ++last;
  const addresses = where.map((one) => {
    const index = networks.indexOf(one);
    const ids = {
      host: hostId,
      tenant: tenantIds[tenant]![index]!,
      segment: segmentIds[segment]![index]!,
      endpoint,
    };
    return formatAddress(encode(one.plan, ids));
  });
  return { name: `e${endpoint}`, tenant, segment, host, addresses };
}

/** h1 holds two ids, 1 and 4, in every network. */
function hosts(only: readonly PolicyNetwork[]): [TestHost, TestHost] {
  const cidrs = (...ids: number[]): string[] =>
    only.flatMap(({ plan }) => ids.map((id) => formatCidr(hostCidr(plan, id))));
  return [
    { name: 'h1', cidrs: cidrs(1, 4) },
    { name: 'h2', cidrs: cidrs(2) },
  ];
}

/** What is expected, from names alone and not from the product's evaluator. */
function expected(places: readonly Place[], acme: Isolation): string[] {
  const agrees = (own: Place, peer: Place): boolean => {
    const isolation = own.tenant === 'acme' ? acme : 'segment';
    if (isolation === 'open') return true;
    return own.tenant === peer.tenant && (isolation === 'tenant' || own.segment === peer.segment);
  };
  return places.flatMap((from) =>
    places
      .filter((to) => to !== from && agrees(from, to) && agrees(to, from))
      .flatMap((to) =>
        from.addresses.flatMap((source) =>
          to.addresses
            .filter((address) => address.includes(':') === source.includes(':'))
            .map((address) => `${source} ${address}`),
        ),
      ),
  );
}

async function judgedRightly(
  world: World,
  places: readonly Place[],
  only: readonly PolicyNetwork[],
): Promise<void> {
  for (const isolation of ['segment', 'tenant', 'open', 'segment'] as const) {
    await world.apply(model(only, isolation));
    const arrived = await world.arrivals();
    const wanted = expected(places, isolation);
    assert.ok(wanted.length > 0);
    assert.deepEqual([...arrived].sort(), wanted.sort(), `acme is ${isolation}`);
  }
}

const all: Place[] = [
  place('acme', 'web', 'h1', 1, wide, narrow, six),
  place('acme', 'web', 'h1', 4, wide, odd),
  place('acme', 'web', 'h2', 2, narrow, six, odd),
  place('acme', 'db', 'h1', 4, narrow, six),
  place('acme', 'db', 'h2', 2, wide, odd),
  place('globex', 'web', 'h1', 1, wide, narrow, odd),
  place('globex', 'web', 'h2', 2, narrow, six),
  place('globex', 'db', 'h2', 2, wide, six),
];
const fours: Place[] = [
  place('acme', 'web', 'h1', 1, wide),
  place('acme', 'web', 'h2', 2, narrow),
  place('acme', 'db', 'h1', 4, narrow),
  place('globex', 'web', 'h2', 2, wide),
];
const sixes: Place[] = [
  place('acme', 'web', 'h1', 1, six),
  place('acme', 'web', 'h2', 2, odd),
  place('acme', 'db', 'h1', 4, odd),
  place('globex', 'web', 'h2', 2, six),
];

if (inPrivateNamespaces(import.meta.url)) {
  for (const [what, only, places, names] of [
    [
      'four networks of different layouts, endpoints with two addresses of one family, a host with two ids',
      networks,
      all,
      '',
    ],
    ['IPv4 networks alone', [wide, narrow], fours, '-4'],
    ['IPv6 networks alone', [six, odd], sixes, '-6'],
  ] as const) {
    test(`I1: every pair of addresses is judged by whose they are: ${what}`, async () => {
      const [h1, h2] = hosts(only).map((host) => ({ ...host, name: host.name + names })) as [
        TestHost,
        TestHost,
      ];
      const placed = places.map((one) => ({ ...one, host: one.host + names, name: one.name + names }));
      await judgedRightly(await twoHosts([h1, h2], placed), placed, only);
    });
  }
}
