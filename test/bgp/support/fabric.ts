/**
 * One host and two switches in namespaces, with real daemons: tor1 runs BIRD, tor2 runs FRR, each configured by the device
 * configuration that Romana exports. The host's speaker is the one under test. Both families, each over its own session.
 */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { birdProcesses } from '#agent/drivers/bird/processes.ts';
import { frrProcesses } from '#agent/drivers/frr/processes.ts';
import { createRunner } from '#agent/exec.ts';
import type { Speaker, SpeakerPlace, SpeakerProcess, SpeakerSession } from '#agent/speaker.ts';
import { type Cidr, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { birdDevice } from '#core/routing/export/bird.ts';
import { frrDevice } from '#core/routing/export/frr.ts';
import type { BgpIntent, BgpNeighbour, BgpPeer, DeviceRouting } from '#core/routing/model.ts';
import { type Daemon, supervised } from '#lab/supervisor.ts';
import { addAddresses, makeNetns, type Netns, setSysctl, veth } from '../../support/namespace.ts';

export const run = createRunner();
export const cidrs = (...texts: string[]): Cidr[] => texts.map(parseCidr);
export const networks = cidrs('10.0.0.0/8', 'fd10::/16');
export const own = cidrs('10.11.0.0/16', 'fd10:11::/32');
const userOfFrr = idOf('/etc/passwd', 'frr');

export interface TorOptions {
  readonly password?: string;
  /** What the switch takes the host for. */
  readonly hostAsn?: number;
  /** Of both switches; the host's own: internal BGP, the switches reflect. */
  readonly asn?: number;
  readonly accept?: readonly Cidr[];
  readonly announce?: readonly Cidr[];
  readonly ttlSecurity?: boolean;
  readonly maxPrefixes?: number | null;
  readonly bfd?: BgpPeer['bfd'];
}

export interface Tor {
  readonly number: 1 | 2;
  readonly ns: Netns;
  readonly place: SpeakerPlace;
  readonly daemons: Daemon[];
  /** Routes that its kernel has towards the host, as text. */
  learned(): Promise<string[]>;
  /** To all of its daemons. */
  signal(signal: NodeJS.Signals): void;
  /** Of its daemon's shell; of birdc as words, of vtysh as one command. */
  show(...words: string[]): Promise<string>;
}

export function torRouting(number: 1 | 2, options: TorOptions = {}): DeviceRouting {
  const announce = options.announce ?? networks;
  const neighbour = (address: string): BgpNeighbour => {
    const family = address.includes(':') ? 6 : 4;
    return {
      name: 'h1',
      role: 'host',
      address: parseAddress(address),
      local: null,
      link: null,
      asn: options.hostAsn ?? 65011,
      families: [family],
      accept: options.accept ?? own,
      acceptWithin: [],
      announce,
      announceWithin: [],
      password: options.password !== undefined,
      ttlSecurity: options.ttlSecurity ?? false,
      bfd: options.bfd ?? null,
      maxPrefixes: options.maxPrefixes ?? null,
      routeReflectorClient: options.asn === 65011,
    };
  };
  const asn = options.asn ?? 65000 + number;
  return {
    device: {
      name: `tor${number}`,
      platform: number === 1 ? 'bird' : 'frr',
      addresses: [],
      uplinks: [],
      asn,
      routerId: null,
      routeReflector: false,
      links: {},
      budget: null,
    },
    topology: 't',
    path: '',
    kind: 'bgp',
    routes: announce.map((cidr) => ({ cidr, nextHops: [], why: { kind: 'own' } })),
    gateways: [],
    problems: [],
    bgp: {
      asn,
      routerId: `192.0.2.${number}`,
      originate: announce,
      advertise: [],
      statics: [],
      neighbours: [neighbour(`172.${16 + number}.11.2`), neighbour(`fd0${number}:11::2`)],
      ecmp: 8,
      gracefulRestartSeconds: 120,
      holdSeconds: 9,
    },
  };
}

export function intentOf(
  daemon: BgpIntent['daemon'],
  over: Partial<BgpIntent> = {},
  peer: Partial<BgpPeer> = {},
): BgpIntent {
  const peers = ([1, 2] as const).flatMap((number) =>
    [`172.${16 + number}.11.1`, `fd0${number}:11::1`].map(
      (address): BgpPeer => ({
        name: `tor${number}`,
        address: parseAddress(address),
        local: null,
        link: null,
        asn: 65000 + number,
        families: [address.includes(':') ? 6 : 4],
        passwordFile: null,
        ttlSecurity: false,
        bfd: null,
        maxPrefixes: 100,
        ...peer,
      }),
    ),
  );
  return {
    daemon,
    asn: 65011,
    routerId: '192.0.2.11',
    peers,
    announce: own,
    accept: networks,
    acceptDefault: false,
    communities: [],
    ecmp: 8,
    gracefulRestartSeconds: 120,
    holdSeconds: 9,
    connectRetrySeconds: 2,
    ...over,
  };
}

/** A folder that FRR's user owns; BIRD as root does not mind. */
export function folder(): string {
  const dir = mkdtempSync('/run/romana-');
  chownSync(dir, userOfFrr.uid, userOfFrr.gid);
  return dir;
}

export function start(ns: Netns, processes: readonly SpeakerProcess[], logs: string): Daemon[] {
  mkdirSync(logs, { recursive: true });
  const daemons = supervised(
    processes.map((wish) => ({ ...wish, namespace: ns.name, logFile: join(logs, `${wish.name}.log`) })),
  );
  for (const daemon of daemons) daemon.start();
  return daemons;
}

export function writeTor(place: SpeakerPlace, number: 1 | 2, options: TorOptions = {}): void {
  const secrets = options.password === undefined ? {} : { password: options.password };
  const routing = torRouting(number, options);
  const path = join(place.dir, number === 1 ? 'bird.conf' : 'frr.conf');
  writeFileSync(path, number === 1 ? birdDevice(routing, secrets) : frrDevice(routing, secrets));
}

/** The namespaces and links, once for a test file; `here` stays outside. */
export async function makeUnderlay(): Promise<{ host: Netns; tors: readonly [Netns, Netns] }> {
  const [host, tor1, tor2] = await Promise.all([makeNetns('h1'), makeNetns('tor1'), makeNetns('tor2')]);
  for (const ns of [host, tor1, tor2]) {
    await setSysctl(ns, 'net/ipv4/ip_forward', 1);
    await setSysctl(ns, 'net/ipv6/conf/all/forwarding', 1);
  }
  for (const [index, tor] of [tor1, tor2].entries()) {
    const number = index + 1;
    await veth(host, `up${number}`, tor, 'h1');
    await addAddresses(host, `up${number}`, `172.${16 + number}.11.2/30`, `fd0${number}:11::2/64`);
    await addAddresses(tor, 'h1', `172.${16 + number}.11.1/30`, `fd0${number}:11::1/64`);
  }
  return { host, tors: [tor1, tor2] };
}

export function startTor(ns: Netns, number: 1 | 2, options: TorOptions = {}): Tor {
  const dir = folder();
  const place = { dir, control: number === 1 ? join(dir, 'bird.ctl') : dir };
  writeTor(place, number, options);
  const processes = number === 1 ? birdProcesses(place) : frrProcesses(place);
  const daemons = start(ns, processes, join(dir, 'log'));
  return {
    number,
    ns,
    place,
    daemons,
    signal: (signal) => {
      for (const { process: one } of daemons) if (one?.pid !== undefined) process.kill(one.pid, signal);
    },
    learned: () => learnedBy(ns),
    show: async (...words) => (await run([...shellOf(place, number), ...words], { okCodes: 'any' })).stdout,
  };
}

function shellOf(place: SpeakerPlace, number: 1 | 2): string[] {
  return number === 1
    ? ['birdc', '-s', place.control]
    : ['vtysh', '--vty_socket', place.control, '--config_dir', place.dir, '-c'];
}

/** Another configuration for a switch that runs. */
export async function reloadTor({ place, number }: Tor, options: TorOptions): Promise<void> {
  writeTor(place, number, options);
  if (number === 1) {
    const { stdout } = await run(['birdc', '-s', place.control, 'configure']);
    assert.match(stdout, /^Reconfigur/m);
    return;
  }
  const file = join(place.dir, 'frr.conf');
  const folders = ['--rundir', place.dir, '--confdir', place.dir, '--vty_socket', place.control];
  await run(['/usr/lib/frr/frr-reload.py', '--reload', ...folders, file], { timeoutMs: 30_000 });
}

export async function stopAll(daemons: readonly Daemon[]): Promise<void> {
  await Promise.all(daemons.map((daemon) => daemon.destroy()));
}

/** What BGP brought into a kernel, without what is dropped there. */
export async function learnedBy(ns: Netns): Promise<string[]> {
  const found: string[] = [];
  for (const family of ['-4', '-6']) {
    const { stdout } = await ns.run(['ip', '-json', family, 'route', 'show']);
    for (const { dst, type, protocol } of JSON.parse(stdout || '[]') as Record<string, string>[]) {
      if (type !== 'blackhole' && (protocol === 'bird' || protocol === 'bgp'))
        found.push(
          formatCidr(parseCidr(dst?.includes('/') === true ? dst : `${dst}/${family === '-4' ? 32 : 128}`)),
        );
    }
  }
  return found.sort();
}

/** Next hops of one route in a kernel. */
export async function nextHops(ns: Netns, cidr: Cidr): Promise<number> {
  const { stdout } = await ns.run([
    'ip',
    '-json',
    `-${cidr.address.family}`,
    'route',
    'show',
    formatCidr(cidr),
  ]);
  const routes = JSON.parse(stdout || '[]') as { nexthops?: unknown[]; gateway?: string }[];
  return routes.reduce(
    (sum, { nexthops, gateway }) => sum + (nexthops?.length ?? (gateway === undefined ? 0 : 1)),
    0,
  );
}

export async function until(
  what: string,
  holds: () => Promise<boolean>,
  seconds = 40,
  more: () => string = () => '',
): Promise<void> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    if (await holds()) return;
    if (Date.now() > end) assert.fail(`not within ${seconds} s: ${what} ${more()}`);
    await pause(150);
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => void setTimeout(resolve, ms));
}

