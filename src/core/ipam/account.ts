/**
 * Where the addresses of a network are: used, reserved, quarantined, free, or stranded and why. Always counted from scratch, by
 * arithmetic over ids, so that a network of 2^112 addresses costs as much as one of 2^8 and there is no counter that could drift.
 *
 * 1. used + reserved + quarantined + free + stranded = size, exactly, in every scope.
 * 2. A used address counts as used wherever it lies, a reserved one as reserved although it rests.
 * 3. *Free* is what a new endpoint of whoever the scope names could get: in a network, group or host that is the part of tenant ids nobody
 *    has yet; in a tenant or a block, all that its own endpoints could still get.
 */
import { type AddressPlan, aggregate, type Cidr, decode, sizeOf, widthOf } from '../address/index.ts';
import type { Block } from './types.ts';

export const reasons = {
  segment: 'only one segment on one host can take it',
  tenant: 'only new segments of one tenant can take it',
  shared: 'kept for tenants beyond the tenant field',
  spare: 'host ids kept for one host to grow into',
  pending: 'host ids whose route not every device has yet',
  fenced: 'host ids of hosts that are gone without a word',
  retiring: 'tenant or segment ids of what was deleted, until every host has acknowledged',
  padding: 'host ids in no prefix group',
  never: 'an id in it is 0, or past what can be numbered',
  flat: 'the network is flat: its addresses are not given out yet',
} as const;
export type Reason = keyof typeof reasons;

export type HeldState = 'active' | 'spare' | 'pending' | 'fenced';
export interface HeldRange {
  readonly first: number;
  readonly last: number;
  readonly state: HeldState;
}
export interface IdRow {
  readonly id: number;
  readonly retiring: boolean;
}
export interface AccountInput {
  readonly plan: AddressPlan;
  /** Disjoint, lowest first. */
  readonly hosts: readonly HeldRange[];
  /** Host ids of the prefix groups that hold hosts, disjoint; empty: no topology, all of them. */
  readonly leaves: readonly { readonly first: number; readonly last: number }[];
  readonly tenants: readonly (IdRow & { readonly segments: readonly IdRow[] })[];
  readonly reserved: readonly Cidr[];
  readonly blocks: readonly BlockCount[];
}
export interface BlockCount extends Omit<Block, 'network'> {
  readonly used: number;
  /** Of the used ones, those in reserved ranges. */
  readonly usedReserved: number;
  /** Released, not over their quarantine, not reserved. */
  readonly resting: number;
}

export interface Account {
  readonly size: bigint;
  readonly used: bigint;
  readonly reserved: bigint;
  readonly quarantined: bigint;
  readonly free: bigint;
  readonly stranded: bigint;
  /** Adds up to `stranded`; no zeros. */
  readonly why: ReadonlyMap<Reason, bigint>;
}

export interface Accountant {
  network(): Account;
  /** Host ids from first to last. */
  hostIds(ranges: readonly { readonly first: number; readonly last: number }[], own: boolean): Account;
  /** On the host ids that somebody holds. */
  tenant(ids: readonly number[]): Account;
  block(block: Omit<Block, 'network'>): Account;
}

type Class = Reason | 'free';
type Counts = Map<Class, bigint>;
type Range = readonly [first: bigint, last: bigint];
/** Every address whose four ids lie in the ranges. */
interface Box {
  readonly host: Range;
  readonly tenant: Range;
  readonly segment: Range;
  readonly endpoint: Range;
}

const span = ([first, last]: Range): bigint => (last < first ? 0n : last - first + 1n);
const has = ([first, last]: Range, id: bigint): boolean => first <= id && id <= last;
function meet(a: Range, b: Range): Range {
  return [a[0] > b[0] ? a[0] : b[0], a[1] < b[1] ? a[1] : b[1]];
}
const only = (id: number): Range => [BigInt(id), BigInt(id)];
const sum = (counts: Counts): bigint => [...counts.values()].reduce((total, n) => total + n, 0n);
function add(counts: Counts, what: Class, n: bigint): void {
  if (n !== 0n) counts.set(what, (counts.get(what) ?? 0n) + n);
}

