/** The real process: what it loads, what it prints, how it ends; and exit codes against a real server. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createLog } from '#runtime/index.ts';
import { checkConfig } from '#server/config.ts';
import { type RunningServer, runServer } from '#server/main.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const entry = join(root, 'src/cli/main.ts');

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

/** Not spawnSync: the server that is asked may live in this very process. */
function romana(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [entry, ...argv], {
      env: { PATH: process.env['PATH'] ?? '', ...env },
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
    child.stdin.end();
    child.once('close', (code, signal) => resolve({ code, signal, out, err }));
  });
}

test('the top-level help is the one that was agreed on', async () => {
  const { out, err, code } = await romana(['--help']);
  assert.equal(out, readFileSync(join(root, 'src/cli/help.golden.txt'), 'utf8'));
  assert.equal(err, '');
  assert.equal(code, 0);
});

test('1 help loads neither server, agent, lab, zod nor yaml', () => {
  const folder = mkdtempSync(join(tmpdir(), 'romana-cli-'));
  try {
    const hook = `
      import { registerHooks } from 'node:module';
      import { appendFileSync } from 'node:fs';
      registerHooks({ load(url, context, next) { appendFileSync(process.env.LOADED, url + '\\n'); return next(url, context); } });`;
    const loaded = join(folder, 'loaded');
    const preload = `data:text/javascript,${encodeURIComponent(hook)}`;
    for (const argv of [['--help'], ['tenant', 'create', '--help'], ['errors']]) {
      spawnSync(process.execPath, ['--import', preload, entry, ...argv], {
        env: { ...process.env, LOADED: loaded },
      });
    }
    const urls = readFileSync(loaded, 'utf8').split('\n');
    assert.ok(
      urls.some((url) => url.endsWith('/src/cli/program.ts')),
      'the hook saw nothing',
    );
    const heavy = urls.filter((url) =>
      /\/src\/(server|agent|lab|net)\/|\/node_modules\/(?!commander\/)/.test(url),
    );
    assert.deepEqual(heavy, []);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('a reader that closes the pipe early is no failure', () => {
  const { stderr, status } = spawnSync(
    'sh',
    ['-c', '"$@" | head -n 1 >/dev/null', 'sh', process.execPath, entry, 'errors'],
    {
      encoding: 'utf8',
    },
  );
  assert.equal(stderr, '');
  assert.equal(status, 0);
});

test('an older Node is told what to do', () => {
  const text = readFileSync(entry, 'utf8');
  assert.doesNotMatch(text, /^import /m, 'nothing may be imported before the version is checked');
  assert.match(text, /romana needs Node 24\.15 or later/);
});

let server: RunningServer;
let dataDir = '';
before(async () => {
  dataDir = mkdtempSync(join(tmpdir(), 'romana-cli-server-'));
  const config = checkConfig({ dataDir: join(dataDir, 'server'), listen: ['127.0.0.1:0'] });
  server = await runServer(config, { log: createLog({ level: 'silent' }) });
});
after(async () => {
  await server.stop();
  rmSync(dataDir, { recursive: true });
});

test('5 exit codes against a real server: done, refused, usage, not found, conflict, not authenticated', async () => {
  const env = { ROMANA_CONFIG: server.clientFile };
  const ends = async (wanted: number, ...argv: string[]): Promise<Ended> => {
    const ended = await romana(argv, env);
    assert.equal(ended.code, wanted, `${argv.join(' ')}: ${ended.out}${ended.err}`);
    return ended;
  };
  await ends(0, 'network', 'create', 'v4', '--cidr', '10.0.0.0/8', '--layout', '8/8/4/4');
  await ends(0, 'host', 'create', 'h1', '--address', '192.0.2.1', '--allocator', 'server');
  await ends(0, 'tenant', 'create', 'acme');
  await ends(0, 'segment', 'create', 'acme/web');
  const made = await ends(
    0,
    'endpoint',
    'create',
    'acme/web/a',
    '--host',
    'h1',
    '--endpoint-id',
    '11',
    '-o',
    'json',
  );
  assert.equal(
    (JSON.parse(made.out) as { addresses: { address: string }[] }).addresses[0]?.address,
    '10.1.1.27',
  );
  const named = [
    '--network',
    'v4',
    '--host',
    'h1',
    '--tenant',
    'acme',
    '--segment',
    'web',
    '--endpoint',
    '11',
  ];
  assert.equal((await ends(0, 'address', 'encode', ...named, '-q')).out, '10.1.1.27\n');
  assert.match(
    (await ends(0, 'address', 'decode', '10.1.1.27')).out,
    /endpoint: +11 \(acme\/web\/a|endpoint: +11 \(a\)/,
  );
  await ends(1, 'network', 'create', 'v5', '--cidr', '10.0.0.0/33', '--layout', '8/8/4/4');
  await ends(2, 'tenant', 'create');
  await ends(3, 'tenant', 'show', 'nobody');
  await ends(4, 'tenant', 'create', 'acme', '--isolation', 'open');
  await ends(4, 'tenant', 'delete', 'acme');
  const token = await romana(['status'], { ...env, ROMANA_TOKEN: 'romana_0000000000000000_wrong' });
  assert.equal(token.code, 6, token.err);
  const viewer = await ends(0, 'token', 'create', 'ci', '--role', 'viewer', '-q');
  const refused = await romana(['tenant', 'create', 'x'], { ...env, ROMANA_TOKEN: viewer.out.trim() });
  assert.equal(refused.code, 6, refused.err);
  assert.doesNotMatch(refused.err, new RegExp(viewer.out.trim()));
});

test('5 a server that is not there is 5', async () => {
  const { code, err } = await romana(['status'], {
    ROMANA_CONFIG: server.clientFile,
    ROMANA_SERVER: 'https://127.0.0.1:1',
  });
  assert.equal(code, 5);
  assert.match(
    err,
    /^error: Cannot reach https:\/\/127\.0\.0\.1:1: nothing listens there.*\(unavailable\)\n/,
  );
});
