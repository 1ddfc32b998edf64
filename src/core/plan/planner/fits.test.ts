import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { propose } from './index.ts';
import {
  bitsOf,
  everySpread,
  leastFactor,
  levelsOf,
  narrow,
  needOf,
  noGrowth,
  sharedIn,
  sharedTenants,
  small,
} from './testing.ts';
import type { PlanInput, Proposal } from './types.ts';

describe('"nothing fits"', () => {
  it('is said exactly when no widths at all hold the sizes, and as few tenants share as possible (4)', () => {
    let fitting = 0;
    let refused = 0;
    fc.assert(
      fc.property(narrow, ([input, bits]) => {
        const need = needOf(input);
        let fewest: number | undefined;
        for (const spread of everySpread(bits, levelsOf(input))) {
          const shared = sharedIn(spread, need);
          if (shared !== undefined) fewest = Math.min(shared, fewest ?? Infinity);
        }
        const [best] = propose(input).proposals;
        assert.equal(best && sharedTenants(best), fewest);
        if (fewest === undefined) refused++;
        else fitting++;
      }),
      { numRuns: 300 },
    );
    assert.ok(fitting > 3 && refused > 3, `${fitting} fit, ${refused} do not`);
  });

  it('no widths leave more where there is least, for the same ids per host (3)', () => {
    let seen = 0;
    fc.assert(
      fc.property(small, fc.integer({ min: 8, max: 13 }), (sizes, bits) => {
        const input = { ...sizes, networks: [{ name: 'v4', cidr: `10.0.0.0/${32 - bits}` }] };
        const need = needOf(input);
        for (const proposal of propose(input, { top: 9 }).proposals) {
          const mine = bitsOf(proposal, 0);
          if (sharedTenants(proposal) > 0) continue;
          seen++;
          let most = 0;
          for (const spread of everySpread(bits, levelsOf(input)))
            if (spread[3] === mine[3]) most = Math.max(most, leastFactor(spread, need, input));
          assert.equal(leastFactor(mine, need, input), most);
        }
      }),
      { numRuns: 60 },
    );
    assert.ok(seen > 3);
  });

  it('says how many bits are missing, and a network with that many more fits without sharing', () => {
    fc.assert(
      fc.property(narrow, ([input]) => {
        const answer = propose(input);
        const [best] = answer.proposals;
        if (best !== undefined && sharedTenants(best) === 0) return;
        const match = /has (\d+) bits below its prefix, (\d+) are needed/.exec(answer.reasons.join(' '));
        assert.ok(match, answer.reasons.join(' '));
        const [have, needed] = [Number(match[1]), Number(match[2])];
        assert.ok(needed > have);
        const at = (bits: number): Proposal | undefined =>
          propose({ ...input, networks: [{ name: 'n', cidr: `fd00::/${128 - bits}` }] }).proposals[0];
        assert.equal(sharedTenants(at(needed)!), 0);
        const below = at(needed - 1);
        assert.ok(below === undefined || sharedTenants(below) > 0, 'one bit less is not enough');
      }),
      { numRuns: 100 },
    );
  });

  it('every advice that names options is an input that fits with nobody sharing (4)', () => {
    const flags: [RegExp, (n: number) => Partial<PlanInput>][] = [
      [/--segments (\d+)/, (segments) => ({ segments })],
      [/--tenants (\d+)/, (tenants) => ({ tenants })],
      [/--racks (\d+)/, (racks) => ({ racks })],
      [/--endpoints-per-segment (\d+)/, (endpointsPerSegment) => ({ endpointsPerSegment })],
    ];
    let tried = 0;
    fc.assert(
      fc.property(narrow, ([input]) => {
        for (const advice of propose(input).advice) {
          const found = flags.flatMap(([pattern, change]) => {
            const match = pattern.exec(advice);
            return match ? [change(Number(match[1]))] : [];
          });
          if (found.length === 0) continue;
          const growth = advice.startsWith('Without growth') ? noGrowth : input.growth;
          const changed = { ...input, growth, ...found[0] };
          tried++;
          const { fits, proposals } = propose(changed);
          assert.ok(fits && sharedTenants(proposals[0]!) === 0, `${advice}: ${JSON.stringify(input)}`);
        }
      }),
      { numRuns: 150 },
    );
    assert.ok(tried > 3, `${tried} tried`);
  });

  it('of two networks: they fit together when the tighter one fits alone', () => {
    const cidr = (base: string) =>
      fc.integer({ min: 5, max: 14 }).map((bits) => ({ bits, cidr: `${base}/${32 - bits}` }));
    fc.assert(
      fc.property(small, cidr('10.0.0.0'), cidr('172.16.0.0'), (sizes, a, b) => {
        const tight = a.bits <= b.bits ? a : b;
        const both = [
          { name: 'a', cidr: a.cidr },
          { name: 'b', cidr: b.cidr },
        ];
        assert.equal(
          propose({ ...sizes, networks: both }).fits,
          propose({ ...sizes, networks: [{ name: 'a', cidr: tight.cidr }] }).fits,
        );
      }),
      { numRuns: 100 },
    );
  });
});
