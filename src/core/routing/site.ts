/**
 * The input, indexed once: groups with the fabric that holds for them, who is linked to which device, whose underlay address it is.
 * Everything else of this folder reads it and changes nothing in it. May import core/address.
 */
import type { Cidr } from '../address/index.ts';
import { checkSite, isLed } from './checks.ts';
import type { FabricKind } from './fabric.ts';
import { addressKey } from './lookup.ts';
import type { RoutingHost, RoutingInput, RoutingNetwork, RoutingProblem } from './model.ts';
import type { DeviceNode, GroupNode, HostNode, Site } from './nodes.ts';
import { byName, sortedProblems } from './routes.ts';
import { linkDevices, readTopology, serving } from './site-groups.ts';
import { addressOwners, linkHost, readHost } from './site-hosts.ts';

export function readSite(input: RoutingInput): Site {
  const problems: RoutingProblem[] = [];
  const about = (name: string, message: string): void => {
    problems.push({ code: 'topology_invalid', about: name, message });
  };
  const devices = new Map<string, DeviceNode>();
  const groups = new Map<string, GroupNode>();
  for (const topology of [...input.topologies].sort((a, b) => byName(a.name, b.name))) {
    readTopology(topology, groups, devices, about);
  }
  linkDevices(devices, about);
  const hosts = new Map<string, HostNode>();
  for (const host of [...input.hosts].sort((a, b) => byName(a.name, b.name))) {
    const node = readHost(host, groups);
    hosts.set(host.name, node);
    linkHost(node, devices, about);
    for (const place of new Set(node.places.map(serving))) place?.served.push(node);
  }
  const { owners, disputed } = addressOwners(hosts.values(), problems);
  const networks = [...input.networks].sort((a, b) => byName(a.name, b.name));
  const site: Site = {
    networks,
    families: ([4, 6] as const).filter((family) =>
      networks.some(({ cidr }) => cidr.address.family === family),
    ),
    hosts,
    devices,
    problems: [],
    gathered: gatheredBy(devices.values(), networks, input.hosts),
    grants: [],
    owns: (host, address) => !disputed.has(host) || (owners.get(addressKey(address)) ?? host) === host,
  };
  const grants = [...hosts.values()].flatMap((holder) =>
    holder.fenced ? [] : holder.granted.map((cidr) => ({ cidr, holder, led: isLed(site, holder, cidr) })),
  );
  return { ...site, grants, problems: sortedProblems([...problems, ...checkSite(site)]) };
}

export function kindsOf({ places }: HostNode): FabricKind[] {
  if (places.length === 0) return ['l2'];
  return [...new Set(places.map(({ fabric }) => fabric.kind))];
}

function gatheredBy(
  devices: Iterable<DeviceNode>,
  networks: readonly RoutingNetwork[],
  hosts: readonly RoutingHost[],
): Site['gathered'] {
  const topologies = new Set([...devices].map(({ group }) => group.topology));
  const [topology] = topologies;
  if (topology === undefined || topologies.size > 1) return null;
  const outside = new Set(
    hosts
      .filter(({ places }) => places.every((place) => place.topology !== topology))
      .flatMap(({ ranges }) => ranges.map(({ network }) => network)),
  );
  const cidrs = networks
    .filter((network) => network.topology !== topology && !outside.has(network.name))
    .map(({ cidr }) => cidr);
  return { topology, cidrs };
}

/** What the devices of a group answer for: whatever nobody below has of it ends there. */
export function ownAggregates({ gathered }: Site, { parent, topology, aggregates }: GroupNode): Cidr[] {
  const own = aggregates.map(({ cidr }) => cidr);
  return parent === null && gathered?.topology === topology ? [...own, ...gathered.cidrs] : own;
}
