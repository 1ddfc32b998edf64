/**
 * Gives out addresses on one host without asking anybody: the decisions of core/ipam, made durable by the journal.
 *
 * Requests that come while a write is under way wait and are then decided together, one after the other, each seeing those before it;
 * their events go to the disk in one write, and only then are they answered. So there are two states: `#durable` is what the journal
 * holds, and answers come from it alone; `#ahead` is that plus the batch being decided. When the write fails, `#ahead` is made anew from
 * `#durable`, and only requests that need no event are answered.
 *
 * Time is the wall clock at the start plus what the monotonic clock has counted since: a wall clock that jumps shortens no quarantine.
 */

import { RomanaError } from '#core/errors.ts';
import {
  type Allocation,
  type BlockUsage,
  decideAllocate,
  decideRelease,
  ImpossibleEvent,
  type IpamEvent,
  type IpamNetwork,
  MemoryIpam,
  type Slot,
  segmentOf,
  type Wanted,
} from '#core/ipam/index.ts';
import type { Clock, Log, Random } from '#core/ports.ts';
import { Journal, type JournalFs, type JournalRecord, type Json, type Recovered } from './journal/index.ts';
import { type Recorded, rebuild } from './rebuild.ts';

export interface AllocatorOptions {
  readonly dir: string;
  readonly networks: Iterable<IpamNetwork>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly fs?: JournalFs;
}

export interface Held {
  readonly allocation: Allocation;
  /** What the caller gave with the request that made the allocation. */
  readonly payload: Json;
}

interface Decided<T> {
  readonly events: readonly IpamEvent[];
  /** What the journal keeps beside the events. */
  readonly payload: Json;
  /** Called when the events are durable, in the order of the decisions: applies them and answers. */
  readonly commit: () => T;
}

interface Request {
  readonly decide: (state: MemoryIpam) => Decided<unknown>;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** A request with its decision, or with the reason why it is refused. */
type Outcome = { readonly decided: Decided<unknown> } | { readonly refused: unknown };

export class LocalAllocator {
  readonly recovered: Recovered;
  readonly #journal: Journal;
  readonly #log: Log;
  readonly #random: Random;
  readonly #now: () => number;
  readonly #networks = new Map<string, IpamNetwork>();
  /** Endpoints whose release the journal holds, as far as it was not compacted. */
  readonly #released = new Set<string>();
  #payloads = new Map<string, Json>();
  #opened = 0;
  #durable = new MemoryIpam();
  #ahead = new MemoryIpam();
  #waiting: Request[] = [];
  #busy: Promise<void> | undefined;
  #closed = false;

  private constructor(journal: Journal, recovered: Recovered, options: AllocatorOptions, now: () => number) {
    this.#journal = journal;
    this.recovered = recovered;
    this.#log = options.log;
    this.#random = options.random;
    this.#now = now;
  }

  /** Throws store_busy, store_corrupt. When `recovered` is 'fresh', rebuild the state from elsewhere before answering anybody. */
  static async open(options: AllocatorOptions): Promise<LocalAllocator> {
    const { clock, random, fs } = options;
    const start = clock.now() - clock.monotonic();
    const now = (): number => start + clock.monotonic();
    const { dir } = options;
    const opened = await Journal.open(dir, fs === undefined ? { random } : { random, fs });
    try {
      const allocator = new LocalAllocator(opened.journal, opened.recovered, options, now);
      for (const network of options.networks) allocator.setNetwork(network);
      allocator.#load(opened.records, dir);
      return allocator;
    } catch (error) {
      await opened.journal.close();
      throw error;
    }
  }

  /** Changes when the journal was lost: what older generations reported is void. */
  get generation(): string {
    return this.#journal.generation;
  }

  /** The last allocation that is durable. */
  get seq(): number {
    return this.#durable.nextSeq() - 1;
  }

  /** The last allocation when the journal was opened: an old copy is older than what it had come to, whatever it did since. */
  get opened(): number {
    return this.#opened;
  }

