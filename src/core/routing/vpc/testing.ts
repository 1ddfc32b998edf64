/** Sites for the tests: zones with hosts, one instance for each, tables that changes are made in. */
import {
  type Cidr,
  cidrOf,
  type Family,
  formatCidr,
  parseAddress,
  parseCidr,
  splitCidr,
} from '../../address/index.ts';
import { type VpcFabric, vpcDefaults } from '../fabric.ts';
import type { RoutingGroup, RoutingHost, RoutingInput } from '../model.ts';
import type { VpcChange } from './changes.ts';
import type { VpcInstance, VpcState, VpcTable, VpcTableRoute } from './model.ts';

export const vpcFabric: VpcFabric = { ...vpcDefaults, region: 'eu-test-1', vpc: 'vpc-1' };

export interface Shape {
  readonly zones: number;
  /** Slots of each zone that hosts stand in. */
  readonly slots: readonly (readonly number[])[];
  readonly budget?: number | null;
  readonly dual?: boolean;
  readonly fabric?: Partial<VpcFabric>;
}

const zoneBits = 2;
const hostBits = 6;
export const network4 = parseCidr('100.64.0.0/10');
export const network6 = parseCidr('fd00:64::/32');

export function zoneCidr(network: Cidr, zone: number): Cidr {
  return splitCidr(network, zoneBits, zone);
}
export function slotCidr(network: Cidr, zone: number, slot: number): Cidr {
  return splitCidr(zoneCidr(network, zone), hostBits, slot);
}
export function hostName(zone: number, slot: number): string {
  return `z${zone}-h${String(slot).padStart(2, '0')}`;
}

export function makeHost(zone: number, slot: number, dual = false): RoutingHost {
  const networks: [string, Cidr][] = dual
    ? [
        ['v4', network4],
        ['v6', network6],
      ]
    : [['v4', network4]];
  return {
    name: hostName(zone, slot),
    addresses: [
      parseAddress(`172.31.${zone}.${slot + 4}`),
      ...(dual ? [parseAddress(`fd31::${zone + 1}:${slot + 4}`)] : []),
    ],
    uplinks: [],
    asn: null,
    places: [{ topology: 'default', path: `zone-${zone}` }],
    ranges: networks.map(([network, cidr]) => ({ network, cidr: slotCidr(cidr, zone, slot) })),
    granted: [],
    state: 'active',
    number: zone * 64 + slot,
  };
}

export function makeInput(shape: Shape, hosts?: readonly RoutingHost[]): RoutingInput {
  const { dual = false, budget = null } = shape;
  const fabric = { ...vpcFabric, budget, ...shape.fabric };
  const networks: [string, Cidr][] = dual
    ? [
        ['v4', network4],
        ['v6', network6],
      ]
    : [['v4', network4]];
  const leaf = (zone: number): RoutingGroup => ({
    path: `zone-${zone}`,
    fabric: null,
    devices: [],
    aggregates: networks.map(([network, cidr]) => ({ network, cidr: zoneCidr(cidr, zone) })),
    groups: [],
  });
  return {
    networks: networks.map(([name, cidr]) => ({ name, cidr, topology: 'default' })),
    topologies: [
      {
        name: 'default',
        root: {
          path: '',
          fabric,
          devices: [],
          aggregates: networks.map(([network, cidr]) => ({ network, cidr })),
          groups: Array.from({ length: shape.zones }, (_, zone) => leaf(zone)),
        },
      },
    ],
    hosts: hosts ?? shape.slots.flatMap((slots, zone) => slots.map((slot) => makeHost(zone, slot, dual))),
  };
}

export function makeInstance(host: string, change: Partial<VpcInstance> = {}): VpcInstance {
  const zone = host.slice(0, host.indexOf('-'));
  return {
    id: `i-${host}`,
    interface: `eni-${host}`,
    subnet: `subnet-${zone}`,
    zone: `eu-test-1${zone}`,
    state: 'running',
    impaired: false,
    forwards: true,
    ...change,
  };
}

export function makeTable(id: string, routes: readonly VpcTableRoute[] = []): VpcTable {
  return { id, subnets: [], main: true, routes, recorded: new Set() };
}

export function makeState(input: RoutingInput, change: Partial<VpcState> = {}): VpcState {
  return {
    quota: null,
    tables: [makeTable('rtb-a')],
    instances: new Map(input.hosts.map(({ name }) => [name, makeInstance(name)])),
    silent: new Set(),
    ...change,
  };
}

/** The table after the change, as the provider would have it: one route of a destination. */
export function applied(table: VpcTable, change: VpcChange): VpcTable {
  const text = formatCidr(change.cidr);
  const others = table.routes.filter(({ cidr }) => cidr === null || formatCidr(cidr) !== text);
  const found = others.length < table.routes.length;
  if (change.action === 'create' ? found : !found) throw new Error(`${change.action} ${text} cannot be`);
  if (change.action === 'delete') return { ...table, routes: others };
  return { ...table, routes: [...others, { cidr: change.cidr, target: change.to, counted: true }] };
}

/** A small foreign route, outside of Romana's networks. */
export function foreignRoute(index: number, family: Family = 4): VpcTableRoute {
  const cidr =
    family === 4
      ? cidrOf(parseAddress(`10.${index >> 8}.${index & 255}.0`), 24)
      : cidrOf(parseAddress(`2001:db8:${index.toString(16)}::`), 48);
  return { cidr, target: `nat-${index}`, counted: true };
}
