/** Ranges of endpoint ids, both ends included. A *list* of ranges is sorted, disjoint and never adjacent. */

export interface IdRange {
  readonly first: number;
  readonly last: number;
}

/** The list that covers exactly the given ranges. */
export function mergeRanges(ranges: readonly IdRange[]): IdRange[] {
  const sorted = [...ranges].sort((a, b) => a.first - b.first);
  const out: IdRange[] = [];
  for (const range of sorted) {
    const before = out.at(-1);
    if (before !== undefined && range.first <= before.last + 1) {
      out[out.length - 1] = { first: before.first, last: Math.max(before.last, range.last) };
    } else {
      out.push(range);
    }
  }
  return out;
}

/** Position of the last range that starts at or below `id`, -1 if none. */
function indexOf(list: readonly IdRange[], id: number): number {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (list[middle]!.first <= id) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

/** The range of the list that holds `id`. */
export function rangeOf(list: readonly IdRange[], id: number): IdRange | undefined {
  const range = list[indexOf(list, id)];
  return range !== undefined && id <= range.last ? range : undefined;
}

/** Adds one id to a list in place. */
export function addId(list: IdRange[], id: number): void {
  const index = indexOf(list, id);
  const before = list[index];
  if (before !== undefined && id <= before.last) return;
  const after = list[index + 1];
  const joinsBefore = before !== undefined && before.last === id - 1;
  const joinsAfter = after !== undefined && after.first === id + 1;
  const merged = { first: joinsBefore ? before.first : id, last: joinsAfter ? after.last : id };
  list.splice(joinsBefore ? index : index + 1, Number(joinsBefore) + Number(joinsAfter), merged);
}

export function countIds(list: readonly IdRange[]): number {
  return list.reduce((sum, range) => sum + (range.last - range.first + 1), 0);
}
