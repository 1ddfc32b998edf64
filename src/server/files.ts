/** Files of the data directory: written whole or not at all, readable by the server's user alone. */
import {
  chmodSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { codeOf } from '#contract/shape.ts';
import { RomanaError } from '#core/errors.ts';

/** Makes the directory, and closes it to others. */
export function privateDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    chmodSync(path, 0o700);
  } catch (error) {
    throw new RomanaError(
      'input_invalid',
      `The directory ${path} cannot be used: ${(error as Error).message}.`,
      { cause: error },
    );
  }
}

/** After a crash at any moment the file is the old one or the new one. */
export function writePrivateFile(path: string, text: string): void {
  const next = `${path}.new`;
  rmSync(next, { force: true });
  const file = openSync(next, 'wx', 0o600);
  try {
    writeSync(file, text);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(next, path);
  const directory = openSync(dirname(path), 'r');
  try {
    fsyncSync(directory);
  } finally {
    closeSync(directory);
  }
}

/** Null when there is no such file. Refuses a file that others may read: what it holds is secret no more. */
export function readPrivateFile(path: string): string | null {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null;
    throw new RomanaError('input_invalid', `The file ${path} cannot be read: ${(error as Error).message}.`, {
      cause: error,
    });
  }
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new RomanaError(
      'input_invalid',
      `The file ${path} holds a secret and is open to others; decide whether it leaked, then chmod 600.`,
    );
  }
  return text;
}
