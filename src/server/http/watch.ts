/**
 * The watch stream over HTTP. The hub decides what is sent; here it becomes text on a connection.
 *
 * Who follows is asked again at every heartbeat and at most a second before anything else is sent: a revoked token or a deleted
 * host does not go on reading.
 */
import type { ServerResponse } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isRecord } from '#contract/shape.ts';
import { watchPath } from '#contract/watch.ts';
import { encodeWatchEvent, parsePosition } from '#contract/watch-text.ts';
import { RomanaError } from '#core/errors.ts';
import type { Clock } from '#core/ports.ts';
import type { Session } from '../auth/auth.ts';
import type { Sink, WatchSource } from '../watch/types.ts';

export interface WatchRouteDeps {
  readonly hub: WatchSource;
  /** Throws when the credentials do not hold any more. */
  readonly authenticate: (request: FastifyRequest) => Session;
  readonly clock: Pick<Clock, 'monotonic'>;
}

const trustMs = 1_000;

function sinkOf(
  raw: ServerResponse,
  clock: Pick<Clock, 'monotonic'>,
  stillAllowed: () => boolean,
  cancel: () => void,
): Sink {
  let asked = clock.monotonic();
  return {
    send(event) {
      const now = clock.monotonic();
      if (event.type === 'position' || now - asked >= trustMs) {
        if (!stillAllowed()) {
          cancel();
          raw.end();
          return true;
        }
        asked = now;
      }
      return raw.write(encodeWatchEvent(event));
    },
    drained(callback) {
      raw.once('drain', callback);
    },
    close() {
      raw.end();
    },
  };
}

function sinceOf(request: FastifyRequest): string | undefined {
  const { query } = request;
  const fields = isRecord(query) ? query : {};
  const unknown = Object.keys(fields).find((field) => field !== 'since');
  if (unknown !== undefined) throw new RomanaError('input_invalid', `unknown field ${unknown}`);
  // a browser's EventSource repeats the address it was opened with: the header is the newer one
  const text = request.headers['last-event-id'] ?? fields['since'];
  if (text === undefined || text === '') return undefined;
  if (typeof text !== 'string') throw new RomanaError('input_invalid', 'since is given twice');
  return text;
}

export function addWatchRoute(app: FastifyInstance, deps: WatchRouteDeps): void {
  app.get(watchPath, (request, reply) => {
    const session = deps.authenticate(request);
    const { caller } = session;
    if (caller.kind === 'anonymous')
      throw new RomanaError(
        'unauthenticated',
        'Send a token (Authorization: Bearer …) or a client certificate.',
      );
    const text = sinceOf(request);
    const since = text === undefined ? null : parsePosition(text);
    reply.hijack();
    const { raw } = reply;
    raw.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
    raw.flushHeaders();
    let over = false;
    let unsubscribe: (() => void) | null = null;
    const cancel = (): void => {
      over = true;
      unsubscribe?.();
    };
    const stillAllowed = (): boolean => {
      try {
        const { caller: now } = deps.authenticate(request);
        return now.kind === caller.kind && now.name === caller.name;
      } catch {
        return false;
      }
    };
    raw.once('close', cancel);
    raw.on('error', cancel);
    unsubscribe = deps.hub.subscribe(
      { host: caller.kind === 'host' ? caller.name : null },
      since,
      sinkOf(raw, deps.clock, stillAllowed, cancel),
    );
    // the subscriber may be gone before the hub had returned
    if (over) unsubscribe();
  });
}
