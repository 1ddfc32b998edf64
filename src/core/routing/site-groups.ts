/** Groups and devices out of the input, and how devices are linked. May import core/address. */
import { type BgpFabric, type Device, type Fabric, l2Default } from './fabric.ts';
import type { RoutingGroup, RoutingTopology } from './model.ts';
import type { DeviceLink, DeviceNode, GroupNode } from './nodes.ts';
import { byName } from './routes.ts';

export const keyOf = (topology: string, path: string): string => `${topology} ${path}`;

export function readTopology(
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
    const children = [...group.groups].sort((a, b) => byName(a.path, b.path));
    node.children.push(...children.map((child) => read(child, node)));
    node.speaks = node.fabric.kind === 'bgp' || node.children.some(({ speaks }) => speaks);
    listed.set(node, group.devices);
    return node;
  };
  const listed = new Map<GroupNode, readonly Device[]>();
  const addDevices = (node: GroupNode): void => {
    for (const device of [...(listed.get(node) ?? [])].sort((a, b) => byName(a.name, b.name))) {
      if (devices.has(device.name)) {
        about(
          device.name,
          `Two devices are called ${device.name}: only the topmost counts, rename the other.`,
        );
        continue;
      }
      const bgp = device.asn === null || !node.speaks ? null : sessionFabric(node);
      const known = { name: device.name, device, group: node, bgp };
      const added = { ...known, ups: [], downs: [], downsTo: new Map(), hosts: [] };
      devices.set(device.name, added);
      node.devices.push(added);
    }
    node.children.forEach(addDevices);
    if (node.devices.length > 0) node.below.push(...node.children.flatMap(nearestBelow));
  };
  addDevices(read(root, null));
}

export function newGroup(
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

export function linkDevices(
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
