import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Host } from '#contract/model.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, ManualTimers, silentLog, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';
import { createServices } from './index.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const tiny = { cidr: '10.0.0.0/13', layout: { host: 3, tenant: 8, segment: 4, endpoint: 4 } };

async function fresh(more: Parameters<typeof network>[2] = {}): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', more);
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

const show = (w: World, name: string): Promise<Host> =>
  w.services.hostShow(admin, { params: { name }, query: {}, body: undefined });
const addId = (w: World, name: string, body: { id?: number; network?: string; allocator?: 'agent' } = {}) =>
  w.services.hostAddId(admin, { params: { name }, query: {}, body: { allocator: 'agent', ...body } });
const confirm = (w: World, name: string): Promise<Host> =>
  w.services.hostConfirm(admin, { params: { name }, query: {}, body: undefined });
const applied = (w: World, name: string, position = w.store.position()) =>
  agentReport(w.services, name, { applied: position });
const ids = (h: Host, name = 'main') => h.ids.flatMap((one) => (one.network === name ? [one.id] : []));
const ranges = (h: Host, name = 'main') =>
  (h.reservations ?? []).flatMap((one) =>
    one.network === name ? [`${one.cidr}${one.pending === null ? '' : ' pending'}`] : [],
  );

test('G1 without growth a host has one id and nothing more; ids are 1, 2, 3…', async () => {
  const w = await fresh();
  for (const name of ['h1', 'h2', 'h3']) await host(w.services, name);
  assert.deepEqual(ids(await show(w, 'h3')), [3]);
  assert.deepEqual(ranges(await show(w, 'h3')), ['10.3.0.0/16']);
});

test('G2 growth is reserved in every network from the first day, in networks that come later too, rounded up', async () => {
  const w = await fresh();
  const h1 = await host(w.services, 'h1', { growth: 100 });
  await network(w.services, 'six', six);
  assert.deepEqual([ids(h1), ranges(h1)], [[128], ['10.128.0.0/9']]);
  const both = await show(w, 'h1');
  assert.deepEqual([ids(both, 'six'), ranges(both, 'six')], [[128], ['fd10:80::/25']]);
  assert.deepEqual(await host(w.services, 'h1', { growth: 128 }), both, 'the same again is the same');
  await assert.rejects(host(w.services, 'h1', { growth: 64 }), refusedWith('conflict'));
  const gone = { params: { name: 'h1' }, query: {}, body: undefined };
  await w.services.hostDelete(admin, gone);
  assert.deepEqual(ranges(await host(w.services, 'h2', { growth: 128 })), ['10.128.0.0/9']);
});

test('G3 the server grows inside a reservation in the transaction of the endpoint, also with agents that joined', async () => {
  const w = await fresh();
  await host(w.services, 'h1', { growth: 128, allocator: 'server' });
  await host(w.services, 'h2');
  await w.join('h2');
  const before = ranges(await show(w, 'h1'));
  for (let i = 1; i <= 1000; i++) await endpoint(w.services, `a/s/e${i}`);
  const h1 = await show(w, 'h1');
  assert.equal(ids(h1).length, 67);
  assert.deepEqual(ranges(h1), before);
  assert.deepEqual((await w.services.endpointShow(admin, byKey('a/s/e16'))).addresses, [
    { network: 'main', address: '10.129.1.17' },
  ]);
});

