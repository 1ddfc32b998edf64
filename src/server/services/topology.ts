/** The trees of prefix groups as they are stored, the aggregates that they give each network, and where labels put a host. */
import type { Host, Topology } from '#contract/model.ts';
import { formatCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import {
  type CarvedGroup,
  carve,
  type GroupNode,
  pathIn,
  powerOfTwo,
  type Standing,
} from '#core/plan/index.ts';
import {
  chooseLeaf,
  fitsReservation,
  isEligible,
  type Labels,
  type Leaf,
  leavesOf as leaves,
} from '#core/plan/topology/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { idSpace } from './ids.ts';
import { type KnownNetwork, networksOf } from './shared.ts';

/** What is chosen; the aggregates follow from it. */
export type Tree = Pick<Topology, 'groups' | 'name' | 'networks' | 'slots' | 'fabric' | 'devices'>;
/** The first of several stands for itself, as where there is only one. */
export type Trees = Tree & Pick<Topology, 'further'>;
type Groups = Tree['groups'];

export function topologyOf(tx: ReadTx): Topology {
  return tx.get('topology', '') ?? { groups: [], aggregates: aggregatesOf(tx, { groups: [] }), revision: 0 };
}

/** Writes the topologies with the aggregates of the networks that there are now. */
export function storeTopology(tx: Tx, trees: Trees = chosenOf(topologyOf(tx))): Topology {
  demandRoom(tx, trees);
  return tx.put('topology', '', { ...trees, aggregates: aggregatesOf(tx, trees) });
}

function chosenOf({ further, ...first }: Trees): Trees {
  return { ...treeOf(first), ...(further === undefined ? {} : { further }) };
}

function treeOf({ groups, name, networks, slots, fabric, devices }: Tree): Tree {
  return {
    groups,
    ...(name === undefined ? {} : { name }),
    ...(networks === undefined ? {} : { networks }),
    ...(slots === undefined ? {} : { slots }),
    ...(fabric === undefined ? {} : { fabric }),
    ...(devices === undefined ? {} : { devices }),
  };
}

/** One at least. */
export function treesOf({ further = [], ...first }: Trees): Tree[] {
  return [treeOf(first), ...further];
}

export function storedTrees([first = { groups: [] }, ...further]: readonly Tree[]): Trees {
  return { ...first, ...(further.length === 0 ? {} : { further }) };
}

export function nameOf({ name = 'default' }: Tree): string {
  return name;
}

/** Null: no topology carves the network. */
export function carverOf(trees: Trees, network: string): Tree | null {
  const all = treesOf(trees);
  return (
    all.find(({ networks }) => networks?.includes(network)) ??
    all.find(({ networks }) => networks === undefined || networks === null) ??
    null
  );
}

/** The group in whose part of the network the host has its ids; undefined: it has none there. */
export function pathOf(trees: Trees, host: Standing, network: string): string | undefined {
  const carver = carverOf(trees, network);
  return pathIn(host, carver === null ? undefined : nameOf(carver));
}

/** Networks in which the host has ids. */
export function networksAt(tx: ReadTx, host: Standing): KnownNetwork[] {
  const trees = topologyOf(tx);
  return networksOf(tx).filter(({ name }) => pathOf(trees, host, name) !== undefined);
}

export function partOf(tx: ReadTx, host: Standing, network: KnownNetwork): CarvedGroup | undefined {
  const trees = topologyOf(tx);
  const path = pathOf(trees, host, network.name);
  return path === undefined ? undefined : leafOf(groupsOf(network, trees), path);
}

/** The network is gone: one of its name that comes later is not carved unless somebody says so. */
export function forgetCarved(tx: Tx, network: string): void {
  const without = (tree: Tree): Tree =>
    tree.networks ? { ...tree, networks: tree.networks.filter((name) => name !== network) } : tree;
  storeTopology(tx, storedTrees(treesOf(topologyOf(tx)).map(without)));
}

function nodes(groups: Groups): GroupNode[] {
  return groups.map(({ name, size, slots, groups: children }) => ({
    name,
    ...(size === undefined ? {} : { size }),
    ...(slots === undefined ? {} : { slots }),
    ...(children === undefined ? {} : { groups: nodes(children) }),
  }));
}

/** Of a network that no topology carves: one anonymous leaf, whatever group a host stands in. */
export function groupsOf(network: KnownNetwork, trees: Trees): CarvedGroup[] {
  const carver = carverOf(trees, network.name);
  if (carver === null) return carve(network.plan, { groups: [] });
  const { groups, slots } = carver;
  return carve(network.plan, { groups: nodes(groups), ...(slots === undefined ? {} : { slots }) });
}

/** The part of a network where hosts of this group take their ids. */
export function leafOf(groups: readonly CarvedGroup[], path: string): CarvedGroup | undefined {
  const [only] = groups;
  if (groups.length === 1 && only?.path === '') return only;
  return groups.find((group) => group.leaf && group.path === path);
}

function aggregatesOf(tx: ReadTx, trees: Trees): Topology['aggregates'] {
  return networksOf(tx).flatMap((network) => {
    const carver = trees.further === undefined ? null : carverOf(trees, network.name);
    return groupsOf(network, trees).map(({ path, cidr, leaf }) => ({
      path,
      network: network.name,
      cidr: formatCidr(cidr),
      leaf,
      ...(carver === null ? {} : { topology: nameOf(carver) }),
    }));
  });
}

/** With the labels that they ask for. Without a topology that is '' alone, the group of hosts with group null. */
export function placesOf({ groups, slots }: Tree): Leaf[] {
  const placed = (list: Groups): Parameters<typeof leaves>[0]['groups'] =>
    list.map(({ name, assignment = {}, slots: room, growth, groups: children = [] }) => ({
      name,
      assignment,
      ...(growth === undefined ? {} : { growth }),
      ...(room === undefined ? {} : { slots: room }),
      groups: placed(children),
    }));
  return leaves({ groups: placed(groups), ...(slots === undefined ? {} : { slots }) });
}

/** Host ids that a host standing there reserves in each network, if it does not say itself. */
export function growthIn(trees: Trees, host: Standing): number {
  const stated = treesOf(trees)
    .map((tree) => growthAt(tree, pathIn(host, nameOf(tree))))
    .find((growth) => growth !== undefined);
  return powerOfTwo(stated ?? 1);
}

function growthAt(tree: Tree, path: string | undefined): number | undefined {
  return placesOf(tree).find((leaf) => leaf.path === path)?.growth?.count;
}

/** What groups say that their hosts grow to has to fit into them, in every network. */
function demandRoom(tx: ReadTx, trees: Trees): void {
  const all = treesOf(trees);
  for (const tree of all) {
    const growing = placesOf(tree).filter(({ growth }) => growth !== undefined);
    if (growing.length === 0) continue;
    for (const network of networksOf(tx)) {
      const carver = carverOf(trees, network.name);
      if (carver !== null && nameOf(carver) !== nameOf(tree)) continue;
      const groups = groupsOf(network, trees);
      for (const { path, growth } of growing) {
        const leaf = leafOf(groups, path);
        if (leaf === undefined || growth === undefined || fitsReservation(leaf, growth.count)) continue;
        throw new RomanaError(
          'topology_invalid',
          `Hosts of group ${path} grow to ${growth.count} host ids, for which it is too small in network ${network.name}; use a wider host field, or reserve fewer.`,
          { details: { group: path, network: network.name, growth: growth.count } },
        );
      }
    }
  }
}

/** Paths of the groups that hold hosts. */
export function leavesOf(tree: Tree): string[] {
  return placesOf(tree).map(({ path }) => path);
}

/** The leaf for a host of these labels; `before` is where it stood when it was here last. Undefined: none is eligible and has room. */
export function leafForLabels(
  tx: ReadTx,
  tree: Tree,
  labels: Labels,
  before?: string | null,
): string | undefined {
  const places = placesOf(tree);
  const name = nameOf(tree);
  const counts = new Map<string, number>();
  for (const { value } of tx.list('host')) {
    const path = pathIn(value, name);
    if (path !== undefined) counts.set(path, (counts.get(path) ?? 0) + 1);
  }
  const trees = topologyOf(tx);
  const carved = networksOf(tx).flatMap((network) => {
    const carver = carverOf(trees, network.name);
    return carver !== null && nameOf(carver) === name ? [{ network, groups: groupsOf(network, trees) }] : [];
  });
  const hasRoom = (path: string): boolean =>
    carved.every(({ network, groups }) => {
      const leaf = leafOf(groups, path);
      if (leaf === undefined) return false;
      const first = Math.max(1, leaf.firstHostId);
      return tx.lowestFree(idSpace('host', network.name), first, leaf.lastHostId) !== undefined;
    });
  const again = places.find((leaf) => leaf.path === before && isEligible(leaf, labels) && hasRoom(leaf.path));
  return (again ?? chooseLeaf(places, labels, (path) => counts.get(path) ?? 0, hasRoom))?.path;
}

export function suits(tree: Tree, host: Standing, labels: Labels): boolean {
  const path = pathIn(host, nameOf(tree));
  const leaf = placesOf(tree).find((one) => one.path === path);
  return leaf !== undefined && isEligible(leaf, labels);
}

/** Whether a host in this group keeps its ids and reservations in these networks, under the groups that they have then. */
export function staysIn(
  groups: ReadonlyMap<string, readonly CarvedGroup[]>,
  host: Pick<Host, 'ids' | 'reservations'>,
  path: string,
): boolean {
  const inside = (network: string, first: number, last: number): boolean => {
    const carved = groups.get(network);
    if (carved === undefined) return true;
    const leaf = leafOf(carved, path);
    return leaf !== undefined && first >= leaf.firstHostId && last <= leaf.lastHostId;
  };
  return (
    host.ids.every(({ network, id }) => inside(network, id, id)) &&
    (host.reservations ?? []).every(({ network, first, size }) => inside(network, first, first + size - 1))
  );
}
