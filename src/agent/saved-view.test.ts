import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Position } from '#contract/model.ts';
import type { Cancel } from '#core/ports.ts';
import { SavedView, type StateFiles } from './saved-view.ts';
import { View } from './view.ts';

/** Time and disk in the hand of the test. */
function bench() {
  let now = 0;
  const due: { at: number; fn: () => void }[] = [];
  const disk = new Map<string, string>();
  const writes: { readonly text: string; finish(ok: boolean): void }[] = [];
  const files: StateFiles = {
    read: (name) => Promise.resolve(disk.get(name) ?? null),
    write: (name, text) =>
      new Promise((resolve, reject) => {
        writes.push({
          text,
          finish(ok) {
            if (ok) disk.set(name, text);
            if (ok) resolve();
            else reject(new Error('the disk is full'));
          },
        });
      }),
  };
  const timers = {
    after(ms: number, fn: () => void): Cancel {
      const entry = { at: now + ms, fn };
      due.push(entry);
      return () => due.splice(due.indexOf(entry), 1);
    },
  };
  const quiet = () => undefined;
  const log = { debug: quiet, info: quiet, warn: quiet, error: quiet };
  const open = () => {
    const view = new View();
    const clock = { now: () => now, monotonic: () => now };
    const saved = new SavedView({ view, files, clock, timers, log, onSaved: quiet });
    return { view, saved };
  };
  const pass = async (ms: number): Promise<void> => {
    now += ms;
    for (const entry of due.filter(({ at }) => at <= now)) {
      due.splice(due.indexOf(entry), 1);
      entry.fn();
    }
    await new Promise((resolve) => setImmediate(resolve));
  };
  const finish = async (ok = true): Promise<void> => {
    writes.shift()?.finish(ok);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { open, pass, finish, writes };
}

const at = (revision: number): Position => ({ incarnation: 'i', revision });
function synced({ view, saved }: { view: View; saved: SavedView }, revision: number): void {
  view.take({ type: 'snapshot' });
  view.take({ type: 'synced', position: at(revision) });
  saved.changed();
}
function positioned({ view, saved }: { view: View; saved: SavedView }, revision: number): void {
  view.take({ type: 'position', position: at(revision) });
  saved.positioned(at(revision));
}

test('a position counts when the write has ended, not when it began', async () => {
  const b = bench();
  const one = b.open();
  await one.saved.load();
  synced(one, 5);
  await b.pass(500);
  assert.equal(b.writes.length, 1);
  assert.equal(one.saved.position, null);
  positioned(one, 6);
  assert.equal(one.saved.position, null, 'nothing is on the disk yet');
  await b.finish();
  assert.deepEqual(one.saved.position, at(6), 'the file has all objects of position 6');
  positioned(one, 7);
  assert.deepEqual(one.saved.position, at(7), 'at once: no object has changed since');
});

test('a change that came while the file was written is not counted as saved', async () => {
  const b = bench();
  const one = b.open();
  await one.saved.load();
  synced(one, 5);
  await b.pass(500);
  one.view.take({ type: 'gone', kind: 'tenant', key: 'a' });
  one.saved.changed();
  positioned(one, 6);
  await b.finish();
  assert.deepEqual(one.saved.position, at(5));
  positioned(one, 7);
  assert.deepEqual(one.saved.position, at(5));
  await b.pass(500);
  await b.finish();
  assert.deepEqual(one.saved.position, at(7));
});

test('what a restart finds is never older than the position that was told, also after a failed write', async () => {
  const b = bench();
  const one = b.open();
  await one.saved.load();
  synced(one, 5);
  await b.pass(500);
  await b.finish(false);
  assert.equal(one.saved.position, null);
  await b.pass(30_000);
  await b.finish();
  assert.deepEqual(one.saved.position, at(5), 'it is tried again by itself');
  const two = b.open();
  await two.saved.load();
  assert.deepEqual(two.saved.position, at(5));
  assert.deepEqual(two.view.state?.position, at(5));
  positioned(two, 9);
  assert.deepEqual(two.saved.position, at(9));
});