test('G4 growth beyond the reservation: no address before every agent that joined has the route', async () => {
  const w = await fresh();
  await network(w.services, 'six', six);
  for (const name of ['h1', 'h2', 'h3', 'h4']) await host(w.services, name);
  for (const name of ['h1', 'h2', 'h3']) await w.join(name);
  await assert.rejects(endpoint(w.services, 'a/s/x'), refusedWith('id_pending'));
  const { revision } = w.store.position();
  await assert.rejects(endpoint(w.services, 'a/s/x'), refusedWith('id_pending'));
  assert.equal(w.store.position().revision, revision, 'asking again reserves nothing more');
  const waiting = await show(w, 'h1');
  assert.deepEqual(
    [ids(waiting), ranges(waiting), ranges(waiting, 'six')],
    [[1], ['10.1.0.0/16', '10.5.0.0/16 pending'], ['fd10:1::/32', 'fd10:5::/32 pending']],
  );
  assert.deepEqual(
    waiting.reservations?.map(({ pending }) => pending?.waitingFor),
    [undefined, ['h2', 'h3'], undefined, ['h2', 'h3']],
    'h4 never joined, and does not count; nor does the host itself',
  );
  const older = { ...w.store.position(), revision: w.store.position().revision - 1 };
  await applied(w, 'h2', older);
  await applied(w, 'h3');
  await applied(w, 'h2', { ...w.store.position(), incarnation: 'another' });
  assert.deepEqual((await show(w, 'h1')).reservations?.[1]?.pending?.waitingFor, ['h2']);
  await applied(w, 'h2');
  const active = await show(w, 'h1');
  assert.deepEqual(
    active.ids.map(({ network: name, id, allocator }) => [name, id, allocator]),
    [
      ['main', 1, 'agent'],
      ['six', 1, 'agent'],
      ['main', 5, 'server'],
      ['six', 5, 'server'],
    ],
  );
  assert.deepEqual(
    (await endpoint(w.services, 'a/s/x')).addresses.map(({ address }) => address),
    ['10.5.1.17', 'fd10:5:1:1::1'],
  );
});

test('G5 what a pending id waits for survives a restart, and a host that goes is not waited for', async () => {
  const w = await fresh();
  for (const name of ['h1', 'h2', 'h3']) await host(w.services, name);
  for (const name of ['h1', 'h2', 'h3']) await w.join(name);
  await addId(w, 'h1');
  const again = w.restart();
  await applied(again, 'h2');
  assert.deepEqual((await show(again, 'h1')).reservations?.[1]?.pending?.waitingFor, ['h3']);
  await again.services.hostDelete(admin, { params: { name: 'h3' }, query: { dead: true }, body: undefined });
  assert.deepEqual(ids(await show(again, 'h1')), [1, 4]);
});

test('G5 a fenced host is not waited for: neither by what is pending, nor by what comes after', async () => {
  const w = await fresh();
  for (const name of ['h1', 'h2']) await host(w.services, name);
  for (const name of ['h1', 'h2']) await w.join(name);
  const fence = (name: string) =>
    w.services.hostDelete(admin, { params: { name }, query: { dead: true }, body: undefined });
  assert.deepEqual(ids(await addId(w, 'h1')), [1], 'pending: h2 lacks the route');
  await fence('h2');
  await addId(w, 'h1');
  assert.deepEqual(ids(await show(w, 'h1')), [1, 3, 4]);
  assert.ok(ranges(await show(w, 'h1')).every((range) => !range.includes('pending')));
  await host(w.services, 'h3');
  await w.join('h3');
  await addId(w, 'h1');
  assert.deepEqual(ids(await show(w, 'h1')), [1, 3, 4, 5], 'inside what is reserved nobody is waited for');
  const pending = (await addId(w, 'h1')).reservations?.find((one) => one.pending !== null)?.pending;
  assert.deepEqual(pending?.waitingFor, ['h3']);
});

test('G6 with hosts in other groups an operator confirms the switches, once, before or after the agents', async () => {
  const w = await fresh();
  const groups = ['r1', 'r2'].map((name) => ({ name }));
  await w.services.topologyApply(admin, { params: {}, query: {}, body: { groups } });
  for (const [name, group] of [
    ['h1', 'r1'],
    ['h2', 'r2'],
    ['h3', 'r1'],
  ] as const) {
    await host(w.services, name, { group });
    await w.join(name);
  }
  await addId(w, 'h1');
  assert.deepEqual((await show(w, 'h1')).reservations?.[1]?.pending?.waitingFor, ['h2', 'h3', 'switches']);
  assert.deepEqual((await confirm(w, 'h1')).reservations?.[1]?.pending?.waitingFor, ['h2', 'h3']);
  await applied(w, 'h2');
  await applied(w, 'h3');
  assert.equal(ids(await show(w, 'h1')).length, 2);
  await addId(w, 'h2');
  await applied(w, 'h1');
  await applied(w, 'h3');
  assert.deepEqual((await show(w, 'h2')).reservations?.[1]?.pending?.waitingFor, ['switches']);
  assert.equal(ids(await confirm(w, 'h2')).length, 2);
  const { revision } = w.store.position();
  await confirm(w, 'h2');
  assert.equal(w.store.position().revision, revision);
});

