/**
 * What the route computation takes and gives. Shapes only.
 *
 * The input says where hosts stand and what is routed to them, never which endpoints there are: so no route changes when endpoints come
 * and go.
 */
import type { Address, Cidr } from '../address/index.ts';
import type { Daemon, Device, Fabric, FabricKind, HostUplink } from './fabric.ts';

export interface RoutingNetwork {
  readonly name: string;
  readonly cidr: Cidr;
  /** Topology that carves it; null: none does, its host ids lie anywhere and have no aggregates. */
  readonly topology: string | null;
}
export interface RoutingGroup {
  /** Names from the top joined by `/`; '' is the topology itself. */
  readonly path: string;
  /** As stated here; null: as above. */
  readonly fabric: Fabric | null;
  readonly devices: readonly Device[];
  /** One for each network that the topology carves; at '' the networks themselves. */
  readonly aggregates: readonly { readonly network: string; readonly cidr: Cidr }[];
  readonly groups: readonly RoutingGroup[];
}
export interface RoutingTopology {
  readonly name: string;
  readonly root: RoutingGroup;
}
export interface RoutingHost {
  readonly name: string;
  /** Underlay addresses, at most one of each family. */
  readonly addresses: readonly Address[];
  /** Empty: linked to every device of its group with its underlay addresses. */
  readonly uplinks: readonly HostUplink[];
  readonly asn: number | null;
  /** Its group in each topology that has it; path '' where a topology has no groups. Empty: it stands nowhere, on one flat link. */
  readonly places: readonly { readonly topology: string; readonly path: string }[];
  /** Its reservations: routed to it from the day that it joins. */
  readonly ranges: readonly { readonly network: string; readonly cidr: Cidr }[];
  /**
   * What it had before it grew into a wider one of `ranges` that is not everywhere yet: announced and accepted as well until then, for
   * a device may still know this one alone. Absent: nothing.
   */
  readonly former?: readonly Cidr[];
  /** More-specific routes that the control plane granted to it. */
  readonly granted: readonly Cidr[];
  /**
   * Fenced: routed to by nobody, announces nothing. Lost: unreachable for the hosts of its link; devices keep their routes, since nobody
   * configures them for an outage and sessions follow by themselves.
   */
  readonly state: 'active' | 'draining' | 'fenced' | 'lost';
  /** Lowest host id, for an AS number of its own; null: it has none yet. */
  readonly number: number | null;
}
export interface RoutingInput {
  readonly networks: readonly RoutingNetwork[];
  readonly topologies: readonly RoutingTopology[];
  readonly hosts: readonly RoutingHost[];
}

/** Why a route exists, for people who ask. */
export type Why =
  | {
      readonly kind: 'own';
    } /* the host's own range, or the device's own aggregate: what nobody has is dropped here */
  | { readonly kind: 'host'; readonly host: string }
  | {
      readonly kind: 'address';
      readonly host: string;
    } /* the host's own, announced to outlive one of its links */
  | { readonly kind: 'granted'; readonly host: string }
  | { readonly kind: 'group'; readonly topology: string; readonly path: string }
  | { readonly kind: 'network'; readonly network: string }
  | { readonly kind: 'withdrawn'; readonly host: string };

export interface NextHop {
  /** `fe80::` stands for the neighbour's link-local address, where the link has no other. */
  readonly address: Address;
  /** Host or device. */
  readonly to: string;
  /** Link of the host that it is reached over, where the uplink names one. */
  readonly link: string | null;
}
export interface PlannedRoute {
  readonly cidr: Cidr;
  /**
   * Empty: dropped here (`own`; on a host in a VPC `group` too, for what no host of its subnet has) or answered as unreachable
   * (`withdrawn`). Sorted; more than one: equal cost.
   */
  readonly nextHops: readonly NextHop[];
  readonly why: Why;
}