export async function allUp(speaker: Speaker): Promise<void> {
  let seen = '';
  await until(
    'all four sessions established',
    async () => {
      const { sessions } = await speaker.status();
      seen = sessions
        .map(({ neighbour, state, lastError }) => `${neighbour} ${state} ${lastError}`)
        .join('; ');
      return sessions.length === 4 && sessions.every(({ state }) => state === 'established');
    },
    // FRR waits longer after each error, up to a minute.
    90,
    () => seen,
  );
}

/** Applies as an agent does: again until the daemon answers. */
export async function applyUntilUp(speaker: Speaker, intent: BgpIntent): Promise<void> {
  await until('the daemon takes the intent', async () => {
    try {
      await speaker.apply(intent);
      return true;
    } catch (error) {
      assert.equal((error as { code?: string }).code, 'speaker_unavailable', String(error));
      return false;
    }
  });
}

/** Since when each session is up, by the daemon's word, in seconds of this test's clock. */
export function since(sessions: readonly SpeakerSession[]): Map<string, number> {
  const now = Date.now() / 1000;
  return new Map(sessions.map(({ neighbour, seconds }) => [neighbour, now - (seconds ?? Number.NaN)]));
}

/**
 * Since when each session is up, once all have been for a while: FRR ends an IPv6 session anew seconds after its start, when a link has
 * no link-local address.
 */
export async function steady(speaker: Speaker): Promise<Map<string, number>> {
  await until('all sessions are up for ten seconds', async () => {
    const { sessions } = await speaker.status();
    return sessions.every(({ state, seconds }) => state === 'established' && (seconds ?? 0) >= 10);
  });
  return since((await speaker.status()).sessions);
}

export function assertNoFlap(before: Map<string, number>, after: readonly SpeakerSession[]): void {
  const now = since(after);
  assert.deepEqual([...now.keys()].sort(), [...before.keys()].sort());
  for (const [neighbour, at] of before) {
    const moved = (now.get(neighbour) ?? Number.NaN) - at;
    assert.ok(Math.abs(moved) < 2, `${neighbour} came up ${moved} s later than it had`);
  }
}

function idOf(file: string, name: string): { uid: number; gid: number } {
  const line = readFileSync(file, 'utf8')
    .split('\n')
    .find((line) => line.startsWith(`${name}:`));
  const [, , uid, gid] = line?.split(':') ?? [];
  return { uid: Number(uid ?? 0), gid: Number(gid ?? 0) };
}
