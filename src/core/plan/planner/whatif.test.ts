import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isRomanaError } from '../../errors.ts';
import { propose, readStandingPlan, standingPlan, whatIf } from './index.ts';
import { inputOf, noBudgets, sizesUpTo } from './testing.ts';
import type { Change, PlanAnswer, PlanInput, StandingPlan, WhatIfAnswer } from './types.ts';

const none: Change = { hosts: 0, racks: 0, zones: 0, tenants: 0 };
const standing = (input: PlanInput): StandingPlan => {
  const answer = propose(input);
  return standingPlan(answer, answer.proposals[0]!);
};
const budgets = fc.record({
  fabric: fc.constantFrom(null, 'l2' as const, 'l3-static' as const, 'vpc' as const),
  routesPerHost: fc.option(fc.integer({ min: 5, max: 40 })),
  routesPerSwitch: fc.option(fc.integer({ min: 5, max: 40 })),
  vpcRoutes: fc.integer({ min: 5, max: 50 }),
});
const networks = fc.constantFrom(
  [{ name: 'v4', cidr: '10.0.0.0/8' }],
  [
    { name: 'v4', cidr: '10.0.0.0/14' },
    { name: 'v6', cidr: 'fd00::/96' },
  ],
);
/** Plans that stand, with every answer's first proposal. */
const plan: fc.Arbitrary<PlanAnswer> = fc
  .tuple(sizesUpTo({ hosts: 40, tenants: 20, segments: 4, endpoints: 20 }), budgets, networks)
  .map(([sizes, limits, nets]) => propose({ ...sizes, budgets: limits, networks: nets }))
  .filter(({ proposals }) => proposals.length > 0);

/** Some hosts, racks, zones and tenants; those that the plan has no place for left out. */
function changeOf({ racks, zones }: PlanInput, [a, b, c, d]: readonly number[]): Change {
  return { hosts: a!, racks: racks === null ? 0 : b!, zones: zones === null ? 0 : c!, tenants: d! };
}
const four = (max: number) => fc.array(fc.integer({ min: 0, max }), { minLength: 4, maxLength: 4 });

