import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  buddyOf,
  freeRanges,
  grow,
  holdsId,
  joined,
  place,
  powerOfTwo,
  type Reservation,
  reclaim,
} from './buddy.ts';

const small = { firstHostId: 0, lastHostId: 15 };
const wide = { firstHostId: 0, lastHostId: 0xffff_ffff };
const one = (first: number): Reservation => ({ first, size: 1 });

function fill(group: typeof small, size: number, count: number): number[] {
  const taken: Reservation[] = [];
  for (let n = 0; n < count; n++) {
    const next = place(group, taken, size);
    if (next === undefined) break;
    taken.push(next);
  }
  return taken.map(({ first }) => first);
}

describe('placing reservations', () => {
  it('2: ids of size 1 are 1, 2, 3… to the last of the group, never 0', () => {
    assert.deepEqual(fill(small, 1, 99), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
    assert.deepEqual(fill({ firstHostId: 4, lastHostId: 7 }, 1, 99), [4, 5, 6, 7]);
  });

  it('3: larger ones leave room to double until there is none, then use the room', () => {
    assert.deepEqual(fill(small, 2, 99), [4, 8, 12, 2, 6, 10, 14, 1]);
    assert.deepEqual(place({ firstHostId: 0, lastHostId: 255 }, [one(1), one(2), one(3)], 16), {
      first: 32,
      size: 16,
    });
  });

  it('2: size 1 stays out of the buddy of a larger one while it can', () => {
    const taken = [one(1), one(2), one(3), { first: 4, size: 2 }];
    assert.deepEqual(place(small, taken, 1), one(8));
    assert.deepEqual(place({ firstHostId: 0, lastHostId: 7 }, taken, 1), one(6));
  });

  it('4: what does not fit gets half, down to 1, then nothing', () => {
    assert.deepEqual(place(small, [], 16), { first: 8, size: 8 });
    assert.deepEqual(place(small, [{ first: 8, size: 8 }], 16), { first: 4, size: 4 });
    assert.deepEqual(place({ firstHostId: 0, lastHostId: 1 }, [], 4), one(1));
    assert.equal(place({ firstHostId: 0, lastHostId: 1 }, [one(1)], 4), undefined);
  });

  it('an exact id gets the largest reservation around it', () => {
    assert.deepEqual(place(small, [], 4, 6), { first: 4, size: 4 });
    assert.deepEqual(place(small, [], 4, 1), one(1));
    assert.deepEqual(place(small, [one(4)], 4, 6), { first: 6, size: 2 });
    assert.equal(place(small, [{ first: 4, size: 4 }], 4, 6), undefined);
  });

  it('the widest host field is walked, not counted', () => {
    assert.deepEqual(place(wide, [{ first: 4, size: 4 }], 65_536), { first: 131_072, size: 65_536 });
    assert.deepEqual(place(wide, [{ first: 2 ** 31, size: 2 ** 31 }], 1, 0xffff_ffff), undefined);
    assert.deepEqual(place(wide, [], 1, 0xffff_ffff), one(0xffff_ffff));
  });
});

describe('growing', () => {
  it('takes the free buddy, so that both are one CIDR', () => {
    const own = [{ first: 4, size: 2 }];
    assert.deepEqual(grow(small, own, own, 1), { first: 6, size: 2 });
    assert.deepEqual(joined([{ first: 6, size: 2 }, ...own]), [{ first: 4, size: 4 }]);
  });

  it('doubles elsewhere when the buddy is taken or id 0', () => {
    const own = [one(1)];
    assert.deepEqual(grow(small, own, own, 1), one(2));
    const two = [{ first: 4, size: 2 }];
    assert.deepEqual(grow(small, [...two, one(6)], two, 1), { first: 8, size: 2 });
  });

  it('is large enough for what is needed at once, where there is room', () => {
    const own = [one(1)];
    assert.deepEqual(grow({ firstHostId: 0, lastHostId: 255 }, own, own, 67), { first: 128, size: 128 });
    assert.equal(grow({ firstHostId: 0, lastHostId: 1 }, own, own, 1), undefined);
  });
});

describe('taking back', () => {
  it('4: halves the largest reservation with an unused half, the lowest of these', () => {
    const a = { first: 4, size: 4, used: [4] };
    const b = { first: 8, size: 8, used: [8, 9] };
    assert.deepEqual(reclaim([a, b]), {
      from: b,
      keep: { first: 8, size: 4 },
      freed: { first: 12, size: 4 },
    });
    const c = { first: 16, size: 4, used: [19] };
    assert.deepEqual(reclaim([c, a])?.from, a);
    assert.deepEqual(reclaim([c]), { from: c, keep: { first: 18, size: 2 }, freed: { first: 16, size: 2 } });
  });

  it('takes whole what has no id in use, and nothing that is used in both halves', () => {
    const idle = { first: 4, size: 4, used: [] };
    assert.deepEqual(reclaim([idle]), { from: idle, keep: null, freed: { first: 4, size: 4 } });
    assert.equal(reclaim([{ first: 4, size: 2, used: [4, 5] }]), undefined);
    assert.equal(reclaim([{ first: 1, size: 1, used: [1] }]), undefined);
    assert.equal(reclaim([]), undefined);
  });
});

interface Holder {
  reservation: Reservation;
  used: number[];
}

/** What one turn of a random history does. */
const turn = fc.oneof(
  fc.record({ do: fc.constant('place' as const), size: fc.integer({ min: 1, max: 12 }) }),
  fc.record({ do: fc.constant('grow' as const), who: fc.nat(), count: fc.integer({ min: 1, max: 9 }) }),
  fc.record({ do: fc.constant('free' as const), who: fc.nat() }),
);
const groups = fc
  .record({ bits: fc.integer({ min: 1, max: 7 }), index: fc.integer({ min: 0, max: 3 }) })
  .map(({ bits, index }) => ({ firstHostId: index * 2 ** bits, lastHostId: (index + 1) * 2 ** bits - 1 }));

describe('any history', () => {
  it('1, 4, 5: no overlap, aligned, inside, no 0, deterministic; nothing is refused while an id is free', () => {
    fc.assert(
      fc.property(groups, fc.array(turn, { maxLength: 40 }), fc.boolean(), (group, turns, reverse) => {
        const holders: Holder[] = [];
        const all = (): Reservation[] => {
          const list = holders.map(({ reservation }) => reservation);
          return reverse ? list.toReversed() : list;
        };
        for (const step of turns) {
          const who = 'who' in step ? holders[step.who % Math.max(1, holders.length)] : undefined;
          if (step.do === 'free') {
            holders.splice(who === undefined ? 0 : holders.indexOf(who), 1);
            continue;
          }
          const next =
            step.do === 'place'
              ? place(group, all(), powerOfTwo(step.size))
              : who && grow(group, all(), [who.reservation], step.count);
          const again =
            step.do === 'place'
              ? place(group, all().toReversed(), powerOfTwo(step.size))
              : who && grow(group, all().toReversed(), [who.reservation], step.count);
          assert.deepEqual(next, again);
          const free = Array.from(
            { length: group.lastHostId - group.firstHostId + 1 },
            (_, i) => group.firstHostId + i,
          ).filter((id) => id > 0 && !all().some((taken) => holdsId(taken, id)));
          if (next === undefined) {
            if (step.do === 'place' || who !== undefined) assert.deepEqual(free, []);
            continue;
          }
          assert.equal(next.first % next.size, 0);
          assert.equal(powerOfTwo(next.size), next.size);
          for (let id = next.first; id < next.first + next.size; id++) assert.ok(free.includes(id));
          holders.push({ reservation: next, used: [next.first] });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('5: what is free covers exactly what is not taken, in the fewest aligned ranges', () => {
    fc.assert(
      fc.property(groups, fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 30 }), (group, sizes) => {
        const taken: Reservation[] = [];
        for (const size of sizes) {
          const next = place(group, taken, powerOfTwo(size));
          if (next !== undefined) taken.push(next);
        }
        const kept = taken.filter((_, i) => i % 3 !== 0);
        const free = freeRanges(group, kept);
        for (let id = group.firstHostId; id <= group.lastHostId; id++) {
          const holders = [...free, ...kept].filter((range) => holdsId(range, id));
          assert.equal(holders.length, id === 0 ? 0 : 1);
        }
        const ends = new Set(free.map((range) => `${range.first}/${range.size}`));
        for (const range of free) {
          const buddy = buddyOf(range);
          const inside = buddy.first >= group.firstHostId && buddy.first <= group.lastHostId;
          assert.ok(!inside || !ends.has(`${buddy.first}/${buddy.size}`), 'free buddies are one range');
        }
        assert.deepEqual(joined(free), free);
      }),
      { numRuns: 300 },
    );
  });

  it('4: taking back in a full group goes on until every reservation is used in both halves, and never takes a used id', () => {
    fc.assert(
      fc.property(
        groups,
        fc.array(fc.integer({ min: 1, max: 16 }), { minLength: 1, maxLength: 20 }),
        (group, sizes) => {
          let occupied: (Reservation & { used: number[] })[] = [];
          for (const size of sizes) {
            const next = place(group, occupied, powerOfTwo(size));
            if (next !== undefined) occupied.push({ ...next, used: [next.first] });
          }
          for (let hosts = 0; hosts < 200; hosts++) {
            if (place(group, occupied, 1) === undefined) {
              const taken = reclaim(occupied);
              if (taken === undefined) break;
              const { from, keep, freed } = taken;
              assert.ok(!from.used.some((id) => holdsId(freed, id)));
              assert.ok(keep === null || from.used.every((id) => holdsId(keep, id)));
              occupied = occupied.flatMap((held) =>
                held !== from ? [held] : keep === null ? [] : [{ ...keep, used: held.used }],
              );
            }
            const next = place(group, occupied, 1)!;
            occupied.push({ ...next, used: [next.first] });
          }
          // A host with one id each, as many as the group has ids.
          const ids = occupied.flatMap(({ used }) => used).sort((a, b) => a - b);
          const first = Math.max(1, group.firstHostId);
          assert.deepEqual(
            ids,
            Array.from({ length: group.lastHostId - first + 1 }, (_, i) => first + i),
          );
        },
      ),
      { numRuns: 200 },
    );
  });
});
