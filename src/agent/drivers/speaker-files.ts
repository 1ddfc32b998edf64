/**
 * The files that the agent writes for a BGP daemon, as a port. Imports core only.
 *
 * 1. A file is replaced whole: after a crash at any step there is the old text or the new one.
 * 2. Each file gets the owner of the folder that it lies in, so a daemon that runs as a user of its own reads it: the folder is that
 *    user's. Nobody else reads it: it may hold passwords.
 * 3. No error carries what a file holds.
 */
import { constants } from 'node:fs';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RomanaError } from '#core/errors.ts';

export interface SpeakerFiles {
  /** Null: no such file. */
  read(path: string): Promise<string | null>;
  /** Only then is it safe from a crash; `mode` is 0600 unless told. */
  write(path: string, text: string, mode?: number): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Nothing to do where there is no such file. */
  remove(path: string): Promise<void>;
}

export const speakerFiles: SpeakerFiles = {
  async read(path) {
    try {
      return await readFile(path, 'utf8');
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return null;
      throw refused(path, 'read', error);
    }
  },
  async write(path, text, mode = 0o600) {
    try {
      const owner = await stat(dirname(path));
      const fresh = `${path}.tmp`;
      const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
      await rm(fresh, { force: true });
      const file = await open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
      try {
        await file.writeFile(text);
        await file.chown(owner.uid, owner.gid);
        await file.chmod(mode);
        await file.sync();
      } finally {
        await file.close();
      }
      await renamed(fresh, path);
    } catch (error) {
      throw refused(path, 'written', error);
    }
  },
  async rename(from, to) {
    try {
      await renamed(from, to);
    } catch (error) {
      throw refused(to, 'written', error);
    }
  },
  async remove(path) {
    try {
      await rm(path, { force: true });
    } catch (error) {
      throw refused(path, 'removed', error);
    }
  },
};

async function renamed(from: string, to: string): Promise<void> {
  await rename(from, to);
  const folder = await open(dirname(to), constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}

function refused(path: string, verb: string, error: unknown): RomanaError {
  const code = codeOf(error);
  const hint =
    code === 'ENOENT' ? `; make the folder ${dirname(path)}, owned by the user that the daemon runs as` : '';
  return new RomanaError(
    code === 'ENOSPC' ? 'store_full' : 'internal',
    `${path} could not be ${verb} (${code})${hint}.`,
    { details: { path, errno: code } },
  );
}
