/** The best widths of every network for one number of ids per host. */
import type { Checked, CheckedNetwork, Shape } from './input.ts';
import {
  capacityOf,
  hostBits,
  leastWidths,
  type Part,
  parts,
  sharedCapacity,
  sharedDemand,
  sumOf,
  type Widths,
} from './parts.ts';

/** Host, tenant and segment ids have at most 32 bits; so have endpoint ids, though their field may be wider. */
const mostBits = 32;
const hostParts: readonly Part[] = ['zones', 'racks', 'hosts'];

export interface Fitted {
  readonly network: CheckedNetwork;
  readonly widths: Widths;
  /** Planned tenants without an id of their own. */
  readonly shared: number;
}

/** Widths of the levels that the plan does not have, or that another network has settled. */
export interface FixedLevels {
  readonly zones?: number;
  readonly racks?: number;
}

/**
 * One `Fitted` per network in the order of the input; undefined when one of them has no room. The tightest network settles the slots,
 * because one topology serves all.
 */
export function fitAll(checked: Checked, ids: number): Fitted[] | undefined {
  const { grown, input } = checked;
  const absent: FixedLevels = {
    ...(input.zones === null && { zones: 0 }),
    ...(input.racks === null && { racks: 0 }),
  };
  const tightest = checked.networks.reduce((a, b) => (b.bits < a.bits ? b : a));
  const first = fitOne(tightest, grown, ids, absent);
  if (first === undefined) return undefined;
  const { zones, racks } = first.widths;
  const fitted = checked.networks.map((network) =>
    network === tightest ? first : fitOne(network, grown, ids, { zones, racks }),
  );
  return fitted.every((one) => one !== undefined) ? fitted : undefined;
}

export function fitOne(
  network: CheckedNetwork,
  shape: Shape,
  ids: number,
  fixed: FixedLevels,
): Fitted | undefined {
  const least = { ...leastWidths(shape, ids), ...fixed };
  if (hostBits(least) > mostBits || least.segments > mostBits) return undefined;
  if (capacityOf('endpoints', least) < shape.endpoints) return undefined;
  const spare = network.bits - sumOf(least);
  if (spare >= 0 && least.tenants <= mostBits) {
    const spread = network.cidr.address.family === 6 ? spreadByNibbles : spreadByBits;
    return { network, widths: spread(least, shape, spare, fixed), shared: 0 };
  }
  return fitShared(network, shape, least);
}

/** Too few bits: the tenant field gives way, and as many tenants as it then lacks share one identity. */
function fitShared(network: CheckedNetwork, shape: Shape, least: Widths): Fitted | undefined {
  const rest = network.bits - sumOf({ ...least, tenants: 0 });
  for (let tenants = Math.min(rest, mostBits, least.tenants); tenants >= 1; tenants--) {
    const widths = { ...least, tenants, endpoints: least.endpoints + rest - tenants };
    const shared = Math.max(0, shape.tenants - capacityOf('tenants', widths));
    if (sharedCapacity(widths) >= sharedDemand(shape, shared)) return { network, widths, shared };
  }
  return undefined;
}

function canGrow(part: Part, widths: Widths, fixed: FixedLevels, by = 1): boolean {
  if ((part === 'zones' || part === 'racks') && fixed[part] !== undefined) return false;
  const field = hostParts.includes(part) ? hostBits(widths) : widths[part];
  return field + by <= mostBits;
}

/** Of parts with the same headroom: what grows before what does not, and what no new group can widen before what one can. */
const ties: readonly Part[] = ['endpoints', 'tenants', 'hosts', 'racks', 'segments', 'zones'];

/** The part with the least headroom that can have another bit. */
function neediest(
  widths: Widths,
  shape: Shape,
  among: readonly Part[],
  can: (part: Part) => boolean,
): Part | undefined {
  let found: Part | undefined;
  let least = Infinity;
  for (const part of ties) {
    if (!among.includes(part)) continue;
    const factor = capacityOf(part, widths) / shape[part];
    if (factor < least && can(part)) {
      least = factor;
      found = part;
    }
  }
  return found;
}

/** Each bit goes where there is the least headroom: no other spread leaves more where there is least. */
function spreadByBits(least: Widths, shape: Shape, spare: number, fixed: FixedLevels, among = parts): Widths {
  const widths: { -readonly [K in keyof Widths]: number } = { ...least };
  let left = spare;
  for (; left > 0; left--) {
    const part = neediest(widths, shape, among, (one) => canGrow(one, widths, fixed));
    if (part === undefined) break;
    widths[part] += 1;
  }
  return { ...widths, endpoints: widths.endpoints + left };
}

/**
 * The same in steps of four bits, as long as there are enough: fields that end between hexadecimal digits cannot be read in an
 * address. The endpoint field takes what is left.
 */
function spreadByNibbles(least: Widths, shape: Shape, spare: number, fixed: FixedLevels): Widths {
  const rounding: Readonly<Record<'hosts' | 'tenants' | 'segments', number>> = {
    hosts: (4 - (hostBits(least) % 4)) % 4,
    tenants: (4 - (least.tenants % 4)) % 4,
    segments: (4 - (least.segments % 4)) % 4,
  };
  let left = spare - rounding.hosts - rounding.tenants - rounding.segments;
  if (left < 0) return spreadByBits(least, shape, spare, fixed);
  const add = (widths: Widths, part: Part, bits: number): Widths =>
    hostParts.includes(part)
      ? spreadByBits(widths, shape, bits, fixed, hostParts)
      : { ...widths, [part]: widths[part] + bits };
  let widths = add(least, 'hosts', rounding.hosts);
  widths = add(widths, 'tenants', rounding.tenants);
  widths = add(widths, 'segments', rounding.segments);
  for (; left >= 4; left -= 4) {
    const now = widths;
    const part = neediest(now, shape, parts, (one) => canGrow(one, now, fixed, 4));
    if (part === undefined) break;
    widths = add(now, part, 4);
  }
  return { ...widths, endpoints: widths.endpoints + left };
}
