/** Writes without end and says on stdout what was acknowledged; killed by faults.test.ts at some moment. Argument: database. */
import { writeSync } from 'node:fs';
import { tenant } from '../conformance.ts';
import { openSqliteStore } from './index.ts';

const path = process.argv[2] ?? '';
const store = openSqliteStore({
  path,
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
  keepChanges: 50,
});

async function writer(lane: number): Promise<never> {
  for (let n = 1; ; n++) {
    const name = `lane${lane}`;
    const revision = await store.transaction('child', (tx) => {
      // Two objects and a holding that must always agree.
      tx.put('tenant', name, { ...tenant(name), uid: String(n) });
      tx.put('_shadow', name, n);
      if (n > 1) tx.letGo(name, n - 1);
      tx.hold(name, n, name);
      return tx.revision;
    });
    writeSync(1, `${lane} ${n} ${revision}\n`);
  }
}

await Promise.all([1, 2, 3, 4, 5].map(writer));
