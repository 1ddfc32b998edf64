/** Home and location: what is said of another stay, late or from another host, frees nothing, and ids stay held for what is elsewhere. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import type { Endpoint, HostReport } from '#contract/model.ts';
import { isRomanaError } from '#core/errors.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';
import { awayFrom, relocate } from './locations.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const end = (w: World, name: string, query: { drain?: boolean; dead?: boolean } = {}) =>
  w.services.hostDelete(admin, { ...named(name), query });
const confirmOff = (w: World, name: string) =>
  w.services.hostFence(admin, { ...named(name), body: { confirmOff: true } });
const show = (w: World, key: string): Promise<Endpoint> => w.services.endpointShow(admin, byKey(key));
const explain = (w: World, address: string) =>
  w.services.addressExplain(admin, { params: { address }, query: {}, body: undefined });
const remove = (w: World, key: string) => w.services.endpointDelete(admin, byKey(key));
const addressOf = ({ addresses }: Endpoint): string => addresses[0]!.address;

/** h1 gives out its addresses by itself; for h2 and h3 the server does. */
async function cluster({ joined = true, more = {} } = {}): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', { quarantineSeconds: 0, ...more });
  for (const name of ['h1', 'h2', 'h3']) {
    await host(w.services, name, { allocator: name === 'h1' ? 'agent' : 'server' });
    if (joined) await w.join(name);
  }
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

async function move(w: World, key: string, to: string): Promise<Endpoint> {
  const { uid, locationSeq = 0 } = await show(w, key);
  return w.store.transaction('test', (tx) => relocate(tx, key, { uid, locationSeq }, to));
}

function report(w: World, name: string, more: Partial<HostReport> = {}) {
  return agentReport(w.services, name, { acknowledged: w.store.position(), ...more });
}

const refOf = ({ tenant: t, segment: s, name, uid }: Endpoint, locationSeq?: number) => ({
  tenant: t,
  segment: s,
  name,
  uid,
  ...(locationSeq === undefined ? {} : { locationSeq }),
});
const registered = (name: string, uid: string, address: string) => ({
  tenant: 'a',
  segment: 's',
  name,
  uid,
  addresses: [{ network: 'main', address }],
  attachment: { kind: 'none' as const },
  sourcePrefixes: [],
});

for (const [family, more] of [
  [4, {}],
  [6, six],
] as const) {
  test(`L1 an endpoint is at home until it is moved; then lists, counts and explanations go by location, IPv${family}`, async () => {
    const w = await cluster({ more });
    const made = await endpoint(w.services, 'a/s/x', { host: 'h2' });
    assert.deepEqual([made.host, made.location, made.locationSeq], ['h2', 'h2', 0]);
    await move(w, 'a/s/x', 'h3');
    const moved = await show(w, 'a/s/x');
    assert.deepEqual([moved.host, moved.location, moved.locationSeq], ['h2', 'h3', 1]);
    assert.deepEqual(moved.addresses, made.addresses);
    const on = async (name: string) =>
      (await w.services.endpointList(admin, { params: {}, query: { host: name }, body: undefined })).items;
    assert.deepEqual(await on('h2'), []);
    assert.deepEqual(await on('h3'), [moved]);
    const told = await explain(w, addressOf(made));
    assert.deepEqual([told.host, told.location, told.locationSeq, told.state], ['h2', 'h3', 1, 'used']);
    const again = w.restart();
    worlds.push(again);
    assert.deepEqual(await show(again, 'a/s/x'), moved);
  });
}

test('L2 the host that it left hears that it is gone, the other one hears of it; asking again is the same endpoint', async () => {
  const w = await cluster();
  await endpoint(w.services, 'a/s/x', { host: 'h2' });
  const { revision } = w.store.position();
  await move(w, 'a/s/x', 'h3');
  const changes = w.store.changesSince(revision, 10);
  assert.ok(changes !== 'compacted');
  assert.deepEqual(
    changes.map(({ kind, key, host: of, value }) => [kind, key, of, value === null]),
    [
      ['endpoint', 'a/s/x', 'h2', true],
      ['endpoint', 'a/s/x', 'h3', false],
    ],
  );
  const again = await endpoint(w.services, 'a/s/x', { host: 'h2' });
  assert.equal(again.location, 'h3');
  const there = w.store.position();
  await move(w, 'a/s/x', 'h3');
  assert.deepEqual(w.store.position(), there, 'it is there already');
});

