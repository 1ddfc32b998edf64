import assert from 'node:assert/strict';
import { test } from 'node:test';
import { world } from '../testing.ts';
import { host, network, segment, tenant } from './fixtures.ts';
import { hasMoved } from './moved.ts';

test('only changes of the kinds asked for count; too many to look at, or dropped ones, count as one', async (t) => {
  const w = world();
  t.after(() => w.dispose());
  const hosts = new Set(['host'] as const);
  await network(w.services, 'main');
  const { revision } = w.store.position();
  assert.equal(hasMoved(w.store, revision, hosts), false);
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  assert.equal(hasMoved(w.store, revision, hosts), false);
  assert.equal(hasMoved(w.store, revision, new Set(['segment'])), true);
  await host(w.services, 'h1');
  assert.equal(hasMoved(w.store, revision, hosts), true);
  const later = w.store.position().revision;
  const one = w.store.read((tx) => tx.get('tenant', 'a')) ?? assert.fail();
  await w.store.transaction('test', (tx) => {
    for (let i = 0; i < 1000; i++) tx.put('tenant', `t${i}`, { ...one, name: `t${i}` });
  });
  assert.equal(hasMoved(w.store, later, hosts), true, 'more than are looked at');
  assert.equal(hasMoved(w.store, w.store.position().revision, hosts), false);
});
