/** The store in one SQLite file. See ../README.md for what it promises. */
import { randomUUID } from 'node:crypto';
import type { WatchedObjects } from '#contract/watch.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel, Clock } from '#core/ports.ts';
import type { Change, Position, ReadTx, Store, Tx } from '../port.ts';
import { Connection, numberOf, type SqlRow, textOf } from './connection.ts';
import { concernsAll, mustStop, storeError } from './errors.ts';
import { NetworkCache } from './ipam.ts';
import { SqlReadTx, SqlTx } from './tx.ts';

export interface SqliteOptions {
  /** The database file; made when missing, with mode 0600. Its folder must exist. */
  readonly path: string;
  readonly clock: Clock;
  /** Changes kept for watchers that come back; default 10,000. */
  readonly keepChanges?: number;
  /** How long opening waits for another process to let go, in ms; default 1,000. */
  readonly busyMs?: number;
  /** Begins a new incarnation: positions of the old one mean nothing any more. */
  readonly newIncarnation?: boolean;
}

/** Throws store_busy when another server has it open, store_corrupt when the file is damaged or no store. */
export function openSqliteStore(options: SqliteOptions): Store {
  return new SqliteStore(options);
}

interface Job {
  readonly actor: string;
  readonly work: (tx: Tx) => unknown;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Transactions that share one fsync. More would only make the first of them wait longer. */
const groupSize = 256;

class SqliteStore implements Store {
  readonly #c: Connection;
  readonly #clock: Clock;
  readonly #keep: number;
  readonly #networks = new NetworkCache();
  readonly #incarnation: string;
  readonly #listeners = new Set<(revision: number) => void>();
  #queue: Job[] = [];
  #scheduled = false;
  #revision: number;
  #created: number;
  #logged: number;
  /** Changes at or before this revision are gone. */
  #floor: number;
  #stopped: RomanaError | undefined;

  constructor(options: SqliteOptions) {
    this.#clock = options.clock;
    this.#keep = options.keepChanges ?? 10_000;
    this.#c = new Connection(options.path, options.clock.now(), options.busyMs ?? 1000);
    try {
      for (const [name, value] of [
        ['incarnation', randomUUID()],
        ['revision', 0],
        ['floor', 0],
        ['seq', 0],
      ] as const) {
        this.#c.run('INSERT INTO meta (name, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING', name, value);
      }
      if (options.newIncarnation === true)
        this.#c.run("UPDATE meta SET value = ?1 WHERE name = 'incarnation'", randomUUID());
      // A clock that was wrong when they were released would keep them from use until it is that late.
      const now = options.clock.now();
      this.#c.run('UPDATE released SET released_at = ?1 WHERE released_at > ?1', now);
      this.#incarnation = textOf(this.#meta('incarnation'));
      this.#revision = numberOf(this.#meta('revision'));
      this.#floor = numberOf(this.#meta('floor'));
      this.#created = numberOf(this.#c.get('SELECT max(created) AS n FROM objects')?.['n']);
      this.#logged = numberOf(this.#c.get('SELECT count(*) AS n FROM changes')?.['n']);
    } catch (error) {
      this.#c.close();
      throw storeError(error, options.path);
    }
  }

