/**
 * Tests against the real kernel, in namespaces that vanish with the test. A test file begins with
 *
 *     if (inPrivateNamespaces(import.meta.url)) {
 *       test('…', async () => { … });
 *     }
 *
 * Run plainly (`node --test FILE`) the file starts itself anew inside fresh network, mount and process namespaces with an empty /run
 * and relays each result; inside, `inPrivateNamespaces` is true. Nothing reaches the host: links, routes, tables, `ip netns` names
 * and processes die with the process namespace, and that dies with the test runner, even by kill -9. Needs root or user namespaces.
 */
import { spawn, spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createRunner, type RunOptions, type RunResult } from '#agent/exec.ts';

const run = createRunner();

export function inPrivateNamespaces(
  fileUrl: string,
  { timeoutMs = 240_000 }: { timeoutMs?: number } = {},
): boolean {
  const file = fileURLToPath(fileUrl);
  if (process.env['ROMANA_TEST_NS'] === file) {
    furnish();
    return true;
  }
  test(`in private namespaces: ${file.slice(file.lastIndexOf('/') + 1)}`, async (t) => {
    const { code, output } = await runInside(file, timeoutMs);
    const results = parseTap(output);
    for (const result of results) {
      await t.test(result.name, () => {
        if (result.problem !== '') throw new Error(result.problem);
      });
    }
    const failed = results.some((result) => result.problem !== '');
    if (code !== 0 && !failed) throw new Error(`the run inside ended with ${code}:\n${output.slice(-8000)}`);
    if (results.length === 0) throw new Error(`the run inside held no test:\n${output.slice(-8000)}`);
  });
  return false;
}

/** In fresh private namespaces, first of all: an own /run and a loopback that is up. FRR leaves folders in /var/tmp. */
export function furnish(): void {
  must(['mount', '-t', 'tmpfs', 'tmpfs', '/run']);
  must(['mount', '-t', 'tmpfs', '-o', 'mode=1777', 'tmpfs', '/var/tmp']);
  must(['ip', 'link', 'set', 'lo', 'up']);
}

/** What comes before a command to run it in fresh private namespaces that die with the caller. */
export function privately(): string[] {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const apart = ['--net', '--mount', '--pid', '--mount-proc', '--fork', '--kill-child'];
  return ['setpriv', '--pdeathsig', 'KILL', '--', 'unshare', ...user, ...apart, '--'];
}

function runInside(file: string, timeoutMs: number): Promise<{ code: number | string; output: string }> {
  const env: NodeJS.ProcessEnv = { ...process.env, ROMANA_TEST_NS: file };
  // Set by an outer `node --test`: it would make the inner one speak a binary protocol.
  delete env['NODE_TEST_CONTEXT'];
  const [program = '', ...argv] = privately();
  const node = [process.execPath, '--test', '--test-isolation=none', '--test-reporter=tap', file];
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...argv, ...node], { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const add = (chunk: Buffer): void => void (output += chunk.toString('utf8'));
    child.stdout.on('data', add);
    child.stderr.on('data', add);
    const timer = setTimeout(() => {
      output += `\nnot finished after ${timeoutMs} ms`;
      child.kill('SIGKILL');
    }, timeoutMs);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(new Error('setpriv and unshare are needed (Debian package util-linux)', { cause: error }));
    });
    child.once('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code: code ?? signal ?? 'unknown', output });
    });
  });
}

interface TapResult {
  readonly name: string;
  /** Empty: passed. */
  problem: string;
}

/** Each `ok` and `not ok` line at any depth, with the YAML block below it as the explanation of a failure. */
function parseTap(text: string): TapResult[] {
  const results: TapResult[] = [];
  let current: TapResult | undefined;
  let inBlock = false;
  for (const line of text.split('\n')) {
    const match = /^\s*(not )?ok \d+ - (.*)$/.exec(line);
    if (match !== null && !inBlock) {
      const name = (match[2] ?? '').replaceAll('\\#', '#');
      const unproved = / # (SKIP|TODO)/i.test(name);
      current = {
        name,
        problem: match[1] === undefined ? (unproved ? 'skipped tests prove nothing' : '') : 'failed',
      };
      results.push(current);
    } else if (/^\s*---$/.test(line)) inBlock = true;
    else if (/^\s*\.\.\.$/.test(line)) inBlock = false;
    else if (inBlock && current !== undefined && current.problem !== '') current.problem += `\n${line}`;
  }
  return results;
}

