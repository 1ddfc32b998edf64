/** The built bundle that users run: libraries behave differently inside one, so what loads a library late is run from it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

const bundle = fileURLToPath(new URL('../dist/romana.js', import.meta.url));

function romana(...argv: string[]): { code: number | null; out: string; err: string } {
  assert.ok(existsSync(bundle), 'no bundle: run scripts/bootstrap first');
  const { status, stdout, stderr } = spawnSync(process.execPath, [bundle, ...argv], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'] ?? '', HOME: '/nonexistent' },
  });
  return { code: status, out: stdout, err: stderr };
}

test('every command has its help', () => {
  const { out } = romana('--help');
  const [, list = ''] = out.split('Objects:\n');
  const [text = ''] = list.split('Commands:');
  const names = [...text.matchAll(/^ {2}([a-z]+) /gm)].map(([, name]) => name ?? '');
  assert.ok(names.length > 8, out);
  for (const name of names) {
    const { code, out: help, err } = romana(name, '--help');
    assert.deepEqual([code, err], [0, ''], name);
    assert.match(help, new RegExp(`^Usage: romana ${name}`), name);
  }
});

test('what it prints as YAML is what it prints as JSON', () => {
  const argv = ['address', 'decode', '10.1.1.27', '--network', '10.0.0.0/8', '--layout', '8/8/4/4'];
  const yaml = romana(...argv, '-o', 'yaml');
  const json = romana(...argv, '-o', 'json');
  assert.deepEqual([yaml.code, yaml.err, json.code], [0, '', 0]);
  assert.deepEqual(parse(yaml.out), JSON.parse(json.out));
});

test('it reads configuration files of client, server and agent, and names the place of a mistake in them', () => {
  const folder = mkdtempSync(join(tmpdir(), 'romana-bundle-'));
  try {
    const file = join(folder, 'client.yaml');
    writeFileSync(file, 'server: [', { mode: 0o600 });
    const broken = romana('status', '--config', file);
    assert.equal(broken.code, 2, broken.err);
    assert.match(broken.err, /client\.yaml:1:\d+: /);
    for (const program of ['server', 'agent']) {
      const other = join(folder, `${program}.yaml`);
      writeFileSync(other, 'nonsense: true\n');
      const { code, err } = romana(program, '--config', other);
      assert.notEqual(code, 0);
      assert.match(err, /nonsense/, program);
      assert.doesNotMatch(err, /internal/, program);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
