import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { refusedWith } from '#store/conformance.ts';
import { admin, agentOf, type World, world } from '../testing.ts';
import { agentReport, bury, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';
import type { Input } from './types.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

type Body = Input<'hostReport'>['body'];

async function cluster(): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main');
  await network(w.services, 'six', six);
  for (const name of ['h1', 'h2']) {
    await host(w.services, name);
    await w.join(name);
  }
  for (const name of ['a', 'b']) {
    await tenant(w.services, name);
    await segment(w.services, name, 's');
  }
  return w;
}

function report(w: World, name: string, body: Partial<Body> = {}) {
  return agentReport(w.services, name, body);
}

/** An id of h1 that the server gives addresses of; h2 has its route. */
async function serverId(w: World, id?: number): Promise<void> {
  const body = { allocator: 'server' as const, ...(id === undefined ? {} : { network: 'main', id }) };
  await w.services.hostAddId(admin, { params: { name: 'h1' }, query: {}, body });
  await report(w, 'h2', { applied: w.store.position() });
}

const ref = (key: string, uid: string) => {
  const [tenantName = '', segmentName = '', name = ''] = key.split('/');
  return { tenant: tenantName, segment: segmentName, name, uid };
};

function registered(
  key: string,
  uid: string,
  addresses: string[],
  more: Partial<Body['registered'][number]> = {},
) {
  return {
    ...ref(key, uid),
    addresses: addresses.map((address) => ({ network: address.includes(':') ? 'six' : 'main', address })),
    attachment: { kind: 'none' as const },
    sourcePrefixes: [],
    ...more,
  };
}

const status = async (w: World) =>
  (await w.services.status(admin, { params: {}, query: {}, body: undefined })).hosts;

test('P1 only the agent of the host reports for it', async () => {
  const w = await cluster();
  const input = {
    params: { name: 'h1' },
    query: {},
    body: {
      applied: null,
      problems: [],
      version: '1',
      registered: [],
      phases: [],
      gone: [],
      acknowledged: null,
      holds: 0,
      orphans: [],
    },
  };
  for (const caller of [admin, agentOf('h2'), { ...agentOf('h1'), kind: 'token' as const }]) {
    await assert.rejects(w.services.hostReport(caller, input), refusedWith('forbidden'));
  }
  await assert.rejects(report(w, 'h9'), refusedWith('not_found'));
});

test('P2 heartbeats make no revision and no change; the status shows them, and survives a restart', async () => {
  const w = await cluster();
  const before = w.store.position();
  for (let i = 0; i < 50; i++) {
    w.clock.time += 1000;
    await report(w, 'h1', { applied: before });
  }
  await report(w, 'h2', {
    applied: { incarnation: 'old', revision: before.revision },
    problems: [{ code: 'x', message: 'y' }],
  });
  assert.deepEqual(w.store.position(), before);
  const [h1, h2] = await status(w);
  assert.equal(h1?.current, true);
  assert.equal(h1?.seenAt, new Date(w.clock.time).toISOString());
  assert.equal(h2?.current, false, 'a position of another incarnation is not ours');
  assert.deepEqual(h2?.problems, [{ code: 'x', message: 'y' }]);
  const again = w.restart();
  const [r1, r2] = await status(again);
  assert.equal(r1?.version, '1');
  assert.deepEqual(r2?.problems, [{ code: 'x', message: 'y' }]);
  await tenant(again.services, 'c');
  assert.equal((await status(again))[0]?.current, false);
});

test('P2 a host made anew under an old name has no past', async () => {
  const w = await cluster();
  await report(w, 'h1', { problems: [{ code: 'x', message: 'y' }] });
  await bury(w.services, 'h1');
  await host(w.services, 'h1');
  const [h1] = await status(w);
  assert.deepEqual([h1?.seenAt, h1?.problems, h1?.joined], [null, [], false]);
});

