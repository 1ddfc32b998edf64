/** Which lines of the monitors concern us, and what happens when a monitor dies. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RomanaError } from '#core/errors.ts';
import type { Timers } from '#core/ports.ts';
import type { LineHandlers, LineSpawner } from '../../exec.ts';
import { createKernelEvents, isOurTable } from './events.ts';

interface Started {
  readonly argv: readonly string[];
  readonly handlers: LineHandlers;
  stopped: boolean;
}

function world() {
  const started: Started[] = [];
  const due: { ms: number; fn: () => void; over: boolean }[] = [];
  const spawn: LineSpawner = (argv, handlers) => {
    const entry: Started = { argv, handlers, stopped: false };
    started.push(entry);
    return () => void (entry.stopped = true);
  };
  const timers: Timers = {
    after(ms, fn) {
      const entry = { ms, fn, over: false };
      due.push(entry);
      return () => void (entry.over = true);
    },
  };
  const seen: string[] = [];
  const cancel = createKernelEvents({ timers, spawn }).start((what) => seen.push(what));
  const fire = (): number => {
    const entry = due.shift();
    if (entry?.over === false) entry.fn();
    return entry?.ms ?? -1;
  };
  const of = (program: string): Started => {
    const found = started.findLast(({ argv }) => argv[0] === program);
    assert.ok(found !== undefined);
    return found;
  };
  return { started, due, seen, cancel, fire, of };
}

const died = new RomanaError('kernel_refused', 'died');

test('lines of nft monitor that name our table concern us, others do not', () => {
  for (const line of [
    'add table inet romana',
    'delete chain inet romana egress',
    'add element inet romana sources4 { "rom1" . 10.1.1.3 }',
    'delete rule inet romana forward handle 7',
  ]) {
    assert.equal(isOurTable(line), true, line);
  }
  for (const line of [
    '',
    '# new generation 5 by process 123 (nft)',
    'add table ip romana',
    'add table inet romana2',
    'add chain inet other romana',
  ]) {
    assert.equal(isOurTable(line), false, line);
  }
});

test('a line calls back with its kind', () => {
  const { seen, of } = world();
  of('ip').handlers.onLine('2: eth0: <UP>');
  of('nft').handlers.onLine('add table inet romana');
  of('nft').handlers.onLine('add table inet other');
  of('ip').handlers.onLine('');
  assert.deepEqual(seen, ['network', 'rules']);
});

test('a dead monitor is started again, ever later, and each start counts as a change', () => {
  const { seen, of, fire, started } = world();
  const delays: number[] = [];
  for (let i = 0; i < 10; i++) {
    of('ip').handlers.onEnd(died);
    delays.push(fire());
  }
  assert.deepEqual(delays, [200, 400, 800, 1600, 3200, 6400, 12800, 25600, 30000, 30000]);
  assert.equal(seen.filter((what) => what === 'network').length, 10);
  assert.equal(started.length, 12);
  of('ip').handlers.onLine('2: eth0: <UP>');
  of('ip').handlers.onEnd(died);
  assert.equal(fire(), 200);
});

test('cancelled, the monitors are stopped, nothing is started any more and nothing told', () => {
  const { seen, of, fire, started, cancel } = world();
  of('ip').handlers.onEnd(died);
  cancel();
  cancel();
  fire();
  of('nft').handlers.onEnd(died);
  of('nft').handlers.onLine('add table inet romana');
  fire();
  assert.deepEqual(seen, []);
  assert.equal(started.length, 2);
  assert.ok(of('nft').stopped);
});
