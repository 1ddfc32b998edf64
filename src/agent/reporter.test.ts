import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import type { Cancel } from '#core/ports.ts';
import { Reporter } from './reporter.ts';
import { View } from './view.ts';

/** Time that passes only when told, and timers in it. */
class Time {
  now = 1000;
  readonly #due = new Map<object, { readonly at: number; readonly fn: () => void }>();

  after = (ms: number, fn: () => void): Cancel => {
    const timer = {};
    this.#due.set(timer, { at: this.now + ms, fn });
    return () => this.#due.delete(timer);
  };

  async pass(ms: number): Promise<void> {
    this.now += ms;
    for (const [timer, { at, fn }] of this.#due) {
      if (at > this.now) continue;
      this.#due.delete(timer);
      fn();
    }
    await settle();
  }
}

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
}

function start(known = true) {
  const time = new Time();
  const sent: number[] = [];
  const bodies: m.HostReport[] = [];
  let fails = false;
  let answered: m.HostReportAnswer = { rejected: [] };
  const view = new View();
  view.take({ type: 'snapshot' });
  view.take({ type: 'synced', position: { incarnation: 'x', revision: 1 } });
  const reporter = new Reporter({
    host: 'h1',
    version: '1',
    clock: { now: () => time.now, monotonic: () => time.now },
    timers: time,
    random: { bytes: (n) => new Uint8Array(n), uuid: () => '', fraction: () => 0 },
    log: { debug() {}, info() {}, warn() {}, error() {} },
    heartbeatMs: 10_000,
    send: (report) => {
      bodies.push(report);
      if (fails) return Promise.reject(new Error('away'));
      sent.push(time.now);
      return Promise.resolve(answered);
    },
    state: () =>
      known
        ? {
            view: view.state!,
            local: [],
            outcome: null,
            problems: [],
            saved: null,
            holdings: { holds: 0, orphans: [] },
            wired: null,
            wanted: [],
            generation: { id: 'g', seq: 0 },
          }
        : null,
  });
  const answer = (next: m.HostReportAnswer): void => void (answered = next);
  return { time, sent, bodies, reporter, answer, fail: (value: boolean) => (fails = value) };
}

test('heartbeats come in time however often nothing new is said in between', async () => {
  const { time, sent, reporter } = start();
  reporter.wake();
  await settle();
  for (let i = 0; i < 20; i++) {
    reporter.wake();
    await time.pass(3000);
  }
  // Looked at every 3 s: one in every 10 to 12 s.
  assert.ok(sent.length >= 5 && sent.length <= 7, `${sent.length} reports in a minute`);
  reporter.stop();
});

test('without wishes there is one report for each heartbeat, and none while nothing is known', async () => {
  for (const [known, wanted] of [
    [true, [1000, 11_000, 21_000, 31_000]],
    [false, []],
  ] as const) {
    const { time, sent, reporter } = start(known);
    reporter.wake();
    await settle();
    for (let i = 0; i < 31; i++) await time.pass(1000);
    assert.deepEqual(sent, wanted);
    reporter.stop();
  }
});

test('a report that fails is tried again sooner than the next heartbeat', async () => {
  const { time, sent, reporter, fail } = start();
  fail(true);
  reporter.wake();
  await settle();
  fail(false);
  await time.pass(1000);
  assert.deepEqual(sent, [2000]);
  reporter.stop();
});

test('a server that asks for nothing is told no more, and after a failure nothing is taken for granted', async () => {
  const { time, reporter, fail, answer, bodies } = start();
  const told = async (): Promise<boolean> => {
    await time.pass(10_000);
    return bodies.at(-1)?.live !== undefined;
  };
  reporter.wake();
  await settle();
  assert.equal(await told(), false);
  answer({ rejected: [], live: 'digest' });
  assert.deepEqual([await told(), await told()], [false, true]);
  fail(true);
  await time.pass(10_000);
  fail(false);
  assert.deepEqual([await told(), await told()], [false, true]);
  answer({ rejected: [] });
  assert.deepEqual([await told(), await told()], [true, false]);
  reporter.stop();
});
