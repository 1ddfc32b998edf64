/**
 * Gives back what leaked: asks the sources of truth what lives, lets core/ipam judge, looks again, and releases.
 *
 * 1. What is held is read before the first source is asked: an allocation made meanwhile is not judged by what was seen before it.
 * 2. A source that fails says nothing. Nothing is released on the strength of one round.
 * 3. Immediately before a release the sources are asked once more, and the release is fenced by uid and number: the endpoint may have
 *    come back, and the name may belong to a new one.
 * 4. Suspicions live in memory: a restart of the server begins every grace anew.
 */
import { absent, type Held, type Observed, reclaimRound, type Suspects } from '#core/ipam/index.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import type { Store, Tx } from '#store/port.ts';
import type { Comparison } from './services/comparison.ts';

/** Something that knows which endpoints live: a kernel, an orchestrator. It rejects rather than to answer in part. */
export interface LivenessSource {
  readonly name: string;
  /** One answer for each host that it could look at. */
  observe(): Promise<readonly Observed[]>;
}

export interface ReclaimOptions {
  readonly store: Store;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  readonly log: Log;
  readonly sources: readonly LivenessSource[];
  /** Answers why not, or undefined when it is released. */
  readonly release: (tx: Tx, leak: Held) => string | undefined;
  readonly graceMs?: number;
  readonly everyMs?: number;
}

/** An endpoint on record is wanted, whatever a kernel says: leaks are allocations that no endpoint stands for. */
export function recordedEndpoints(store: Store): LivenessSource {
  return {
    name: 'records',
    observe: async () => {
      const held = store.read((tx) => tx.heldAllocations());
      const live = Map.groupBy(
        held.filter(({ recorded }) => recorded),
        ({ host }) => host,
      );
      return [...new Set(held.map(({ host }) => host))].map((host) => ({
        host,
        live: (live.get(host) ?? []).map(({ key, uid }) => ({ key, uid })),
      }));
    },
  };
}

/**
 * What agents hold and have wired lives, whether it is on record or not. This only keeps: with no endpoint on record and none on its
 * host, it is a leak; what is on record is never one. Of hosts that are away it says nothing, and the records alone decide.
 */
export function reportedEndpoints(store: Store, comparison: Comparison): LivenessSource {
  return {
    name: 'agents',
    observe: async () => store.read((tx) => comparison.observe(tx, tx.heldAllocations())),
  };
}

export class ReclaimLoop {
  readonly #options: Required<ReclaimOptions>;
  #suspects: Suspects = new Map();
  #reclaimed = 0;
  #stopped = false;
  #cancel: Cancel = () => undefined;

  constructor(options: ReclaimOptions) {
    this.#options = { graceMs: 5 * 60_000, everyMs: 5 * 60_000, ...options };
  }

  /** Suspected allocations, not yet released. Above zero for longer than the grace: something does not answer. */
  get candidates(): number {
    return this.#suspects.size;
  }

  get reclaimed(): number {
    return this.#reclaimed;
  }

  start(): void {
    if (this.#stopped) return;
    const { timers, everyMs, log } = this.#options;
    this.#cancel = timers.after(everyMs, () => {
      this.round()
        .catch((error: unknown) => log.error({ error }, 'leaked addresses could not be looked for'))
        .finally(() => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** One look at everything; answers the keys that were released. */
  async round(): Promise<string[]> {
    const { store, clock, graceMs, log } = this.#options;
    const held = store.read((tx) => tx.heldAllocations());
    const observed = await this.#observe();
    const { suspects, due } = reclaimRound(this.#suspects, {
      held,
      observed,
      now: clock.monotonic(),
      graceMs,
    });
    this.#suspects = suspects;
    if (due.length === 0 || this.#stopped) return [];
    const again = await this.#observe();
    const released: string[] = [];
    for (const leak of due) {
      if (absent(leak, again) !== true || this.#stopped) continue;
      const reason = await store.transaction('reclaim', (tx) => this.#options.release(tx, leak));
      const { key, uid, seq, host } = leak;
      if (reason === undefined) {
        released.push(key);
        log.warn({ endpoint: key, uid, seq, host }, 'a leaked allocation was released');
      } else log.info({ endpoint: key, uid, seq, host, reason }, 'a suspected leak was none');
    }
    this.#reclaimed += released.length;
    const gone = new Set(released);
    this.#suspects = new Map(
      [...this.#suspects].filter(([name]) => !gone.has(name.slice(name.indexOf(' ') + 1))),
    );
    return released;
  }

  /** A host counts as looked at only if every source that knows hosts answered. */
  async #observe(): Promise<Observed[]> {
    const answers = await Promise.allSettled(this.#options.sources.map((source) => source.observe()));
    const failed = answers.flatMap((answer, index) =>
      answer.status === 'rejected' ? [this.#options.sources[index]?.name] : [],
    );
    if (failed.length > 0) {
      this.#options.log.warn({ sources: failed }, 'not every source says what lives; nothing is judged');
      return [];
    }
    return answers.flatMap((answer) => (answer.status === 'fulfilled' ? [...answer.value] : []));
  }
}
