/** A control plane without a network around it, for tests: a store, services, manual time. */

import type { Cancel, Log, Random, Timers } from '#core/ports.ts';
import type { Store } from '#store/port.ts';
import { type ManualClock, type TestStore, testStore } from '#store/testing.ts';
import { actorOf, type Caller } from './caller.ts';
import { FabricReports } from './services/fabric-reports.ts';
import { createServices, type Services } from './services/index.ts';

export const admin: Caller = { kind: 'token', name: 'root', role: 'admin' };
export const agentOf = (name: string): Caller => ({ kind: 'host', name, role: 'agent' });

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

/** The same numbers in every run. */
export function countingRandom(): Random {
  let n = 0;
  return {
    bytes: (length) => new Uint8Array(length).fill(++n & 255),
    uuid: () => `uid-${++n}`,
    fraction: () => 0.5,
  };
}

/** Timers that fire only when told, in order of time. */
export class ManualTimers implements Timers {
  #time = 0;
  #next = 0;
  readonly #waiting = new Map<number, { at: number; fn: () => void }>();

  after(ms: number, fn: () => void): Cancel {
    const id = this.#next++;
    this.#waiting.set(id, { at: this.#time + ms, fn });
    return () => this.#waiting.delete(id);
  }

  /** How many are set. */
  get size(): number {
    return this.#waiting.size;
  }

  advance(ms: number): void {
    const until = this.#time + ms;
    for (;;) {
      let due: [number, { at: number; fn: () => void }] | undefined;
      for (const entry of this.#waiting) {
        if (entry[1].at <= until && (due === undefined || entry[1].at < due[1].at)) due = entry;
      }
      if (due === undefined) break;
      this.#waiting.delete(due[0]);
      this.#time = due[1].at;
      due[1].fn();
    }
    this.#time = until;
  }
}

export interface World {
  readonly store: Store;
  readonly services: Services;
  readonly clock: ManualClock;
  readonly random: Random;
  readonly fabric: FabricReports;
  /** Closes the store and opens it again, as a restart of the server does. */
  restart(): World;
  /** Marks the host as joined, as authentication does. */
  join(host: string): Promise<void>;
  dispose(): void;
}

export function world(base: TestStore = testStore(), random: Random = countingRandom()): World {
  const store = base.open();
  const { clock } = base;
  const fabric = new FabricReports();
  const services = createServices({ store, clock, random, log: silentLog, version: 'test', fabric });
  return {
    store,
    services,
    clock,
    random,
    fabric,
    restart() {
      store.close();
      return world(base, random);
    },
    async join(host) {
      await store.transaction(actorOf(admin), (tx) => {
        const found = tx.get('host', host);
        if (found !== undefined) tx.put('host', host, { ...found, joined: true });
      });
    },
    dispose: () => base.dispose(),
  };
}
