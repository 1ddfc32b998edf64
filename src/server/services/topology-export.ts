/** The topology file of what there is: applied, it changes nothing. */
import type { Host } from '#contract/model.ts';
import type { TopologyFile as ExportedFile } from '#contract/topology.ts';
import { formatLayout } from '#core/address/index.ts';
import { pathIn } from '#core/plan/index.ts';
import { fitsReservation } from '#core/plan/topology/index.ts';
import type { ReadTx } from '#store/port.ts';
import { allocatorOf, growthOf } from './host-ids.ts';
import { networksOf } from './shared.ts';
import { growthIn, nameOf, partOf, type Tree, topologyOf, treesOf } from './topology.ts';
import { fileStated, fileUplink, isEmpty } from './topology-fabric.ts';

export function exportFile(tx: ReadTx): ExportedFile {
  const trees = topologyOf(tx);
  const hosts = tx.list('host').map(({ value }) => value);
  const listed = (wanted: (host: Host) => boolean): Record<string, unknown>[] =>
    hosts.filter(wanted).map((host) => {
      const { name, addresses, labels, uplinks, asn } = host;
      const growth = roomFor(tx, host);
      return {
        name,
        addresses,
        ...(Object.keys(labels).length === 0 ? {} : { labels }),
        allocator: allocatorOf(tx, name),
        ...(growth === growthIn(trees, host) ? {} : { growth }),
        ...(uplinks === undefined ? {} : { uplinks: uplinks.map(fileUplink) }),
        ...(asn === undefined ? {} : { asn }),
      };
    });
  const map = (topology: string, groups: Tree['groups'], above: string): Record<string, unknown>[] =>
    groups.map(({ groups: children, fabric, devices, ...group }) => {
      const path = above === '' ? group.name : `${above}/${group.name}`;
      const here = listed((host) => pathIn(host, topology) === path);
      return {
        ...group,
        ...fileStated({ fabric, devices }),
        ...(children === undefined ? {} : { groups: map(topology, children, path) }),
        ...(here.length === 0 ? {} : { hosts: here }),
      };
    });
  const none = isEmpty(trees) && trees.further === undefined;
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
      : treesOf(trees).map((tree) => ({
          name: nameOf(tree),
          ...(tree.networks === undefined ? {} : { networks: tree.networks }),
          ...(tree.slots === undefined ? {} : { slots: tree.slots }),
          ...fileStated(tree),
          map: map(nameOf(tree), tree.groups, ''),
        })),
    hosts: listed(({ group, groups: all = [] }) => group === null && all.every(({ path }) => path === '')),
  };
}

/** What the host was created to grow to, as far as its groups can hold that. */
export function roomFor(tx: ReadTx, host: Host): number {
  let growth = growthOf(tx, host.name);
  if (growth === 1) return 1;
  for (const network of networksOf(tx)) {
    const leaf = partOf(tx, host, network);
    if (leaf === undefined) continue;
    while (growth > 1 && !fitsReservation(leaf, growth)) growth /= 2;
  }
  return growth;
}
