/**
 * The input, indexed once: groups with the fabric that holds for them, who shares a link, who is linked to which device, whose underlay
 * address it is. Everything else of this folder reads it and changes nothing in it. May import core/address.
 */
import {
  type Address,
  aggregate,
  type Cidr,
  containsCidr,
  formatAddress,
  formatCidr,
  subtract,
} from '../address/index.ts';
import { type BgpFabric, type Device, type Fabric, type FabricKind, l2Default } from './fabric.ts';
import { Lookup } from './lookup.ts';
import type {
  RoutingGroup,
  RoutingHost,
  RoutingInput,
  RoutingNetwork,
  RoutingProblem,
  RoutingTopology,
} from './model.ts';
import { byName, ofFamily, sortedProblems } from './routes.ts';

export interface GroupNode {
  readonly topology: string;
  readonly path: string;
  readonly parent: GroupNode | null;
  readonly children: GroupNode[];
  readonly fabric: Fabric;
  /** Where that fabric is stated; null: nowhere, it is the default. */
  readonly statedAt: GroupNode | null;
  /** BGP is spoken here or somewhere below. */
  speaks: boolean;
  readonly devices: DeviceNode[];
  readonly aggregates: readonly { readonly network: string; readonly cidr: Cidr }[];
  /** Hosts that the devices of this group serve: below it, and below no group that has devices and is below this one. */
  readonly served: HostNode[];
  /** Groups with devices, below this one with none between. */
  readonly below: GroupNode[];
}

export interface DeviceNode {
  readonly name: string;
  readonly device: Device;
  readonly group: GroupNode;
  readonly ups: DeviceLink[];
  readonly downs: DeviceLink[];
  /** The same by the group that they lead to. */
  readonly downsTo: Map<GroupNode, DeviceLink[]>;
  readonly hosts: HostLink[];
  /** What holds for its BGP sessions; null: it has none. */
  readonly bgp: BgpFabric | null;
}
/** `upperAddresses` are next hops for the lower device, and the other way round. */
export interface DeviceLink {
  readonly upper: DeviceNode;
  readonly lower: DeviceNode;
  readonly upperAddresses: readonly Address[];
  readonly lowerAddresses: readonly Address[];
}

export interface HostNode {
  readonly name: string;
  readonly host: RoutingHost;
  readonly places: readonly GroupNode[];
  /** All its ranges, joined. */
  readonly own: readonly Cidr[];
  /** Granted routes outside its own ranges. */
  readonly granted: readonly Cidr[];
  readonly fenced: boolean;
  readonly lost: boolean;
  readonly links: HostLink[];
  /** Of the first of its groups that has such a fabric; null: it speaks no BGP. */
  readonly bgp: BgpFabric | null;
  readonly asn: number | null;
}
/** A host's link to a device. */
export interface HostLink {
  readonly host: HostNode;
  readonly device: DeviceNode;
  /** The host's addresses on it. */
  readonly addresses: readonly Address[];
  /** The host's name of it. */
  readonly link: string | null;
}

export interface Site {
  readonly networks: readonly RoutingNetwork[];
  readonly hosts: ReadonlyMap<string, HostNode>;
  readonly devices: ReadonlyMap<string, DeviceNode>;
  readonly problems: readonly RoutingProblem[];
  /**
   * Networks that the only topology with devices does not carve, but all of whose hosts stand in it: with that topology's own they are
   * what its top answers for.
   */
  readonly gathered: { readonly topology: string; readonly cidrs: readonly Cidr[] } | null;
  /** Every granted route with its holder; sorted. */
  readonly grants: readonly { readonly cidr: Cidr; readonly holder: HostNode }[];
  /** Whether packets to the address reach this host: of two that claim it, it is the first by name. */
  owns(host: HostNode, address: Address): boolean;
  networkOf(cidr: Cidr): RoutingNetwork | undefined;
}

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
  const byCidr = new Lookup(networks);
  return {
    networks,
    hosts,
    devices,
    problems: sortedProblems(problems),
    gathered: gatheredBy(devices.values(), networks, input.hosts),
    grants: [...hosts.values()].flatMap((holder) =>
      holder.fenced ? [] : holder.granted.map((cidr) => ({ cidr, holder })),
    ),
    owns: (host, address) => !disputed.has(host) || (owners.get(formatAddress(address)) ?? host) === host,
    networkOf: (cidr) => byCidr.cover(cidr),
  };
}

