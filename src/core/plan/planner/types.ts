/** Input and answers of the planner. All of it is plain JSON. */
import type { Layout } from '../../address/index.ts';

export interface PlanSizes {
  readonly hosts: number;
  /** Racks of all zones together; null: hosts stand in no racks. */
  readonly racks: number | null;
  readonly zones: number | null;
  readonly tenants: number;
  /** Of one tenant. */
  readonly segments: number;
  readonly endpointsPerHost: number;
  /** The most endpoints that one segment has on one host; null: it may have all of them. */
  readonly endpointsPerSegment: number | null;
}

/** Factors ≥ 1. Hosts grow by more racks (of the same size) where there are racks; segments of a tenant and zones do not grow. */
export interface Growth {
  readonly hosts: number;
  readonly tenants: number;
  readonly endpoints: number;
}

/** The most routes of Romana that a device takes; null: no limit. */
export interface Budgets {
  /** The way hosts are connected; null: not settled, and a plan fits when one way keeps the budgets. */
  readonly fabric: Fabric | null;
  readonly routesPerHost: number | null;
  readonly routesPerSwitch: number | null;
  readonly vpcRoutes: number;
}

export interface PlanNetworkInput {
  readonly name: string;
  readonly cidr: string;
}

export interface PlanInput extends PlanSizes {
  readonly growth: Growth;
  readonly budgets: Budgets;
  readonly networks: readonly PlanNetworkInput[];
}

/** What a part of the address counts; each can run out. */
export type PartName = 'zones' | 'racks' | 'hosts' | 'tenants' | 'segments' | 'endpoints' | 'shared';

export interface Headroom {
  readonly part: PartName;
  /** Field of the layout that it lies in. */
  readonly field: keyof Layout;
  readonly network: string;
  readonly bits: number;
  readonly today: number;
  /** With growth. */
  readonly planned: number;
  readonly available: number;
  /** available ÷ planned. */
  readonly factor: number;
}

export interface ProposedNetwork {
  readonly name: string;
  readonly cidr: string;
  readonly layout: Layout;
  /** Planned tenants beyond the tenant field: they live under the shared identity. */
  readonly sharedTenants: number;
  readonly headroom: readonly Headroom[];
  readonly addresses: AddressUse;
}

/** Decimal text, because IPv6 goes beyond what a number holds. */
export interface AddressUse {
  readonly total: string;
  /** What endpoints could have if every id were used. */
  readonly usable: string;
  /** Ids 0 of hosts, tenants, segments and endpoints, and padding that no id reaches. */
  readonly lost: string;
  readonly planned: string;
  readonly lostShare: number;
  readonly plannedShare: number;
}

/** A level of the topology: `slots` children of each parent, of which `planned` are used. */
export interface Level {
  readonly level: 'zone' | 'rack';
  readonly today: number;
  readonly planned: number;
  readonly slots: number;
  /** Per network, what one group of this level has: its aggregate's prefix length and its range of host ids. */
  readonly sizes: readonly {
    readonly network: string;
    readonly prefixLength: number;
    readonly hostIds: number;
  }[];
}

/** What a VPC route table has one route for. */
export type VpcGrain = 'host' | 'rack' | 'zone';
export type Fabric = 'l2' | 'l3-static' | 'vpc';
export type Device = 'host' | 'tor' | 'spine' | 'border' | 'vpc table';

export interface RouteCount {
  readonly fabric: Fabric;
  readonly device: Device;
  readonly today: number;
  readonly planned: number;
  /** null: no limit. */
  readonly budget: number | null;
  readonly fits: boolean;
  readonly what: string;
}

export interface HostElements {
  readonly endpoints: number;
  readonly peers: number;
  /** Networks and uplinks. */
  readonly fixed: number;
  readonly identityPairs: number;
  /** For shared tenants, on a host where as many of them as can are present, each with the average number of endpoints. */
  readonly shared: number;
  readonly total: number;
}

export interface HostCost {
  /** nftables rules; null when the caller did not say how many there are. */
  readonly rules: number | null;
  readonly elements: { readonly today: HostElements; readonly planned: HostElements };
}

export interface Exhaustion {
  readonly part: PartName | 'routes';
  readonly network: string | null;
  /** One sentence: what cannot be had and at which size. */
  readonly text: string;
  /** What there is room for ÷ what is used: the plan with its growth, or a plan after its change. */
  readonly factor: number;
}

export interface Proposal {
  readonly idsPerHost: number;
  readonly networks: readonly ProposedNetwork[];
  readonly levels: readonly Level[];
  /** Soonest first. */
  readonly runsOut: readonly Exhaustion[];
  readonly cost: HostCost;
  readonly notes: readonly string[];
}

export interface PlanAnswer {
  readonly input: PlanInput;
  readonly fits: boolean;
  /** Sizes with growth. */
  readonly planned: PlanSizes;
  readonly assumptions: readonly string[];
  /** The same for all proposals: routes depend on the topology's shape, not on widths. */
  readonly routes: readonly RouteCount[];
  /** Best first. May be there although `fits` is false: then routes are what does not fit. */
  readonly proposals: readonly Proposal[];
  /** Why nothing fits, or why tenants must share an identity; else empty. */
  readonly reasons: readonly string[];
  /** What would fit without that: each was tried. */
  readonly advice: readonly string[];
}

/** Rules of a host with these networks; from the compiler of the agent's table. */
export type CountRules = (networks: readonly (PlanNetworkInput & { readonly layout: Layout })[]) => number;

/** A plan that stands: its sizes today, its layouts, its slots. */
export interface StandingPlan {
  readonly sizes: PlanSizes;
  readonly budgets: Budgets;
  readonly networks: readonly (PlanNetworkInput & { readonly layout: Layout })[];
  /** Slots per parent; 1 where there is no such level. */
  readonly zoneSlots: number;
  readonly rackSlots: number;
  readonly idsPerHost: number;
  readonly vpcPer: VpcGrain;
}

export interface Change {
  /** Spread over the racks there are. */
  readonly hosts: number;
  /** Each with as many hosts as the fullest rack. */
  readonly racks: number;
  /** Each with as many racks as the fullest zone. */
  readonly zones: number;
  readonly tenants: number;
}

export interface WhatIfPart {
  readonly part: PartName;
  readonly network: string;
  readonly before: number;
  readonly after: number;
  readonly available: number;
  readonly fits: boolean;
}

export interface RouteChange extends Omit<RouteCount, 'today' | 'planned'> {
  readonly before: number;
  readonly after: number;
}

export interface WhatIfAnswer {
  readonly fits: boolean;
  readonly before: PlanSizes;
  readonly after: PlanSizes;
  readonly parts: readonly WhatIfPart[];
  readonly routes: readonly RouteChange[];
  readonly elements: { readonly before: HostElements; readonly after: HostElements };
  /** One sentence per part or device that does not fit, with what to do. A fabric that does not fit matters where it is in use. */
  readonly problems: readonly string[];
  readonly notes: readonly string[];
  /** What runs out next, after the change; soonest first. */
  readonly runsOut: readonly Exhaustion[];
}
