import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { changeCount, delta } from './delta.ts';

const state = fc
  .array(
    fc.tuple(
      fc.constantFrom('a', 'b', 'B', 'ä', '10', '9', ''),
      fc.constantFrom<number | null>(0, 1, 2, null),
    ),
  )
  .map((entries) => new Map(entries));

const same = (a: unknown, b: unknown): boolean => a === b;

describe('delta', () => {
  it('applying it makes actual equal desired (1), and then nothing is left to do (2)', () => {
    fc.assert(
      fc.property(state, state, (desired, actual) => {
        const changes = delta(desired, actual, same);
        const result = new Map(actual);
        for (const [key, old] of changes.remove) {
          assert.equal(result.get(key), old);
          assert.ok(result.delete(key));
        }
        for (const [key, wanted] of changes.create) {
          assert.ok(!result.has(key));
          result.set(key, wanted);
        }
        for (const [key, wanted, old] of changes.update) {
          assert.equal(result.get(key), old);
          assert.notEqual(wanted, old);
          result.set(key, wanted);
        }
        assert.deepEqual(result, desired);
        assert.equal(changes.create.length + changes.update.length + changes.same, desired.size);
        const again = delta(desired, result, same);
        assert.equal(changeCount(again), 0);
        assert.equal(again.same, desired.size);
      }),
      { numRuns: 300 },
    );
  });

  it('lists are in key order, whatever the order of the maps (3)', () => {
    fc.assert(
      fc.property(state, state, (desired, actual) => {
        const changes = delta(desired, actual, same);
        const turned = delta(new Map([...desired].reverse()), new Map([...actual].reverse()), same);
        assert.deepEqual(turned, changes);
        for (const list of [changes.create, changes.update, changes.remove]) {
          const keys = list.map(([key]) => key);
          assert.deepEqual(keys, [...keys].sort());
        }
      }),
    );
  });

  it('leaves its inputs alone and uses the given comparison', () => {
    const desired = Object.freeze(new Map([['x', 'A']]));
    const actual = new Map([['x', 'a']]);
    assert.equal(changeCount(delta(desired, actual, (a, b) => a.toLowerCase() === b.toLowerCase())), 0);
    assert.deepEqual(delta(desired, actual, same).update, [['x', 'A', 'a']]);
    assert.deepEqual(
      [...desired, ...actual],
      [
        ['x', 'A'],
        ['x', 'a'],
      ],
    );
    assert.deepEqual(delta(new Map(), new Map(), same), { create: [], update: [], remove: [], same: 0 });
  });
});
