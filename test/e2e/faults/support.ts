/**
 * Tools of the fault and scale tests: a small lab, what the kernel of a namespace holds and says, and packets counted one by one.
 * Everything works inside the private namespaces of the test file and vanishes with them.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parse, stringify } from 'yaml';
import type { AgentStatus } from '#agent/agent.ts';
import type { Endpoint } from '#contract/model.ts';
import { Lab, type LabProbeWish } from '#lab/harness.ts';
import { netnsPath } from '#lab/network.ts';
import { type FabricChoice, type HostPlan, plainFabric, planLab } from '#lab/plan.ts';
import type { Tenant } from '#lab/spread.ts';

export const cliFile = new URL('../../../src/cli/main.ts', import.meta.url).pathname;
export const romana: readonly string[] = [process.execPath, cliFile];

export interface LabShape {
  readonly hosts: number;
  readonly racks?: number;
  /** Of every host; default: odd ones allocate themselves. */
  readonly allocator?: HostPlan['allocator'];
  readonly tenants?: readonly Tenant[];
  readonly fabric?: Partial<FabricChoice>;
  readonly absent?: readonly string[];
  readonly siteSwitches?: (text: string) => string;
}

export function startLab({ hosts, racks = 1, allocator, fabric, ...rest }: LabShape): Promise<Lab> {
  const plan = planLab({ hosts, racks, fabric: { ...plainFabric, ...fabric } });
  return Lab.start({
    plan: {
      ...plan,
      hosts: plan.hosts.map((host) => (allocator === undefined ? host : { ...host, allocator })),
    },
    command: romana,
    ...rest,
  });
}

export interface Place {
  readonly tenant: string;
  readonly segment: string;
  readonly name: string;
  readonly host: string;
}
export const place = (tenant: string, segment: string, name: string, host: string): Place => ({
  tenant,
  segment,
  name,
  host,
});
export const keyOf = ({ tenant, segment, name }: Omit<Place, 'host'>): string =>
  `${tenant}/${segment}/${name}`;

export function addressOf(endpoint: Pick<Endpoint, 'name' | 'addresses'>, family: 4 | 6): string {
  const found = endpoint.addresses.find(({ address }) => address.includes(':') === (family === 6));
  if (found === undefined) throw new Error(`${endpoint.name} has no IPv${family} address`);
  return found.address;
}

/** The body of the agent's own API for an endpoint in a namespace of its own name. */
export function localEndpoint({ tenant, segment, name }: Place): Record<string, unknown> {
  const attachment = { kind: 'veth-netns', netns: netnsPath(name), ifname: 'eth0' };
  return { tenant, segment, name, attachment };
}
export async function createLocally(lab: Lab, at: Place): Promise<Endpoint> {
  return (await lab.agentCall(at.host, 'POST', '/v1/endpoints', localEndpoint(at))) as Endpoint;
}
export async function removeLocally(lab: Lab, at: Place): Promise<void> {
  await lab.agentCall(at.host, 'DELETE', `/v1/endpoints/${keyOf(at)}`);
}
export async function localEndpoints(lab: Lab, host: string): Promise<Endpoint[]> {
  return ((await lab.agentCall(host, 'GET', '/v1/endpoints')) as { items: Endpoint[] }).items;
}
export async function agentStatus(lab: Lab, host: string): Promise<AgentStatus> {
  return (await lab.agentCall(host, 'GET', '/v1/status')) as AgentStatus;
}

export const stateDirOf = (lab: Lab, host: string): string => join(lab.stateDir, 'hosts', host, 'state');

/** Changes the configuration file of an agent; it counts from its next start on. */
export function configureAgent(lab: Lab, host: string, change: Readonly<Record<string, unknown>>): void {
  const path = join(lab.stateDir, 'hosts', host, 'agent.yaml');
  const config = parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, stringify({ ...config, ...change }), { mode: 0o600 });
}

/** Repeats the check until it throws no more; its last complaint is the failure. */
export async function eventually<T>(what: string, check: () => Promise<T>, timeoutMs = 20_000): Promise<T> {
  const limit = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() > limit) {
        const why = error instanceof Error ? error.message : String(error);
        throw new Error(`not within ${timeoutMs / 1000} s: ${what}: ${why}`, { cause: error });
      }
    }
    await sleep(50);
  }
}

/** Until every host that has an agent in the lab has applied the newest revision. */
export function settled(lab: Lab): Promise<void> {
  const running = new Set(lab.plan.hosts.map(({ name }) => name));
  return eventually('applied everywhere', async () => {
    const { hosts } = await lab.client.status();
    assert.deepEqual(
      hosts
        .filter(({ name, joined, current }) => running.has(name) && (!joined || !current))
        .map(({ name }) => name),
      [],
    );
  });
}

// ---- probes

export const ping = (from: string, address: string): LabProbeWish =>
  address.includes(':')
    ? { from, address, family: 6, protocol: 'icmpv6' }
    : { from, address, family: 4, protocol: 'icmp' };

