/** Where a host goes: the leaves of a topology with the labels that they ask for, and the choice among them. */
import { isLeaf } from '../groups.ts';
import type { FileGroup, FileTopology, Labels, Path } from './types.ts';

export interface Leaf {
  readonly at: Path;
  readonly path: string;
  /** Its own pairs and those of the groups above it. Null: they contradict each other, so no host can match. */
  readonly assignment: Labels | null;
  /** Host ids to reserve for a host that states no growth, and the group that says so: this one or one above. */
  readonly growth?: { readonly count: number; readonly at: Path };
}

/** What placement reads of a group; stored topologies have no positions in a file. */
export type PlacedGroup = Pick<FileGroup, 'name' | 'assignment' | 'slots' | 'growth'> & {
  readonly at?: Path;
  readonly groups: readonly PlacedGroup[];
};

/** In listed order. Without groups, one leaf with path '' that takes every host. */
export function leavesOf(
  topology: Pick<FileTopology, 'slots'> & { readonly groups: readonly PlacedGroup[] },
): Leaf[] {
  if (topology.groups.length === 0 && topology.slots === undefined)
    return [{ at: [], path: '', assignment: {} }];
  const out: Leaf[] = [];
  const walk = (
    groups: readonly PlacedGroup[],
    above: string,
    inherited: Labels | null,
    growth?: Leaf['growth'],
  ): void => {
    for (const group of groups) {
      const path = above === '' ? group.name : `${above}/${group.name}`;
      const assignment = both(inherited, group.assignment);
      const at = group.at ?? [];
      const own = group.growth === undefined ? growth : { count: group.growth, at: [...at, 'growth'] };
      if (isLeaf(group)) out.push({ at, path, assignment, ...(own === undefined ? {} : { growth: own }) });
      else walk(group.groups, path, assignment, own);
    }
  };
  walk(topology.groups, '', {});
  return out;
}

function both(above: Labels | null, own: Labels): Labels | null {
  if (above === null) return null;
  const contradicts = Object.entries(own).some(([key, value]) => (above[key] ?? value) !== value);
  return contradicts ? null : { ...above, ...own };
}

/** Every pair that the leaf or a group above it asks for is a label of the host. */
export function isEligible({ assignment }: Pick<Leaf, 'assignment'>, labels: Labels): boolean {
  return (
    assignment !== null &&
    Object.entries(assignment).every(([key, value]) => Object.hasOwn(labels, key) && labels[key] === value)
  );
}

/** Among the eligible leaves with room the one that holds the fewest hosts; ties by order. */
export function chooseLeaf(
  leaves: readonly Leaf[],
  labels: Labels,
  hostsIn: (path: string) => number,
  hasRoom: (path: string) => boolean = () => true,
): Leaf | undefined {
  let best: Leaf | undefined;
  let fewest = Number.POSITIVE_INFINITY;
  for (const leaf of leaves) {
    if (!isEligible(leaf, labels)) continue;
    const count = hostsIn(leaf.path);
    if (count >= fewest || !hasRoom(leaf.path)) continue;
    best = leaf;
    fewest = count;
  }
  return best;
}