describe('what-if', () => {
  it('without a change is the plan as proposed: same routes, same elements, and it fits', () => {
    fc.assert(
      fc.property(plan, (answer) => {
        const [proposal] = answer.proposals;
        const same = whatIf(standingPlan(answer, proposal!), none);
        assert.deepEqual(same.after, same.before);
        assert.deepEqual(same.elements.after, same.elements.before);
        assert.deepEqual(same.elements.before, proposal!.cost.elements.today);
        assert.deepEqual(
          same.routes.map(({ before, after }) => [before, after]),
          answer.routes.map(({ today }) => [today, today]),
        );
        for (const part of same.parts) assert.equal(part.before, part.after);
        if (answer.fits) assert.ok(same.fits, JSON.stringify(same));
      }),
      { numRuns: 100 },
    );
  });

  it('of a larger change never fits where a smaller one does not; no part and no route count shrinks (7)', () => {
    let both = 0;
    let broken = 0;
    fc.assert(
      fc.property(plan, four(12), four(12), (answer, few, more) => {
        const stands = standingPlan(answer, answer.proposals[0]!);
        const answers = [few, few.map((n, i) => n + more[i]!)].map((change) =>
          whatIf(stands, changeOf(answer.input, change)),
        );
        const [small, large] = answers as [WhatIfAnswer, WhatIfAnswer];
        if (large.fits) both++;
        else if (small.fits) broken++;
        assert.ok(!large.fits || small.fits);
        for (const [index, route] of small.routes.entries())
          assert.ok(route.before <= route.after && route.after <= large.routes[index]!.after);
        for (const part of small.parts) {
          const later = large.parts.find((one) => one.part === part.part && one.network === part.network)!;
          assert.ok(part.before <= part.after && part.after <= later.after);
          assert.equal(part.available, later.available, 'a standing plan does not stretch');
        }
      }),
      { numRuns: 200 },
    );
    assert.ok(both > 3 && broken > 3, `${both} and ${broken}`);
  });

  it('growing as planned fits: added racks and tenants up to the growth that was asked for', () => {
    fc.assert(
      fc.property(plan, (answer) => {
        const { input, planned, fits } = answer;
        if (!fits) return;
        const change = {
          ...none,
          racks: input.zones === null ? (planned.racks ?? 0) - (input.racks ?? 0) : 0,
          tenants: planned.tenants - input.tenants,
          hosts: input.racks === null ? planned.hosts - input.hosts : 0,
        };
        const then = whatIf(standingPlan(answer, answer.proposals[0]!), change);
        const bad = then.parts.filter(({ part, fits: ok }) => !ok && part !== 'tenants');
        assert.deepEqual(bad, []);
      }),
      { numRuns: 100 },
    );
  });

  it('one rack more changes the routes of spines and the VPC table alone', () => {
    const plan = standing(
      inputOf({ hosts: 400, racks: 20, zones: 2, growth: { hosts: 2, tenants: 1, endpoints: 1 } }),
    );
    const { routes, before, after, fits } = whatIf(plan, { ...none, racks: 1 });
    assert.ok(fits);
    assert.deepEqual([before.hosts, after.hosts, after.racks], [400, 420, 21]);
    const moved = routes.filter((one) => one.before !== one.after);
    assert.deepEqual(
      moved.map(({ fabric, device, before: was, after: is }) => `${fabric} ${device} ${was} ${is}`),
      ['l2 spine 11 12', 'l3-static spine 11 12', 'vpc vpc table 20 21'],
    );
  });

  it('one zone more is seen by border and spines, one route each; tenants are seen by no device', () => {
    const plan = standing(inputOf({ hosts: 40, racks: 8, zones: 2, tenants: 3 }));
    const zone = whatIf(plan, { ...none, zones: 1 });
    const grown = (device: string): number => {
      const route = zone.routes.find((one) => one.fabric === 'l3-static' && one.device === device)!;
      return route.after - route.before;
    };
    assert.deepEqual([grown('host'), grown('tor'), grown('spine'), grown('border')], [0, 0, 1, 1]);
    assert.deepEqual([zone.after.racks, zone.after.hosts], [12, 60]);
    const tenants = whatIf(plan, { ...none, tenants: 100_000 });
    assert.ok(tenants.routes.every((one) => one.before === one.after));
  });

  it('each part has its wall: one below fits, one more does not, and the problem names both figures', () => {
    const plan = standing(
      inputOf({
        hosts: 32,
        racks: 8,
        zones: 2,
        tenants: 3,
        networks: [{ name: 'v4', cidr: '10.0.0.0/17' }],
        budgets: { ...noBudgets, fabric: 'l3-static' },
      }),
    );
    const available = new Map(whatIf(plan, none).parts.map((part) => [part.part, part.available]));
    // 2 zones of 4 racks of 4 hosts each.
    const walls: [keyof Change, number, RegExp][] = [
      ['zones', available.get('zones')! - 2, /room for \d+ zones, not \d+/],
      ['racks', available.get('racks')! * 2 - 8, /room for \d+ racks of a zone, not \d+/],
      ['hosts', available.get('hosts')! * 8 - 32, /room for \d+ hosts of a rack, not \d+/],
    ];
    for (const [name, most, text] of walls) {
      const at = whatIf(plan, { ...none, [name]: most });
      assert.deepEqual([at.fits, at.problems], [true, []], name);
      const beyond = whatIf(plan, { ...none, [name]: most + 1 });
      assert.equal(beyond.fits, false, name);
      assert.match(beyond.problems.join(), text);
    }
  });

  it('a VPC table at its wall is told which coarser aggregates keep it, as far as there are any', () => {
    const vpc = { ...noBudgets, fabric: 'vpc' as const };
    const plan = standing(inputOf({ hosts: 48, racks: 6, budgets: vpc }));
    assert.equal(plan.vpcPer, 'host');
    assert.ok(whatIf(plan, { ...none, hosts: 2 }).fits);
    const { fits, problems } = whatIf(plan, { ...none, hosts: 3 });
    assert.equal(fits, false);
    assert.match(
      problems.join(),
      /needs 51 routes \(each host\), its budget is 50\. One route for each rack/,
    );
    const flat = standing(inputOf({ hosts: 48, budgets: vpc }));
    assert.doesNotMatch(whatIf(flat, { ...none, hosts: 3 }).problems.join(), /instead/);
  });

  it('tenants beyond their field fit under the shared identity, and are said to cost elements', () => {
    const plan = standing(inputOf({ networks: [{ name: 'v4', cidr: '10.0.0.0/16' }] }));
    const own = 2 ** plan.networks[0]!.layout.tenant - 1;
    const last = whatIf(plan, { ...none, tenants: own - 3 });
    assert.equal(last.elements.after.shared, 0);
    const beyond = whatIf(plan, { ...none, tenants: own - 2 });
    assert.ok(beyond.fits && beyond.elements.after.shared > 0);
    assert.match(beyond.notes.join(), /1 share one identity/);
    assert.deepEqual(beyond.problems, []);
  });

  it('racks and zones that the plan does not have are refused, and so is every figure that is no count', () => {
    const flat = standing(inputOf());
    const refused = (change: Change, path: string): void =>
      assert.throws(
        () => whatIf(flat, change),
        (error) => isRomanaError(error) && error.code === 'input_invalid' && error.details?.['path'] === path,
      );
    refused({ ...none, racks: 1 }, 'racks');
    refused({ ...none, zones: 1 }, 'zones');
    for (const bad of [-1, 0.5, Number.NaN, Infinity, 2 ** 53, '1', null, undefined])
      for (const name of ['hosts', 'racks', 'zones', 'tenants'])
        refused({ ...none, [name]: bad as number }, name);
    refused(null as unknown as Change, 'change');
    assert.equal(whatIf(flat, { ...none, hosts: 2 ** 32 - 1 }).fits, false);
  });
});