test('P3 agents register what they allocated, once; saying it again changes nothing', async () => {
  const w = await cluster();
  const item = registered('a/s/x', 'u1', ['10.1.1.17', 'fd10:1:1:1::1']);
  assert.deepEqual((await report(w, 'h1', { registered: [item] })).rejected, []);
  const stored = await w.services.endpointShow(admin, byKey('a/s/x'));
  assert.deepEqual(
    [stored.uid, stored.host, stored.allocator, stored.phase, stored.addresses],
    ['u1', 'h1', 'agent', 'pending', item.addresses],
  );
  const { revision } = w.store.position();
  assert.deepEqual((await report(w, 'h1', { registered: [item] })).rejected, []);
  assert.equal(w.store.position().revision, revision);
  const wired = registered('a/s/x', 'u1', ['10.1.1.17', 'fd10:1:1:1::1'], {
    attachment: { kind: 'veth-netns', netns: '/run/netns/x', ifname: 'eth0' },
  });
  await report(w, 'h1', { registered: [wired] });
  assert.equal((await w.services.endpointShow(admin, byKey('a/s/x'))).attachment.kind, 'veth-netns');
});

test('P4 each registered endpoint stands for itself: the wrong ones are named, the others go on', async () => {
  const w = await cluster();
  await serverId(w, 50);
  await report(w, 'h2', { registered: [registered('a/s/theirs', 'u', ['10.2.1.17'])] });
  const cases: [ReturnType<typeof registered>, string | null][] = [
    [registered('a/s/ok1', 'u', ['10.1.1.17']), null],
    [registered('a/s/foreign-host', 'u', ['10.2.1.18']), 'address_mismatch'],
    [registered('a/s/foreign-host6', 'u', ['fd10:2:1:1::9']), 'address_mismatch'],
    [registered('a/s/nobody', 'u', ['10.77.1.18']), 'address_mismatch'],
    [registered('a/s/servers', 'u', ['10.50.1.17']), 'allocator_mismatch'],
    [registered('a/s/wrong-tenant', 'u', ['10.1.2.17']), 'address_mismatch'],
    [registered('b/s/wrong-tenant6', 'u', ['fd10:1:1:1::9']), 'address_mismatch'],
    [registered('a/s/wrong-segment', 'u', ['10.1.1.33']), 'address_mismatch'],
    [registered('a/s/id-zero', 'u', ['10.1.1.16']), 'address_mismatch'],
    [registered('a/s/id-zero6', 'u', ['fd10:1:1:1::']), 'address_mismatch'],
    [registered('a/s/too-wide', 'u', ['fd10:1:1:1:1::1']), 'address_mismatch'],
    [registered('a/s/outside', 'u', ['192.168.0.1']), 'address_mismatch'],
    [registered('a/s/taken', 'u', ['10.1.1.17']), 'address_taken'],
    [registered('a/s/half', 'u', ['10.1.1.29', 'fd10:2:1:1::9']), 'address_mismatch'],
    [registered('a/s/twice', 'u', ['10.1.1.29', '10.1.1.29']), 'input_invalid'],
    [registered('a/s/theirs', 'v', ['10.1.1.30']), 'already_exists'],
    [registered('a/nope/x', 'u', ['10.1.1.30']), 'not_found'],
    [registered('nope/s/x', 'u', ['10.1.1.30']), 'not_found'],
    [registered('a/s/spoof', 'u', ['10.1.1.30'], { sourcePrefixes: ['10.2.0.0/16'] }), 'input_invalid'],
    [registered('a/s/ok2', 'u', ['10.1.1.29']), null],
  ];
  const { rejected } = await report(w, 'h1', { registered: cases.map(([item]) => item) });
  assert.deepEqual(
    rejected.map((r) => [r.name, r.error.code]),
    cases.flatMap(([item, code]) => (code === null ? [] : [[item.name, code]])),
  );
  const { items } = await w.services.endpointList(admin, {
    params: {},
    query: { host: 'h1' },
    body: undefined,
  });
  assert.deepEqual(
    items.map((e) => e.name),
    ['ok1', 'ok2'],
  );
});