test('L3 a move from another stay, of another incarnation, of one being removed, or to a host that leaves is refused', async () => {
  const w = await cluster();
  const { uid } = await endpoint(w.services, 'a/s/x', { host: 'h2' });
  const to = (stay: { uid: string; locationSeq: number }, name: string) =>
    w.store.transaction('test', (tx) => relocate(tx, 'a/s/x', stay, name));
  await to({ uid, locationSeq: 0 }, 'h3');
  await assert.rejects(to({ uid, locationSeq: 0 }, 'h1'), refusedWith('conflict'));
  await assert.rejects(to({ uid: 'other', locationSeq: 1 }, 'h1'), refusedWith('conflict'));
  await assert.rejects(to({ uid, locationSeq: 1 }, 'h9'), refusedWith('not_found'));
  await end(w, 'h1', { dead: true });
  await assert.rejects(to({ uid, locationSeq: 1 }, 'h1'), refusedWith('host_leaving'));
  await remove(w, 'a/s/x');
  await assert.rejects(to({ uid, locationSeq: 1 }, 'h2'), refusedWith('endpoint_removing'));
});

test('L4 only the host where it is ends it, and only of this stay', async () => {
  const w = await cluster();
  const made = await endpoint(w.services, 'a/s/x', { host: 'h2' });
  await move(w, 'a/s/x', 'h3');
  await move(w, 'a/s/x', 'h2');
  await remove(w, 'a/s/x');
  for (const [name, seq] of [
    ['h2', undefined],
    ['h2', 0],
    ['h2', 1],
    ['h2', 3],
    ['h3', 1],
    ['h3', 2],
  ] as const) {
    await report(w, name, { gone: [refOf(made, seq)], phases: [] });
    assert.equal((await show(w, 'a/s/x')).phase, 'removing', `${name} ${seq}`);
  }
  await report(w, 'h2', { gone: [refOf(made, 2)] });
  await assert.rejects(show(w, 'a/s/x'), refusedWith('not_found'));
  assert.equal((await explain(w, addressOf(made))).state, 'free');
});

test('L5 the agent that gave the address out cannot take it back or replace it while it is elsewhere', async () => {
  const w = await cluster();
  await report(w, 'h1', { registered: [registered('x', 'u1', '10.1.1.17')] });
  await move(w, 'a/s/x', 'h2');
  const said = async (item: ReturnType<typeof registered>) =>
    (await report(w, 'h1', { registered: [item] })).rejected[0]?.error.code;
  assert.equal(await said(registered('x', 'u1', '10.1.1.17')), 'already_exists');
  assert.equal(await said(registered('x', 'u2', '10.1.1.18')), 'already_exists');
  assert.equal(await said(registered('y', 'u3', '10.1.1.17')), 'address_taken');
  await move(w, 'a/s/x', 'h1');
  assert.equal(await said(registered('x', 'u1', '10.1.1.17')), undefined);
  assert.equal(await said(registered('x', 'u2', '10.1.1.18')), 'already_exists', 'of the first stay, late');
  const { uid } = await show(w, 'a/s/x');
  assert.equal(uid, 'u1');
});

test('L6 a host whose ids are elsewhere is not gone: not deleted, drained or confirmed off', async () => {
  const w = await cluster();
  const made = await endpoint(w.services, 'a/s/x', { host: 'h2' });
  await move(w, 'a/s/x', 'h3');
  await assert.rejects(end(w, 'h2'), refusedWith('in_use'));
  assert.equal((await end(w, 'h2', { drain: true })).endpoints, 1);
  await report(w, 'h2');
  assert.equal((await w.services.hostShow(admin, named('h2'))).state, 'draining');
  assert.equal((await end(w, 'h2', { dead: true })).state, 'fenced');
  assert.equal((await show(w, 'a/s/x')).location, 'h3', 'it runs on a host that lives');
  await report(w, 'h2');
  await assert.rejects(confirmOff(w, 'h2'), refusedWith('in_use'));
  await remove(w, 'a/s/x');
  await report(w, 'h3', { gone: [refOf(made, 1)] });
  assert.equal((await confirmOff(w, 'h2')).state, 'gone');
});

test('L7 a drained host is gone with the report that ends its last endpoint elsewhere, also without an agent', async () => {
  const w = await cluster({ joined: false });
  const made = await endpoint(w.services, 'a/s/x', { host: 'h2' });
  await w.join('h3');
  await move(w, 'a/s/x', 'h3');
  await end(w, 'h2', { drain: true });
  await remove(w, 'a/s/x');
  await report(w, 'h3', { gone: [refOf(made, 1)] });
  await assert.rejects(w.services.hostShow(admin, named('h2')), refusedWith('not_found'));
});

test('L8 the location holds what is there: it is not deleted, and dead it keeps addresses of others until it is gone', async () => {
  for (const returns of [true, false]) {
    const w = await cluster();
    const made = await endpoint(w.services, 'a/s/x', { host: 'h2' });
    await move(w, 'a/s/x', 'h3');
    await assert.rejects(end(w, 'h3'), refusedWith('in_use'));
    await end(w, 'h3', { dead: true });
    assert.equal((await show(w, 'a/s/x')).phase, 'removing');
    assert.equal((await explain(w, addressOf(made))).state, 'used', 'the machine may still answer to it');
    await report(w, 'h3', { holds: 1 });
    assert.equal((await show(w, 'a/s/x')).phase, 'removing');
    if (returns) await report(w, 'h3');
    else await confirmOff(w, 'h3');
    await assert.rejects(show(w, 'a/s/x'), refusedWith('not_found'));
    assert.equal((await explain(w, addressOf(made))).state, 'free');
    assert.equal((await end(w, 'h2')).endpoints, 0);
  }
});

