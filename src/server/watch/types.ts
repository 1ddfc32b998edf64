/** What the watch hub takes and gives. */
import type { WatchEvent } from '#contract/watch.ts';
import type { Cancel, Clock, Timers } from '#core/ports.ts';
import type { Position, Store } from '#store/port.ts';

/** One subscriber's connection. The hub never sends more after `send` answered false until `drained` calls back. */
export interface Sink {
  /** False: taken, but the buffer is full now. */
  send(event: WatchEvent): boolean;
  /** Calls back once, when the buffer has room again. */
  drained(callback: () => void): void;
  /** The hub is done with this subscriber; it sends nothing more. */
  close(): void;
}

/** `host`: an agent, which sees endpoints of its own host only. Null: sees everything. */
export interface WatchFilter {
  readonly host: string | null;
}

export interface WatchHubOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  /** Milliseconds between heartbeats; default 10,000. */
  readonly heartbeatMs?: number;
  /** A sink that stays full this long is told `behind` and closed; default 30,000. */
  readonly stallMs?: number;
}

/** The shape of class WatchHub (hub.ts). */
export interface WatchSource {
  /** The returned function ends the subscription; the hub then neither sends nor closes. */
  subscribe(filter: WatchFilter, since: Position | null, sink: Sink): Cancel;
  /** Live subscriptions. */
  readonly size: number;
  /** Ends all subscriptions and closes their sinks. */
  close(): void;
}
