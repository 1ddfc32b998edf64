import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import * as arbitrary from '../testing/arbitrary.ts';
import {
  aggregate,
  type Cidr,
  compareCidr,
  containsAddress,
  equalCidr,
  firstAddress,
  formatCidr,
  lastAddress,
  makeAddress,
  overlaps,
  parentOf,
  parseCidr,
  sizeOf,
  subtract,
} from './index.ts';

const set = fc.array(arbitrary.crowdedCidr, { maxLength: 12 });
const wide = fc.array(arbitrary.cidr, { maxLength: 8 });

/** Every address that `crowdedCidr` can reach, and its neighbours outside. */
const universe = Array.from({ length: 66 }, (_, i) => [
  makeAddress(4, 0x0a000000 - 1 + i, 0, 0, 0),
  makeAddress(6, 0xfd000000, 0, 0, i),
]).flat();

function members(cidrs: readonly Cidr[]): boolean[] {
  return universe.map((a) => cidrs.some((c) => containsAddress(c, a)));
}

/** Sorted, disjoint, and no two halves of one parent: for CIDRs that is the unique minimum. */
function assertMinimal(cidrs: readonly Cidr[]): void {
  for (const [i, c] of cidrs.entries()) {
    const next = cidrs[i + 1];
    if (next === undefined) continue;
    assert.ok(compareCidr(c, next) < 0);
    assert.ok(!overlaps(c, next));
    const parent = parentOf(c);
    const otherParent = parentOf(next);
    const halves = parent !== undefined && otherParent !== undefined && equalCidr(parent, otherParent);
    assert.ok(!halves, `${formatCidr(c)} and ${formatCidr(next)} are halves of one CIDR`);
  }
}

function total(cidrs: readonly Cidr[]): bigint {
  return cidrs.reduce((sum, c) => sum + sizeOf(c), 0n);
}

describe('sets of CIDRs', () => {
  it('aggregate covers exactly the same addresses with the fewest CIDRs, in any order', () => {
    fc.assert(
      fc.property(set, (cidrs) => {
        const out = aggregate(cidrs);
        assert.deepEqual(members(out), members(cidrs));
        assertMinimal(out);
        assert.deepEqual(aggregate([...cidrs].reverse()), out);
        assert.deepEqual(aggregate(out), out);
      }),
      { numRuns: 400 },
    );
  });

  it('subtract leaves exactly the addresses outside the holes', () => {
    fc.assert(
      fc.property(set, set, (cidrs, holes) => {
        const out = subtract(cidrs, holes);
        const hole = members(holes);
        assert.deepEqual(
          members(out),
          members(cidrs).map((inside, i) => inside && !hole[i]),
        );
        assertMinimal(out);
      }),
      { numRuns: 400 },
    );
  });

  it('what is cut out and what is left make up the whole, over the full range of both families', () => {
    fc.assert(
      fc.property(wide, wide, (cidrs, holes) => {
        const left = subtract(cidrs, holes);
        const cut = subtract(cidrs, left);
        assert.deepEqual(aggregate([...left, ...cut]), aggregate(cidrs));
        assert.equal(total(left) + total(cut), total(aggregate(cidrs)));
        for (const c of left) assert.ok(!holes.some((hole) => overlaps(hole, c)));
        assertMinimal(left);
      }),
    );
  });

  it('examples at the edges', () => {
    const show = (cidrs: Cidr[]): string[] => cidrs.map(formatCidr);
    const of = (...texts: string[]): Cidr[] => texts.map(parseCidr);
    assert.deepEqual(show(aggregate([])), []);
    assert.deepEqual(show(aggregate(of('128.0.0.0/1', '0.0.0.0/1', '8000::/1', '::/1'))), [
      '0.0.0.0/0',
      '::/0',
    ]);
    // Adjacent, but not halves of one parent.
    assert.deepEqual(show(aggregate(of('10.0.1.0/24', '10.0.2.0/24'))), ['10.0.1.0/24', '10.0.2.0/24']);
    assert.deepEqual(show(aggregate(of('10.0.0.3/32', '10.0.0.1/32', '10.0.0.2/32', '10.0.0.0/32'))), [
      '10.0.0.0/30',
    ]);
    assert.deepEqual(show(subtract(of('0.0.0.0/0', '::/0'), of('0.0.0.0/0', '::/0'))), []);
    const rest = subtract(of('0.0.0.0/0'), of('255.255.255.255/32'));
    assert.equal(rest.length, 32);
    assert.equal(subtract(of('::/0'), of('::/128')).length, 128);
    assert.deepEqual(lastAddress(rest.at(-1)!), makeAddress(4, 0xfffffffe, 0, 0, 0));
    assert.deepEqual(firstAddress(rest[0]!), makeAddress(4, 0, 0, 0, 0));
  });
});
