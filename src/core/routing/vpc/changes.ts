/**
 * The steps from a table as it is to its plan, in an order that a table can take. May import core/address.
 *
 * 1. At no step has the table more routes of ours than its limit, unless it began with more; then it only shrinks.
 * 2. A route is added before those that it takes the place of are removed, where the table has room for one more before and after.
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

/** Routes that take each other's place. */
interface Turn {
  readonly top: Cidr;
  readonly fresh: VpcRoute[];
  readonly stale: VpcTableRoute[];
}

function turnsOf(fresh: readonly VpcRoute[], stale: readonly VpcTableRoute[]): Turn[] {
  const all = [
    ...fresh.map((route) => ({ cidr: route.cidr, route, old: null })),
    ...stale.flatMap((old) => (old.cidr === null ? [] : [{ cidr: old.cidr, route: null, old }])),
  ].sort((a, b) => compareCidr(a.cidr, b.cidr));
  const turns: Turn[] = [];
  for (const { cidr, route, old } of all) {
    let turn = turns.at(-1);
    if (turn === undefined || !containsCidr(turn.top, cidr))
      turns.push((turn = { top: cidr, fresh: [], stale: [] }));
    if (route !== null) turn.fresh.push(route);
    if (old !== null) turn.stale.push(old);
  }
  // those that make room come first
  return turns.sort(
    (a, b) =>
      a.fresh.length - a.stale.length - (b.fresh.length - b.stale.length) || compareCidr(a.top, b.top),
  );
}

/** `room`: routes that can be added before one is removed. */
function ordered(fresh: readonly VpcRoute[], stale: readonly VpcTableRoute[], room: number): VpcChange[] {
  const changes: VpcChange[] = [];
  let free = room;
  for (const turn of turnsOf(fresh, stale)) {
    let left: readonly VpcTableRoute[] = turn.stale;
    const added: Cidr[] = [];
    for (const route of turn.fresh) {
      if (free < 1) {
        const victim =
          left.find(({ cidr }) => cidr !== null && added.some((one) => containsCidr(one, cidr))) ?? left[0];
        left = left.filter((one) => one !== victim);
        if (victim !== undefined) {
          changes.push(...removal(victim));
          free += 1;
        }
      }
      changes.push({ action: 'create', cidr: route.cidr, to: route.target });
      added.push(route.cidr);
      free -= 1;
    }
    changes.push(...left.flatMap(removal));
    free += left.length;
  }
  return changes;
}
