/** Further ids of tenants and segments, from the operations to addresses, reports and the reuse barrier. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { HostReport } from '#contract/model.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

/** Fifteen addresses in a block, and no more host ids than hosts: 10.h.t.s*16+e. */
async function cluster(more: Parameters<typeof network>[2] = {}): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', more);
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}
const tight = { cidr: '10.0.0.0/15', layout: { host: 1, tenant: 8, segment: 4, endpoint: 4 } };
type Body = { network?: string; id?: number };
const tenantAddId = (w: World, name: string, body: Body = {}) =>
  w.services.tenantAddId(admin, { params: { name }, query: {}, body });
const segmentAddId = (w: World, key: string, body: Body = {}) => {
  const [tenantName = '', name = ''] = key.split('/');
  return w.services.segmentAddId(admin, { params: { tenant: tenantName, name }, query: {}, body });
};
const idsOf = ({ ids }: { ids: readonly { network: string; id: number }[] }) =>
  ids.map(({ network: where, id }) => `${where}:${id}`);
async function fill(w: World, key: string, count: number): Promise<string[]> {
  const made: string[] = [];
  for (let n = 1; n <= count; n++)
    made.push((await endpoint(w.services, `${key}/e${n}`)).addresses[0]!.address);
  return made;
}
const report = (w: World, name: string, more: Partial<HostReport> = {}) =>
  agentReport(w.services, name, { applied: w.store.position(), acknowledged: w.store.position(), ...more });
const retiring = async (w: World) =>
  (await w.services.status(admin, { params: {}, query: {}, body: undefined })).retiring;

test('an id is added in every network open to the tenant or in one, the same number where possible; a held one is not added again', async () => {
  const w = await cluster();
  await network(w.services, 'six', six);
  await network(w.services, 'closed', {
    cidr: '172.16.0.0/12',
    layout: { host: 4, tenant: 6, segment: 5, endpoint: 5 },
    tenants: ['b'],
  });
  await tenant(w.services, 'b');
  assert.deepEqual(idsOf(await tenantAddId(w, 'a')), ['main:1', 'six:1', 'main:3', 'six:3']);
  assert.deepEqual(idsOf(await tenantAddId(w, 'a', { network: 'six', id: 40 })).slice(4), ['six:40']);
  assert.equal((await tenantAddId(w, 'a', { network: 'six', id: 40 })).ids.length, 5);
  assert.deepEqual(idsOf(await segmentAddId(w, 'a/s')), ['main:1', 'six:1', 'main:2', 'six:2']);
  await assert.rejects(tenantAddId(w, 'a', { network: 'closed' }), refusedWith('network_closed'));
  await assert.rejects(segmentAddId(w, 'a/s', { network: 'closed' }), refusedWith('network_closed'));
  await assert.rejects(tenantAddId(w, 'a', { network: 'nowhere' }), refusedWith('not_found'));
  await network(w.services, 'flat', { cidr: '192.168.0.0/16', layout: null });
  for (const add of [tenantAddId(w, 'a', { network: 'flat' }), segmentAddId(w, 'a/s', { network: 'flat' })])
    await assert.rejects(add, refusedWith('network_flat'));
  await assert.rejects(tenantAddId(w, 'nobody'), refusedWith('not_found'));
  await assert.rejects(segmentAddId(w, 'a/none'), refusedWith('not_found'));
  await assert.rejects(tenantAddId(w, 'a', { id: 2 }), refusedWith('id_taken'));
  await assert.rejects(segmentAddId(w, 'a/s', { id: 99 }), refusedWith('id_out_of_range'));
  assert.equal((await tenant(w.services, 'a')).ids.length, 5, 'creating again is the same tenant');
  assert.deepEqual(idsOf(await tenant(w.services, 'a', { id: 1 })).length, 5);
  await assert.rejects(tenant(w.services, 'a', { id: 3 }), refusedWith('conflict'));
});

test('in all networks or in none: one without a free id leaves the others as they are', async () => {
  const w = await cluster({ layout: { host: 8, tenant: 8, segment: 1, endpoint: 7 } });
  await network(w.services, 'six', six);
  await assert.rejects(segmentAddId(w, 'a/s'), refusedWith('ids_exhausted'));
  assert.equal((await segment(w.services, 'a', 's')).ids.length, 2);
  assert.deepEqual(idsOf(await segmentAddId(w, 'a/s', { network: 'six' })), ['main:1', 'six:1', 'six:2']);
});

test('when no host id can be granted the blocks of further ids are used; explain, show and check know them', async () => {
  const w = await cluster(tight);
  await host(w.services, 'h1', { allocator: 'server' });
  await fill(w, 'a/s', 15);
  await assert.rejects(endpoint(w.services, 'a/s/more'), refusedWith('block_full'));
  await segmentAddId(w, 'a/s');
  await tenantAddId(w, 'a');
  const made = (await fill(w, 'a/s', 60)).slice(15);
  assert.deepEqual(
    [...new Set(made.map((text) => text.replace(/\d+$/, (last) => `${Number(last) >> 4}`)))],
    ['10.1.1.2', '10.1.2.1', '10.1.2.2'],
  );
  await assert.rejects(endpoint(w.services, 'a/s/more'), refusedWith('block_full'));
  for (const address of [made[0]!, made.at(-1)!]) {
    const told = await w.services.addressExplain(admin, { params: { address }, query: {}, body: undefined });
    assert.deepEqual([told.tenant, told.segment, told.state], ['a', 's', 'used']);
  }
  const query = { tree: 'false', tenants: 'true', blocks: 'true' } as const;
  const { rows } = await w.services.ipamShow(admin, { params: {}, query, body: undefined });
  const mine = rows.filter(({ tenant: whose }) => whose === 'a');
  assert.deepEqual(
    mine.map(({ level, segment: of, used }) => [level, of, used]),
    [['tenant', null, '60'], ...Array.from({ length: 4 }, () => ['block', 's', '15'])],
  );
  assert.equal(mine[0]!.size, '512');
  const { findings } = await w.services.ipamCheck(admin, { params: {}, query: {}, body: undefined });
  assert.deepEqual(findings, []);
});

