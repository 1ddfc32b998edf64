/**
 * Does one allocation cost the same with 10 and with 1,000,000 live endpoints, with 10 and with 5,000 hosts? Median of an allocation
 * and a release, in the memory of an agent and in the SQLite store, as ratios to the smallest size of the same run.
 * `node bench/ipam-scale.ts [most endpoints]`; 1,000,000 by default, which takes some minutes.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { addressPlan, parseCidr, parseLayout } from '#core/address/index.ts';
import {
  decideAllocate,
  decideRelease,
  type IpamNetwork,
  type IpamView,
  MemoryIpam,
} from '#core/ipam/index.ts';
import { systemClock } from '#runtime/index.ts';
import type { Tx } from '#store/port.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';

const most = Number(process.argv[2] ?? 1_000_000);
const layout = { host: 13, tenant: 4, segment: 2, endpoint: 9 };
const cidr = 'fd10::/100';
const network: IpamNetwork = {
  name: 'net',
  plan: addressPlan(parseCidr(cidr), parseLayout('13/4/2/9')),
  reserved: [],
  quarantineMs: 0,
};
const probes = 300;

/** Endpoint n is spread over the hosts, then over tenants and segments. */
function wanted(n: number, hosts: number) {
  const hostIds = [1 + (n % hosts)];
  const block = Math.floor(n / hosts);
  const slot = { network: 'net', hostIds, tenantId: 1 + (block % 15), segmentId: 1 + (block % 3) };
  return { key: `k${n}`, question: '', slots: [slot] };
}

function median(times: number[]): number {
  times.sort((a, b) => a - b);
  return times[times.length >> 1] ?? 0;
}

function probe(
  view: IpamView,
  apply: (event: ReturnType<typeof decideRelease>[number]) => void,
  live: number,
  hosts: number,
): number {
  const times: number[] = [];
  for (let i = 0; i < probes; i++) {
    const ask = { ...wanted((i * 7919) % hosts, hosts), key: `probe${live}-${i}` };
    const began = performance.now();
    for (const event of decideAllocate(view, ask, 'u', 0).events) apply(event);
    for (const event of decideRelease(view, ask.key, {}, 0)) apply(event);
    times.push(performance.now() - began);
  }
  return median(times) * 1000;
}

interface Row {
  readonly where: string;
  readonly hosts: number;
  readonly endpoints: number;
  readonly microseconds: number;
}

function inMemory(hosts: number, sizes: readonly number[]): Row[] {
  const ipam = new MemoryIpam([network]);
  let live = 0;
  return sizes.map((endpoints) => {
    for (; live < endpoints; live++)
      for (const event of decideAllocate(ipam, wanted(live, hosts), 'u', 0).events) ipam.apply(event);
    return {
      where: 'memory',
      hosts,
      endpoints,
      microseconds: probe(ipam, (event) => ipam.apply(event), live, hosts),
    };
  });
}

async function inStore(hosts: number, sizes: readonly number[]): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'romana-bench-'));
  const store = openSqliteStore({ path: join(folder, 'store.db'), clock: systemClock });
  const rows: Row[] = [];
  try {
    await store.transaction('bench', (tx) =>
      tx.put('network', 'net', {
        name: 'net',
        cidr,
        family: 6,
        layout,
        infrastructure: 'deny',
        reserved: [],
        quarantineSeconds: 0,
        uid: 'u',
        createdAt: '',
      }),
    );
    let live = 0;
    const fill = (tx: Tx, until: number): void => {
      for (; live < until; live++)
        for (const event of decideAllocate(tx.ipam, wanted(live, hosts), 'u', 0).events) tx.applyIpam(event);
    };
    for (const endpoints of sizes) {
      for (let until = live; until < endpoints; ) {
        until = Math.min(endpoints, until + 10_000);
        const upTo = until;
        await store.transaction('bench', (tx) => fill(tx, upTo));
      }
      const microseconds = await store.transaction('bench', (tx) =>
        probe(tx.ipam, (event) => tx.applyIpam(event), live, hosts),
      );
      rows.push({ where: 'sqlite', hosts, endpoints, microseconds });
    }
  } finally {
    store.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return rows;
}

const sizes = [10, 1_000, 10_000, 100_000, 1_000_000].filter((n) => n <= most);
// Once for nothing, so that the first size does not pay for the compiler.
inMemory(100, [1_000]);
for (const [where, run] of [
  ['memory', inMemory],
  ['sqlite', inStore],
] as const) {
  const byHosts: Row[] = [];
  for (const hosts of [10, 500, 5_000]) {
    // A block holds 511: few hosts hold fewer endpoints.
    const rows = await run(
      hosts,
      sizes.filter((n) => n <= hosts * 15 * 200),
    );
    const [first] = rows;
    console.log(`${where}, ${hosts} hosts`);
    for (const { endpoints, microseconds } of rows) {
      const ratio = microseconds / (first?.microseconds ?? microseconds);
      console.log(
        `  ${String(endpoints).padStart(9)} endpoints  ${microseconds.toFixed(1).padStart(8)} µs  ×${ratio.toFixed(2)}`,
      );
    }
    byHosts.push(...rows.filter(({ endpoints }) => endpoints === 10_000));
  }
  const [few] = byHosts;
  for (const { hosts, microseconds } of byHosts)
    console.log(
      `${where}, 10000 endpoints on ${hosts} hosts: ×${(microseconds / (few?.microseconds ?? 1)).toFixed(2)}`,
    );
}
