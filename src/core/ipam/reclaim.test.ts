import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { absent, type Held, type Observed, reclaimRound, type Suspects } from './reclaim.ts';

const held = (key: string, more: Partial<Held> = {}): Held => ({
  key,
  uid: `${key}1`,
  seq: 1,
  host: 'h1',
  machine: false,
  ...more,
});
const saw = (keys: readonly string[], host = 'h1'): Observed => ({
  host,
  live: keys.map((key) => ({ key })),
});
const minute = 60_000;

/** Rounds at the given minutes; answers what was due in each. */
function play(
  rounds: readonly (readonly [at: number, held: readonly Held[], observed: readonly Observed[]])[],
  graceMs = 5 * minute,
) {
  let suspects: Suspects = new Map();
  return rounds.map(([at, all, observed]) => {
    const result = reclaimRound(suspects, { held: all, observed, now: at * minute, graceMs });
    suspects = result.suspects;
    return result.due.map(({ key }) => key).join();
  });
}

test('I2 absent twice, a grace apart, is a leak; absent once is none, however long ago it was made', () => {
  const all = [held('a'), held('b')];
  assert.deepEqual(
    play([
      [0, all, [saw(['b'])]],
      [4, all, [saw(['b'])]],
      [5, all, [saw(['b'])]],
    ]),
    ['', '', 'a'],
  );
  assert.deepEqual(play([[100, all, [saw(['b'])]]]), ['']);
});

test('I2 who comes back for one observation begins anew', () => {
  const all = [held('a')];
  const gone: Observed[] = [saw([])];
  assert.deepEqual(
    play([
      [0, all, gone],
      [4, all, [saw(['a'])]],
      [6, all, gone],
      [10, all, gone],
      [11, all, gone],
    ]),
    ['', '', '', '', 'a'],
  );
});

test('a host that nobody looked at is neither alive nor dead; the suspicion waits', () => {
  const all = [held('a'), held('x', { host: 'h2' })];
  assert.deepEqual(
    play([
      [0, all, [saw([])]],
      [10, all, []],
      [20, all, [saw([], 'h2')]],
      [21, all, [saw([])]],
    ]),
    ['', '', '', 'a'],
  );
});

test('one source of several that sees it is enough', () => {
  const all = [held('a')];
  assert.deepEqual(
    play([
      [0, all, [saw([]), saw(['a'])]],
      [9, all, [saw(['a']), saw([])]],
      [10, all, [saw([]), saw([])]],
    ]),
    ['', '', ''],
  );
});

test('I1 another incarnation of the name is suspected anew, and seen by uid where the source tells it', () => {
  const other = held('a', { uid: 'a2', seq: 2 });
  assert.deepEqual(
    play([
      [0, [held('a')], [saw([])]],
      [9, [other], [saw([])]],
      [14, [other], [saw([])]],
    ]),
    ['', '', 'a'],
  );
  const old: Observed = { host: 'h1', live: [{ key: 'a', uid: 'a1' }] };
  assert.deepEqual(
    play([
      [0, [other], [old]],
      [5, [other], [old]],
    ]),
    ['', 'a'],
  );
  assert.equal(absent(other, [old]), true);
  assert.equal(absent(held('a'), [old]), false);
  assert.equal(absent(held('a'), [saw([], 'h2')]), undefined);
});

test('I20 a virtual machine that pauses for four minutes keeps its address, however short the grace is', () => {
  const all = [held('vm', { machine: true }), held('pod')];
  const gone: Observed[] = [saw([])];
  assert.deepEqual(
    play(
      [
        [0, all, gone],
        [1, all, gone],
        [4, all, gone],
        [5, all, [saw(['vm'])]],
      ],
      minute,
    ),
    ['', 'pod', 'vm,pod'.slice(3), 'pod'],
  );
  assert.deepEqual(
    play(
      [
        [0, all, gone],
        [5, all, gone],
      ],
      minute,
    ),
    ['', 'vm,pod'],
  );
});

test('I2 over any observations: due only if no source saw it for at least the grace', () => {
  const round = fc.record({
    wait: fc.integer({ min: 0, max: 4 }),
    alive: fc.array(fc.constantFrom<string>('a', 'b', 'c')),
    looked: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(round, { maxLength: 20 }), (rounds) => {
      const all = ['a', 'b', 'c'].map((key) => held(key));
      let now = 0;
      const lastSeen = new Map<string, number>();
      let suspects: Suspects = new Map();
      for (const { wait, alive, looked } of rounds) {
        now += wait * minute;
        const observed = looked ? [saw(alive)] : [];
        const result = reclaimRound(suspects, { held: all, observed, now, graceMs: 5 * minute });
        suspects = result.suspects;
        if (looked) for (const key of alive) lastSeen.set(key, now);
        for (const { key } of result.due) {
          assert.ok(looked && !alive.includes(key));
          assert.ok(now - (lastSeen.get(key) ?? 0) >= 5 * minute);
        }
        assert.ok([...suspects.keys()].every((name) => all.some(({ key, seq }) => name === `${seq} ${key}`)));
      }
    }),
  );
});
