import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { operations } from '#contract/operations.ts';
import { admin, agentOf, type World, world } from '../testing.ts';
import { bury, host } from './fixtures.ts';
import { generationKind } from './generations.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

async function made(): Promise<World> {
  const w = world();
  worlds.push(w);
  await host(w.services, 'h1');
  await w.join('h1');
  return w;
}

function say(w: World, generation?: { id: string; seq: number; follows?: string | null }) {
  const body = operations.hostReport.body.parse({ applied: null, version: '1', generation });
  return w.services.hostReport(agentOf('h1'), { params: { name: 'h1' }, query: {}, body });
}
const stale = (reason: string) => (error: { code: string; details: { reason: string } }) =>
  error.code === 'generation_stale' && error.details.reason === reason;

test('a generation that another one has followed is refused for good, also after a restart of the server', async () => {
  let w = await made();
  await say(w, { id: 'one', seq: 1 });
  await say(w, { id: 'two', seq: 1, follows: 'one' });
  await say(w, { id: 'three', seq: 1, follows: 'two' });
  for (const id of ['one', 'two']) await assert.rejects(say(w, { id, seq: 9 }), stale('superseded'));
  w = w.restart();
  for (const id of ['one', 'two']) await assert.rejects(say(w, { id, seq: 9 }), stale('superseded'));
  await say(w, { id: 'three', seq: 1 });
});

test('a journal that knows of less than it did is an old copy; the same again, or more, is none', async () => {
  let w = await made();
  await say(w, { id: 'one', seq: 5 });
  await say(w, { id: 'one', seq: 5 });
  await say(w, { id: 'one', seq: 6 });
  await assert.rejects(say(w, { id: 'one', seq: 5 }), stale('behind'));
  w = w.restart();
  await assert.rejects(say(w, { id: 'one', seq: 5 }), stale('behind'));
  // Rebuilt: another history, which may be shorter.
  await say(w, { id: 'two', seq: 0, follows: 'one' });
  await assert.rejects(say(w, { id: 'one', seq: 6 }), stale('superseded'));
});

test('what a refused report says of the host does not count, and it does not move the revision', async () => {
  const w = await made();
  await say(w, { id: 'one', seq: 5 });
  const shown = async () =>
    (await w.services.status(admin, { params: {}, query: {}, body: undefined })).hosts[0]?.seenAt;
  const [before, { revision }] = [await shown(), w.store.position()];
  w.clock.time += 5000;
  await assert.rejects(say(w, { id: 'one', seq: 4 }), stale('behind'));
  assert.equal(await shown(), before);
  assert.equal(w.store.position().revision, revision);
});

test('an agent of an earlier version says nothing of it, and is heard', async () => {
  const w = await made();
  await say(w, { id: 'one', seq: 5 });
  await say(w);
  await assert.rejects(say(w, { id: 'one', seq: 4 }), stale('behind'));
});

test('a host that is made anew under the name is another host, and begins without a generation', async () => {
  const w = await made();
  await say(w, { id: 'one', seq: 5 });
  await bury(w.services, 'h1');
  assert.equal(
    w.store.read((tx) => tx.row(generationKind, 'h1')),
    undefined,
  );
  await host(w.services, 'h1');
  await w.join('h1');
  await say(w, { id: 'one', seq: 0 });
});

test('a report that an agent sent before it died, delivered after its successor made itself known, changes nothing', async () => {
  const w = await made();
  // Both began on an empty disk, and knew of nobody before them.
  await say(w, { id: 'second', seq: 0 });
  await assert.rejects(say(w, { id: 'first', seq: 0 }), stale('unknown'));
  await assert.rejects(say(w, { id: 'first', seq: 0, follows: null }), stale('unknown'));
  await say(w, { id: 'second', seq: 1 });
  // The same, with one that both follow.
  await say(w, { id: 'fourth', seq: 0, follows: 'second' });
  await assert.rejects(say(w, { id: 'third', seq: 0, follows: 'second' }), stale('unknown'));
  await say(w, { id: 'fourth', seq: 1 });
});