  setNetwork(network: IpamNetwork): void {
    this.#networks.set(network.name, network);
    this.#durable.setNetwork(network);
    this.#ahead.setNetwork(network);
  }

  removeNetwork(name: string): void {
    this.#networks.delete(name);
    this.#durable.removeNetwork(name);
    this.#ahead.removeNetwork(name);
  }

  /**
   * Answers once the allocation is durable; the same question again gets the same answer, with the payload of the first. `stands` throws
   * when what was asked for no longer may be given out; it is called at the moment of the decision, from which on `claims` has it.
   */
  allocate(wanted: Wanted, payload: Json, stands: () => void = () => undefined): Promise<Held> {
    // Made once, so that a request decided again after a failed write is still the same incarnation.
    const uid = this.#random.uuid();
    return this.#ask((state) => {
      stands();
      const question = { ...wanted, slots: wanted.slots.map((slot) => withBarred(state, slot, wanted.key)) };
      const { allocation, events } = decideAllocate(state, question, uid, this.#now());
      const commit = (): Held => {
        for (const event of events) this.#durable.apply(event);
        if (events.length > 0) this.#payloads.set(wanted.key, payload);
        return { allocation, payload: this.#payloads.get(wanted.key) ?? null };
      };
      return { events, payload, commit };
    });
  }

  /** Answers once it is durable: with what was released, or undefined when nothing of this name, uid and seq is held (any more). */
  release(
    key: string,
    expected: { readonly uid?: string; readonly seq?: number },
  ): Promise<Held | undefined> {
    return this.#ask((state) => {
      const events = decideRelease(state, key, expected, this.#now());
      const commit = (): Held | undefined => {
        const held = events.length === 0 ? undefined : this.get(key);
        for (const event of events) this.#durable.apply(event);
        if (held !== undefined) {
          this.#payloads.delete(key);
          this.#released.add(held.allocation.uid);
        }
        return held;
      };
      return { events, payload: null, commit };
    });
  }

