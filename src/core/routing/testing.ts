/** Short forms of inputs, for tests of whoever computes with routes. */
import { type Cidr, formatAddress, formatCidr, parseAddress, parseCidr } from '../address/index.ts';
import {
  type BgpFabric,
  bgpDefaults,
  type Device,
  type Fabric,
  type HostUplink,
  l2Default,
  type VpcFabric,
  vpcDefaults,
} from './fabric.ts';
import type {
  NextHop,
  PlannedRoute,
  RoutingGroup,
  RoutingHost,
  RoutingInput,
  RoutingNetwork,
} from './model.ts';

export const l2: Fabric = l2Default;
export const l3Static: Fabric = { kind: 'l3-static' };
export const vpc: VpcFabric = { ...vpcDefaults, region: 'eu-west-1', vpc: 'vpc-1' };
export function bgp(more: Partial<BgpFabric> = {}): BgpFabric {
  return { ...bgpDefaults, hostAsn: 65_100, ...more };
}

export function device(name: string, addresses: readonly string[], more: Partial<Device> = {}): Device {
  return {
    name,
    platform: 'json',
    addresses: addresses.map(parseAddress),
    uplinks: [],
    asn: null,
    routerId: null,
    routeReflector: false,
    links: {},
    budget: null,
    ...more,
  };
}
export function deviceUplink(
  to: string,
  local: readonly string[],
  remote: readonly string[],
): Device['uplinks'][number] {
  return { device: to, local: local.map(parseAddress), remote: remote.map(parseAddress) };
}
export function uplink(to: string, addresses: readonly string[], link: string | null = null): HostUplink {
  return { device: to, addresses: addresses.map(parseAddress), link };
}

export function network(name: string, cidr: string, topology: string | null = 'default'): RoutingNetwork {
  return { name, cidr: parseCidr(cidr), topology };
}

/** `aggregates` by network. */
export function group(
  path: string,
  aggregates: Readonly<Record<string, string>>,
  more: Partial<Pick<RoutingGroup, 'fabric' | 'devices' | 'groups'>> = {},
): RoutingGroup {
  return {
    path,
    fabric: null,
    devices: [],
    groups: [],
    aggregates: Object.entries(aggregates).map(([name, cidr]) => ({ network: name, cidr: parseCidr(cidr) })),
    ...more,
  };
}

/** `ranges` by network. */
export function host(
  name: string,
  path: string | null,
  addresses: readonly string[],
  ranges: Readonly<Record<string, string | readonly string[]>>,
  more: Partial<RoutingHost> = {},
): RoutingHost {
  return {
    name,
    addresses: addresses.map(parseAddress),
    uplinks: [],
    asn: null,
    places: path === null ? [] : [{ topology: 'default', path }],
    ranges: Object.entries(ranges).flatMap(([net, cidrs]) =>
      [cidrs].flat().map((cidr) => ({ network: net, cidr: parseCidr(cidr) })),
    ),
    granted: [],
    state: 'active',
    number: null,
    ...more,
  };
}

export function input(
  networks: readonly RoutingNetwork[],
  root: RoutingGroup,
  hosts: readonly RoutingHost[],
): RoutingInput {
  return { networks, topologies: [{ name: 'default', root }], hosts };
}

export function showHops(hops: readonly NextHop[]): string {
  return hops
    .map(({ address, to, link }) => `${to}@${formatAddress(address)}${link === null ? '' : `%${link}`}`)
    .join(' ');
}
export function showRoute({ cidr, nextHops, why }: PlannedRoute): string {
  if (nextHops.length > 0) return `${formatCidr(cidr)} via ${showHops(nextHops)}`;
  return `${formatCidr(cidr)} ${why.kind === 'withdrawn' ? 'unreachable' : 'drop'}`;
}
export function show(routes: readonly PlannedRoute[]): string[] {
  return routes.map(showRoute);
}
export function showCidrs(cidrs: readonly Cidr[]): string[] {
  return cidrs.map(formatCidr);
}
