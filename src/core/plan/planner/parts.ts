/** The parts of an address and what each width of them holds. */
import { type Layout, maxId } from '../../address/index.ts';
import type { Shape } from './input.ts';
import type { PartName, PlanSizes } from './types.ts';

/** Bits of each part. `zones | racks | hosts | ids` are the host field, in this order. */
export interface Widths {
  readonly zones: number;
  readonly racks: number;
  readonly hosts: number;
  /** Ids that one host holds: 2^ids. */
  readonly ids: number;
  readonly tenants: number;
  readonly segments: number;
  readonly endpoints: number;
}

export type Part = Exclude<PartName, 'shared'>;
/** Most significant first. */
export const parts: readonly Part[] = ['zones', 'racks', 'hosts', 'tenants', 'segments', 'endpoints'];

export const fieldOf: Readonly<Record<PartName, keyof Layout>> = {
  zones: 'host',
  racks: 'host',
  hosts: 'host',
  tenants: 'tenant',
  segments: 'segment',
  endpoints: 'endpoint',
  shared: 'endpoint',
};

export function hostBits(widths: Widths): number {
  return widths.zones + widths.racks + widths.hosts + widths.ids;
}

export function layoutOf(widths: Widths): Layout {
  return {
    host: hostBits(widths),
    tenant: widths.tenants,
    segment: widths.segments,
    endpoint: widths.endpoints,
  };
}

/** How many of the part there can be. Ids 0 are never given out; a whole reservation of ids is lost with host id 0. */
export function capacityOf(part: Part, widths: Widths): number {
  if (part === 'zones' || part === 'racks') return 2 ** widths[part];
  if (part === 'hosts') return 2 ** widths.hosts - 1;
  if (part === 'endpoints') return 2 ** widths.ids * maxId(widths.endpoints);
  return maxId(widths[part]);
}

/** Endpoints that the shared identity has room for on one host: segment and endpoint bits are one number there. */
export function sharedCapacity(widths: Widths): number {
  return 2 ** widths.ids * maxId(widths.segments + widths.endpoints);
}

/** The fewest bits in which ids 1 to `count` fit, at least one. */
export function bitsForIds(count: number): number {
  let bits = 1;
  while (2 ** bits - 1 < count) bits++;
  return bits;
}

/** The fewest bits that number `count` things from 0. */
export function bitsForSlots(count: number): number {
  let bits = 0;
  while (2 ** bits < count) bits++;
  return bits;
}

/** The smallest widths that hold the sizes; not bounded by what fields may have. */
export function leastWidths(shape: Shape, ids: number): Widths {
  return {
    zones: bitsForSlots(shape.zones),
    racks: bitsForSlots(shape.racks),
    hosts: bitsForIds(shape.hosts),
    ids,
    tenants: bitsForIds(shape.tenants),
    segments: bitsForIds(shape.segments),
    endpoints: bitsForIds(Math.ceil(shape.endpoints / 2 ** ids)),
  };
}

export function sumOf(widths: Widths): number {
  return hostBits(widths) + widths.tenants + widths.segments + widths.endpoints;
}

/** Endpoints of `tenants` shared tenants that may stand on one host. */
export function sharedDemand(shape: Shape, tenants: number): number {
  return Math.min(shape.hostEndpoints, tenants * shape.segments * shape.endpoints);
}

/** 16777216 → 16 777 216; beyond 10^15 as a power, since nobody counts the digits. */
export function countText(value: number | bigint): string {
  if (value >= 1e15) return Number(value).toExponential(1);
  return String(value).replaceAll(/\B(?=(\d{3})+$)/g, ' ');
}

/** '1 rack', '64 680 racks'. `label` is a plural, perhaps with more words behind it. */
export function counted(value: number, label: string): string {
  return `${countText(value)} ${value === 1 ? label.replace(/^(\w+?)s\b/, '$1') : label}`;
}

/** 'racks of a zone', 'hosts of a rack'…: what a part counts in a plan with these levels. */
export function partLabel(part: PartName, { zones, racks }: Pick<PlanSizes, 'zones' | 'racks'>): string {
  const group = racks !== null ? 'hosts of a rack' : zones !== null ? 'hosts of a zone' : 'hosts';
  const labels: Readonly<Record<PartName, string>> = {
    zones: 'zones',
    racks: zones === null ? 'racks' : 'racks of a zone',
    hosts: group,
    tenants: 'tenants',
    segments: 'segments of a tenant',
    endpoints: 'endpoints of one segment on one host',
    shared: 'endpoints of shared tenants on one host',
  };
  return labels[part];
}
