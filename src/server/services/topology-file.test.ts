/** Topology files against a control plane: apply, diff, export; hosts that labels place; ids of hosts that come back. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import * as fc from 'fast-check';
import type { Host } from '#contract/model.ts';
import type { TopologyDiff } from '#contract/topology.ts';
import { isRomanaError } from '#core/errors.ts';
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
const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
type Document = Record<string, Record<string, unknown>[]>;

const apply = (w: World, body: Document, query = {}) =>
  w.services.topologyApply(admin, { params: {}, query, body });
const diff = (w: World, body: Document): Promise<TopologyDiff> =>
  w.services.topologyDiff(admin, { params: {}, query: {}, body });
const exported = async (w: World): Promise<Document> =>
  // What goes over the wire.
  JSON.parse(JSON.stringify(await w.services.topologyExport(admin, none))) as Document;
const hostOf = (w: World, name: string): Promise<Host> => w.services.hostShow(admin, named(name));
const placeOf = async (w: World, name: string): Promise<string> => {
  const { group, ids } = await hostOf(w, name);
  return `${group ?? '-'} ${ids.map(({ id }) => id).join(' ')}`;
};
const revisionOf = (w: World): number => w.store.position().revision;

const v4 = { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' };
const v6 = { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' };
const rack = (name: string, zone: string, more: Record<string, unknown> = {}) => ({
  name,
  assignment: { zone },
  ...more,
});
const h1 = { name: 'h1', ip: '192.0.2.1' };
const file: Document = {
  networks: [{ ...v4, reserved: ['10.0.0.0/16'], infrastructure: 'allow', quarantineSeconds: 5 }, v6],
  topologies: [
    { name: 'dc1', map: [rack('r1', 'a', { size: 64 }), rack('r2', 'b', { hosts: [h1] }), rack('r3', 'a')] },
  ],
  hosts: [
    { name: 'h2', addresses: ['192.0.2.2', '2001:db8::2'], labels: { zone: 'a' }, allocator: 'server' },
  ],
};

test('F1 a file makes networks, groups and hosts in one revision; applied again it changes nothing', async () => {
  const w = fresh();
  const before = revisionOf(w);
  const topology = await apply(w, file);
  assert.equal(revisionOf(w), before + 1);
  assert.deepEqual(
    topology.aggregates.map(({ network: name, path, cidr }) => `${name} ${path} ${cidr}`),
    [
      'v4 r1 10.0.0.0/10',
      'v4 r2 10.64.0.0/10',
      'v4 r3 10.128.0.0/10',
      'v6 r1 fd10::/26',
      'v6 r2 fd10:4000::/18',
      'v6 r3 fd10:8000::/18',
    ],
  );
  assert.equal(await placeOf(w, 'h1'), 'r2 64 16384');
  assert.equal(await placeOf(w, 'h2'), 'r1 1 1');
  const net = await w.services.networkShow(admin, named('v4'));
  assert.deepEqual([net.reserved, net.infrastructure, net.quarantineSeconds], [['10.0.0.0/16'], 'allow', 5]);
  await apply(w, file);
  assert.deepEqual((await diff(w, file)).changes, []);
  assert.equal(revisionOf(w), before + 1);
});

test('F2 what is exported changes nothing when applied, and makes the same on an empty control plane', async () => {
  const zones = fc.constantFrom('a', 'b');
  const size = fc.option(fc.constantFrom(8, 16, 64), { nil: undefined });
  const leaf = fc.record({ zone: zones, size, hosts: fc.nat(2) });
  const groups = fc.array(fc.record({ spare: fc.nat(3), leaves: fc.array(leaf, { maxLength: 3 }) }), {
    maxLength: 3,
  });
  await fc.assert(
    fc.asyncProperty(
      groups,
      fc.boolean(),
      fc.boolean(),
      fc.nat(2),
      async (zonesOf, slots, both, labelled) => {
        let count = 0;
        const map = zonesOf.map(({ spare, leaves }, i) => ({
          name: `z${i}`,
          ...(slots && leaves.length > 0 ? { slots: leaves.length + spare } : {}),
          ...(leaves.length === 0
            ? {}
            : {
                groups: leaves.map(({ zone, size: own, hosts }, j) => ({
                  name: `r${j}`,
                  assignment: { zone },
                  ...(own === undefined ? {} : { size: own }),
                  hosts: Array.from({ length: hosts }, () => ({
                    name: `p${++count}`,
                    ip: `192.0.2.${count}`,
                  })),
                })),
              }),
        }));
        const document: Document = {
          networks: [{ ...v4, layout: '12/4/4/4' }, v6],
          topologies: [{ map, ...(both ? {} : { networks: ['v6'] }) }],
          hosts: Array.from({ length: labelled }, (_, i) => ({
            name: `l${i}`,
            ip: `192.0.3.${i + 1}`,
            labels: { zone: 'a' },
          })),
        };
        const a = world();
        const b = world();
        try {
          try {
            await apply(a, document);
          } catch (error) {
            // Too narrow, or no group for a label: then there is nothing of it.
            assert.ok(isRomanaError(error) && error.code !== 'internal', String(error));
            assert.deepEqual(await exported(a), { networks: [], topologies: [], hosts: [] });
            return;
          }
          const revision = revisionOf(a);
          const out = await exported(a);
          assert.deepEqual((await diff(a, out)).changes, []);
          await apply(a, out);
          assert.equal(revisionOf(a), revision);
          await apply(b, out);
          assert.deepEqual(await exported(b), out);
          const aggregates = async (w: World) => (await w.services.topologyShow(admin, none)).aggregates;
          assert.deepEqual(new Set(await aggregates(b)), new Set(await aggregates(a)));
        } finally {
          a.dispose();
          b.dispose();
        }
      },
    ),
    { numRuns: 25 },
  );
});

test('F3 (bug 18) a topology with hosts and live addresses is changed, exported and imported; a failed change leaves all as it was', async () => {
  const w = fresh();
  await apply(w, file);
  await tenant(w.services, 'acme');
  await segment(w.services, 'acme', 'web');
  await endpoint(w.services, 'acme/web/x', { host: 'h2' });
  const r4 = rack('r4', 'c');
  const map = file['topologies']![0]!['map'] as Record<string, unknown>[];
  const grown = { ...file, topologies: [{ name: 'dc1', slots: 4, map: [...map, r4] }] };
  const before = await exported(w);
  const revision = revisionOf(w);
  // The last part of the file fails: a host in a network. Nothing of the rest is kept.
  const third = { ...v4, name: 'third', cidr: '11.0.0.0/8' };
  await assert.rejects(
    apply(w, { networks: [...file['networks']!, third], hosts: [{ name: 'h9', ip: '11.0.0.1' }] }),
    refusedWith('network_overlap'),
  );
  await assert.rejects(
    apply(w, {
      networks: [...file['networks']!, third],
      hosts: [{ name: 'h9', ip: '192.0.2.1', labels: { zone: 'a' } }],
    }),
    refusedWith('already_exists'),
  );
  assert.deepEqual(await exported(w), before);
  assert.equal(revisionOf(w), revision);
  const { blocked } = await diff(w, grown);
  assert.equal(blocked, null);
  await apply(w, grown);
  assert.equal(
    (
      await w.services.endpointShow(admin, {
        params: { tenant: 'acme', segment: 'web', name: 'x' },
        query: {},
        body: undefined,
      })
    ).host,
    'h2',
  );
});

test('F4 a file under which host ids would move is refused with the endpoints in the way, and says what to do in order', async () => {
  const w = fresh();
  await apply(w, { networks: [v4], groups: [{ name: 'r1' }, { name: 'r2' }] });
  await host(w.services, 'h1', { group: 'r1', allocator: 'server' });
  await host(w.services, 'h2', { group: 'r2', allocator: 'server' });
  await tenant(w.services, 'acme');
  for (const name of ['a', 'b']) await segment(w.services, 'acme', name);
  for (let i = 0; i < 25; i++) await endpoint(w.services, `acme/${i < 13 ? 'a' : 'b'}/e${i}`, { host: 'h2' });
  const wider = { groups: [{ name: 'r1' }, { name: 'r2' }, { name: 'r3' }] };
  const revision = revisionOf(w);
  await assert.rejects(apply(w, wider), (error: Error) => {
    assert.ok(refusedWith('in_use')(error) && isRomanaError(error));
    assert.match(error.message, /hosts h2 would move; they hold 25 endpoints/);
    const { endpoints, endpointCount } = error.details ?? {};
    assert.equal((endpoints as string[]).length, 20);
    assert.equal(endpointCount, 25);
    return true;
  });
  const plan = await diff(w, wider);
  assert.deepEqual(plan.blocked?.hosts, [{ name: 'h2', from: 'r2', to: 'r2' }]);
  assert.match(plan.steps[0] ?? '', /romana endpoint delete acme\/a\/e0$/);
  assert.deepEqual(
    plan.steps.slice(20).map((step) => step.split(':')[0]),
    [
      'remove 5 more endpoints of these hosts',
      'free the host ids of h2',
      'apply the file',
      'create h2 again in group r2 and join it',
    ],
  );
  assert.equal(revisionOf(w), revision);

  // The steps, taken.
  const { items } = await w.services.endpointList(admin, { params: {}, query: {}, body: undefined });
  for (const { tenant: t, segment: s, name } of items)
    await w.services.endpointDelete(admin, {
      params: { tenant: t, segment: s, name },
      query: {},
      body: undefined,
    });
  await w.services.hostDelete(admin, named('h2'));
  await apply(w, wider);
  await host(w.services, 'h2', { group: 'r2', allocator: 'server' });
  assert.equal(await placeOf(w, 'h2'), 'r2 64');
});

test('F5 groups may be renamed or divided around hosts that keep their ids, when the file lists them there', async () => {
  const w = fresh();
  await apply(w, { networks: [v4], groups: [{ name: 'a' }, { name: 'b' }] });
  await host(w.services, 'h1', { group: 'a' });
  const renamed = (hosts: unknown[]) => ({
    groups: [{ name: 'zone', groups: [{ name: 'r1', hosts }, { name: 'r2' }] }, { name: 'b' }],
  });
  await assert.rejects(apply(w, renamed([])), refusedWith('in_use'));
  await apply(w, renamed([h1]));
  assert.equal(await placeOf(w, 'h1'), 'zone/r1 1');
  // Listed in another group than the one that has its ids.
  await assert.rejects(
    apply(w, {
      groups: [{ name: 'zone', groups: [{ name: 'r1' }, { name: 'r2', hosts: [h1] }] }, { name: 'b' }],
    }),
    refusedWith('in_use'),
  );
});

test('F6 two who change the same topology: the second is refused when it says what it saw', async () => {
  const w = fresh();
  const first = await apply(w, { networks: [v4], groups: [{ name: 'a' }] });
  await apply(w, { groups: [{ name: 'a' }, { name: 'b' }] }, { ifRevision: first.revision });
  await assert.rejects(
    apply(w, { groups: [{ name: 'a' }, { name: 'c' }] }, { ifRevision: first.revision }),
    refusedWith('revision_conflict'),
  );
});

test('F7 what a file may not change is refused with its place', async () => {
  const w = fresh();
  await apply(w, { networks: [v4], groups: [{ name: 'a' }] });
  const refused = async (body: Document, path: string, message: RegExp): Promise<void> => {
    const revision = revisionOf(w);
    await assert.rejects(apply(w, body), (error: Error) => {
      assert.ok(isRomanaError(error));
      const issues = error.details?.['issues'] as { path: string; message: string }[];
      assert.ok(
        issues.some((issue) => issue.path === path && message.test(issue.message)),
        JSON.stringify(issues),
      );
      return true;
    });
    assert.equal(revisionOf(w), revision);
  };
  await refused(
    { networks: [{ ...v4, cidr: '11.0.0.0/8' }] },
    'networks.0.cidr',
    /has the range 10.0.0.0\/8, which cannot change/,
  );
  await refused(
    { networks: [{ ...v4, layout: '7/9/4/4' }] },
    'networks.0.layout',
    /has the layout 8\/8\/4\/4/,
  );
  await refused(
    { networks: [{ name: 'v4', cidr: '10.0.0.0/8' }] },
    'networks.0',
    /has the layout 8\/8\/4\/4/,
  );
  await refused(
    { networks: [{ ...v6, cidr: '10.1.0.0/16', layout: '4/4/4/4' }] },
    'networks.0.cidr',
    /overlaps network v4/,
  );
  await refused({ topologies: [{ networks: ['v9'] }] }, 'topologies.0.networks.0', /no network v9/);
  await refused(
    { groups: Array.from({ length: 300 }, (_, i) => ({ name: `g${i}` })) },
    'groups.map',
    /do not fit/,
  );
  await host(w.services, 'h1', { group: 'a' });
  await refused({ hosts: [{ ...h1, allocator: 'server' }] }, 'hosts.0.allocator', /come from the agent/);
  await refused({ hosts: [{ name: 'h5', ip: '192.0.2.1' }] }, 'hosts.0', /belongs to host h1/);
});

test('F8 a blackout over a live address is refused, and the file changes nothing', async () => {
  const w = fresh();
  await apply(w, { networks: [v4], hosts: [{ ...h1, allocator: 'server' }] });
  await tenant(w.services, 'acme');
  await segment(w.services, 'acme', 'web');
  const { addresses } = await endpoint(w.services, 'acme/web/x', { host: 'h1' });
  const revision = revisionOf(w);
  const reserved = [`${addresses[0]?.address ?? ''}/32`];
  await assert.rejects(apply(w, { networks: [{ ...v4, reserved }] }), refusedWith('in_use'));
  assert.equal(revisionOf(w), revision);
  // What a file does not state stays.
  await apply(w, { networks: [{ ...v4, infrastructure: 'allow', reserved: ['10.9.0.0/16'] }] });
  await apply(w, { networks: [v4] });
  const net = await w.services.networkShow(admin, named('v4'));
  assert.deepEqual([net.infrastructure, net.reserved], ['allow', ['10.9.0.0/16']]);
});

test('P1 without a group, labels place a host in the emptiest group that matches; padding takes none (bug 11)', async () => {
  const w = fresh();
  await network(w.services, 'main');
  await apply(w, { groups: [rack('r1', 'a'), rack('r2', 'b'), rack('r3', 'a')] });
  const groups: (string | null)[] = [];
  for (let i = 1; i <= 4; i++)
    groups.push((await host(w.services, `h${i}`, { labels: { zone: 'a' } })).group);
  assert.deepEqual(groups, ['r1', 'r3', 'r1', 'r3']);
  for (const labels of [{}, { zone: 'd' }, { rack: 'r4' }])
    await assert.rejects(host(w.services, 'h9', { labels }), refusedWith('group_unknown'));
  // Asked again it is the same host; a group that is stated wins over labels.
  assert.equal((await host(w.services, 'h1', { labels: { zone: 'a' } })).group, 'r1');
  assert.equal((await host(w.services, 'h5', { group: 'r2', labels: { zone: 'a' } })).group, 'r2');
});

test('P2 a full group is passed over, and when all are full nobody gets in', async () => {
  const w = fresh();
  await network(w.services, 'main');
  await apply(w, {
    groups: [
      { name: 'a', size: 2 },
      { name: 'b', size: 2 },
      { name: 'c', assignment: { no: 'host' } },
    ],
  });
  const groups: (string | null)[] = [];
  for (let i = 1; i <= 3; i++) groups.push((await host(w.services, `h${i}`)).group);
  assert.deepEqual(groups, ['a', 'b', 'b']);
  await assert.rejects(host(w.services, 'h4'), refusedWith('group_unknown'));
});

test('P3 other labels move an empty host, and are refused while endpoints or an agent may hold its ids', async () => {
  const w = fresh();
  await network(w.services, 'main');
  await apply(w, { groups: [rack('r1', 'a'), rack('r2', 'b')] });
  await host(w.services, 'h1', { labels: { zone: 'a' }, allocator: 'server' });
  const label = (zone: string, more = {}) =>
    w.services.hostUpdate(admin, { params: { name: 'h1' }, query: {}, body: { labels: { zone, ...more } } });
  assert.equal((await label('a', { disk: 'ssd' })).group, 'r1');
  await label('b');
  assert.equal(await placeOf(w, 'h1'), 'r2 128');
  await assert.rejects(label('c'), refusedWith('in_use'));
  await tenant(w.services, 'acme');
  await segment(w.services, 'acme', 'web');
  await endpoint(w.services, 'acme/web/x', { host: 'h1' });
  await assert.rejects(
    label('a'),
    (error: Error) => refusedWith('in_use')(error) && /acme\/web\/x/.test(error.message),
  );
  await w.services.endpointDelete(admin, {
    params: { tenant: 'acme', segment: 'web', name: 'x' },
    query: {},
    body: undefined,
  });
  await w.join('h1');
  await assert.rejects(
    label('a'),
    (error: Error) => refusedWith('in_use')(error) && /agent/.test(error.message),
  );
  assert.equal(await placeOf(w, 'h1'), 'r2 128');
  // The old ids are free again: the next host of the first group begins there.
  await host(w.services, 'h2', { labels: { zone: 'a' } });
  assert.equal(await placeOf(w, 'h2'), 'r1 1');
});

test('P4 a host that comes back under its name gets its group and ids back while they are free', async () => {
  const w = fresh();
  await network(w.services, 'main');
  await network(w.services, 'six', {
    cidr: 'fd10::/16',
    layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
  });
  await apply(w, { groups: [{ name: 'r1' }, { name: 'r2' }] });
  for (let i = 1; i <= 4; i++) await host(w.services, `h${i}`);
  const places = await Promise.all(['h1', 'h2', 'h3', 'h4'].map((name) => placeOf(w, name)));
  assert.deepEqual(places, ['r1 1 1', 'r2 128 32768', 'r1 2 2', 'r2 129 32769']);
  for (const name of ['h1', 'h2', 'h3', 'h4']) await w.services.hostDelete(admin, named(name));
  for (const name of ['h4', 'h3', 'h2', 'h1']) await host(w.services, name);
  assert.deepEqual(await Promise.all(['h1', 'h2', 'h3', 'h4'].map((name) => placeOf(w, name))), places);
  await w.services.hostDelete(admin, named('h3'));
  await host(w.services, 'h5', { group: 'r1', id: 2 }).catch(() => undefined);
  await w.services.hostDelete(admin, named('h4'));
  await host(w.services, 'h6', { group: 'r2' });
  assert.equal(await placeOf(w, 'h6'), 'r2 129 32769');
  await host(w.services, 'h4', { group: 'r2' });
  assert.equal(await placeOf(w, 'h4'), 'r2 130 32770');
});

test('P5 a topology that names its networks leaves the others whole', async () => {
  const w = fresh();
  await apply(w, {
    networks: [v4, v6],
    topologies: [{ networks: ['v6'], map: [{ name: 'a' }, { name: 'b' }] }],
  });
  await host(w.services, 'h1', { group: 'b' });
  assert.equal(await placeOf(w, 'h1'), 'b 1 32768');
  await w.services.networkDelete(admin, named('v6'));
  await apply(w, { networks: [v6] });
  assert.deepEqual(
    (await w.services.topologyShow(admin, none)).aggregates
      .filter(({ network: name }) => name === 'v6')
      .map(({ cidr }) => cidr),
    ['fd10::/16'],
  );
  const out = await exported(w);
  assert.deepEqual((await diff(w, out)).changes, []);
});