export function accountant(input: AccountInput): Accountant {
  const { plan, blocks } = input;
  const whole = wholeBox(plan);
  const cuts = aggregate(input.reserved).map((range) => boxOf(plan, whole, range));
  const tally = counter(input);
  const classOf = classifier(input);

  const account = (boxes: readonly Box[], mine: readonly BlockCount[], own: readonly Class[]): Account => {
    const counts: Counts = new Map();
    let size = 0n;
    let reserved = 0n;
    for (const box of boxes) {
      const all = tally(box);
      size += sum(all);
      for (const [what, n] of all) add(counts, what, n);
      for (const cut of cuts) {
        const inside = tally(intersection(box, cut));
        reserved += sum(inside);
        for (const [what, n] of inside) add(counts, what, -n);
      }
    }
    let used = 0n;
    let quarantined = 0n;
    for (const block of mine) {
      used += BigInt(block.used);
      reserved -= BigInt(block.usedReserved);
      quarantined += BigInt(block.resting);
      add(counts, classOf(block), BigInt(block.usedReserved - block.used - block.resting));
    }
    const why = new Map<Reason, bigint>();
    let free = 0n;
    let stranded = 0n;
    for (const [what, n] of counts) {
      if (what === 'free' || own.includes(what)) free += n;
      else {
        stranded += n;
        if (n !== 0n) why.set(what, n);
      }
    }
    return { size, used, reserved, quarantined, free, stranded, why };
  };

  const inRanges = (ranges: readonly { first: number; last: number }[]) =>
    blocks.filter(({ hostId }) => ranges.some(({ first, last }) => first <= hostId && hostId <= last));
  return {
    network: () => account([whole], blocks, []),
    hostIds: (ranges, own) =>
      account(
        ranges.map(({ first, last }) => ({ ...whole, host: [BigInt(first), BigInt(last)] })),
        inRanges(ranges),
        own ? ['spare'] : [],
      ),
    tenant: (ids) =>
      account(
        ids.flatMap((id) =>
          input.hosts.map(
            ({ first, last }): Box => ({
              ...whole,
              host: [BigInt(first), BigInt(last)],
              tenant: only(id),
            }),
          ),
        ),
        inRanges(input.hosts).filter(({ tenantId }) => ids.includes(tenantId)),
        ['segment', 'tenant'],
      ),
    block: ({ hostId, tenantId, segmentId }) =>
      account(
        [
          {
            ...whole,
            host: only(hostId),
            tenant: only(tenantId),
            ...(tenantId === 0 ? {} : { segment: only(segmentId) }),
          },
        ],
        blocks.filter((b) => b.hostId === hostId && b.tenantId === tenantId && b.segmentId === segmentId),
        ['segment', 'shared'],
      ),
  };
}

function wholeBox(plan: AddressPlan): Box {
  const all = (width: number): Range => [0n, (1n << BigInt(width)) - 1n];
  const { host, tenant, segment, endpoint } = plan.layout;
  return { host: all(host), tenant: all(tenant), segment: all(segment), endpoint: all(endpoint) };
}

/** An aligned range fixes the fields above its length, cuts the one it ends in, and holds all of the fields below. */
function boxOf(plan: AddressPlan, whole: Box, range: Cidr): Box {
  const { host, tenant, segment, endpoint } = plan.layout;
  const total = BigInt(host + tenant + segment + endpoint);
  const from = offsetIn(plan, range);
  const to = from + sizeOf(range) - 1n;
  let below = total;
  const field = (width: number, all: Range): Range => {
    below -= BigInt(width);
    const mask = (1n << BigInt(width)) - 1n;
    const first = (from >> below) & mask;
    const last = (to >> below) & mask;
    return width === 0 ? all : [first, last];
  };
  return {
    host: field(host, whole.host),
    tenant: field(tenant, whole.tenant),
    segment: field(segment, whole.segment),
    endpoint: field(endpoint, whole.endpoint),
  };
}

