/**
 * Allocations per second through the services, without HTTP: `node bench/store.ts [folder]`. The folder should be on a real disk
 * (default: the system's folder for temporary files).
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Caller } from '#server/caller.ts';
import { createServices } from '#server/services/index.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';
import { systemClock, systemRandom } from '../src/runtime/index.ts';

const admin: Caller = { kind: 'token', name: 'bench', role: 'admin' };
const seconds = 3;
const hosts = 50;

async function run(folder: string, callers: number): Promise<void> {
  const store = openSqliteStore({ path: join(folder, `store-${callers}.db`), clock: systemClock });
  const quiet = () => undefined;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const services = createServices({ store, clock: systemClock, random: systemRandom, log });
  await services.networkCreate(admin, {
    params: {},
    query: {},
    body: {
      name: 'main',
      cidr: '10.0.0.0/8',
      layout: { host: 8, tenant: 2, segment: 2, endpoint: 12 },
      infrastructure: 'deny',
      reserved: [],
      quarantineSeconds: 30,
    },
  });
  for (let n = 1; n <= hosts; n++) {
    const body = {
      name: `h${n}`,
      addresses: [`192.0.2.${n}`],
      group: null,
      allocator: 'server' as const,
      labels: {},
    };
    await services.hostCreate(admin, { params: {}, query: {}, body });
  }
  await services.tenantCreate(admin, { params: {}, query: {}, body: { name: 'a', isolation: 'segment' } });
  await services.segmentCreate(admin, { params: { tenant: 'a' }, query: {}, body: { name: 's' } });
  const times: number[] = [];
  let next = 0;
  const end = performance.now() + seconds * 1000;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: callers }, async () => {
      while (performance.now() < end) {
        const n = next++;
        const from = performance.now();
        await services.endpointCreate(admin, {
          params: { tenant: 'a', segment: 's' },
          query: {},
          body: {
            name: `e${n}`,
            host: `h${1 + (n % hosts)}`,
            attachment: { kind: 'none' },
            sourcePrefixes: [],
          },
        });
        times.push(performance.now() - from);
      }
    }),
  );
  const elapsed = performance.now() - started;
  store.close();
  times.sort((a, b) => a - b);
  const at = (share: number) => (times[Math.floor(share * times.length)] ?? 0).toFixed(2);
  const rate = Math.round(times.length / (elapsed / 1000));
  console.log(
    `${String(callers).padStart(7)}  ${String(rate).padStart(13)}  ${at(0.5).padStart(7)}  ${at(0.99).padStart(7)}`,
  );
}

const folder = mkdtempSync(join(process.argv[2] ?? tmpdir(), 'romana-bench-'));
try {
  console.log('callers  allocations/s  p50 ms   p99 ms');
  for (const callers of [1, 16, 64]) await run(folder, callers);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
