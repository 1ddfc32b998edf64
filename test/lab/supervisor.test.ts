/** The supervisor of daemons, with small programs in their place. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { createRunner } from '#agent/exec.ts';
import { addNamespaces } from '#lab/network.ts';
import { until } from '#lab/processes.ts';
import { Daemon, type DaemonWish } from '#lab/supervisor.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';

if (inPrivateNamespaces(import.meta.url)) {
  const dir = '/run/daemons';
  mkdirSync(dir);
  await addNamespaces(createRunner(), ['n1']);
  const wish = (name: string, program: string, more: Partial<DaemonWish> = {}): DaemonWish => ({
    name,
    namespace: 'n1',
    argv: ['perl', '-e', program],
    env: {},
    stale: [],
    needs: [],
    logFile: join(dir, `${name}.log`),
    ...more,
  });
  const running = (daemon: Daemon, starts: number): Promise<true> =>
    until('running', 10_000, async () =>
      daemon.starts >= starts && daemon.process !== undefined ? true : undefined,
    );

  test('I2 it waits for what it needs, removes what an earlier life left, and runs in its namespace with its environment', async () => {
    const [needed, left, seen] = ['needed', 'left', 'seen'].map((name) => join(dir, name)) as [
      string,
      string,
      string,
    ];
    writeFileSync(left, '');
    const program = `open(my $f, '>', '${seen}'); print $f -e '${left}' ? 'stale' : 'clean', ' ', $ENV{WORD}, ' ', readlink('/proc/self/ns/net'); close $f; sleep 60`;
    const daemon = new Daemon(
      wish('one', program, { needs: [needed], stale: [left], env: { WORD: 'word' } }),
    );
    daemon.start();
    await sleep(200);
    assert.equal(daemon.starts, 0);
    assert.ok(existsSync(left));
    writeFileSync(needed, '');
    const text = await until('told', 10_000, async () =>
      existsSync(seen) ? readFileSync(seen, 'utf8') || undefined : undefined,
    );
    const inside = await createRunner()(['ip', 'netns', 'exec', 'n1', 'readlink', '/proc/self/ns/net']);
    assert.equal(text, `clean word ${inside.stdout.trim()}`);
    await daemon.destroy();
  });

  test('I1 what is killed or ends by itself comes back; what is stopped stays away, until it is started again', async () => {
    const daemon = new Daemon(wish('two', 'sleep 60'));
    daemon.start();
    daemon.start();
    await running(daemon, 1);
    await daemon.kill();
    await running(daemon, 2);
    await daemon.stop();
    await sleep(600);
    assert.deepEqual([daemon.starts, daemon.process], [2, undefined]);
    daemon.start();
    await running(daemon, 3);
    await daemon.destroy();
    await sleep(600);
    assert.deepEqual([daemon.starts, daemon.process], [3, undefined]);

    const brief = new Daemon(wish('brief', 'exit 1'));
    brief.start();
    await until('started twice', 10_000, async () => (brief.starts >= 2 ? true : undefined));
    await brief.stop();
  });

  test('one that is stopped before it could start never does', async () => {
    const needed = join(dir, 'late');
    const daemon = new Daemon(wish('never', 'sleep 60', { needs: [needed] }));
    daemon.start();
    await daemon.stop();
    writeFileSync(needed, '');
    await sleep(300);
    assert.equal(daemon.starts, 0);
  });
}