function must(argv: readonly [string, ...string[]]): void {
  const [program, ...rest] = argv;
  const done = spawnSync(program, rest, { encoding: 'utf8' });
  if (done.status !== 0) throw new Error(`${argv.join(' ')}: ${done.error?.message ?? done.stderr}`);
}

/** A network namespace. `path` is null for the one that the test itself runs in. */
export interface Netns {
  readonly name: string;
  readonly path: string | null;
  /** Runs a program in it; an exit code outside `okCodes` is an error. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
}

/** The namespace that the test process is in: the usual place for the code under test. */
export const here: Netns = { name: 'here', path: null, run };

export function netnsAt(name: string, path: string): Netns {
  return { name, path, run: (argv, options) => run(['nsenter', `--net=${path}`, '--', ...argv], options) };
}

/** `ip netns add`, with lo up. */
export async function makeNetns(name: string): Promise<Netns> {
  await run(['ip', 'netns', 'add', name]);
  const ns = netnsAt(name, `/run/netns/${name}`);
  await ns.run(['ip', 'link', 'set', 'lo', 'up']);
  return ns;
}

export async function removeNetns(ns: Netns): Promise<void> {
  await run(['ip', 'netns', 'delete', ns.name]);
}

/** A veth pair between two namespaces, both ends up, without addresses. */
export async function veth(a: Netns, ifA: string, b: Netns, ifB: string): Promise<void> {
  const into = b.path ?? `/proc/${process.pid}/ns/net`;
  await a.run(['ip', 'link', 'add', ifA, 'type', 'veth', 'peer', 'name', ifB, 'netns', into]);
  await a.run(['ip', 'link', 'set', ifA, 'up']);
  await b.run(['ip', 'link', 'set', ifB, 'up']);
}

/** Adds addresses such as `10.0.0.1/24`; IPv6 without duplicate address detection, usable at once. */
export async function addAddresses(ns: Netns, link: string, ...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    await ns.run(['ip', 'address', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : [])]);
  }
}

/** Sets e.g. `net/ipv4/ip_forward` in a namespace. */
export async function setSysctl(ns: Netns, path: string, value: string | number): Promise<void> {
  await ns.run(['tee', `/proc/sys/${path}`], { stdin: `${value}\n` });
}

/** How many of `count` echo requests were answered. */
export async function ping(
  from: Netns,
  to: string,
  { count = 1, waitSeconds = 1, source, size, df = false }: PingOptions = {},
): Promise<number> {
  const extra = [
    ...(source === undefined ? [] : ['-I', source]),
    ...(size === undefined ? [] : ['-s', String(size)]),
    ...(df ? ['-M', 'do'] : []),
  ];
  const argv = ['ping', '-n', '-c', String(count), '-i', '0.05', '-W', String(waitSeconds), ...extra, to];
  const { stdout } = await from.run(argv, { okCodes: 'any', timeoutMs: 10_000 + count * 1000 });
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

/**
 * Whether an echo request is answered at last. The first may be lost on a busy machine, while a neighbour is being found; a test
 * that demands silence counts packets instead.
 */
export async function reaches(from: Netns, to: string, options: PingOptions = {}): Promise<boolean> {
  for (let attempt = 0; attempt < 10; attempt++) {
    if ((await ping(from, to, options)) > 0) return true;
  }
  return false;
}

export interface PingOptions {
  readonly count?: number;
  readonly waitSeconds?: number;
  readonly source?: string;
  readonly size?: number;
  /** Forbid fragmentation. */
  readonly df?: boolean;
}
