/**
 * Prefix groups: the topology tree carves the host field, so that each region, zone or rack has exactly one aggregate.
 * May import core/address and core/errors.
 *
 * 1. k siblings share their parent's range in equal parts, k rounded up to a power of two, in listed order; an only child takes
 *    the whole of it. With `slots`, the parts are those of so many children, however many there are yet: adding moves nothing.
 * 2. A group that states its `size` has exactly so many host ids. With `slots` it begins at a part of its own (or takes several);
 *    without, the groups are packed in listed order, and those of no stated size share equally what can be shared.
 * 3. What is left over (padding) belongs to nobody: no host ever lies in it.
 * 4. Groups are disjoint unless one is the other's ancestor, which then contains it; each has exactly one aggregate.
 */

import { type AddressPlan, type Cidr, decode, formatLayout, widthOf, withField } from '../address/index.ts';
import { RomanaError } from '../errors.ts';

export interface GroupNode {
  readonly name: string;
  /** Host ids of the group, a power of two. */
  readonly size?: number;
  /** How many children the group can ever have; a group with slots holds groups, even while it has none. */
  readonly slots?: number;
  /** Without children the group is a leaf and holds hosts. */
  readonly groups?: readonly GroupNode[];
}

export interface Topology {
  /** Without groups, one anonymous leaf with path '' holds everything. */
  readonly groups: readonly GroupNode[];
  readonly slots?: number;
}

export interface GroupCidr {
  /** Names from the top, 'zone/rack'. */
  readonly path: string;
  readonly name: string;
  readonly cidr: Cidr;
  readonly leaf: boolean;
}

export interface CarvedGroup extends GroupCidr {
  /** The range of host ids, both ends included. It may start at 0, an id that no host gets. */
  readonly firstHostId: number;
  readonly lastHostId: number;
}

function invalid(message: string, path: string): RomanaError {
  return new RomanaError('topology_invalid', message, { details: { path } });
}

export function isLeaf(group: GroupNode): boolean {
  return (group.groups ?? []).length === 0 && group.slots === undefined;
}

/** Every group with its aggregate: parents before their children, siblings in listed order. Throws topology_invalid. */
export function carveCidr(cidr: Cidr, topology: Topology): GroupCidr[] {
  const unitLength = Math.min(widthOf(cidr.address.family), cidr.length + 32);
  return carveUnits(cidr, unitLength, topology);
}

/** In units of the prefix length `unitLength` (a host CIDR), at most 2^32 of them. */
function carveUnits(cidr: Cidr, unitLength: number, topology: Topology): GroupCidr[] {
  if (topology.groups.length === 0 && topology.slots === undefined) {
    return [{ path: '', name: '', cidr, leaf: true }];
  }
  const out: GroupCidr[] = [];
  const carveInto = (
    siblings: readonly GroupNode[],
    slots: number | undefined,
    range: Range,
    above: string,
  ): void => {
    const ranges = arrange(siblings, slots, range, above);
    const seen = new Set<string>();
    for (const [index, node] of siblings.entries()) {
      const path = above === '' ? node.name : `${above}/${node.name}`;
      // A slash in a name would let two groups have one path.
      if (node.name === '' || node.name.includes('/')) {
        throw invalid(`A group needs a name without "/", but ${JSON.stringify(path)} has not.`, path);
      }
      if (seen.has(node.name))
        throw invalid(`Group ${JSON.stringify(path)} is there twice; rename one of them.`, path);
      seen.add(node.name);
      const part = ranges[index]!;
      const length = unitLength - Math.log2(part.count);
      const address = withField(cidr.address, unitLength, part.first);
      out.push({ path, name: node.name, cidr: { address, length }, leaf: isLeaf(node) });
      if (!isLeaf(node)) carveInto(node.groups ?? [], node.slots, part, path);
    }
  };
  carveInto(topology.groups, topology.slots, { first: 0, count: 2 ** (unitLength - cidr.length) }, '');
  return out;
}

interface Range {
  readonly first: number;
  /** A power of two; `first` is a multiple of it. */
  readonly count: number;
}

function arrange(
  siblings: readonly GroupNode[],
  slots: number | undefined,
  { first, count }: Range,
  above: string,
): Range[] {
  const within = above === '' ? 'the network' : `group ${JSON.stringify(above)}`;
  for (const { name, size } of siblings) {
    if (size === undefined || (Number.isInteger(Math.log2(size)) && size <= count)) continue;
    const path = above === '' ? name : `${above}/${name}`;
    const why = size > count ? `${within} has only ${count} host ids` : 'a size is a power of two';
    throw invalid(`Group ${JSON.stringify(path)} states a size of ${size}, but ${why}.`, path);
  }
  if (slots !== undefined && (slots < 1 || !Number.isInteger(slots) || siblings.length > slots)) {
    throw invalid(
      `${siblings.length} groups do not fit into the ${slots} slots of ${within}; state more slots (this moves hosts) or fewer groups.`,
      above,
    );
  }
  const parts = 2 ** Math.ceil(Math.log2(Math.max(1, slots ?? siblings.length)));
  const sized = siblings.some(({ size }) => size !== undefined);
  const share = count / parts;
  const fixed = slots !== undefined || !sized;
  const found =
    share < 1 && fixed
      ? undefined
      : fixed
        ? pack(siblings, share, slots === undefined ? 1 : share, count)
        : packLargest(siblings, count);
  if (found === undefined) {
    throw invalid(
      `${fixed ? `${parts} groups` : 'The groups with their sizes'} do not fit into the ${count} host ids of ${within}; use fewer or smaller groups, fewer levels, or a wider host field.`,
      above,
    );
  }
  return found.map((range) => ({ first: first + range.first, count: range.count }));
}

/** In listed order, each aligned to its size; each begins at a multiple of `grid`. Undefined: it does not fit. */
function pack(
  siblings: readonly GroupNode[],
  share: number,
  grid: number,
  count: number,
): Range[] | undefined {
  let next = 0;
  const ranges: Range[] = [];
  for (const { size = share } of siblings) {
    const step = Math.max(size, grid);
    const first = Math.ceil(next / step) * step;
    next = first + step;
    if (next > count) return undefined;
    ranges.push({ first, count: size });
  }
  return ranges;
}

/** With the largest share for groups of no stated size that still fits. */
function packLargest(siblings: readonly GroupNode[], count: number): Range[] | undefined {
  for (let share = count; share >= 1; share /= 2) {
    const ranges = pack(siblings, share, 1, count);
    if (ranges !== undefined) return ranges;
  }
  return undefined;
}

/**
 * `carveCidr` inside the host field of a plan. Throws topology_invalid also for a leaf whose only id would be 0.
 */
export function carve(plan: AddressPlan, topology: Topology): CarvedGroup[] {
  const out: CarvedGroup[] = [];
  for (const { path, name, cidr, leaf } of carveUnits(plan.cidr, plan.hostLength, topology)) {
    const firstHostId = decode(plan, cidr.address)?.host ?? 0;
    const lastHostId = firstHostId + 2 ** (plan.hostLength - cidr.length) - 1;
    if (leaf && lastHostId === 0) {
      throw invalid(
        `The host field of layout ${formatLayout(plan.layout)} is too narrow for group ${JSON.stringify(path)}, whose only host id would be 0, which no host gets: ` +
          'use fewer groups or levels, or a wider host field.',
        path,
      );
    }
    out.push({ path, name, cidr, leaf, firstHostId, lastHostId });
  }
  return out;
}
