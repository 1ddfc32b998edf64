/**
 * A stream through both switches and back: every 10 ms a datagram from behind the switches to the host's range and its echo, over
 * 16 flows, both families in turn. A datagram that is not answered is lost, whichever way it went astray.
 *
 * Run as a program: `stream.ts echo` on the host, `stream.ts send MS` behind the switches.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { type Cidr, formatCidr } from '#core/address/index.ts';
import { addAddresses, makeNetns, type Netns, setSysctl, veth } from '../../support/namespace.ts';

export const everyMs = 10;
const flows = 16;
const port = 9000;
const addresses = { 4: '10.11.0.1', 6: 'fd10:11::1' } as const;
const far = { 4: '10.200.0.1', 6: 'fd10:200::1' } as const;

export interface Loss {
  readonly sent: number;
  readonly lost: number;
  /** The longest row of lost datagrams of one flow, in milliseconds. */
  readonly longestMs: number;
}

/** A namespace behind both switches, and the host's address in its range. `routes`: of the host, over both switches. */
export async function makeFar(
  host: Netns,
  tors: readonly Netns[],
  routes: readonly Cidr[],
  metric: number,
): Promise<Netns> {
  const ns = await makeNetns('far');
  for (const one of [ns, host]) {
    for (const [path, value] of [
      ['net/ipv4/fib_multipath_hash_policy', 1],
      ['net/ipv6/fib_multipath_hash_policy', 1],
      ['net/ipv4/conf/all/rp_filter', 0],
      ['net/ipv4/conf/default/rp_filter', 0],
    ] as const)
      await setSysctl(one, path, value);
  }
  await addAddresses(ns, 'lo', `${far[4]}/32`, `${far[6]}/128`);
  await addAddresses(host, 'lo', `${addresses[4]}/32`, `${addresses[6]}/128`);
  for (const [index, tor] of tors.entries()) {
    await setSysctl(tor, 'net/ipv4/conf/all/rp_filter', 0);
    await veth(ns, `t${index}`, tor, 'far');
    await setSysctl(ns, `net/ipv4/conf/t${index}/rp_filter`, 0);
    await setSysctl(tor, 'net/ipv4/conf/far/rp_filter', 0);
    await setSysctl(tor, 'net/ipv4/conf/h1/rp_filter', 0);
    await addAddresses(ns, `t${index}`, `172.2${index}.0.2/30`, `fd2${index}::2/64`);
    await addAddresses(tor, 'far', `172.2${index}.0.1/30`, `fd2${index}::1/64`);
    await tor.run(['ip', 'route', 'add', `${far[4]}/32`, 'via', `172.2${index}.0.2`]);
    await tor.run(['ip', 'route', 'add', `${far[6]}/128`, 'via', `fd2${index}::2`]);
  }
  await sendOver(ns, [0, 1]);
  for (const cidr of routes) {
    const gateway = (number: number): string =>
      cidr.address.family === 4 ? `172.${16 + number}.11.1` : `fd0${number}:11::1`;
    const hops = [1, 2].flatMap((number) => ['nexthop', 'via', gateway(number), 'dev', `up${number}`]);
    await host.run(['ip', 'route', 'add', formatCidr(cidr), 'metric', String(metric), ...hops]);
  }
  return ns;
}

/** Which switches carry what comes from behind. */
export async function sendOver(ns: Netns, switches: readonly number[]): Promise<void> {
  const hops = (address: (index: number) => string): string[] =>
    switches.flatMap((index) => ['nexthop', 'via', address(index), 'dev', `t${index}`]);
  await ns.run(['ip', 'route', 'replace', '10.11.0.0/16', ...hops((index) => `172.2${index}.0.1`)]);
  await ns.run(['ip', 'route', 'replace', 'fd10:11::/32', ...hops((index) => `fd2${index}::1`)]);
}

export class Stream {
  readonly #echo: ChildProcess;
  readonly #sender: ChildProcess;
  #output = '';