function offsetIn(plan: AddressPlan, { address }: Cidr): bigint {
  const { w0, w1, w2, w3 } = address;
  const value =
    address.family === 4
      ? BigInt(w0)
      : (BigInt(w0) << 96n) | (BigInt(w1) << 64n) | (BigInt(w2) << 32n) | BigInt(w3);
  const bits = BigInt(widthOf(plan.family) - plan.cidr.length);
  return value & ((1n << bits) - 1n);
}

function intersection(a: Box, b: Box): Box {
  return {
    host: meet(a.host, b.host),
    tenant: meet(a.tenant, b.tenant),
    segment: meet(a.segment, b.segment),
    endpoint: meet(a.endpoint, b.endpoint),
  };
}

/** Counts the addresses of a box by class, whether they are used or not. */
function counter(input: AccountInput): (box: Box) => Counts {
  const { hosts, leaves } = input;
  const tenants = new Map(input.tenants.map((tenant) => [BigInt(tenant.id), tenant]));
  // Endpoint ids, and the numbers of the shared identity, have at most 32 bits.
  const lowBits = Math.min(32, input.plan.layout.endpoint);
  const ids: Range = [1n, (1n << BigInt(lowBits)) - 1n];
  const sharedSegments: Range = [0n, (1n << BigInt(32 - lowBits)) - 1n];

  const ofTenants = (box: Omit<Box, 'host'>): Counts => {
    const counts: Counts = new Map();
    const { tenant, segment, endpoint } = box;
    const each = span(segment) * span(endpoint);
    let unheld = span(tenant);
    if (has(tenant, 0n)) {
      unheld -= 1n;
      const zero = has(segment, 0n) && has(endpoint, 0n) ? 1n : 0n;
      const usable = span(meet(segment, sharedSegments)) * span(meet(endpoint, [0n, ids[1]])) - zero;
      add(counts, 'shared', usable);
      add(counts, 'never', each - usable);
    }
    const held = span(tenant) === 1n ? [tenants.get(tenant[0])] : tenants.values();
    for (const one of held) {
      if (one === undefined || one.id === 0 || !has(tenant, BigInt(one.id))) continue;
      unheld -= 1n;
      if (one.retiring) {
        add(counts, 'retiring', each);
        continue;
      }
      let fresh = span(segment) - (has(segment, 0n) ? 1n : 0n);
      if (has(segment, 0n)) add(counts, 'never', span(endpoint));
      for (const { id, retiring } of one.segments) {
        if (id === 0 || !has(segment, BigInt(id))) continue;
        fresh -= 1n;
        const usable = retiring ? span(endpoint) : span(meet(endpoint, ids));
        add(counts, retiring ? 'retiring' : 'segment', usable);
        add(counts, 'never', span(endpoint) - usable);
      }
      add(counts, 'tenant', fresh * span(endpoint));
    }
    add(counts, 'free', unheld * each);
    return counts;
  };
  const known = new Map<string, Counts>();
  const remembered = (box: Omit<Box, 'host'>): Counts => {
    const key = [box.tenant, box.segment, box.endpoint].join();
    const counts = known.get(key) ?? ofTenants(box);
    known.set(key, counts);
    return counts;
  };

  return (box) => {
    const counts: Counts = new Map();
    const { host, tenant, segment, endpoint } = box;
    const each = span(tenant) * span(segment) * span(endpoint);
    if (span(host) === 0n || each === 0n) return counts;
    let rest = span(host);
    if (has(host, 0n)) {
      rest -= 1n;
      add(counts, 'never', each);
    }
    for (const one of overlapping(hosts, host)) {
      const n = span(meet(host, [BigInt(one.first), BigInt(one.last)]));
      rest -= n;
      if (one.state !== 'active') add(counts, one.state, n * each);
      else for (const [what, count] of remembered(box)) add(counts, what, n * count);
    }
    const padding = leaves.length === 0 ? 0n : outside(leaves, hosts, host);
    add(counts, 'padding', padding * each);
    add(counts, 'free', (rest - padding) * each);
    return counts;
  };
}

