/** The tree of prefix groups as it is stored, the aggregates that it gives each network, and where labels put a host in it. */
import type { Host, Topology } from '#contract/model.ts';
import { formatCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { type CarvedGroup, carve, type GroupNode, powerOfTwo } from '#core/plan/index.ts';
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
export type Tree = Pick<Topology, 'groups' | 'name' | 'networks' | 'slots'>;
type Groups = Tree['groups'];

export function topologyOf(tx: ReadTx): Topology {
  return tx.get('topology', '') ?? { groups: [], aggregates: aggregatesOf(tx, { groups: [] }), revision: 0 };
}

/** Writes the topology with the aggregates of the networks that there are now. */
export function storeTopology(tx: Tx, tree: Tree = treeOf(topologyOf(tx))): Topology {
  demandRoom(tx, tree);
  return tx.put('topology', '', { ...tree, aggregates: aggregatesOf(tx, tree) });
}

export function treeOf({ groups, name, networks, slots }: Topology): Tree {
  return {
    groups,
    ...(name === undefined ? {} : { name }),
    ...(networks === undefined ? {} : { networks }),
    ...(slots === undefined ? {} : { slots }),
  };
}

/** The network is gone: one of its name that comes later is not carved unless somebody says so. */
export function forgetCarved(tx: Tx, network: string): void {
  const tree = treeOf(topologyOf(tx));
  const { networks } = tree;
  storeTopology(tx, networks ? { ...tree, networks: networks.filter((name) => name !== network) } : tree);
}

function nodes(groups: Groups): GroupNode[] {
  return groups.map(({ name, size, slots, groups: children }) => ({
    name,
    ...(size === undefined ? {} : { size }),
    ...(slots === undefined ? {} : { slots }),
    ...(children === undefined ? {} : { groups: nodes(children) }),
  }));
}

/** Of a network that the topology leaves alone: one anonymous leaf, whatever group a host stands in. */
export function groupsOf(tx: ReadTx, network: KnownNetwork, tree: Tree = topologyOf(tx)): CarvedGroup[] {
  const carved = tree.networks?.includes(network.name) ?? true;
  const { slots } = tree;
  return carve(
    network.plan,
    carved ? { groups: nodes(tree.groups), ...(slots === undefined ? {} : { slots }) } : { groups: [] },
  );
}

/** The part of a network where hosts of this group take their ids. */
export function leafOf(groups: readonly CarvedGroup[], path: string): CarvedGroup | undefined {
  const [only] = groups;
  if (groups.length === 1 && only?.path === '') return only;
  return groups.find((group) => group.leaf && group.path === path);
}

function aggregatesOf(tx: ReadTx, tree: Tree): Topology['aggregates'] {
  return networksOf(tx).flatMap((network) =>
    groupsOf(tx, network, tree).map(({ path, cidr, leaf }) => ({
      path,
      network: network.name,
      cidr: formatCidr(cidr),
      leaf,
    })),
  );
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

/** Host ids that a host in this group reserves in each network, if it does not say itself. */
export function growthIn(tree: Tree, group: string | null): number {
  return powerOfTwo(placesOf(tree).find(({ path }) => path === (group ?? ''))?.growth?.count ?? 1);
}

/** What groups say that their hosts grow to has to fit into them, in every network. */
function demandRoom(tx: ReadTx, tree: Tree): void {
  const growing = placesOf(tree).filter(({ growth }) => growth !== undefined);
  if (growing.length === 0) return;
  for (const network of networksOf(tx)) {
    const groups = groupsOf(tx, network, tree);
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

/** Paths of the groups that hold hosts. */
export function leavesOf(tree: Tree): string[] {
  return placesOf(tree).map(({ path }) => path);
}

/** The leaf for a host of these labels; `before` is where it stood when it was here last. Undefined: none is eligible and has room. */
export function leafForLabels(tx: ReadTx, labels: Labels, before?: string | null): string | undefined {
  const tree = topologyOf(tx);
  const places = placesOf(tree);
  const counts = new Map<string, number>();
  for (const { value } of tx.list('host')) {
    if (value.group !== null) counts.set(value.group, (counts.get(value.group) ?? 0) + 1);
  }
  const carved = networksOf(tx).map((network) => ({ network, groups: groupsOf(tx, network, tree) }));
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

export function suits(tx: ReadTx, host: Pick<Host, 'group'>, labels: Labels): boolean {
  const leaf = placesOf(topologyOf(tx)).find(({ path }) => path === (host.group ?? ''));
  return leaf !== undefined && isEligible(leaf, labels);
}

/** Whether a host in this group keeps its ids and reservations under these groups. `groups` has those of every network. */
export function staysIn(
  groups: ReadonlyMap<string, readonly CarvedGroup[]>,
  host: Host,
  path: string,
): boolean {
  const inside = (network: string, first: number, last: number): boolean => {
    const leaf = leafOf(groups.get(network) ?? [], path);
    return leaf !== undefined && first >= leaf.firstHostId && last <= leaf.lastHostId;
  };
  return (
    host.ids.every(({ network, id }) => inside(network, id, id)) &&
    (host.reservations ?? []).every(({ network, first, size }) => inside(network, first, first + size - 1))
  );
}