  /**
   * Writes a journal of a new generation that holds what is recorded of this host, see rebuild.ts. Requests under way are done before it,
   * later ones after it. When it rejects, everything is as before.
   */
  async rebuild(recorded: readonly Recorded[]): Promise<void> {
    while (this.#busy !== undefined) await this.#busy;
    if (this.#closed) throw new RomanaError('unavailable', 'The agent is stopping.');
    const work = this.#rebuild(recorded);
    this.#busy = work.catch(() => undefined).then(() => this.#work());
    await work;
  }

  /** Only what is durable. */
  get(key: string): Held | undefined {
    const allocation = this.#durable.byKey(key);
    return allocation && { allocation, payload: this.#payloads.get(key) ?? null };
  }

  /** All that is held and durable, oldest first. */
  list(): Held[] {
    return this.#durable
      .list()
      .map((allocation) => ({ allocation, payload: this.#payloads.get(allocation.key) ?? null }));
  }

  /** All that may be held: what is durable, and what is decided and on its way to the disk. */
  claims(): Allocation[] {
    return [...this.#durable.list(), ...this.#ahead.list()];
  }

  usage(): BlockUsage[] {
    return this.#durable.usage();
  }

  /** Waits for the requests made so far; later ones are refused. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#busy;
    await this.#journal.close();
  }

  #ask<T>(decide: (state: MemoryIpam) => Decided<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new RomanaError('unavailable', 'The agent is stopping.'));
    const answer = new Promise<T>((resolve, reject) => {
      this.#waiting.push({ decide, resolve: resolve as (value: unknown) => void, reject });
    });
    this.#busy ??= this.#work();
    return answer;
  }

  async #work(): Promise<void> {
    // One turn later, so that requests made together share the first write too.
    await Promise.resolve();
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      await this.#serve(batch);
      await this.#compact();
    }
    this.#busy = undefined;
  }

  async #serve(batch: readonly Request[]): Promise<void> {
    let outcomes = batch.map((request) => this.#decide(request));
    const records = outcomes.flatMap((outcome) => ('refused' in outcome ? [] : recordsOf(outcome.decided)));
    if (records.length > 0) {
      try {
        await this.#journal.append(records);
      } catch (error) {
        outcomes = this.#decideAgain(batch, error);
      }
    }
    outcomes.forEach((outcome, index) => {
      const request = batch[index]!;
      if ('refused' in outcome) request.reject(outcome.refused);
      else request.resolve(outcome.decided.commit());
    });
  }

  #decide(request: Request): Outcome {
    try {
      const decided = request.decide(this.#ahead);
      for (const event of decided.events) this.#ahead.apply(event);
      return { decided };
    } catch (error) {
      return { refused: error };
    }
  }

  /** After a failed write: whatever needs an event is refused, the rest is answered from what is durable. */
  #decideAgain(batch: readonly Request[], failure: unknown): Outcome[] {
    this.#ahead = new MemoryIpam(this.#networks.values());
    for (const event of this.#durable.snapshot()) this.#ahead.apply(event);
    return batch.map((request) => {
      try {
        const decided = request.decide(this.#ahead);
        return decided.events.length === 0 ? { decided } : { refused: failure };
      } catch (error) {
        return { refused: error };
      }
    });
  }

  async #rebuild(recorded: readonly Recorded[]): Promise<void> {
    const old = {
      state: this.#durable,
      payloads: this.#payloads,
      released: this.#released,
      opened: this.#opened,
    };
    const { state, payloads } = rebuild(old, recorded, this.#networks, this.#now());
    await this.#journal.compact(recordsIn(state, payloads), this.#random.uuid());
    // They may have changed while it was written.
    for (const network of this.#networks.values()) state.setNetwork(network);
    this.#durable = state;
    this.#payloads = payloads;
    this.#ahead = new MemoryIpam(this.#networks.values());
    for (const event of state.snapshot()) this.#ahead.apply(event);
  }

  async #compact(): Promise<void> {
    if (!this.#journal.shouldCompact) return;
    try {
      await this.#journal.compact(recordsIn(this.#durable, this.#payloads));
      this.#released.clear();
    } catch (error) {
      // The journal still has all it had, or refuses appends from now on; nobody waits for this.
      this.#log.warn({ error }, 'the allocation journal could not be compacted');
    }
  }

  #load(records: readonly JournalRecord[], dir: string): void {
    try {
      for (const { event, payload } of records) {
        this.#durable.apply(event);
        if (event.type === 'allocated') this.#payloads.set(event.allocation.key, payload);
        else {
          this.#payloads.delete(event.key);
          if (event.uid !== '') this.#released.add(event.uid);
        }
      }
    } catch (error) {
      if (!(error instanceof ImpossibleEvent)) throw error;
      throw new RomanaError('store_corrupt', `The journal in ${dir} contradicts itself: ${error.message}.`, {
        details: { dir },
        cause: error,
      });
    }
    this.#opened = this.seq;
    this.#durable.clampReleases(this.#now());
    for (const event of this.#durable.snapshot()) this.#ahead.apply(event);
  }
}

/**
 * A shared address of another segment may still be known as its own somewhere, and only the control plane can tell. So it is given again
 * to the same segment alone.
 */
function withBarred(state: MemoryIpam, slot: Slot, key: string): Slot {
  if (slot.tenantId !== 0) return slot;
  const barred = slot.hostIds.flatMap((id) => state.releasedByOthers(slot.network, id, segmentOf(key)));
  return barred.length === 0 ? slot : { ...slot, barred };
}

/** What a journal of this state holds. */
function recordsIn(state: MemoryIpam, payloads: ReadonlyMap<string, Json>): JournalRecord[] {
  return state.snapshot().map((event) => ({
    event,
    payload: event.type === 'allocated' ? (payloads.get(event.allocation.key) ?? null) : null,
  }));
}

function recordsOf(decided: Decided<unknown>): JournalRecord[] {
  return decided.events.map((event) => ({ event, payload: decided.payload }));
}
