/**
 * From the wish for an endpoint to its first answered ping, and what the processes weigh: a lab of two hosts in private namespaces.
 * Three ways take turns in one run, so that the ratios hold on a busy machine: `ip` by hand (a veth pair, addresses, a route and
 * nothing else), the agent's own API on its host, and the API of the control plane, whose agent hears of it by the stream.
 * Build first: npm run build.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Endpoint } from '#contract/model.ts';
import { Lab } from '#lab/harness.ts';
import { planLab } from '#lab/plan.ts';
import { furnish, privately } from '../test/support/namespace.ts';

const bundle = fileURLToPath(new URL('../dist/romana.js', import.meta.url));
const rounds = 30;
const segments = ['web', 'db', 'app', 'ops'];
/** Endpoints when memory is read. */
const weighedAt = 50;

async function bench(): Promise<void> {
  const lab = await Lab.start({
    plan: planLab({ hosts: 2, racks: 1 }),
    command: [process.execPath, bundle],
    tenants: [{ name: 'acme', isolation: 'segment', segments }],
  });
  const segmentOf = (n: number): string => segments[n % segments.length] ?? '';
  const attachment = (name: string) => ({
    kind: 'veth-netns' as const,
    netns: `/run/netns/${name}`,
    ifname: 'eth0',
  });
  const ways: Record<string, (name: string, n: number) => Promise<{ host: string; address: string }>> = {
    'ip by hand': async (name, n) => {
      const address = `198.18.0.${n + 1}`;
      const link = `hand${n}`;
      const inside = [
        'link set lo up',
        'link set eth0 up',
        `address add ${address}/32 dev eth0`,
        'route add 169.254.1.1 dev eth0',
        'route add default via 169.254.1.1',
      ];
      const batch = (namespace: string, lines: readonly string[]): Promise<unknown> =>
        lab.exec(namespace, ['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
      await batch('h1', [`link add ${link} type veth peer name eth0 netns ${name}`]);
      await batch(name, inside);
      await batch('h1', [`link set ${link} up`, `route add ${address}/32 dev ${link}`]);
      return { host: 'h1', address };
    },
    "the agent's socket": async (name, n) => {
      const wish = { tenant: 'acme', segment: segmentOf(n), name, attachment: attachment(name) };
      return {
        host: 'h1',
        address: first((await lab.agentCall('h1', 'POST', '/v1/endpoints', wish)) as Endpoint),
      };
    },
    'the API': async (name, n) => {
      const made = await lab.client.endpointCreate({
        params: { tenant: 'acme', segment: segmentOf(n) },
        body: { name, host: 'h2', attachment: attachment(name) },
      });
      return { host: 'h2', address: first(made) };
    },
  };
  const names = Object.keys(ways);
  const times = new Map(names.map((way) => [way, [] as number[]]));
  const memory: string[] = [];
  let endpoints = 0;
  await lab.namespaces(names.flatMap((_, w) => Array.from({ length: rounds }, (_, n) => `w${w}n${n}`)));
  // a first one of each way that is not counted: code is compiled, blocks are opened
  for (let n = -1; n < rounds; n++) {
    for (const [w, [way, make]] of Object.entries(ways).entries()) {
      const name = n < 0 ? `warm${w}` : `w${w}n${n}`;
      if (n < 0) await lab.namespaces([name]);
      const began = performance.now();
      const { host, address } = await make(name, n < 0 ? rounds : n);
      await answered(lab, host, address);
      const took = performance.now() - began;
      if (n >= 0) times.get(way)?.push(took);
      if (w > 0 && ++endpoints === weighedAt) {
        for (const process of lab.processes)
          memory.push(`${process.name.padEnd(24)} ${resident(process.pid)}`);
      }
    }
  }
  await lab.stop();

  console.log(`first answered ping, IPv4, ${rounds} of each    p50 ms   p95 ms  ratio of p50`);
  const byHand = quantile(times.get('ip by hand') ?? [], 0.5);
  for (const [way, all] of times) {
    const [p50, p95] = [quantile(all, 0.5), quantile(all, 0.95)];
    console.log(
      `${way.padEnd(38)} ${p50.toFixed(1).padStart(8)} ${p95.toFixed(1).padStart(8)} ${(p50 / byHand).toFixed(2).padStart(13)}`,
    );
  }
  console.log(`\nresident memory with ${weighedAt} endpoints   MB`);
  for (const line of memory) console.log(line);
}

/** Before its route stands the host has none to it, and sending fails at once: asked again until there is an answer. */
async function answered(lab: Lab, from: string, address: string): Promise<void> {
  const limit = performance.now() + 30_000;
  for (;;) {
    const [answer] = await lab.probe([
      { from, family: 4, protocol: 'icmp', address, timeoutMs: 5, tries: 20 },
    ]);
    if (answer?.observed === 'allow') return;
    if (performance.now() > limit) throw new Error(`${address} never answered: ${answer?.reason ?? ''}`);
    await sleep(1);
  }
}

function first({ name, addresses }: Endpoint): string {
  const found = addresses.find(({ address }) => !address.includes(':'));
  if (found === undefined) throw new Error(`${name} has no IPv4 address`);
  return found.address;
}

function quantile(values: readonly number[], share: number): number {
  return values.toSorted((a, b) => a - b)[Math.floor(share * values.length)] ?? Number.NaN;
}

function resident(pid: number | undefined): string {
  const kilobytes = /^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return (Number(kilobytes) / 1024).toFixed(0).padStart(14);
}

if (process.env['ROMANA_BENCH_INSIDE'] === undefined) {
  const [program = '', ...argv] = privately();
  const { status } = spawnSync(program, [...argv, process.execPath, fileURLToPath(import.meta.url)], {
    env: { ...process.env, ROMANA_BENCH_INSIDE: '1' },
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  process.exitCode = status ?? 1;
} else {
  furnish();
  await bench();
}
