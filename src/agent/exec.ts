/**
 * Runs the kernel's tools. Imports core only.
 *
 * 1. Never a shell: an argument array, a fixed PATH and the C locale, so that neither names nor the environment change a meaning.
 * 2. Every run ends: at the time limit or the output limit the program is killed and the caller gets an error.
 * 3. A program that is missing is named together with the package that holds it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, constants, openSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { createInterface } from 'node:readline';
import { RomanaError } from '#core/errors.ts';
import type { Cancel, Timers } from '#core/ports.ts';

export interface RunOptions {
  readonly stdin?: string;
  /** For programs that open /dev/stdin anew, which the socket that they get otherwise does not allow: an unnamed file. */
  readonly reopenStdin?: boolean;
  readonly timeoutMs?: number;
  /** Bytes of standard output and standard error together. */
  readonly maxOutput?: number;
  /** Exit codes that are an answer rather than an error; default: 0 alone. */
  readonly okCodes?: readonly number[] | 'any';
}
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}
/** Tests put their own in place, to record calls or let them fail. */
export type Runner = (argv: readonly string[], options?: RunOptions) => Promise<RunResult>;

const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };

const packages: Readonly<Record<string, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  ss: 'iproute2',
  tc: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
  nsenter: 'util-linux',
  unshare: 'util-linux',
  setpriv: 'util-linux',
  ping: 'iputils-ping',
  tcpdump: 'tcpdump',
};

const systemTimers: Timers = {
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

export function createRunner({ timers = systemTimers }: { timers?: Timers } = {}): Runner {
  return (argv, options = {}) =>
    new Promise<RunResult>((resolve, reject) => {
      const { timeoutMs = 10_000, maxOutput = 64 * 1024 * 1024, okCodes = [0] } = options;
      const input = options.reopenStdin === true ? unnamedFile(options.stdin ?? '') : null;
      const child = start(argv, input ?? 'pipe');
      if (input !== null) closeSync(input);
      const out: Buffer[] = [];
      const err: Buffer[] = [];
      let size = 0;
      let fatal: RomanaError | undefined;

      const abort = (error: RomanaError): void => {
        fatal ??= error;
        child.kill('SIGKILL');
        // A grandchild may hold the pipes open; without this `close` would wait for it.
        child.stdout?.destroy();
        child.stderr?.destroy();
      };
      const cancelTimer = timers.after(timeoutMs, () => {
        abort(
          new RomanaError('timeout', `${spell(argv)} did not finish within ${timeoutMs} ms and was killed.`),
        );
      });
      const collect = (into: Buffer[]) => (chunk: Buffer) => {
        size += chunk.length;
        if (size <= maxOutput) into.push(chunk);
        else
          abort(
            new RomanaError(
              'kernel_refused',
              `${spell(argv)} printed more than ${maxOutput} bytes and was killed.`,
            ),
          );
      };
      child.stdout?.on('data', collect(out));
      child.stderr?.on('data', collect(err));
      // It may end before it has read everything; its exit code tells why.
      child.stdin?.on('error', () => {});
      child.stdin?.end(options.stdin ?? '');

      child.once('error', (error) => {
        cancelTimer();
        reject(notStarted(argv, error));
      });
      child.once('close', (code, signal) => {
        cancelTimer();
        if (fatal !== undefined) return reject(fatal);
        const stdout = Buffer.concat(out).toString('utf8');
        const stderr = Buffer.concat(err).toString('utf8');
        if (code === null) {
          return reject(
            new RomanaError('kernel_refused', `${spell(argv)} was ended by ${signal ?? 'a signal'}.`),
          );
        }
        if (okCodes !== 'any' && !okCodes.includes(code)) {
          return reject(
            new RomanaError(
              'kernel_refused',
              `${spell(argv)} failed with exit code ${code}: ${firstLines(stderr)}`,
              {
                details: { argv: [...argv], code, stderr: stderr.slice(0, 4096) },
              },
            ),
          );
        }
        resolve({ code, stdout, stderr });
      });
    });
}

export interface LineHandlers {
  readonly onLine: (line: string) => void;
  /** The program ended or could not be started; not called after `Cancel`. */
  readonly onEnd: (error: RomanaError) => void;
}

export type LineSpawner = (argv: readonly string[], handlers: LineHandlers) => Cancel;

/**
 * Starts a program that runs for long and reports by lines. It dies with this process, even when that is killed (setpriv sets the
 * parent-death signal, then becomes the program), and does not keep it alive.
 */
export const spawnLines: LineSpawner = (argv, { onLine, onEnd }) => {
  let over = false;
  const child = start(['setpriv', '--pdeathsig', 'KILL', '--', ...argv]);
  let complaint = '';
  const finish = (error: RomanaError): void => {
    if (over) return;
    over = true;
    onEnd(error);
  };
  child.stdin?.on('error', () => {});
  child.stdin?.end();
  child.stderr?.on('data', (chunk: Buffer) => {
    if (complaint.length < 4096) complaint += chunk.toString('utf8');
  });
  if (child.stdout !== null) {
    createInterface({ input: child.stdout, crlfDelay: Number.POSITIVE_INFINITY }).on('line', (line) => {
      if (!over) onLine(line);
    });
  }
  child.once('error', (error) => finish(notStarted(argv, error)));
  child.once('close', (code, signal) => {
    const how = code === null ? `by ${signal ?? 'a signal'}` : `with exit code ${code}`;
    finish(new RomanaError('kernel_refused', `${spell(argv)} ended ${how}: ${firstLines(complaint)}`));
  });
  child.unref();
  for (const stream of [child.stdin, child.stdout, child.stderr])
    (stream as unknown as { unref?(): void } | null)?.unref?.();
  return () => {
    if (over) return;
    over = true;
    child.kill('SIGKILL');
    child.stdout?.destroy();
    child.stderr?.destroy();
  };
};

/** The Debian package of a program, or its own name when it is not in the list. */
export function packageOf(program: string): string {
  return packages[program] ?? program;
}

const O_TMPFILE = 0o20200000;

/** Has no name at any moment, so that nothing is left behind. */
function unnamedFile(text: string): number {
  const file = openSync(tmpdir(), O_TMPFILE | constants.O_RDWR, 0o600);
  writeSync(file, text);
  return file;
}

function start(argv: readonly string[], input: number | 'pipe' = 'pipe'): ChildProcess {
  const [program, ...rest] = argv;
  if (program === undefined) throw new RomanaError('internal', 'No program to run was given.');
  return spawn(program, rest, { cwd: '/', env: environment, stdio: [input, 'pipe', 'pipe'], shell: false });
}

function notStarted(argv: readonly string[], error: Error): RomanaError {
  const program = argv[0] ?? '';
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
    return new RomanaError(
      'kernel_refused',
      `The program ${program} is missing; install the Debian package ${packageOf(program)}.`,
      { details: { program, package: packageOf(program) }, cause: error },
    );
  }
  return new RomanaError('kernel_refused', `${spell(argv)} could not be started: ${error.message}.`, {
    cause: error,
  });
}

/** For messages only. */
function spell(argv: readonly string[]): string {
  const text = argv.join(' ');
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

function firstLines(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.length === 0 ? 'no message' : lines.slice(0, 3).join('; ').slice(0, 500);
}