test('L9 shared addresses are told to the hosts that need them, by location', async () => {
  const layout = { host: 8, tenant: 1, segment: 4, endpoint: 11 };
  const w = await cluster({ more: { layout } });
  await tenant(w.services, 'b');
  await segment(w.services, 'b', 's');
  const b1 = addressOf(await endpoint(w.services, 'b/s/x', { host: 'h2' }));
  const b2 = addressOf(await endpoint(w.services, 'b/s/y', { host: 'h2' }));
  const told = (name: string) =>
    w.store
      .read((tx) => tx.list('sharedpeer', { host: name }))
      .flatMap(({ value }) => value.addresses.map(({ address }) => address))
      .sort();
  assert.deepEqual([told('h2'), told('h3')], [[], []]);
  await move(w, 'b/s/x', 'h3');
  assert.deepEqual([told('h2'), told('h3')], [[b1], [b2]]);
  await move(w, 'b/s/y', 'h3');
  assert.deepEqual([told('h2'), told('h3')], [[], []]);
});

test('L10 late, repeated and reordered messages of any host never free or double an address', async () => {
  const hosts = ['h1', 'h2', 'h3'];
  const command = fc.record({
    kind: fc.constantFrom('make', 'move', 'move', 'remove', 'end', 'late', 'late', 'register'),
    name: fc.constantFrom('x', 'y'),
    host: fc.constantFrom(...hosts),
    pick: fc.nat(30),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(command, { maxLength: 30 }), async (commands) => {
      const w = await cluster();
      /** What hosts have said or were about to say, of every stay so far. */
      const messages: { host: string; body: Partial<HostReport> }[] = [];
      let made = 0;
      const tolerant = async (work: Promise<unknown>) =>
        work.catch((error: unknown) => assert.ok(isRomanaError(error), String(error)));
      const now = (key: string) => w.store.read((tx) => tx.get('endpoint', key));
      for (const { kind, name, host: at, pick } of commands) {
        const key = `a/s/${name}`;
        const before = now(key);
        if (kind === 'make') await tolerant(endpoint(w.services, key, { host: at }));
        if (kind === 'remove') await tolerant(remove(w, key));
        if (kind === 'move') await tolerant(move(w, key, at));
        if (kind === 'register') {
          const item = registered(name, `r${++made}`, `10.1.1.${17 + (pick % 3)}`);
          messages.push({ host: 'h1', body: { registered: [item] } });
          await report(w, 'h1', { registered: [item] });
        }
        if (kind === 'end' && before !== undefined) {
          const { location = before.host, locationSeq } = before;
          await report(w, location, { gone: [refOf(before, locationSeq)] });
          const stays = before.allocator === 'server' && before.phase !== 'removing';
          assert.equal(now(key) !== undefined, stays, 'its own host ends it');
        }
        const message = messages[pick % Math.max(1, messages.length)];
        if (kind === 'late' && message !== undefined) {
          const held = w.store.read((tx) => tx.list('endpoint')).map(({ value }) => value);
          await report(w, message.host, message.body);
          for (const old of held) {
            const current = message.body.gone?.some(
              (ref) =>
                ref.uid === old.uid &&
                message.host === (old.location ?? old.host) &&
                (ref.locationSeq ?? 0) === (old.locationSeq ?? 0),
            );
            const away = (old.locationSeq ?? 0) > 0;
            const replaced = !away && old.allocator === 'agent' && message.body.registered !== undefined;
            if (current !== true && !replaced)
              assert.equal(now(`a/s/${old.name}`)?.uid, old.uid, 'late: frees nothing');
          }
        }
        const after = now(key);
        if (after !== undefined)
          for (const sender of hosts)
            messages.push({ host: sender, body: { gone: [refOf(after, after.locationSeq)] } });
        w.store.read((tx) => {
          const all = tx.list('endpoint');
          const addresses = all.flatMap(({ value }) => value.addresses.map(({ address }) => address));
          assert.equal(new Set(addresses).size, addresses.length, 'one address, one endpoint');
          assert.deepEqual(
            tx
              .heldAllocations()
              .map(({ key: of, uid, host: where }) => `${of} ${uid} ${where}`)
              .sort(),
            all.map(({ key: of, value }) => `${of} ${value.uid} ${value.location ?? value.host}`).sort(),
          );
          for (const home of hosts) {
            const away = all.filter(({ value }) => value.host === home && (value.location ?? home) !== home);
            assert.deepEqual(
              awayFrom(tx, home),
              away.map(({ key: of }) => of),
            );
          }
        });
      }
      w.dispose();
    }),
    { numRuns: 40 },
  );
});
