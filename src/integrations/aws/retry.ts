/** Waiting and trying again where that helps, with full jitter, so that many who were refused at once do not come back at once. */
import type { Random, Timers } from '#core/ports.ts';
import { CloudFailure } from './api.ts';

export interface Patience {
  readonly attempts: number;
  readonly firstMs: number;
  readonly longestMs: number;
}
export const patience: Patience = { attempts: 6, firstMs: 200, longestMs: 5_000 };

/** Calls made since the start. */
export class CallCounts {
  calls = 0;
  throttled = 0;
  failed = 0;
}

export interface RetryWorld {
  readonly timers: Timers;
  readonly random: Pick<Random, 'fraction'>;
  readonly patience: Patience;
  readonly counts: CallCounts;
  /** Nothing is tried again any more. */
  readonly stopped: () => boolean;
}

/** The last failure is thrown. What asks again must bear to be done twice. */
export async function retried<T>(world: RetryWorld, call: () => Promise<T>): Promise<T> {
  const { timers, random, counts, patience: terms } = world;
  for (let attempt = 1; ; attempt++) {
    counts.calls += 1;
    try {
      return await call();
    } catch (error) {
      if (error instanceof CloudFailure && error.kind === 'throttled') counts.throttled += 1;
      const again =
        error instanceof CloudFailure && (error.kind === 'throttled' || error.kind === 'unreachable');
      if (!again || attempt >= terms.attempts || world.stopped()) {
        if (!(error instanceof CloudFailure) || !['exists', 'missing'].includes(error.kind))
          counts.failed += 1;
        throw error;
      }
      const longest = Math.min(terms.longestMs, terms.firstMs * 2 ** (attempt - 1));
      await new Promise<void>((resolve) => {
        timers.after(random.fraction() * longest, resolve);
      });
    }
  }
}