test('a host id inside the reservation comes before further ids, a further reservation after them', async () => {
  const w = await cluster();
  await host(w.services, 'h1', { allocator: 'server', growth: 2 });
  await host(w.services, 'h9');
  await w.join('h9');
  await segmentAddId(w, 'a/s');
  const made = await fill(w, 'a/s', 60);
  const blocks = made.map((text) => text.replace(/\d+$/, (last) => `${Number(last) >> 4}`));
  assert.deepEqual([...new Set(blocks)], ['10.4.1.1', '10.5.1.1', '10.4.1.2', '10.5.1.2']);
  await assert.rejects(endpoint(w.services, 'a/s/more'), refusedWith('id_pending'));
});

test('names keep their addresses in blocks of further ids, and a fixed address may be there', async () => {
  const w = await cluster(tight);
  await host(w.services, 'h1', { allocator: 'server' });
  await segmentAddId(w, 'a/s');
  const [address] = (await endpoint(w.services, 'a/s/x', { addresses: ['10.1.1.37'] })).addresses;
  assert.equal(address?.address, '10.1.1.37');
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  assert.equal((await endpoint(w.services, 'a/s/x')).addresses[0]!.address, '10.1.1.37');
});

test('an agent may register addresses of every pair, and of no other', async () => {
  const w = await cluster();
  await host(w.services, 'h1');
  await w.join('h1');
  await segmentAddId(w, 'a/s');
  await tenantAddId(w, 'a');
  const registered = ['10.1.1.17', '10.1.1.33', '10.1.2.17', '10.1.2.33', '10.1.1.49', '10.1.3.17'].map(
    (address, n) => ({
      tenant: 'a',
      segment: 's',
      name: `e${n}`,
      uid: `u${n}`,
      addresses: [{ network: 'main', address }],
      attachment: { kind: 'none' as const },
      sourcePrefixes: [],
    }),
  );
  const { rejected } = await report(w, 'h1', { registered });
  assert.deepEqual(
    rejected.map(({ name, error }) => [name, error.code]),
    [
      ['e4', 'address_mismatch'],
      ['e5', 'address_mismatch'],
    ],
  );
  const { findings } = await w.services.ipamCheck(admin, { params: {}, query: {}, body: undefined });
  assert.deepEqual(findings, []);
});

test('a deleted segment keeps each of its ids while a host holds one under any id of the tenant', async () => {
  const w = await cluster();
  await host(w.services, 'h1');
  await w.join('h1');
  await tenantAddId(w, 'a');
  await segmentAddId(w, 'a/s');
  await w.services.segmentDelete(admin, {
    params: { tenant: 'a', name: 's' },
    query: {},
    body: undefined,
  });
  await report(w, 'h1', { orphans: [{ network: 'main', tenant: 2, segment: 2 }] });
  w.clock.time += 60_000;
  assert.deepEqual(
    (await retiring(w)).map(({ id, resting, heldBy }) => [id, resting, heldBy]),
    [
      [2, false, ['h1']],
      [1, true, []],
    ],
  );
  assert.deepEqual(idsOf(await segment(w.services, 'a', 'new')), ['main:1']);
  await assert.rejects(segmentAddId(w, 'a/new', { id: 2 }), refusedWith('id_retiring'));
  await report(w, 'h1');
  w.clock.time += 30_000;
  assert.deepEqual(idsOf(await segmentAddId(w, 'a/new', { id: 2 })), ['main:1', 'main:2']);
});

test('a deleted tenant lets each of its ids go by itself', async () => {
  const w = await cluster();
  await host(w.services, 'h1');
  await w.join('h1');
  await tenantAddId(w, 'a');
  await w.services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined });
  await w.services.tenantDelete(admin, { params: { name: 'a' }, query: {}, body: undefined });
  await report(w, 'h1', { orphans: [{ network: 'main', tenant: 2, segment: 1 }] });
  w.clock.time += 60_000;
  assert.deepEqual(idsOf(await tenant(w.services, 'b')), ['main:1']);
  assert.deepEqual(idsOf(await tenantAddId(w, 'b')), ['main:1', 'main:3']);
});

test('who waits for a first id comes before who wants a further one, and an added id is a promotion too', async () => {
  const w = await cluster({ layout: { host: 8, tenant: 2, segment: 7, endpoint: 7 } });
  for (const name of ['b', 'c', 'd']) await tenant(w.services, name);
  assert.deepEqual(idsOf(await tenant(w.services, 'd')), []);
  await assert.rejects(tenantAddId(w, 'a'), refusedWith('ids_exhausted'));
  await w.services.tenantDelete(admin, { params: { name: 'b' }, query: {}, body: undefined });
  assert.deepEqual(idsOf(await tenant(w.services, 'd')), ['main:2']);
  await assert.rejects(tenantAddId(w, 'a'), refusedWith('ids_exhausted'));
  await w.services.tenantDelete(admin, { params: { name: 'c' }, query: {}, body: undefined });
  assert.deepEqual(idsOf(await tenantAddId(w, 'd')), ['main:2', 'main:3']);
});
