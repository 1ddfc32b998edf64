/** Draining, fencing, and what must not happen meanwhile. With agents: test/ownership. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { HostReport } from '#contract/model.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const end = (w: World, name: string, query: { drain?: boolean; dead?: boolean } = {}) =>
  w.services.hostDelete(admin, { ...named(name), query });
const confirmOff = (w: World, name: string, confirm = true) =>
  w.services.hostFence(admin, { ...named(name), body: { confirmOff: confirm } });
const stateOf = async (w: World, name: string) => (await w.services.hostShow(admin, named(name))).state;
const refusesAnything = refusedWith('host_leaving');

async function cluster(): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main');
  for (const name of ['h1', 'h2']) {
    await host(w.services, name, { allocator: name === 'h1' ? 'agent' : 'server' });
    await w.join(name);
  }
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

function report(w: World, name: string, more: Partial<HostReport> = {}) {
  return agentReport(w.services, name, { acknowledged: w.store.position(), ...more });
}

const found = (uid: string, address: string) => ({
  tenant: 'a',
  segment: 's',
  name: 'found',
  uid,
  addresses: [{ network: 'main', address }],
  attachment: { kind: 'none' as const },
  sourcePrefixes: [],
});

test('D1 without an agent a host is gone at once; its endpoints stop that, and draining waits for the last', async () => {
  const w = await cluster();
  await host(w.services, 'h3', { allocator: 'server' });
  await endpoint(w.services, 'a/s/x', { host: 'h3' });
  await assert.rejects(end(w, 'h3'), refusedWith('in_use'));
  assert.deepEqual(await end(w, 'h3', { drain: true }), { name: 'h3', state: 'draining', endpoints: 1 });
  await assert.rejects(endpoint(w.services, 'a/s/y', { host: 'h3' }), refusesAnything);
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  await assert.rejects(w.services.hostShow(admin, named('h3')), refusedWith('not_found'));
  await host(w.services, 'h4');
  assert.deepEqual(await end(w, 'h4'), { name: 'h4', state: 'gone', endpoints: 0 });
});

test('D2 a host with an agent is gone when the agent has acknowledged that it holds nothing, not sooner', async () => {
  const w = await cluster();
  const before = w.store.position();
  assert.equal((await end(w, 'h1')).state, 'draining');
  assert.equal((await end(w, 'h1', { drain: true })).state, 'draining');
  for (const more of [{ acknowledged: before }, { acknowledged: null }, { holds: 1 }]) {
    await report(w, 'h1', more);
    assert.equal(await stateOf(w, 'h1'), 'draining');
  }
  // It had made one while it was cut off.
  const made = await report(w, 'h1', { registered: [found('u1', '10.1.1.17')], holds: 1 });
  assert.deepEqual(made.rejected, []);
  await report(w, 'h1');
  assert.equal(await stateOf(w, 'h1'), 'draining', 'the endpoint is recorded');
  const gone = [{ tenant: 'a', segment: 's', name: 'found', uid: 'u1' }];
  await report(w, 'h1', { gone });
  await assert.rejects(w.services.hostShow(admin, named('h1')), refusedWith('not_found'));
  assert.equal((await host(w.services, 'h9')).ids[0]?.id, 1);
});

test('D3 nothing new comes to a host that leaves, and its name is taken until it is gone', async () => {
  const w = await cluster();
  for (const wish of [{ drain: true }, { dead: true }]) {
    await end(w, 'h1', wish);
    await assert.rejects(endpoint(w.services, 'a/s/x'), refusesAnything);
    await assert.rejects(
      w.services.hostAddId(admin, { ...named('h1'), body: { allocator: 'server' } }),
      refusesAnything,
    );
    await assert.rejects(host(w.services, 'h1'), refusesAnything);
  }
  await assert.rejects(end(w, 'h1', { drain: true, dead: true }), refusedWith('input_invalid'));
});

test("F1 a dead host: its endpoints are forgotten, ids and own address are nobody's until it is confirmed off", async () => {
  const w = await cluster();
  const other = { ...found('u2', '10.1.1.18'), name: 'x' };
  await report(w, 'h1', { registered: [found('u1', '10.1.1.17'), other] });
  assert.deepEqual(await end(w, 'h1', { dead: true }), { name: 'h1', state: 'fenced', endpoints: 2 });
  assert.equal((await end(w, 'h1', { dead: true })).state, 'fenced');
  await assert.rejects(end(w, 'h1'), refusesAnything);
  assert.equal(
    (await w.services.endpointList(admin, { params: {}, query: {}, body: undefined })).items.length,
    0,
  );
  // The names are free for other hosts.
  assert.equal((await endpoint(w.services, 'a/s/x', { host: 'h2' })).host, 'h2');
  await assert.rejects(host(w.services, 'h3', { id: 1 }), refusedWith('id_taken'));
  await assert.rejects(host(w.services, 'h3', { addresses: ['192.0.2.1'] }), refusedWith('already_exists'));
  await assert.rejects(confirmOff(w, 'h1', false), refusedWith('input_invalid'));
  await assert.rejects(confirmOff(w, 'h2'), refusedWith('input_invalid'));
  assert.equal((await confirmOff(w, 'h1')).state, 'gone');
  assert.equal((await host(w.services, 'h1')).ids[0]?.id, 1);
});

test('F2 what a fenced host still says is refused; it is gone when it says that it holds nothing', async () => {
  const w = await cluster();
  await end(w, 'h1', { dead: true });
  const { rejected } = await report(w, 'h1', { registered: [found('u1', '10.1.1.17')], holds: 1 });
  assert.equal(rejected[0]?.error.code, 'host_leaving');
  assert.equal(await stateOf(w, 'h1'), 'fenced');
  await report(w, 'h1');
  await assert.rejects(w.services.hostShow(admin, named('h1')), refusedWith('not_found'));
});

test('F3 ids of deleted tenants do not wait for a fenced host', async () => {
  const w = await cluster();
  await tenant(w.services, 'b');
  await w.services.tenantDelete(admin, named('b'));
  await report(w, 'h2');
  const retiring = async () =>
    (await w.services.status(admin, { params: {}, query: {}, body: undefined })).retiring;
  assert.deepEqual((await retiring())[0]?.waitingFor, ['h1']);
  await end(w, 'h1', { dead: true });
  assert.equal((await retiring())[0]?.resting, true);
});

test('F4 the state survives a restart, and a report from before the fencing is no acknowledgement', async () => {
  const w = await cluster();
  const before = w.store.position();
  await end(w, 'h1', { dead: true });
  const again = w.restart();
  await report(again, 'h1', { acknowledged: before });
  assert.equal(await stateOf(again, 'h1'), 'fenced');
});
