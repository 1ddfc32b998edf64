/** A proposal as a topology file: its networks, and the zones and racks of today with slots for those to come. */
import { formatLayout } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import type { PlanInput, Proposal } from './types.ts';

export interface FileDocument {
  readonly networks: readonly { readonly name: string; readonly cidr: string; readonly layout: string }[];
  /** Absent without zones and racks: hosts stand in one group. */
  readonly topologies?: readonly {
    readonly networks: readonly string[];
    readonly slots: number;
    readonly map: readonly FileGroup[];
  }[];
}

interface FileGroup {
  readonly name: string;
  readonly slots?: number;
  readonly groups?: readonly FileGroup[];
}

/** What the reader of topology files takes. */
const mostGroups = 16_384;

/** Throws input_invalid when there are more groups than a topology file may have. */
export function topologyFile(input: Pick<PlanInput, 'zones' | 'racks'>, proposal: Proposal): FileDocument {
  const networks = proposal.networks.map(({ name, cidr, layout }) => ({
    name,
    cidr,
    layout: formatLayout(layout),
  }));
  const { zones, racks } = input;
  if ((zones ?? 0) + (racks ?? 0) > mostGroups) {
    throw new RomanaError(
      'input_invalid',
      `A topology file has at most ${mostGroups} groups; make one per zone, or plan for larger racks.`,
      { details: { path: 'racks' } },
    );
  }
  const slots = (name: 'zone' | 'rack'): number =>
    proposal.levels.find(({ level }) => level === name)?.slots ?? 1;
  const named = (name: string, count: number): FileGroup[] =>
    Array.from({ length: count }, (_, i) => ({ name: `${name}${i + 1}` }));
  const topology = { networks: networks.map(({ name }) => name) };
  if (zones === null) {
    return racks === null
      ? { networks }
      : { networks, topologies: [{ ...topology, slots: slots('rack'), map: named('rack', racks) }] };
  }
  // Dealt out in turns, as everything in a plan.
  const inZone = (zone: number): number => Math.floor(((racks ?? 0) + zones - 1 - zone) / zones);
  const map = named('zone', zones).map((zone, i) =>
    racks === null ? zone : { ...zone, slots: slots('rack'), groups: named('rack', inZone(i)) },
  );
  return { networks, topologies: [{ ...topology, slots: slots('zone'), map }] };
}
