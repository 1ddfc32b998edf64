/** Routes of one device. May import core/address. */
import { type Cidr, compareCidr, equalCidr, type Family, formatCidr } from '../address/index.ts';
import type { FabricKind } from './fabric.ts';
import { Lookup } from './lookup.ts';
import type { NextHop, PlannedRoute, RoutingProblem } from './model.ts';
import type { DeviceLink, DeviceNode, GroupNode, HostNode, Site } from './nodes.ts';
import { hopsOf, type Item, isBelow, type Reaches } from './reach.ts';
import { fewest, hopSet, insideAny, sortedProblems } from './routes.ts';
import { deviceSessions, hostSessions } from './sessions.ts';
import { ownAggregates } from './site.ts';
import { serving } from './site-groups.ts';

export interface DeviceTable {
  /** What it answers for; dropped where nothing more specific is known. */
  readonly own: readonly Cidr[];
  /** Towards what is below, with how it is known. */
  readonly down: readonly Known[];
  /** More specific than what it would do otherwise: reached by other devices only, over those above. */
  readonly up: readonly Known[];
  /** The networks, over the devices above; empty where none speaks BGP with it. */
  readonly networks: readonly Known[];
  readonly problems: readonly RoutingProblem[];
}
/** `session`: told by a neighbour; else it has to be configured. */
export interface Known {
  readonly route: PlannedRoute;
  readonly session: boolean;
}
export type Tables = (device: DeviceNode) => DeviceTable;

export function tables(site: Site, reaches: Reaches): Tables {
  const known = new Map<DeviceNode, DeviceTable>();
  const of = (device: DeviceNode): DeviceTable => {
    let table = known.get(device);
    if (table === undefined) known.set(device, (table = tableOf(site, reaches, device, of)));
    return table;
  };
  return of;
}

/** No device above speaks BGP with it: it originates what its neighbours are told. */
export function isTop(site: Site, { ups }: DeviceNode): boolean {
  return ups.every((link) => deviceSessions(site, link).length === 0);
}

function tableOf(site: Site, reaches: Reaches, device: DeviceNode, of: Tables): DeviceTable {
  const { group } = device;
  const { items, specific } = reaches(group);
  const problems = site.problems.filter(({ about }) => about === device.name);
  const reached: PlannedRoute[] = [];
  const down: Known[] = [];
  const missed: Pick<Item, 'cidr' | 'why' | 'by'>[] = [];
  const hops = cachedHops(site, device);
  for (const item of items) {
    const nextHops = item.by === null || item.by.has(device) ? hops(item) : [];
    if (nextHops.length === 0) {
      missed.push(item);
      continue;
    }
    const route = { cidr: item.cidr, nextHops, why: item.why };
    reached.push(route);
    down.push({ route, session: isTold(site, device, item) });
  }
  for (const known of visitors(site, device)) {
    reached.push(known.route);
    down.push(known);
  }
  const top = device.bgp === null || isTop(site, device);
  const forwarded = new Lookup(reached);
  const own =
    specific && !top
      ? []
      : ownAggregates(site, group).filter((cidr) => forwarded.cover(cidr)?.cidr.length !== cidr.length);
  const networks = (top && device.bgp === null ? [] : networksAbove(site, device)).filter(
    ({ route }) => !own.some((cidr) => equalCidr(cidr, route.cidr)),
  );
  for (const { cidr, holder, led } of site.grants) {
    if (led && !isBelow(group, holder))
      missed.push({ cidr, why: { kind: 'granted', host: holder.name }, by: null });
  }
  const up = new Map<string, Known>();
  const addUp = (cidr: Cidr, why: PlannedRoute['why']): void => {
    const session = !top;
    const nextHops = upHops(site, nearest(reaches, device, cidr), cidr.address.family, session);
    if (nextHops.length > 0) {
      up.set(formatCidr(cidr), { route: { cidr, nextHops, why }, session });
      return;
    }
    problems.push({
      code: 'host_unreachable',
      about: device.name,
      message: `Device ${device.name} has no way to ${formatCidr(cidr)}: neither a link to its host nor a device above.`,
    });
    // Led down to where it was granted away from, it would come back.
    if (forwarded.cover(cidr) !== undefined) addDrop(cidr, why);
  };
  const addDrop = (cidr: Cidr, why: PlannedRoute['why']): void => {
    up.set(formatCidr(cidr), { route: { cidr, nextHops: [], why }, session: false });
  };
  for (const { cidr, why, by } of missed) {
    const led = forwarded.cover(cidr);
    if (led === undefined ? !insideAny(own, cidr) : led.cidr.length === cidr.length) continue;
    // What nobody of the group reaches is dropped here, unless it would be led to somebody else.
    if (by?.size === 0 && led === undefined) continue;
    addUp(cidr, why);
    if (!top && by !== null && isOwnAs(device, by)) {
      problems.push({
        code: 'topology_invalid',
        about: device.name,
        message: `Device ${device.name} refuses ${formatCidr(cidr)} from above: it comes from its own AS ${device.device.asn}; give the devices of the group different AS numbers.`,
      });
    }
  }
  // What devices below are to be told, this one must know itself, if only that nobody has it.
  for (const { lower } of device.bgp === null ? [] : device.downs) {
    for (const { route, session } of lower.bgp === null ? [] : of(lower).up) {
      const { cidr, why } = route;
      if (!session || up.has(formatCidr(cidr)) || forwarded.cover(cidr)?.cidr.length === cidr.length)
        continue;
      if (own.some((mine) => equalCidr(mine, cidr))) continue;
      if (top) addDrop(cidr, why);
      else addUp(cidr, why);
    }
  }
  return { own, down, up: [...up.values()], networks, problems: sortedProblems(problems) };
}

