import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KernelFacts } from './ports.ts';
import { Reconciler, type ReconcilerOptions } from './reconciler.ts';
import type { ViewState } from './view.ts';

/** A loop whose passes go as far as reading facts, slowly; `most` is the highest number of them at one time. */
function loop(): { reconciler: Reconciler; passes: () => number; most: () => number } {
  let passes = 0;
  let running = 0;
  let most = 0;
  const facts: KernelFacts = {
    neighbours: () => Promise.resolve([]),
    read: async () => {
      passes++;
      most = Math.max(most, ++running);
      for (let i = 0; i < 20; i++) await Promise.resolve();
      running--;
      throw new Error('no facts');
    },
  };
  const silent = (): void => undefined;
  const view = { position: { incarnation: 'i', revision: 1 }, objects: {} } as unknown as ViewState;
  const options: Partial<ReconcilerOptions> = {
    host: 'h1',
    resyncMs: 1000,
    kernel: { facts, rules: { invalidate: silent } } as unknown as ReconcilerOptions['kernel'],
    clock: { now: () => 0, monotonic: () => 0 },
    timers: { after: () => silent },
    log: { error: silent, warn: silent, info: silent, debug: silent },
    knowledge: () => ({ view, endpoints: [] }),
    onPass: silent,
  };
  return {
    reconciler: new Reconciler(options as ReconcilerOptions),
    passes: () => passes,
    most: () => most,
  };
}

test('passes never overlap, also when one is wished for in the moment between two', async () => {
  const { reconciler, passes, most } = loop();
  const first = reconciler.reconcile();
  const between = first.then(() => reconciler.reconcile());
  const second = reconciler.reconcile();
  await Promise.all([first, second, between]);
  assert.equal(most(), 1);
  assert.ok(passes() >= 2);
});

test('many wishes during a pass lead to exactly one more', async () => {
  const { reconciler, passes, most } = loop();
  const wishes = Array.from({ length: 10 }, () => reconciler.reconcile());
  await Promise.all(wishes);
  assert.deepEqual([passes(), most()], [2, 1]);
});
