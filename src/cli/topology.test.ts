/** `romana topology` against a real server: apply, diff, export, and what is in the way of a change. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { createLog } from '#runtime/index.ts';
import { checkConfig } from '#server/config.ts';
import { type RunningServer, runServer } from '#server/main.ts';
import { processWorld } from './process-world.ts';
import { run } from './run.ts';

let server: RunningServer;
let folder = '';
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'romana-topology-'));
  const config = checkConfig({ dataDir: join(folder, 'server'), listen: ['127.0.0.1:0'] });
  server = await runServer(config, { log: createLog({ level: 'silent' }) });
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

async function romana(
  argv: readonly string[],
  stdin = '',
): Promise<{ code: number; out: string; err: string }> {
  let out = '';
  let err = '';
  const code = await run(argv, {
    ...processWorld,
    env: { ROMANA_CONFIG: server.clientFile },
    out: (text) => void (out += text),
    err: (text) => void (err += text),
    stdin: () => Promise.resolve(stdin),
  });
  return { code, out, err };
}

test('a file is compared, applied, exported; applied again unchanged it changes nothing; what would move a host is refused', async () => {
  const text = (racks: string) => `networks:
  - name: v4
    cidr: 10.0.0.0/8
    layout: 8/8/4/4
topologies:
  - name: dc1
    map:
${racks}`;
  const two = text(
    '      - {name: rack1}\n      - {name: rack2, hosts: [{name: h1, ip: 192.0.2.1, allocator: server}]}\n',
  );
  const file = join(folder, 'topology.yaml');
  writeFileSync(file, two);
  const first = await romana(['topology', 'diff', file]);
  assert.equal(
    first.out,
    'change topology dc1: groups, name\ncreate network v4\ncreate host h1\n',
    first.err,
  );
  const applied = await romana(['topology', 'apply', file]);
  assert.match(applied.out, /^rack2 +v4 +10\.128\.0\.0\/9 +hosts$/m);
  const exported = await romana(['topology', 'export']);
  const again = await romana(['topology', 'diff', '-'], exported.out);
  assert.deepEqual([again.code, again.out, again.err], [0, '', 'Nothing changes.\n']);
  const checked = await romana(['topology', 'check', '-'], exported.out);
  assert.equal(checked.out, 'standard input is valid: 1 network, 2 groups, 1 host\n');

  for (const argv of [
    ['tenant', 'create', 'acme'],
    ['segment', 'create', 'acme/web'],
    ['endpoint', 'create', 'acme/web/a', '--host', 'h1'],
  ])
    assert.equal((await romana(argv)).code, 0);
  const moved = text('      - {name: rack1}\n      - {name: rack2}\n      - {name: rack3}\n');
  writeFileSync(file, moved);
  const refused = await romana(['topology', 'apply', file]);
  assert.equal(refused.code, 4);
  assert.match(refused.err, /h1 would move; they hold 1 endpoint \(acme\/web\/a\).* --drain/);
  const diff = await romana(['topology', 'diff', file]);
  assert.equal(diff.code, 1);
  assert.match(diff.out, /^blocked host h1: its host ids would move \(group rack2 to rack2\)$/m);
  const drain = await romana(['topology', 'apply', file, '--drain']);
  assert.equal(
    drain.out,
    `1. remove endpoint acme/web/a: romana endpoint delete acme/web/a
2. free the host ids of h1: romana host delete h1
3. apply the file: romana topology apply ${file}
4. create h1 again in group rack2 and join it: romana host create h1 --address ADDRESS --group rack2
`,
  );
  // Nothing was done.
  assert.equal((await romana(['topology', 'export'])).out, exported.out);

  const copy = join(folder, 'copy.yaml');
  assert.deepEqual(await romana(['topology', 'export', copy]), { code: 0, out: '', err: '' });
  assert.equal(readFileSync(copy, 'utf8'), exported.out);
  const over = await romana(['topology', 'export', file]);
  assert.equal(over.code, 2);
  assert.match(over.err, /is there already/);
  assert.equal(readFileSync(file, 'utf8'), moved);
  await romana(['topology', 'export', join(folder, 'copy.json')]);
  JSON.parse(readFileSync(join(folder, 'copy.json'), 'utf8'));
});

test('what the server refuses in a file has its line and column as well', async () => {
  const file = join(folder, 'wrong.yaml');
  writeFileSync(file, 'networks:\n  - name: v4\n    cidr: 11.0.0.0/8\n    layout: 8/8/4/4\n');
  const { code, err } = await romana(['topology', 'apply', file]);
  assert.equal(code, 4);
  assert.ok(
    err.startsWith(`error: ${file}:3:11: Network v4 has the range 10.0.0.0/8, which cannot change`),
    err,
  );
  const stale = await romana(['topology', 'apply', '-', '--if-revision', '99'], 'groups: [{name: x}]\n');
  assert.match(stale.err, /revision_conflict/);
});
