/**
 * Durable allocations per second on an agent (each answered after fdatasync), by one caller and by 64 at once, and decisions per second
 * without a disk. `node bench/ipam.ts [directory]`; the directory decides which disk is measured.
 */

import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { LocalAllocator } from '#agent/allocator.ts';
import { addressPlan, parseCidr, parseLayout } from '#core/address/index.ts';
import {
  decideAllocate,
  decideRelease,
  type IpamNetwork,
  MemoryIpam,
  type Wanted,
} from '#core/ipam/index.ts';

const networks: IpamNetwork[] = [
  {
    name: 'v4',
    plan: addressPlan(parseCidr('10.0.0.0/8'), parseLayout('4/2/2/16')),
    reserved: [],
    quarantineMs: 0,
  },
  {
    name: 'v6',
    plan: addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64')),
    reserved: [],
    quarantineMs: 0,
  },
];

const want = (key: string): Wanted => ({
  key,
  question: key,
  slots: networks.map(({ name }) => ({ network: name, hostIds: [1], tenantId: 1, segmentId: 1 })),
});

interface Row {
  readonly what: string;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

/** `times` in ms, sorted here. */
function row(what: string, total: number, times: number[]): Row {
  times.sort((a, b) => a - b);
  const at = (share: number): number =>
    times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return { what, perSecond: (times.length / total) * 1000, p50: at(0.5), p99: at(0.99) };
}

async function durable(dir: string, callers: number, count: number): Promise<Row> {
  const quiet = (): void => {};
  const allocator = await LocalAllocator.open({
    dir,
    networks,
    clock: { now: () => Date.now(), monotonic: () => performance.now() },
    random: {
      bytes: (n) => crypto.getRandomValues(new Uint8Array(n)),
      uuid: () => crypto.randomUUID(),
      fraction: Math.random,
    },
    log: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  });
  const payload = {
    interface: 'rom-0123456789',
    hostInterface: 'eth0',
    mtu: 1500,
    namespace: '/run/netns/example',
  };
  const times: number[] = [];
  let next = 0;
  const caller = async (): Promise<void> => {
    while (next < count) {
      const key = `tenant/segment/endpoint-${next++}`;
      const start = performance.now();
      await allocator.allocate(want(key), payload);
      times.push(performance.now() - start);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: callers }, caller));
  const total = performance.now() - start;
  await allocator.close();
  return row(`durable dual-stack allocations, ${callers} at once`, total, times);
}

/** What the disk does with nothing above it: the bound for one caller. */
async function rawSyncs(dir: string, count: number): Promise<Row> {
  const handle = await open(join(dir, 'raw'), 'w');
  const bytes = new Uint8Array(600);
  const times: number[] = [];
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    await handle.write(bytes, 0, bytes.length, i * bytes.length);
    await handle.datasync();
    times.push(performance.now() - start);
  }
  const total = performance.now() - begin;
  await handle.close();
  return row('write + fdatasync of 600 bytes, nothing else', total, times);
}

/** Turns of allocate and release, so that both fresh and released ids are given out. */
function decisions(count: number): Row {
  const ipam = new MemoryIpam(networks);
  const times: number[] = [];
  const begin = performance.now();
  for (let i = 0; i < count; i++) {
    const start = performance.now();
    for (const event of decideAllocate(ipam, want(`k${i}`), 'uid', i).events) ipam.apply(event);
    times.push(performance.now() - start);
    if (i >= 10_000) for (const event of decideRelease(ipam, `k${i - 10_000}`, {}, i)) ipam.apply(event);
  }
  return row('dual-stack decisions + releases, in memory', performance.now() - begin, times);
}

const dir = await mkdtemp(join(process.argv[2] ?? tmpdir(), 'romana-bench-ipam-'));
try {
  decisions(50_000); // warms up
  const rows = [
    decisions(200_000),
    await rawSyncs(dir, 1000),
    await durable(join(dir, 'one'), 1, 1000),
    await durable(join(dir, 'many'), 64, 20_000),
  ];
  console.log(
    `${'what'.padEnd(48)} ${'per second'.padStart(12)} ${'p50 ms'.padStart(9)} ${'p99 ms'.padStart(9)}`,
  );
  for (const { what, perSecond, p50, p99 } of rows) {
    console.log(
      `${what.padEnd(48)} ${Math.round(perSecond).toString().padStart(12)} ${p50.toFixed(4).padStart(9)} ${p99.toFixed(4).padStart(9)}`,
    );
  }
} finally {
  await rm(dir, { recursive: true, force: true });
}
