/** Where the hosts that there are stand under other topologies, and which of them would lose host ids. */
import type { Host } from '#contract/model.ts';
import type { TopologyDiff } from '#contract/topology.ts';
import { type CarvedGroup, pathIn } from '#core/plan/index.ts';
import { chooseLeaf } from '#core/plan/topology/index.ts';
import type { ReadTx } from '#store/port.ts';
import { type Place, standingIn } from './host-place.ts';
import { awayFrom } from './locations.ts';
import { differing, networksOf } from './shared.ts';
import {
  carverOf,
  groupsOf,
  leafOf,
  leavesOf,
  nameOf,
  placesOf,
  staysIn,
  storedTrees,
  type Tree,
} from './topology.ts';

export type Blocked = NonNullable<TopologyDiff['blocked']>;
type Placed = ReadonlyMap<string, ReadonlyMap<string, string>>;

/** One of the topologies to come. */
interface Coming {
  readonly name: string;
  readonly tree: Tree;
  readonly leaves: ReadonlySet<string>;
  /** Of the networks whose ids have to stay inside. */
  readonly carved: ReadonlyMap<string, readonly CarvedGroup[]>;
  readonly taken: Map<string, number>;
}

/**
 * Hosts that would lose their ids; and those that stand elsewhere now, around the same ids. `placed`: groups that the file lists, by host
 * and topology.
 */
export function inTheWay(
  tx: ReadTx,
  before: readonly Tree[],
  next: readonly Tree[],
  placed: Placed,
): { blocked: Blocked | null; settled: Host[] } {
  const several = next.length > 1;
  const all = next.map((tree) => comingOf(tx, tree, next));
  const was = (host: Host, name: string, index: number): string | undefined => {
    const same = before.some((tree) => nameOf(tree) === name);
    if (same) return pathIn(host, name);
    // The only one may have another name.
    const renamed = index === 0 && !next.some((tree) => before.some((old) => nameOf(old) === nameOf(tree)));
    return renamed ? pathIn(host, before[0] === undefined ? undefined : nameOf(before[0])) : undefined;
  };
  const known = tx.list('host').map(({ value: host }) => ({
    host,
    paths: all.map(({ name, leaves }, index) => {
      const from = was(host, name, index);
      const kept = from !== undefined && leaves.has(from) ? from : undefined;
      return { from, to: placed.get(host.name)?.get(name) ?? kept };
    }),
  }));
  for (const { paths } of known)
    for (const [i, { to }] of paths.entries()) if (to !== undefined) count(all[i], to);
  const hosts: Blocked['hosts'] = [];
  const settled: Host[] = [];
  for (const { host, paths } of known) {
    const groups: Place[] = [];
    const moved: Blocked['hosts'] = [];
    for (const [i, { from, to }] of paths.entries()) {
      const coming = all[i];
      if (coming === undefined) continue;
      const path = to ?? (several ? byLabels(coming, host) : undefined);
      if (to === undefined && path !== undefined) count(coming, path);
      const stays = path !== undefined && coming.leaves.has(path) && staysIn(coming.carved, host, path);
      const has = [...host.ids, ...(host.reservations ?? [])].some(({ network }) =>
        coming.carved.has(network),
      );
      if (stays) groups.push({ topology: coming.name, path });
      else if (!several || path !== undefined || has)
        moved.push({ name: host.name, from: (from ?? host.group) || null, to: path || null });
    }
    if (moved.length === 0 && groups.length === 0)
      moved.push({ name: host.name, from: host.group, to: null });
    hosts.push(...moved.slice(0, 1));
    if (moved.length > 0) continue;
    const { groups: _, group: __, ...rest } = host;
    const standing = several ? standingIn(groups) : { group: groups[0]?.path || null };
    const changed = differing({ groups: null, ...host }, { groups: null, ...standing });
    if (changed.length > 0) settled.push({ ...rest, ...standing });
  }
  return { blocked: hosts.length === 0 ? null : blockedBy(tx, hosts), settled };
}

function comingOf(tx: ReadTx, tree: Tree, next: readonly Tree[]): Coming {
  const trees = storedTrees(next);
  const name = nameOf(tree);
  const mine = networksOf(tx).filter((network) => {
    const carver = carverOf(trees, network.name);
    return next.length === 1 || (carver !== null && nameOf(carver) === name);
  });
  return {
    name,
    tree,
    leaves: new Set(leavesOf(tree)),
    carved: new Map(mine.map((network) => [network.name, groupsOf(network, trees)])),
    taken: new Map(),
  };
}

function count(coming: Coming | undefined, path: string): void {
  coming?.taken.set(path, (coming.taken.get(path) ?? 0) + 1);
}

/** A host that is new in a topology goes where its labels put it, around the ids that it has. */
function byLabels({ tree, carved, taken }: Coming, host: Host): string | undefined {
  const hostsIn = (path: string): number => taken.get(path) ?? 0;
  const fits = (path: string): boolean =>
    staysIn(carved, host, path) &&
    [...carved.values()].every((groups) => {
      const leaf = leafOf(groups, path);
      return leaf !== undefined && leaf.lastHostId - Math.max(1, leaf.firstHostId) + 1 > hostsIn(path);
    });
  return chooseLeaf(placesOf(tree), host.labels, hostsIn, fits)?.path;
}

function blockedBy(tx: ReadTx, hosts: Blocked['hosts']): Blocked {
  const most = 20;
  const endpoints: string[] = [];
  let endpointCount = 0;
  for (const { name } of hosts) {
    const away = awayFrom(tx, name);
    endpointCount += tx.count('endpoint', { host: name }) + away.length;
    const room = most - endpoints.length;
    if (room <= 0) continue;
    const here = tx.list('endpoint', { host: name, limit: room }).map(({ key }) => key);
    endpoints.push(...[...here, ...away].slice(0, room));
  }
  return { hosts, endpoints, endpointCount };
}
