import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { createCsr, createKey } from '#net/csr.ts';
import { furnish, startHarness } from '../http/harness.ts';
import { createAuthority, issueHost, lifetimes, loadAuthority } from '../pki/certificates.ts';
import { createAttempts } from './attempts.ts';

async function start(t: TestContext) {
  const server = await startHarness(t);
  await furnish(server.admin);
  return server;
}
const day = 86_400_000;

test('a token ends when it expires, when it is revoked, and not when the server restarts', async (t) => {
  const server = await start(t);
  const issued = await server.admin.tokenCreate({
    body: { name: 'v', role: 'viewer', expiresInSeconds: 60 },
  });
  const viewer = server.client({ token: issued.token });
  await viewer.hostList();
  await server.restart();
  await viewer.hostList();
  server.clock.offset += 60_000;
  await assert.rejects(viewer.hostList(), { code: 'unauthenticated' });
  const other = await server.admin.tokenCreate({ body: { name: 'w', role: 'viewer' } });
  const second = server.client({ token: other.token });
  await second.hostList();
  await server.admin.tokenDelete({ params: { name: 'w' } });
  await assert.rejects(second.hostList(), { code: 'unauthenticated' });
  await assert.rejects(server.admin.tokenDelete({ params: { name: 'w' } }), { code: 'not_found' });
});

test('the list of tokens holds no secret; a name is taken once; the last admin token stays', async (t) => {
  const server = await start(t);
  await server.admin.tokenCreate({ body: { name: 'v', role: 'viewer' } });
  const list = await server.admin.tokenList();
  assert.deepEqual(
    list.items.map((item) => item.name),
    ['admin', 'v'],
  );
  for (const item of list.items)
    assert.deepEqual(Object.keys(item).sort(), ['createdAt', 'expiresAt', 'name', 'role']);
  await assert.rejects(server.admin.tokenCreate({ body: { name: 'v', role: 'viewer' } }), {
    code: 'already_exists',
  });
  await assert.rejects(server.admin.tokenDelete({ params: { name: 'admin' } }), { code: 'in_use' });
  const next = await server.admin.tokenCreate({ body: { name: 'b', role: 'admin', expiresInSeconds: 5 } });
  server.clock.offset += 5_000;
  // the other admin token has expired: it does not count
  await assert.rejects(server.admin.tokenDelete({ params: { name: 'admin' } }), { code: 'in_use' });
  assert.ok(next.token.startsWith('romana_'));
});

test('a join token is for one host, one key and its time', async (t) => {
  const server = await start(t);
  const nobody = server.client({});
  const token = async (name: string, body = {}) =>
    (await server.admin.hostJoinToken({ params: { name }, body })).token;
  const csr = createCsr(createKey(), 'h1');
  const invalid = { code: 'join_token_invalid' };
  const first = await token('h1');
  await assert.rejects(nobody.join({ body: { host: 'h2', token: first, csr } }), invalid);
  await assert.rejects(nobody.join({ body: { host: 'h1', token: `${first.slice(0, -1)}!`, csr } }), invalid);
  await assert.rejects(nobody.join({ body: { host: 'h1', token: server.file.token, csr } }), invalid);
  await assert.rejects(nobody.join({ body: { host: 'h1', token: first, csr: 'x' } }), {
    code: 'input_invalid',
  });
  const joined = await nobody.join({ body: { host: 'h1', token: first, csr } });
  assert.equal((await server.admin.hostShow({ params: { name: 'h1' } })).joined, true);
  // the answer got lost: the same key gets the same certificate, another key nothing
  assert.deepEqual(await nobody.join({ body: { host: 'h1', token: first, csr } }), joined);
  await assert.rejects(
    nobody.join({ body: { host: 'h1', token: first, csr: createCsr(createKey(), 'h1') } }),
    invalid,
  );
  const short = await token('h2', { expiresInSeconds: 10 });
  server.clock.offset += 10_000;
  await assert.rejects(nobody.join({ body: { host: 'h2', token: short, csr } }), invalid);
});

test('only one of two concurrent joins with one token gets in', async (t) => {
  const server = await start(t);
  const { token } = await server.admin.hostJoinToken({ params: { name: 'h1' }, body: {} });
  const results = await Promise.allSettled(
    [1, 2, 3, 4].map(() =>
      server.client({}).join({ body: { host: 'h1', token, csr: createCsr(createKey(), 'h1') } }),
    ),
  );
  assert.equal(results.filter((result) => result.status === 'fulfilled').length, 1);
});

test('a host that joined is taken over only by a token made for that, which ends its old certificate', async (t) => {
  const server = await start(t);
  const two = await server.admin.hostJoinToken({ params: { name: 'h1' }, body: {} });
  const old = await server.join('h1');
  await assert.rejects(server.admin.hostJoinToken({ params: { name: 'h1' }, body: {} }), {
    code: 'host_joined',
  });
  // a token from before the first join does not take over either
  const csr = createCsr(createKey(), 'h1');
  await assert.rejects(server.client({}).join({ body: { host: 'h1', token: two.token, csr } }), {
    code: 'host_joined',
  });
  const oldClient = server.client({ certificate: old });
  await oldClient.whoami();
  const taken = await server.join('h1', true);
  await assert.rejects(oldClient.whoami(), {
    code: 'generation_stale',
    details: { reason: 'superseded', host: 'h1' },
  });
  assert.equal((await server.client({ certificate: taken }).whoami()).name, 'h1');
});

