/**
 * The host ids that the hosts of a file get from a control plane that has no others: the same choice, made without it.
 *
 * 1. Hosts come in listed order, those that labels place last; each takes its networks by name, as networks made at once are.
 */
import { holdsId, place, powerOfTwo, type Reservation, reclaim } from '../buddy.ts';
import { leavesOf } from './place.ts';
import type { PlannedGroup, TopologyPlan } from './plan.ts';

type Range = PlannedGroup['ranges'][number];
type Held = Reservation & { readonly used: readonly number[] };

/** Reservations larger than one id are looked for among all others, so there is a limit to how many are worked out. */
const mostGrowing = 1024;

/** By host and network. Of a group with growth and very many hosts the later ones have none: they are not worked out. */
export function hostIdsOf({ groups, places, topologies }: TopologyPlan): Map<string, Map<string, number>> {
  const inherited = new Map(
    topologies.flatMap((topology) =>
      leavesOf(topology).map(({ path, growth }) => [`${topology.name} ${path}`, growth?.count]),
    ),
  );
  const rangesAt = new Map(groups.map((group) => [`${group.topology ?? ''} ${group.path}`, group.ranges]));
  const hosts = [...Map.groupBy(places, ({ host }) => host.name)].map(([name, all]) => {
    const keys = all.map(({ topology, path }) => `${topology ?? ''} ${path}`);
    const stated =
      all[0]?.host.growth ?? keys.map((key) => inherited.get(key)).find((one) => one !== undefined);
    const ranges = keys.flatMap((key) => rangesAt.get(key) ?? []);
    ranges.sort((a, b) => (a.network < b.network ? -1 : 1));
    return { name, size: powerOfTwo(stated ?? 1), ranges };
  });
  const growing = new Set(hosts.flatMap(({ size, ranges }) => (size > 1 ? ranges : [])));
  const takers = new Map<Range, (size: number, preferred: number | undefined) => number | undefined>();
  const takerOf = (range: Range) => {
    const taker = takers.get(range) ?? (growing.has(range) ? reserving(range) : counting(range));
    takers.set(range, taker);
    return taker;
  };
  const out = new Map<string, Map<string, number>>();
  for (const { name, size, ranges } of hosts) {
    const ids = new Map<string, number>();
    let preferred: number | undefined;
    for (const range of ranges) {
      const id = takerOf(range)(size, preferred);
      preferred ??= id;
      if (id !== undefined) ids.set(range.network, id);
    }
    out.set(name, ids);
  }
  return out;
}

/** Where every host has one id: the lowest free one, or that of its first network if it is free. */
function counting({ firstHostId, lastHostId }: Range): (size: number, preferred?: number) => number {
  const used = new Set<number>();
  let lowest = Math.max(1, firstHostId);
  return (_, preferred) => {
    while (used.has(lowest)) lowest++;
    const fits = preferred !== undefined && preferred >= firstHostId && preferred <= lastHostId;
    const id = fits && !used.has(preferred) ? preferred : lowest;
    used.add(id);
    return id;
  };
}

function reserving(range: Range): (size: number, preferred?: number) => number | undefined {
  const held: Held[] = [];
  const find = (size: number, preferred: number | undefined): Reservation | undefined => {
    const same = preferred === undefined ? undefined : place(range, held, size, preferred);
    return same?.size === size ? same : place(range, held, size);
  };
  return (size, preferred) => {
    if (held.length >= mostGrowing) return undefined;
    let found = find(size, preferred);
    if (found === undefined) {
      const spare = reclaim(held);
      if (spare === undefined) return undefined;
      const { from, keep } = spare;
      held.splice(held.indexOf(from), 1, ...(keep === null ? [] : [{ ...keep, used: from.used }]));
      found = find(size, preferred);
    }
    if (found === undefined) return undefined;
    const id = preferred !== undefined && holdsId(found, preferred) ? preferred : found.first;
    held.push({ ...found, used: [id] });
    return id;
  };
}
