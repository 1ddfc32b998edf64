/**
 * Desired versus actual: the one comparison that every driver makes. Imports nothing.
 *
 * 1. Removing `remove`, then setting `create` and `update` makes actual equal desired.
 * 2. Equal states give an empty delta, so a driver that is called twice does nothing the second time.
 * 3. The order of each list depends on the keys alone, never on the order in which a map was filled: logs, batches and golden
 *    files stay stable.
 */

export interface Delta<K extends string, V> {
  readonly create: [key: K, wanted: V][];
  readonly update: [key: K, wanted: V, old: V][];
  readonly remove: [key: K, old: V][];
  /** How many entries are right already. */
  readonly same: number;
}

/** `equal` compares what the driver can change or read back; it must be true for a value and itself. No value is `undefined`. */
export function delta<K extends string, V>(
  desired: ReadonlyMap<K, V>,
  actual: ReadonlyMap<K, V>,
  equal: (wanted: V, old: V) => boolean,
): Delta<K, V> {
  const create: [K, V][] = [];
  const update: [K, V, V][] = [];
  const remove: [K, V][] = [];
  let same = 0;
  for (const [key, wanted] of desired) {
    const old = actual.get(key);
    if (old === undefined) create.push([key, wanted]);
    else if (equal(wanted, old)) same++;
    else update.push([key, wanted, old]);
  }
  for (const [key, old] of actual) {
    if (!desired.has(key)) remove.push([key, old]);
  }
  return { create: create.sort(byKey), update: update.sort(byKey), remove: remove.sort(byKey), same };
}

/** How many changes a delta holds; 0 means there is nothing to do. */
export function changeCount(changes: Pick<Delta<string, unknown>, 'create' | 'update' | 'remove'>): number {
  return changes.create.length + changes.update.length + changes.remove.length;
}

/** By code units, not by locale: the same on every host. */
function byKey(a: readonly [string, ...unknown[]], b: readonly [string, ...unknown[]]): number {
  return a[0] < b[0] ? -1 : a[0] > b[0] ? 1 : 0;
}
