/** The few files of the kernel that drivers read and write, as a port: tests and the simulation put their own in place. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { RomanaError } from '#core/errors.ts';

export interface KernelFiles {
  /** `undefined`: no such file. A path under /proc/sys ends in a newline; it is trimmed. */
  read(path: string): string | undefined;
  write(path: string, value: string): void;
  /** Number of the file's inode, which names a network namespace while it lives; `undefined`: no such file. */
  inode(path: string): string | undefined;
}

/** Synchronous on purpose: files of procfs never block, and a thread pool hop costs more than the read. */
export const kernelFiles: KernelFiles = {
  read(path) {
    return orMissing(() => readFileSync(path, 'utf8').trim());
  },
  write(path, value) {
    try {
      writeFileSync(path, value);
    } catch (error) {
      throw new RomanaError(
        'kernel_refused',
        `${path} could not be set to ${value}: ${(error as Error).message}.`,
        {
          cause: error,
        },
      );
    }
  },
  inode(path) {
    return orMissing(() => String(statSync(path, { bigint: true }).ino));
  },
};

function orMissing<T>(get: () => T): T | undefined {
  try {
    return get();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EINVAL') return undefined;
    throw new RomanaError(
      'kernel_refused',
      `A file of the kernel could not be read: ${(error as Error).message}.`,
      {
        cause: error,
      },
    );
  }
}
