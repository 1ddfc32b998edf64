/**
 * What a site says of its fabric: how the hosts of a prefix group reach each other, and the switches and routers that stand above them.
 * Stated at a group (or a whole topology) it holds for everything below that states none of its own. Types and defaults only.
 */
import type { Address, Cidr } from '../address/index.ts';

export type FabricKind = 'l2' | 'l3-static' | 'bgp' | 'vpc';
export const daemons = ['bird', 'frr', 'exabgp', 'gobgp', 'quagga'] as const;
export type Daemon = (typeof daemons)[number];

/** Quagga is configured as FRR is, and knows less. */
export const daemonCan: Readonly<
  Record<Daemon, Readonly<Record<'fib' | 'bfd' | 'unnumbered' | 'passwords' | 'ttlSecurity', boolean>>>
> = {
  bird: { fib: true, bfd: true, unnumbered: false, passwords: true, ttlSecurity: true },
  frr: { fib: true, bfd: true, unnumbered: true, passwords: true, ttlSecurity: true },
  exabgp: { fib: false, bfd: false, unnumbered: false, passwords: true, ttlSecurity: true },
  gobgp: { fib: false, bfd: false, unnumbered: false, passwords: true, ttlSecurity: true },
  quagga: { fib: true, bfd: true, unnumbered: false, passwords: true, ttlSecurity: true },
};

export const platforms = [
  'iproute2',
  'frr',
  'bird',
  'arista-eos',
  'cisco-ios',
  'juniper-junos',
  'json',
] as const;
/** What a device is configured with. */
export type Platform = (typeof platforms)[number];

/**
 * `l2`: the hosts below the group that states it share one link and route directly to each other. Where nothing is stated, hosts of one
 * leaf group do. `withdrawAfterSeconds`: a host that the control plane has not heard for so long, and that `observers` hosts of its link
 * cannot reach either, is routed to no more; 0: never.
 */
export interface L2Fabric {
  readonly kind: 'l2';
  readonly withdrawAfterSeconds: number;
  readonly observers: number;
}
/** Hosts have a default route and nothing else; the devices' static routes are exported. */
export interface L3StaticFabric {
  readonly kind: 'l3-static';
}
export interface BgpFabric {
  readonly kind: 'bgp';
  readonly daemon: Daemon;
  /** AS of every host that states none; with `hostAsnPerHost` the AS of a host is this plus its lowest host id. */
  readonly hostAsn: number;
  readonly hostAsnPerHost: boolean;
  readonly holdSeconds: number;
  readonly connectRetrySeconds: number;
  /** 0: off. */
  readonly gracefulRestartSeconds: number;
  readonly bfd: { readonly intervalMs: number; readonly multiplier: number } | null;
  /** Packets of a peer must have come over no router (RFC 5082). */
  readonly ttlSecurity: boolean;
  /** On each host; the secret itself is in no object of the control plane. */
  readonly passwordFile: string | null;
  /** A session that brings more prefixes of one family is closed; null: no limit. */
  readonly maxPrefixes: number | null;
  /** `65001:100` (RFC 1997) or `65001:1:2` (RFC 8092), on everything that a host announces. */
  readonly communities: readonly string[];
  /** Next hops of one route at most. */
  readonly ecmp: number;
  /** Accept a default route from the devices, besides what lies in Romana's networks. */
  readonly acceptDefault: boolean;
  /** Further prefixes to accept, with everything inside them. */
  readonly accept: readonly Cidr[];
  /** Sessions over link-local addresses of the uplinks; the host's uplinks must name their links. */
  readonly unnumbered: boolean;
  /** Announce the host's own underlay addresses too, as host routes: they outlive the loss of one uplink. */
  readonly announceAddresses: boolean;
  /** The devices announce the group's aggregate instead of the hosts' ranges; null: when the group has one device. */
  readonly aggregate: boolean | null;
  /** Hosts of the group share a link and reach each other directly, not over the device. */
  readonly direct: boolean;
}
export interface VpcFabric {
  readonly kind: 'vpc';
  readonly provider: 'aws';
  readonly region: string;
  /** Identifier of the provider. */
  readonly vpc: string;
  /** Route tables to write into; empty: all of the VPC. */
  readonly routeTables: readonly string[];
  /** Routes of ours in one table; null: read from the account's quota, else 50. */
  readonly budget: number | null;
  /** Of the provider's API; null: its own. */
  readonly endpoint: string | null;
  /**
   * All hosts below the group that states it stand in this subnet, so that they reach each other directly; null: the hosts of one leaf
   * group share a subnet.
   */
  readonly subnet: string | null;
  /** Groups of the same topology that are elsewhere (another region, a data centre) and what their aggregates are routed to. */
  readonly peerings: readonly VpcPeering[];
}
/** `connection`: identifier of the provider, of a transit gateway, peering connection, virtual private gateway or network interface. */
export interface VpcPeering {
  readonly group: string;
  readonly connection: string;
}
export type Fabric = L2Fabric | L3StaticFabric | BgpFabric | VpcFabric;

/** A switch or router. It serves the hosts of the group that lists it, and the devices of the groups below. */
export interface Device {
  readonly name: string;
  readonly platform: Platform;
  /** Next hops and BGP peers of what is below, at most one of each family. */
  readonly addresses: readonly Address[];
  /** One for each device above it that it is linked to; empty: to all of the next group above that has any, by the addresses of both. */
  readonly uplinks: readonly DeviceUplink[];
  readonly asn: number | null;
  /** IPv4 dotted quad; null: its first IPv4 address. */
  readonly routerId: string | null;
  readonly routeReflector: boolean;
  /** Links towards hosts, by host name, for unnumbered sessions. */
  readonly links: Readonly<Record<string, string>>;
  /** Routes that it has room for; null: unknown. */
  readonly budget: number | null;
}
export interface DeviceUplink {
  readonly device: string;
  /** Its own addresses on that link. */
  readonly local: readonly Address[];
  /** The upper device's addresses on that link. */
  readonly remote: readonly Address[];
}

/** A host's link to a device. */
export interface HostUplink {
  readonly device: string;
  /** The host's addresses on it; empty: its underlay addresses (or an unnumbered link). */
  readonly addresses: readonly Address[];
  readonly link: string | null;
}

export const l2Default: L2Fabric = { kind: 'l2', withdrawAfterSeconds: 0, observers: 2 };
export const vpcDefaults = {
  kind: 'vpc',
  provider: 'aws',
  routeTables: [],
  budget: null,
  endpoint: null,
  subnet: null,
  peerings: [],
} as const satisfies Omit<VpcFabric, 'region' | 'vpc'>;
export const bgpDefaults = {
  kind: 'bgp',
  daemon: 'bird',
  hostAsnPerHost: false,
  holdSeconds: 9,
  connectRetrySeconds: 5,
  gracefulRestartSeconds: 120,
  bfd: null,
  ttlSecurity: false,
  passwordFile: null,
  maxPrefixes: 1000,
  communities: [],
  ecmp: 8,
  acceptDefault: false,
  accept: [],
  unnumbered: false,
  announceAddresses: false,
  aggregate: null,
  direct: false,
} as const satisfies Omit<BgpFabric, 'hostAsn'>;

/** Seconds between keepalives: a third of the hold time (RFC 4271, 10). */
export function keepaliveOf(holdSeconds: number): number {
  return Math.max(1, Math.floor(holdSeconds / 3));
}
