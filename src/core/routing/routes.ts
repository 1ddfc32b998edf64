/** Sets of routes: order, equality, and the fewest that say the same. May import core/address. */
import {
  type Address,
  type Cidr,
  compareAddress,
  compareCidr,
  containsCidr,
  equalAddress,
  formatAddress,
  makeAddress,
  parentOf,
} from '../address/index.ts';
import type { NextHop, PlannedRoute, RoutingProblem } from './model.ts';

/** Stands for the link-local address of a neighbour that has no other on the link. */
export const LINK_LOCAL: Address = makeAddress(6, 0xfe80 << 16, 0, 0, 0);

/** By code units, not by locale: the same everywhere. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function ofFamily(addresses: readonly Address[], family: number): Address | undefined {
  return addresses.find((address) => address.family === family);
}

export function insideAny(cidrs: readonly Cidr[], cidr: Cidr): boolean {
  return cidrs.some((outer) => containsCidr(outer, cidr));
}

export function sortedProblems(problems: readonly RoutingProblem[]): RoutingProblem[] {
  return [...problems].sort((a, b) => byName(a.about, b.about) || byName(a.message, b.message));
}

/** Sorted, without repetitions: devices that share an address, as gateways do, are one next hop. */
export function hopSet(hops: readonly NextHop[]): readonly NextHop[] {
  if (hops.length < 2) return hops;
  const sorted = [...hops].sort(compareHops);
  return sorted.filter((hop, n) => n === 0 || !isSameWay(hop, sorted[n - 1]!));
}

function isSameWay(a: NextHop, b: NextHop): boolean {
  if (!equalAddress(a.address, b.address) || a.link !== b.link) return false;
  return a.to === b.to || !equalAddress(a.address, LINK_LOCAL);
}

function compareHops(a: NextHop, b: NextHop): number {
  return compareAddress(a.address, b.address) || byName(a.link ?? '', b.link ?? '') || byName(a.to, b.to);
}

function hopKey({ address, link, to }: NextHop): string {
  return `${formatAddress(address)} ${link ?? ''} ${to}`;
}

/** Equal for routes that forward alike. */
export function actionKey({ nextHops, why }: PlannedRoute): string {
  if (nextHops.length === 0) return why.kind === 'withdrawn' ? `withdrawn ${why.host}` : why.kind;
  return nextHops.length === 1 ? hopKey(nextHops[0]!) : nextHops.map(hopKey).join();
}

/** Many routes share one list of next hops. */
function actionKeys(): typeof actionKey {
  const known = new Map<readonly NextHop[], string>();
  return (route) => {
    if (route.nextHops.length === 0) return actionKey(route);
    let key = known.get(route.nextHops);
    if (key === undefined) known.set(route.nextHops, (key = actionKey(route)));
    return key;
  };
}

/**
 * Forwards every address as `routes` do, in fewer routes: neighbours with the same next hops are joined, and what a wider route says
 * already is left out. Of two routes for one CIDR the first counts.
 */
export function fewest(routes: readonly PlannedRoute[]): PlannedRoute[] {
  const byAction = new Map<string, PlannedRoute[]>();
  const seen = new Set<string>();
  const keys = actionKeys();
  for (const route of routes) {
    const text = keyOf(route.cidr);
    if (seen.has(text)) continue;
    seen.add(text);
    const key = keys(route);
    const same = byAction.get(key);
    if (same === undefined) byAction.set(key, [route]);
    else same.push(route);
  }
  const joined: PlannedRoute[] = [];
  for (const same of byAction.values()) {
    if (same.length === 1) joined.push(same[0]!);
    else joined.push(...join(same, seen));
  }
  joined.sort((a, b) => compareCidr(a.cidr, b.cidr));
  return joined.length === 1 ? joined : withoutRepeated(joined, keys);
}

/** Halves become their whole, unless another route has just that CIDR. */
function join(same: readonly PlannedRoute[], taken: ReadonlySet<string>): PlannedRoute[] {
  const out: PlannedRoute[] = [];
  const byLength = Map.groupBy(same, ({ cidr }) => cidr.length);
  for (let length = Math.max(...byLength.keys()); length >= 0; length--) {
    const level = (byLength.get(length) ?? []).sort((a, b) => compareCidr(a.cidr, b.cidr));
    for (let n = 0; n < level.length; n++) {
      const route = level[n]!;
      const next = level[n + 1];
      const parent = parentOf(route.cidr);
      if (
        next === undefined ||
        parent === undefined ||
        !containsCidr(parent, next.cidr) ||
        taken.has(keyOf(parent))
      ) {
        out.push(route);
        continue;
      }
      n++;
      const wider = byLength.get(length - 1);
      if (wider === undefined) byLength.set(length - 1, [{ ...route, cidr: parent }]);
      else wider.push({ ...route, cidr: parent });
    }
  }
  return out;
}

function keyOf({ address, length }: Cidr): string {
  return `${address.w0} ${address.w1} ${address.w2} ${address.w3} ${length} ${address.family}`;
}

function withoutRepeated(sorted: readonly PlannedRoute[], keys: typeof actionKey): PlannedRoute[] {
  const out: PlannedRoute[] = [];
  const open: { cidr: Cidr; key: string }[] = [];
  for (const route of sorted) {
    while (open.length > 0 && !containsCidr(open.at(-1)!.cidr, route.cidr)) open.pop();
    const key = keys(route);
    if (open.at(-1)?.key === key) continue;
    open.push({ cidr: route.cidr, key });
    out.push(route);
  }
  return out;
}
