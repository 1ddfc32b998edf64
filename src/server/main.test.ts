import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { type TestContext, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { createClient } from '#contract/client.ts';
import { connect } from '#net/https.ts';
import { checkConfig, readConfig } from './config.ts';
import { furnish, readClientFile, startHarness, temporary } from './http/harness.ts';
import { runServer } from './main.ts';

const quiet = { debug() {}, info() {}, warn() {}, error() {} };
const local = [{ host: '127.0.0.1', port: 0 }];

/** A server in a process of its own; resolves when it listens. */
async function spawnServer(t: TestContext, dataDir: string): Promise<ChildProcess> {
  const script = fileURLToPath(new URL('./http/child.ts', import.meta.url));
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.after(() => child.kill('SIGKILL'));
  assert.ok(child.stdout !== null);
  const lines = createInterface({ input: child.stdout });
  const [first] = (await Promise.race([
    once(lines, 'line'),
    once(child, 'exit').then(([code]) => [`exit ${String(code)}`]),
  ])) as [string];
  assert.equal(first, 'listening');
  return child;
}

function clientOf(dataDir: string) {
  const file = readClientFile(join(dataDir, 'client.yaml'));
  const connection = connect({ server: file.server, ca: file.ca, token: file.token });
  return { client: createClient(connection), close: () => connection.close() };
}

test('after kill -9 in the middle of writes every acknowledged one is there, once, and the client file still works', async (t) => {
  const dataDir = temporary(t, 'romana-kill-');
  const acknowledged = new Map<string, string>();
  const asked = new Set<string>();
  const params = { tenant: 't1', segment: 's1' };
  for (let round = 0; round < 3; round += 1) {
    const child = await spawnServer(t, dataDir);
    const { client, close } = clientOf(dataDir);
    if (round === 0) await furnish(client, { host: 4, tenant: 4, segment: 4, endpoint: 12 });
    const { items } = await client.endpointList({});
    const stored = new Map(items.map((item) => [item.name, item.addresses[0]?.address ?? '']));
    for (const [name, address] of acknowledged) assert.equal(stored.get(name), address);
    for (const name of stored.keys()) assert.ok(asked.has(name));
    assert.equal(new Set(stored.values()).size, stored.size, 'no address twice');
    if (round === 2) {
      // what was asked and not acknowledged can be asked again with the same answer
      for (const name of asked) {
        const again = await client.endpointCreate({ params, body: { name, host: 'h1' } });
        const known = stored.get(name);
        if (known !== undefined) assert.equal(again.addresses[0]?.address, known);
      }
    }
    let killed = false;
    let done = 0;
    const writer = async (id: number): Promise<void> => {
      for (let i = 0; !killed; i += 1) {
        const name = `e-${round}-${id}-${i}`;
        asked.add(name);
        try {
          const made = await client.endpointCreate({ params, body: { name, host: 'h1' } });
          acknowledged.set(name, made.addresses[0]?.address ?? '');
          done += 1;
        } catch {
          if (!killed) break;
        }
        if (done === 40 && !killed) {
          killed = true;
          child.kill('SIGKILL');
        }
      }
    };
    await Promise.all([1, 2, 3, 4].map(writer));
    killed = true;
    child.kill('SIGKILL');
    close();
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  assert.ok(acknowledged.size > 5);
});

test('SIGTERM ends a server in order', async (t) => {
  const dataDir = temporary(t, 'romana-term-');
  const child = await spawnServer(t, dataDir);
  const exit = once(child, 'exit');
  child.kill('SIGTERM');
  assert.deepEqual(await exit, [0, null]);
  await spawnServer(t, dataDir);
});

test('a second server on the same directory is refused, and the first goes on', async (t) => {
  const server = await startHarness(t);
  const config = checkConfig({ dataDir: server.dataDir, listen: local });
  await assert.rejects(runServer(config, { log: quiet }), { code: 'store_busy' });
  await server.admin.whoami();
});

test('a restart keeps authority, tokens, certificates and positions', async (t) => {
  const server = await startHarness(t);
  await furnish(server.admin);
  const agent = server.client({ certificate: await server.join('h1') });
  const before = await server.admin.status();
  const file = readFileSync(server.running.clientFile, 'utf8');
  await server.restart();
  const after = await server.admin.status();
  assert.deepEqual([after.incarnation, after.revision], [before.incarnation, before.revision]);
  assert.equal((await agent.whoami()).name, 'h1');
  assert.equal(readFileSync(server.running.clientFile, 'utf8'), file);
});

test('a restored copy of the database begins a new incarnation, and gives out nothing until the host is heard', async (t) => {
  const dataDir = temporary(t, 'romana-restored-');
  const config = checkConfig({ dataDir, listen: local });
  const start = async (newIncarnation = false) => {
    const running = await runServer(config, { log: quiet, newIncarnation });
    t.after(() => running.stop());
    const { client, close } = clientOf(dataDir);
    t.after(close);
    return { running, client };
  };
  const params = { tenant: 't1', segment: 's1' };
  const first = await start();
  await furnish(first.client);
  const before = await first.client.status();
  await first.running.stop();
  const path = join(dataDir, 'romana.db');
  const copy = readFileSync(path);

  const lost = await start();
  const given = await lost.client.endpointCreate({ params, body: { name: 'lost', host: 'h1' } });
  await lost.running.stop();
  writeFileSync(path, copy);

  const restored = await start(true);
  const after = await restored.client.status();
  assert.notEqual(after.incarnation, before.incarnation);
  assert.equal(after.revision, before.revision);
  assert.deepEqual(after.waiting?.hosts, ['h1', 'h2']);
  const again = () => restored.client.endpointCreate({ params, body: { name: 'new', host: 'h1' } });
  await assert.rejects(again(), { code: 'unavailable', details: { waitingFor: ['h1', 'h2'] } });
  await restored.running.stop();

  // The option is for one start; what it began goes on.
  const next = await start();
  assert.equal((await next.client.status()).incarnation, after.incarnation);
  for (const name of ['h1', 'h2']) await next.client.hostDelete({ params: { name }, query: {} });
  assert.equal((await next.client.status()).waiting, undefined);
  await next.client.hostCreate({ body: { name: 'h1', addresses: ['192.0.2.1'] } });
  const made = await next.client.endpointCreate({ params, body: { name: 'new', host: 'h1' } });
  assert.equal(made.addresses.length, given.addresses.length);
});

test('the client file is closed to others; a lost one comes back with a new token, and the old one ends', async (t) => {
  const server = await startHarness(t);
  const { clientFile } = server.running;
  assert.equal(statSync(clientFile).mode & 0o777, 0o600);
  rmSync(clientFile);
  await server.restart();
  const file = readClientFile(clientFile);
  assert.notEqual(file.token, server.file.token);
  assert.equal((await server.client({ token: file.token }).whoami()).role, 'admin');
  await assert.rejects(server.admin.whoami(), { code: 'unauthenticated' });
});

test('a start that fails leaves nothing running and no lock', async (t) => {
  const server = await startHarness(t);
  const { port } = server.running.listening[0] ?? { port: 0 };
  const dataDir = temporary(t, 'romana-fail-');
  const taken = checkConfig({ dataDir, listen: [...local, { host: '127.0.0.1', port }] });
  await assert.rejects(runServer(taken, { log: quiet }), { code: 'unavailable' });
  writeFileSync(join(dataDir, 'pki', 'server.pem'), 'x');
  const config = checkConfig({ dataDir, listen: local });
  await assert.rejects(runServer(config, { log: quiet }), { code: 'store_corrupt' });
  assert.ok(!existsSync(join(dataDir, 'client.yaml')));
  rmSync(join(dataDir, 'pki', 'server.pem'));
  const running = await runServer(config, { log: quiet });
  await running.stop();
  await running.stop();
});

test('it listens on several addresses of both families, and its certificate is good for each', async (t) => {
  const dataDir = temporary(t, 'romana-many-');
  const listen = [...local, { host: '::1', port: 0 }];
  const running = await runServer(checkConfig({ dataDir, listen, names: ['Romana.Example'] }), {
    log: quiet,
  });
  t.after(() => running.stop());
  const file = readClientFile(running.clientFile);
  for (const { port, host } of running.listening) {
    for (const name of host === '::1' ? ['[::1]'] : ['127.0.0.1', 'localhost']) {
      const connection = connect({ server: `https://${name}:${port}`, ca: file.ca, token: file.token });
      // the name of the second family may resolve to the first
      if (name !== 'localhost') assert.equal((await createClient(connection).whoami()).name, 'admin');
      connection.close();
    }
  }
});

test('a running request is answered before the server ends; nothing is answered after', async (t) => {
  const server = await startHarness(t);
  await furnish(server.admin);
  const params = { tenant: 't1', segment: 's1' };
  const created = Promise.all(
    ['a', 'b', 'c', 'd'].map((name) =>
      server
        .client({ token: server.file.token })
        .endpointCreate({ params, body: { name, host: 'h1' } })
        .then(
          (made) => made.name,
          (error: { code: string }) => error.code,
        ),
    ),
  );
  await new Promise((resolve) => setImmediate(resolve));
  await server.running.stop();
  const outcomes = await created;
  await server.restart();
  const { items } = await server.client({ token: server.file.token }).endpointList({});
  for (const outcome of outcomes)
    assert.ok(outcome === 'unavailable' || items.some((item) => item.name === outcome), outcome);
  await assert.rejects(
    server.admin
      .whoami()
      .then(() => server.running.stop())
      .then(() => server.admin.whoami()),
    {
      code: 'unavailable',
    },
  );
});

test('configuration: the file is checked, flags win, addresses have two forms', () => {
  const config = readConfig('listen: ["0.0.0.0:7443", "[::]:1", {host: a, port: 2}]\nlogLevel: warn\n', {
    dataDir: '/x',
    logLevel: undefined,
  });
  assert.deepEqual(config, {
    dataDir: '/x',
    listen: [
      { host: '0.0.0.0', port: 7443 },
      { host: '::', port: 1 },
      { host: 'a', port: 2 },
    ],
    names: [],
    logLevel: 'warn',
    vpc: { everySeconds: 10, silentAfterSeconds: 30 },
  });
  assert.deepEqual(readConfig('').listen, [{ host: '127.0.0.1', port: 7443 }]);
  for (const text of [
    'listen: []',
    'listen: ["x"]',
    'listen: ["::1:1"]',
    'listen: ["a:70000"]',
    'port: 1',
    '- a',
    '{',
    'names: ["a b"]',
  ])
    assert.throws(() => readConfig(text), { code: 'input_invalid' }, text);
});
