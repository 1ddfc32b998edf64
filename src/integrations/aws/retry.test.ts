import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CloudFailure, type FailureKind } from './api.ts';
import { CallCounts, patience, type RetryWorld, retried } from './retry.ts';

function setting(more: Partial<RetryWorld> = {}): RetryWorld & { waits: number[] } {
  const waits: number[] = [];
  return {
    waits,
    timers: {
      after: (ms, fn) => {
        waits.push(ms);
        queueMicrotask(fn);
        return () => undefined;
      },
    },
    random: { fraction: () => 1 },
    patience,
    counts: new CallCounts(),
    stopped: () => false,
    ...more,
  };
}

function failing(kinds: readonly FailureKind[]): () => Promise<string> {
  const left = [...kinds];
  return async () => {
    const kind = left.shift();
    if (kind !== undefined) throw new CloudFailure(kind, 'CreateRoute', kind, kind);
    return 'done';
  };
}

function told({ counts: { calls, throttled, failed } }: RetryWorld): object {
  return { calls, throttled, failed };
}

test('throttled or unreachable: waited for, longer each time, up to a limit', async () => {
  const world = setting();
  assert.equal(
    await retried(world, failing(['throttled', 'unreachable', 'throttled', 'throttled', 'unreachable'])),
    'done',
  );
  assert.deepEqual(world.waits, [200, 400, 800, 1600, 3200]);
  assert.deepEqual(told(world), { calls: 6, throttled: 3, failed: 0 });
  const patient = setting({ patience: { attempts: 9, firstMs: 200, longestMs: 1_000 } });
  await retried(patient, failing(Array.from({ length: 8 }, () => 'throttled' as const)));
  assert.equal(Math.max(...patient.waits), 1_000);
});

test('the waits are spread over all of their length', async () => {
  const world = setting({ random: { fraction: () => 0 } });
  await retried(world, failing(['throttled', 'throttled']));
  assert.deepEqual(world.waits, [0, 0]);
});

test('after the last attempt the failure is thrown', async () => {
  const world = setting({ patience: { attempts: 3, firstMs: 1, longestMs: 1 } });
  await assert.rejects(retried(world, failing(['throttled', 'throttled', 'throttled'])), {
    kind: 'throttled',
  });
  assert.deepEqual(told(world), { calls: 3, throttled: 3, failed: 1 });
});

test('what another attempt does not change is thrown at once; a route that is there or not is no failure of the provider', async () => {
  for (const [kind, failed] of [
    ['denied', 1],
    ['full', 1],
    ['gone', 1],
    ['credentials', 1],
    ['refused', 1],
    ['exists', 0],
    ['missing', 0],
  ] as const) {
    const world = setting();
    await assert.rejects(retried(world, failing([kind])), { kind });
    assert.deepEqual([world.waits, world.counts.failed], [[], failed], kind);
  }
});

test('errors that are none of the provider are thrown at once', async () => {
  const world = setting();
  await assert.rejects(
    retried(world, async () => {
      throw new TypeError('a defect');
    }),
    TypeError,
  );
  assert.deepEqual([world.waits, world.counts.calls], [[], 1]);
});

test('stopped: nothing is tried again', async () => {
  const world = setting({ stopped: () => true });
  await assert.rejects(retried(world, failing(['throttled'])), { kind: 'throttled' });
  assert.deepEqual(world.waits, []);
});
