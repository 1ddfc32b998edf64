/**
 * What the plan of a VPC's route tables takes and gives. Shapes only.
 *
 * In a VPC the hosts of one subnet reach each other directly; everything else goes over the route tables, which have room for few
 * routes. So a range of addresses is routed to its host while that fits, and else together with its neighbours to one of the hosts of
 * the same subnet, which forwards: a router.
 */
import type { Cidr, Family } from '../../address/index.ts';
import type { RoutingHost } from '../model.ts';

/** Hosts that share a subnet. */
export interface VpcLink {
  readonly topology: string;
  /** Of the group: names joined by `/`, '' for the topology itself. */
  readonly path: string;
  /** As stated; null: whichever the most of its hosts stand in. */
  readonly subnet: string | null;
  readonly aggregates: readonly { readonly network: string; readonly cidr: Cidr }[];
  readonly hosts: readonly RoutingHost[];
}
/** Aggregates that are reached over a connection: another region, a data centre. */
export interface VpcRemote {
  readonly topology: string;
  readonly path: string;
  readonly connection: string;
  readonly cidrs: readonly Cidr[];
}
/** One VPC, whichever groups state it. */
export interface VpcSite {
  readonly region: string;
  readonly vpc: string;
  readonly endpoint: string | null;
  /** Empty: all tables of the VPC. */
  readonly routeTables: readonly string[];
  /** The least that is stated; null: nothing is. */
  readonly budget: number | null;
  readonly links: readonly VpcLink[];
  readonly remotes: readonly VpcRemote[];
  /** Every Romana network: what lies in none of them is never ours. */
  readonly networks: readonly Cidr[];
  /** Networks, by name, that no topology carves: their ranges have no groups. */
  readonly uncarved: readonly string[];
  readonly problems: readonly VpcProblem[];
}

/** What the provider says of the instance that a host is. */
export interface VpcInstance {
  readonly id: string;
  /** The network interface that has the host's underlay address: what routes lead to. */
  readonly interface: string;
  readonly subnet: string;
  readonly zone: string;
  readonly state: 'running' | 'pending' | 'stopped' | 'terminated';
  /** Its status checks fail. */
  readonly impaired: boolean;
  /** Its source/destination check is off. */
  readonly forwards: boolean;
}
export interface VpcTableRoute {
  /** Null: a prefix list, which is never ours. */
  readonly cidr: Cidr | null;
  readonly target: string;
  /** False: propagated by a gateway, which has a limit of its own. */
  readonly counted: boolean;
}
export interface VpcTable {
  readonly id: string;
  /** Those that are to use it; `main`: and all that are to use no other. */
  readonly subnets: readonly string[];
  readonly main: boolean;
  readonly routes: readonly VpcTableRoute[];
  /** Destinations, as texts, of routes on record as ours. */
  readonly recorded: ReadonlySet<string>;
}
export interface VpcState {
  /** Routes of one family that a table has room for; null: could not be read. */
  readonly quota: number | null;
  readonly tables: readonly VpcTable[];
  /** By host. A host that is not here has no instance. */
  readonly instances: ReadonlyMap<string, VpcInstance>;
  /** Hosts whose agents the control plane has not heard for too long. */
  readonly silent: ReadonlySet<string>;
}

export type VpcWhy =
  | { readonly kind: 'host'; readonly host: string }
  | { readonly kind: 'granted'; readonly host: string }
  | {
      readonly kind: 'router';
      readonly host: string;
      readonly topology: string;
      readonly path: string;
      /** Hosts behind it, itself among them where it lies in the range. */
      readonly hosts: number;
    }
  | { readonly kind: 'remote'; readonly topology: string; readonly path: string };
export interface VpcRoute {
  readonly cidr: Cidr;
  /** A network interface, or a connection. */
  readonly target: string;
  readonly why: VpcWhy;
}
export interface VpcTableUse {
  readonly family: Family;
  /** Routes of ours that it may have. */
  readonly limit: number;
  readonly routes: number;
  /** Counted routes of others. */
  readonly foreign: number;
}
export interface VpcTablePlan {
  readonly table: string;
  readonly use: readonly VpcTableUse[];
  /** Sorted by destination. */
  readonly routes: readonly VpcRoute[];
  /** Routes of others in Romana's networks. One with a wanted destination stays, and ours is not written. */
  readonly foreign: readonly VpcTableRoute[];
  /** Ours to remove. */
  readonly stale: readonly VpcTableRoute[];
}
export interface VpcRouter {
  readonly host: string;
  readonly instance: string;
  readonly zone: string;
  readonly health: VpcHealth;
  readonly ranges: readonly { readonly cidr: Cidr; readonly hosts: number }[];
}
/** `suspect`: one observer says that it is not well; it keeps what it has and gets nothing new. */
export type VpcHealth = 'fit' | 'suspect' | 'dead';
export interface VpcProblem {
  readonly code:
    | 'budget_too_small'
    | 'route_in_the_way'
    | 'route_inside'
    | 'no_instance'
    | 'no_router'
    | 'wrong_subnet'
    | 'network_in_vpc'
    | 'range_twice'
    | 'table_missing'
    | 'connection_unknown_group';
  readonly message: string;
  /** Host, table or group. */
  readonly about: string;
}
export interface VpcPlan {
  readonly tables: readonly VpcTablePlan[];
  readonly routers: readonly VpcRouter[];
  readonly problems: readonly VpcProblem[];
}

/** Of a table whose quota could not be read, and whose site states no budget. */
export const defaultQuota = 50;
