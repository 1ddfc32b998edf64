/** Next hops as the commands on routes write them. */
import type { RouteEntry } from '#contract/routing-model.ts';

export function hopText(hops: RouteEntry['nextHops']): string {
  return hops.map(({ address, to }) => `${address} (${to})`).join(', ');
}
