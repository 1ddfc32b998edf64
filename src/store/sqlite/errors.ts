/** SQLite's result codes in words of the catalogue. */
import { isRomanaError, RomanaError } from '#core/errors.ts';

const BUSY = 5;
const LOCKED = 6;
const READONLY = 8;
const IOERR = 10;
const CORRUPT = 11;
const FULL = 13;
const CANTOPEN = 14;
const NOTADB = 26;

/** SQLite's primary result code, or undefined when the error is not SQLite's. */
function resultCode(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number')
    return undefined;
  return error.errcode & 0xff;
}

/** After these the file on disk may not be what SQLite believes: the store refuses further writes until it is opened anew. */
export function mustStop(error: unknown): boolean {
  const code = resultCode(error);
  return code === IOERR || code === CORRUPT || code === NOTADB;
}

/** The disk or the whole file failed, not one statement. */
export function concernsAll(error: unknown): boolean {
  return mustStop(error) || resultCode(error) === FULL;
}

/** Errors of the catalogue pass through, as does everything that is not SQLite's. */
export function storeError(error: unknown, path: string): unknown {
  const code = resultCode(error);
  if (code === undefined || isRomanaError(error)) return error;
  const words = error instanceof Error ? error.message : String(error);
  const make = (kind: ConstructorParameters<typeof RomanaError>[0], message: string) =>
    new RomanaError(kind, message, { cause: error, details: { path, sqlite: code } });
  switch (code) {
    case BUSY:
    case LOCKED:
      return make(
        'store_busy',
        `The store ${path} is in use by another process; stop the other server first.`,
      );
    case FULL:
      return make(
        'store_full',
        `The disk under ${path} is full and nothing was changed; free some space and try again.`,
      );
    case CORRUPT:
    case NOTADB:
      return make('store_corrupt', `The store ${path} is damaged (${words}); restore it from a backup.`);
    case READONLY:
    case CANTOPEN:
      return make(
        'unavailable',
        `The store ${path} cannot be opened for writing (${words}); check its path and permissions.`,
      );
    case IOERR:
      return make(
        'unavailable',
        `The disk under ${path} failed (${words}); repair it, then restart the server.`,
      );
    default:
      return make('internal', `The store ${path} refused a statement: ${words}.`);
  }
}
