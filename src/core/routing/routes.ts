/** Sets of routes: order, equality, and the fewest that say the same. May import core/address. */
import {
  type Address,
  aggregate,
  type Cidr,
  compareAddress,
  compareCidr,
  containsCidr,
  formatAddress,
  makeAddress,
} from '../address/index.ts';
import type { NextHop, PlannedRoute } from './model.ts';

/** Stands for the link-local address of a neighbour that has no other on the link. */
export const LINK_LOCAL: Address = makeAddress(6, 0xfe80 << 16, 0, 0, 0);

/** By code units, not by locale: the same everywhere. */
export function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

export function ofFamily(addresses: readonly Address[], family: number): Address | undefined {
  return addresses.find((address) => address.family === family);
}

/** Sorted, without repetitions. */
export function hopSet(hops: readonly NextHop[]): readonly NextHop[] {
  if (hops.length < 2) return hops;
  const sorted = [...hops].sort(
    (a, b) =>
      compareAddress(a.address, b.address) || byName(a.link ?? '', b.link ?? '') || byName(a.to, b.to),
  );
  return sorted.filter((hop, n) => n === 0 || hopKey(hop) !== hopKey(sorted[n - 1]!));
}

function hopKey({ address, link, to }: NextHop): string {
  return `${formatAddress(address)} ${link ?? ''} ${to}`;
}

/** Equal for routes that forward alike. */
export function actionKey({ nextHops, why }: PlannedRoute): string {
  if (nextHops.length === 0) return why.kind === 'withdrawn' ? `withdrawn ${why.host}` : why.kind;
  return nextHops.length === 1 ? hopKey(nextHops[0]!) : nextHops.map(hopKey).join();
}

/**
 * Forwards every address as `routes` do, in fewer routes: neighbours with the same next hops are joined, and what a wider route says
 * already is left out. Of two routes for one CIDR the first counts.
 */
export function fewest(routes: readonly PlannedRoute[]): PlannedRoute[] {
  const byAction = new Map<string, PlannedRoute[]>();
  const seen = new Set<string>();
  for (const route of routes) {
    const { address, length } = route.cidr;
    const text = `${address.w0} ${address.w1} ${address.w2} ${address.w3} ${length} ${address.family}`;
    if (seen.has(text)) continue;
    seen.add(text);
    const key = actionKey(route);
    const same = byAction.get(key);
    if (same === undefined) byAction.set(key, [route]);
    else same.push(route);
  }
  const joined: PlannedRoute[] = [];
  for (const same of byAction.values()) {
    if (same.length === 1) joined.push(same[0]!);
    else joined.push(...join(same, routes));
  }
  joined.sort((a, b) => compareCidr(a.cidr, b.cidr));
  return joined.length === 1 ? joined : withoutRepeated(joined);
}

/** Siblings become their parent, unless a route of another kind has just that CIDR. Nested routes stay: something may lie between them. */
function join(same: readonly PlannedRoute[], all: readonly PlannedRoute[]): PlannedRoute[] {
  const cidrs = same.map(({ cidr }) => cidr);
  const wide = aggregate(cidrs);
  if (wide.length === same.length) return [...same];
  const out: PlannedRoute[] = [...same];
  for (const cidr of wide) {
    if (same.some((route) => compareCidr(route.cidr, cidr) === 0)) continue;
    const why = same.find((route) => containsCidr(cidr, route.cidr))!;
    if (all.every((route) => compareCidr(route.cidr, cidr) !== 0)) out.push({ ...why, cidr });
  }
  return out;
}

function withoutRepeated(sorted: readonly PlannedRoute[]): PlannedRoute[] {
  const out: PlannedRoute[] = [];
  const open: { cidr: Cidr; key: string }[] = [];
  for (const route of sorted) {
    while (open.length > 0 && !containsCidr(open.at(-1)!.cidr, route.cidr)) open.pop();
    const key = actionKey(route);
    if (open.at(-1)?.key === key) continue;
    open.push({ cidr: route.cidr, key });
    out.push(route);
  }
  return out;
}
