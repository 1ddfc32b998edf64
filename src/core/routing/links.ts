/**
 * Hosts that share a link and route directly to each other. May import core/address.
 *
 * Computed once for the whole link; a host's routes are those of the others. Only where ranges overlap, which allocation does not let
 * happen, each host is looked at by itself (own ranges win, then the first by name).
 */
import {
  aggregate,
  type Cidr,
  compareCidr,
  containsCidr,
  equalCidr,
  formatCidr,
  overlaps,
  subtract,
} from '../address/index.ts';
import { addressProblem } from './checks.ts';
import type { NextHop, PlannedRoute, RoutingProblem } from './model.ts';
import type { GroupNode, HostNode, Site } from './nodes.ts';
import { hopSet, ofFamily } from './routes.ts';

export interface Member {
  readonly host: HostNode;
  /** What it holds of the networks that this link serves. */
  readonly ranges: readonly Cidr[];
}
export interface Link {
  /** By name; those that take part, and fenced ones, to which nobody routes. */
  readonly members: readonly Member[];
  /** Sorted ranges of all that are routed to, when no two overlap; else null. */
  readonly entries: readonly { readonly cidr: Cidr; readonly host: HostNode }[] | null;
  /** Some member holds a granted route. */
  readonly grants: boolean;
  readonly ways: Map<string, readonly Way[]>;
}

/** The links of every host. */
export function findLinks(site: Site): ReadonlyMap<HostNode, readonly Link[]> {
  const members = new Map<GroupNode | null, Member[]>();
  const add = (key: GroupNode | null, member: Member): void => {
    const list = members.get(key);
    if (list === undefined) members.set(key, [member]);
    else list.push(member);
  };
  const carvers = new Map(site.networks.map(({ name, topology }) => [name, topology]));
  for (const host of site.hosts.values()) {
    const { places } = host;
    if (places.length === 0) add(null, { host, ranges: host.own });
    for (const [n, place] of places.entries()) {
      const key = sharedLink(place);
      if (key === null) continue;
      const within = host.host.ranges.filter(({ network }) => {
        const carver = carvers.get(network) ?? null;
        return carver === null ? n === 0 : carver === place.topology;
      });
      const ranges =
        within.length === host.host.ranges.length ? host.own : aggregate(within.map(({ cidr }) => cidr));
      add(key, { host, ranges });
    }
  }
  const links = new Map<HostNode, Link[]>();
  for (const list of members.values()) {
    const grants = list.some(({ host }) => host.granted.length > 0);
    const link: Link = { members: list, entries: entriesOf(list), grants, ways: new Map() };
    for (const { host } of list) links.set(host, [...(links.get(host) ?? []), link]);
  }
  return links;
}

/** The group whose hosts share this one's link; null: each host has a link of its own. */
export function sharedLink(place: GroupNode): GroupNode | null {
  const { fabric, statedAt } = place;
  if (statedAt === null) return place;
  if (fabric.kind === 'l2') return statedAt;
  // What is stated of a whole VPC is more than one subnet, unless it names one.
  if (fabric.kind === 'vpc') return fabric.subnet === null ? place : statedAt;
  // A data centre stated at the top is more than one link; its groups are.
  if (fabric.kind === 'bgp' && fabric.direct) return statedAt.parent === null ? place : statedAt;
  return null;
}

function entriesOf(members: readonly Member[]): Link['entries'] {
  const entries = members.flatMap(({ host, ranges }) =>
    host.fenced ? [] : ranges.map((cidr) => ({ cidr, host })),
  );
  entries.sort((a, b) => compareCidr(a.cidr, b.cidr));
  const disjoint = entries.every(({ cidr }, n) => n === 0 || !containsCidr(entries[n - 1]!.cidr, cidr));
  return disjoint ? entries : null;
}

export interface DirectRoutes {
  readonly routes: readonly PlannedRoute[];
  readonly problems: readonly RoutingProblem[];
  /** The routes are sorted, disjoint, and as few as can be. */
  readonly plain: boolean;
}

/** The way to each entry of the link, the same for all hosts with uplinks to the same devices: a problem where there is none. */
interface Way {
  readonly host: HostNode;
  readonly route: PlannedRoute | null;
  readonly problem: RoutingProblem | null;
}

function waysOf(
  site: Site,
  self: HostNode,
  link: Link,
  entries: NonNullable<Link['entries']>,
): readonly Way[] {
  const key = self.host.uplinks.map((uplink) => `${uplink.device} ${uplink.link ?? ''}`).join();
  let ways = link.ways.get(key);
  if (ways === undefined) {
    const hops = hopCache(site, self);
    ways = entries.map(({ cidr, host }) => wayTo(site, hops, cidr, host, 'host'));
    // Where every host has links of its own, remembering all would cost the square of the hosts.
    if (link.ways.size >= 16) link.ways.clear();
    link.ways.set(key, ways);
  }
  return ways;
}

