/** What the input is indexed as. Shapes only. */
import type { Address, Cidr, Family } from '../address/index.ts';
import type { BgpFabric, Device, Fabric } from './fabric.ts';
import type { RoutingHost, RoutingNetwork, RoutingProblem } from './model.ts';

export interface GroupNode {
  readonly topology: string;
  readonly path: string;
  readonly parent: GroupNode | null;
  readonly children: GroupNode[];
  readonly fabric: Fabric;
  /** Where that fabric is stated; null: nowhere, it is the default. */
  readonly statedAt: GroupNode | null;
  /** BGP is spoken here or somewhere below. */
  speaks: boolean;
  readonly devices: DeviceNode[];
  readonly aggregates: readonly { readonly network: string; readonly cidr: Cidr }[];
  /** Hosts that the devices of this group serve: below it, and below no group that has devices and is below this one. */
  readonly served: HostNode[];
  /** Groups with devices, below this one with none between. */
  readonly below: GroupNode[];
}

export interface DeviceNode {
  readonly name: string;
  readonly device: Device;
  readonly group: GroupNode;
  readonly ups: DeviceLink[];
  readonly downs: DeviceLink[];
  /** The same by the group that they lead to. */
  readonly downsTo: Map<GroupNode, DeviceLink[]>;
  readonly hosts: HostLink[];
  /** What holds for its BGP sessions; null: it has none. */
  readonly bgp: BgpFabric | null;
}
/** `upperAddresses` are next hops for the lower device, and the other way round. */
export interface DeviceLink {
  readonly upper: DeviceNode;
  readonly lower: DeviceNode;
  readonly upperAddresses: readonly Address[];
  readonly lowerAddresses: readonly Address[];
}

export interface HostNode {
  readonly name: string;
  readonly host: RoutingHost;
  readonly places: readonly GroupNode[];
  /** All its ranges, joined. */
  readonly own: readonly Cidr[];
  /** Granted routes outside its own ranges. */
  readonly granted: readonly Cidr[];
  readonly fenced: boolean;
  readonly lost: boolean;
  readonly links: HostLink[];
  /** Of the first of its groups that has such a fabric; null: it speaks no BGP. */
  readonly bgp: BgpFabric | null;
  readonly asn: number | null;
}
/** A host's link to a device. */
export interface HostLink {
  readonly host: HostNode;
  readonly device: DeviceNode;
  /** The host's addresses on it. */
  readonly addresses: readonly Address[];
  /** The host's name of it. */
  readonly link: string | null;
}

export interface Site {
  readonly networks: readonly RoutingNetwork[];
  /** Of the networks. */
  readonly families: readonly Family[];
  readonly hosts: ReadonlyMap<string, HostNode>;
  readonly devices: ReadonlyMap<string, DeviceNode>;
  readonly problems: readonly RoutingProblem[];
  /**
   * Networks that the only topology with devices does not carve, but all of whose hosts stand in it: with that topology's own they are
   * what its top answers for.
   */
  readonly gathered: { readonly topology: string; readonly cidrs: readonly Cidr[] } | null;
  /** Every granted route with its holder; `led`: devices lead it there. */
  readonly grants: readonly { readonly cidr: Cidr; readonly holder: HostNode; readonly led: boolean }[];
  /** Whether packets to the address reach this host: of two that claim it, it is the first by name. */
  owns(host: HostNode, address: Address): boolean;
}
