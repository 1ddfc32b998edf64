/** What a site states that cannot work, whoever looks at it. May import core/address. */
import { type Cidr, formatAddress, formatCidr } from '../address/index.ts';
import type { RoutingProblem } from './model.ts';
import type { DeviceNode, GroupNode, HostNode, Site } from './nodes.ts';
import { hostHops } from './reach.ts';
import { ofFamily } from './routes.ts';
import { deviceSessions, hostSessions } from './sessions.ts';
import { serving } from './site-groups.ts';

export function checkSite(site: Site): RoutingProblem[] {
  const above = asnsAbove(site);
  return [
    ...[...site.hosts.values()].flatMap((host) => [...unlinked(site, host), ...hostAsns(site, host, above)]),
    ...[...site.devices.values()].flatMap((device) => deviceAsns(site, device, above)),
    ...[...new Set([...site.devices.values()].map(({ group }) => group))].flatMap(cutOff),
  ];
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

/** A host without an address, or without a link, that leads to it from the devices that serve it. */
function unlinked(site: Site, host: HostNode): RoutingProblem[] {
  if (host.fenced || host.own.length + host.granted.length === 0) return [];
  return [...new Set(host.places.map(serving))].flatMap((group): RoutingProblem[] => {
    if (group === null) return [];
    if (host.links.every(({ device }) => device.group !== group)) return [noLink(host, group)];
    return [...host.own, ...host.granted]
      .filter((cidr) => !isLedBy(site, host, group, cidr))
      .map((cidr) => addressProblem(site, host, cidr));
  });
}

/** Some device that serves the host has a way to it. */
export function isLed(site: Site, host: HostNode, cidr: Cidr): boolean {
  return host.places.some((place) => {
    const group = serving(place);
    return group !== null && isLedBy(site, host, group, cidr);
  });
}

function isLedBy(site: Site, host: HostNode, group: GroupNode, cidr: Cidr): boolean {
  return host.links.some(
    (link) => link.device.group === group && hostHops(site, link, cidr.address.family).length > 0,
  );
}

function noLink({ name }: HostNode, { path, topology }: GroupNode): RoutingProblem {
  return {
    code: 'host_unreachable',
    about: name,
    message: `Host ${name} has no uplink to any device of group ${path === '' ? topology : path}, which serves it: state one.`,
  };
}

type AsnsAbove = (device: DeviceNode) => ReadonlySet<number>;

/** AS numbers that what comes from above has come through. */
function asnsAbove(site: Site): AsnsAbove {
  const known = new Map<DeviceNode, ReadonlySet<number>>();
  const of = (device: DeviceNode): ReadonlySet<number> => {
    let asns = known.get(device);
    if (asns === undefined) {
      const uppers = device.ups.filter((link) => deviceSessions(site, link).length > 0);
      asns = new Set(uppers.flatMap(({ upper }) => [upper.device.asn!, ...of(upper)]));
      known.set(device, asns);
    }
    return asns;
  };
  return of;
}

const invalid = (about: string, message: string): RoutingProblem => ({
  code: 'topology_invalid',
  about,
  message,
});

/** A speaker refuses what has come through its own AS number, unless it comes from inside that AS. */
function hostAsns(site: Site, host: HostNode, above: AsnsAbove): RoutingProblem[] {
  const { asn, name } = host;
  if (asn === null) return [];
  return host.links.flatMap((link) => {
    const { device } = link;
    if (device.device.asn === asn || hostSessions(site, link).length === 0 || !above(device).has(asn))
      return [];
    return [
      invalid(
        name,
        `Host ${name} has AS number ${asn}, and so has a device above ${device.name}: it would refuse the networks that come from there; give it another.`,
      ),
    ];
  });
}

function deviceAsns(site: Site, device: DeviceNode, above: AsnsAbove): RoutingProblem[] {
  const { asn, routeReflector } = device.device;
  const problems: RoutingProblem[] = [];
  const uppers = device.ups.filter((link) => deviceSessions(site, link).length > 0).map(({ upper }) => upper);
  for (const upper of uppers) {
    if (asn === null || upper.device.asn === asn || !above(upper).has(asn)) continue;
    problems.push(
      invalid(
        device.name,
        `Device ${device.name} has AS number ${asn}, and so has a device above ${upper.name}: it would refuse the networks that come from there; give it another.`,
      ),
    );
  }
  const interior =
    device.hosts.some((link) => link.host.asn === asn && hostSessions(site, link).length > 0) ||
    device.downs.some((link) => link.lower.device.asn === asn && deviceSessions(site, link).length > 0);
  if (!routeReflector && interior && uppers.some((upper) => upper.device.asn === asn)) {
    problems.push(
      invalid(
        device.name,
        `Device ${device.name} has neighbours of its own AS ${asn} above and below and tells neither of the other: make it a route reflector.`,
      ),
    );
  }
  return problems;
}

/** The devices above have no way to a family of a group's hosts: no link of its devices has addresses of it at both ends. */
function cutOff(group: GroupNode): RoutingProblem[] {
  const above = serving(group.parent);
  if (above === null || !hasHosts(group)) return [];
  const families = new Set(group.aggregates.map(({ cidr }) => cidr.address.family));
  return [...families].flatMap((family): RoutingProblem[] => {
    const linked = group.devices.some(({ ups }) =>
      ups.some(
        ({ upper, lowerAddresses, upperAddresses }) =>
          upper.group === above &&
          ofFamily(lowerAddresses, family) !== undefined &&
          ofFamily(upperAddresses, family) !== undefined,
      ),
    );
    if (linked) return [];
    const uppers = above.devices.map(({ name }) => name).join(', ');
    return group.devices.slice(0, 1).map(({ name }) => ({
      code: 'host_unreachable',
      about: name,
      message: `No device of group ${group.path} has an uplink to ${uppers} with IPv${family} addresses at both ends, so nothing beyond reaches its IPv${family} ranges: state one.`,
    }));
  });
}

function hasHosts({ served, below }: GroupNode): boolean {
  return served.length > 0 || below.some(hasHosts);
}
