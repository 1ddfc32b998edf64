/**
 * The VPCs of a site: which hosts share a subnet, and what is reached over connections. May import core/address.
 *
 * 1. A group that states a subnet is one link with everything below that states no fabric of its own; else each leaf group is one.
 * 2. A VPC that several groups state is one VPC: their tables, hosts and connections together.
 */
import type { Fabric, VpcFabric } from '../fabric.ts';
import type { RoutingGroup, RoutingHost, RoutingInput, RoutingTopology } from '../model.ts';
import type { VpcLink, VpcProblem, VpcRemote, VpcSite } from './model.ts';

interface Found {
  readonly fabric: VpcFabric;
  readonly group: RoutingGroup;
  readonly topology: RoutingTopology;
}

export function vpcSites(input: RoutingInput): VpcSite[] {
  const links: Found[] = [];
  const stated: Found[] = [];
  for (const topology of input.topologies) walk(topology, topology.root, null, links, stated);
  const standing = hostsByGroup(input);
  const keyed = Map.groupBy(stated, ({ fabric }) => siteKey(fabric));
  return [...keyed]
    .map(([key, all]) => {
      const first = all[0]?.fabric;
      if (first === undefined) throw new Error('a group of nothing');
      const budgets = all.flatMap(({ fabric }) => fabric.budget ?? []);
      const problems: VpcProblem[] = [];
      return {
        region: first.region,
        vpc: first.vpc,
        endpoint: first.endpoint,
        routeTables: [...new Set(all.flatMap(({ fabric }) => fabric.routeTables))].sort(),
        budget: budgets.length === 0 ? null : Math.min(...budgets),
        links: links
          .filter(({ fabric }) => siteKey(fabric) === key)
          .map((one) => linkOf(one, standing))
          .filter(({ hosts }) => hosts.length > 0),
        remotes: all.flatMap((one) => remotesOf(one, problems)),
        networks: input.networks.map(({ cidr }) => cidr),
        uncarved: input.networks.flatMap(({ name, topology }) => (topology === null ? [name] : [])),
        problems,
      };
    })
    .sort((a, b) => byText(`${a.region} ${a.vpc}`, `${b.region} ${b.vpc}`));
}

export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function siteKey({ region, vpc }: VpcFabric): string {
  return `${region} ${vpc}`;
}

function walk(
  topology: RoutingTopology,
  group: RoutingGroup,
  above: Fabric | null,
  links: Found[],
  stated: Found[],
): void {
  const fabric = group.fabric ?? above;
  if (group.fabric?.kind === 'vpc') stated.push({ fabric: group.fabric, group, topology });
  if (fabric?.kind === 'vpc' && (group.groups.length === 0 || (fabric.subnet !== null && fabric !== above)))
    links.push({ fabric, group, topology });
  for (const child of group.groups) {
    // below a stated subnet everything is that link, until a group states a fabric of its own
    const inside = fabric?.kind === 'vpc' && fabric.subnet !== null && child.fabric === null;
    if (!inside) walk(topology, child, fabric, links, stated);
    else for (const one of exceptions(child)) walk(topology, one, fabric, links, stated);
  }
}

/** The topmost groups below that state a fabric of their own. */
function exceptions(group: RoutingGroup): RoutingGroup[] {
  return group.groups.flatMap((child) => (child.fabric === null ? exceptions(child) : [child]));
}

function hostsByGroup(input: RoutingInput): Map<string, RoutingHost[]> {
  const found = new Map<string, RoutingHost[]>();
  for (const host of input.hosts) {
    for (const { topology, path } of host.places) {
      const key = `${topology} ${path}`;
      const others = found.get(key);
      if (others === undefined) found.set(key, [host]);
      else others.push(host);
    }
  }
  return found;
}

function linkOf({ fabric, group, topology }: Found, standing: Map<string, RoutingHost[]>): VpcLink {
  const hosts: RoutingHost[] = [];
  const take = (one: RoutingGroup): void => {
    hosts.push(...(standing.get(`${topology.name} ${one.path}`) ?? []));
    for (const child of one.groups) if (child.fabric === null) take(child);
  };
  take(group);
  const { subnet } = fabric;
  hosts.sort((a, b) => byText(a.name, b.name));
  return { topology: topology.name, path: group.path, subnet, aggregates: group.aggregates, hosts };
}

function remotesOf({ fabric, group, topology }: Found, problems: VpcProblem[]): VpcRemote[] {
  return fabric.peerings.flatMap(({ group: path, connection }) => {
    const found = findGroup(topology.root, path);
    if (found === undefined) {
      const message = `The connection ${connection} of VPC ${fabric.vpc} leads to the group ${path}, which the topology ${topology.name} does not have: name a group of it.`;
      problems.push({ code: 'connection_unknown_group', message, about: group.path });
      return [];
    }
    const cidrs = found.aggregates.map(({ cidr }) => cidr);
    return [{ topology: topology.name, path, connection, cidrs }];
  });
}

function findGroup(group: RoutingGroup, path: string): RoutingGroup | undefined {
  if (group.path === path) return group;
  for (const child of group.groups) {
    const found = findGroup(child, path);
    if (found !== undefined) return found;
  }
  return undefined;
}
