/**
 * What the agent's loops know of the world outside: whole-state drivers, kernel events and facts. The real ones live under
 * `drivers/`, a fake stands beside each and passes the same contract test; the simulation runs the same loops on the fakes.
 */

import type { Attachment } from '#contract/model.ts';
import type { Address, Cidr } from '#core/address/index.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';

/** One write that a driver made; counted by tests that demand "nothing was rewritten". */
export interface Change {
  readonly action: 'create' | 'update' | 'remove';
  readonly kind:
    | 'link'
    | 'address'
    | 'route'
    | 'sysctl'
    | 'chain'
    | 'set'
    | 'element'
    | 'counter'
    | 'table'
    | 'speaker';
  readonly object: string;
}

export interface ApplyResult {
  readonly changes: readonly Change[];
  /** By endpoint key (links) or object text (routes): what could not be done. Everything else was done all the same. */
  readonly failures: ReadonlyMap<string, RomanaError>;
}

/** One owned object as `romana agent status` shows it. `null` desired: ours, but not wanted; `null` actual: wanted, but missing. */
export interface ObjectStatus {
  readonly kind: Change['kind'];
  readonly object: string;
  readonly desired: string | null;
  readonly actual: string | null;
  readonly ok: boolean;
}

/**
 * Takes the whole desired state of what it owns, compares it with what the kernel has and writes the difference. Called twice with
 * the same state it writes nothing the second time. It never touches what is not recognisably ours.
 */
export interface Driver<Desired> {
  apply(desired: Desired): Promise<ApplyResult>;
  inspect(desired: Desired): Promise<readonly ObjectStatus[]>;
}

/** The wired side of one endpoint. `link` is the name of the link on the host. */
export interface DesiredLink {
  /** `tenant/segment/name` */
  readonly endpoint: string;
  readonly attachment: Exclude<Attachment, { kind: 'none' }>;
  readonly link: string;
  readonly addresses: readonly Address[];
  /** Further sources it may send from: a matter of rules; nothing is routed to them. */
  readonly sourcePrefixes: readonly Cidr[];
  readonly mtu: number;
}

/** Routes to endpoints are part of this, so that a link and its routes are one idea: re-made together after a link flap. */
export type DesiredRoute =
  | {
      readonly kind: 'link';
      readonly cidr: Cidr;
      readonly link: string /** node address of the family */;
      readonly source: Address | null;
    }
  /** Equal cost where there are several; at least one, in any order. `standIn`: only while nobody has a better one. */
  | { readonly kind: 'via'; readonly cidr: Cidr; readonly hops: readonly Hop[]; readonly standIn?: true }
  /** Dropped silently: own ranges. */
  | { readonly kind: 'blackhole'; readonly cidr: Cidr }
  /** Answered as unreachable: ranges of hosts that are lost. */
  | { readonly kind: 'unreachable'; readonly cidr: Cidr };

export interface Hop {
  readonly via: Address;
  /** Null: the link that its address is on. */
  readonly link: string | null;
}

export interface DesiredLinks {
  readonly links: readonly DesiredLink[];
  /** IPv4 gateway of all endpoints, on `lo` with scope link. IPv6: fe80::1/64 on each endpoint link. */
  readonly gateway4: Address;
  readonly gateway6: Address;
  /** Families that are forwarded (the agent turns forwarding on for these, never off). */
  readonly families: readonly (4 | 6)[];
}

export type LinkDriver = Driver<DesiredLinks>;
export interface RouteDriver extends Driver<readonly DesiredRoute[]> {
  /** Routes of other programs to prefixes that ours are to lead to. A long look: not for every pass. */
  foreign(desired: readonly DesiredRoute[]): Promise<readonly ForeignRoute[]>;
}
export interface ForeignRoute {
  readonly cidr: Cidr;
  /** As the kernel's tools name it: `static`, `bird`, `bgp`, … */
  readonly protocol: string;
  /** Whether the kernel takes it instead of ours. */
  readonly wins: boolean;
}

/** What the agent must know of its host before it can say what is desired. Read afresh on each reconcile. */
export interface HostFacts {
  readonly links: readonly {
    readonly name: string;
    readonly mtu: number;
    readonly up: boolean;
    /** Up, and the other end of the wire is there. */
    readonly running: boolean;
    /** `duplicate`: another host answers for it (IPv6 only), and the kernel does not use it. */
    readonly addresses: readonly {
      readonly address: Address;
      readonly length: number;
      readonly duplicate?: boolean;
    }[];
  }[];
  readonly defaultRoutes: readonly {
    readonly family: 4 | 6;
    readonly link: string;
    readonly fromRouterAdvertisement: boolean;
  }[];
  readonly forwarding: { readonly 4: boolean; readonly 6: boolean };
}

/** What the kernel found out of an address on one of its links; `failed`: it asked, and nobody answered. */
export interface Neighbour {
  readonly address: Address;
  readonly link: string;
  readonly state: 'reachable' | 'failed' | 'unknown';
}

export interface KernelFacts {
  read(): Promise<HostFacts>;
  neighbours(): Promise<readonly Neighbour[]>;
}

/** Makes the kernel find out whether somebody has these addresses on a link. Never fails because somebody does not answer. */
export interface PeerProbe {
  send(addresses: readonly Address[]): Promise<void>;
}

/** Calls back on any change of links, addresses, routes (`network`) or of our nftables table (`rules`); changes of our own too. */
export interface KernelEvents {
  start(onChange: (what: 'network' | 'rules') => void): Cancel;
}
