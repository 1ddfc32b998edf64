/**
 * Prefix groups: the topology tree carves the host field, so that each region, zone or rack has exactly one aggregate.
 * May import core/address and core/errors.
 *
 * 1. k siblings share their parent's range in equal parts, k rounded up to a power of two, in listed order; an only child takes
 *    the whole of it.
 * 2. The parts left over by rounding (padding) belong to nobody: no host ever lies in them.
 * 3. Groups are disjoint unless one is the other's ancestor, which then contains it.
 */

import {
  type AddressPlan,
  type Cidr,
  decode,
  formatCidr,
  formatLayout,
  splitCidr,
  widthOf,
} from '../address/index.ts';
import { RomanaError } from '../errors.ts';

export interface GroupNode {
  readonly name: string;
  /** Without children the group is a leaf and holds hosts. */
  readonly groups?: readonly GroupNode[];
}

export interface Topology {
  /** Without groups, one anonymous leaf with path '' holds everything. */
  readonly groups: readonly GroupNode[];
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

/** Every group with its aggregate: parents before their children, siblings in listed order. Throws topology_invalid. */
export function carveCidr(cidr: Cidr, topology: Topology): GroupCidr[] {
  if (topology.groups.length === 0) return [{ path: '', name: '', cidr, leaf: true }];
  const out: GroupCidr[] = [];
  carveInto(cidr, topology.groups, '', out);
  return out;
}

function carveInto(parent: Cidr, siblings: readonly GroupNode[], above: string, out: GroupCidr[]): void {
  const bits = Math.ceil(Math.log2(siblings.length));
  if (parent.length + bits > widthOf(parent.address.family)) {
    throw invalid(
      `${siblings.length} groups do not fit into ${formatCidr(parent)}; use fewer groups or levels.`,
      above,
    );
  }
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
    const cidr = splitCidr(parent, bits, index);
    const children = node.groups ?? [];
    out.push({ path, name: node.name, cidr, leaf: children.length === 0 });
    if (children.length > 0) carveInto(cidr, children, path, out);
  }
}

/**
 * `carveCidr` inside the host field of a plan. Throws topology_invalid also when the host field is too narrow: a group that is
 * smaller than one host id, or a leaf whose only id would be 0.
 */
export function carve(plan: AddressPlan, topology: Topology): CarvedGroup[] {
  const out: CarvedGroup[] = [];
  for (const { path, name, cidr, leaf } of carveCidr(plan.cidr, topology)) {
    const firstHostId = decode(plan, cidr.address)?.host ?? 0;
    const lastHostId = firstHostId + 2 ** (plan.hostLength - cidr.length) - 1;
    if (cidr.length > plan.hostLength || (leaf && lastHostId === 0)) {
      throw invalid(
        `The host field of layout ${formatLayout(plan.layout)} is too narrow for group ${JSON.stringify(path)}: ` +
          'use fewer groups or levels, or a wider host field.',
        path,
      );
    }
    out.push({ path, name, cidr, leaf, firstHostId, lastHostId });
  }
  return out;
}

/** The lowest free host id of a group; undefined when all are taken. Never id 0. */
export function nextHostId(
  group: Pick<CarvedGroup, 'firstHostId' | 'lastHostId'>,
  taken: (id: number) => boolean,
): number | undefined {
  for (let id = Math.max(1, group.firstHostId); id <= group.lastHostId; id++) {
    if (!taken(id)) return id;
  }
  return undefined;
}
