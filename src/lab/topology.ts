/**
 * What a topology file means for the lab: which networks its endpoints get addresses of, and how many fit. Pure.
 *
 * A rack's hosts stand in the group that is named like the rack, else where labels `rack` and `host` put them. The lab numbers its
 * hosts' own addresses itself, so the file lists no hosts.
 */
import type { Host } from '#contract/model.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { RomanaError } from '#core/errors.ts';
import { isOpenTo } from '#core/plan/open.ts';
import { demandTopology } from '#core/plan/topology/index.ts';
import { type HostPlan, NETWORKS } from './plan.ts';

export interface LabNetwork {
  readonly name: string;
  readonly family: 4 | 6;
  readonly endpointBits: number;
  readonly tenants?: readonly string[] | undefined;
}
export interface Addressing {
  /** To apply; null: the lab's own networks, and a group for each rack. */
  readonly file: TopologyInput | null;
  readonly networks: readonly LabNetwork[];
  /** Paths of groups that hold hosts, by the last part of their names. */
  readonly leaves: ReadonlyMap<string, string>;
}

export function addressing(document: TopologyInput | null): Addressing {
  if (document === null) {
    const networks = NETWORKS.map(({ name, family, layout }) => ({
      name,
      family,
      endpointBits: layout.endpoint,
    }));
    return { file: null, networks, leaves: new Map() };
  }
  const { file, plan } = demandTopology(document);
  if (plan.places.length > 0 || file.hosts.length > 0)
    throw refused('The lab makes hosts of its own and gives them addresses: take the hosts out of the file.');
  if (plan.topologies.length > 1)
    throw refused(
      'The lab has one spine, which routes the racks of one topology: take the others out of the file.',
    );
  const networks = file.networks.flatMap(({ name, cidr, layout, tenants }) =>
    layout === null ? [] : [{ name, family: cidr.address.family, endpointBits: layout.endpoint, tenants }],
  );
  if (networks.length === 0) throw refused('The lab needs at least one network with a layout in the file.');
  const leaves = plan.groups
    .filter(({ leaf, path }) => leaf && path !== '')
    .map(({ path }) => [path.slice(path.lastIndexOf('/') + 1), path] as const);
  return { file: document, networks, leaves: new Map(leaves) };
}

/** Endpoints of a segment that a host has room for: in each network a block for each host id that it may hold. */
export function endpointsPerBlock({ networks }: Addressing, growth: number): number {
  const bits = Math.min(16, ...networks.map(({ endpointBits }) => endpointBits));
  return (2 ** bits - 1) * growth;
}

export function familiesOf({ networks }: Addressing): (4 | 6)[] {
  return ([4, 6] as const).filter((family) => networks.some((network) => network.family === family));
}

/** Of each family one of the networks that are open to the tenant, in turn: its endpoints live in all of them. */
export function networksFor({ networks }: Addressing, tenant: string, turn: number): string[] {
  return ([4, 6] as const).flatMap((family) => {
    const open = networks.filter((network) => network.family === family && isOpenTo(network, tenant));
    const chosen = open[turn % Math.max(1, open.length)];
    return chosen === undefined ? [] : [chosen.name];
  });
}

/** The smallest group that holds each rack's hosts, and no others: the one that the rack's switches serve. */
export function groupsOfRacks(
  planned: readonly HostPlan[],
  hosts: readonly Pick<Host, 'group'>[],
): ReadonlyMap<string, string> {
  const standing = planned.map(({ name, rack }, i) => ({ name, rack, group: hosts[i]?.group ?? null }));
  return new Map(
    [...new Set(planned.map(({ rack }) => rack))].map((rack) => {
      const own = standing.filter((host) => host.rack === rack);
      const paths = own.flatMap(({ group }) => (group === null ? [] : [group.split('/')]));
      const shared = (paths[0] ?? []).findIndex((part, i) => paths.some((path) => path[i] !== part));
      const path = (shared < 0 ? (paths[0] ?? []) : (paths[0] ?? []).slice(0, shared)).join('/');
      const inside = ({ group }: (typeof standing)[number]): boolean =>
        group !== null && (group === path || path === '' || group.startsWith(`${path}/`));
      const other = standing.find((host) => inside(host) !== (host.rack === rack));
      if (other === undefined && path !== '') return [rack.name, path] as const;
      const whose = other ?? own[0];
      const where = whose?.group === null ? 'no group' : `group ${whose?.group}`;
      throw new RomanaError(
        'input_invalid',
        `Host ${whose?.name} of ${whose?.rack.name} stands in ${where}, and no group holds the hosts of ${rack.name} and no others: the file needs a group for each rack, named ${rack.name} or with the label rack: ${rack.name}.`,
      );
    }),
  );
}

function refused(message: string): RomanaError {
  return new RomanaError('input_invalid', message, { details: { path: 'topology' } });
}
