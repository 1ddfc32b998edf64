/** Routes of one host. May import core/address. */
import {
  type Address,
  type Cidr,
  compareCidr,
  containsCidr,
  equalAddress,
  formatCidr,
  widthOf,
} from '../address/index.ts';
import { hostIntent } from './host-bgp.ts';
import { directRoutes, entryOver, type Link, sharedLink } from './links.ts';
import type { HostRouting, NextHop, PlannedRoute, RoutingProblem } from './model.ts';
import type { HostNode, Site } from './nodes.ts';
import { fewest, hopSet, LINK_LOCAL, sortedProblems } from './routes.ts';
import { hostSessions } from './sessions.ts';
import { kindsOf } from './site.ts';

export function hostRouting(site: Site, self: HostNode, links: readonly Link[]): HostRouting {
  const gateways = gatewaysOf(self);
  const problems: RoutingProblem[] = site.problems.filter(({ about }) => about === self.name);
  const own = blackholes(self);
  const direct = self.fenced ? [] : links.map((link) => directRoutes(site, self, link));
  for (const part of direct) problems.push(...part.problems);
  const empty = self.fenced ? [] : emptySubnet(self);
  const up = self.fenced ? [] : grantedElsewhere(site, self, links, empty, gateways, problems);
  const [only] = direct;
  // By far the most frequent case, and the one with many routes.
  const plain = up.length + empty.length === 0 && direct.length < 2 && (only === undefined || only.plain);
  const routes = plain
    ? merged(own, only?.routes ?? [])
    : fewest([...own, ...direct.flatMap((part) => part.routes), ...up, ...empty]);
  const learned = learnedRoutes(site, self);
  const bgp = hostIntent(site, self, problems);
  return {
    name: self.name,
    kinds: kindsOf(self),
    routes,
    learned,
    gateways,
    bgp,
    problems: sortedProblems(problems),
  };
}

/** Two sorted lists as one. */
function merged(a: readonly PlannedRoute[], b: readonly PlannedRoute[]): PlannedRoute[] {
  const out: PlannedRoute[] = [];
  let n = 0;
  for (const route of a) {
    while (n < b.length && compareCidr(b[n]!.cidr, route.cidr) < 0) out.push(b[n++]!);
    out.push(route);
  }
  while (n < b.length) out.push(b[n++]!);
  return out;
}

/** A granted address of its own, a host route, is the endpoint's: the route to its link has the same CIDR. */
function blackholes(self: HostNode): PlannedRoute[] {
  const wide = self.granted.filter(({ address, length }) => length < widthOf(address.family));
  const all = wide.length === 0 ? self.own : [...self.own, ...wide].sort(compareCidr);
  return all.map((cidr) => ({ cidr, nextHops: [], why: { kind: 'own' } }));
}

/**
 * In a VPC what nobody has of the subnet's part ends here: the tables may lead all of it to this host, and its default route leads back
 * to the tables.
 */
function emptySubnet({ places, own }: HostNode): PlannedRoute[] {
  return places.flatMap((place): PlannedRoute[] => {
    const link = place.fabric.kind === 'vpc' ? sharedLink(place) : null;
    if (link === null) return [];
    const { topology, path } = link;
    return link.aggregates
      .filter(({ cidr }) => !own.some((mine) => containsCidr(mine, cidr)))
      .map(({ cidr }) => ({ cidr, nextHops: [], why: { kind: 'group', topology, path } }));
  });
}

/**
 * A granted route of a host on another link, where this one has a wider route that would lead it wrong: a direct one to its home, or as
 * its home the blackhole.
 */
function grantedElsewhere(
  site: Site,
  self: HostNode,
  links: readonly Link[],
  empty: readonly PlannedRoute[],
  gateways: readonly NextHop[],
  problems: RoutingProblem[],
): PlannedRoute[] {
  return site.grants.flatMap(({ cidr, holder, led: known }): PlannedRoute[] => {
    if (holder === self || links.some(({ members }) => members.some(({ host }) => host === holder)))
      return [];
    const home = self.own.some((own) => containsCidr(own, cidr) && own.length < cidr.length);
    const led = links.some((link) => entryOver(link, cidr));
    if (!home && !led && !empty.some((route) => containsCidr(route.cidr, cidr))) return [];
    const nextHops = known ? gateways.filter(({ address }) => leads(address, cidr)) : [];
    if (nextHops.length === 0) {
      problems.push({
        code: 'host_unreachable',
        about: holder.name,
        message: `No route to ${formatCidr(cidr)}, granted to host ${holder.name} on another link: no device is stated to lead there.`,
      });
      // Sent to its home it would come back from there, or go through it.
      return known && !home ? [{ cidr, nextHops: [], why: { kind: 'withdrawn', host: holder.name } }] : [];
    }
    return [{ cidr, nextHops: hopSet(nextHops), why: { kind: 'granted', host: holder.name } }];
  });
}

/** Nobody can be told to send to a neighbour whose address is not known. */
function leads(address: Address, cidr: Cidr): boolean {
  return address.family === cidr.address.family && !equalAddress(address, LINK_LOCAL);
}

/** The devices of the first of its groups that has any, or those that its uplinks name. */
function gatewaysOf(self: HostNode): readonly NextHop[] {
  const first = self.links[0]?.device.group.topology;
  return hopSet(
    self.links
      .filter(({ device }) => device.group.topology === first)
      .flatMap(({ device, link }): NextHop[] => {
        const addresses = device.device.addresses.length > 0 ? device.device.addresses : [LINK_LOCAL];
        return addresses.map((address) => ({ address, to: device.name, link }));
      }),
  );
}

function learnedRoutes(site: Site, self: HostNode): readonly PlannedRoute[] {
  if (self.bgp === null) return [];
  const hops: Record<4 | 6, NextHop[]> = { 4: [], 6: [] };
  for (const hostLink of self.links) {
    const { device, link } = hostLink;
    for (const { families, upper } of hostSessions(site, hostLink)) {
      for (const family of families)
        hops[family].push({ address: upper ?? LINK_LOCAL, to: device.name, link });
    }
  }
  const sets = { 4: hopSet(hops[4]), 6: hopSet(hops[6]) };
  return site.networks
    .flatMap(({ name, cidr }): PlannedRoute[] => {
      const nextHops = sets[cidr.address.family];
      return nextHops.length === 0 ? [] : [{ cidr, nextHops, why: { kind: 'network', network: name } }];
    })
    .sort((a, b) => compareCidr(a.cidr, b.cidr));
}
