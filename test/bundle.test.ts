/** The built bundle that users run: libraries behave differently inside one, so what loads a library late is run from it. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';
import { FakeEc2 } from './aws/ec2-server.ts';

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

/** Resolves when it says that it runs. */
function running(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let log = '';
    child.once('exit', () => reject(new Error(`the server ended: ${log}`)));
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        log += text;
        if (log.includes('server runs')) resolve();
      });
    }
  });
}

test('a server keeps the route tables of a VPC: the SDK is loaded late, from the bundle', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'romana-bundle-'));
  const ec2 = new FakeEc2();
  const endpoint = await ec2.listen();
  ec2.addTable('rtb-a');
  ec2.addInstance('h1', '172.31.0.11', 'subnet-a');
  const env = {
    PATH: process.env['PATH'] ?? '',
    HOME: '/nonexistent',
    AWS_ACCESS_KEY_ID: 'TESTKEY',
    AWS_SECRET_ACCESS_KEY: 'test-secret',
    AWS_EC2_METADATA_DISABLED: 'true',
  };
  const args = [
    'server',
    '--data-dir',
    join(folder, 'data'),
    '--listen',
    '127.0.0.1:0',
    '--log-level',
    'info',
  ];
  const child = spawn(process.execPath, [bundle, ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    await running(child);
    const client = (...argv: string[]): Promise<{ out: string; code: number | null }> =>
      new Promise((resolve, reject) => {
        const config = join(folder, 'data', 'client.yaml');
        const asked = spawn(process.execPath, [bundle, ...argv, '--config', config], {
          env,
          stdio: ['ignore', 'pipe', 'pipe'],
        });
        let out = '';
        for (const stream of [asked.stdout, asked.stderr])
          stream.setEncoding('utf8').on('data', (text: string) => void (out += text));
        asked.once('error', reject);
        asked.once('close', (code) => resolve({ out, code }));
      });
    assert.match((await client('vpc', 'plan')).out, /^No VPC: /);
    const topology = join(folder, 'topology.yaml');
    writeFileSync(
      topology,
      JSON.stringify({
        networks: [{ name: 'net1', cidr: '100.64.0.0/10', layout: '6/8/4/4' }],
        topologies: [
          {
            networks: ['net1'],
            fabric: { kind: 'vpc', region: 'eu-test-1', vpc: 'vpc-1', endpoint },
            map: [{ name: 'zone-a' }],
          },
        ],
      }),
    );
    const applied = await client('topology', 'apply', topology);
    assert.equal(applied.code, 0, applied.out);
    const created = await client('host', 'create', 'h1', '--address', '172.31.0.11', '--group', 'zone-a');
    assert.equal(created.code, 0, created.out);
    const changes = await client('vpc', 'plan');
    assert.match(changes.out, /rtb-a +100\.65\.0\.0\/16 +eni-h1 +h1 +(create|keep) +the range of host h1/);
    // the server does it by itself
    for (let tries = 0; ec2.routesOf('rtb-a').length === 0 && tries < 600; tries++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-h1']);
    const status = await client('vpc', 'status', '-o', 'json');
    assert.equal((JSON.parse(status.out) as { items: { vpc: string }[] }).items[0]?.vpc, 'vpc-1');
  } finally {
    if (child.exitCode === null) {
      child.kill('SIGTERM');
      await once(child, 'exit');
    }
    await ec2.close();
    rmSync(folder, { recursive: true });
  }
});
