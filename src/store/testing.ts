/** A store in a folder of its own, for tests of everything above the store. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#core/ports.ts';
import type { Store } from './port.ts';
import { openSqliteStore } from './sqlite/index.ts';

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  time = Date.UTC(2026, 0, 1);
  now(): number {
    return this.time;
  }
  monotonic(): number {
    return this.time;
  }
}

export interface TestStore {
  readonly path: string;
  readonly clock: ManualClock;
  open(options?: { keepChanges?: number }): Store;
  dispose(): void;
}

/** `open` again after closing gives the same state. `dispose` closes what is open and removes the folder. */
export function testStore(): TestStore {
  const folder = mkdtempSync(join(tmpdir(), 'romana-store-'));
  const path = join(folder, 'store.db');
  const clock = new ManualClock();
  let current: Store | undefined;
  return {
    path,
    clock,
    open(options = {}) {
      current = openSqliteStore({ path, clock, busyMs: 0, ...options });
      return current;
    },
    dispose() {
      current?.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
