/**
 * Topology files: networks and prefix groups in one document, judged and carved without a server. May import core only.
 *
 * 1. A document is believed in nothing; each refusal has the path of what it refuses, and reading takes bounded time.
 * 2. The same document gives the same plan, on whatever side it is read.
 */
import { formatCidr, formatLayout } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import type { FabricKind } from '../../routing/fabric.ts';
import { pathText } from './fields.ts';
import { hostIdsOf } from './host-ids.ts';
import { planTopology, type TopologyPlan } from './plan.ts';
import { readTopology } from './read.ts';
import type { FileGroup, FileTopology, Issue, TopologyFile } from './types.ts';

export { type ServedDevice, uplinkFaults } from './fabric-check.ts';
export { fitsReservation } from './growth.ts';
export { hostIdsOf } from './host-ids.ts';
export { listedHosts } from './hosts.ts';
export { chooseLeaf, isEligible, type Leaf, leavesOf } from './place.ts';
export { type PlannedGroup, type PlannedNetwork, planTopology, type TopologyPlan } from './plan.ts';
export { readTopology } from './read.ts';
export type * from './types.ts';

/** Reads and plans. Throws the first issue; all of them are in its details. */
export function demandTopology(document: unknown): {
  file: TopologyFile;
  plan: TopologyPlan;
  notes: readonly Issue[];
} {
  const { file, issues, notes } = readTopology(document);
  refuse(issues);
  const planned = planTopology(file);
  refuse(planned.issues);
  return { file, plan: planned.plan, notes: [...notes, ...planned.notes] };
}

export function refuse(issues: readonly Issue[]): void {
  const [first] = issues;
  if (first === undefined) return;
  throw new RomanaError(first.code, first.message, {
    details: {
      path: pathText(first.path),
      issues: issues.map(({ path, key, code, message }) => ({
        path: pathText(path),
        at: path,
        ...(key === undefined ? {} : { key }),
        code,
        message,
      })),
    },
  });
}

/** What `show` prints. */
export interface ShownTopology {
  readonly networks: readonly {
    readonly name: string;
    readonly cidr: string;
    readonly layout: string | null;
    readonly topology: string | null;
    readonly tenants: readonly string[];
  }[];
  readonly topologies: readonly ({ readonly name: string } & Stated)[];
  readonly groups: readonly {
    readonly topology: string | null;
    readonly path: string;
    readonly holds: 'hosts' | 'groups';
    readonly networks: readonly { readonly network: string; readonly cidr: string }[];
    readonly fabric: FabricKind | null;
    readonly devices: readonly string[];
    readonly hosts: readonly string[];
    readonly hostIds: readonly {
      readonly network: string;
      readonly host: string;
      readonly ids: readonly number[];
    }[];
  }[];
}

export function showTopology(plan: TopologyPlan): ShownTopology {
  const { networks, groups, places, topologies } = plan;
  const stated = new Map(topologies.flatMap((topology) => [...statedAt(topology)]));
  const hostIds = hostIdsOf(plan);
  const standing = Map.groupBy(places, ({ topology, path }) => `${topology ?? ''} ${path}`);
  return {
    networks: networks.map(({ name, source, topology }) => ({
      name,
      cidr: formatCidr(source.cidr),
      layout: source.layout === null ? null : formatLayout(source.layout),
      topology,
      tenants: source.tenants ?? [],
    })),
    topologies: topologies.map(({ name }) => ({ name, ...(stated.get(`${name} `) ?? nothing) })),
    groups: groups.map(({ topology, path, leaf, ranges }) => {
      const here = standing.get(`${topology ?? ''} ${path}`) ?? [];
      return {
        topology,
        path,
        holds: leaf ? 'hosts' : 'groups',
        networks: ranges.map(({ network, cidr }) => ({ network, cidr: formatCidr(cidr) })),
        ...(stated.get(`${topology ?? ''} ${path}`) ?? nothing),
        hosts: here.map(({ host }) => host.name),
        hostIds: here.flatMap(({ host }) =>
          ranges.flatMap(({ network }) => {
            const id = hostIds.get(host.name)?.get(network);
            return id === undefined ? [] : [{ network, host: host.name, ids: [id] }];
          }),
        ),
      };
    }),
  };
}

interface Stated {
  /** As stated here or above. */
  readonly fabric: FabricKind | null;
  readonly devices: readonly string[];
}
const nothing: Stated = { fabric: null, devices: [] };

/** By topology and path. */
function statedAt(topology: FileTopology): Map<string, Stated> {
  const all = new Map<string, Stated>();
  const look = (at: FileTopology | FileGroup, path: string, above: FabricKind | null): void => {
    const fabric = at.fabric?.kind ?? above;
    const devices = (at.devices ?? []).map(({ name }) => name);
    all.set(`${topology.name} ${path}`, { fabric, devices });
    for (const group of at.groups) look(group, path === '' ? group.name : `${path}/${group.name}`, fabric);
  };
  look(topology, '', null);
  return all;
}
