/** No address with two owners at any time, none leaked, every answer true: 64 clients, 8 agents, crashes and lost answers. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sizes } from '../support/sizes.ts';
import { runLoad } from './cluster.ts';
import { History, surelyHeld, violations } from './history.ts';

test(`I1 ${sizes.linearizability} operations of 64 clients: one owner per address, nothing leaked, every answer true`, async (t) => {
  const seed = Number(process.env['ROMANA_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
  t.diagnostic(`ROMANA_SEED=${seed}`);
  const outcome = await runLoad({ seed, operations: sizes.linearizability, clients: 64, agents: 8 });
  assert.deepEqual(outcome.violations, [], `ROMANA_SEED=${seed}`);
  // A load in which nothing went wrong would prove nothing.
  assert.ok(outcome.lost > 0 && outcome.refused > 0 && outcome.crashes > 0, JSON.stringify(outcome));
});

/** Histories by hand: `a+ 1` is an answered allocation of address 1, `a-` a release, `a+?` and `a-?` ones without answer. */
function play(steps: string): string[] {
  let now = 0;
  const history = new History(() => now);
  for (const step of steps.split(', ')) {
    now += 10;
    const [, key = '', sign = '', lost = '', address = ''] = /^(\w)([+-])(\??)(?: (\d))?$/.exec(step) ?? [];
    const operation = history.invoke(sign === '+' ? 'allocate' : 'release', key);
    if (lost === '')
      history.answer(
        operation,
        sign === '+' ? { uid: `${key}${history.operations.length}`, addresses: [address] } : 'done',
      );
  }
  const held = [...surelyHeld(history.operations).keys()].join();
  return [...violations(history.operations, 20), held];
}

test('the judge finds two owners, and reuse without a rest; it is silent where nothing is certain', () => {
  assert.deepEqual(play('a+ 1, b+ 1'), [
    '1 belongs to a (a1) and to b (b2)',
    '1 went from a to b without a rest',
    'a,b',
  ]);
  assert.deepEqual(play('a+ 1, a-, b+ 1'), ['1 went from a to b without a rest', 'b']);
  assert.deepEqual(play('a+ 1, a-, c+ 3, b+ 1'), ['c,b']);
  assert.deepEqual(play('a+ 1, a-?, c+ 3, b+ 1'), ['c,b']);
  assert.deepEqual(play('a+ 1, a-, a+ 1'), ['a']);
  assert.deepEqual(play('a+ 1, a+ 1'), ['1 belongs to a (a1) and to a (a2)', 'a']);
  assert.deepEqual(play('a-?, a+ 1'), ['']);
});
