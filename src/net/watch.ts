/** Follows the watch stream for as long as it is not stopped. Loop with injected stream, clock, timers and randomness; see README.md. */

import type { Position } from '#contract/model.ts';
import { type WatchEvent, watchPath } from '#contract/watch.ts';
import { createWatchParser, formatPosition } from '#contract/watch-text.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Random, Timers } from '#core/ports.ts';

export interface StreamSink {
  chunk(text: string): void;
  /** Once, when the stream is over: null when the server ended it in good order. Not after the stream was cancelled. */
  end(error: RomanaError | null): void;
}
/** Opens `path` and pushes what comes. Never calls the sink before it has returned. */
export type OpenStream = (path: string, sink: StreamSink) => Cancel;

/** Everything but `behind`, which the loop answers by itself. */
export type FollowedEvent = Exclude<WatchEvent, { type: 'behind' }>;

export interface WatchOptions {
  readonly open: OpenStream;
  /** Where to go on; null: begin with a snapshot. */
  readonly since: Position | null;
  /** After `snapshot` everything known is void until `synced`. A throw counts as a malformed event: a new snapshot follows. */
  readonly onEvent: (event: FollowedEvent) => void;
  /** The stream is down; it is tried again. For messages and status, not for decisions. */
  readonly onDown?: (error: RomanaError) => void;
  readonly timers: Timers;
  readonly random: Random;
  readonly clock: Clock;
  readonly silenceMs?: number;
  readonly minDelayMs?: number;
  readonly maxDelayMs?: number;
  /** Characters of one event. */
  readonly maxEvent?: number;
}

export function watch(options: WatchOptions): Cancel {
  const { open, onEvent, timers, random, clock } = options;
  const silenceMs = options.silenceMs ?? 25_000;
  const minDelayMs = options.minDelayMs ?? 250;
  const maxDelayMs = options.maxDelayMs ?? 15_000;
  const maxEvent = options.maxEvent ?? 8 * 1024 * 1024;
  let position = options.since;
  let failures = 0;
  let stopped = false;
  /** Ends the present attempt or waiting; replaced at every step. */
  let cancel: Cancel = () => undefined;

  const handle = (event: FollowedEvent): void => {
    if (event.type === 'snapshot') position = null;
    if (event.type === 'synced' || event.type === 'position') {
      const { position: next } = event;
      if (position !== null && event.type === 'position') {
        if (position.incarnation !== next.incarnation || next.revision < position.revision) {
          throw new RomanaError('internal', 'The watch stream went back in time.');
        }
      }
      onEvent(event);
      // a position in the middle of a snapshot would make us believe that the rest was seen
      if (position !== null || event.type === 'synced') position = next;
      failures = 0;
      return;
    }
    onEvent(event);
  };

  const later = (error: RomanaError): void => {
    const ceiling = Math.min(maxDelayMs, minDelayMs * 2 ** Math.min(failures, 20));
    failures += 1;
    cancel = timers.after(ceiling * (0.5 + random.fraction() / 2), attempt);
    options.onDown?.(error);
  };

  const attempt = (): void => {
    let over = false;
    let lastByte = clock.monotonic();
    let closeStream: Cancel = () => undefined;
    let cancelSilence: Cancel = () => undefined;
    const finish = (): void => {
      over = true;
      cancelSilence();
      closeStream();
    };
    const fail = (error: RomanaError): void => {
      if (over) return;
      finish();
      if (!stopped) later(error);
    };
    const listen = (ms: number): void => {
      cancelSilence = timers.after(ms, () => {
        const rest = lastByte + silenceMs - clock.monotonic();
        if (rest > 0) listen(rest);
        else fail(new RomanaError('timeout', `The watch stream was silent for ${silenceMs} ms.`));
      });
    };
    const push = createWatchParser(maxEvent, (event) => {
      if (over) return;
      if (event.type === 'behind') {
        fail(
          new RomanaError('unavailable', 'The server dropped the watch stream because this side was slow.'),
        );
      } else handle(event);
    });
    cancel = finish;
    listen(silenceMs);
    closeStream = open(
      position === null ? watchPath : `${watchPath}?since=${encodeURIComponent(formatPosition(position))}`,
      {
        chunk: (text) => {
          if (over) return;
          lastByte = clock.monotonic();
          try {
            push(text);
          } catch (error) {
            position = null;
            fail(
              isRomanaError(error)
                ? error
                : new RomanaError('internal', 'A watch event could not be taken in.', { cause: error }),
            );
          }
        },
        end: (error) => fail(error ?? new RomanaError('unavailable', 'The server ended the watch stream.')),
      },
    );
  };

  attempt();
  return () => {
    stopped = true;
    cancel();
  };
}
