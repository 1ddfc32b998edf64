/** What a journal needs of a file system, and the real one. The fake one with crashes and full disks is fake-fs.ts. */

import { chmod, mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { RomanaError } from '#core/errors.ts';

export interface JournalFile {
  /** Answers how many bytes were written, which may be fewer than given. */
  write(bytes: Uint8Array, position: number): Promise<number>;
  datasync(): Promise<void>;
  truncate(length: number): Promise<void>;
  close(): Promise<void>;
}

export interface JournalFs {
  /** Creates the directory (mode 0700) and its parents where missing. */
  makeDir(dir: string): Promise<void>;
  /** Throws store_busy while another process, or another journal of this one, holds the directory. Answers the release. */
  lock(dir: string): Promise<() => void>;
  /** Undefined when there is no such file. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** For writing; `create` makes an empty file (mode 0600), replacing an older one. */
  open(path: string, create: boolean): Promise<JournalFile>;
  rename(from: string, to: string): Promise<void>;
  /** No error when there is no such file. */
  remove(path: string): Promise<void>;
  syncDir(dir: string): Promise<void>;
}

export const realFs: JournalFs = {
  async makeDir(dir) {
    const first = await mkdir(dir, { recursive: true, mode: 0o700 });
    if (first === undefined) return;
    // A directory whose own entry is not durable takes the journal with it when the power fails.
    for (
      let parent = dirname(resolve(dir));
      parent.length >= dirname(resolve(first)).length;
      parent = dirname(parent)
    ) {
      await syncDir(parent);
      if (parent === dirname(parent)) break;
    }
  },
  lock,
  async read(path) {
    try {
      return await readFile(path);
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    }
  },
  async open(path, create) {
    const handle = await open(path, create ? 'w' : 'r+', 0o600);
    return {
      write: async (bytes, position) => (await handle.write(bytes, 0, bytes.length, position)).bytesWritten,
      datasync: () => handle.datasync(),
      truncate: (length) => handle.truncate(length),
      close: () => handle.close(),
    };
  },
  rename,
  async remove(path) {
    await rm(path, { force: true });
  },
  syncDir,
};

async function syncDir(dir: string): Promise<void> {
  const handle = await open(dir, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Node has no flock, and a file with a process id in it cannot be trusted across containers, where ids mean other processes. SQLite takes
 * a kernel lock (fcntl) that ends with the process however it dies, and also keeps apart two journals of one process. The file must not
 * be opened by anything else in the process: closing that descriptor would drop the lock.
 */
async function lock(dir: string): Promise<() => void> {
  const path = `${dir}/lock`;
  const database = new DatabaseSync(path, { timeout: 0 });
  try {
    database.exec('PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE');
    await chmod(path, 0o600);
  } catch (error) {
    database.close();
    if (!(error instanceof Error && 'errcode' in error && error.errcode === SQLITE_BUSY)) throw error;
    throw new RomanaError(
      'store_busy',
      `Another process uses the journal in ${dir}; two agents cannot share a directory.`,
      { details: { dir }, cause: error },
    );
  }
  return () => database.close();
}

const SQLITE_BUSY = 5;

/** 'ENOSPC' and the like. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
