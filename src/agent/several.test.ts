/** Several topologies: who shares a link is said for each network by the topology that carves it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { computeDesired } from './desired.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import { wantedOf } from './endpoints.ts';
import { hostOf, machine, objectsOf } from './testing.ts';
import type { ViewObjects } from './view.ts';

const aggregate = (network: string, topology: string) => ({
  path: '',
  network,
  cidr: network === 'four' ? '10.0.0.0/8' : 'fd10::/16',
  leaf: true,
  topology,
});
const groups = (...names: string[]): m.GroupTree[] => names.map((name) => ({ name }));
const in4 = { topology: 'racks', path: 'r1' };
const in6 = { topology: 'tiers', path: 'a' };
const at = (host: m.Host, ...groups: NonNullable<m.Host['groups']>): m.Host => ({
  ...host,
  group: groups[0]?.path ?? null,
  groups,
});
function objects(hosts: readonly m.Host[]): ViewObjects {
  const topology = {
    name: 'racks',
    networks: ['four'],
    groups: groups('r1', 'r2'),
    further: [{ name: 'tiers', networks: ['six'], groups: groups('a', 'b', 'r1') }],
    aggregates: [aggregate('four', 'racks'), aggregate('six', 'tiers')],
    revision: 1,
  };
  return { ...objectsOf({ hosts }), topology: new Map([['', topology]]) };
}
const routes = (known: ViewObjects): string[] =>
  computeDesired({
    host: 'h1',
    objects: known,
    endpoints: [],
    facts: machine().kernel.facts(),
    uplinks: [],
    endpointLinks: ['rom*'],
    mtu: 0,
    guardOthers: { 4: false, 6: false },
  })
    .routes.map(routeText)
    .filter((text) => text.includes(' via '));

test('ranges of a network go over the link that the topology of the network says, and only they', () => {
  const self = at(hostOf(1), in4, in6);
  const both = routes(objects([self, at(hostOf(2), in4, in6)]));
  assert.equal(both.length, 2);
  const [four, ...no] = routes(objects([self, at(hostOf(2), in4, { ...in6, path: 'b' })]));
  assert.ok(four?.startsWith('10.2.0.0/16 via '), four);
  assert.deepEqual(no, []);
  const [six, ...none] = routes(objects([self, at(hostOf(2), { ...in4, path: 'r2' }, in6)]));
  assert.ok(six?.startsWith('fd10:2::/32 via '), six);
  assert.deepEqual(none, []);
});

test('groups of one name in two topologies are two groups; what no topology carves goes by the first of each host', () => {
  const self = at(hostOf(1), in4);
  assert.deepEqual(routes(objects([self, at(hostOf(2), { topology: 'tiers', path: 'r1' })])), []);
  const free = { ...objects([self, at(hostOf(2), in4, in6)]) };
  const topology = free.topology.get('')!;
  const uncarved = {
    ...topology,
    further: [{ ...topology.further![0]!, networks: [] }],
    aggregates: [aggregate('four', 'racks')],
  };
  assert.equal(routes({ ...free, topology: new Map([['', uncarved]]) }).length, 2);
});

test('nobody names a network: it is one in which the host stands', () => {
  const known = objects([at(hostOf(1), in6)]);
  const input = { tenant: 'a', segment: 'x' } as Parameters<typeof wantedOf>[2];
  assert.deepEqual(
    wantedOf(known, 'h1', input).slots.map(({ network }) => network),
    ['six'],
  );
});
