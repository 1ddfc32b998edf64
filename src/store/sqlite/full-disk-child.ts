/**
 * Fills a tiny disk of its own, mounted over the folder given as argument. Run by faults.test.ts in a mount namespace, with which
 * the disk goes.
 */
import { execFileSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isRomanaError } from '#core/errors.ts';
import { tenant } from '../conformance.ts';
import { openSqliteStore } from './index.ts';

const folder = process.argv[2] ?? '';
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', folder]);
const options = {
  path: join(folder, 'store.db'),
  clock: { now: () => Date.now(), monotonic: () => performance.now() },
};
const ballast = join(folder, 'ballast');
writeFileSync(ballast, Buffer.alloc(300_000));
const store = openSqliteStore(options);
const count = () => store.read((tx) => tx.count('tenant'));
const put = (n: number) => store.transaction('t', (tx) => tx.put('tenant', `t${n}`, tenant(`t${n}`)));

const refused: string[] = [];
let n = 0;
let before = 0;
while (refused.length === 0) {
  const results = await Promise.allSettled([put(n), put(n + 1), put(n + 2)]);
  for (const result of results) {
    if (result.status === 'fulfilled') before++;
    else refused.push(isRomanaError(result.reason) ? result.reason.code : String(result.reason));
  }
  n += 3;
}
await put(n).catch((error: unknown) => refused.push(isRomanaError(error) ? error.code : String(error)));
const kept = count();
rmSync(ballast);
await put(n + 1);
const after = count();
store.close();
const again = openSqliteStore(options);
const reopened = again.read((tx) => tx.count('tenant'));
again.close();
process.stdout.write(JSON.stringify({ refused, before, kept, after, reopened }));
