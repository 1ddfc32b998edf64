/** The server and the agents of a lab: started without a shell, logging to files, dead when the lab is dead. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { isRomanaError, RomanaError } from '#core/errors.ts';

const environment = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8', HOME: '/' };

export class Process {
  readonly name: string;
  readonly #logFile: string;
  readonly #child: ChildProcess;
  /** Resolves when it is gone, with how it ended. */
  readonly ended: Promise<string>;
  #end: string | undefined;

  constructor(
    name: string,
    argv: readonly string[],
    logFile: string,
    env: Readonly<Record<string, string>> = {},
  ) {
    this.name = name;
    this.#logFile = logFile;
    const log = openSync(logFile, 'a');
    // a session of its own: Ctrl-C in the terminal must reach the lab alone
    const options = {
      env: { ...environment, ...env },
      cwd: '/',
      detached: true,
      stdio: ['ignore', log, log],
    } as const;
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {
      ...options,
      stdio: [...options.stdio],
    });
    closeSync(log);
    this.ended = new Promise((resolve) => {
      const over = (how: string): void => {
        this.#end ??= how;
        resolve(this.#end);
      };
      this.#child.once('error', (error) => over(`not started: ${error.message}`));
      this.#child.once('exit', (code, signal) => over(signal ?? `exit code ${code ?? 'unknown'}`));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** How it ended; undefined while it runs. */
  get end(): string | undefined {
    return this.#end;
  }

  /** Asks it to stop and kills it when it does not within `graceMs`. */
  async stop(graceMs = 8_000): Promise<void> {
    this.#child.kill('SIGTERM');
    const late = new AbortController();
    const timer = sleep(graceMs, 'late', { signal: late.signal }).catch(() => 'cancelled');
    if ((await Promise.race([this.ended, timer])) === 'late') this.#child.kill('SIGKILL');
    late.abort();
    await this.ended;
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL');
    await this.ended;
  }

  /** The last lines of its log. */
  tail(lines = 15): string {
    try {
      return readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-lines).join('\n');
    } catch {
      return '';
    }
  }
}

/** A failure for which one process is to blame; carries the last lines of its log. */
export function failureOf(process: Process, what: string): RomanaError {
  const log = process.tail();
  return new RomanaError('unavailable', `${process.name}: ${what}`, {
    details: { process: process.name, log },
  });
}

/**
 * Repeats `check` until it answers something else than undefined. `unavailable` and `timeout` mean "not yet"; other errors end it,
 * and so do the end of `process` and the time limit.
 */
export async function until<T>(
  what: string,
  timeoutMs: number,
  check: () => Promise<T | undefined>,
  process?: Process,
): Promise<T> {
  const limit = performance.now() + timeoutMs;
  let last = '';
  for (;;) {
    if (process?.end !== undefined) throw failureOf(process, `ended (${process.end}) before ${what}`);
    try {
      const value = await check();
      if (value !== undefined) return value;
    } catch (error) {
      if (!isRomanaError(error) || (error.code !== 'unavailable' && error.code !== 'timeout')) throw error;
      last = `; last: ${error.message}`;
    }
    if (performance.now() > limit) {
      const late = `not ${what} within ${Math.round(timeoutMs / 1000)} s${last}`;
      throw process === undefined
        ? new RomanaError('timeout', `The lab is ${late}`)
        : failureOf(process, late);
    }
    await sleep(60);
  }
}

/** Maps with at most `width` at once; the first failure ends it. */
export async function pooled<T, R>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async (): Promise<void> => {
    for (let i = next++; i < items.length; i = next++) results[i] = await work(items[i] as T);
  };
  await Promise.all(Array.from({ length: Math.min(width, items.length) }, worker));
  return results;
}
