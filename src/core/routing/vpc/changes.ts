/**
 * The steps from a table as it is to its plan, in an order that a table can take. May import core/address.
 *
 * 1. At no step has the table more routes of ours than its limit, unless it began with more; then it only shrinks.
 * 2. A route is added before those that it takes the place of are removed, as long as there is room for one more.
 */
import { type Cidr, compareCidr, containsCidr, formatCidr } from '../../address/index.ts';
import type { VpcRoute, VpcTable, VpcTablePlan, VpcTableRoute } from './model.ts';

export type VpcChange =
  | { readonly action: 'create'; readonly cidr: Cidr; readonly to: string }
  | { readonly action: 'replace'; readonly cidr: Cidr; readonly from: string; readonly to: string }
  | { readonly action: 'delete'; readonly cidr: Cidr; readonly from: string };

export function changesOf(table: VpcTable, plan: VpcTablePlan): VpcChange[] {
  const present = new Map(
    table.routes.flatMap((one) => (one.cidr === null ? [] : [[formatCidr(one.cidr), one]])),
  );
  const creates: VpcRoute[] = [];
  const changes: VpcChange[] = [];
  for (const route of plan.routes) {
    const now = present.get(formatCidr(route.cidr));
    if (now === undefined) creates.push(route);
    else if (now.target !== route.target)
      changes.push({ action: 'replace', cidr: route.cidr, from: now.target, to: route.target });
  }
  for (const family of [4, 6] as const) {
    const use = plan.use.find((one) => one.family === family);
    const stale = plan.stale.filter(({ cidr }) => cidr?.address.family === family);
    const fresh = creates.filter(({ cidr }) => cidr.address.family === family);
    const kept = plan.routes.filter(({ cidr }) => cidr.address.family === family).length - fresh.length;
    changes.push(...ordered(fresh, stale, (use?.limit ?? 0) - kept - stale.length));
  }
  return changes;
}

function removal({ cidr, target }: VpcTableRoute): VpcChange[] {
  return cidr === null ? [] : [{ action: 'delete', cidr, from: target }];
}

/** `room`: routes that can be added before one is removed. */
function ordered(fresh: readonly VpcRoute[], stale: readonly VpcTableRoute[], room: number): VpcChange[] {
  const changes: VpcChange[] = [];
  const added: Cidr[] = [];
  let left = stale;
  let free = room;
  // the widest first: it covers the most of what is to be removed
  for (const route of fresh.toSorted(
    (a, b) => a.cidr.length - b.cidr.length || compareCidr(a.cidr, b.cidr),
  )) {
    while (free < 1 && left.length > 0) {
      const covered = left.find(({ cidr }) => cidr !== null && added.some((one) => containsCidr(one, cidr)));
      const victim = covered ?? left[0];
      if (victim === undefined) break;
      left = left.filter((one) => one !== victim);
      changes.push(...removal(victim));
      free += 1;
    }
    changes.push({ action: 'create', cidr: route.cidr, to: route.target });
    added.push(route.cidr);
    free -= 1;
  }
  return changes.concat(left.flatMap(removal));
}
