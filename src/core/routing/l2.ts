/**
 * Routes of one host on the `l2` fabric: one route per range of every other host on the same link, via that host.
 * May import core/address.
 *
 * 1. By longest-prefix match every address of a host on the same link goes to that host (host CIDRs are disjoint by allocation;
 *    where two hosts claim one range all the same, see 5).
 * 2. Ranges are joined only within one next hop, and only to ranges that this next hop owns in full.
 * 3. Nothing routes the host's own ranges away, even when another host claims a part of them.
 * 4. The result does not depend on the order of the input.
 * 5. What gets no route is listed as unreachable, never left out silently.
 */

import {
  type Address,
  aggregate,
  type Cidr,
  compareCidr,
  formatCidr,
  overlaps,
  subtract,
} from '../address/index.ts';

export interface L2Host {
  readonly name: string;
  /** Underlay addresses, at most one per family. */
  readonly addresses: readonly Address[];
  /** Hosts with the same group share a link; those without one (null) share one flat link. */
  readonly group: string | null;
  /** The host CIDRs of all host ids it holds, of every network. */
  readonly cidrs: readonly Cidr[];
}

export interface L2Route {
  readonly cidr: Cidr;
  readonly via: Address;
}

export interface L2Routes {
  readonly routes: readonly L2Route[];
  /** The host's own ranges: what no endpoint route covers is dropped here and does not go back to the default route. */
  readonly blackholes: readonly Cidr[];
  /**
   * Ranges on the same link without a route: their host has no underlay address of that family, or another host (this one, or
   * else the first by name) has them already.
   */
  readonly unreachable: readonly { readonly host: string; readonly cidr: Cidr }[];
}

/** `hosts` may contain `self`. Hosts of other groups get no route here: the default route and the switches' aggregates serve them. */
export function hostRoutes(self: L2Host, hosts: readonly L2Host[]): L2Routes {
  const blackholes = aggregate(self.cidrs);
  const routes: L2Route[] = [];
  const unreachable: { host: string; cidr: Cidr }[] = [];
  const routed = new Set<string>();
  const peers = hosts.filter((host) => host.name !== self.name && host.group === self.group);
  for (const host of peers.sort((a, b) => byName(a.name, b.name))) {
    const ranges = aggregate(host.cidrs);
    const free = withoutOwn(ranges, blackholes);
    for (const cidr of free === ranges ? [] : subtract(ranges, free))
      unreachable.push({ host: host.name, cidr });
    for (const cidr of free) {
      const via = host.addresses.find((address) => address.family === cidr.address.family);
      const key = formatCidr(cidr);
      if (via === undefined || routed.has(key)) {
        unreachable.push({ host: host.name, cidr });
      } else {
        routed.add(key);
        routes.push({ cidr, via });
      }
    }
  }
  routes.sort((a, b) => compareCidr(a.cidr, b.cidr));
  unreachable.sort((a, b) => compareCidr(a.cidr, b.cidr) || byName(a.host, b.host));
  return { routes, blackholes, unreachable };
}

/** `ranges` themselves in the normal case that nobody else claims what is ours. */
function withoutOwn(ranges: Cidr[], own: readonly Cidr[]): Cidr[] {
  return ranges.some((range) => own.some((mine) => overlaps(range, mine))) ? subtract(ranges, own) : ranges;
}

/** By code units, not by locale: the same on every host. */
function byName(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
