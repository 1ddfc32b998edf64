/**
 * Starts the lab in network, mount and process namespaces of its own and waits for it. Whatever ends this process, kill -9
 * included, ends the first process of the inside and with it everything else.
 *
 * 1. The kernel cleans up, not this program: a parent-death signal kills `unshare`, that kills the first process inside, and the
 *    end of a process namespace kills all in it. A pipe closes the gap before the signal is set.
 * 2. Under npm the lab ends when npm does, even by kill -9.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { Writable } from 'node:stream';
import { packageOf } from '#agent/exec.ts';
import { RomanaError } from '#core/errors.ts';
import { MARK } from './find.ts';
import type { InnerTask } from './inner.ts';

/** The first process inside: reaps orphans, passes signals on, ends with its child's status. Node can do none of the three. */
const init = String.raw`
my $child = fork; die "fork: $!" unless defined $child;
if (!$child) { exec { $ARGV[0] } @ARGV; die "$ARGV[0]: $!" }
for my $s (qw(TERM INT HUP)) { $SIG{$s} = sub { kill $s, $child } }
while (1) {
  my $p = waitpid(-1, 0);
  exit($? & 127 ? 128 + ($? & 127) : $? >> 8) if $p == $child;
}
`;

export async function runOuter(task: InnerTask): Promise<number> {
  if (process.getuid?.() !== 0) {
    throw new RomanaError(
      'kernel_refused',
      'The lab makes network namespaces and must be run as root; try: sudo romana lab',
    );
  }
  const isolate = '--net --mount --pid --fork --kill-child=KILL --mount-proc --propagation private';
  const program = ['perl', '-e', init, '--', ...task.command, 'lab'];
  const argv = ['--pdeathsig', 'KILL', '--', 'unshare', ...isolate.split(' '), '--', ...program];
  const env = { ...process.env, [MARK]: JSON.stringify(task) };
  const child = spawn('setpriv', argv, { env, stdio: ['ignore', 'inherit', 'inherit', 'pipe'] });
  const line = child.stdio[3] as Writable;
  line.on('error', () => undefined);
  const stop = (): void => {
    line.end();
    setTimeout(() => child.kill('SIGKILL'), 5_000).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.removeAllListeners(signal);
    process.on(signal, stop);
  }
  const watching = watchAncestors(stop);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (error) => {
        const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
        const what = missing ? `install the Debian package ${packageOf('setpriv')}` : error.message;
        reject(new RomanaError('kernel_refused', `The lab could not be started: ${what}.`, { cause: error }));
      });
      child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
    });
  } finally {
    clearInterval(watching);
  }
}

/** Processes from our parent up to npm, when npm is among them: killing npm with -9 would otherwise orphan the lab. */
function watchAncestors(gone: () => void): NodeJS.Timeout {
  const watched: { pid: number; born: string }[] = [];
  const chain: { pid: number; born: string }[] = [];
  for (let pid = process.ppid; pid > 1; ) {
    const stat = statOf(pid);
    if (stat === undefined) break;
    chain.push({ pid, born: stat.born });
    if (/^npm(\s|$)/.test(stat.name)) {
      watched.push(...chain);
      break;
    }
    pid = stat.parent;
  }
  return setInterval(() => {
    if (watched.some(({ pid, born }) => statOf(pid)?.born !== born)) gone();
  }, 300);
}

/** A zombie counts as gone. */
function statOf(pid: number): { name: string; parent: number; born: string } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
    if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
    return { name, parent: Number(fields[1]), born: fields[19] ?? '' };
  } catch {
    return undefined;
  }
}