/** Both families of the target answer. */
export async function reaches(lab: Lab, from: string, to: Pick<Endpoint, 'addresses'>): Promise<void> {
  const results = await lab.probe(to.addresses.map(({ address }) => ping(from, address)));
  assert.deepEqual(
    results.map(({ observed }, i) => `${to.addresses[i]?.address ?? ''} ${observed}`),
    to.addresses.map(({ address }) => `${address} allow`),
    `from ${from}`,
  );
}

// ---- a namespace's kernel

export async function routesOf(lab: Lab, namespace: string): Promise<string> {
  const four = await lab.exec(namespace, ['ip', '-4', 'route', 'show', 'table', 'all']);
  const six = await lab.exec(namespace, ['ip', '-6', 'route', 'show', 'table', 'all']);
  return four.stdout + six.stdout;
}

/** Our table with the kernel's handles, without what packets change: counters and timeouts of cut flows. */
export async function tableWithHandles(lab: Lab, host: string): Promise<string> {
  const { stdout } = await lab.exec(host, ['nft', '-a', '-n', 'list', 'table', 'inet', 'romana']);
  return stdout.replaceAll(/packets \d+ bytes \d+/g, '');
}

/** Links that Romana made, with their kernel indexes. */
export async function ownLinks(lab: Lab, host: string): Promise<string[]> {
  const { stdout } = await lab.exec(host, ['ip', '-j', 'link', 'show']);
  const links = JSON.parse(stdout) as { ifname: string; ifindex: number }[];
  return links
    .filter(({ ifname }) => ifname.startsWith('rom'))
    .map(({ ifname, ifindex }) => `${ifname} ${ifindex}`)
    .sort();
}

/** Everything of ours in a host's kernel as the agent itself is made to look at it: empty when nothing drifts. */
export async function drift(lab: Lab, host: string): Promise<string[]> {
  const { objects } = await agentStatus(lab, host);
  return objects
    .filter(({ ok }) => !ok)
    .map((o) => `${o.kind} ${o.object}: wanted ${o.desired ?? 'nothing'}, is ${o.actual ?? 'missing'}`);
}

// ---- counters in a namespace

/** Counts packets that come in; `match` is an nftables expression such as `ip saddr 10.1.1.17`. */
export async function countIn(lab: Lab, namespace: string, name: string, match: string): Promise<void> {
  const text = `table inet count_${name} {
    counter seen { }
    chain seen { type filter hook prerouting priority -400; ${match} counter name seen; }
  }\n`;
  await lab.exec(namespace, ['nft', '-f', '-'], { stdin: text });
}
export async function counted(lab: Lab, namespace: string, name: string): Promise<number> {
  const { stdout } = await lab.exec(namespace, ['nft', 'list', 'counter', 'inet', `count_${name}`, 'seen']);
  return Number(/packets (\d+)/.exec(stdout)?.[1] ?? Number.NaN);
}

// ---- packets, one by one

/**
 * Every `interval` ms two echo requests: one of an old flow, one of a flow of its own (connection tracking goes by the identifier).
 * The kernel answers them, so that a busy machine delays packets but never loses one. After TERM it waits for answers under way,
 * then prints what was sent and what of it was never answered.
 */
const streamer = String.raw`
use strict; use warnings; use Socket qw(:DEFAULT inet_pton pack_sockaddr_in pack_sockaddr_in6); use Time::HiRes qw(time sleep);
my ($family, $address, $interval, $patience) = @ARGV;
my $four = $family == 4;
my $to = $four ? pack_sockaddr_in(0, inet_pton(AF_INET, $address)) : pack_sockaddr_in6(0, inet_pton(AF_INET6, $address));
socket(my $s, $four ? AF_INET : AF_INET6, SOCK_RAW, $four ? 1 : 58) or die "socket: $!";
setsockopt($s, SOL_SOCKET, 33, 16 << 20) or die "SO_RCVBUFFORCE: $!";
setsockopt($s, 255, 1, pack('L', ~(1 << 0))) if $four; # ICMP_FILTER: answers alone
setsockopt($s, 58, 1, pack('L8', (0xffffffff) x 4, ~(1 << 1) & 0xffffffff, (0xffffffff) x 3)) unless $four; # ICMPV6_FILTER, type 129
$s->blocking(0);
my ($stop, $sent, $answered, $end, %out, %errors) = (0, 0, 0);
$SIG{TERM} = sub { $stop = 1 };
my $token = pack('N', $$); my $first = int rand 65536;
sub checksum { my $sum = 0; $sum += $_ for unpack 'n*', shift; $sum = ($sum >> 16) + ($sum & 0xffff); $sum += $sum >> 16; return ~$sum & 0xffff }
sub request {
  my $kind = shift; my $n = ++$sent; $out{$n} = $kind;
  my $id = $kind eq 'old' ? $first : ($first + $n) & 0xffff;
  my $m = pack('CCnnn', $four ? 8 : 128, 0, 0, $id, $n & 0xffff) . $token . pack('N', $n);
  substr($m, 2, 2) = pack('n', checksum($m)) if $four;
  defined(send($s, $m, 0, $to)) or $errors{"$!"}++;
}
$| = 1; print "started\n";
my $next = time;
while (1) {
  if (!$stop && time >= $next) { $next += $interval / 1000; $next = time if $next < time - 1; request('old'); request('new') }
  $end = time + $patience if $stop && !defined $end;
  last if defined $end && (!%out || time > $end);
  my $bits = ''; vec($bits, fileno($s), 1) = 1;
  my $wait = defined $end ? 0.05 : $next - time; $wait = 0 if $wait < 0;
  next unless (select(my $ready = $bits, undef, undef, $wait) || 0) > 0;
  while (defined(recv($s, my $data, 256, 0))) {
    $data = substr($data, (ord($data) & 15) * 4) if $four;
    next if length($data) < 16 || substr($data, 8, 4) ne $token;
    my $n = unpack('N', substr($data, 12, 4));
    $answered++ if delete $out{$n};
  }
}
my @lost = map { "$_ $out{$_}" } sort { $a <=> $b } keys %out;
print join("\t", $sent, $answered, join(', ', @lost), join(', ', map { "$_ x $errors{$_}" } sort keys %errors)), "\n";
`;