  transaction<T>(actor: string, work: (tx: Tx) => T): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#stopped !== undefined) {
        reject(this.#stopped);
        return;
      }
      this.#queue.push({ actor, work, resolve: resolve as (value: unknown) => void, reject });
      this.#schedule();
    });
  }

  read<T>(work: (tx: ReadTx) => T): T {
    this.#demandOpen();
    const tx = new SqlReadTx(this.#c, this.#networks, this.#revision);
    try {
      return work(tx);
    } catch (error) {
      throw storeError(error, this.#c.path);
    } finally {
      tx.end();
    }
  }

  position(): Position {
    return { incarnation: this.#incarnation, revision: this.#revision };
  }

  changesSince(revision: number, limit: number): Change[] | 'compacted' {
    this.#demandOpen();
    if (revision < this.#floor) return 'compacted';
    const rows = this.#c.all(
      'SELECT * FROM changes WHERE revision > ?1 ORDER BY revision, ordinal LIMIT ?2',
      revision,
      Math.max(1, limit),
    );
    const last = rows.at(-1);
    if (last !== undefined && rows.length >= limit) {
      rows.push(
        ...this.#c.all(
          'SELECT * FROM changes WHERE revision = ?1 AND ordinal > ?2 ORDER BY ordinal',
          numberOf(last['revision']),
          numberOf(last['ordinal']),
        ),
      );
    }
    return rows.map(changeOf);
  }

  onCommit(listener: (revision: number) => void): Cancel {
    // A wrapper, so that one function may listen twice.
    const own = (revision: number) => listener(revision);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  /** Transactions still queued are refused: they were never answered. */
  close(): void {
    this.#stopped ??= new RomanaError('unavailable', 'The store is closed because the server is stopping.');
    for (const job of this.#queue.splice(0)) job.reject(this.#stopped);
    this.#c.close();
  }

  #schedule(): void {
    if (this.#scheduled || this.#queue.length === 0) return;
    this.#scheduled = true;
    // After the events of this turn: requests that arrived together commit together.
    setImmediate(() => {
      this.#scheduled = false;
      if (this.#stopped === undefined) this.#flush(this.#queue.splice(0, groupSize));
      this.#schedule();
    });
  }

  /** Group commit: one SQLite transaction, a savepoint for each job. Answers only after COMMIT. */
  #flush(jobs: readonly Job[]): void {
    if (jobs.length === 0) return;
    const before = {
      revision: this.#revision,
      created: this.#created,
      logged: this.#logged,
      floor: this.#floor,
    };
    const answers: (() => void)[] = [];
    try {
      this.#c.exec('BEGIN IMMEDIATE');
      for (const job of jobs) answers.push(this.#run(job));
      if (this.#revision > before.revision) {
        this.#c.run("UPDATE meta SET value = ?1 WHERE name = 'revision'", this.#revision);
        this.#compact();
      }
      this.#c.exec('COMMIT');
    } catch (error) {
      this.#abandon(jobs, before, error);
      return;
    }
    // Listeners first: who goes on after its answer may count on them knowing.
    if (this.#revision > before.revision) this.#announce(this.#revision);
    for (const answer of answers) answer();
  }

  /** Runs one job inside its savepoint; what it answers is called after COMMIT. Throws only when the database itself fails. */
  #run(job: Job): () => void {
    const tx = new SqlTx(this.#c, this.#networks, this.#revision + 1, {
      actor: job.actor,
      now: this.#clock.now(),
      nextCreated: () => ++this.#created,
    });
    this.#c.exec('SAVEPOINT job');
    let answer: () => void;
    try {
      const value = job.work(tx);
      if (value instanceof Promise) {
        throw new RomanaError('internal', 'The work of a transaction must not wait.');
      }
      answer = () => job.resolve(value);
      if (tx.changes > 0) {
        this.#revision += 1;
        this.#logged += tx.changes;
      }
    } catch (error) {
      // A full or failing disk concerns the whole group, and SQLite may have rolled it back already.
      if (concernsAll(error) || !this.#c.db.isTransaction) throw error;
      this.#c.exec('ROLLBACK TO job');
      const refusal = storeError(error, this.#c.path);
      answer = () => job.reject(refusal);
    } finally {
      tx.end();
    }
    this.#c.exec('RELEASE job');
    return answer;
  }

  #abandon(
    jobs: readonly Job[],
    before: { revision: number; created: number; logged: number; floor: number },
    error: unknown,
  ): void {
    this.#revision = before.revision;
    this.#created = before.created;
    this.#logged = before.logged;
    this.#floor = before.floor;
    const refusal = storeError(error, this.#c.path);
    try {
      if (this.#c.db.isTransaction) this.#c.exec('ROLLBACK');
    } catch {
      this.#stopped = unusable(refusal);
    }
    if (mustStop(error)) this.#stopped = unusable(refusal);
    for (const job of jobs) job.reject(refusal);
    if (this.#stopped !== undefined) for (const job of this.#queue.splice(0)) job.reject(this.#stopped);
  }

  /** Now and then, so that the cost is shared; whole revisions only. */
  #compact(): void {
    if (this.#logged <= this.#keep + Math.max(16, this.#keep >> 3)) return;
    const row = this.#c.get(
      'SELECT revision FROM changes ORDER BY revision DESC, ordinal DESC LIMIT 1 OFFSET ?1',
      this.#keep,
    );
    if (row === undefined) return;
    this.#floor = numberOf(row['revision']);
    this.#logged -= this.#c.run('DELETE FROM changes WHERE revision <= ?1', this.#floor);
    this.#c.run("UPDATE meta SET value = ?1 WHERE name = 'floor'", this.#floor);
  }

  #announce(revision: number): void {
    // In a turn of its own: a listener's failure is nobody's answer.
    for (const listener of this.#listeners) queueMicrotask(() => listener(revision));
  }

  #meta(name: string): SqlRow[string] | undefined {
    return this.#c.get('SELECT value FROM meta WHERE name = ?1', name)?.['value'];
  }

  #demandOpen(): void {
    if (!this.#c.db.isOpen) throw this.#stopped ?? new RomanaError('unavailable', 'The store is closed.');
  }
}

function unusable(refusal: unknown): RomanaError {
  return refusal instanceof RomanaError
    ? refusal
    : new RomanaError('internal', 'The store failed.', { cause: refusal });
}

function changeOf(row: SqlRow): Change {
  const { value, host } = row;
  return {
    revision: numberOf(row['revision']),
    ordinal: numberOf(row['ordinal']),
    kind: textOf(row['kind']) as Change['kind'],
    key: textOf(row['key']),
    value: typeof value === 'string' ? (JSON.parse(value) as WatchedObjects[Change['kind']]) : null,
    host: typeof host === 'string' ? host : null,
  };
}
