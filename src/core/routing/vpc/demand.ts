/**
 * What wants routes in a VPC's tables, before it is known what fits. May import core/address.
 *
 * 1. Ranges that may be joined (a forest) are of one network and of hosts that stand in one subnet; all others want a route each.
 * 2. A range is wanted once: where two hosts claim addresses, the wider claim, or else the first by name, has them.
 * 3. Nobody routes to fenced and lost hosts, nor to one without an instance.
 */
import { aggregate, compareCidr, containsCidr, formatCidr } from '../../address/index.ts';
import type { RoutingHost } from '../model.ts';
import type { Forest, Item } from './cut.ts';
import type { VpcLink, VpcProblem, VpcRoute, VpcSite, VpcState } from './model.ts';
import { byText } from './site.ts';

export interface LinkForest {
  readonly link: VpcLink;
  /** Hosts of the link in its subnet, by name: any of them reaches all others. */
  readonly members: readonly RoutingHost[];
  readonly forest: Forest;
}
export interface Demand {
  readonly forests: readonly LinkForest[];
  readonly single: readonly VpcRoute[];
}

interface Claim extends Item {
  /** Index of the forest; null: a route of its own. */
  readonly forest: number | null;
}

export function demandOf(site: VpcSite, state: VpcState, problems: VpcProblem[]): Demand {
  const claims: Claim[] = [];
  const grounds: { link: VpcLink; members: RoutingHost[]; cidr: Forest['cidr'] }[] = [];
  const present = new Map<string, RoutingHost>();
  for (const link of site.links) {
    const here = presentIn(link, state, problems);
    const members = sameSubnet(link, here, state, problems);
    const inside = new Set(members);
    for (const host of here) present.set(host.name, host);
    for (const { network, cidr } of link.aggregates) {
      const index = grounds.push({ link, members, cidr }) - 1;
      for (const host of here) {
        for (const range of rangesOf(host, network)) {
          const joinable = inside.has(host) && containsCidr(cidr, range);
          claims.push({ cidr: range, host: host.name, forest: joinable ? index : null });
        }
      }
    }
  }
  for (const host of present.values()) {
    for (const network of site.uncarved)
      for (const cidr of rangesOf(host, network)) claims.push({ cidr, host: host.name, forest: null });
  }
  const kept = disjoint(claims, problems);
  const items = grounds.map((): Item[] => []);
  const single: VpcRoute[] = remoteRoutes(site);
  for (const { cidr, host, forest } of kept) {
    if (forest !== null) items[forest]?.push({ cidr, host });
    else single.push({ cidr, target: interfaceOf(host, state), why: { kind: 'host', host } });
  }
  const routed = new Set(single.concat().map(({ cidr }) => formatCidr(cidr)));
  for (const { cidr } of kept) routed.add(formatCidr(cidr));
  for (const route of grantedRoutes([...present.values()], state)) {
    const text = formatCidr(route.cidr);
    if (!routed.has(text)) single.push(route);
    routed.add(text);
  }
  const forests = grounds.map(({ link, members, cidr }, index) => ({
    link,
    members,
    forest: { cidr, items: items[index] ?? [] },
  }));
  return { forests, single };
}

export function interfaceOf(host: string, { instances }: VpcState): string {
  return instances.get(host)?.interface ?? '';
}

function rangesOf(host: RoutingHost, network: string) {
  return aggregate(host.ranges.flatMap((range) => (range.network === network ? [range.cidr] : [])));
}

function presentIn(link: VpcLink, { instances }: VpcState, problems: VpcProblem[]): RoutingHost[] {
  return link.hosts.filter((host) => {
    if (host.state === 'fenced' || host.state === 'lost') return false;
    const instance = instances.get(host.name);
    if (instance !== undefined && instance.state !== 'terminated') return true;
    const message = `No instance has an address of host ${host.name}, so nothing is routed to it: correct its addresses, or label it aws/instance=ID.`;
    if (!problems.some(({ code, about }) => code === 'no_instance' && about === host.name))
      problems.push({ code: 'no_instance', message, about: host.name });
    return false;
  });
}

/** The subnet stated, or the one that most hosts stand in. */
function sameSubnet(
  link: VpcLink,
  hosts: readonly RoutingHost[],
  { instances }: VpcState,
  problems: VpcProblem[],
): RoutingHost[] {
  const subnetOf = (host: RoutingHost): string => instances.get(host.name)?.subnet ?? '';
  const counted = [...Map.groupBy(hosts, subnetOf)].sort(
    ([a, left], [b, right]) => right.length - left.length || byText(a, b),
  );
  const subnet = link.subnet ?? counted[0]?.[0];
  for (const host of hosts) {
    if (subnetOf(host) === subnet) continue;
    const message = `Host ${host.name} stands in ${subnetOf(host)}, the others of group ${link.path === '' ? link.topology : link.path} in ${subnet}: put it into a group of its own subnet, or its neighbours do not reach it.`;
    problems.push({ code: 'wrong_subnet', message, about: host.name });
  }
  return hosts.filter((host) => subnetOf(host) === subnet);
}

function disjoint(claims: readonly Claim[], problems: VpcProblem[]): Claim[] {
  const sorted = claims.toSorted((a, b) => compareCidr(a.cidr, b.cidr) || byText(a.host, b.host));
  const kept: Claim[] = [];
  for (const claim of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !containsCidr(last.cidr, claim.cidr)) {
      kept.push(claim);
      continue;
    }
    if (last.host === claim.host) continue;
    const message = `${formatCidr(claim.cidr)} of host ${claim.host} lies in ${formatCidr(last.cidr)} of host ${last.host}, which has the route.`;
    problems.push({ code: 'range_twice', message, about: claim.host });
  }
  return kept;
}

function remoteRoutes(site: VpcSite): VpcRoute[] {
  const found = new Map<string, VpcRoute>();
  for (const { topology, path, connection, cidrs } of site.remotes) {
    for (const cidr of cidrs) {
      const text = formatCidr(cidr);
      if (!found.has(text))
        found.set(text, { cidr, target: connection, why: { kind: 'remote', topology, path } });
    }
  }
  return [...found.values()];
}

function grantedRoutes(hosts: readonly RoutingHost[], state: VpcState): VpcRoute[] {
  return hosts.flatMap((host) =>
    aggregate(host.granted)
      .filter((cidr) => !host.ranges.some((range) => containsCidr(range.cidr, cidr)))
      .map((cidr) => ({
        cidr,
        target: interfaceOf(host.name, state),
        why: { kind: 'granted' as const, host: host.name },
      })),
  );
}
