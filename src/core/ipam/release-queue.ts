/** The released ids of one block, longest idle first. */

import { type IdRange, rangeOf } from './ranges.ts';
import type { Placed } from './types.ts';

export interface ReleasedId {
  readonly placed: Placed;
  readonly releasedAt: number;
  readonly seq: number;
  /** Of the last owner; empty when it is not known. */
  readonly key: string;
}

/**
 * An array with a moving head. An id taken out of the middle (claimed by a fixed address) leaves its entry behind, which is passed
 * over later; `#live` says which entry of an id counts. A Map alone will not do: its iterator steps over every deleted head again.
 */
export class ReleaseQueue {
  #entries: ReleasedId[] = [];
  #head = 0;
  readonly #live = new Map<number, ReleasedId>();

  get size(): number {
    return this.#live.size;
  }

  get(endpointId: number): ReleasedId | undefined {
    return this.#live.get(endpointId);
  }

  add(entry: ReleasedId): void {
    this.#live.set(entry.placed.endpointId, entry);
    const entries = this.#entries;
    entries.push(entry);
    // Usually in order already; an earlier time (a clock set back) moves forward to its place.
    for (let i = entries.length - 1; i > this.#head && entries[i - 1]!.releasedAt > entry.releasedAt; i--) {
      entries[i] = entries[i - 1]!;
      entries[i - 1] = entry;
    }
    if (entries.length > 2 * this.#live.size + 32) this.#compact();
  }

  delete(endpointId: number): void {
    this.#live.delete(endpointId);
  }

  oldest(without: readonly IdRange[]): { endpointId: number; releasedAt: number } | undefined {
    const entries = this.#entries;
    while (this.#head < entries.length && !this.#counts(entries[this.#head]!)) this.#head++;
    for (let i = this.#head; i < entries.length; i++) {
      const entry = entries[i]!;
      const { endpointId } = entry.placed;
      if (this.#counts(entry) && rangeOf(without, endpointId) === undefined) {
        return { endpointId, releasedAt: entry.releasedAt };
      }
    }
    return undefined;
  }

  list(): ReleasedId[] {
    this.#compact();
    return [...this.#entries];
  }

  clamp(now: number): void {
    this.#compact();
    this.#entries = this.#entries.map((entry) => {
      if (entry.releasedAt <= now) return entry;
      const clamped = { ...entry, releasedAt: now };
      this.#live.set(entry.placed.endpointId, clamped);
      return clamped;
    });
  }

  #counts(entry: ReleasedId): boolean {
    return this.#live.get(entry.placed.endpointId) === entry;
  }

  #compact(): void {
    this.#entries = this.#entries.filter((entry) => this.#counts(entry));
    this.#head = 0;
  }
}
