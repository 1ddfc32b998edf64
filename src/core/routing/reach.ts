/**
 * What lies below the devices of a group, and which of them reach it: by hosts' links and the devices of the groups below, level by level.
 * May import core/address.
 *
 * What all devices of a group reach is told upwards as the group's aggregates. A range that only some of them reach (a host with one
 * link), or that lies in no aggregate, is told by itself, with those that reach it.
 */
import { aggregate, type Cidr, type Family, hostRoute } from '../address/index.ts';
import type { NextHop, Why } from './model.ts';
import type { DeviceNode, GroupNode, HostLink, HostNode, Site } from './nodes.ts';
import { hopSet, insideAny, LINK_LOCAL, ofFamily } from './routes.ts';
import { deviceSessions, hostSessions } from './sessions.ts';
import { serving } from './site-groups.ts';

/** What the groups above are told of. */
export interface Told {
  readonly cidr: Cidr;
  readonly why: Why;
  /** Devices of the group that reach it; null: all of them. */
  readonly by: ReadonlySet<DeviceNode> | null;
}
/** A range directly below the group, by host or by group below. */
export interface Item extends Told {
  readonly from: { readonly host: HostNode } | { readonly group: GroupNode; readonly item: Told };
}
export interface Reach {
  readonly items: readonly Item[];
  readonly told: readonly Told[];
  /** The devices tell hosts' ranges upwards instead of the aggregates, and so do not answer for these. */
  readonly specific: boolean;
}

export type Reaches = (group: GroupNode) => Reach;

export function reaches(site: Site): Reaches {
  const known = new Map<GroupNode, Reach>();
  const of = (group: GroupNode): Reach => {
    let reach = known.get(group);
    if (reach === undefined) known.set(group, (reach = reachOf(site, group, of)));
    return reach;
  };
  return of;
}

function reachOf(site: Site, group: GroupNode, of: Reaches): Reach {
  const items: Item[] = [];
  for (const host of group.served) {
    if (host.fenced) continue;
    const by = { 4: reachedBy(site, group, host, 4), 6: reachedBy(site, group, host, 6) };
    const add = (cidr: Cidr, kind: 'host' | 'granted' | 'address'): void => {
      const devices = by[cidr.address.family];
      if (devices?.size !== 0)
        items.push({ cidr, why: { kind, host: host.name }, by: devices, from: { host } });
    };
    for (const cidr of rangesOf(site, host)) add(cidr, 'host');
    for (const cidr of host.granted) add(cidr, 'granted');
    if (host.bgp?.announceAddresses === true)
      for (const address of host.host.addresses) add(hostRoute(address), 'address');
  }
  for (const below of group.below) {
    const cache = new Map<string, ReadonlySet<DeviceNode> | null>();
    for (const item of of(below).told) {
      const key = item.by === null ? `${item.cidr.address.family}` : null;
      let by = key === null ? undefined : cache.get(key);
      if (by === undefined) {
        by = all(group, (device) => groupHops(device, below, item).length > 0);
        if (key !== null) cache.set(key, by);
      }
      // Kept though nobody reaches it: the aggregate that it lies in would lead it to where it comes back from.
      items.push({ cidr: item.cidr, why: item.why, by, from: { group: below, item } });
    }
  }
  const specific = isSpecific(site, group);
  const aggregates = group.aggregates.map(({ cidr }) => cidr);
  const told = specific ? items : items.filter(({ cidr, by }) => by !== null || !insideAny(aggregates, cidr));
  const why: Why = { kind: 'group', topology: group.topology, path: group.path };
  const own = specific ? [] : aggregates.map((cidr): Told => ({ cidr, why, by: null }));
  return { items, told: [...own, ...told], specific };
}

/** By network, so that no range is wider than the aggregates that it lies in. */
function rangesOf(site: Site, { host, own }: HostNode): readonly Cidr[] {
  if (site.networks.length < 2) return own;
  return [...Map.groupBy(host.ranges, ({ network }) => network).values()].flatMap((part) =>
    aggregate(part.map(({ cidr }) => cidr)),
  );
}

function isSpecific(site: Site, group: GroupNode): boolean {
  const { devices, fabric } = group;
  const above = serving(group.parent);
  if (above === null || !devices.every(({ bgp }) => bgp !== null)) return false;
  if (!devices.some(({ ups }) => ups.some((link) => deviceSessions(site, link).length > 0))) return false;
  const stated = fabric.kind === 'bgp' ? fabric.aggregate : null;
  return !(stated ?? devices.length === 1);
}

function all(group: GroupNode, test: (device: DeviceNode) => boolean): ReadonlySet<DeviceNode> | null {
  const passed = group.devices.filter(test);
  return passed.length === group.devices.length ? null : new Set(passed);
}

function reachedBy(
  site: Site,
  group: GroupNode,
  host: HostNode,
  family: Family,
): ReadonlySet<DeviceNode> | null {
  const linked = new Set<DeviceNode>();
  for (const link of host.links) {
    if (link.device.group === group && hostHops(site, link, family).length > 0) linked.add(link.device);
  }
  return linked.size === group.devices.length ? null : linked;
}

/** How the device gets to the host over this link. */
export function hostHops(site: Site, link: HostLink, family: Family): readonly NextHop[] {
  const { host, device, addresses } = link;
  const on = device.device.links[host.name] ?? null;
  if (host.bgp?.unnumbered === true && hostSessions(site, link).length > 0) {
    return [{ address: LINK_LOCAL, to: host.name, link: on }];
  }
  const address = ofFamily(addresses, family);
  return address === undefined || !site.owns(host, address) ? [] : [{ address, to: host.name, link: on }];
}

/** How the device gets to what a group below tells of. */
export function groupHops(device: DeviceNode, below: GroupNode, { cidr, by }: Told): readonly NextHop[] {
  return hopSet(
    (device.downsTo.get(below) ?? []).flatMap(({ lower, lowerAddresses }): NextHop[] => {
      if (by !== null && !by.has(lower)) return [];
      const address = ofFamily(lowerAddresses, cidr.address.family);
      return address === undefined ? [] : [{ address, to: lower.name, link: null }];
    }),
  );
}

export function hopsOf(site: Site, device: DeviceNode, item: Item): readonly NextHop[] {
  if (!('host' in item.from)) return groupHops(device, item.from.group, item.from.item);
  const { host } = item.from;
  return hopSet(
    host.links.flatMap((link) =>
      link.device === device ? hostHops(site, link, item.cidr.address.family) : [],
    ),
  );
}

/** Whether somebody below the device's group has it. */
export function isBelow(group: GroupNode, { places }: HostNode): boolean {
  return places.some((place) => {
    let at: GroupNode | null = place;
    while (at !== null && at !== group) at = at.parent;
    return at === group;
  });
}
