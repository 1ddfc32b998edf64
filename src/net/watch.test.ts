import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { WatchEvent } from '#contract/watch.ts';
import { encodeWatchEvent } from '#contract/watch-text.ts';
import { RomanaError } from '#core/errors.ts';
import { type FollowedEvent, type StreamSink, watch } from './watch.ts';

/** A world with a clock of its own, in which streams are opened and pushed by hand. */
function world(since: { incarnation: string; revision: number } | null = null) {
  let now = 0;
  let due: { at: number; fn: () => void }[] = [];
  const opened: { path: string; sink: StreamSink; cancelled: boolean }[] = [];
  const events: FollowedEvent[] = [];
  const downs: RomanaError[] = [];
  let consumer: (event: FollowedEvent) => void = () => undefined;
  const stop = watch({
    since,
    open(path, sink) {
      const stream = { path, sink, cancelled: false };
      opened.push(stream);
      return () => {
        stream.cancelled = true;
      };
    },
    onEvent(event) {
      consumer(event);
      events.push(event);
    },
    onDown: (error) => downs.push(error),
    clock: { now: () => 0, monotonic: () => now },
    timers: {
      after(ms, fn) {
        const timer = { at: now + ms, fn };
        due.push(timer);
        return () => {
          due = due.filter((other) => other !== timer);
        };
      },
    },
    random: { bytes: (n) => new Uint8Array(n), uuid: () => '', fraction: () => 0.5 },
  });
  const current = () => {
    const last = opened.at(-1);
    assert.ok(last !== undefined);
    return last;
  };
  return {
    stop,
    opened,
    events,
    downs,
    current,
    pending: () => due.length,
    consume(fn: (event: FollowedEvent) => void) {
      consumer = fn;
    },
    send(...list: WatchEvent[]) {
      current().sink.chunk(list.map(encodeWatchEvent).join(''));
    },
    pass(ms: number) {
      const end = now + ms;
      for (;;) {
        const [next] = due.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at);
        if (next === undefined) break;
        due = due.filter((timer) => timer !== next);
        now = Math.max(now, next.at);
        next.fn();
      }
      now = end;
    },
  };
}
const at = (revision: number, incarnation = 'a') => ({ incarnation, revision });
const gone = (key: string): WatchEvent => ({ type: 'gone', kind: 'host', key });

test('it comes back with the last position it was told, not with changes that had none', () => {
  const w = world();
  assert.equal(w.current().path, '/v1/watch');
  w.send({ type: 'snapshot' }, gone('h'), { type: 'synced', position: at(5) }, gone('i'));
  w.send({ type: 'position', position: at(7) }, gone('j'));
  w.current().sink.end(null);
  w.pass(1000);
  assert.equal(w.opened.length, 2);
  assert.equal(w.current().path, '/v1/watch?since=a%3A7');
});

test('a snapshot that broke off is begun anew, even when there was a position before it', () => {
  const w = world(at(3));
  assert.equal(w.current().path, '/v1/watch?since=a%3A3');
  w.send({ type: 'snapshot' }, gone('h'), { type: 'position', position: at(9) });
  w.current().sink.end(null);
  w.pass(1000);
  assert.equal(w.current().path, '/v1/watch');
});

test('a malformed event, a position that goes back and one of another incarnation lead to a snapshot', () => {
  for (const poison of [
    'data: {"type":"gone"}\n\n',
    'data: nonsense\n\n',
    encodeWatchEvent({ type: 'position', position: at(6) }),
    encodeWatchEvent({ type: 'position', position: at(8, 'b') }),
    'x'.repeat(9 * 1024 * 1024),
  ]) {
    const w = world();
    w.send({ type: 'snapshot' }, { type: 'synced', position: at(7) });
    const before = w.events.length;
    w.current().sink.chunk(poison);
    assert.ok(w.current().cancelled);
    w.current().sink.chunk(encodeWatchEvent(gone('late')));
    assert.equal(w.events.length, before);
    w.pass(1000);
    assert.equal(w.current().path, '/v1/watch');
    assert.equal(w.downs.length, 1);
  }
});

test('an event that its consumer cannot take in leads to a snapshot', () => {
  const w = world();
  w.send({ type: 'snapshot' }, { type: 'synced', position: at(7) });
  w.consume(() => {
    throw new Error('consumer');
  });
  w.send({ type: 'position', position: at(8) });
  w.consume(() => undefined);
  w.pass(1000);
  assert.equal(w.current().path, '/v1/watch');
});

test('25 s of silence end a stream; any byte keeps it', () => {
  const w = world();
  w.send({ type: 'snapshot' }, { type: 'synced', position: at(1) });
  for (let i = 0; i < 5; i += 1) {
    w.pass(24_000);
    w.current().sink.chunk(':\n');
  }
  assert.equal(w.opened.length, 1);
  w.pass(25_000);
  assert.ok(w.opened[0]?.cancelled);
  assert.deepEqual(
    w.downs.map((error) => error.code),
    ['timeout'],
  );
  w.pass(1000);
  assert.equal(w.current().path, '/v1/watch?since=a%3A1');
});

test('`behind` is answered by coming back, and not handed on', () => {
  const w = world();
  w.send({ type: 'snapshot' }, { type: 'synced', position: at(4) }, { type: 'behind' }, gone('h'));
  assert.deepEqual(
    w.events.map((event) => event.type),
    ['snapshot', 'synced'],
  );
  w.pass(1000);
  assert.equal(w.current().path, '/v1/watch?since=a%3A4');
});

test('delays double up to the limit and begin anew after success', () => {
  const w = world();
  const delays: number[] = [];
  for (let i = 0; i < 10; i += 1) {
    w.current().sink.end(new RomanaError('unavailable', 'x'));
    const count = w.opened.length;
    let waited = 0;
    while (w.opened.length === count) {
      w.pass(1);
      waited += 1;
    }
    delays.push(waited);
  }
  assert.deepEqual(delays.slice(0, 3), [188, 375, 750]);
  assert.equal(delays.at(-1), 11_250);
  w.send({ type: 'snapshot' }, { type: 'synced', position: at(1) });
  w.current().sink.end(null);
  const count = w.opened.length;
  w.pass(188);
  assert.equal(w.opened.length, count + 1);
});

test('stopping ends the stream or the waiting, and nothing comes after', () => {
  const connected = world();
  connected.stop();
  assert.ok(connected.current().cancelled);
  connected.current().sink.chunk(encodeWatchEvent({ type: 'snapshot' }));
  connected.current().sink.end(null);
  connected.pass(100_000);
  assert.equal(connected.opened.length, 1);
  assert.equal(connected.events.length, 0);
  const waiting = world();
  waiting.current().sink.end(null);
  waiting.stop();
  waiting.pass(100_000);
  assert.equal(waiting.opened.length, 1);
  assert.equal(waiting.pending() + connected.pending(), 0);
});