/** What all devices of a group below tell of goes one way, and there may be much of it. */
function cachedHops(site: Site, device: DeviceNode): (item: Item) => readonly NextHop[] {
  const known = new Map<GroupNode, { 4?: readonly NextHop[]; 6?: readonly NextHop[] }>();
  return (item) => {
    if ('host' in item.from || item.from.item.by !== null) return hopsOf(site, device, item);
    const { group } = item.from;
    let same = known.get(group);
    if (same === undefined) known.set(group, (same = {}));
    return (same[item.cidr.address.family] ??= hopsOf(site, device, item));
  };
}

/** All that reach it have the AS number of this device, and what comes from above comes through another one. */
function isOwnAs({ device, ups }: DeviceNode, by: ReadonlySet<DeviceNode>): boolean {
  return (
    [...by].every((other) => other.device.asn === device.asn) &&
    ups.every(({ upper }) => upper.device.asn !== device.asn)
  );
}

export function deviceRoutes({ own, down, up, networks }: DeviceTable): PlannedRoute[] {
  return fewest([
    ...down.map(({ route }) => route),
    ...up.map(({ route }) => route),
    ...own.map((cidr): PlannedRoute => ({ cidr, nextHops: [], why: { kind: 'own' } })),
    ...networks.map(({ route }) => route),
  ]);
}

/** Hosts that name the device though another group's devices serve them: reached directly from here, told to nobody. */
function visitors(site: Site, device: DeviceNode): Known[] {
  return device.hosts.flatMap((link) => {
    const { host } = link;
    if (host.fenced || isServedBy(device, host)) return [];
    return [...host.own, ...host.granted].flatMap((cidr): Known[] => {
      const item: Item = { cidr, why: { kind: 'host', host: host.name }, by: null, from: { host } };
      const nextHops = hopsOf(site, device, item);
      if (nextHops.length === 0) return [];
      return [{ route: { cidr, nextHops, why: item.why }, session: isTold(site, device, item) }];
    });
  });
}

function isServedBy({ group }: DeviceNode, { places }: HostNode): boolean {
  return places.some((place) => serving(place) === group);
}

function isTold(site: Site, device: DeviceNode, { from, cidr }: Item): boolean {
  const { family } = cidr.address;
  if ('host' in from) {
    return from.host.links.some(
      (link) =>
        link.device === device && hostSessions(site, link).some((each) => each.families.includes(family)),
    );
  }
  const { by } = from.item;
  return (device.downsTo.get(from.group) ?? []).some(
    (link) =>
      (by === null || by.has(link.lower)) &&
      deviceSessions(site, link).some((each) => each.families.includes(family)),
  );
}

/** Over the devices above; with `session` over those that speak BGP with it. */
function upHops(
  site: Site,
  ups: readonly DeviceLink[],
  family: Family,
  session: boolean,
): readonly NextHop[] {
  return hopSet(
    ups.flatMap((link): NextHop[] => {
      if (session && !deviceSessions(site, link).some(({ families }) => families.includes(family))) return [];
      return link.upperAddresses
        .filter((address) => address.family === family)
        .map((address) => ({ address, to: link.upper.name, link: null }));
    }),
  );
}

/** Devices above that reach it downwards are nearer than those that would lead it up and round. */
function nearest(reaches: Reaches, { ups }: DeviceNode, cidr: Cidr): readonly DeviceLink[] {
  const near = ups.filter(({ upper }) =>
    reaches(upper.group).items.some(
      (item) => (item.by === null || item.by.has(upper)) && equalCidr(item.cidr, cidr),
    ),
  );
  return near.length > 0 ? near : ups;
}

/** A BGP device under one that speaks none leads the networks there by itself. */
function networksAbove(site: Site, device: DeviceNode): Known[] {
  const session = !isTop(site, device);
  return site.networks
    .flatMap(({ name, cidr }): Known[] => {
      const nextHops = upHops(site, device.ups, cidr.address.family, session);
      return nextHops.length === 0
        ? []
        : [{ route: { cidr, nextHops, why: { kind: 'network', network: name } }, session }];
    })
    .sort((a, b) => compareCidr(a.route.cidr, b.route.cidr));
}

export function gatewaysOf(device: DeviceNode): readonly NextHop[] {
  return hopSet(
    device.ups.flatMap(({ upper, upperAddresses }) =>
      upperAddresses.map((address): NextHop => ({ address, to: upper.name, link: null })),
    ),
  );
}

export function kindOf({ bgp, group }: DeviceNode): FabricKind {
  if (bgp !== null) return 'bgp';
  return group.fabric.kind === 'bgp' ? 'l3-static' : group.fabric.kind;
}
