/**
 * A file system in memory for tests and simulations: files forget what was not synced, disks fill up, power fails at any byte.
 */

import { RomanaError } from '#core/errors.ts';
import type { JournalFile, JournalFs } from './fs.ts';

interface Inode {
  bytes: Uint8Array;
  /** What a power failure surely leaves. */
  durable: Uint8Array;
}

type Fault = 'write' | 'datasync' | 'truncate' | 'rename' | 'syncDir';

export class PowerFailure extends Error {}

export class FakeFs implements JournalFs {
  /** Bytes that writes may still take before the disk is full. */
  space = Number.POSITIVE_INFINITY;
  /** Bytes and calls that may still pass before the power fails; each call counts as one, each written byte as one. */
  fuel = Number.POSITIVE_INFINITY;
  /** At most so many bytes per write call. */
  writeLimit = Number.POSITIVE_INFINITY;
  /** Calls of this kind fail with EIO. */
  fault: Fault | undefined;
  /** Calls of datasync so far. */
  syncs = 0;
  #names = new Map<string, Inode>();
  #durableNames = new Map<string, Inode>();
  #locks = new Set<string>();

  async makeDir(): Promise<void> {
    this.#step();
  }

  async lock(dir: string): Promise<() => void> {
    this.#step();
    if (this.#locks.has(dir)) throw new RomanaError('store_busy', `${dir} is locked.`);
    this.#locks.add(dir);
    return () => this.#locks.delete(dir);
  }

  async read(path: string): Promise<Uint8Array | undefined> {
    this.#step();
    return this.#names.get(path)?.bytes.slice();
  }

  async open(path: string, create: boolean): Promise<JournalFile> {
    this.#step();
    let inode = this.#names.get(path);
    if (create) {
      inode = { bytes: new Uint8Array(), durable: new Uint8Array() };
      this.#names.set(path, inode);
    }
    if (inode === undefined) throw errno('ENOENT');
    return this.#file(inode);
  }

  async rename(from: string, to: string): Promise<void> {
    this.#step('rename');
    const inode = this.#names.get(from);
    if (inode === undefined) throw errno('ENOENT');
    this.#names.delete(from);
    this.#names.set(to, inode);
  }

  async remove(path: string): Promise<void> {
    this.#step();
    this.#names.delete(path);
  }

  async syncDir(): Promise<void> {
    this.#step('syncDir');
    this.#durableNames = new Map(this.#names);
  }

  /** Files as any other program would see them now. */
  contents(path: string): Uint8Array | undefined {
    return this.#names.get(path)?.bytes.slice();
  }

  /** Puts a file there, durably. */
  put(path: string, bytes: Uint8Array): void {
    const inode = { bytes: bytes.slice(), durable: bytes.slice() };
    this.#names.set(path, inode);
    this.#durableNames.set(path, inode);
  }

  /**
   * The disk after a power failure now: of what was not synced, `luck` (0 to 1) decides how much is there: directory entries if above
   * one half, and of a file the first part of the unsynced bytes, or (`shuffle`) all but the first unsynced sector.
   */
  afterPowerFailure(luck: number, shuffle = false): FakeFs {
    const fs = new FakeFs();
    for (const [path, inode] of luck > 0.5 ? this.#names : this.#durableNames) {
      fs.put(path, survivors(inode, luck, shuffle));
    }
    return fs;
  }

  #file(inode: Inode): JournalFile {
    return {
      write: async (bytes, position) => {
        this.#step('write');
        const room = Math.min(bytes.length, this.writeLimit, this.space, this.fuel);
        if (room === 0 && this.space === 0) throw errno('ENOSPC');
        const grown = new Uint8Array(Math.max(inode.bytes.length, position + room));
        grown.set(inode.bytes);
        grown.set(bytes.subarray(0, room), position);
        inode.bytes = grown;
        this.space -= room;
        this.fuel -= room;
        if (this.fuel <= 0) throw new PowerFailure();
        return room;
      },
      datasync: async () => {
        this.syncs++;
        this.#step('datasync');
        inode.durable = inode.bytes.slice();
      },
      truncate: async (length) => {
        this.#step('truncate');
        inode.bytes = inode.bytes.slice(0, length);
      },
      close: async () => {},
    };
  }

  #step(kind?: Fault): void {
    this.fuel--;
    if (this.fuel <= 0) throw new PowerFailure();
    if (kind !== undefined && kind === this.fault) throw errno('EIO');
  }
}

function survivors(inode: Inode, luck: number, shuffle: boolean): Uint8Array {
  const { bytes, durable } = inode;
  let same = 0;
  while (same < bytes.length && same < durable.length && bytes[same] === durable[same]) same++;
  if (shuffle) {
    const out = bytes.slice();
    out.fill(0, same, Math.min(out.length, same + 512 - (same % 512)));
    return out;
  }
  const kept = same + Math.round((bytes.length - same) * luck);
  const out = new Uint8Array(Math.max(kept, durable.length));
  out.set(durable);
  out.set(bytes.subarray(0, kept));
  return out;
}

function errno(code: string): Error {
  return Object.assign(new Error(code), { code });
}
