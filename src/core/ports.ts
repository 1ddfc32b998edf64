/**
 * What the loops of server and agent need from the world, as types only. They take these as parameters so that a simulator can
 * run the same loops from a seed. Nothing in src/core calls them.
 */

export interface Clock {
  /** Milliseconds since the epoch; may jump either way. For records and messages, never for intervals. */
  now(): number;
  /** Milliseconds from an unknown origin; never goes back. For intervals and time limits. */
  monotonic(): number;
}

/** Calling it twice, or after the timer has fired, does nothing. */
export type Cancel = () => void;

export interface Timers {
  /** Calls `fn` once, not sooner than `ms` from now and never before `after` has returned. */
  after(ms: number, fn: () => void): Cancel;
}

export interface Random {
  bytes(n: number): Uint8Array;
  uuid(): string;
  /** Uniform in [0, 1). */
  fraction(): number;
}

/** Fields first, as in pino. Fields never hold secrets. */
export interface Log {
  debug(fields: Record<string, unknown>, message: string): void;
  info(fields: Record<string, unknown>, message: string): void;
  warn(fields: Record<string, unknown>, message: string): void;
  error(fields: Record<string, unknown>, message: string): void;
}
