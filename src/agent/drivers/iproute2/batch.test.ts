/** How refusals of `ip -batch` are laid at the door of the right line. The texts are those of iproute2 6.1. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import { type BatchLine, GONE, isPlainWord, runBatch } from './batch.ts';

const line = (text: string, owner = text): BatchLine => ({
  words: text.split(' '),
  owner,
  change: { action: 'create', kind: 'route', object: text },
});

/** Answers in turn; keeps what it was given. */
function scripted(...answers: { stdout?: string; stderr?: string; code?: number }[]): {
  runner: Runner;
  given: string[];
} {
  const given: string[] = [];
  const runner: Runner = (argv, options) => {
    assert.deepEqual(argv, ['ip', '-force', '-batch', '-']);
    given.push(options?.stdin ?? '');
    const { stdout = '1: lo\n', stderr = '', code = 0 } = answers[given.length - 1] ?? {};
    return Promise.resolve({ stdout, stderr, code });
  };
  return { runner, given };
}

test('no line, no process', async () => {
  const { runner, given } = scripted();
  assert.deepEqual((await runBatch(runner, [])).changes, []);
  assert.deepEqual(given, []);
});

test('I3 only the refused lines fail, with the words of the kernel; of one owner the first counts', async () => {
  const stderr =
    'RTNETLINK answers: File exists\nCommand failed -:2\nError: Nexthop device is not up.\nCommand failed -:4\n';
  const { runner } = scripted({ stderr, code: 1 });
  const result = await runBatch(runner, [line('a'), line('b', 'x'), line('c'), line('d', 'x'), line('e')]);
  assert.deepEqual(
    result.changes.map(({ object }) => object),
    ['a', 'c', 'e'],
  );
  assert.deepEqual([...result.failures.keys()], ['x']);
  assert.match(result.failures.get('x')?.message ?? '', /"ip b": File exists$/);
});

test('what is gone already is neither a change nor a failure', async () => {
  const stderr =
    'RTNETLINK answers: No such process\nCommand failed -:1\nCannot find device "romx"\nCommand failed -:2\n';
  const { runner } = scripted({ stderr, code: 1 });
  const gone = (text: string): BatchLine => ({ ...line(text), harmless: GONE });
  const result = await runBatch(runner, [gone('route del a'), gone('link del dev romx')]);
  assert.deepEqual([result.changes, [...result.failures]], [[], []]);
});

test('I3 when ip gives up, the line at fault fails and the rest is run', async () => {
  const stderr =
    'RTNETLINK answers: File exists\nCommand failed -:1\nError: argument "/run/netns/b" is wrong: Invalid "netns" value\n\n';
  const { runner, given } = scripted({ stdout: '', stderr, code: 255 }, {});
  const lines = [
    line('add a netns /run/netns/a'),
    line('add c netns /run/netns/c'),
    line('add b netns /run/netns/b'),
    line('up c'),
  ];
  const result = await runBatch(runner, lines);
  assert.deepEqual([...result.failures.keys()], ['add a netns /run/netns/a', 'add b netns /run/netns/b']);
  assert.deepEqual(
    result.changes.map(({ object }) => object),
    ['add c netns /run/netns/c', 'up c'],
  );
  assert.equal(given[1], 'up c\nlink show dev lo\n');
});

test('when it gives up for no reason that can be seen, the whole batch is an error', async () => {
  const { runner } = scripted({ stdout: '', stderr: 'Cannot open netlink socket\n', code: 1 });
  await assert.rejects(
    runBatch(runner, [line('a')]),
    (error) => isRomanaError(error) && error.code === 'kernel_refused',
  );
});

test('words that ip would read otherwise never reach it; aliases are quoted', async () => {
  for (const word of ['', 'a b', 'a"b', "a'b", 'a#b', 'a\\', 'a\nb', 'a\tb'])
    assert.equal(isPlainWord(word), false, word);
  const { runner, given } = scripted();
  await runBatch(runner, [{ ...line('x'), words: ['alias', 'romana a/b/c @1'] }]);
  assert.equal(given[0], 'alias "romana a/b/c @1"\nlink show dev lo\n');
  for (const word of ['', 'a"b', 'a#b', 'a\\', 'a\nb']) {
    await assert.rejects(runBatch(runner, [{ ...line('x'), words: [word] }]), /cannot stand/);
  }
});
