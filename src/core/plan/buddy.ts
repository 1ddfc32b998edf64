/**
 * Reservations of host ids: each host gets an aligned power-of-two range inside its group, routed as one CIDR from the day it joins,
 * so that it can take further ids there without a change of any route. May import core/errors. Pure: who keeps reservations is
 * elsewhere.
 *
 * 1. Reservations never overlap, lie in their group, start at a multiple of their size and never hold id 0.
 * 2. Size 1 takes the lowest free id (1, 2, 3…), but leaves the buddies of larger reservations free while there is another id.
 * 3. A larger one goes where its buddy is free as well, so that it can double; into the smallest such gap, the lowest of these.
 * 4. What does not fit in that size gets half of it, and so on down to 1. Only when not even one id is free does `reclaim` take: the
 *    half without ids in use of the largest reservation that has one, the lowest of these.
 * 5. The same reservations give the same answer, in whatever order they are listed; what is freed joins its free neighbours.
 */

/** `size` is a power of two and divides `first`. */
export interface Reservation {
  readonly first: number;
  readonly size: number;
}

/** The host ids of a group, both ends included; as carved, so aligned and a power of two in number. */
export interface GroupRange {
  readonly firstHostId: number;
  readonly lastHostId: number;
}

export interface Occupied extends Reservation {
  /** Host ids that are given out. */
  readonly used: readonly number[];
}

export const largestReservation = 65_536;

/** The least power of two that is not below `n`. */
export function powerOfTwo(n: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, n)));
}

export function holdsId(reservation: Reservation, id: number): boolean {
  return id >= reservation.first && id < reservation.first + reservation.size;
}

/** The other half of the range that would be twice as large. */
export function buddyOf({ first, size }: Reservation): Reservation {
  return { first: first % (2 * size) === 0 ? first + size : first - size, size };
}

/** The largest aligned ranges of which nothing is taken, lowest first. Id 0 counts as taken. */
export function freeRanges(group: GroupRange, taken: readonly Reservation[]): Reservation[] {
  const sorted = [{ first: 0, size: 1 }, ...taken].sort((a, b) => a.first - b.first);
  const out: Reservation[] = [];
  const walk = (first: number, size: number, from: number, to: number): void => {
    // Only sorted[from..to) can lie in this range.
    let low = from;
    while (low < to && sorted[low]!.first + sorted[low]!.size <= first) low++;
    let high = to;
    while (high > low && sorted[high - 1]!.first >= first + size) high--;
    if (low === high) {
      out.push({ first, size });
    } else if (!sorted.slice(low, high).some((one) => one.first <= first && one.size >= size)) {
      walk(first, size / 2, low, high);
      walk(first + size / 2, size / 2, low, high);
    }
  };
  walk(group.firstHostId, group.lastHostId - group.firstHostId + 1, 0, sorted.length);
  return out;
}

/**
 * A place for a reservation of `size` (a power of two), of less where that does not fit; undefined when no id is free. With `id`: the
 * largest up to `size` that holds this id.
 */
export function place(
  group: GroupRange,
  taken: readonly Reservation[],
  size: number,
  id?: number,
): Reservation | undefined {
  const free = freeRanges(group, taken);
  if (id !== undefined) {
    const gap = free.find((range) => holdsId(range, id));
    if (gap === undefined) return undefined;
    const least = Math.min(size, gap.size);
    return { first: id - (id % least), size: least };
  }
  for (let wanted = size; wanted > 1; wanted /= 2) {
    const gap = smallest(free, 2 * wanted) ?? smallest(free, wanted);
    if (gap !== undefined) return { first: gap.first, size: wanted };
  }
  return lowestId(free, taken);
}

function smallest(free: readonly Reservation[], atLeast: number): Reservation | undefined {
  let best: Reservation | undefined;
  for (const range of free) {
    if (range.size >= atLeast && (best === undefined || range.size < best.size)) best = range;
  }
  return best;
}

function lowestId(free: readonly Reservation[], taken: readonly Reservation[]): Reservation | undefined {
  const room = new Set(taken.filter(({ size }) => size > 1).map((one) => text(buddyOf(one))));
  for (const range of free) {
    const first = outside(range, room);
    if (first !== undefined) return { first, size: 1 };
  }
  return free[0] === undefined ? undefined : { first: free[0].first, size: 1 };
}

/** The lowest id of the range that lies in none of `room`, of which each lies inside the range or is as large. */
function outside(range: Reservation, room: ReadonlySet<string>): number | undefined {
  if (room.has(text(range))) return undefined;
  if (range.size === 1) return range.first;
  const size = range.size / 2;
  return outside({ first: range.first, size }, room) ?? outside({ first: range.first + size, size }, room);
}

function text({ first, size }: Reservation): string {
  return `${first}/${size}`;
}

/**
 * Where a host that holds `own` grows by `count` ids or more: the free buddy of one of its reservations that is large enough (then
 * both are one CIDR), else a place as large as all it has, or as `count` needs. Undefined when no id is free.
 */
export function grow(
  group: GroupRange,
  taken: readonly Reservation[],
  own: readonly Reservation[],
  count: number,
): Reservation | undefined {
  const free = freeRanges(group, taken);
  const fits = own
    .filter(({ size }) => size >= count)
    .map(buddyOf)
    .filter((buddy) =>
      free.some((range) => holdsId(range, buddy.first) && holdsId(range, buddy.first + buddy.size - 1)),
    )
    .sort((a, b) => b.size - a.size || a.first - b.first);
  const total = own.reduce((sum, { size }) => sum + size, 0);
  return fits[0] ?? place(group, taken, Math.min(largestReservation, powerOfTwo(Math.max(count, total))));
}

/** Which reservation gives up a half for others when nothing is free: it keeps `keep` (null: nothing), and `freed` is free. */
export function reclaim<T extends Occupied>(
  occupied: readonly T[],
): { readonly from: T; readonly keep: Reservation | null; readonly freed: Reservation } | undefined {
  let best: { from: T; keep: Reservation | null; freed: Reservation } | undefined;
  for (const from of occupied) {
    const spare = spareOf(from);
    if (spare === undefined) continue;
    const { freed } = spare;
    if (
      best === undefined ||
      freed.size > best.freed.size ||
      (freed.size === best.freed.size && freed.first < best.freed.first)
    ) {
      best = { from, ...spare };
    }
  }
  return best;
}

function spareOf({
  first,
  size,
  used,
}: Occupied): { keep: Reservation | null; freed: Reservation } | undefined {
  if (used.length === 0) return { keep: null, freed: { first, size } };
  if (size === 1) return undefined;
  const lower = { first, size: size / 2 };
  const upper = { first: first + size / 2, size: size / 2 };
  if (!used.some((id) => holdsId(upper, id))) return { keep: lower, freed: upper };
  return used.some((id) => holdsId(lower, id)) ? undefined : { keep: upper, freed: lower };
}

/** Buddies joined, as often as it goes: the fewest aligned ranges over the same ids. */
export function joined(reservations: readonly Reservation[]): Reservation[] {
  const out: Reservation[] = [];
  for (const next of [...reservations].sort((a, b) => a.first - b.first)) {
    let merged = next;
    for (
      let left = out.at(-1);
      left !== undefined && text(buddyOf(merged)) === text(left);
      left = out.at(-1)
    ) {
      // Id 0 is in no reservation, so nothing ever joins down to it.
      out.pop();
      merged = { first: left.first, size: 2 * left.size };
    }
    out.push(merged);
  }
  return out;
}
