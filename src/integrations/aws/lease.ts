/**
 * One writer among several servers: a lease in the store.
 *
 * 1. Time is each server's own and never compared: the lease counts up, and who sees the same count for as long as it lasts takes it.
 * 2. A holder that could not renew it for half of that time holds it no more.
 */
import type { Clock } from '#core/ports.ts';
import type { Store, Tx } from '#store/port.ts';

const kind = '_lease';

interface Held {
  readonly holder: string;
  readonly count: number;
}

export class Lease {
  readonly #store: Store;
  readonly #clock: Pick<Clock, 'monotonic'>;
  readonly #name: string;
  readonly #holder: string;
  readonly #lastsMs: number;
  #seen: (Held & { readonly at: number }) | undefined;
  #renewed: number | undefined;

  constructor(options: {
    readonly store: Store;
    readonly clock: Pick<Clock, 'monotonic'>;
    readonly name: string;
    /** Different for each process. */
    readonly holder: string;
    readonly lastsMs: number;
  }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#name = options.name;
    this.#holder = options.holder;
    this.#lastsMs = options.lastsMs;
  }

  get held(): boolean {
    return this.#renewed !== undefined && this.#clock.monotonic() - this.#renewed < this.#lastsMs / 2;
  }

  /** Whose it is, as last seen. */
  get holder(): string | null {
    return this.#seen?.holder ?? null;
  }

  /** Takes it when it is free, renews it when it is ours. */
  async renew(): Promise<boolean> {
    const begun = this.#clock.monotonic();
    const got = await this.#store.transaction('lease', (tx) => {
      const now = tx.get(kind, this.#name) as Held | undefined;
      if (now !== undefined && now.holder !== this.#holder && !this.#expired(now)) return now;
      const next = { holder: this.#holder, count: (now?.count ?? 0) + 1 };
      tx.put(kind, this.#name, next);
      return next;
    });
    if (this.#seen?.count !== got.count || this.#seen.holder !== got.holder)
      this.#seen = { ...got, at: begun };
    this.#renewed = got.holder === this.#holder ? begun : undefined;
    return this.held;
  }

  /** Throws when somebody else has taken it. For transactions that only the holder may make. */
  check(tx: Tx): void {
    const now = tx.get(kind, this.#name) as Held | undefined;
    if (now?.holder !== this.#holder) throw new LeaseLost();
  }

  /** Ours as before, but nothing more is to be written. */
  suspend(): void {
    this.#renewed = undefined;
  }

  /** So that the next one need not wait. */
  async release(): Promise<void> {
    this.#renewed = undefined;
    await this.#store.transaction('lease', (tx) => {
      const now = tx.get(kind, this.#name) as Held | undefined;
      if (now?.holder === this.#holder) tx.delete(kind, this.#name);
    });
  }

  #expired({ holder, count }: Held): boolean {
    const seen = this.#seen;
    return (
      seen !== undefined &&
      seen.holder === holder &&
      seen.count === count &&
      this.#clock.monotonic() - seen.at >= this.#lastsMs
    );
  }
}

export class LeaseLost extends Error {
  constructor() {
    super('another server has taken the lease');
    this.name = 'LeaseLost';
  }
}