test('the certificate of a deleted host is refused, also after a host of the same name was made', async (t) => {
  const server = await start(t);
  const certificate = await server.join('h1');
  const agent = server.client({ certificate });
  await agent.whoami();
  const params = { name: 'h1' };
  const waiting = await server.admin.hostJoinToken({ params, body: { takeOver: true } });
  await server.admin.hostDelete({ params, query: { dead: true } });
  // It may come back to learn that it is fenced; nobody else may speak for it.
  assert.equal((await agent.whoami()).name, 'h1');
  await assert.rejects(server.admin.hostJoinToken({ params, body: { takeOver: true } }), {
    code: 'host_leaving',
  });
  await assert.rejects(server.client({}).join({ body: { host: 'h1', token: waiting.token, csr: '' } }), {
    code: 'host_leaving',
  });
  await server.admin.hostFence({ params, body: { confirmOff: true } });
  await assert.rejects(agent.whoami(), { code: 'certificate_invalid' });
  await server.admin.hostCreate({ body: { name: 'h1', addresses: ['192.0.2.1'] } });
  await assert.rejects(agent.whoami(), { code: 'certificate_invalid' });
  assert.equal((await server.admin.hostShow({ params: { name: 'h1' } })).joined, false);
  await server.join('h1');
  await assert.rejects(agent.whoami(), { code: 'certificate_invalid' });
  await server.restart();
  await assert.rejects(agent.whoami(), { code: 'certificate_invalid' });
});

test('foreign, expired and self-made certificates are refused', async (t) => {
  const server = await start(t);
  const { uid } = await server.admin.hostShow({ params: { name: 'h1' } });
  const made = createAuthority(server.clock.now());
  const foreign = loadAuthority(made.certificate, made.key, server.clock.now());
  const key = createKey();
  const cert = issueHost(foreign, createCsr(key, 'h1'), uid, server.clock.now()).certificate;
  await assert.rejects(server.client({ certificate: { cert, key } }).whoami(), {
    code: 'certificate_invalid',
  });
  const mine = await server.join('h1');
  const agent = server.client({ certificate: mine });
  await agent.whoami();
  server.clock.offset += lifetimes.host - day;
  await agent.whoami();
  server.clock.offset += day;
  await assert.rejects(agent.whoami(), { code: 'certificate_invalid' });
});

test("the server's own certificate is no host's", async (t) => {
  const server = await start(t);
  const { readFileSync } = await import('node:fs');
  const text = readFileSync(`${server.dataDir}/pki/server.pem`, 'utf8');
  const certificate = { cert: text, key: text };
  await assert.rejects(server.client({ certificate }).whoami(), { code: 'certificate_invalid' });
});

test('a resumed TLS session proves the same host, and a replaced certificate is refused on it too', async (t) => {
  const server = await start(t);
  const url = new URL(server.file.server);
  const certificate = await server.join('h1');
  let session: Buffer | undefined;
  const whoami = async (): Promise<{ reused: boolean; text: string }> => {
    const socket = connectTls({
      host: url.hostname,
      port: Number(url.port),
      ca: server.file.ca,
      ...certificate,
      ...(session === undefined ? {} : { session }),
    });
    socket.on('session', (next) => {
      session = next;
    });
    let reused = false;
    socket.once('secureConnect', () => {
      reused = socket.isSessionReused();
    });
    socket.end('GET /v1/whoami HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n');
    let text = '';
    for await (const chunk of socket) text += String(chunk);
    return { reused, text };
  };
  assert.equal((await whoami()).reused, false);
  const again = await whoami();
  assert.ok(again.reused && again.text.includes('"name":"h1"'), again.text);
  await server.join('h1', true);
  const replaced = await whoami();
  assert.ok(replaced.reused && replaced.text.includes('generation_stale'), replaced.text);
});

test('renewal gives a certificate beside the one it was asked with; the one before that ends', async (t) => {
  const server = await start(t);
  const renew = async (certificate: { cert: string; key: string }) => {
    const key = createKey();
    const answer = await server
      .client({ certificate })
      .renew({ params: { name: 'h1' }, body: { csr: createCsr(key, 'h1') } });
    return { cert: answer.certificate, key };
  };
  const first = await server.join('h1');
  const lost = await renew(first);
  // the answer got lost: asked again, with the old one
  const second = await renew(first);
  await assert.rejects(server.client({ certificate: lost }).whoami(), { code: 'certificate_invalid' });
  await server.client({ certificate: second }).whoami();
  await renew(second);
  await assert.rejects(server.client({ certificate: first }).whoami(), { code: 'certificate_invalid' });
  await server.client({ certificate: second }).whoami();
});

test('wrong credentials from one address end in a refusal that time heals', async (t) => {
  const server = await start(t);
  const wrong = server.client({ token: 'romana_0000000000000000_x' });
  const codes = new Set<string>();
  for (let i = 0; i < 60; i += 1)
    await wrong.whoami().catch((error: { code: string }) => codes.add(error.code));
  assert.deepEqual([...codes], ['unauthenticated', 'too_many_attempts']);
  await server.client({}).whoami();
  server.clock.offset += 60_000;
  await server.admin.whoami();
});

test('attempts are counted by address, in bounded memory', () => {
  let now = 0;
  const attempts = createAttempts({ monotonic: () => now }, { burst: 2, perSecond: 1, addresses: 3 });
  attempts.failed('a');
  assert.ok(attempts.allowed('a'));
  attempts.failed('a');
  assert.ok(!attempts.allowed('a') && attempts.allowed('b'));
  now += 999;
  assert.ok(!attempts.allowed('a'));
  now += 1;
  assert.ok(attempts.allowed('a'));
  attempts.failed('a');
  for (const address of ['b', 'c', 'd']) attempts.failed(address);
  assert.ok(attempts.allowed('a'), 'the oldest was forgotten');
});
