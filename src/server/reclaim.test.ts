/** The loop that gives back leaks, over a real store with manual time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Observed } from '#core/ipam/index.ts';
import { type LivenessSource, ReclaimLoop, recordedEndpoints } from './reclaim.ts';
import { endpoint, host, network, segment, tenant } from './services/fixtures.ts';
import { releaseLeak } from './services/ipam-check.ts';
import { ManualTimers, silentLog, type World, world } from './testing.ts';

const minute = 60_000;

async function cluster(t: { after(fn: () => void): void }): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'v4');
  await host(w.services, 'h1', { allocator: 'server' });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  for (const name of ['x', 'y']) await endpoint(w.services, `a/s/${name}`);
  return w;
}

/** As a crash of older versions left it: the allocation without its endpoint. */
const lose = (w: World, key: string) => w.store.transaction('test', (tx) => tx.delete('endpoint', key));
const owner = (w: World, key: string) => w.store.read((tx) => tx.ipam.byKey(key));

function loop(w: World, sources: readonly LivenessSource[] = [recordedEndpoints(w.store)]) {
  const timers = new ManualTimers();
  const made = new ReclaimLoop({
    store: w.store,
    clock: w.clock,
    timers,
    log: silentLog,
    sources,
    release: (tx, leak) => releaseLeak(tx, leak, w.clock.time),
  });
  return { made, timers };
}

test('I2 a leak is released after two looks a grace apart, and what has an endpoint never', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w);
  await lose(w, 'a/s/x');
  assert.deepEqual(await made.round(), []);
  assert.equal(made.candidates, 1);
  w.clock.time += 4 * minute;
  assert.deepEqual(await made.round(), []);
  w.clock.time += minute;
  assert.deepEqual(await made.round(), ['a/s/x']);
  assert.deepEqual([made.candidates, made.reclaimed], [0, 1]);
  assert.equal(owner(w, 'a/s/x'), undefined);
  assert.notEqual(owner(w, 'a/s/y'), undefined);
  w.clock.time += 60 * minute;
  assert.deepEqual(await made.round(), []);
});

test('I1 a name that is allocated anew between the last look and the release keeps its new address', async (t) => {
  const w = await cluster(t);
  await lose(w, 'a/s/x');
  const records = recordedEndpoints(w.store);
  let onLook: () => Promise<void> = async () => undefined;
  const source: LivenessSource = {
    name: 'slow',
    async observe() {
      const seen = await records.observe();
      await onLook();
      return seen;
    },
  };
  const { made } = loop(w, [source]);
  await made.round();
  w.clock.time += 5 * minute;
  let looks = 0;
  onLook = async () => {
    if (++looks !== 2) return;
    const { uid = '', seq = 0 } = owner(w, 'a/s/x') ?? {};
    await w.store.transaction('test', (tx) => releaseLeak(tx, { key: 'a/s/x', uid, seq }, w.clock.time));
    await endpoint(w.services, 'a/s/x');
  };
  assert.deepEqual(await made.round(), []);
  assert.equal(looks, 2);
  assert.equal(owner(w, 'a/s/x')?.uid, w.store.read((tx) => tx.get('endpoint', 'a/s/x'))?.uid);
});

test('a source that fails, or sees it in the last look, releases nothing', async (t) => {
  const w = await cluster(t);
  await lose(w, 'a/s/x');
  let answer: () => Promise<readonly Observed[]> = async () => [{ host: 'h1', live: [{ key: 'a/s/y' }] }];
  const { made } = loop(w, [{ name: 'kernel', observe: () => answer() }, recordedEndpoints(w.store)]);
  await made.round();
  w.clock.time += 10 * minute;
  const absent = answer;
  answer = () => Promise.reject(new Error('gone'));
  assert.deepEqual(await made.round(), []);
  let looks = 0;
  answer = async () => [{ host: 'h1', live: ++looks === 2 ? [{ key: 'a/s/x' }] : [] }];
  assert.deepEqual(await made.round(), []);
  assert.notEqual(owner(w, 'a/s/x'), undefined);
  answer = absent;
  assert.deepEqual(await made.round(), ['a/s/x']);
});

test('an allocation made while the sources are asked is not judged by what they saw before', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w, [
    {
      name: 'kernel',
      async observe() {
        await endpoint(w.services, 'a/s/new');
        return [{ host: 'h1', live: [{ key: 'a/s/x' }, { key: 'a/s/y' }] }];
      },
    },
  ]);
  await made.round();
  assert.equal(made.candidates, 0);
});

test('an endpoint on record is never released, even when every source says that it is gone', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w, [{ name: 'kernel', observe: async () => [{ host: 'h1', live: [] }] }]);
  await made.round();
  w.clock.time += 10 * minute;
  assert.deepEqual(await made.round(), []);
  assert.equal(made.candidates, 2);
  assert.notEqual(owner(w, 'a/s/x'), undefined);
});

test('rounds follow each other, and stop', async (t) => {
  const w = await cluster(t);
  const { made, timers } = loop(w);
  made.start();
  assert.equal(timers.size, 1);
  made.stop();
  assert.equal(timers.size, 0);
  made.start();
  assert.equal(timers.size, 0);
});