/** Those of a sorted, disjoint list that meet the range. */
function overlapping<T extends { readonly first: number; readonly last: number }>(
  list: readonly T[],
  range: Range,
): T[] {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (BigInt(list[middle]!.last) < range[0]) low = middle + 1;
    else high = middle;
  }
  const found: T[] = [];
  for (let i = low; i < list.length && BigInt(list[i]!.first) <= range[1]; i++) found.push(list[i]!);
  return found;
}

/** How many host ids of the range, 0 aside, lie in no leaf and are held by nobody. */
function outside(leaves: AccountInput['leaves'], hosts: readonly HeldRange[], range: Range): bigint {
  const from: Range = [range[0] === 0n ? 1n : range[0], range[1]];
  let count = span(from);
  for (const { first, last } of leaves) count -= span(meet(from, [BigInt(first), BigInt(last)]));
  // Held although outside: counted with its holder.
  for (const { first, last } of overlapping(hosts, from)) {
    let stray = span(meet(from, [BigInt(first), BigInt(last)]));
    for (const leaf of leaves) {
      stray -= span(meet(from, meet([BigInt(first), BigInt(last)], [BigInt(leaf.first), BigInt(leaf.last)])));
    }
    count -= stray;
  }
  return count;
}

/** The class that the free addresses of a block are in. */
function classifier({ hosts, tenants, leaves }: AccountInput): (block: Omit<Block, 'network'>) => Class {
  const known = new Map(
    tenants.map((tenant) => [tenant.id, { ...tenant, byId: new Map(tenant.segments.map((s) => [s.id, s])) }]),
  );
  return ({ hostId, tenantId, segmentId }) => {
    if (hostId === 0) return 'never';
    const [held] = overlapping(hosts, only(hostId));
    if (held === undefined) {
      const inside =
        leaves.length === 0 || leaves.some(({ first, last }) => first <= hostId && hostId <= last);
      return inside ? 'free' : 'padding';
    }
    if (held.state !== 'active') return held.state;
    if (tenantId === 0) return 'shared';
    const tenant = known.get(tenantId);
    if (tenant === undefined) return 'free';
    if (tenant.retiring) return 'retiring';
    if (segmentId === 0) return 'never';
    const segment = tenant.byId.get(segmentId);
    if (segment === undefined) return 'tenant';
    return segment.retiring ? 'retiring' : 'segment';
  };
}

/** The class of one address while nobody has it. */
export function classOfAddress(input: AccountInput, address: Parameters<typeof decode>[1]): Class {
  const ids = decode(input.plan, address);
  if (ids === undefined) return 'never';
  const { host: hostId, tenant: tenantId, segment: segmentId, endpoint } = ids;
  const where = classifier(input)({ hostId, tenantId, segmentId });
  if (where === 'segment' && endpoint === 0) return 'never';
  return where === 'shared' && segmentId === 0 && endpoint === 0 ? 'never' : where;
}

/** Of a network in which nobody holds anything. `reserved`: disjoint, inside. */
export function flatAccount(cidr: Cidr, reserved: readonly Cidr[]): Account {
  const size = sizeOf(cidr);
  const kept = reserved.reduce((sum, range) => sum + sizeOf(range), 0n);
  const stranded = size - kept;
  const why = new Map<Reason, bigint>(stranded === 0n ? [] : [['flat', stranded]]);
  return { size, used: 0n, reserved: kept, quarantined: 0n, free: 0n, stranded, why };
}
