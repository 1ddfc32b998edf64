/** One connection to one file: opened exclusively, with every prepared statement kept. */
import { chmodSync, closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from 'node:sqlite';
import { storeError } from './errors.ts';
import { migrate } from './migrations.ts';

export type SqlRow = Record<string, SQLOutputValue>;

export class Connection {
  readonly path: string;
  readonly db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /** Throws store_busy when another process has the file open, store_corrupt when it is no store. */
  constructor(path: string, now: number, busyMs: number) {
    this.path = path;
    try {
      create(path);
      chmodSync(path, 0o600);
    } catch (error) {
      throw storeError(Object.assign(new Error(String(error)), { errcode: 14 }), path);
    }
    let db: DatabaseSync | undefined;
    try {
      db = new DatabaseSync(path, { timeout: busyMs, enableForeignKeyConstraints: true });
      // Exclusive: a second server would give out the same addresses. The kernel drops the lock when the process dies.
      db.exec('PRAGMA locking_mode = EXCLUSIVE');
      db.exec('PRAGMA journal_mode = WAL');
      db.exec('PRAGMA synchronous = FULL');
      db.exec('BEGIN EXCLUSIVE; COMMIT');
      migrate(db, now);
    } catch (error) {
      if (db?.isOpen === true) db.close();
      throw storeError(error, path);
    }
    this.db = db;
  }

  get(sql: string, ...values: SQLInputValue[]): SqlRow | undefined {
    return this.#statement(sql).get(...values);
  }

  all(sql: string, ...values: SQLInputValue[]): SqlRow[] {
    return this.#statement(sql).all(...values);
  }

  /** Answers how many rows changed. */
  run(sql: string, ...values: SQLInputValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  exec(sql: string): void {
    this.db.exec(sql);
  }

  close(): void {
    this.#statements.clear();
    if (this.db.isOpen) this.db.close();
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/**
 * Made here and not by SQLite, whose files follow the umask; the WAL inherits the mode. A file that is there must not be opened, not
 * even to read it: closing any descriptor of it would drop this process's lock on it (POSIX), and a second server could start.
 */
function create(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  }
}

export function numberOf(value: SQLOutputValue | undefined): number {
  return typeof value === 'bigint' ? Number(value) : typeof value === 'number' ? value : 0;
}

export function textOf(value: SQLOutputValue | undefined): string {
  return typeof value === 'string' ? value : '';
}