  constructor(host: Netns, from: Netns) {
    this.#echo = inside(host, ['echo']);
    this.#sender = inside(from, ['send']);
    this.#sender.stdout?.on('data', (chunk: Buffer) => void (this.#output += chunk.toString()));
  }

  /** Resolves once an echo came back in each flow. */
  async flowing(): Promise<void> {
    while (!this.#output.includes('flowing')) await new Promise((resolve) => void setTimeout(resolve, 20));
  }

  /** What was lost since it flowed, or since the last look. */
  async look(): Promise<Loss> {
    const before = this.#output.split('\n').length;
    this.#sender.kill('SIGUSR2');
    for (;;) {
      const lines = this.#output.split('\n');
      const line = lines[before - 1];
      if (lines.length > before && line !== undefined) return JSON.parse(line) as Loss;
      await new Promise((resolve) => void setTimeout(resolve, 20));
    }
  }

  end(): void {
    this.#echo.kill('SIGKILL');
    this.#sender.kill('SIGKILL');
  }
}

function inside(ns: Netns, words: readonly string[]): ChildProcess {
  const into = ns.path === null ? [] : ['nsenter', `--net=${ns.path}`, '--'];
  const argv = [...into, process.execPath, fileURLToPath(import.meta.url), ...words];
  return spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], { stdio: ['ignore', 'pipe', 'inherit'] });
}

function echo(): void {
  for (const family of [4, 6] as const) {
    const socket = createSocket(`udp${family}`);
    socket.bind(port, addresses[family]);
    socket.on('error', () => {});
    socket.on('message', (message, { address, port: to }) => socket.send(message, to, address));
  }
}

function send(): void {
  const waiting = new Map<number, number>();
  const lostOf = new Map<number, number[]>();
  const heard = new Set<number>();
  let sequence = 0;
  let since = 0;
  const sockets = Array.from({ length: flows }, (_, flow): Socket => {
    const family = flow % 2 === 0 ? 4 : 6;
    const socket = createSocket(`udp${family}`);
    socket.bind(0, far[family]);
    socket.on('error', () => {});
    socket.on('message', (message) => {
      waiting.delete(message.readUInt32BE(0));
      if (heard.size === flows) return;
      heard.add(flow);
      if (heard.size < flows) return;
      waiting.clear();
      since = sequence;
      process.stdout.write('flowing\n');
    });
    return socket;
  });
  const began = performance.now();
  setInterval(() => {
    // By the clock, so that a late timer sends what is due instead of sending less.
    const due = Math.floor((performance.now() - began) / everyMs);
    for (; sequence < due; sequence++) {
      const flow = sequence % flows;
      const message = Buffer.alloc(64);
      message.writeUInt32BE(sequence);
      waiting.set(sequence, flow);
      sockets[flow]?.send(message, port, addresses[flow % 2 === 0 ? 4 : 6], () => {});
    }
  }, everyMs);
  process.on('SIGUSR2', () => {
    const until = sequence;
    // What is on its way still may come.
    setTimeout(() => {
      lostOf.clear();
      for (const [number, flow] of waiting) {
        if (number >= until) continue;
        lostOf.set(flow, [...(lostOf.get(flow) ?? []), number]);
        waiting.delete(number);
      }
      const lost = [...lostOf.values()].reduce((sum, list) => sum + list.length, 0);
      const longest = Math.max(0, ...[...lostOf.values()].map(longestRow));
      const told: Loss = { sent: until - since, lost, longestMs: longest * flows * everyMs };
      since = until;
      process.stdout.write(`${JSON.stringify(told)}\n`);
    }, 1000);
  });
}

/** Of the numbers of one flow, which are `flows` apart. */
function longestRow(numbers: readonly number[]): number {
  let longest = 0;
  let row = 0;
  for (const [index, number] of numbers.entries()) {
    row = index > 0 && number - (numbers[index - 1] ?? 0) === flows ? row + 1 : 1;
    longest = Math.max(longest, row);
  }
  return longest;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv[2] === 'echo') echo();
  else send();
}
