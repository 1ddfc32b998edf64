/** Hosts out of the input: where they stand, what they are linked to, whose an underlay address is. May import core/address. */
import { type Address, aggregate, formatAddress, subtract } from '../address/index.ts';
import type { BgpFabric } from './fabric.ts';
import { addressKey } from './lookup.ts';
import type { RoutingHost, RoutingProblem } from './model.ts';
import type { DeviceNode, GroupNode, HostNode } from './nodes.ts';
import { keyOf, newGroup, serving } from './site-groups.ts';

export function readHost(host: RoutingHost, groups: Map<string, GroupNode>): HostNode {
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

export function linkHost(
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
export function addressOwners(
  hosts: Iterable<HostNode>,
  problems: RoutingProblem[],
): { owners: Map<number | string, HostNode>; disputed: Set<HostNode> } {
  const owners = new Map<number | string, HostNode>();
  const disputed = new Set<HostNode>();
  for (const host of hosts) {
    if (host.fenced) continue;
    const { addresses, uplinks } = host.host;
    const all = uplinks.length === 0 ? addresses : [...addresses, ...uplinks.flatMap((up) => up.addresses)];
    for (const address of all) {
      if (isLinkLocal(address)) continue;
      const key = addressKey(address);
      const owner = owners.get(key);
      if (owner === undefined) owners.set(key, host);
      else if (owner !== host) {
        disputed.add(host);
        problems.push({
          code: 'host_unreachable',
          about: host.name,
          message: `Hosts ${owner.name} and ${host.name} both have the underlay address ${formatAddress(address)}; it is taken for that of ${owner.name}, correct the other.`,
        });
      }
    }
  }
  return { owners, disputed };
}

function isLinkLocal({ family, w0 }: Address): boolean {
  return family === 4 ? w0 >>> 16 === 0xa9fe : w0 >>> 22 === 0x3fa;
}
