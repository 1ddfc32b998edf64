/** What becomes of the store when the process, the disk or another process gets in its way. */
import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { createInterface } from 'node:readline';
import { DatabaseSync } from 'node:sqlite';
import { afterEach, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { refusedWith, tenant } from '../conformance.ts';
import { type TestStore, testStore } from '../testing.ts';
import { migrate, migrations } from './migrations.ts';

const bases: TestStore[] = [];
afterEach(() => {
  for (const base of bases.splice(0)) base.dispose();
});
function fresh(): TestStore {
  const base = testStore();
  bases.push(base);
  return base;
}

const script = (name: string) => fileURLToPath(new URL(name, import.meta.url));

for (const after of [1, 40, 250]) {
  test(`F1 killed after ${after} answers: every answered transaction is there, and none is half there`, async () => {
    const base = fresh();
    const child = spawn(process.execPath, [script('./crash-child.ts'), base.path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(child, 'exit');
    const answered = new Map<number, number>();
    let highest = 0;
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      const [lane = 0, n = 0, revision = 0] = line.split(' ').map(Number);
      answered.set(lane, n);
      highest = Math.max(highest, revision);
      if (++lines === after) child.kill('SIGKILL');
    }
    await exited;
    const store = base.open({ keepChanges: 50 });
    store.read((tx) => {
      for (const [lane, n] of answered) {
        const name = `lane${lane}`;
        const kept = Number(tx.get('tenant', name)?.uid);
        assert.ok(kept >= n, `lane ${lane}: ${n} was answered, ${kept} is there`);
        assert.equal(tx.get('_shadow', name), kept);
        assert.equal(tx.holderOf(name, kept), name);
        assert.equal(tx.holderOf(name, kept - 1), undefined);
        assert.equal(tx.holderOf(name, kept + 1), undefined);
      }
    });
    const { revision } = store.position();
    assert.ok(revision >= highest);
    const tail = store.changesSince(revision - 1, 10);
    assert.ok(tail !== 'compacted' && tail[0]?.revision === revision);
    await store.transaction('t', (tx) => tx.put('tenant', 'next', tenant('next')));
    assert.equal(store.position().revision, revision + 1);
  });
}

test('F2 a second store on the same file is refused, by the same process and by another', async () => {
  const base = fresh();
  const store = base.open();
  assert.throws(() => base.open(), refusedWith('store_busy'));
  const other = promisify(execFile)(process.execPath, [script('./crash-child.ts'), base.path]);
  await assert.rejects(other, /store_busy|in use by another process/);
  await store.transaction('t', (tx) => tx.put('tenant', 'a', tenant('a')));
  store.close();
  base.open();
});

test('F3 a file locked by some other program is store_busy, and nothing is lost by trying', async () => {
  const base = fresh();
  const first = base.open();
  await first.transaction('t', (tx) => tx.put('tenant', 'a', tenant('a')));
  first.close();
  const other = new DatabaseSync(base.path);
  other.exec('BEGIN IMMEDIATE');
  assert.throws(() => base.open(), refusedWith('store_busy'));
  other.exec('ROLLBACK');
  other.close();
  assert.equal(
    base.open().read((tx) => tx.count('tenant')),
    1,
  );
});

test('F4 only its owner can read the store, whatever the umask', async () => {
  const base = fresh();
  const before = process.umask(0);
  try {
    const store = base.open();
    await store.transaction('t', (tx) => tx.put('_token', 'a', 'secret'));
    for (const file of [base.path, `${base.path}-wal`])
      assert.equal(statSync(file).mode & 0o777, 0o600, file);
  } finally {
    process.umask(before);
  }
});

test('F5 a file that is no store, or half of one, is store_corrupt; a missing folder is unavailable', async () => {
  const base = fresh();
  writeFileSync(
    base.path,
    'this is no database, but it is long enough to have a header of its own'.repeat(20),
  );
  assert.throws(() => base.open(), refusedWith('store_corrupt'));
  const damaged = fresh();
  const store = damaged.open();
  await store.transaction('t', (tx) => {
    for (let i = 0; i < 500; i++) tx.put('tenant', `t${i}`, tenant(`t${i}`));
  });
  store.close();
  truncateSync(damaged.path, readFileSync(damaged.path).length / 2);
  assert.throws(() => {
    damaged.open().read((tx) => tx.list('tenant'));
  }, refusedWith('store_corrupt'));
  const { openSqliteStore } = await import('./index.ts');
  assert.throws(
    () => openSqliteStore({ path: `${base.path}.d/none/store.db`, clock: base.clock }),
    refusedWith('unavailable'),
  );
});

test('F6 a released schema step that was edited, and a store of a newer version, are refused', () => {
  const base = fresh();
  const db = new DatabaseSync(base.path);
  migrate(db, 0);
  migrate(db, 0);
  const [first] = migrations;
  assert.throws(() => migrate(db, 0, [{ ...first!, sql: `${first!.sql} ` }]), refusedWith('store_corrupt'));
  assert.throws(() => migrate(db, 0, []), refusedWith('unavailable'));
  const broken = { name: 'broken', sql: 'CREATE TABLE extra (a); CREATE TABLE extra (a);' };
  assert.throws(() => migrate(db, 0, [...migrations, broken]), /already exists/);
  assert.throws(() => db.prepare('SELECT * FROM extra'), /no such table/, 'a step is whole or not at all');
  migrate(db, 0, [...migrations, { name: 'right', sql: 'CREATE TABLE extra (a)' }]);
  db.close();
});

test('F7 on a full disk a change is refused with store_full, and works once there is space', async () => {
  const { stdout } = await promisify(execFile)('unshare', [
    '--mount',
    '--propagation',
    'private',
    process.execPath,
    script('./full-disk-child.ts'),
    dirname(fresh().path),
  ]);
  const told = JSON.parse(stdout) as {
    refused: string[];
    before: number;
    after: number;
    kept: number;
    reopened: number;
  };
  assert.deepEqual(new Set(told.refused), new Set(['store_full']));
  assert.ok(told.before > 0);
  assert.equal(told.kept, told.before, 'what was refused is not there');
  assert.equal(told.after, told.before + 1);
  assert.equal(told.reopened, told.after);
});