const keyOf = (topology: string, path: string): string => `${topology} ${path}`;

function readTopology(
  { name: topology, root }: RoutingTopology,
  groups: Map<string, GroupNode>,
  devices: Map<string, DeviceNode>,
  about: (name: string, message: string) => void,
): void {
  const read = (group: RoutingGroup, parent: GroupNode | null): GroupNode => {
    const node: GroupNode = {
      ...newGroup(topology, group.path, parent, group.fabric),
      aggregates: group.aggregates,
    };
    groups.set(keyOf(topology, group.path), node);
    for (const child of group.groups) node.children.push(read(child, node));
    node.speaks = node.fabric.kind === 'bgp' || node.children.some(({ speaks }) => speaks);
    for (const device of [...group.devices].sort((a, b) => byName(a.name, b.name))) {
      if (devices.has(device.name)) {
        about(
          device.name,
          `Two devices are called ${device.name}; rename one, only the first by path counts.`,
        );
        continue;
      }
      const bgp = device.asn === null || !node.speaks ? null : sessionFabric(node);
      const known = {
        name: device.name,
        device,
        group: node,
        ups: [],
        downs: [],
        downsTo: new Map(),
        hosts: [],
        bgp,
      };
      devices.set(device.name, known);
      node.devices.push(known);
    }
    if (node.devices.length > 0) node.below.push(...node.children.flatMap(nearestBelow));
    return node;
  };
  read(root, null);
}

function newGroup(
  topology: string,
  path: string,
  parent: GroupNode | null,
  stated: Fabric | null,
): GroupNode {
  const node = {
    topology,
    path,
    parent,
    children: [],
    fabric: stated ?? parent?.fabric ?? l2Default,
    statedAt: parent?.statedAt ?? null,
    speaks: false,
    devices: [],
    aggregates: [],
    served: [],
    below: [],
  };
  if (stated !== null) node.statedAt = node;
  return node;
}

function nearestBelow(group: GroupNode): GroupNode[] {
  return group.devices.length > 0 ? [group] : group.children.flatMap(nearestBelow);
}

/** The group's own, else the first below it in listed order. */
function sessionFabric(group: GroupNode): BgpFabric | null {
  if (group.fabric.kind === 'bgp') return group.fabric;
  for (const child of group.children) {
    const found = child.speaks ? sessionFabric(child) : null;
    if (found !== null) return found;
  }
  return null;
}

/** The nearest group at or above this one that has devices. */
export function serving(group: GroupNode | null): GroupNode | null {
  let at = group;
  while (at !== null && at.devices.length === 0) at = at.parent;
  return at;
}

function linkDevices(
  devices: ReadonlyMap<string, DeviceNode>,
  about: (name: string, message: string) => void,
): void {
  for (const lower of devices.values()) {
    const above = serving(lower.group.parent)?.devices ?? [];
    const { name, device } = lower;
    const uplinks =
      device.uplinks.length > 0
        ? device.uplinks
        : above.map((upper) => ({ device: upper.name, local: [], remote: [] }));
    for (const uplink of uplinks) {
      const upper = above.find((other) => other.name === uplink.device);
      if (upper === undefined) {
        about(
          name,
          `Device ${name} has an uplink to ${uplink.device}, which is no device of the next group above that has any; nothing is routed over it.`,
        );
        continue;
      }
      const link: DeviceLink = {
        upper,
        lower,
        upperAddresses: uplink.remote.length > 0 ? uplink.remote : upper.device.addresses,
        lowerAddresses: uplink.local.length > 0 ? uplink.local : device.addresses,
      };
      lower.ups.push(link);
      upper.downs.push(link);
      const same = upper.downsTo.get(lower.group);
      if (same === undefined) upper.downsTo.set(lower.group, [link]);
      else same.push(link);
    }
  }
}