describe('a plan read back from its file', () => {
  it('is the plan that was printed', () => {
    fc.assert(
      fc.property(plan, (answer) => {
        const text = JSON.stringify(answer);
        for (const [index, proposal] of answer.proposals.entries())
          assert.deepEqual(readStandingPlan(JSON.parse(text), index + 1), standingPlan(answer, proposal));
      }),
      { numRuns: 60 },
    );
  });

  it('with any change to it is read or refused with input_invalid', () => {
    const printed = JSON.parse(
      JSON.stringify(propose(inputOf({ hosts: 8, racks: 4, zones: 2, budgets: noBudgets }), { top: 1 })),
    ) as Record<string, unknown>;
    const paths: (string | number)[][] = [];
    const walk = (value: unknown, path: (string | number)[]): void => {
      paths.push(path);
      if (typeof value !== 'object' || value === null) return;
      for (const key of Object.keys(value)) walk((value as Record<string, unknown>)[key], [...path, key]);
    };
    walk({ input: printed['input'], proposals: printed['proposals'] }, []);
    const junk = [undefined, null, 0, -1, 3, 2 ** 53, 1.5, '', 'x', [], {}, [[]], { a: 1 }];
    let refused = 0;
    for (const path of paths) {
      for (const value of junk) {
        const document = structuredClone(printed);
        let at: Record<string | number, unknown> = document;
        for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
        const last = path.at(-1);
        if (last !== undefined) at[last] = value;
        try {
          whatIf(readStandingPlan(last === undefined ? value : document, 1), { ...none, racks: 1 });
        } catch (error) {
          assert.ok(
            isRomanaError(error) && error.code === 'input_invalid',
            `${path.join('.')}: ${String(error)}`,
          );
          refused++;
        }
      }
    }
    assert.ok(refused > 200, `${refused}`);
  });

  it('is refused when slots and layout contradict each other', () => {
    const answer = propose(inputOf({ hosts: 8, racks: 4 }));
    const [proposal] = answer.proposals;
    const wide = { ...proposal!, levels: [{ ...proposal!.levels[0]!, slots: 2 ** 20 }] };
    assert.throws(() => readStandingPlan({ ...answer, proposals: [wide] }, 1), /too few for/);
    const odd = { ...proposal!, levels: [{ ...proposal!.levels[0]!, slots: 3 }] };
    assert.throws(() => readStandingPlan({ ...answer, proposals: [odd] }, 1), /powers of two/);
    assert.throws(() => readStandingPlan(answer, 9), /none with number 9/);
  });
});
