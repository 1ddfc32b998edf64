import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

async function fresh(): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main');
  await host(w.services, 'h1', { allocator: 'server', growth: 8 });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

const report = (w: World) => agentReport(w.services, 'h1');
const ids = async (w: World) =>
  (await w.services.hostShow(admin, { params: { name: 'h1' }, query: {}, body: undefined })).ids.map(
    ({ id }) => id,
  );
const remove = (w: World, n: number) => w.services.endpointDelete(admin, byKey(`a/s/e${n}`));
const create = async (w: World, n: number) => (await endpoint(w.services, `a/s/e${n}`)).addresses[0]?.address;

test('an id that growth took goes back after two looks with the quarantine between them; the first one stays', async () => {
  const w = await fresh();
  for (let n = 1; n <= 31; n++) await create(w, n);
  assert.deepEqual(await ids(w), [16, 17, 18]);
  await report(w);
  for (let n = 1; n <= 31; n++) await remove(w, n);
  w.clock.time += 1_000_000;
  await report(w);
  assert.deepEqual(await ids(w), [16, 17, 18], 'the first look alone takes nothing');
  w.clock.time += 29_999;
  await report(w);
  assert.deepEqual(await ids(w), [16, 17, 18]);
  w.clock.time += 1;
  await report(w);
  assert.deepEqual(await ids(w), [16]);
  const { revision } = w.store.position();
  w.clock.time += 1_000_000;
  await report(w);
  assert.deepEqual(await ids(w), [16]);
  assert.equal(w.store.position().revision, revision);
  for (let n = 1; n <= 16; n++) await create(w, n);
  assert.deepEqual(await ids(w), [16, 17], 'and is there again when it is needed');
});

test('what is used between the looks stays, also when it is empty at both; a restart forgets no look', async () => {
  const w = await fresh();
  for (let n = 1; n <= 16; n++) await create(w, n);
  await remove(w, 16);
  await report(w);
  w.clock.time += 20_000;
  assert.equal(await create(w, 17), '10.17.1.18');
  await remove(w, 17);
  w.clock.time += 20_000;
  await report(w);
  assert.deepEqual(await ids(w), [16, 17]);
  const again = w.restart();
  worlds.push(again);
  again.clock.time += 30_000;
  await report(again);
  assert.deepEqual(await ids(again), [16]);
});

test('what an operator gave stays', async () => {
  const w = await fresh();
  await w.services.hostAddId(admin, { params: { name: 'h1' }, query: {}, body: { allocator: 'server' } });
  for (let look = 0; look < 3; look++) {
    await report(w);
    w.clock.time += 60_000;
  }
  assert.deepEqual(await ids(w), [16, 17]);
});
