/** Calls to a daemon that may not answer: one at a time, and what takes too long counts as no answer. */
import type { Problem } from '#contract/model.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Cancel, Timers } from '#core/ports.ts';
import { notUp, type Speaker } from '../speaker.ts';

/** A daemon that has not answered by then is down. */
const patienceMs = 15_000;

export class Calls {
  readonly #timers: Timers;
  /** A call that took too long and has not ended. */
  #hanging = false;

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  /** Begins nothing while an earlier call hangs. */
  async limited<T>(work: () => Promise<T>): Promise<T> {
    if (this.#hanging) throw tooSlow();
    let cancel: Cancel = () => undefined;
    const limit = new Promise<never>((_, reject) => {
      cancel = this.#timers.after(patienceMs, () => {
        this.#hanging = true;
        reject(tooSlow());
      });
    });
    const ended = work().finally(() => {
      this.#hanging = false;
    });
    try {
      return await Promise.race([ended, limit]);
    } finally {
      cancel();
    }
  }
}

function tooSlow(): RomanaError {
  return new RomanaError(
    'speaker_unavailable',
    `The BGP daemon has not answered for ${patienceMs / 1000} seconds; what it did last stays in force.`,
  );
}

/** Stands for a driver that there is none of. */
export function unfitSpeaker(error: unknown): Speaker {
  const { message } = problemOf(error);
  return {
    capabilities: {
      fib: true,
      keepsRoutes: true,
      bfd: false,
      unnumbered: false,
      passwords: false,
      ttlSecurity: false,
    },
    apply: () => Promise.reject(error instanceof Error ? error : new Error(message)),
    withdraw: () => Promise.resolve(),
    status: () => Promise.resolve(notUp('unfit', null, message)),
  };
}

export function problemOf(error: unknown): Problem {
  return isRomanaError(error)
    ? { code: error.code, message: error.message }
    : { code: 'internal', message: error instanceof Error ? error.message : String(error) };
}
