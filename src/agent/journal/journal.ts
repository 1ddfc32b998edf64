/** The durable list of allocation events of one agent. See README.md. */

import { RomanaError } from '#core/errors.ts';
import type { Random } from '#core/ports.ts';
import { decodeJournal, encodeHeader, encodeRecords, type JournalRecord } from './format.ts';
import { errnoOf, type JournalFile, type JournalFs, realFs } from './fs.ts';

export type Recovered = 'fresh' | 'clean' | 'truncated-tail';

export interface Opened {
  readonly journal: Journal;
  readonly records: readonly JournalRecord[];
  readonly recovered: Recovered;
}

export interface JournalOptions {
  readonly random: Random;
  /** @default the real one */
  readonly fs?: JournalFs;
}

interface Waiting {
  readonly records: readonly JournalRecord[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Below this size a journal is not worth compacting. */
const SMALL = 256 * 1024;
/** Records per line of a compacted file, so that no line becomes huge. */
const LINE_RECORDS = 256;

export class Journal {
  /** Names this history. A journal that was lost and made anew has another one. */
  generation: string;
  readonly #fs: JournalFs;
  readonly #dir: string;
  readonly #unlock: () => void;
  #file: JournalFile;
  /** Bytes that are durable; the next line starts here. */
  #length: number;
  #count: number;
  /** Length when the file was last compacted, or when that was last tried in vain. */
  #compacted = 0;
  #waiting: Waiting[] = [];
  /** The work under way; never rejects. */
  #busy: Promise<void> | undefined;
  #failed: RomanaError | undefined;
  #closed = false;

  private constructor(
    fs: JournalFs,
    dir: string,
    unlock: () => void,
    file: JournalFile,
    state: { generation: string; length: number; count: number },
  ) {
    this.#fs = fs;
    this.#dir = dir;
    this.#unlock = unlock;
    this.#file = file;
    this.generation = state.generation;
    this.#length = state.length;
    this.#count = state.count;
  }

  /** Locks the directory, reads what is there and cuts off what an unfinished write left. Throws store_busy, store_corrupt. */
  static async open(dir: string, options: JournalOptions): Promise<Opened> {
    const fs = options.fs ?? realFs;
    await fs.makeDir(dir);
    const unlock = await fs.lock(dir);
    try {
      const path = pathIn(dir);
      await fs.remove(`${path}.new`);
      const bytes = await fs.read(path);
      if (bytes === undefined) {
        const generation = options.random.uuid();
        const { file, length } = await replace(fs, dir, [encodeHeader(generation)]);
        const journal = new Journal(fs, dir, unlock, file, { generation, length, count: 0 });
        return { journal, records: [], recovered: 'fresh' };
      }
      const { generation, records, length } = decodeJournal(bytes, path);
      const file = await fs.open(path, false);
      const torn = length < bytes.length;
      try {
        if (torn) await file.truncate(length);
        // Also when nothing is torn: the last line may have been read from memory, its write having never been confirmed.
        await file.datasync();
      } catch (error) {
        await file.close();
        throw error;
      }
      const journal = new Journal(fs, dir, unlock, file, { generation, length, count: records.length });
      return { journal, records, recovered: torn ? 'truncated-tail' : 'clean' };
    } catch (error) {
      unlock();
      throw error;
    }
  }

  /**
   * Resolves when the records are on the disk. Calls made while a write is under way share the next one. When it rejects, nothing of
   * the records is kept (store_full), or the journal takes no more (unavailable) and only opening it again shows what was kept.
   */
  append(records: readonly JournalRecord[]): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) return Promise.reject(refusal);
    if (records.length === 0) return Promise.resolve();
    const done = new Promise<void>((resolve, reject) => this.#waiting.push({ records, resolve, reject }));
    this.#busy ??= this.#drain();
    return done;
  }

  /** True when the file has grown to several times what a compacted one had. */
  get shouldCompact(): boolean {
    return this.#length > Math.max(SMALL, 4 * this.#compacted);
  }

  get size(): number {
    return this.#length;
  }

  /**
   * Replaces all records by `live`, which must tell the same state; so call it with no append under way. When it rejects with store_full
   * the old file still counts. With another `generation` the records need not tell the same state: it is another history.
   */
  async compact(live: readonly JournalRecord[], generation = this.generation): Promise<void> {
    const refusal = this.#refusal();
    if (refusal !== undefined) throw refusal;
    if (this.#busy !== undefined) throw new TypeError('compact was called with an append under way');
    const work = this.#compact(live, generation);
    // Appends made meanwhile must go to the new file.
    this.#busy = work.catch(() => {}).then(() => this.#drain());
    await work;
  }

  /** Waits for the appends under way. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#busy;
    try {
      await this.#file.close();
    } finally {
      this.#unlock();
    }
  }

  #refusal(): RomanaError | undefined {
    return this.#closed ? new RomanaError('unavailable', 'The journal is closed.') : this.#failed;
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      try {
        await this.#write(batch.flatMap((waiting) => waiting.records));
        for (const waiting of batch) waiting.resolve();
      } catch (error) {
        for (const waiting of batch) waiting.reject(error);
      }
    }
    this.#busy = undefined;
  }

  async #write(records: readonly JournalRecord[]): Promise<void> {
    if (this.#failed !== undefined) throw this.#failed;
    const line = encodeRecords(this.#count + 1, records);
    try {
      await writeAll(this.#file, line, this.#length);
    } catch (error) {
      try {
        await this.#file.truncate(this.#length);
      } catch (again) {
        throw this.#fail(again);
      }
      if (isFull(error)) throw storeFull(this.#dir, error);
      throw this.#fail(error);
    }
    try {
      await this.#file.datasync();
    } catch (error) {
      // The kernel may have dropped the pages and say "done" the next time. Only reading the file again tells what is there.
      throw this.#fail(error);
    }
    this.#length += line.length;
    this.#count += records.length;
  }

  async #compact(live: readonly JournalRecord[], generation: string): Promise<void> {
    const lines = [encodeHeader(generation)];
    for (let i = 0; i < live.length; i += LINE_RECORDS) {
      lines.push(encodeRecords(i + 1, live.slice(i, i + LINE_RECORDS)));
    }
    const old = this.#file;
    let renamed = false;
    try {
      const { file, length } = await replace(this.#fs, this.#dir, lines, () => {
        renamed = true;
      });
      this.#file = file;
      this.generation = generation;
      this.#length = length;
      this.#count = live.length;
      this.#compacted = length;
    } catch (error) {
      this.#compacted = this.#length;
      // Which of the two files a crash would leave is open now, so nothing may be written to either.
      if (renamed) throw this.#fail(error);
      throw isFull(error) ? storeFull(this.#dir, error) : error;
    }
    // Nothing in it counts any more.
    await old.close().catch(() => {});
  }

  #fail(cause: unknown): RomanaError {
    this.#failed = new RomanaError(
      'unavailable',
      `The disk under ${this.#dir} failed (${errnoOf(cause) ?? String(cause)}), so no allocation can be made durable; check the disk, ` +
        'then restart the agent.',
      { details: { dir: this.#dir }, cause },
    );
    return this.#failed;
  }
}

function pathIn(dir: string): string {
  return `${dir}/allocations.journal`;
}

/** Puts a file of these lines in place of the journal: after a crash there is the whole old file or the whole new one. */
async function replace(
  fs: JournalFs,
  dir: string,
  lines: readonly Uint8Array[],
  renamed: () => void = () => {},
): Promise<{ file: JournalFile; length: number }> {
  const path = pathIn(dir);
  const file = await fs.open(`${path}.new`, true);
  let done = false;
  try {
    let length = 0;
    for (const line of lines) {
      await writeAll(file, line, length);
      length += line.length;
    }
    await file.datasync();
    await fs.rename(`${path}.new`, path);
    done = true;
    renamed();
    await fs.syncDir(dir);
    return { file, length };
  } catch (error) {
    await file.close().catch(() => {});
    if (!done) await fs.remove(`${path}.new`).catch(() => {});
    throw error;
  }
}

async function writeAll(file: JournalFile, bytes: Uint8Array, position: number): Promise<void> {
  let written = 0;
  while (written < bytes.length) {
    const n = await file.write(bytes.subarray(written), position + written);
    if (n === 0) throw Object.assign(new Error('the disk took no more bytes'), { code: 'ENOSPC' });
    written += n;
  }
}

function isFull(error: unknown): boolean {
  return ['ENOSPC', 'EDQUOT', 'EFBIG'].includes(errnoOf(error) ?? '');
}

function storeFull(dir: string, cause: unknown): RomanaError {
  return new RomanaError(
    'store_full',
    `The disk under ${dir} is full; nothing was changed. Free some space and try again.`,
    {
      details: { dir },
      cause,
    },
  );
}
