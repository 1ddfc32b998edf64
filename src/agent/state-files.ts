/** Small files that are replaced whole: after a crash at any step there is the old text or the new one. */
import { constants } from 'node:fs';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { RomanaError } from '#core/errors.ts';
import type { StateFiles } from './saved-view.ts';

export async function openStateFiles(dir: string): Promise<StateFiles> {
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return {
    async read(name) {
      try {
        return await readFile(join(dir, name), 'utf8');
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return null;
        throw new RomanaError('store_corrupt', `${join(dir, name)} cannot be read: ${String(error)}.`, {
          cause: error,
        });
      }
    },
    async write(name, text) {
      const path = join(dir, name);
      try {
        const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
        await durably(`${path}.new`, O_WRONLY | O_CREAT | O_TRUNC, (file) => file.writeFile(text));
        await rename(`${path}.new`, path);
        await durably(dir, constants.O_RDONLY, () => Promise.resolve());
      } catch (error) {
        const code = codeOf(error) === 'ENOSPC' ? 'store_full' : 'internal';
        throw new RomanaError(code, `${path} cannot be written: ${String(error)}.`, { cause: error });
      }
    },
  };
}

async function durably(
  path: string,
  flags: number,
  work: (file: Awaited<ReturnType<typeof open>>) => Promise<void>,
): Promise<void> {
  const file = await open(path, flags, 0o600);
  try {
    await work(file);
    await file.sync();
  } finally {
    await file.close();
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