test('G7 in a full group the unused half of the largest reservation is given away, never an id in use', async () => {
  const w = await fresh(tiny);
  await host(w.services, 'h1', { growth: 4 });
  for (const name of ['h2', 'h3', 'h4']) await host(w.services, name);
  assert.deepEqual(ranges(await show(w, 'h1')), ['10.4.0.0/14']);
  await w.join('h2');
  const late = await host(w.services, 'h5');
  assert.deepEqual([ids(late), ranges(late)], [[], ['10.6.0.0/16 pending']]);
  assert.deepEqual(ranges(await show(w, 'h1')), ['10.4.0.0/15']);
  await applied(w, 'h2');
  assert.deepEqual(ids(await show(w, 'h5')), [6]);
  for (const name of ['h6', 'h7']) await host(w.services, name);
  await applied(w, 'h2');
  assert.deepEqual(await Promise.all(['h1', 'h6', 'h7'].map(async (name) => ids(await show(w, name)))), [
    [4],
    [7],
    [5],
  ]);
  await assert.rejects(host(w.services, 'h8'), refusedWith('ids_exhausted'));
});

test('G8 an exact id brings its reservation; one that another host has reserved is refused', async () => {
  const w = await fresh();
  await host(w.services, 'h1', { growth: 4, id: 6 });
  assert.deepEqual(ranges(await show(w, 'h1')), ['10.4.0.0/14']);
  await assert.rejects(
    host(w.services, 'h2', { id: 5 }),
    (error: Error) => refusedWith('id_taken')(error) && error.message.includes('reserved for host h1'),
  );
  assert.deepEqual(ids(await addId(w, 'h1', { id: 5 })), [6, 5]);
  await assert.rejects(host(w.services, 'h2', { id: 256 }), refusedWith('id_out_of_range'));
  await assert.rejects(show(w, 'h2'), refusedWith('not_found'));
});

test('G9 a topology under which a reservation would leave its group is refused', async () => {
  const w = await fresh();
  const apply = (names: string[]) =>
    w.services.topologyApply(admin, {
      params: {},
      query: {},
      body: { groups: names.map((name) => ({ name })) },
    });
  await apply(['r1']);
  await host(w.services, 'h1', { group: 'r1', growth: 128, id: 130 });
  await assert.rejects(apply(['r1', 'r2']), refusedWith('in_use'));
  await apply(['r1']);
});

test('G10 a request waits for the routes, and no longer than its patience', async () => {
  const w = await fresh();
  const timers = new ManualTimers();
  const services = createServices({ ...w, timers, log: silentLog });
  for (const name of ['h1', 'h2']) await host(services, name);
  for (const name of ['h1', 'h2']) await w.join(name);
  const made = endpoint(services, 'a/s/x');
  while (timers.size === 0) await new Promise((resolve) => setImmediate(resolve));
  await agentReport(services, 'h2', { applied: w.store.position() });
  assert.deepEqual((await made).addresses, [{ network: 'main', address: '10.3.1.17' }]);
  assert.equal(timers.size, 0);
  const refused = assert.rejects(
    endpoint(services, 'a/s/y', { host: 'h2' }),
    (error: Error) => refusedWith('id_pending')(error) && error.message.includes('waiting for h1'),
  );
  while (timers.size === 0) await new Promise((resolve) => setImmediate(resolve));
  timers.advance(60_000);
  await refused;
});
