/**
 * Opens the store, and begins a new incarnation of one that was restored from a copy: what agents know of the lost state means nothing in
 * it, and nothing is given out until they have said what they hold (services/waiting.ts).
 *
 * First it is written that the wait begins, then the incarnation changes: a crash in between is found at the next start.
 */
import type { Clock, Log } from '#core/ports.ts';
import type { Store } from '#store/port.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';
import { settleWait } from './services/incarnation.ts';
import { begin, beginningOf, unheardHosts } from './services/waiting.ts';

export interface StoreOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly log: Log;
  readonly restored: boolean;
}

export async function openStore({ path, clock, log, restored }: StoreOptions): Promise<Store> {
  const opened = openSqliteStore({ path, clock });
  let store = opened;
  try {
    const { incarnation } = store.position();
    if (restored) {
      const since = new Date(clock.now()).toISOString();
      await store.transaction('system', (tx) => begin(tx, { from: incarnation, since }));
    }
    if (store.read(beginningOf)?.from === incarnation) {
      store.close();
      store = openSqliteStore({ path, clock, newIncarnation: true });
    }
    if (store.read(beginningOf) === undefined) return store;
    // Without hosts there is nobody to wait for.
    await store.transaction('system', settleWait);
    if (store.read(beginningOf) !== undefined)
      log.warn(
        { hosts: store.read(unheardHosts).length },
        'restored: gives out nothing until it has heard what these hosts hold',
      );
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}
