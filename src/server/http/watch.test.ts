import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { Position } from '#contract/model.ts';
import { type FollowedEvent, watch } from '#net/watch.ts';
import { systemClock, systemRandom, systemTimers } from '#runtime/index.ts';
import { furnish, type Harness, type HostIdentity, startHarness } from './harness.ts';

const at = { tenant: 't1', segment: 's1' };

async function start(t: TestContext): Promise<Harness> {
  const server = await startHarness(t);
  await furnish(server.admin);
  return server;
}

/** Follows the stream over TLS and keeps the state it leads to. */
function follow(
  t: TestContext,
  server: Harness,
  identity: { token?: string; certificate?: HostIdentity },
  since: Position | null = null,
) {
  const events: FollowedEvent[] = [];
  const state = new Map<string, unknown>();
  let wake: (() => void)[] = [];
  const stop = watch({
    open: server.connection(identity).openStream,
    since,
    onEvent(event) {
      events.push(event);
      if (event.type === 'snapshot') state.clear();
      if (event.type === 'object') state.set(`${event.kind} ${event.key}`, event.value);
      if (event.type === 'gone') state.delete(`${event.kind} ${event.key}`);
      for (const fn of wake.splice(0)) fn();
    },
    onDown: () => {
      for (const fn of wake.splice(0)) fn();
    },
    clock: systemClock,
    timers: systemTimers,
    random: systemRandom,
    minDelayMs: 20,
    maxDelayMs: 100,
  });
  t.after(stop);
  const until = async (done: () => boolean): Promise<void> => {
    while (!done()) await new Promise<void>((resolve) => wake.push(resolve));
  };
  return {
    events,
    state,
    until,
    stop,
    count: (type: FollowedEvent['type']) => events.filter((event) => event.type === type).length,
    synced: () => until(() => events.some((event) => event.type === 'synced')),
  };
}

/** Resolves when the server has this many. */
async function subscribers(server: Harness, count: number): Promise<void> {
  const headers = { authorization: `Bearer ${server.file.token}` };
  for (;;) {
    const { text } = await server.raw({ method: 'GET', path: '/metrics', headers });
    if (text.includes(`romana_server_watch_subscribers ${count}\n`)) return;
  }
}

test('a snapshot, then live changes, then the rest after the server was restarted, without a second snapshot', async (t) => {
  const server = await start(t);
  const follower = follow(t, server, { token: server.file.token });
  await follower.synced();
  for (const key of ['network net', 'host h1', 'host h2', 'tenant t1', 'segment t1/s1'])
    assert.ok(follower.state.has(key), key);
  await server.admin.endpointCreate({ params: at, body: { name: 'e1', host: 'h1' } });
  await follower.until(() => follower.state.has('endpoint t1/s1/e1'));
  await server.restart();
  await server.admin.endpointCreate({ params: at, body: { name: 'e2', host: 'h1' } });
  await server.admin.endpointDelete({ params: { ...at, name: 'e1' } });
  await follower.until(
    () => follower.state.has('endpoint t1/s1/e2') && !follower.state.has('endpoint t1/s1/e1'),
  );
  assert.equal(follower.count('snapshot'), 1);
});

test('an agent sees no endpoint of another host, in the snapshot or later', async (t) => {
  const server = await start(t);
  await server.admin.endpointCreate({ params: at, body: { name: 'a1', host: 'h1' } });
  await server.admin.endpointCreate({ params: at, body: { name: 'a2', host: 'h2' } });
  const follower = follow(t, server, { certificate: await server.join('h1') });
  await follower.synced();
  await server.admin.endpointCreate({ params: at, body: { name: 'b2', host: 'h2' } });
  await server.admin.endpointCreate({ params: at, body: { name: 'b1', host: 'h1' } });
  await follower.until(() => follower.state.has('endpoint t1/s1/b1'));
  const seen = JSON.stringify(follower.events);
  assert.ok(seen.includes('t1/s1/a1') && !seen.includes('t1/s1/a2') && !seen.includes('t1/s1/b2'));
});

test('no secret of the control plane is in the stream', async (t) => {
  const server = await start(t);
  await server.join('h1');
  const follower = follow(t, server, { token: server.file.token });
  await follower.synced();
  await server.admin.tokenCreate({ body: { name: 'v', role: 'viewer' } });
  await server.admin.tenantCreate({ body: { name: 't2' } });
  await follower.until(() => follower.state.has('tenant t2'));
  const kinds = new Set(follower.events.map((event) => ('kind' in event ? event.kind : 'network')));
  for (const kind of kinds) assert.ok(!kind.startsWith('_'));
  assert.ok(!/hash|fingerprint|PRIVATE|romana_/.test(JSON.stringify(follower.events)));
});

test('Last-Event-ID means the same as since, and is the newer of the two', async (t) => {
  const server = await start(t);
  const { incarnation, revision } = await server.admin.status();
  await server.admin.tenantCreate({ body: { name: 't2' } });
  const read = async (path: string, headers: Record<string, string>): Promise<string> => {
    const { connect } = await import('node:tls');
    const url = new URL(server.file.server);
    const socket = connect({ host: url.hostname, port: Number(url.port), ca: server.file.ca });
    const lines = Object.entries({ host: 'x', authorization: `Bearer ${server.file.token}`, ...headers });
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.map(([k, v]) => `${k}: ${v}\r\n`).join('')}\r\n`);
    let text = '';
    for await (const chunk of socket) {
      text += String(chunk);
      if (/id: \S+\n/.test(text)) break;
    }
    socket.destroy();
    return text;
  };
  const resumed = await read(`/v1/watch?since=${incarnation}:0`, {
    'last-event-id': `${incarnation}:${revision}`,
  });
  assert.ok(
    !resumed.includes('event: snapshot') && resumed.includes('"key":"t2"') && !resumed.includes('"key":"t1"'),
  );
  assert.match(resumed, /content-type: text\/event-stream/i);
  const anew = await read(`/v1/watch?since=other:1`, {});
  assert.ok(anew.includes('event: snapshot') && anew.includes('"key":"t1"'));
});

test('the stream of a revoked token ends at the next heartbeat or change', async (t) => {
  const server = await start(t);
  const { token } = await server.admin.tokenCreate({ body: { name: 'v', role: 'viewer' } });
  const follower = follow(t, server, { token });
  await follower.synced();
  await server.admin.tokenDelete({ params: { name: 'v' } });
  await server.admin.tenantCreate({ body: { name: 't2' } });
  await subscribers(server, 0);
  await server.admin.tenantCreate({ body: { name: 't3' } });
  // another follower proves that the change went out
  const witness = follow(t, server, { token: server.file.token });
  await witness.until(() => witness.state.has('tenant t3'));
  assert.ok(!follower.state.has('tenant t3'));
});

test('a client that leaves is forgotten; a server that stops ends its streams', async (t) => {
  const server = await start(t);
  const follower = follow(t, server, { token: server.file.token });
  await follower.synced();
  follower.stop();
  await subscribers(server, 0);
  const second = follow(t, server, { token: server.file.token });
  await second.synced();
  await server.running.stop();
  second.stop();
});
