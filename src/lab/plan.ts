/**
 * The lab on paper: which hosts, switches and addresses there are. Pure; `underlay.ts` says how they are wired.
 *
 *     control ── spine ─┬─ leaf1 ── h1, h2 ── endpoints          dual-homed:   spine ─┬─ leaf1a ─┬─ up1  h1, h2
 *                       └─ leaf2 ── h3, h4 ── endpoints                               └─ leaf1b ─┴─ up2
 *
 * 1. A single-homed host has its address on its one link; a dual-homed one on `lo`, and on each link one of that link.
 * 2. Addresses of hosts are the same on every fabric.
 */
import type { Daemon } from '#core/routing/fabric.ts';
import type { LabOptions } from './options.ts';

export const NETWORKS = [
  { name: 'v4', family: 4, cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
  { name: 'v6', family: 6, cidr: 'fd10::/16', layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 } },
] as const;

export const fabrics = ['l2', 'l3-static', 'bgp'] as const;
export type LabFabric = (typeof fabrics)[number];
export const tors = ['bird', 'frr'] as const;
export type Tor = (typeof tors)[number];

/** How the hosts meet, as asked for. */
export interface FabricChoice {
  readonly kind: LabFabric;
  /** Of the hosts, where the fabric is bgp. */
  readonly daemon: Daemon;
  /** What switches run; null: nothing, their routes are static ones of the kernel. */
  readonly tor: Tor | null;
  readonly dualHomed: boolean;
}
export const plainFabric: FabricChoice = { kind: 'l2', daemon: 'bird', tor: null, dualHomed: false };

export interface Pair4And6 {
  readonly address4: string;
  readonly address6: string;
}
/** A switch above hosts. */
export interface LeafPlan extends Pair4And6 {
  /** Also its namespace. Its addresses are what hosts route to. */
  readonly name: string;
  readonly asn: number;
  /** The link to the spine: the leaf's end and the spine's. */
  readonly up: Pair4And6;
  readonly spine: Pair4And6;
  /** Addresses of hosts on its links begin so: `192.168.1` and `fd00:1`. */
  readonly prefix4: string;
  readonly prefix6: string;
}
export interface RackPlan {
  readonly name: string;
  readonly number: number;
  readonly leaves: readonly LeafPlan[];
}
export interface HostLink extends Pair4And6 {
  /** In the host's namespace; the other end is named like the host. */
  readonly name: string;
  readonly leaf: LeafPlan;
}
export interface HostPlan extends Pair4And6 {
  readonly name: string;
  readonly rack: RackPlan;
  readonly links: readonly HostLink[];
  readonly allocator: 'agent' | 'server';
}
export interface LabPlan {
  readonly fabric: FabricChoice;
  readonly racks: readonly RackPlan[];
  readonly hosts: readonly HostPlan[];
  readonly spineAsn: number;
  readonly hostAsn: number;
  readonly control4: string;
  readonly control6: string;
}

const SPINE_ASN = 65000;
const HOST_ASN = 64900;

/** `side`: 0 the only leaf of a rack, 1 and 2 the two of a dual-homed one. */
function planLeaf(rack: number, side: number): LeafPlan {
  const access = 10 * side + rack;
  const up = (side === 0 ? 100 : 100 + 10 * side) + rack;
  return {
    name: `leaf${rack}${['', 'a', 'b'][side] ?? ''}`,
    asn: SPINE_ASN + 100 + access,
    prefix4: `192.168.${access}`,
    prefix6: `fd00:${access}`,
    address4: `192.168.${access}.254`,
    address6: `fd00:${access}::fe`,
    up: { address4: `192.168.${up}.2`, address6: `fd00:${up}::2` },
    spine: { address4: `192.168.${up}.1`, address6: `fd00:${up}::1` },
  };
}

/** Hosts fill the racks in order; odd-numbered ones allocate themselves, for even-numbered ones the server does. */
export function planLab({
  hosts,
  racks,
  fabric = plainFabric,
}: Pick<LabOptions, 'hosts' | 'racks'> & { readonly fabric?: FabricChoice }): LabPlan {
  const sides = fabric.dualHomed ? [1, 2] : [0];
  const rackPlans = Array.from({ length: racks }, (_, i) => ({
    name: `rack${i + 1}`,
    number: i + 1,
    leaves: sides.map((side) => planLeaf(i + 1, side)),
  }));
  const hostPlans: HostPlan[] = [];
  for (const [i, rack] of rackPlans.entries()) {
    const size = Math.floor(hosts / racks) + (i < hosts % racks ? 1 : 0);
    for (let j = 1; j <= size; j++) {
      const number = hostPlans.length + 1;
      hostPlans.push({
        name: `h${number}`,
        rack,
        address4: `192.168.${rack.number}.${j}`,
        address6: `fd00:${rack.number}::${j.toString(16)}`,
        links: rack.leaves.map((leaf, side) => ({
          name: fabric.dualHomed ? `up${side + 1}` : 'eth0',
          leaf,
          address4: `${leaf.prefix4}.${j}`,
          address6: `${leaf.prefix6}::${j.toString(16)}`,
        })),
        allocator: number % 2 === 1 ? 'agent' : 'server',
      });
    }
  }
  return {
    fabric,
    racks: rackPlans,
    hosts: hostPlans,
    spineAsn: SPINE_ASN,
    hostAsn: HOST_ASN,
    control4: '192.168.200.2',
    control6: 'fd00:200::2',
  };
}

export function leavesOf({ racks }: LabPlan): LeafPlan[] {
  return racks.flatMap(({ leaves }) => leaves);
}

export function fabricText({ kind, daemon, tor, dualHomed }: FabricChoice): string {
  const links = dualHomed ? ', two links to each host' : '';
  const speakers = kind === 'bgp' ? ` (${daemon} on hosts)` : '';
  return `${kind}${speakers}${tor === null ? '' : `, ${tor} on switches`}${links}`;
}
