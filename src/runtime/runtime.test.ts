import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createLog, systemClock, systemRandom, systemTimers } from './index.ts';

test('R1 monotonic never goes back', () => {
  let last = systemClock.monotonic();
  for (let i = 0; i < 1000; i++) {
    const next = systemClock.monotonic();
    assert.ok(next >= last);
    last = next;
  }
});

test('R2 a timer fires once, after `after` has returned; a cancelled one never', async () => {
  const seen: string[] = [];
  const cancelled = systemTimers.after(0, () => seen.push('cancelled'));
  cancelled();
  cancelled();
  await new Promise<void>((done) => {
    const cancel = systemTimers.after(0, () => {
      seen.push('fired');
      cancel();
      systemTimers.after(2, done);
    });
    seen.push('returned');
  });
  assert.deepEqual(seen, ['returned', 'fired']);
});

test('R2 a wait longer than setTimeout can hold does not fire at once', async () => {
  let fired = false;
  const cancel = systemTimers.after(2 ** 33, () => {
    fired = true;
  });
  await new Promise<void>((done) => systemTimers.after(20, done));
  cancel();
  assert.equal(fired, false);
});

test('R2 a wait that is no number or negative fires like zero', async () => {
  await Promise.all([Number.NaN, -5].map((ms) => new Promise<void>((done) => systemTimers.after(ms, done))));
});

test('randomness has the asked-for size and range', () => {
  assert.equal(systemRandom.bytes(32).length, 32);
  assert.equal(systemRandom.bytes(0).length, 0);
  assert.match(systemRandom.uuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4/);
  for (let i = 0; i < 100; i++) {
    const f = systemRandom.fraction();
    assert.ok(f >= 0 && f < 1);
  }
});

function lines(level?: 'debug' | 'warn' | 'silent') {
  const out: string[] = [];
  const write = (text: string): void => void out.push(text);
  return {
    out,
    log: createLog({ ...(level && { level }), base: { part: 'agent' }, clock: { now: () => 0 }, write }),
  };
}

test('R3 a line is one line of JSON with level, time, message and fields', () => {
  const { out, log } = lines();
  log.info({ host: 'h1', text: 'a\nb' }, 'hello\nworld');
  log.debug({}, 'not shown');
  assert.equal(out.length, 1);
  assert.equal(out[0]?.indexOf('\n'), (out[0]?.length ?? 0) - 1);
  assert.deepEqual(JSON.parse(out[0] ?? ''), {
    part: 'agent',
    host: 'h1',
    text: 'a\nb',
    level: 'info',
    time: '1970-01-01T00:00:00.000Z',
    msg: 'hello\nworld',
  });
});

test('R3 errors keep message and cause; bigints, sets and cycles do not break a line', () => {
  const { out, log } = lines('debug');
  const cycle: Record<string, unknown> = {};
  cycle['self'] = cycle;
  log.error({ error: new Error('outer', { cause: new Error('inner') }), big: 1n, set: new Set([1]) }, 'x');
  log.error(cycle, 'y');
  assert.equal(JSON.parse(out[0] ?? '').error.cause.message, 'inner');
  assert.equal(JSON.parse(out[0] ?? '').big, '1');
  assert.deepEqual(JSON.parse(out[0] ?? '').set, [1]);
  assert.deepEqual(JSON.parse(out[1] ?? '').unprintable, ['part', 'self']);
});

test('R3 a writer that throws does not reach the caller; silent writes nothing', () => {
  const log = createLog({
    write: () => {
      throw new Error('disk full');
    },
  });
  log.error({}, 'lost');
  const { out, log: quiet } = lines('silent');
  quiet.error({}, 'no');
  assert.deepEqual(out, []);
});
