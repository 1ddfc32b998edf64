/** The command `romana lab` from outside: its document, its end, and that nothing of it stays whatever ends it. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabDocument } from '#contract/lab.ts';
import { findLabs } from '#lab/find.ts';
import { labOptions } from '#lab/options.ts';
import { planLab } from '#lab/plan.ts';
import { planEndpoints, planProbes } from '#lab/spread.ts';

const cli = new URL('../../src/cli/main.ts', import.meta.url).pathname;

/** A lab started for a test: its processes are told from all others by an environment variable and by their process namespace. */
interface Started {
  readonly child: ChildProcess;
  readonly mark: string;
  readonly ended: Promise<number | string>;
  readonly out: () => string;
  readonly err: () => string;
  /** Resolves with what was printed when standard output or error holds the text. */
  seen(text: string): Promise<void>;
}

const children: ChildProcess[] = [];
// Those of tests that failed too: they would keep this process from ending.
after(() => {
  for (const child of children) child.kill('SIGKILL');
});

function start(args: readonly string[], launcher: readonly string[] = []): Started {
  const mark = `ROMANA_LAB_TEST=${randomUUID()}`;
  const [name = '', value = ''] = mark.split('=');
  const [program = '', ...rest] = [...launcher, process.execPath, cli, 'lab', ...args];
  const child = spawn(program, rest, {
    env: { ...process.env, [name]: value },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.push(child);
  let out = '';
  let err = '';
  const waiting = new Set<() => void>();
  const wake = (): void => {
    for (const check of waiting) check();
  };
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString('utf8');
    wake();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString('utf8');
    wake();
  });
  const ended = new Promise<number | string>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  const seen = (text: string): Promise<void> =>
    new Promise((resolve, reject) => {
      const check = (): void => {
        if (!out.includes(text) && !err.includes(text)) return;
        waiting.delete(check);
        resolve();
      };
      waiting.add(check);
      check();
      void ended.then((how) => reject(new Error(`ended (${how}) before '${text}':\n${out}${err}`)));
    });
  return { child, mark, ended, out: () => out, err: () => err, seen };
}

function processes(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}
function hasMark(pid: number, mark: string): boolean {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'utf8').includes(mark);
  } catch {
    return false;
  }
}
function namespaceOf(pid: number, kind: 'pid' | 'mnt' | 'net'): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/${kind}`);
  } catch {
    return '';
  }
}
/** The first process inside. */
const insideOf = (lab: Started): number | undefined => findLabs().find((pid) => hasMark(pid, lab.mark));

/** Waits until no process with the mark or in the given process namespace is left; names those that are, when they do not go. */
async function nothingLeft(mark: string, namespaces: readonly string[]): Promise<void> {
  let left: string[] = [];
  for (let i = 0; i < 100; i++) {
    left = processes()
      .filter((pid) => hasMark(pid, mark) || namespaces.includes(namespaceOf(pid, 'pid')))
      .map((pid) => {
        try {
          return `${pid} ${readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')}`;
        } catch {
          return '';
        }
      })
      .filter((line) => line !== '');
    if (left.length === 0) return;
    await sleep(100);
  }
  assert.deepEqual(left, []);
}

/** What a lab could leave on the machine if it were not isolated. */
function machine(): Record<string, string> {
  const of = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { encoding: 'utf8' });
  const links = (JSON.parse(of('ip', '-j', 'link', 'show')) as { ifname: string }[]).map(
    ({ ifname }) => ifname,
  );
  return {
    links: links.filter((name) => /^(h\d|leaf|spine|control|br0|rom)/.test(name)).join(' '),
    namespaces: of('ip', 'netns', 'list')
      .split('\n')
      .filter((line) => /^(h\d|leaf|spine|control|acme|globex)/.test(line))
      .join(' '),
    mounts: readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => /romana|\/run\/netns\/(h\d|control|spine)/.test(line))
      .join('\n'),
    files: readdirSync('/run')
      .filter((name) => name.startsWith('romana'))
      .join(' '),
    rules: of('ip', '-j', 'route', 'show', 'table', 'all', 'proto', '82').trim(),
  };
}

const small = ['--hosts', '2', '--racks', '2', '--endpoints', '4'];

test('once, as JSON: one valid document on standard output, all pairs probed, everything as expected, exit status 0', async () => {
  const before = machine();
  const lab = start(['--once', '--json']);
  assert.equal(await lab.ended, 0, lab.err());
  const document = LabDocument.parse(JSON.parse(lab.out()));
  assert.equal(lab.out().trim().split('\n').length, 1);
  assert.equal(document.ok, true);
  const wanted = planProbes(planEndpoints(12, planLab(labOptions()).hosts));
  assert.equal(document.matrix.length, wanted.length);
  assert.deepEqual(
    document.matrix.filter((probe) => probe.expected !== probe.observed),
    [],
  );
  for (const verdict of ['allow', 'deny'])
    assert.ok(document.matrix.some((probe) => probe.observed === verdict));
  assert.deepEqual(
    document.mtu.map(({ family, observed }) => `${family} ${observed}`),
    ['4 allow', '4 deny', '6 allow', '6 deny'],
  );
  assert.equal(document.endpoints.length, 12);
  for (const host of document.hosts) {
    assert.ok(host.routes > 0 && host.rules > 0 && host.elements > 0, JSON.stringify(host));
    assert.ok(host.cidrs.length === 1 && host.cidrs6.length === 1);
  }
  await nothingLeft(lab.mark, []);
  assert.deepEqual(machine(), before);
});

