import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as fc from 'fast-check';
import { type Cidr, containsCidr, formatCidr } from '../../address/index.ts';
import type { RoutingHost } from '../model.ts';
import { changesOf, planVpc, type VpcTable, vpcSites } from './index.ts';
import { applied, makeHost, makeInput, makeState, makeTable } from './testing.ts';

function covered(table: VpcTable, cidr: Cidr): boolean {
  return table.routes.some((route) => route.cidr !== null && containsCidr(route.cidr, cidr));
}

/** The table after a plan for these hosts, and every state on the way there. */
function turn(
  table: VpcTable,
  hosts: readonly RoutingHost[],
  budget: number,
): { states: VpcTable[]; limit: number } {
  const input = makeInput({ zones: 2, slots: [], budget }, hosts);
  const [site] = vpcSites(input);
  assert.ok(site !== undefined);
  const plan = planVpc(site, makeState(input, { tables: [table] }));
  const [planned] = plan.tables;
  assert.ok(planned !== undefined);
  const states = [table];
  for (const change of changesOf(table, planned)) {
    const next = applied(states.at(-1) ?? table, change);
    states.push({ ...next, recorded: new Set([...next.recorded, formatCidr(change.cidr)]) });
  }
  const last = states.at(-1) ?? table;
  for (const host of hosts)
    for (const { cidr } of host.ranges)
      assert.ok(covered(last, cidr), `${host.name} has no route in the end`);
  return { states, limit: budget };
}

const slots = fc.uniqueArray(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
const hostsOf = ([left, right]: readonly [number[], number[]]): RoutingHost[] => [
  ...left.map((slot) => makeHost(0, slot)),
  ...right.map((slot) => makeHost(1, slot)),
];

test('no step passes the limit; with room for one more, no host that stays loses its route on the way', () => {
  fc.assert(
    fc.property(
      fc.tuple(slots, slots).map(hostsOf),
      fc.tuple(slots, slots).map(hostsOf),
      fc.integer({ min: 2, max: 30 }),
      fc.integer({ min: 2, max: 30 }),
      (before, after, budget, next) => {
        const first = turn(makeTable('rtb-a'), before, budget);
        const start = first.states.at(-1);
        assert.ok(start !== undefined);
        const { states } = turn(start, after, next);
        const most = Math.max(next, start.routes.length);
        for (const state of states)
          assert.ok(state.routes.length <= most, `${state.routes.length} of ${most}`);
        const names = new Set(before.map(({ name }) => name));
        const stay = after.filter(({ name }) => names.has(name));
        // room for one more before and after
        const last = states.at(-1);
        if (start.routes.length >= next || (last?.routes.length ?? 0) >= next) return;
        for (const state of states)
          for (const host of stay)
            for (const { cidr } of host.ranges)
              assert.ok(
                covered(state, cidr),
                `${host.name} lost its route on the way: ${state.routes.length} of ${next}`,
              );
      },
    ),
    { numRuns: 200 },
  );
});

test('a table that is as planned needs no step', () => {
  const hosts = hostsOf([[1, 2, 3], [4]]);
  const { states } = turn(makeTable('rtb-a'), hosts, 10);
  const settled = states.at(-1);
  assert.ok(settled !== undefined);
  assert.equal(turn(settled, hosts, 10).states.length, 1);
});
