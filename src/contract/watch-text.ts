/**
 * The watch stream as text: positions and server-sent events, both ways. Pure; server and clients share it.
 *
 * 1. What `encodeWatchEvent` writes, `createWatchParser` reads back to an equal event, however the text is cut into chunks.
 * 2. The parser holds at most one frame of `maxFrame` characters; more is an error, not memory.
 * 3. Event types and kinds of a later version are skipped; a known one with a wrong shape is an error.
 */
import { RomanaError } from '#core/errors.ts';
import type { Position } from './model.ts';
import { isRecord } from './shape.ts';
import type { Kind, WatchEvent } from './watch.ts';

const kindSet: Readonly<Record<Kind, true>> = {
  network: true,
  topology: true,
  host: true,
  tenant: true,
  segment: true,
  endpoint: true,
  sharedpeer: true,
};

function isKind(text: string): text is Kind {
  return Object.hasOwn(kindSet, text);
}

function objectEvent(kind: Kind, key: string, value: unknown): WatchEvent {
  const event: { type: 'object'; kind: Kind; key: string; value: unknown } = {
    type: 'object',
    kind,
    key,
    value,
  };
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the wire is trusted up to here, see above
  return event as WatchEvent;
}

export function formatPosition(position: Position): string {
  return `${position.incarnation}:${position.revision}`;
}

/** Throws `input_invalid` unless the text is `INCARNATION:REVISION`. */
export function parsePosition(text: string): Position {
  const match = /^([-A-Za-z0-9_.]{1,64}):(0|[1-9][0-9]{0,15})$/.exec(text);
  const revision = Number(match?.[2]);
  if (match?.[1] === undefined || !Number.isSafeInteger(revision)) {
    throw new RomanaError('input_invalid', 'A position has the form INCARNATION:REVISION.', {
      details: { path: 'since' },
    });
  }
  return { incarnation: match[1], revision };
}

/** One frame. JSON never holds a raw line end, so `data` is always one line. */
export function encodeWatchEvent(event: WatchEvent): string {
  const id =
    event.type === 'synced' || event.type === 'position' ? `id: ${formatPosition(event.position)}\n` : '';
  return `event: ${event.type}\n${id}data: ${JSON.stringify(event)}\n\n`;
}

function malformed(what: string): RomanaError {
  return new RomanaError('internal', `The watch stream is malformed: ${what}.`);
}

function isPosition(value: unknown): value is Position {
  if (!isRecord(value)) return false;
  const { incarnation, revision } = value;
  return (
    typeof incarnation === 'string' &&
    incarnation.length <= 64 &&
    typeof revision === 'number' &&
    Number.isSafeInteger(revision) &&
    revision >= 0
  );
}

/** Null: an event of a later version, to be skipped. */
export function decodeWatchEvent(data: string): WatchEvent | null {
  let json: unknown;
  try {
    json = JSON.parse(data);
  } catch {
    throw malformed('an event is not JSON');
  }
  if (!isRecord(json)) throw malformed('an event is not an object');
  const { type, kind, key, value, position } = json;
  switch (type) {
    case 'snapshot':
    case 'behind':
      return { type };
    case 'synced':
    case 'position':
      if (!isPosition(position)) throw malformed(`a ${type} event has no position`);
      return { type, position };
    case 'object':
    case 'gone':
      if (typeof kind !== 'string' || typeof key !== 'string')
        throw malformed(`an ${type} event has no kind or key`);
      if (!isKind(kind)) return null;
      if (type === 'gone') return { type, kind, key };
      if (!isRecord(value)) throw malformed('an object event has no value');
      // the server checked the value against the contract; a reader of another version must not be stricter than that
      return objectEvent(kind, key, value);
    default:
      if (typeof type !== 'string') throw malformed('an event has no type');
      return null;
  }
}

/** Push chunks of text in, get events out. Throws a RomanaError on anything malformed; do not use it after that. */
export function createWatchParser(
  maxFrame: number,
  onEvent: (event: WatchEvent) => void,
): (chunk: string) => void {
  let rest = '';
  let data: string | null = null;
  const line = (text: string): void => {
    if (text === '') {
      if (data === null) return;
      const event = decodeWatchEvent(data);
      data = null;
      if (event !== null) onEvent(event);
    } else if (text.startsWith('data:')) {
      const part = text.slice(text[5] === ' ' ? 6 : 5);
      data = data === null ? part : `${data}\n${part}`;
      if (data.length > maxFrame) throw malformed('an event is too long');
    }
    // `event` and `id` repeat what the data holds; comments keep the connection alive
  };
  return (chunk) => {
    let from = 0;
    for (let end = chunk.indexOf('\n'); end !== -1; end = chunk.indexOf('\n', from)) {
      const text = rest + chunk.slice(from, end);
      rest = '';
      from = end + 1;
      line(text.endsWith('\r') ? text.slice(0, -1) : text);
    }
    rest += chunk.slice(from);
    if (rest.length > maxFrame) throw malformed('an event is too long');
  };
}
