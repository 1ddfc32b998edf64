/** Planned routes as they are told. */
import type { RouteEntry } from '#contract/routing-model.ts';
import { formatAddress, formatCidr } from '#core/address/index.ts';
import type { NextHop, PlannedRoute } from '#core/routing/model.ts';
import { whyText } from '#core/routing/words.ts';

export function entry(
  { cidr, nextHops, why }: PlannedRoute,
  kind: RouteEntry['kind'],
  where: 'host' | 'device',
): RouteEntry {
  const none = why.kind === 'withdrawn' ? 'unreachable' : 'drop';
  return { ...plain({ cidr, nextHops, why }, where), kind: nextHops.length === 0 ? none : kind };
}

export function plain(
  { cidr, nextHops, why }: PlannedRoute,
  where: 'host' | 'device',
): Omit<RouteEntry, 'kind'> {
  return { cidr: formatCidr(cidr), nextHops: nextHops.map(hop), why, reason: whyText(why, where) };
}

export function hop({ address, to, link }: NextHop): RouteEntry['nextHops'][number] {
  return { address: formatAddress(address), to, link };
}
