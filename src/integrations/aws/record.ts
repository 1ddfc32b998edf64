/** The routes on record as ours, in the store: a route is recorded before it is written and forgotten after it is gone. */
import type { Store } from '#store/port.ts';
import type { Lease } from './lease.ts';

const kind = '_vpcroutes';

/** By table: destinations, as texts. */
export type Recorded = ReadonlyMap<string, ReadonlySet<string>>;

export function readRecord(store: Store, key: string): Recorded {
  const stored = store.read((tx) => tx.get(kind, key)) as Record<string, string[]> | undefined;
  return new Map(Object.entries(stored ?? {}).map(([table, cidrs]) => [table, new Set(cidrs)]));
}

/** Nothing is written when nothing changes. */
export async function writeRecord(store: Store, lease: Lease, key: string, next: Recorded): Promise<void> {
  const value = Object.fromEntries(
    [...next]
      .filter(([, cidrs]) => cidrs.size > 0)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([table, cidrs]) => [table, [...cidrs].sort()]),
  );
  const text = JSON.stringify(value);
  await store.transaction('vpc', (tx) => {
    lease.check(tx);
    if (JSON.stringify(tx.get(kind, key) ?? {}) !== text) tx.put(kind, key, value);
  });
}