type Hops = (host: HostNode, family: 4 | 6) => readonly NextHop[];

function hopCache(site: Site, self: HostNode): Hops {
  const known = new Map<HostNode, { 4?: readonly NextHop[]; 6?: readonly NextHop[] }>();
  return (host, family) => {
    let hops = known.get(host);
    if (hops === undefined) known.set(host, (hops = {}));
    return (hops[family] ??= hopsTo(site, self, host, family));
  };
}

function wayTo(site: Site, hops: Hops, cidr: Cidr, host: HostNode, kind: 'host' | 'granted'): Way {
  if (host.lost) {
    const route: PlannedRoute = { cidr, nextHops: [], why: { kind: 'withdrawn', host: host.name } };
    return { host, route, problem: null };
  }
  const nextHops = hops(host, cidr.address.family);
  return nextHops.length === 0
    ? { host, route: null, problem: addressProblem(site, host, cidr) }
    : { host, route: { cidr, nextHops, why: { kind, host: host.name } }, problem: null };
}

export function directRoutes(site: Site, self: HostNode, link: Link): DirectRoutes {
  const routes: PlannedRoute[] = [];
  const problems: RoutingProblem[] = [];
  const take = ({ route, problem }: Way): void => {
    if (route !== null) routes.push(route);
    if (problem !== null) problems.push(problem);
  };
  if (link.entries !== null) {
    for (const way of waysOf(site, self, link, link.entries)) if (way.host !== self) take(way);
  }
  if (link.entries !== null && !link.grants) return { routes, problems, plain: true };
  const hops = hopCache(site, self);
  if (link.entries === null) {
    claimed(self, link, (cidr, host) => take(wayTo(site, hops, cidr, host, 'host')), problems);
  }
  for (const { host } of link.members) {
    if (host === self || host.fenced) continue;
    for (const cidr of host.granted) {
      // A granted route is narrower than what it is taken from.
      if (self.own.some((own) => containsCidr(cidr, own))) problems.push(taken(host, cidr, self.name));
      else take(wayTo(site, hops, cidr, host, 'granted'));
    }
  }
  return { routes, problems, plain: false };
}

/** Some ranges overlap: nothing routes own ranges away, and of two hosts that claim one range the first by name gets it. */
function claimed(
  self: HostNode,
  { members }: Link,
  add: (cidr: Cidr, host: HostNode) => void,
  problems: RoutingProblem[],
): void {
  const routed = new Map<string, string>();
  for (const { host, ranges } of members) {
    if (host === self || host.fenced) continue;
    const free = ranges.some((range) => self.own.some((mine) => overlaps(range, mine)))
      ? subtract(ranges, self.own)
      : ranges;
    for (const cidr of free === ranges ? [] : subtract(ranges, free)) {
      problems.push(taken(host, cidr, self.name));
    }
    for (const cidr of free) {
      const holder = routed.get(formatCidr(cidr));
      if (holder === undefined) {
        routed.set(formatCidr(cidr), host.name);
        add(cidr, host);
      } else problems.push(taken(host, cidr, holder));
    }
  }
}

function taken(host: HostNode, cidr: Cidr, holder: string): RoutingProblem {
  return {
    code: 'host_unreachable',
    about: host.name,
    message: `No route to ${formatCidr(cidr)} of host ${host.name}: host ${holder} has it already.`,
  };
}

/** Over every link that leads both to one device; else to the peer's underlay address. */
function hopsTo(site: Site, self: HostNode, peer: HostNode, family: number): readonly NextHop[] {
  const hops: NextHop[] = [];
  if (self.host.uplinks.length > 0) {
    for (const uplink of self.host.uplinks) {
      for (const other of peer.host.uplinks) {
        const address = other.device === uplink.device ? ofFamily(other.addresses, family) : undefined;
        if (address !== undefined && site.owns(peer, address))
          hops.push({ address, to: peer.name, link: uplink.link });
      }
    }
  }
  if (hops.length > 0) return hopSet(hops);
  const address = ofFamily(peer.host.addresses, family);
  if (address === undefined || !site.owns(peer, address)) return [];
  return [{ address, to: peer.name, link: null }];
}

/** The entry of the link that contains the CIDR. */
export function entryOver({ entries, members }: Link, cidr: Cidr): boolean {
  if (entries === null)
    return members.some(
      ({ host, ranges }) => !host.fenced && ranges.some((range) => containsCidr(range, cidr)),
    );
  let low = 0;
  let high = entries.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const entry = entries[middle]!;
    if (compareCidr(entry.cidr, cidr) <= 0) low = middle + 1;
    else high = middle;
  }
  const entry = entries[low - 1];
  return entry !== undefined && (equalCidr(entry.cidr, cidr) || containsCidr(entry.cidr, cidr));
}
