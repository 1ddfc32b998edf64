/** The topology file of what there is: applied, it changes nothing. */
import type { Host } from '#contract/model.ts';
import type { TopologyFile as ExportedFile } from '#contract/topology.ts';
import { formatLayout } from '#core/address/index.ts';
import { fitsReservation } from '#core/plan/topology/index.ts';
import type { ReadTx } from '#store/port.ts';
import { allocatorOf, growthOf } from './host-ids.ts';
import { networksOf } from './shared.ts';
import { groupsOf, growthIn, leafOf, type Tree, topologyOf, treeOf } from './topology.ts';

export function exportFile(tx: ReadTx): ExportedFile {
  const tree = treeOf(topologyOf(tx));
  const hosts = tx.list('host').map(({ value }) => value);
  const listed = (path: string | null): Record<string, unknown>[] => {
    const inherited = growthIn(tree, path);
    return hosts
      .filter(({ group }) => group === path)
      .map((host) => {
        const { name, addresses, labels } = host;
        const growth = roomFor(tx, host);
        return {
          name,
          addresses,
          ...(Object.keys(labels).length === 0 ? {} : { labels }),
          allocator: allocatorOf(tx, name),
          ...(growth === inherited ? {} : { growth }),
        };
      });
  };
  const map = (groups: Tree['groups'], above: string): Record<string, unknown>[] =>
    groups.map(({ groups: children, ...group }) => {
      const path = above === '' ? group.name : `${above}/${group.name}`;
      const here = listed(path);
      return {
        ...group,
        ...(children === undefined ? {} : { groups: map(children, path) }),
        ...(here.length === 0 ? {} : { hosts: here }),
      };
    });
  const { name = 'default', networks, slots, groups } = tree;
  const none = groups.length === 0 && slots === undefined && networks === undefined;
  return {
    networks: tx.list('network').map(({ value }) => ({
      name: value.name,
      cidr: value.cidr,
      ...(value.layout === null ? { kind: 'flat' } : { layout: formatLayout(value.layout) }),
      infrastructure: value.infrastructure,
      reserved: value.reserved,
      quarantineSeconds: value.quarantineSeconds,
      tenants: value.tenants ?? [],
    })),
    topologies: none
      ? []
      : [
          {
            name,
            ...(networks === undefined ? {} : { networks }),
            ...(slots === undefined ? {} : { slots }),
            map: map(groups, ''),
          },
        ],
    hosts: listed(null),
  };
}

/** What the host was created to grow to, as far as its group can hold that. */
export function roomFor(tx: ReadTx, host: Host): number {
  let growth = growthOf(tx, host.name);
  if (growth === 1) return 1;
  for (const network of networksOf(tx)) {
    const leaf = leafOf(groupsOf(tx, network), host.group ?? '');
    if (leaf === undefined) continue;
    while (growth > 1 && !fitsReservation(leaf, growth)) growth /= 2;
  }
  return growth;
}
