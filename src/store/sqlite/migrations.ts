/**
 * The schema as numbered steps. A step that was released is never edited: its checksum is kept in the database and compared at
 * every start, so that two versions of one step cannot both pass for it.
 */
import { createHash } from 'node:crypto';
import type { DatabaseSync } from 'node:sqlite';
import { RomanaError } from '#core/errors.ts';

export interface Migration {
  readonly name: string;
  readonly sql: string;
}

/** Step n is at index n − 1. Addresses are BLOBs of 4 or 16 bytes, big-endian: they sort as the addresses do. */
export const migrations: readonly Migration[] = [
  {
    name: 'objects, changes and addresses',
    sql: `
CREATE TABLE meta (name TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE objects (
  kind TEXT NOT NULL, key TEXT NOT NULL, revision INTEGER NOT NULL, created INTEGER NOT NULL, host TEXT, value TEXT NOT NULL,
  PRIMARY KEY (kind, key)
) STRICT;
CREATE INDEX objects_by_host ON objects (kind, host, key) WHERE host IS NOT NULL;
CREATE INDEX objects_by_created ON objects (created);
CREATE TABLE changes (
  revision INTEGER NOT NULL, ordinal INTEGER NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT, host TEXT,
  actor TEXT NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (revision, ordinal)
) STRICT, WITHOUT ROWID;
CREATE TABLE holdings (
  space TEXT NOT NULL, value ANY NOT NULL, holder TEXT NOT NULL,
  PRIMARY KEY (space, value)
) STRICT, WITHOUT ROWID;
CREATE TABLE leases (
  key TEXT PRIMARY KEY, uid TEXT NOT NULL, question TEXT NOT NULL, seq INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE allocations (
  network TEXT NOT NULL, address BLOB NOT NULL, key TEXT NOT NULL REFERENCES leases (key), ordinal INTEGER NOT NULL,
  host_id INTEGER NOT NULL, tenant_id INTEGER NOT NULL, segment_id INTEGER NOT NULL, endpoint_id INTEGER NOT NULL,
  PRIMARY KEY (network, address)
) STRICT, WITHOUT ROWID;
CREATE INDEX allocations_by_key ON allocations (key, ordinal);
CREATE TABLE released (
  position INTEGER PRIMARY KEY, network TEXT NOT NULL, address BLOB NOT NULL,
  host_id INTEGER NOT NULL, tenant_id INTEGER NOT NULL, segment_id INTEGER NOT NULL, endpoint_id INTEGER NOT NULL,
  released_at INTEGER NOT NULL,
  UNIQUE (network, address)
) STRICT;
CREATE INDEX released_by_block ON released (network, host_id, tenant_id, segment_id, released_at, position);
CREATE TABLE runs (
  network TEXT NOT NULL, host_id INTEGER NOT NULL, tenant_id INTEGER NOT NULL, segment_id INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY (network, host_id, tenant_id, segment_id, first)
) STRICT, WITHOUT ROWID;
`,
  },
  {
    name: 'names keep addresses; counts by block',
    sql: `
ALTER TABLE released ADD COLUMN key TEXT;
CREATE INDEX released_by_key ON released (key) WHERE key IS NOT NULL;
CREATE INDEX allocations_by_block ON allocations (network, host_id, tenant_id, segment_id);
`,
  },
];

const checksum = (migration: Migration) => createHash('sha256').update(migration.sql).digest('hex');

/** Runs the steps that are missing, each in a transaction of its own. */
export function migrate(db: DatabaseSync, now: number, steps: readonly Migration[] = migrations): void {
  db.exec(
    'CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL, checksum TEXT NOT NULL, at INTEGER NOT NULL) STRICT',
  );
  const done = db.prepare('SELECT number, checksum FROM migrations ORDER BY number').all();
  for (const [index, row] of done.entries()) {
    const step = steps[index];
    if (step === undefined) {
      throw new RomanaError(
        'unavailable',
        `The store was written by a newer version (schema ${done.length}, known ${steps.length}); start that version.`,
      );
    }
    if (row['number'] !== index + 1 || row['checksum'] !== checksum(step)) {
      throw new RomanaError(
        'store_corrupt',
        `Step ${index + 1} of the store's schema is not the one this version knows; restore a backup or start the right version.`,
      );
    }
  }
  for (let index = done.length; index < steps.length; index++) {
    const step = steps[index]!;
    db.exec('BEGIN IMMEDIATE');
    try {
      db.exec(step.sql);
      db.prepare('INSERT INTO migrations VALUES (?1, ?2, ?3, ?4)').run(
        index + 1,
        step.name,
        checksum(step),
        now,
      );
      db.exec('COMMIT');
    } catch (error) {
      if (db.isTransaction) db.exec('ROLLBACK');
      throw error;
    }
  }
}
