/** Several topologies: each carves its own networks, and a host stands in one group of each. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import * as fc from 'fast-check';
import { isRomanaError } from '#core/errors.ts';
import { demandTopology, hostIdsOf } from '#core/plan/topology/index.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { endpoint, host, network, segment, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});
function fresh(): World {
  const w = world();
  worlds.push(w);
  return w;
}

const none = { params: {}, query: {}, body: undefined };
type Document = Record<string, Record<string, unknown>[]>;
const apply = (w: World, body: Document) => w.services.topologyApply(admin, { params: {}, query: {}, body });
const diff = (w: World, body: Document) => w.services.topologyDiff(admin, { params: {}, query: {}, body });
const exported = async (w: World): Promise<Document> =>
  JSON.parse(JSON.stringify(await w.services.topologyExport(admin, none))) as Document;
const show = (w: World, name: string) =>
  w.services.hostShow(admin, { params: { name }, query: {}, body: undefined });
const idsOf = async (w: World, name: string) => {
  const { ids, reservations = [] } = await show(w, name);
  return new Map([
    ...ids.map(({ network: of, id }) => [of, id] as const),
    ...reservations.flatMap(({ network: of, pending }) =>
      pending === null ? [] : [[of, pending.id] as const],
    ),
  ]);
};
const standing = async (w: World, name: string) => {
  const { group, groups } = await show(w, name);
  return [group, groups?.map(({ topology, path }) => `${topology}:${path}`).join(' ')];
};

const networks = [
  { name: 'v4', cidr: '10.0.0.0/8', layout: '6/10/4/4' },
  { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' },
  { name: 'free', cidr: '172.16.0.0/12', layout: '8/4/4/4' },
];
const racks = {
  name: 'racks',
  networks: ['v4'],
  map: [
    { name: 'r1', hosts: [{ name: 'h1', ip: '192.0.2.1', labels: { tier: 'b' } }] },
    { name: 'r2', assignment: { rack: '2' } },
  ],
};
const tiers = {
  name: 'tiers',
  networks: ['v6'],
  map: [
    { name: 'a', assignment: { tier: 'a' }, hosts: [{ name: 'h2', ip: '192.0.2.2' }] },
    { name: 'b', assignment: { tier: 'b' } },
  ],
};
const racksToo = { ...racks, map: [{ ...racks.map[0]!, assignment: { rack: '1' } }, racks.map[1]!] };
const file: Document = {
  networks,
  topologies: [racksToo, tiers],
  hosts: [{ name: 'h3', ip: '192.0.2.3', labels: { rack: '2', tier: 'a' } }],
};

test('`show` without a server tells the host ids that an empty control plane gives, with several topologies', async () => {
  const growth = fc.option(fc.constantFrom(1, 2, 3, 8), { nil: undefined });
  const stated = (value: number | undefined) => (value === undefined ? {} : { growth: value });
  const label = fc.option(fc.constantFrom('x', 'y'), { nil: undefined });
  const labelled = (value: string | undefined) => (value === undefined ? {} : { at: value });
  const someHost = fc.record({ growth, label });
  const leaf = fc.record({ growth, label, hosts: fc.array(fc.nat(7), { maxLength: 4 }) });
  const topologies = fc.array(fc.array(leaf, { maxLength: 3 }), { minLength: 2, maxLength: 3 });
  let applied = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.array(someHost, { minLength: 8, maxLength: 8 }),
      topologies,
      fc.constantFrom([['v4'], ['v6'], ['free']], [['v6'], ['v4'], []], [['v6'], ['free', 'v4'], []]),
      async (all, trees, carved) => {
        const hosts = all.map((one, i) => ({
          name: `h${i}`,
          ip: `192.0.2.${i + 1}`,
          labels: labelled(one.label),
          ...stated(one.growth),
        }));
        const listed = new Set<number>();
        const document: Document = {
          networks,
          topologies: trees.map((leaves, t) => {
            const here = new Set<number>();
            return {
              name: `t${t}`,
              networks: carved[t] ?? [],
              map: leaves.map((one, i) => ({
                name: `g${i}`,
                ...stated(one.growth),
                ...(one.label === undefined ? {} : { assignment: { at: one.label } }),
                hosts: one.hosts.flatMap((h) => {
                  if (here.has(h)) return [];
                  here.add(h);
                  listed.add(h);
                  return [hosts[h]!];
                }),
              })),
            };
          }),
          hosts: hosts.filter((_, i) => !listed.has(i) && i % 2 === 0),
        };
        const w = world();
        try {
          await apply(w, document);
          applied++;
          const ids = hostIdsOf(demandTopology(document).plan);
          for (const [name, wanted] of ids) assert.deepEqual(await idsOf(w, name), wanted, name);
          const { items } = await w.services.hostList(admin, none);
          assert.equal(items.length, ids.size);
          assert.deepEqual((await diff(w, document)).changes, []);
          const out = await exported(w);
          assert.deepEqual((await diff(w, out)).changes, []);
          const other = world();
          try {
            await apply(other, out);
            assert.deepEqual(await exported(other), out);
          } finally {
            other.dispose();
          }
        } catch (error) {
          assert.ok(isRomanaError(error) && error.code !== 'internal', String(error));
          assert.throws(() => demandTopology(document), { code: error.code });
        } finally {
          w.dispose();
        }
      },
    ),
    { numRuns: 40 },
  );
  assert.ok(applied > 5, `${applied} of the files could be applied`);
});

test('a host has ids from its group in the topology that carves the network, none where it has no group, any where none carves', async () => {
  const w = fresh();
  const made = await apply(w, file);
  assert.deepEqual(
    made.aggregates.map(({ topology = '-', path, cidr }) => `${topology} ${path} ${cidr}`),
    [
      '-  172.16.0.0/12',
      'racks r1 10.0.0.0/9',
      'racks r2 10.128.0.0/9',
      'tiers a fd10::/17',
      'tiers b fd10:8000::/17',
    ],
  );
  assert.deepEqual(await standing(w, 'h1'), ['r1', 'racks:r1 tiers:b']);
  assert.deepEqual(await standing(w, 'h2'), ['a', 'tiers:a']);
  assert.deepEqual(await standing(w, 'h3'), ['r2', 'racks:r2 tiers:a']);
  assert.deepEqual([...(await idsOf(w, 'h2')).keys()].sort(), ['free', 'v6']);
  assert.equal((await idsOf(w, 'h3')).get('v4'), 32);
  assert.equal((await idsOf(w, 'h1')).get('v6'), 32768);
  // A network that comes later is in none of them.
  await network(w.services, 'later', {
    cidr: '10.9.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  }).then(() => assert.fail('it overlaps'), refusedWith('network_overlap'));
  await network(w.services, 'later', {
    cidr: '192.168.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  assert.ok((await idsOf(w, 'h2')).has('later'));
  // Further ids: in the networks where it stands; elsewhere refused.
  const add = (body: object) =>
    w.services.hostAddId(admin, {
      params: { name: 'h2' },
      query: {},
      body: { allocator: 'server', ...body },
    });
  await assert.rejects(add({ network: 'v4' }), refusedWith('group_unknown'));
  assert.equal(
    (await add({})).ids.some(({ network: of }) => of === 'v4'),
    false,
  );
});

test('--group asks for the first topology that has such a group; labels that match none anywhere are refused', async () => {
  const w = fresh();
  await apply(w, file);
  const { group, groups } = await host(w.services, 'h4', { group: 'b' });
  assert.deepEqual([group, groups], ['b', [{ topology: 'tiers', path: 'b' }]]);
  assert.equal((await host(w.services, 'h4', { group: 'b' })).group, 'b');
  await assert.rejects(host(w.services, 'h5', { group: 'c' }), refusedWith('group_unknown'));
  await assert.rejects(host(w.services, 'h5', { labels: { rack: '9' } }), refusedWith('group_unknown'));
});

test('new labels move a host in the topologies where they ask for it, and into those that it is new to', async () => {
  const w = fresh();
  await apply(w, file);
  const before = await idsOf(w, 'h3');
  const label = (name: string, labels: Record<string, string>) =>
    w.services.hostUpdate(admin, { params: { name }, query: {}, body: { labels } });
  await label('h3', { rack: '2', tier: 'b' });
  assert.deepEqual(await standing(w, 'h3'), ['r2', 'racks:r2 tiers:b']);
  const after = await idsOf(w, 'h3');
  assert.equal(after.get('v4'), before.get('v4'));
  assert.ok(after.get('v6')! >= 32768);
  await label('h2', { rack: '1' });
  assert.deepEqual(await standing(w, 'h2'), ['r1', 'racks:r1 tiers:a'], 'listed in tiers: it stays there');
  assert.ok((await idsOf(w, 'h2')).has('v4'));
  await assert.rejects(label('h3', { rack: '9', tier: 'b' }), refusedWith('in_use'));
  assert.deepEqual(await standing(w, 'h3'), ['r2', 'racks:r2 tiers:b']);
  const check = await w.services.ipamCheck(admin, none);
  assert.deepEqual(check.findings, []);
});

test('a second topology comes and goes without a host id that moves; hosts that would lose theirs are in the way', async () => {
  const w = fresh();
  await apply(w, {
    networks,
    topologies: [racksToo],
    hosts: [{ name: 'h3', ip: '192.0.2.3', labels: { rack: '2', tier: 'a' } }],
  });
  assert.deepEqual(await standing(w, 'h3'), ['r2', undefined]);
  const before = await idsOf(w, 'h3');
  assert.ok(before.get('v6')! < 32768, 'in the first half of the ids');
  const both = { topologies: [racksToo, tiers] };
  // h1 has labels for the second half, and its id of v6 lies in the first.
  const blocked = await diff(w, both);
  assert.deepEqual(
    blocked.blocked?.hosts.map(({ name }) => name),
    ['h1'],
  );
  assert.ok(blocked.steps.some((step) => step.includes('host delete h1')));
  await assert.rejects(apply(w, both), refusedWith('in_use'));
  await w.services.hostDelete(admin, { params: { name: 'h1' }, query: {}, body: undefined });
  assert.deepEqual(
    (await diff(w, both)).changes.map(({ action, kind, name }) => `${action} ${kind} ${name}`),
    ['create topology tiers', 'create host h1', 'create host h2'],
  );
  await apply(w, both);
  assert.deepEqual(await standing(w, 'h1'), ['r1', 'racks:r1 tiers:b']);
  assert.deepEqual(await standing(w, 'h3'), ['r2', 'racks:r2 tiers:a']);
  assert.deepEqual(await idsOf(w, 'h3'), before);
  assert.deepEqual((await diff(w, both)).changes, []);
  const back = { topologies: [racksToo] };
  assert.deepEqual((await diff(w, back)).blocked?.hosts, [{ name: 'h2', from: 'a', to: null }]);
  await w.services.hostDelete(admin, { params: { name: 'h2' }, query: {}, body: undefined });
  assert.deepEqual((await diff(w, back)).changes, [
    { action: 'change', kind: 'topology', name: 'tiers', fields: ['removed'] },
  ]);
  const left = await apply(w, back);
  assert.equal('further' in left, false);
  assert.equal(
    left.aggregates.some(({ topology }) => topology !== undefined),
    false,
  );
  assert.deepEqual(await standing(w, 'h3'), ['r2', undefined]);
  assert.deepEqual(await idsOf(w, 'h3'), before);
});

test('a host that a file lists in a further topology gets its ids there; one that stands there already keeps them', async () => {
  const w = fresh();
  await apply(w, file);
  const before = await idsOf(w, 'h2');
  const r2 = { ...racksToo.map[1]!, hosts: [{ name: 'h2', ip: '192.0.2.2' }] };
  const more = { topologies: [{ ...racksToo, map: [racksToo.map[0]!, r2] }, tiers] };
  assert.deepEqual((await diff(w, more)).changes, [
    { action: 'change', kind: 'host', name: 'h2', fields: ['groups'] },
  ]);
  await apply(w, more);
  assert.deepEqual(await standing(w, 'h2'), ['r2', 'racks:r2 tiers:a']);
  const after = await idsOf(w, 'h2');
  assert.deepEqual(new Map([...after].filter(([of]) => of !== 'v4')), before);
  assert.ok(after.get('v4')! >= 32);
  assert.deepEqual((await diff(w, more)).changes, []);
  // The order says which topology is the first of a host, and nothing else.
  const turned = { topologies: [tiers, more.topologies[0]!] };
  await apply(w, turned);
  assert.deepEqual(await standing(w, 'h2'), ['a', 'tiers:a racks:r2']);
  assert.deepEqual(await idsOf(w, 'h2'), after);
});

test('an endpoint gets addresses of networks in which its host stands; a network in which it does not is refused', async () => {
  const w = fresh();
  await apply(w, file);
  await tenant(w.services, 'acme');
  await segment(w.services, 'acme', 'web');
  await host(w.services, 'h4', { group: 'a', allocator: 'server' });
  const made = await endpoint(w.services, 'acme/web/one', { host: 'h4' });
  assert.deepEqual(made.addresses.map(({ network: of }) => of).sort(), ['free', 'v6']);
  await assert.rejects(
    endpoint(w.services, 'acme/web/two', { host: 'h4', networks: ['v4'] }),
    refusedWith('group_unknown'),
  );
});
