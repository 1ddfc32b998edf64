/** Every golden configuration is taken by the real daemon's own parser, as it stands. */
import assert from 'node:assert/strict';
import { globSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { complaintOf } from '#agent/drivers/frr/status.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { run } from './support/fabric.ts';

if (inPrivateNamespaces(import.meta.url)) {
  const root = fileURLToPath(new URL('../../src/', import.meta.url));
  const goldens = (pattern: string): string[] => globSync(pattern, { cwd: root }).map((path) => root + path);
  const bird = goldens('{agent/drivers/bird/golden/*.conf,core/routing/export/golden/*.bird.conf}');
  const frr = goldens('{agent/drivers/frr/golden/*.conf,core/routing/export/golden/*.frr.conf}');
  const nameOf = (path: string): string => path.slice(root.length);

  test('the golden files were found', () => {
    assert.equal(bird.length, 11);
    assert.equal(frr.length, 11);
  });

  for (const path of bird) {
    test(`bird -p: ${nameOf(path)}`, async () => {
      const site = '/run/site.conf';
      writeFileSync(site, `router id 192.0.2.1;\nprotocol device {\n}\ninclude "${path}";\n`);
      const { stdout, stderr } = await run(['bird', '-p', '-c', path.endsWith('include.conf') ? site : path]);
      assert.equal(stdout + stderr, '');
    });
  }
  for (const path of frr) {
    test(`vtysh -C and bgpd -C: ${nameOf(path)}`, async () => {
      const shell = await run(['vtysh', '-C', '-f', path]);
      assert.equal(shell.stdout + shell.stderr, '');
      const daemon = await run(['/usr/lib/frr/bgpd', '-C', '-f', path]);
      assert.equal(complaintOf(daemon.stdout + daemon.stderr), '');
    });
  }
}