export interface HostRouting {
  readonly name: string;
  readonly kinds: readonly FabricKind[];
  /** Installed by the agent, whatever the fabric: direct routes, own ranges, withdrawn ranges. Sorted by CIDR, disjoint or nested. */
  readonly routes: readonly PlannedRoute[];
  /** What its BGP peers announce to it. A speaker that writes the FIB installs it; for others the agent does, and follows the sessions. */
  readonly learned: readonly PlannedRoute[];
  /** The host's default route leads to these; it is the site's, not Romana's. */
  readonly gateways: readonly NextHop[];
  readonly bgp: BgpIntent | null;
  readonly problems: readonly RoutingProblem[];
}
export interface DeviceRouting {
  readonly device: Device;
  readonly topology: string;
  /** Path of the group that it serves. */
  readonly path: string;
  readonly kind: FabricKind;
  /** Complete and minimal: towards what is below, its own aggregates dropped. Where the fabric is bgp: what it learns and originates. */
  readonly routes: readonly PlannedRoute[];
  /** The device's default route leads to these. */
  readonly gateways: readonly NextHop[];
  readonly bgp: DeviceBgpIntent | null;
  readonly problems: readonly RoutingProblem[];
}
export interface RoutingProblem {
  readonly code: 'host_unreachable' | 'topology_invalid';
  readonly message: string;
  /** Host or device. */
  readonly about: string;
}

/** What a host's BGP speaker is to do, as a whole. Everything not named is refused: no transit, no default, nothing of others. */
export interface BgpIntent {
  readonly daemon: Daemon;
  readonly asn: number;
  /** IPv4 dotted quad. */
  readonly routerId: string;
  readonly peers: readonly BgpPeer[];
  /** Own ranges, granted routes, and the own addresses where the site says so. Sorted; announced without being installed. */
  readonly announce: readonly Cidr[];
  /** Accepted from peers with everything inside them. */
  readonly accept: readonly Cidr[];
  readonly acceptDefault: boolean;
  readonly communities: readonly string[];
  readonly ecmp: number;
  readonly gracefulRestartSeconds: number;
  readonly holdSeconds: number;
  readonly connectRetrySeconds: number;
}
/** One session: IPv4 prefixes over IPv4, IPv6 over IPv6; over an unnumbered link both. */
export interface BgpPeer {
  /** The device. */
  readonly name: string;
  /** Null: unnumbered, over `link`. */
  readonly address: Address | null;
  /** The host's address on that link; null: the kernel chooses. */
  readonly local: Address | null;
  readonly link: string | null;
  readonly asn: number;
  readonly families: readonly (4 | 6)[];
  readonly passwordFile: string | null;
  readonly ttlSecurity: boolean;
  readonly bfd: { readonly intervalMs: number; readonly multiplier: number } | null;
  readonly maxPrefixes: number | null;
}

/** The device's side of the same sessions. It accepts from each neighbour exactly what that one may announce. */
export interface DeviceBgpIntent {
  readonly asn: number;
  readonly routerId: string;
  /** Announced from here and dropped where nothing more specific is known. */
  readonly originate: readonly Cidr[];
  /** Announced from here without being dropped: what nobody below has follows `statics`, else the device's default route. */
  readonly advertise: readonly Cidr[];
  /** To be configured: routes towards what is below or above without a session. Announced where `announce` of a neighbour names them. */
  readonly statics: readonly PlannedRoute[];
  readonly neighbours: readonly BgpNeighbour[];
  readonly ecmp: number;
  readonly gracefulRestartSeconds: number;
  readonly holdSeconds: number;
}
export interface BgpNeighbour {
  /** Host or device. */
  readonly name: string;
  readonly role: 'host' | 'below' | 'above';
  readonly address: Address | null;
  readonly local: Address | null;
  readonly link: string | null;
  readonly asn: number;
  readonly families: readonly (4 | 6)[];
  /** Exactly these prefixes, or with `within` everything inside them. */
  readonly accept: readonly Cidr[];
  readonly acceptWithin: readonly Cidr[];
  /** Exactly these prefixes, or with `announceWithin` everything inside them, and nothing else. */
  readonly announce: readonly Cidr[];
  readonly announceWithin: readonly Cidr[];
  readonly password: boolean;
  readonly ttlSecurity: boolean;
  readonly bfd: { readonly intervalMs: number; readonly multiplier: number } | null;
  readonly maxPrefixes: number | null;
  readonly routeReflectorClient: boolean;
}

/** Computed when asked: a host of a large link has as many routes as the link has hosts. */
export interface RoutingPlan {
  readonly hosts: readonly string[];
  readonly devices: readonly string[];
  readonly problems: readonly RoutingProblem[];
  /** Undefined: nobody of that name. */
  host(name: string): HostRouting | undefined;
  device(name: string): DeviceRouting | undefined;
}