test('P5 a new incarnation replaces an old one of the same host and agent, and nothing else', async () => {
  const w = await cluster();
  await serverId(w);
  await endpoint(w.services, 'a/s/given', { host: 'h1' });
  await report(w, 'h1', { registered: [registered('a/s/x', 'u1', ['10.1.1.17'])] });
  const again = await report(w, 'h1', {
    registered: [
      registered('a/s/x', 'u2', ['10.1.1.18']),
      registered('a/s/y', 'u3', ['10.1.1.17']),
      registered('a/s/given', 'u4', ['10.1.1.19']),
      registered('a/s/y', 'u3', ['10.1.1.20']),
    ],
  });
  assert.deepEqual(
    again.rejected.map((r) => [r.name, r.error.code]),
    [
      ['given', 'already_exists'],
      ['y', 'conflict'],
    ],
  );
  const x = await w.services.endpointShow(admin, byKey('a/s/x'));
  assert.deepEqual([x.uid, x.addresses[0]?.address], ['u2', '10.1.1.18']);
  assert.equal(
    w.store.read((tx) => tx.ipam.byKey('a/s/x')?.uid),
    'u2',
  );
});

test('P6 phases count only for the incarnation and host they speak of, and never undo a removal', async () => {
  const w = await cluster();
  await serverId(w);
  const { uid } = await endpoint(w.services, 'a/s/x');
  const phase = async (name: string, of: string, value: 'pending' | 'ready' | 'failed', message = '') => {
    await report(w, name, { phases: [{ ...ref('a/s/x', of), phase: value, message }] });
    return (await w.services.endpointShow(admin, byKey('a/s/x'))).phase;
  };
  await report(w, 'h1');
  assert.equal(await phase('h1', 'other', 'ready'), 'pending');
  assert.equal(await phase('h2', uid, 'ready'), 'pending');
  assert.equal(await phase('h1', uid, 'ready'), 'ready');
  const { revision } = w.store.position();
  assert.equal(await phase('h1', uid, 'ready'), 'ready');
  assert.equal(w.store.position().revision, revision);
  assert.equal(await phase('h1', uid, 'failed', 'no netns'), 'failed');
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  assert.equal(await phase('h1', uid, 'ready'), 'removing');
});

test('P7 gone: a wanted endpoint of the server stays, one of the agent goes without quarantine on the server', async () => {
  const w = await cluster();
  await serverId(w);
  const given = await endpoint(w.services, 'a/s/given');
  const gone = (key: string, uid: string, name = 'h1') => report(w, name, { gone: [ref(key, uid)] });
  await gone('a/s/given', given.uid);
  assert.equal((await w.services.endpointShow(admin, byKey('a/s/given'))).phase, 'pending');
  await report(w, 'h1', { registered: [registered('a/s/x', 'u1', ['10.1.1.17'])] });
  await gone('a/s/x', 'u0');
  await gone('a/s/x', 'u1', 'h2');
  await w.services.endpointShow(admin, byKey('a/s/x'));
  await report(w, 'h1', {
    gone: [ref('a/s/x', 'u1')],
    registered: [registered('a/s/x', 'u2', ['10.1.1.18']), registered('a/s/y', 'u3', ['10.1.1.17'])],
  });
  assert.equal((await w.services.endpointShow(admin, byKey('a/s/x'))).uid, 'u2');
  assert.equal((await w.services.endpointShow(admin, byKey('a/s/y'))).uid, 'u3');
  await gone('a/s/x', 'u1');
  assert.equal(
    (await w.services.endpointShow(admin, byKey('a/s/x'))).uid,
    'u2',
    'a late report frees nobody else',
  );
});

test('P8 an endpoint of an agent can be removed by the server, and is gone once the agent says so', async () => {
  const w = await cluster();
  await report(w, 'h1', { registered: [registered('a/s/x', 'u1', ['10.1.1.17'])] });
  await assert.rejects(endpoint(w.services, 'a/s/x'), refusedWith('conflict'));
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  await report(w, 'h1', { registered: [registered('a/s/x', 'u1', ['10.1.1.17'])] });
  assert.equal((await w.services.endpointShow(admin, byKey('a/s/x'))).phase, 'removing');
  await report(w, 'h1', { gone: [ref('a/s/x', 'u1')] });
  await assert.rejects(w.services.endpointShow(admin, byKey('a/s/x')), refusedWith('not_found'));
  assert.equal(
    w.store.read((tx) => tx.ipam.byKey('a/s/x')),
    undefined,
  );
});
