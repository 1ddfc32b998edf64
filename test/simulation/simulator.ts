/** Virtual time. Timers fire in order of time and, at one time, in the order in which they were set. */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { Cancel, Clock, Random, Timers } from '#core/ports.ts';

interface Entry {
  readonly at: number;
  readonly order: number;
  fn: (() => void) | null;
}

const epoch = Date.UTC(2026, 0, 1);

export class Simulator implements Timers {
  now = 0;
  steps = 0;
  readonly #heap: Entry[] = [];
  readonly #digest = createHash('sha256');
  #order = 0;
  #busy = 0;

  after(ms: number, fn: () => void): Cancel {
    const entry: Entry = { at: this.now + Math.max(0, ms), order: this.#order++, fn };
    this.#push(entry);
    return () => {
      entry.fn = null;
    };
  }

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.after(ms, resolve));
  }

  /** `skew.ms` is how wrong the wall clock is; it may change at any time. */
  clock(skew: { readonly ms: number }): Clock {
    return { now: () => epoch + Math.floor(this.now) + skew.ms, monotonic: () => this.now };
  }

  /** The next timer fires only after this has settled. */
  async hold<T>(work: Promise<T>): Promise<T> {
    this.#busy++;
    try {
      return await work;
    } finally {
      this.#busy--;
    }
  }

  /** One line of the log; only its digest is kept. */
  note(line: string): void {
    this.#digest.update(`${this.now} ${line}\n`);
  }

  /** Of all lines so far. */
  digest(): string {
    return this.#digest.copy().digest('hex');
  }

  async run(forMs: number): Promise<void> {
    const until = this.now + forMs;
    await this.#settle();
    for (;;) {
      const next = this.#heap[0];
      if (next === undefined || next.at > until) break;
      this.#pop();
      if (next.fn === null) continue;
      this.now = next.at;
      this.steps++;
      next.fn();
      await this.#settle();
    }
    this.now = until;
  }

  async #settle(): Promise<void> {
    do await turn();
    while (this.#busy > 0);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    heap.push(entry);
    let at = heap.length - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!before(heap[at]!, heap[parent]!)) break;
      [heap[at], heap[parent]] = [heap[parent]!, heap[at]!];
      at = parent;
    }
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop()!;
    if (heap.length === 0) return;
    heap[0] = last;
    for (let at = 0; ; ) {
      let least = at;
      for (const child of [2 * at + 1, 2 * at + 2]) {
        if (child < heap.length && before(heap[child]!, heap[least]!)) least = child;
      }
      if (least === at) return;
      [heap[at], heap[least]] = [heap[least]!, heap[at]!];
      at = least;
    }
  }
}

function before(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** Numbers from a seed; independent streams come from `fork`, so that one more draw here changes nothing there. */
export class Seeded implements Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  fork(name: string): Seeded {
    return new Seeded(createHash('sha256').update(`${this.#state} ${name}`).digest().readUInt32LE());
  }

  fraction(): number {
    // mulberry32
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  bytes(n: number): Uint8Array {
    return Uint8Array.from({ length: n }, () => Math.floor(this.fraction() * 256));
  }

  uuid(): string {
    const hex = Buffer.from(this.bytes(16)).toString('hex');
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  }

  /** True with this probability. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  between(low: number, high: number): number {
    return low + this.fraction() * (high - low);
  }

  /** A whole number from 0 to n - 1. */
  below(n: number): number {
    return Math.floor(this.fraction() * n);
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[this.below(items.length)];
  }
}
