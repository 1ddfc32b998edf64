/** The tree of prefix groups and the aggregates that it gives each network. */
import type { Host, Topology } from '#contract/model.ts';
import { formatCidr, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { type CarvedGroup, carve, carveCidr, type GroupNode } from '#core/plan/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { type Context, differing, type KnownNetwork, nameSome, networksOf } from './shared.ts';
import type { Services } from './types.ts';

export function topologyServices({ store }: Context): Pick<Services, 'topologyShow' | 'topologyApply'> {
  return {
    topologyShow: async () => store.read(topologyOf),
    topologyApply: (caller, { query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = topologyOf(tx);
        checkGuard('topology', '', old.revision, query);
        const groups = body.groups.map(plain);
        // Without networks nothing else would notice a group that is there twice.
        carveCidr(parseCidr('::/0'), { groups: nodes(groups) });
        demandInPlace(tx, groups);
        if (old.revision > 0 && differing(old, { groups }).length === 0) return old;
        return storeTopology(tx, groups);
      }),
  };
}

type Groups = Topology['groups'];

/** Without absent or empty lists of children, so that equal trees are equal objects. */
function plain(group: Groups[number]): Groups[number] {
  const children = group.groups ?? [];
  return children.length === 0 ? { name: group.name } : { name: group.name, groups: children.map(plain) };
}

export function topologyOf(tx: ReadTx): Topology {
  return tx.get('topology', '') ?? { groups: [], aggregates: aggregatesOf(tx, []), revision: 0 };
}

/** Writes the topology with the aggregates of the networks that there are now. */
export function storeTopology(tx: Tx, groups: Groups = topologyOf(tx).groups): Topology {
  return tx.put('topology', '', { groups, aggregates: aggregatesOf(tx, groups) });
}

function nodes(groups: Groups): GroupNode[] {
  return groups.map((group) =>
    group.groups === undefined ? { name: group.name } : { name: group.name, groups: nodes(group.groups) },
  );
}

export function groupsOf(tx: ReadTx, network: KnownNetwork, groups = topologyOf(tx).groups): CarvedGroup[] {
  return carve(network.plan, { groups: nodes(groups) });
}

function aggregatesOf(tx: ReadTx, groups: Groups): Topology['aggregates'] {
  return networksOf(tx).flatMap((network) =>
    groupsOf(tx, network, groups).map(({ path, cidr, leaf }) => ({
      path,
      network: network.name,
      cidr: formatCidr(cidr),
      leaf,
    })),
  );
}

/** Paths of the groups that hold hosts. Without a topology that is '' alone, the group of hosts with group null. */
export function leavesOf(groups: Groups, above = ''): string[] {
  if (groups.length === 0) return [''];
  return groups.flatMap((group) => {
    const path = above === '' ? group.name : `${above}/${group.name}`;
    return group.groups === undefined || group.groups.length === 0 ? [path] : leavesOf(group.groups, path);
  });
}

/** A host's addresses hold its host id: no group of a host may vanish or move away from under it. */
function demandInPlace(tx: ReadTx, groups: Groups): void {
  const leaves = new Set(leavesOf(groups));
  const ranges = new Map(
    networksOf(tx).map((network) => [
      network.name,
      new Map(groupsOf(tx, network, groups).map((group) => [group.path, group])),
    ]),
  );
  const stays = (host: Host): boolean => {
    const path = host.group ?? '';
    return (
      leaves.has(path) &&
      host.ids.every(({ network, id }) => {
        const group = ranges.get(network)?.get(path);
        return group !== undefined && id >= group.firstHostId && id <= group.lastHostId;
      }) &&
      (host.reservations ?? []).every(({ network, first, size }) => {
        const group = ranges.get(network)?.get(path);
        return group !== undefined && first >= group.firstHostId && first + size - 1 <= group.lastHostId;
      })
    );
  };
  const moved = tx.list('host').flatMap(({ value }) => (stays(value) ? [] : [value.name]));
  if (moved.length > 0) {
    throw new RomanaError(
      'in_use',
      `Hosts ${nameSome(moved)} would leave the range of their group; append groups instead, or delete and create these hosts anew.`,
      { details: { hosts: moved.slice(0, 100) } },
    );
  }
}
