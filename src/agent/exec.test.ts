/** The runner's invariants, on programs that every host has. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import { createRunner, type RunResult, spawnLines } from './exec.ts';

const run = createRunner();
const rejects = (promise: Promise<unknown>, code: string, message: RegExp): Promise<void> =>
  assert.rejects(
    promise,
    (error) => isRomanaError(error) && error.code === code && message.test(error.message),
  );

test('I1 arguments reach the program as they are, with a fixed environment', async () => {
  assert.deepEqual(await run(['printf', '%s', '$(id) "a b" ; *']), {
    code: 0,
    stdout: '$(id) "a b" ; *',
    stderr: '',
  });
  const { stdout } = await run(['env']);
  assert.deepEqual(stdout.trim().split('\n').sort(), ['LC_ALL=C', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin']);
});

test('standard input reaches the program; one that does not read it is no error', async () => {
  assert.equal((await run(['cat'], { stdin: 'x'.repeat(300_000) })).stdout.length, 300_000);
  assert.equal((await run(['true'], { stdin: 'x'.repeat(300_000) })).code, 0);
});

test('an exit code is an error unless it is expected', async () => {
  await rejects(run(['ls', '/nosuch']), 'kernel_refused', /exit code 2.*nosuch/);
  assert.equal((await run(['false'], { okCodes: [0, 1] })).code, 1);
  await rejects(run(['ls', '/nosuch'], { okCodes: [0, 1] }), 'kernel_refused', /exit code 2/);
  assert.equal((await run(['ls', '/nosuch'], { okCodes: 'any' })).code, 2);
});

test('I2 the time limit kills the program', async () => {
  const expire: (() => void)[] = [];
  const runner = createRunner({
    timers: {
      after(ms, fn) {
        assert.equal(ms, 1234);
        expire.push(fn);
        return () => {};
      },
    },
  });
  const sleeping = runner(['sleep', '600'], { timeoutMs: 1234 });
  for (const fire of expire) fire();
  await rejects(sleeping, 'timeout', /1234 ms/);
});

test('I2 the output limit kills the program, and what fits just passes', async () => {
  await rejects(run(['yes'], { maxOutput: 1000 }), 'kernel_refused', /more than 1000 bytes/);
  assert.equal((await run(['printf', '%s', 'abcd'], { maxOutput: 4 })).stdout, 'abcd');
  await rejects(run(['printf', '%s', 'abcde'], { maxOutput: 4 }), 'kernel_refused', /more than 4 bytes/);
});

test('I3 a missing program is named with its package', async () => {
  await rejects(
    run(['nosuchprogram']),
    'kernel_refused',
    /nosuchprogram is missing; install the Debian package nosuchprogram/,
  );
});

test('a program ended by a signal is an error', async () => {
  await rejects(run(['timeout', '--signal=KILL', '0.01', 'sleep', '600']), 'kernel_refused', /SIGKILL|137/);
});

test('lines come one by one, then the end', async () => {
  const lines: string[] = [];
  const end = await new Promise<string>((resolve) => {
    spawnLines(['printf', 'a\nb c\n'], {
      onLine: (line) => lines.push(line),
      onEnd: ({ message }) => resolve(message),
    });
  });
  assert.deepEqual(lines, ['a', 'b c']);
  assert.match(end, /exit code 0/);
});

test('a line program that is missing ends with an error', async () => {
  const end = await new Promise<string>((resolve) => {
    spawnLines(['nosuchprogram'], { onLine: () => {}, onEnd: ({ message }) => resolve(message) });
  });
  assert.match(end, /nosuchprogram/);
});

test('a cancelled line program is killed and silent', async () => {
  const pids: string[] = [];
  const cancel = await new Promise<() => void>((resolve) => {
    const stop = spawnLines(['bash', '-c', 'echo $$; exec sleep 600'], {
      onLine: (line) => {
        pids.push(line);
        resolve(stop);
      },
      onEnd: () => assert.fail('the end of a cancelled program is not told'),
    });
  });
  cancel();
  cancel();
  await untilGone(pids[0] ?? '');
  assert.equal(pids.length, 1);
});

/** Starts a line program from a process of its own, which tells its pid and then does `last`. */
function inAnotherProcess(last: string): Promise<RunResult> {
  const script = `import { spawnLines } from ${JSON.stringify(import.meta.resolve('./exec.ts'))};
    const onLine = (line) => process.stdout.write(line + '\\n', () => { ${last} });
    spawnLines(['bash', '-c', 'echo $$; exec sleep 600'], { onLine, onEnd() {} });
    globalThis.waiting = setTimeout(() => {}, 60_000);`;
  // The shell turns an end by a signal into an exit code.
  const node = [process.execPath, '--input-type=module', '-e', script];
  return run(['sh', '-c', '"$@"; exit $?', 'sh', ...node], { okCodes: 'any', timeoutMs: 30_000 });
}

test('a line program does not keep its process alive, and dies with it', async () => {
  const ended = await inAnotherProcess('clearTimeout(globalThis.waiting);');
  assert.equal(ended.code, 0, ended.stderr);
  await untilGone(ended.stdout.trim());
});

test('a line program dies with its process even when that is killed', async () => {
  const { code, stdout } = await inAnotherProcess("process.kill(process.pid, 'SIGKILL');");
  assert.equal(code, 137);
  await untilGone(stdout.trim());
});

/** Polls, since nobody can wait for a process that is not a child; a zombie counts as gone. */
async function untilGone(pid: string): Promise<void> {
  assert.match(pid, /^\d+$/);
  for (;;) {
    const { stdout } = await run(['cat', `/proc/${pid}/stat`], { okCodes: 'any' });
    if (!stdout.includes('(sleep) ') || stdout.includes('(sleep) Z')) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
