/** Where a host stands that no one put there: labels choose its groups; a host that comes back gets its places and ids while they are free. */
import type { Host } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { pathIn, type Standing } from '#core/plan/index.ts';
import type { Labels } from '#core/plan/topology/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import {
  allocatorOf,
  demandLeaf,
  firstHostId,
  groupUnknown,
  type Holdings,
  letGoHostIds,
  recordOf,
  reservedFor,
} from './host-ids.ts';
import { idSpace } from './ids.ts';
import { awayFrom } from './locations.ts';
import { type KnownNetwork, nameSome } from './shared.ts';
import {
  carverOf,
  leafForLabels,
  leavesOf,
  nameOf,
  networksAt,
  partOf,
  suits,
  type Tree,
  topologyOf,
  treesOf,
} from './topology.ts';

export type Place = NonNullable<Host['groups']>[number];

/** Of a host in these groups, where there are several topologies. */
export function standingIn(groups: readonly Place[]): Pick<Host, 'group' | 'groups'> {
  return { group: groups[0]?.path || null, groups: [...groups] };
}

interface Wanted {
  readonly group: string | null;
  readonly listed?: ReadonlyMap<string, string> | undefined;
  readonly before?: LastPlace | undefined;
}

/** A new host: where it is listed or asked for, else where labels put it, in each topology. `pinned`: where it was listed or asked for, if there are several. */
export function standingFor(
  tx: ReadTx,
  labels: Labels,
  { group, listed, before }: Wanted,
): Pick<Host, 'group' | 'groups'> & { pinned: string[] } {
  const [first, ...others] = treesOf(topologyOf(tx));
  if (first === undefined || others.length === 0) {
    const path = group ?? (first === undefined ? null : groupForLabels(tx, first, labels, before?.group));
    demandLeaf(tx, path);
    return { group: path, pinned: [] };
  }
  const all = [first, ...others];
  const asked = group === null ? undefined : all.find((tree) => leavesOf(tree).includes(group));
  if (asked === undefined && group !== null) demandLeaf(tx, group);
  const pinned: string[] = [];
  const groups = all.flatMap((tree): Place[] => {
    const topology = nameOf(tree);
    const put = listed?.get(topology) ?? (tree === asked && group !== null ? group : undefined);
    if (put !== undefined) pinned.push(topology);
    const last = before === undefined ? undefined : pathIn(before, topology);
    const path = put ?? leafForLabels(tx, tree, labels, last);
    return path === undefined ? [] : [{ topology, path }];
  });
  if (groups.length === 0) throw groupUnknown(tx, null);
  return { ...standingIn(groups), pinned };
}

/** Null: there are no groups to choose from, or none of them will do (`demandLeaf` says so). */
function groupForLabels(tx: ReadTx, tree: Tree, labels: Labels, before?: string | null): string | null {
  const [only, ...others] = leavesOf(tree);
  if (only === '' && others.length === 0) return null;
  return leafForLabels(tx, tree, labels, before) ?? null;
}

export function placedByLabels(tx: ReadTx, host: string): boolean {
  return recordOf(tx, host)?.byLabels === true;
}

