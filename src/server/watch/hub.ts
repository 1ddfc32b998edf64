/** Tells subscribers what changes. See ../README.md for the invariants (W…). */
import type { WatchEvent } from '#contract/watch.ts';
import type { Cancel, Timers } from '#core/ports.ts';
import type { Position, Store } from '#store/port.ts';
import { Feed } from './feed.ts';
import { type Stream, streamOf } from './stream.ts';
import type { Sink, WatchFilter, WatchHubOptions, WatchSource } from './types.ts';

export type { Sink, WatchFilter, WatchHubOptions, WatchSource } from './types.ts';

/** Events handed to one sink before the others get their turn. */
const turn = 1000;

export class WatchHub implements WatchSource {
  readonly #store: Store;
  readonly #timers: Timers;
  readonly #feed: Feed;
  readonly #heartbeatMs: number;
  readonly #stallMs: number;
  readonly #live = new Set<Subscription>();
  readonly #cancelCommits: Cancel;
  #cancelHeartbeat: Cancel;
  #cancelWake: Cancel | undefined;

  constructor(options: WatchHubOptions) {
    this.#store = options.store;
    this.#timers = options.timers;
    this.#heartbeatMs = options.heartbeatMs ?? 10_000;
    this.#stallMs = options.stallMs ?? 30_000;
    this.#feed = new Feed(options.store);
    this.#cancelCommits = options.store.onCommit(() => this.#wake());
    this.#cancelHeartbeat = this.#armHeartbeat();
  }

  get size(): number {
    return this.#live.size;
  }

  subscribe(filter: WatchFilter, since: Position | null, sink: Sink): Cancel {
    const stream = streamOf(this.#store, this.#feed, filter, since);
    const subscription = new Subscription(stream, sink, this.#timers, this.#stallMs, () =>
      this.#live.delete(subscription),
    );
    this.#live.add(subscription);
    subscription.resume();
    return () => subscription.end();
  }

  close(): void {
    this.#cancelCommits();
    this.#cancelHeartbeat();
    this.#cancelWake?.();
    for (const subscription of this.#live) subscription.drop();
  }

  /** Soon, not at once: commits that follow each other closely are told together. */
  #wake(): void {
    this.#cancelWake ??= this.#timers.after(2, () => {
      this.#cancelWake = undefined;
      for (const subscription of this.#live) subscription.pump();
    });
  }

  #armHeartbeat(): Cancel {
    return this.#timers.after(this.#heartbeatMs, () => {
      this.#cancelHeartbeat = this.#armHeartbeat();
      for (const subscription of this.#live) subscription.heartbeat();
    });
  }
}

class Subscription {
  readonly #stream: Stream;
  readonly #sink: Sink;
  readonly #timers: Timers;
  readonly #stallMs: number;
  readonly #onEnd: () => void;
  #ended = false;
  #full = false;
  #position: Extract<WatchEvent, { type: 'position' }> | undefined;
  /** The stall timer while the sink is full, the next turn while there is more to say. */
  #cancelTimer: Cancel | undefined;

  constructor(stream: Stream, sink: Sink, timers: Timers, stallMs: number, onEnd: () => void) {
    this.#stream = stream;
    this.#sink = sink;
    this.#timers = timers;
    this.#stallMs = stallMs;
    this.#onEnd = onEnd;
  }

  /** In a turn of its own: the caller of `subscribe` first gets its way to cancel. */
  resume(): void {
    this.#cancelTimer = this.#timers.after(0, () => {
      this.#cancelTimer = undefined;
      this.pump();
    });
  }

  /** Takes from the stream and gives to the sink until either has enough. */
  pump(): void {
    if (this.#ended || this.#full || this.#cancelTimer !== undefined) return;
    try {
      for (let sent = 0; sent < turn; sent++) {
        const { value: event, done } = this.#stream.next();
        if (done === true) {
          this.drop();
          return;
        }
        if (event === undefined) return;
        if (!this.#send(event)) return;
      }
    } catch {
      // The store is closing or failing; the subscriber comes back with its last position.
      this.drop();
      return;
    }
    this.resume();
  }

  /** Only where nothing is under way: a position in the middle of a batch would claim too much, and bytes flow there anyhow. */
  heartbeat(): void {
    if (this.#ended || this.#full || this.#cancelTimer !== undefined || this.#position === undefined) return;
    this.#send(this.#position);
  }

  /** The subscriber leaves. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#cancelTimer?.();
    this.#onEnd();
  }

  /** The hub lets the subscriber go. */
  drop(): void {
    if (this.#ended) return;
    this.end();
    this.#sink.close();
  }

  #send(event: WatchEvent): boolean {
    if (event.type === 'synced' || event.type === 'position') {
      this.#position = { type: 'position', position: event.position };
    }
    if (this.#sink.send(event)) return true;
    if (this.#ended) return false;
    this.#full = true;
    this.#cancelTimer = this.#timers.after(this.#stallMs, () => {
      this.#sink.send({ type: 'behind' });
      this.drop();
    });
    this.#sink.drained(() => {
      if (this.#ended || !this.#full) return;
      this.#full = false;
      this.#cancelTimer?.();
      this.#cancelTimer = undefined;
      this.pump();
    });
    return false;
  }
}
