/** The hosts of a file: those that groups list stand there, the others where their labels put them. */
import { maxId } from '../../address/index.ts';
import type { Reading } from './fields.ts';
import { chooseLeaf, leavesOf } from './place.ts';
import type { PlannedGroup } from './plan.ts';
import type { FileGroup, FileHost, FileTopology, TopologyFile } from './types.ts';

export interface HostPlace {
  readonly host: FileHost;
  readonly topology: string | null;
  readonly path: string;
  /** Listed by the group; otherwise labels chose it. */
  readonly pinned: boolean;
}

export function listedHosts(topology: FileTopology): { host: FileHost; path: string }[] {
  const walk = (groups: readonly FileGroup[], above: string): { host: FileHost; path: string }[] =>
    groups.flatMap((group) => {
      const path = above === '' ? group.name : `${above}/${group.name}`;
      return [...group.hosts.map((host) => ({ host, path })), ...walk(group.groups, path)];
    });
  return walk(topology.groups, '');
}

export function placeHosts(r: Reading, file: TopologyFile, groups: readonly PlannedGroup[]): HostPlace[] {
  const leaves = new Map(groups.map((group) => [keyOf(group.topology, group.path), { group, taken: 0 }]));
  const places: HostPlace[] = [];
  const take = (host: FileHost, topology: string | null, path: string, pinned: boolean): boolean => {
    const leaf = leaves.get(keyOf(topology, path));
    if (leaf === undefined) return true;
    const full = leaf.group.ranges.find((range) => idOf(range, leaf.taken) === undefined);
    if (full !== undefined) {
      const what = path === '' ? `network ${full.network}` : `group ${path} in network ${full.network}`;
      r.refuse(
        host.at,
        `There is no host id left for host ${host.name} in ${what}, which has ${leaf.taken}; use a larger group or a wider host field.`,
        'ids_exhausted',
      );
      return false;
    }
    leaf.taken++;
    places.push({ host, topology, path, pinned });
    return true;
  };
  const topologies = file.topologies ?? [];
  const free = leaves.has(keyOf(null, ''));
  const known = new Map<string, FileHost>();
  for (const topology of topologies) {
    const here = new Set<string>();
    for (const { host, path } of listedHosts(topology)) {
      const before = known.get(host.name);
      if (here.has(host.name))
        r.refuse(host.at, `Host ${host.name} is there twice; list it once.`, 'topology_invalid');
      else if (before !== undefined && sentence(before) !== sentence(host))
        r.refuse(host.at, `Host ${host.name} is listed elsewhere with other properties.`, 'topology_invalid');
      else take(host, topology.name, path, true);
      here.add(host.name);
      if (before === undefined && free) take(host, null, '', false);
      known.set(host.name, host);
    }
  }
  for (const host of file.hosts) {
    if (known.has(host.name)) {
      r.refuse(host.at, `Host ${host.name} is there twice; list it once.`, 'topology_invalid');
      continue;
    }
    known.set(host.name, host);
    let somewhere = free && take(host, null, '', false);
    for (const topology of topologies) {
      const entry = (path: string) => leaves.get(keyOf(topology.name, path));
      const leaf = chooseLeaf(
        leavesOf(topology),
        host.labels ?? {},
        (path) => entry(path)?.taken ?? 0,
        (path) =>
          entry(path)?.group.ranges.every((range) => idOf(range, entry(path)?.taken ?? 0) !== undefined) ??
          true,
      );
      if (leaf !== undefined) somewhere = take(host, topology.name, leaf.path, false) || somewhere;
    }
    if (!somewhere && topologies.length > 0)
      r.refuse(
        host.at,
        `The labels of host ${host.name} match no group with room; label it, or list it in a group.`,
        'group_unknown',
      );
  }
  return places;
}

function keyOf(topology: string | null, path: string): string {
  return `${topology ?? ''} ${path}`;
}

/** The id of the n-th host (from 0) of a range; undefined: full. Id 0 is no host's, nor is one above 2^32 − 1. */
function idOf(range: PlannedGroup['ranges'][number], n: number): number | undefined {
  const id = Math.max(1, range.firstHostId) + n;
  return id <= Math.min(range.lastHostId, maxId(32)) ? id : undefined;
}

function sentence(host: FileHost): string {
  return JSON.stringify([host.addresses, host.labels ?? null, host.allocator ?? null]);
}
