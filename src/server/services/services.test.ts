/** Networks, topology, hosts, tenants and segments. Endpoints: endpoints.test.ts; reports: reports.test.ts. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { host, network, segment, tenant } from './fixtures.ts';

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

test('N1 networks may not overlap, in either family, whichever is the larger', async () => {
  const { services } = fresh();
  await network(services, 'main');
  await network(services, 'six', {
    cidr: 'fd10::/16',
    layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
  });
  for (const [cidr, layout] of [
    ['10.0.0.0/8', { host: 8, tenant: 8, segment: 4, endpoint: 4 }],
    ['10.255.0.0/16', { host: 4, tenant: 4, segment: 4, endpoint: 4 }],
    ['0.0.0.0/0', { host: 8, tenant: 8, segment: 8, endpoint: 8 }],
    ['fd10:1::/32', { host: 16, tenant: 8, segment: 8, endpoint: 64 }],
  ] as const) {
    await assert.rejects(network(services, 'other', { cidr, layout }), refusedWith('network_overlap'));
  }
  await network(services, 'neighbour', { cidr: '11.0.0.0/8' });
});

test('N2 a layout must fill the bits and leave room for segments', async () => {
  const { services } = fresh();
  await assert.rejects(
    network(services, 'a', { layout: { host: 8, tenant: 8, segment: 4, endpoint: 3 } }),
    refusedWith('layout_invalid'),
  );
  await assert.rejects(
    network(services, 'a', { layout: { host: 8, tenant: 8, segment: 0, endpoint: 8 } }),
    refusedWith('layout_invalid'),
  );
});

test('N3 the same question has the same answer; other properties are a conflict that names them', async () => {
  const { services, store } = fresh();
  const first = await network(services, 'main');
  const revision = store.position().revision;
  assert.deepEqual(await network(services, 'main'), first);
  assert.equal(store.position().revision, revision);
  await assert.rejects(
    network(services, 'main', { infrastructure: 'allow', quarantineSeconds: 1 }),
    (error: Error) =>
      refusedWith('conflict')(error) && /infrastructure, quarantineSeconds/.test(error.message),
  );
  const t = await tenant(services, 'a', { id: 5 });
  assert.deepEqual(await tenant(services, 'a'), t);
  await assert.rejects(tenant(services, 'a', { id: 6 }), refusedWith('conflict'));
  await assert.rejects(tenant(services, 'a', { isolation: 'open' }), refusedWith('conflict'));
  const s = await segment(services, 'a', 's', 3);
  assert.deepEqual(await segment(services, 'a', 's'), s);
  await assert.rejects(segment(services, 'a', 's', 4), refusedWith('conflict'));
  const h = await host(services, 'h1');
  assert.deepEqual(await host(services, 'h1'), h);
  await assert.rejects(host(services, 'h1', { allocator: 'server' }), refusedWith('conflict'));
  await assert.rejects(host(services, 'h1', { id: 77 }), refusedWith('conflict'));
});

test('N4 a new network gives ids to all that exists, or is refused as a whole', async () => {
  const { services, store } = fresh();
  await host(services, 'h2', { allocator: 'server' });
  await host(services, 'h1');
  for (const name of ['b', 'a', 'c']) await tenant(services, name);
  await segment(services, 'b', 's');
  await network(services, 'main');
  const { items: hosts } = await services.hostList(admin, none);
  assert.deepEqual(
    hosts.map((h) => [h.name, h.ids]),
    [
      ['h1', [{ network: 'main', id: 2, allocator: 'agent', cidr: '10.2.0.0/16' }]],
      ['h2', [{ network: 'main', id: 1, allocator: 'server', cidr: '10.1.0.0/16' }]],
    ],
  );
  const { items: tenants } = await services.tenantList(admin, none);
  assert.deepEqual(
    tenants.map((t) => t.ids[0]?.id),
    [2, 1, 3],
  );
  // Tenants that find no id there live under its shared identity; hosts cannot do without.
  const layout = { host: 4, tenant: 1, segment: 5, endpoint: 6 };
  await network(services, 'narrow', { cidr: '192.168.0.0/16', layout });
  const { items: shared } = await services.tenantList(admin, none);
  assert.deepEqual(
    shared.map((t) => t.ids.find((id) => id.network === 'narrow')?.id),
    [undefined, 1, undefined],
  );
  const before = store.position();
  await assert.rejects(
    network(services, 'tiny', {
      cidr: '198.51.100.0/24',
      layout: { ...layout, host: 1, segment: 1, endpoint: 5 },
    }),
    (error: Error) => refusedWith('ids_exhausted')(error) && /host id/.test(error.message),
  );
  assert.deepEqual(store.position(), before);
  assert.equal((await services.networkList(admin, none)).items.length, 2);
});

test('N5 deleting a network takes its ids away, and a network of that name starts anew', async () => {
  const { services } = fresh();
  await network(services, 'main');
  await host(services, 'h1');
  await tenant(services, 'a');
  await segment(services, 'a', 's');
  await services.networkDelete(admin, named('main'));
  assert.deepEqual((await services.hostShow(admin, named('h1'))).ids, []);
  assert.deepEqual((await services.tenantShow(admin, named('a'))).ids, []);
  await network(services, 'main', {
    cidr: '172.16.0.0/12',
    layout: { host: 8, tenant: 4, segment: 4, endpoint: 4 },
  });
  assert.equal((await services.hostShow(admin, named('h1'))).ids[0]?.cidr, '172.16.16.0/20');
  assert.deepEqual(
    (await services.topologyShow(admin, none)).aggregates.map((a) => a.cidr),
    ['172.16.0.0/12'],
  );
});

test('N6 reserved ranges lie inside, do not cover everything', async () => {
  const { services } = fresh();
  await assert.rejects(network(services, 'a', { reserved: ['11.0.0.0/24'] }), refusedWith('input_invalid'));
  await assert.rejects(network(services, 'a', { reserved: ['0.0.0.0/0'] }), refusedWith('input_invalid'));
  await assert.rejects(
    network(services, 'a', { reserved: ['10.0.0.0/9', '10.128.0.0/9'] }),
    refusedWith('input_invalid'),
  );
  await network(services, 'a', { reserved: ['10.0.0.0/9'] });
});

test('H1 host addresses belong to one host, one per family, outside every network, both ways', async () => {
  const { services } = fresh();
  await network(services, 'main');
  await host(services, 'h1', { addresses: ['192.168.0.1', 'fd00::1'] });
  await assert.rejects(
    host(services, 'h2', { addresses: ['192.168.0.1'] }),
    (error: Error) => refusedWith('already_exists')(error) && /h1/.test(error.message),
  );
  await assert.rejects(host(services, 'h2', { addresses: ['fd00::1'] }), refusedWith('already_exists'));
  await assert.rejects(host(services, 'h2', { addresses: ['10.9.9.9'] }), refusedWith('network_overlap'));
  for (const addresses of [
    ['192.168.0.2', '192.168.0.3'],
    ['fd00::2', 'fd00::3'],
    ['0.0.0.0'],
    ['224.0.0.1'],
    ['ff02::1'],
    ['::'],
  ]) {
    await assert.rejects(host(services, 'h2', { addresses }), refusedWith('input_invalid'));
  }
  await assert.rejects(
    network(services, 'under', {
      cidr: '192.168.0.0/16',
      layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
    }),
    refusedWith('network_overlap'),
  );
  await assert.rejects(
    network(services, 'under6', {
      cidr: 'fd00::/16',
      layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
    }),
    refusedWith('network_overlap'),
  );
  const change = (addresses: string[]) =>
    services.hostUpdate(admin, { params: { name: 'h1' }, query: {}, body: { addresses } });
  await change(['192.168.0.9', 'fd00::1']);
  await host(services, 'h2', { addresses: ['192.168.0.1'] });
  await assert.rejects(change(['192.168.0.1']), refusedWith('already_exists'));
  assert.deepEqual((await services.hostShow(admin, named('h1'))).addresses, ['192.168.0.9', 'fd00::1']);
});

test('H2 host ids are the lowest free ones, unique, and free again when the host goes', async () => {
  const { services } = fresh();
  await network(services, 'main', {
    cidr: '10.0.0.0/8',
    layout: { host: 2, tenant: 8, segment: 7, endpoint: 7 },
  });
  const ids = async (name: string, more = {}) =>
    (await host(services, name, more)).ids.map((entry) => entry.id);
  assert.deepEqual(await ids('h2', { id: 2 }), [2]);
  assert.deepEqual(await ids('h1'), [1]);
  assert.deepEqual(await ids('h3'), [3]);
  await assert.rejects(ids('h4'), refusedWith('ids_exhausted'));
  await assert.rejects(ids('h4', { id: 4 }), refusedWith('id_out_of_range'));
  await assert.rejects(
    ids('h4', { id: 2 }),
    (error: Error) => refusedWith('id_taken')(error) && /h2/.test(error.message),
  );
  await services.hostDelete(admin, named('h2'));
  assert.deepEqual(await ids('h4'), [2]);
  await assert.rejects(services.hostDelete(admin, named('h2')), refusedWith('not_found'));
});

test('H3 a host id has one allocator; adding it again changes nothing', async () => {
  const { services, store } = fresh();
  await network(services, 'main');
  await host(services, 'h1');
  const add = (body: { id?: number; allocator: 'agent' | 'server'; network?: string }) =>
    services.hostAddId(admin, { params: { name: 'h1' }, query: {}, body });
  const both = await add({ id: 9, allocator: 'server' });
  assert.deepEqual(
    both.ids.map((entry) => [entry.id, entry.allocator]),
    [
      [1, 'agent'],
      [9, 'server'],
    ],
  );
  const { revision } = store.position();
  assert.deepEqual(await add({ id: 9, allocator: 'server' }), both);
  assert.equal(store.position().revision, revision);
  await assert.rejects(add({ id: 9, allocator: 'agent' }), refusedWith('allocator_mismatch'));
  await assert.rejects(add({ network: 'nope', allocator: 'agent' }), refusedWith('not_found'));
  assert.deepEqual(
    (await add({ allocator: 'agent' })).ids.map((entry) => entry.id),
    [1, 9, 8],
    'next to one that it has, so that both are one route',
  );
});

const racks = (names: readonly string[]) => ({
  groups: [{ name: 'zone', groups: names.map((name) => ({ name })) }],
});
const apply = (w: World, names: readonly string[], query = {}) =>
  w.services.topologyApply(admin, { params: {}, query, body: racks(names) });

test('T1 hosts take ids of the range of their group, and only leaves hold hosts', async () => {
  const w = fresh();
  const { services } = w;
  await network(services, 'main');
  await network(services, 'six', {
    cidr: 'fd10::/16',
    layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
  });
  const topology = await apply(w, ['r1', 'r2', 'r3']);
  assert.deepEqual(
    topology.aggregates.filter((a) => a.leaf).map((a) => `${a.network} ${a.path} ${a.cidr}`),
    [
      'main zone/r1 10.0.0.0/10',
      'main zone/r2 10.64.0.0/10',
      'main zone/r3 10.128.0.0/10',
      'six zone/r1 fd10::/18',
      'six zone/r2 fd10:4000::/18',
      'six zone/r3 fd10:8000::/18',
    ],
  );
  const h1 = await host(services, 'h1', { group: 'zone/r2' });
  assert.deepEqual(
    h1.ids.map((entry) => entry.cidr),
    ['10.64.0.0/16', 'fd10:4000::/32'],
  );
  const h2 = await host(services, 'h2', { group: 'zone/r1' });
  assert.deepEqual(
    h2.ids.map((entry) => entry.id),
    [1, 1],
  );
  for (const group of ['zone', 'zone/r4']) {
    await assert.rejects(
      host(services, 'h3', { group }),
      (error: Error) =>
        refusedWith('group_unknown')(error) && /zone\/r1, zone\/r2, zone\/r3/.test(error.message),
    );
  }
  await assert.rejects(host(services, 'h3', { group: 'zone/r1', id: 200 }), refusedWith('id_out_of_range'));
});

test('T2 a topology under which a host would move or lose its group is refused and changes nothing', async () => {
  const w = fresh();
  const { services, store } = w;
  await network(services, 'main');
  await apply(w, ['r1', 'r2', 'r3']);
  await host(services, 'h1', { group: 'zone/r2' });
  const { revision } = store.position();
  for (const names of [
    ['r2', 'r1', 'r3'],
    ['r1', 'r3'],
    ['r1', 'r2', 'r3', 'r4', 'r5'],
  ]) {
    await assert.rejects(
      apply(w, names),
      (error: Error) => refusedWith('in_use')(error) && /h1/.test(error.message),
    );
  }
  await assert.rejects(apply(w, ['r1', 'r1']), refusedWith('topology_invalid'));
  assert.equal(store.position().revision, revision);
  // Padding is used up by a fourth rack, and nobody moves.
  await apply(w, ['r1', 'r2', 'r3', 'r4']);
  await assert.rejects(apply(w, ['r1', 'r2'], { ifRevision: revision }), refusedWith('revision_conflict'));
});

test('T3 a network too narrow for the topology is refused, as is a topology too deep for a network', async () => {
  const w = fresh();
  await network(w.services, 'main', { layout: { host: 2, tenant: 8, segment: 7, endpoint: 7 } });
  await assert.rejects(apply(w, ['a', 'b', 'c', 'd', 'e']), refusedWith('topology_invalid'));
  await w.services.networkDelete(admin, named('main'));
  await apply(w, ['a', 'b', 'c', 'd', 'e']);
  await assert.rejects(
    network(w.services, 'main', { layout: { host: 2, tenant: 8, segment: 7, endpoint: 7 } }),
    refusedWith('topology_invalid'),
  );
});

test('I1 tenant and segment ids are unique, start at 1, and go to whoever waited longest when they get free', async () => {
  const { services } = fresh();
  await network(services, 'main', { layout: { host: 8, tenant: 2, segment: 1, endpoint: 13 } });
  for (const name of ['a', 'b', 'c']) await tenant(services, name);
  assert.deepEqual((await tenant(services, 'd')).ids, []);
  await assert.rejects(tenant(services, 'e', { id: 1 }), refusedWith('id_taken'));
  await assert.rejects(tenant(services, 'e', { id: 4 }), refusedWith('id_out_of_range'));
  await segment(services, 'a', 's');
  assert.deepEqual((await segment(services, 'a', 't')).ids, []);
  await tenant(services, 'c2');
  assert.equal((await segment(services, 'b', 't')).ids[0]?.id, 1);
  await assert.rejects(services.tenantDelete(admin, named('a')), refusedWith('in_use'));
  await services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined });
  const shown = (name: string) => services.tenantShow(admin, named(name));
  assert.equal(
    (await services.segmentShow(admin, { ...named('t'), params: { tenant: 'a', name: 't' } })).ids[0]?.id,
    1,
  );
  await services.segmentDelete(admin, { params: { tenant: 'a', name: 't' }, query: {}, body: undefined });
  await services.tenantDelete(admin, named('a'));
  assert.equal((await shown('d')).ids[0]?.id, 1);
  assert.deepEqual((await shown('c2')).ids, []);
  await services.tenantDelete(admin, named('d'));
  assert.equal((await shown('c2')).ids[0]?.id, 1);
  await assert.rejects(segment(services, 'nobody', 's'), refusedWith('not_found'));
});

test('R1 every change and deletion is refused when the object changed since it was read', async () => {
  const w = fresh();
  const { services } = w;
  const n = await network(services, 'main');
  const t = await tenant(services, 'a');
  await segment(services, 'a', 's');
  const h = await host(services, 'h1');
  const stale = { ifRevision: 99 };
  const both = (params: { name: string }, body: object) => ({ params, query: stale, body });
  for (const attempt of [
    () => services.networkUpdate(admin, both({ name: 'main' }, {})),
    () => services.networkDelete(admin, { ...named('main'), query: stale }),
    () => services.tenantUpdate(admin, both({ name: 'a' }, { isolation: 'open' as const })),
    () => services.tenantDelete(admin, { ...named('a'), query: stale }),
    () => services.hostUpdate(admin, both({ name: 'h1' }, {})),
    () => services.hostDelete(admin, { ...named('h1'), query: stale }),
    () =>
      services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: stale, body: undefined }),
    () => services.topologyApply(admin, { params: {}, query: stale, body: { groups: [] } }),
  ]) {
    await assert.rejects(attempt, refusedWith('revision_conflict'));
  }
  const t2 = await services.tenantUpdate(admin, {
    params: { name: 'a' },
    query: { ifRevision: t.revision },
    body: { isolation: 'open' },
  });
  assert.ok(t2.revision > t.revision);
  const n2 = await services.networkUpdate(admin, {
    params: { name: 'main' },
    query: { ifRevision: n.revision },
    body: { quarantineSeconds: 5 },
  });
  assert.equal(n2.quarantineSeconds, 5);
  const h2 = await services.hostUpdate(admin, {
    params: { name: 'h1' },
    query: { ifRevision: h.revision },
    body: { labels: { a: 'b' } },
  });
  assert.deepEqual(h2.labels, { a: 'b' });
  assert.equal(h2.revision, w.store.position().revision);
});
