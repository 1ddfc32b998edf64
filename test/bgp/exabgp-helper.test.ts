/** The helper beside ExaBGP is a program of ours: its death must cost no session, and its socket come back. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { assertNoFlap, steady, until } from './support/fabric.ts';
import { makeSite } from './support/restart.ts';

/** The process namespace is the test's own. */
function helper(): number | undefined {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const found = pids.find((pid) => {
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      return words.some((word) => word.endsWith('/exabgp-api'));
    } catch {
      return false;
    }
  });
  return found === undefined ? undefined : Number(found);
}

if (inPrivateNamespaces(import.meta.url)) {
  test('the helper is killed: ExaBGP starts it anew, keeps its sessions, and is asked again', async () => {
    const site = await makeSite('exabgp');
    try {
      const before = await steady(site.speaker);
      const first = helper();
      assert.ok(first !== undefined);
      process.kill(first, 'SIGKILL');
      await until('another helper answers', async () => {
        const { daemon } = await site.speaker.status();
        return helper() !== undefined && helper() !== first && daemon === 'up';
      });
      assert.deepEqual((await site.speaker.apply(site.intent)).changes, []);
      assertNoFlap(before, (await site.speaker.status()).sessions);
      assert.equal((await site.stream.look()).lost, 0);
    } finally {
      await site.end();
    }
  });
}
