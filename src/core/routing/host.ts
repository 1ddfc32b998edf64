/** Routes of one host. May import core/address. */
import { compareCidr, containsCidr, formatCidr, widthOf } from '../address/index.ts';
import { hostIntent } from './host-bgp.ts';
import { directRoutes, entryOver, type Link } from './links.ts';
import type { HostRouting, NextHop, PlannedRoute, RoutingProblem } from './model.ts';
import { fewest, hopSet, LINK_LOCAL, sortedProblems } from './routes.ts';
import { hostSessions } from './sessions.ts';
import { type HostNode, kindsOf, type Site } from './site.ts';

export function hostRouting(site: Site, self: HostNode, links: readonly Link[]): HostRouting {
  const gateways = gatewaysOf(self);
  const problems: RoutingProblem[] = site.problems.filter(({ about }) => about === self.name);
  const routes: PlannedRoute[] = blackholes(self);
  if (!self.fenced) {
    for (const link of links) {
      const direct = directRoutes(site, self, link);
      routes.push(...direct.routes);
      problems.push(...direct.problems);
    }
    routes.push(...grantedElsewhere(site, self, links, gateways, problems));
  }
  const learned = learnedRoutes(site, self);
  const bgp = hostIntent(site, self, problems);
  return {
    name: self.name,
    kinds: kindsOf(self),
    routes: fewest(routes),
    learned,
    gateways,
    bgp,
    problems: sortedProblems(problems),
  };
}

/** A granted address of its own, a host route, is the endpoint's: the route to its link has the same CIDR. */
function blackholes(self: HostNode): PlannedRoute[] {
  const wide = self.granted.filter(({ address, length }) => length < widthOf(address.family));
  return [...self.own, ...wide].map((cidr) => ({ cidr, nextHops: [], why: { kind: 'own' } }));
}

/**
 * A granted route of a host on another link, where this one has a wider route that would lead it wrong: a direct one to its home, or as
 * its home the blackhole.
 */
function grantedElsewhere(
  site: Site,
  self: HostNode,
  links: readonly Link[],
  gateways: readonly NextHop[],
  problems: RoutingProblem[],
): PlannedRoute[] {
  return site.grants.flatMap(({ cidr, holder }): PlannedRoute[] => {
    if (holder === self || links.some(({ members }) => members.some(({ host }) => host === holder)))
      return [];
    const home = self.own.some((own) => containsCidr(own, cidr) && own.length < cidr.length);
    if (!home && !links.some((link) => entryOver(link, cidr))) return [];
    const nextHops = gateways.filter(({ address }) => address.family === cidr.address.family);
    if (nextHops.length === 0) {
      problems.push({
        code: 'host_unreachable',
        about: holder.name,
        message: `No route to ${formatCidr(cidr)}, granted to host ${holder.name} on another link: no device is stated to lead there.`,
      });
      return [];
    }
    return [{ cidr, nextHops: hopSet(nextHops), why: { kind: 'granted', host: holder.name } }];
  });
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
