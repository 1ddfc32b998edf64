/**
 * Keeps daemons of hosts and switches running, as systemd does on a real one: they live by themselves, whatever agents do.
 *
 * 1. A daemon that ends is started again, until it is told to stop.
 * 2. It starts only when what it needs is there, and never finds what an earlier life of it left behind.
 * 3. What is part of another one ends with it, and is started again too.
 */
import { existsSync, rmSync } from 'node:fs';
import type { SpeakerProcess } from '#agent/speaker.ts';
import { Process } from './processes.ts';

export interface DaemonWish extends SpeakerProcess {
  /** Network namespace to run in. */
  readonly namespace: string;
  readonly logFile: string;
}

const lookAgainMs = 50;
const restartMs = 200;

export class Daemon {
  readonly wish: DaemonWish;
  #process: Process | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wanted = false;
  /** Times that it was started. */
  starts = 0;

  readonly #onEnd: () => void;

  constructor(wish: DaemonWish, onEnd: () => void = () => {}) {
    this.wish = wish;
    this.#onEnd = onEnd;
  }

  get name(): string {
    return `${this.wish.name} of ${this.wish.namespace}`;
  }

  /** Of the life that runs now. */
  get process(): Process | undefined {
    return this.#process?.end === undefined ? this.#process : undefined;
  }

  start(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#begin();
  }

  /** Ends it as a supervisor does, and leaves it so. */
  async stop(): Promise<void> {
    this.#forget();
    await this.#process?.stop();
  }

  /** kill -9; it comes back by itself. */
  async kill(): Promise<void> {
    await this.#process?.kill();
  }

  /** kill -9, and nobody starts it again. */
  async destroy(): Promise<void> {
    this.#forget();
    await this.#process?.kill();
  }

  #forget(): void {
    this.#wanted = false;
    clearTimeout(this.#timer);
  }

  #begin(): void {
    const { namespace, argv, needs, stale, env, logFile } = this.wish;
    if (!needs.every((path) => existsSync(path))) return this.#later(lookAgainMs);
    for (const path of stale) rmSync(path, { force: true });
    this.starts++;
    const process = new Process(this.name, ['ip', 'netns', 'exec', namespace, ...argv], logFile, env);
    this.#process = process;
    void process.ended.then(() => {
      this.#onEnd();
      if (this.#wanted && this.#process === process) this.#later(restartMs);
    });
  }

  #later(ms: number): void {
    this.#timer = setTimeout(() => this.#wanted && this.#begin(), ms);
  }
}

/** Those of one host or switch. */
export function supervised(wishes: readonly DaemonWish[]): Daemon[] {
  const all: Daemon[] = wishes.map((wish) => {
    const endParts = (): void => {
      for (const daemon of all) if (daemon.wish.partOf === wish.name) void daemon.kill();
    };
    return new Daemon(wish, endParts);
  });
  return all;
}
