/**
 * BGP speakers between two real switches, in namespaces that vanish with it: how long a start, a change and a silent switch take, and
 * what a change and a sudden death of the daemon cost a stream of a datagram every 10 ms through both switches and back. Needs root
 * and the daemons.
 *
 *     node bench/bgp.ts [TIMES] [DAEMON…]      kills and changes for each daemon; default: 5, all daemons
 *
 * `frr+alone` is FRR without the routes that the agent keeps beside it (owned.ts: ROUTE_METRIC_STANDIN).
 */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Daemon } from '#core/routing/fabric.ts';
import { cidrs, own, pause } from '../test/bgp/support/fabric.ts';
import { changed, killed, makeSite, type Site, type SiteOptions } from '../test/bgp/support/restart.ts';
import { type Loss, sendOver } from '../test/bgp/support/stream.ts';
import { furnish, privately } from '../test/support/namespace.ts';

const INSIDE = 'ROMANA_BENCH_NS';
const everyDaemon = ['bird', 'exabgp', 'gobgp', 'frr', 'frr+alone'];
const [times = '5', ...names] = process.argv.slice(2);
const added = [...own, ...cidrs('10.12.0.0/16', 'fd10:12::/32')];

function show(what: string, value: string): void {
  console.log(`  ${what.padEnd(66)} ${value}`);
}

async function seconds(work: () => Promise<unknown>): Promise<number> {
  const began = performance.now();
  await work();
  return (performance.now() - began) / 1000;
}

async function bothHave(site: Site, count: number): Promise<void> {
  for (const tor of site.tors) while ((await tor.learned()).length !== count) await pause(10);
}

function distribution(losses: readonly Loss[]): string {
  const lossless = losses.filter(({ lost }) => lost === 0).length;
  const lost = losses.map((loss) => loss.lost).filter((count) => count > 0);
  const longest = Math.max(...losses.map(({ longestMs }) => longestMs));
  const sent = Math.round(losses.reduce((sum, loss) => sum + loss.sent, 0) / losses.length);
  const rest =
    lost.length === 0
      ? ''
      : `; else ${lost.sort((a, b) => a - b).join(' ')} of about ${sent}, longest gap ${longest} ms`;
  return `${lossless} of ${losses.length} without loss${rest}`;
}

async function collect(work: () => Promise<Loss>): Promise<Loss[]> {
  const losses: Loss[] = [];
  for (let time = 0; time < Number(times); time++) losses.push(await work());
  return losses;
}

/** The link stays up and everything on it is dropped: nobody hears of it but by silence. */
async function silence(site: Site): Promise<{ seen: number; loss: Loss }> {
  const [tor1] = site.tors;
  // Back by the other switch: what is lost then is what the host sends into the silence.
  await sendOver(site.far, [1]);
  await pause(500);
  await site.stream.look();
  const drop = ['ingress', 'output', 'forward'].map((hook) =>
    hook === 'ingress'
      ? 'chain in { type filter hook prerouting priority -400; iifname "h1" drop; }'
      : `chain ${hook} { type filter hook ${hook} priority 0; oifname "h1" drop; }`,
  );
  await tor1.ns.run(['nft', '-f', '-'], { stdin: `table inet silence {\n${drop.join('\n')}\n}` });
  const seen = await seconds(async () => {
    for (;;) {
      const { sessions } = await site.speaker.status();
      if (sessions.every(({ peer, state }) => peer !== 'tor1' || state !== 'established')) return;
      await pause(50);
    }
  });
  await pause(1500);
  return { seen, loss: await site.stream.look() };
}

async function measure(title: string): Promise<void> {
  const daemon = title.split('+')[0] as Daemon;
  const options: SiteOptions = {
    settleMs: 5000,
    tor: { accept: added },
    alone: title.endsWith('+alone'),
  };
  console.log(`\n${title}`);
  const site = await makeSite(daemon, options);
  show('start of the daemon → both families in both switches’ kernels', `${site.coldSeconds.toFixed(2)} s`);
  const on = await seconds(async () => {
    await site.speaker.apply({ ...site.intent, announce: added });
    await bothHave(site, added.length);
  });
  const off = await seconds(async () => {
    await site.speaker.apply(site.intent);
    await bothHave(site, own.length);
  });
  show(
    'another range: apply → in both switches’ kernels; and out',
    `${on.toFixed(2)} s; ${off.toFixed(2)} s`,
  );
  let odd = false;
  const reloads = await collect(async () => {
    odd = !odd;
    return await changed(site, odd ? added : own);
  });
  show('change of the announcement (reload), stream', distribution(reloads));
  await site.speaker.apply(site.intent);
  show('kill -9, graceful restart, stream', distribution(await collect(() => killed(site))));
  const { seen, loss } = await silence(site);
  show('a switch falls silent, hold time 9 s: session down after', `${seen.toFixed(1)} s`);
  if (site.speaker.capabilities.fib)
    show('  the host sends into the silence for at most', `${loss.longestMs / 1000} s`);
  await site.end();
  if (!site.speaker.capabilities.bfd || options.alone === true) return;
  const bfd = { intervalMs: 300, multiplier: 3 };
  const watched = await makeSite(daemon, { tor: { accept: added, bfd }, peer: { bfd } });
  const withBfd = await silence(watched);
  show('the same with BFD 3 × 300 ms: session down after', `${withBfd.seen.toFixed(1)} s`);
  show('  the host sends into the silence for at most', `${withBfd.loss.longestMs / 1000} s`);
  await watched.end();
}

if (process.env[INSIDE] === 'yes') {
  furnish();
  for (const name of names.length === 0 ? everyDaemon : names) await measure(name);
  process.exit(0);
} else {
  const [program = '', ...argv] = privately();
  const child = spawn(
    program,
    [...argv, process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)],
    {
      stdio: 'inherit',
      env: { ...process.env, [INSIDE]: 'yes' },
    },
  );
  child.once('exit', (code) => process.exit(code ?? 1));
}
