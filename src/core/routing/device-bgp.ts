/** The devices' side of the sessions. May import core/address. */
import { type Address, type Cidr, compareCidr, equalCidr } from '../address/index.ts';
import { isTop, type Tables } from './device.ts';
import type { BgpFabric } from './fabric.ts';
import { announcedBy } from './host-bgp.ts';
import type { BgpNeighbour, DeviceBgpIntent, PlannedRoute } from './model.ts';
import type { DeviceNode, Site } from './nodes.ts';
import type { Reaches } from './reach.ts';
import { byName, insideAny } from './routes.ts';
import { deviceSessions, hostSessions, routerId } from './sessions.ts';

/** Exactly `exact`, and everything inside `within`. */
interface Filter {
  readonly exact: readonly Cidr[];
  readonly within: readonly Cidr[];
}

export function deviceIntent(
  site: Site,
  reaches: Reaches,
  tables: Tables,
  device: DeviceNode,
): DeviceBgpIntent | null {
  const { bgp } = device;
  const asn = device.device.asn;
  if (bgp === null || asn === null) return null;
  const networks = site.networks.map(({ cidr }) => cidr).sort(compareCidr);
  const neighbours = [
    ...hostNeighbours(site, device, networks),
    ...device.downs.flatMap((link) => {
      const sessions = deviceSessions(site, link);
      if (sessions.length === 0) return [];
      const up = toldUpwards(site, reaches, tables, link.lower);
      const below = { exact: toldDownwards(tables, link.lower), within: [] };
      return sessions.map(
        ({ families, lower, upper }): BgpNeighbour => ({
          ...session(link.lower, lower, upper, families, up, below, link.lower.bgp!),
          role: 'below',
          routeReflectorClient: device.device.routeReflector && link.lower.device.asn === asn,
        }),
      );
    }),
    ...device.ups.flatMap((link) => {
      const sessions = deviceSessions(site, link);
      if (sessions.length === 0) return [];
      const above = { exact: toldDownwards(tables, device), within: [] };
      const up = toldUpwards(site, reaches, tables, device);
      return sessions.map(
        ({ families, lower, upper }): BgpNeighbour => ({
          ...session(link.upper, upper, lower, families, above, up, bgp),
          role: 'above',
          routeReflectorClient: false,
        }),
      );
    }),
  ];
  const table = tables(device);
  const originate = [...table.own].sort(compareCidr);
  // A group that is the only one of its network has all of it for its aggregate, and tells that.
  const known = [
    ...originate,
    ...table.down.flatMap(({ route, session: told }) => (told ? [route.cidr] : [])),
  ];
  const configured: PlannedRoute[] = [...table.down, ...table.up, ...table.networks].flatMap(
    ({ route, session: told }) => (told ? [] : [route]),
  );
  return {
    asn,
    routerId:
      device.device.routerId ??
      routerId(device.name, [
        ...device.device.addresses,
        ...device.ups.flatMap((link) => link.lowerAddresses),
      ]),
    originate,
    advertise: isTop(site, device)
      ? networks.filter((cidr) => !known.some((own) => equalCidr(own, cidr)))
      : [],
    // Not joined: what is told to neighbours is told CIDR by CIDR.
    statics: configured.sort((a, b) => compareCidr(a.cidr, b.cidr)),
    neighbours: neighbours.sort(
      (a, b) =>
        roles.indexOf(a.role) - roles.indexOf(b.role) ||
        byName(a.name, b.name) ||
        a.families[0]! - b.families[0]!,
    ),
    ecmp: bgp.ecmp,
    gracefulRestartSeconds: bgp.gracefulRestartSeconds,
    holdSeconds: bgp.holdSeconds,
  };
}
const roles = ['host', 'below', 'above'] as const;

/** A host is told the networks and nothing else, and may tell its own ranges and nothing else. */
function hostNeighbours(site: Site, device: DeviceNode, networks: readonly Cidr[]): BgpNeighbour[] {
  return device.hosts.flatMap((hostLink) => {
    const { host } = hostLink;
    const sessions = hostSessions(site, hostLink);
    if (sessions.length === 0) return [];
    const { device: own } = device;
    const accept = { exact: announcedBy(host), within: [] };
    const announce = { exact: networks, within: [] };
    return sessions.map(
      ({ families, lower, upper }): BgpNeighbour => ({
        ...session(host, lower, upper, families, accept, announce, host.bgp!),
        role: 'host',
        link: lower === null ? (own.links[host.name] ?? null) : null,
        asn: host.asn!,
        maxPrefixes: host.bgp!.maxPrefixes,
        routeReflectorClient: own.routeReflector && host.asn === own.asn,
      }),
    );
  });
}

function session(
  to: { readonly name: string; readonly device?: DeviceNode['device'] },
  address: Address | null,
  local: Address | null,
  families: readonly (4 | 6)[],
  accept: Filter,
  announce: Filter,
  fabric: BgpFabric,
): Omit<BgpNeighbour, 'role' | 'routeReflectorClient'> {
  const of = (cidrs: readonly Cidr[]): Cidr[] =>
    cidrs.filter((cidr) => families.includes(cidr.address.family));
  return {
    name: to.name,
    address,
    local,
    link: null,
    asn: to.device?.asn ?? 0,
    families,
    accept: of(accept.exact),
    acceptWithin: of(accept.within),
    announce: of(announce.exact),
    announceWithin: of(announce.within),
    password: fabric.passwordFile !== null,
    ttlSecurity: fabric.ttlSecurity,
    bfd: fabric.bfd,
    maxPrefixes: null,
  };
}

/**
 * The networks, and what would otherwise go wrong on the lower device: ranges that only others of its group reach, routes granted
 * elsewhere. What it drops itself it is not told.
 */
function toldDownwards(tables: Tables, lower: DeviceNode): Cidr[] {
  const { own, up, networks } = tables(lower);
  return [...networks, ...up]
    .flatMap(({ route, session: told }) => (told ? [route.cidr] : []))
    .filter((cidr) => !own.some((mine) => equalCidr(mine, cidr)))
    .sort(compareCidr);
}

/**
 * The aggregates; or, where the devices tell hosts' ranges, whatever lies inside the aggregates: the filter then stays as it is when
 * hosts join. Nothing that came from above may go back there, so with such routes inside the aggregates each range is named.
 */
function toldUpwards(site: Site, reaches: Reaches, tables: Tables, device: DeviceNode): Filter {
  const { told, specific } = reaches(device.group);
  const aggregates = device.group.aggregates.map(({ cidr }) => cidr);
  const whole = aggregates.some((cidr) => site.networks.some((network) => equalCidr(network.cidr, cidr)));
  const within = specific && !whole && tables(device).up.length === 0 ? aggregates : [];
  const exact = told
    .filter(({ cidr, by }) => (by === null || by.has(device)) && !insideAny(within, cidr))
    .map(({ cidr }) => cidr)
    .sort(compareCidr)
    .filter((cidr, n, all) => n === 0 || !equalCidr(cidr, all[n - 1]!));
  return { exact, within };
}
