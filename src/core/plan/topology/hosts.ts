/** The hosts of a file: in each topology they stand where a group lists them, else where their labels put them. */
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
  const byLabels = (topology: FileTopology, host: FileHost): string | undefined => {
    const entry = (path: string) => leaves.get(keyOf(topology.name, path));
    const hasRoom = (path: string): boolean =>
      entry(path)?.group.ranges.every((range) => idOf(range, entry(path)?.taken ?? 0) !== undefined) ?? true;
    const hostsIn = (path: string): number => entry(path)?.taken ?? 0;
    return chooseLeaf(leavesOf(topology), host.labels ?? {}, hostsIn, hasRoom)?.path;
  };
  const put = (host: FileHost, listed: ReadonlyMap<string, string>): boolean => {
    let somewhere = false;
    if (free) take(host, null, '', false);
    for (const topology of topologies) {
      const path = listed.get(topology.name);
      const chosen = path ?? byLabels(topology, host);
      if (chosen !== undefined)
        somewhere = take(host, topology.name, chosen, path !== undefined) || somewhere;
    }
    return somewhere;
  };
  const known = new Map<string, { readonly host: FileHost; readonly listed: Map<string, string> }>();
  for (const topology of topologies) {
    for (const { host, path } of listedHosts(topology)) {
      const before = known.get(host.name);
      if (before?.listed.has(topology.name) === true)
        r.refuse(host.at, `Host ${host.name} is there twice; list it once.`, 'topology_invalid');
      else if (before !== undefined && sentence(before.host) !== sentence(host))
        r.refuse(host.at, `Host ${host.name} is listed elsewhere with other properties.`, 'topology_invalid');
      else if (before !== undefined) before.listed.set(topology.name, path);
      else known.set(host.name, { host, listed: new Map([[topology.name, path]]) });
    }
  }
  for (const { host, listed } of known.values()) put(host, listed);
  for (const host of file.hosts) {
    if (known.has(host.name)) {
      r.refuse(host.at, `Host ${host.name} is there twice; list it once.`, 'topology_invalid');
      continue;
    }
    const listed = new Map<string, string>();
    known.set(host.name, { host, listed });
    if (!put(host, listed) && topologies.length > 0)
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
  const { addresses, labels = null, allocator = null, growth = null, uplinks = null, asn = null } = host;
  return JSON.stringify([addresses, labels, allocator, growth, uplinks, asn]);
}
