/** Host ids to reserve for hosts: what they ask for, and whether their group can ever hold it. */
import { type GroupRange, powerOfTwo } from '../buddy.ts';
import type { Reading } from './fields.ts';
import type { HostPlace } from './hosts.ts';
import { leavesOf } from './place.ts';
import type { PlannedGroup } from './plan.ts';
import type { FileTopology, Path } from './types.ts';

/** Whether a reservation for `growth` host ids would fit if the group were empty. Id 0 is in none. */
export function fitsReservation({ firstHostId, lastHostId }: GroupRange, growth: number): boolean {
  const count = lastHostId - firstHostId + 1;
  return growth === 1 || powerOfTwo(growth) <= (firstHostId === 0 ? count / 2 : count);
}

export function demandRoom(
  r: Reading,
  topologies: readonly FileTopology[],
  groups: readonly PlannedGroup[],
  places: readonly HostPlace[],
): void {
  const known = new Map(groups.map((group) => [`${group.topology ?? ''} ${group.path}`, group]));
  const refused = new Set<Path>();
  const demand = (growth: number, at: Path, topology: string | null, path: string): void => {
    const group = known.get(`${topology ?? ''} ${path}`);
    const range = group?.ranges.find((one) => !fitsReservation(one, growth));
    if (range === undefined || refused.has(at)) return;
    refused.add(at);
    const where = path === '' ? `network ${range.network}` : `group ${path} in network ${range.network}`;
    const from = `host ids ${range.firstHostId} to ${range.lastHostId}${range.firstHostId === 0 ? ' (0 is nobody’s)' : ''}`;
    r.refuse(
      at,
      `A host that grows to ${growth} reserves ${powerOfTwo(growth)} host ids, but ${where} has ${from}; reserve fewer, or use a larger group.`,
      'topology_invalid',
    );
  };
  for (const topology of topologies) {
    for (const { path, growth } of leavesOf(topology))
      if (growth !== undefined) demand(growth.count, growth.at, topology.name, path);
  }
  for (const { host, topology, path } of places)
    if (host.growth !== undefined) demand(host.growth, [...host.at, 'growth'], topology, path);
}