function readHost(host: RoutingHost, groups: Map<string, GroupNode>): HostNode {
  const places = host.places.map(({ topology, path }) => placeOf(groups, topology, path));
  const own = aggregate(host.ranges.map(({ cidr }) => cidr));
  const bgp = places.map(({ fabric }) => fabric).find((fabric) => fabric.kind === 'bgp') ?? null;
  return {
    name: host.name,
    host,
    places,
    own,
    granted: host.granted.length === 0 ? [] : subtract(host.granted, own),
    fenced: host.state === 'fenced',
    lost: host.state === 'lost',
    links: [],
    bgp,
    asn: bgp === null ? null : asnOf(host, bgp),
  };
}

/** Null: it is told by the host id, and the host has none yet. */
function asnOf(host: RoutingHost, fabric: BgpFabric): number | null {
  if (host.asn !== null) return host.asn;
  if (!fabric.hostAsnPerHost) return fabric.hostAsn;
  if (host.number === null || fabric.hostAsn + host.number > 0xffffffff) return null;
  return fabric.hostAsn + host.number;
}

/** A group that no topology has stands below the nearest one that is there: without devices, a link of its own. */
function placeOf(groups: Map<string, GroupNode>, topology: string, path: string): GroupNode {
  const found = groups.get(keyOf(topology, path));
  if (found !== undefined) return found;
  const cut = path.lastIndexOf('/');
  const parent = path === '' ? null : placeOf(groups, topology, cut < 0 ? '' : path.slice(0, cut));
  const node = newGroup(topology, path, parent, null);
  groups.set(keyOf(topology, path), node);
  return node;
}

function linkHost(
  host: HostNode,
  devices: ReadonlyMap<string, DeviceNode>,
  about: (name: string, message: string) => void,
): void {
  const { addresses, uplinks } = host.host;
  const add = (device: DeviceNode, on: readonly Address[], link: string | null): void => {
    const known = { host, device, addresses: on.length > 0 ? on : addresses, link };
    host.links.push(known);
    device.hosts.push(known);
  };
  for (const { device: name, addresses: on, link } of uplinks) {
    const device = devices.get(name);
    if (device === undefined)
      about(host.name, `Host ${host.name} has an uplink to ${name}, which is no device.`);
    else add(device, on, link);
  }
  if (uplinks.length > 0) return;
  for (const group of new Set(host.places.map(serving))) {
    for (const device of group?.devices ?? []) add(device, [], null);
  }
}

/** Link-local addresses are nobody's: they are told apart by their link. */
function addressOwners(
  hosts: Iterable<HostNode>,
  problems: RoutingProblem[],
): { owners: Map<string, HostNode>; disputed: Set<HostNode> } {
  const owners = new Map<string, HostNode>();
  const disputed = new Set<HostNode>();
  for (const host of hosts) {
    if (host.fenced) continue;
    const { addresses, uplinks } = host.host;
    const all = uplinks.length === 0 ? addresses : [...addresses, ...uplinks.flatMap((up) => up.addresses)];
    for (const address of all) {
      if (isLinkLocal(address)) continue;
      const text = formatAddress(address);
      const owner = owners.get(text);
      if (owner === undefined) owners.set(text, host);
      else if (owner !== host) {
        disputed.add(host);
        problems.push({
          code: 'host_unreachable',
          about: host.name,
          message: `Hosts ${owner.name} and ${host.name} both have the underlay address ${text}; it is taken for that of ${owner.name}, correct the other.`,
        });
      }
    }
  }
  return { owners, disputed };
}

function isLinkLocal({ family, w0 }: Address): boolean {
  return family === 4 ? w0 >>> 16 === 0xa9fe : w0 >>> 22 === 0x3fa;
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

export function insideAny(cidrs: readonly Cidr[], cidr: Cidr): boolean {
  return cidrs.some((outer) => containsCidr(outer, cidr));
}

/** Why a range has no route over the address of its host. */
export function addressProblem(site: Site, host: HostNode, cidr: Cidr): RoutingProblem {
  const { family } = cidr.address;
  const address = ofFamily(host.host.addresses, family);
  const why =
    address === undefined || site.owns(host, address)
      ? `it needs an underlay address of that family, used by no other host`
      : `its underlay address ${formatAddress(address)} is that of another host too`;
  return {
    code: 'host_unreachable',
    about: host.name,
    message: `No route to ${formatCidr(cidr)} of host ${host.name}: ${why}.`,
  };
}