/** The host under labels that it got just now: where it was, or in other groups with other ids. */
export function replaced(tx: Tx, host: Host): Host {
  const trees = treesOf(topologyOf(tx));
  const pinned = recordOf(tx, host.name)?.pinned ?? [];
  const loose = trees.filter((tree) => !pinned.includes(nameOf(tree)));
  const stands = (tree: Tree): boolean => pathIn(host, nameOf(tree)) !== undefined;
  const left = loose.filter((tree) => stands(tree) && !suits(tree, host, host.labels));
  if (left.length > 0) demandMovable(tx, host);
  const next = new Map<string, string>();
  for (const tree of loose.filter((one) => left.includes(one) || !stands(one))) {
    const group = leafForLabels(tx, tree, host.labels);
    if (group !== undefined) next.set(nameOf(tree), group);
    else if (left.includes(tree)) refuseMove(tx, host, 'no other group with room matches them');
  }
  if (next.size === 0) return host;
  if (trees.length === 1) {
    letGoHostIds(tx, host);
    return withIds(tx, { ...host, group: [...next.values()][0] ?? null, ids: [], reservations: [] });
  }
  const changed = new Set(
    networksAt(tx, host).flatMap(({ name }) => {
      const carver = carverOf(topologyOf(tx), name);
      return carver !== null && next.has(nameOf(carver)) ? [name] : [];
    }),
  );
  for (const network of changed) letGoHostIds(tx, host, network);
  const ids = host.ids.filter(({ network }) => !changed.has(network));
  const reservations = (host.reservations ?? []).filter(({ network }) => !changed.has(network));
  const groups = trees.flatMap((tree): Place[] => {
    const topology = nameOf(tree);
    const path = next.get(topology) ?? pathIn(host, topology);
    return path === undefined ? [] : [{ topology, path }];
  });
  return withIds(tx, { ...host, ids, reservations, ...standingIn(groups) });
}

/** With first ids in all networks where it stands and holds nothing. The caller stores it. */
export function withIds(tx: Tx, host: Host): Host {
  const allocator = allocatorOf(tx, host.name);
  const { name, group, groups } = host;
  let held: Holdings = host;
  for (const network of networksAt(tx, host)) {
    const { ids, reservations = [] } = held;
    if ([...ids, ...reservations].some((one) => one.network === network.name)) continue;
    held = firstHostId(tx, { name, group, groups, ids, reservations }, network, { allocator });
  }
  return held === host ? host : { ...host, ids: [...held.ids], reservations: [...(held.reservations ?? [])] };
}

function demandMovable(tx: ReadTx, host: Host): void {
  const endpoints = heldBy(tx, host.name);
  if (endpoints.length > 0)
    refuseMove(tx, host, `it holds endpoints (${nameSome(endpoints)}); delete them first`);
  if (host.joined)
    refuseMove(
      tx,
      host,
      'its agent may hold endpoints of its host ids; delete the host and create it anew with these labels',
    );
}

function heldBy(tx: ReadTx, host: string): string[] {
  const here = tx.list('endpoint', { host, limit: 11 }).map(({ key }) => key);
  return [...here, ...awayFrom(tx, host)];
}

function refuseMove(tx: ReadTx, host: Host, why: string): never {
  const endpoints = heldBy(tx, host.name).slice(0, 10);
  throw new RomanaError(
    'in_use',
    `With these labels host ${host.name} may not stay in group ${host.group ?? '-'}, but ${why}.`,
    { details: { host: host.name, group: host.group, endpoints } },
  );
}

interface LastPlace extends Standing {
  readonly ids: readonly { readonly network: string; readonly id: number }[];
}

const lastPlaceKind = '_last';

export function rememberPlace(tx: Tx, { name, group, groups, ids }: Host): void {
  const place: LastPlace = {
    group,
    ...(groups === undefined ? {} : { groups }),
    ids: ids.map(({ network, id }) => ({ network, id })),
  };
  tx.put(lastPlaceKind, name, place);
}

export function lastPlaceOf(tx: ReadTx, host: string): LastPlace | undefined {
  return tx.get(lastPlaceKind, host) as LastPlace | undefined;
}

/** The host id that it had, if it is free and lies in the group where the host stands now. */
export function idBefore(
  tx: ReadTx,
  host: Standing,
  network: KnownNetwork,
  before: LastPlace | undefined,
): number | undefined {
  const id = before?.ids.find((entry) => entry.network === network.name)?.id;
  const leaf = partOf(tx, host, network);
  if (id === undefined || leaf === undefined || id < leaf.firstHostId || id > leaf.lastHostId)
    return undefined;
  const held = tx.holderOf(idSpace('host', network.name), id) ?? reservedFor(tx, network, leaf, id);
  return held === undefined ? id : undefined;
}