export interface StreamResult {
  readonly sent: number;
  readonly answered: number;
  /** `NUMBER old|new` of each request that was never answered. */
  readonly lost: readonly string[];
  readonly errors: string;
}
export interface Stream {
  stop(): Promise<StreamResult>;
}

/** `patience`: seconds that answers under way have after the end. */
export async function startStream(
  from: string,
  address: string,
  { intervalMs = 10, patience = 3 }: { intervalMs?: number; patience?: number } = {},
): Promise<Stream> {
  const family = address.includes(':') ? '6' : '4';
  const argv = ['ip', 'netns', 'exec', from, 'perl', '-e', streamer];
  const child = background([...argv, family, address, String(intervalMs), String(patience)]);
  await child.seen('started');
  return {
    async stop() {
      child.process.kill('SIGTERM');
      await child.ended;
      const [, last = ''] = child.output().split('started\n');
      const [sent, answered, lost, errors] = last.trimEnd().split('\t');
      if (sent === undefined || answered === undefined) throw new Error(`stream: ${child.output()}`);
      return {
        sent: Number(sent),
        answered: Number(answered),
        lost: lost === undefined || lost === '' ? [] : lost.split(', '),
        errors: errors ?? '',
      };
    },
  };
}

/**
 * Streams between all given pairs in both families; `stopWhole` fails when one packet of them was lost. What happens meanwhile may be
 * over at once: it goes on until so many could be sent.
 */
export async function steady(
  pairs: readonly (readonly [string, Pick<Endpoint, 'addresses'>])[],
): Promise<{ stopWhole(atLeast: number): Promise<number> }> {
  const streams = await Promise.all(
    pairs.flatMap(([from, to]) =>
      to.addresses.map(async ({ address }) => ({
        what: `${from} → ${address}`,
        stream: await startStream(from, address),
      })),
    ),
  );
  const began = performance.now();
  return {
    async stopWhole(atLeast) {
      await sleep(Math.max(0, began + atLeast * 10 + 200 - performance.now()));
      const results = await Promise.all(
        streams.map(async ({ what, stream }) => ({ what, ...(await stream.stop()) })),
      );
      assert.deepEqual(
        results.filter(({ lost, errors }) => lost.length > 0 || errors !== ''),
        [],
      );
      for (const { what, sent } of results) assert.ok(sent >= atLeast, `${what}: only ${sent} packets`);
      return results.reduce((sum, { sent }) => sum + sent, 0);
    },
  };
}

export interface Background {
  readonly process: ChildProcess;
  readonly ended: Promise<void>;
  output(): string;
  seen(text: string): Promise<void>;
}

const begun = new Set<ChildProcess>();

/** Those of tests that failed too: their processes would keep the test from ending. */
export function endBackground(): void {
  for (const child of begun) child.kill('SIGKILL');
}

export function background(argv: readonly string[]): Background {
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' },
    cwd: '/',
  });
  begun.add(child);
  child.once('close', () => begun.delete(child));
  let output = '';
  const add = (chunk: Buffer): void => void (output += chunk.toString('utf8'));
  child.stdout.on('data', add);
  child.stderr.on('data', add);
  const ended = new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', () => resolve());
  });
  return {
    process: child,
    ended,
    output: () => output,
    seen: (text) =>
      eventually(`'${text}' from ${argv.join(' ').slice(0, 80)}`, async () =>
        assert.ok(output.includes(text), output),
      ),
  };
}