test('two labs at once do not see each other; commands enter the one that is chosen; SIGTERM and SIGINT end it with status 0', async () => {
  const before = machine();
  const labs = [start(small), start(small)];
  await Promise.all(labs.map((lab) => lab.seen('until Ctrl-C')));
  const inside = labs.map((lab) => insideOf(lab) ?? 0);
  const namespaces = inside.map((pid) => namespaceOf(pid, 'pid'));
  assert.equal(new Set(namespaces).size, 2);
  for (const [i, lab] of labs.entries()) {
    assert.match(lab.out(), /Everything is as expected/);
    const exec = (...args: string[]): string =>
      execFileSync(process.execPath, [cli, 'lab', 'exec', '--lab', String(inside[i]), ...args], {
        encoding: 'utf8',
      });
    const status = JSON.parse(exec('--', 'romana', 'status', '-o', 'json')) as {
      counts: { endpoints: number };
    };
    assert.equal(status.counts.endpoints, 4);
    assert.match(
      exec('--in', 'h1', '--', 'ip', 'route', 'show', 'proto', '82'),
      /^blackhole 10\.1\.0\.0\/16/m,
    );
    // what is done to one does not happen to the other: each deletes the spine's routes and still had its own
    assert.match(exec('--in', 'spine', '--', 'ip', 'route', 'show', '10.128.0.0/9'), /via/);
    exec('--in', 'spine', '--', 'ip', 'route', 'del', '10.128.0.0/9');
  }
  assert.deepEqual(machine(), before);
  labs[0]?.child.kill('SIGTERM');
  labs[1]?.child.kill('SIGINT');
  for (const [i, lab] of labs.entries()) {
    assert.equal(await lab.ended, 0, lab.err());
    await nothingLeft(lab.mark, [namespaces[i] ?? 'none']);
  }
  assert.deepEqual(machine(), before);
});

test('every command that the lab proposes works as it is printed', async () => {
  const lab = start(['--hosts', '2', '--racks', '2']);
  await lab.seen('an aggregate per rack');
  const inside = insideOf(lab) ?? 0;
  const hints = [...lab.out().matchAll(/^ {2}romana (lab (?:exec|shell) .*?)(?: {2,}# .*)?$/gm)].map(
    ([, words]) => (words ?? '').split(' '),
  );
  assert.equal(hints.length, 6, lab.out());
  for (const [lab, verb, ...rest] of hints as [string, string, ...string[]][]) {
    // a ping ends after one answer, a shell at the end of its input
    const words = rest.includes('ping') ? [...rest, '-c', '1', '-W', '10'] : rest;
    const out = execFileSync(process.execPath, [cli, lab, verb, '--lab', String(inside), ...words], {
      encoding: 'utf8',
      input: 'ip -brief link show lo; romana agent status -o json\n',
      env: { ...process.env, SHELL: '/bin/sh' },
    });
    assert.notEqual(out, '', words.join(' '));
    if (rest.length === 1) assert.match(out, /^lo [^]*"ready": true/);
  }
  lab.child.kill('SIGINT');
  assert.equal(await lab.ended, 0, lab.err());
});

for (const moment of ['', 'underlay', 'control plane', 'agents', 'probing', 'until Ctrl-C']) {
  test(`kill -9 of the outer process leaves nothing: ${moment === '' ? 'at once' : `when it says '${moment}'`}`, async () => {
    const before = machine();
    const lab = start(small);
    if (moment !== '') await lab.seen(moment);
    const inside = insideOf(lab);
    const namespaces = inside === undefined ? [] : [namespaceOf(inside, 'pid')];
    lab.child.kill('SIGKILL');
    assert.equal(await lab.ended, 'SIGKILL');
    await nothingLeft(lab.mark, namespaces);
    assert.deepEqual(machine(), before);
  });
}

test('kill -9 of npm ends the lab that it started', async () => {
  // a stand-in that looks like npm in the process table, with a shell between it and the lab as `npm run` has
  const npm = [
    'perl',
    '-e',
    '$0 = "npm run lab"; my $p = fork; if (!$p) { exec @ARGV } wait; exit $? >> 8',
    'sh',
    '-c',
    '"$@"; exit $?',
    'sh',
  ];
  const lab = start(small, npm);
  await lab.seen('control plane');
  const inside = insideOf(lab) ?? 0;
  const namespace = namespaceOf(inside, 'pid');
  assert.notEqual(namespace, '');
  lab.child.kill('SIGKILL');
  await nothingLeft(lab.mark, [namespace]);
});

test('a request that cannot be met is refused before anything is made', () => {
  for (const args of [
    ['--hosts', '99'],
    ['--racks', '3', '--hosts', '2'],
    ['--hosts', '1', '--endpoints', '61'],
    ['--endpoints', 'x'],
  ]) {
    assert.throws(
      () =>
        execFileSync(process.execPath, [cli, 'lab', '--once', ...args], { encoding: 'utf8', stdio: 'pipe' }),
      (error: { status?: number; stderr?: string }) =>
        error.status !== 0 && /input_invalid/.test(error.stderr ?? ''),
    );
  }
});
