/** What agents say of their BGP sessions: told on, kept over a restart of the server, and no revision. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { BgpReport } from '#contract/model.ts';
import type { BgpHost } from '#contract/routing-model.ts';
import { bgpDefaults } from '#core/routing/fabric.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, bury, host } from './fixtures.ts';

function start(t: TestContext): World {
  const w = world();
  t.after(() => w.dispose());
  return w;
}

const session = {
  peer: 'leaf1',
  neighbour: '192.0.2.254',
  asn: 65001,
  state: 'established' as const,
  seconds: 5,
  prefixesIn: 1,
  prefixesOut: 1,
  lastError: '',
};
const report: BgpReport = {
  daemon: 'bird',
  up: true,
  version: '2.17',
  sessions: [session],
  announced: ['10.1.0.0/16'],
  problem: null,
};

async function shown(w: World, name?: string): Promise<BgpHost[]> {
  const query = { host: name };
  return (await w.services.bgpStatus(admin, { params: {}, query, body: undefined })).items;
}

async function twoHosts(w: World): Promise<void> {
  await host(w.services, 'h1');
  await host(w.services, 'h2');
}

test('hosts without BGP are not listed; one that tells of a speaker is, with what it said last', async (t) => {
  const w = start(t);
  await twoHosts(w);
  await agentReport(w.services, 'h1');
  assert.deepEqual(await shown(w), []);
  await agentReport(w.services, 'h1', { bgp: report });
  const later = { ...report, sessions: [{ ...session, seconds: 6, prefixesIn: 2 }] };
  await agentReport(w.services, 'h1', { bgp: later });
  const [one, ...others] = await shown(w);
  assert.deepEqual([one?.host, one?.daemon, one?.report, others], ['h1', null, later, []]);
  w.clock.time += 90_000;
  assert.equal((await shown(w))[0]?.ageSeconds, 90);
  w.clock.time -= 100_000;
  assert.equal((await shown(w))[0]?.ageSeconds, 0, 'the clock was set back');
  assert.deepEqual(await shown(w, 'h2'), []);
  await assert.rejects(shown(w, 'nobody'), { code: 'not_found' });
});

test('a host of a bgp group is listed before it ever reports, with the daemon that the group states', async (t) => {
  const w = start(t);
  await host(w.services, 'h1');
  const fabric = {
    ...bgpDefaults,
    hostAsn: 65000,
    communities: [],
    accept: [],
    daemon: 'gobgp' as const,
  };
  await w.store.transaction('test', (tx) => tx.put('topology', '', { groups: [], aggregates: [], fabric }));
  assert.deepEqual(await shown(w), [
    { host: 'h1', group: null, daemon: 'gobgp', seenAt: null, ageSeconds: null, report: null },
  ]);
});

test('counters and uptimes write nothing; a state that changes is kept over a restart and moves no revision', async (t) => {
  let w = start(t);
  await twoHosts(w);
  const before = w.store.position().revision;
  await agentReport(w.services, 'h1', { bgp: report });
  const row = () => w.store.read((tx) => tx.row('_bgp', 'h1'));
  assert.equal(row()?.revision, 1);
  await agentReport(w.services, 'h1', { bgp: { ...report, sessions: [{ ...session, seconds: 900 }] } });
  assert.equal(row()?.revision, 1);
  const idle = { ...report, sessions: [{ ...session, state: 'idle' as const, lastError: 'Hold timer' }] };
  await agentReport(w.services, 'h1', { bgp: idle });
  assert.equal(row()?.revision, 2);
  assert.equal(w.store.position().revision, before);
  w = w.restart();
  assert.deepEqual((await shown(w))[0]?.report, idle);
  // A fabric without BGP since: the agent says so by saying nothing.
  await agentReport(w.services, 'h1');
  assert.deepEqual([row(), await shown(w)], [undefined, []]);
});

test('what an earlier host of the same name said is not told of the new one', async (t) => {
  const w = start(t);
  await host(w.services, 'h1');
  await w.join('h1');
  await agentReport(w.services, 'h1', { bgp: report });
  await bury(w.services, 'h1');
  await host(w.services, 'h1');
  assert.deepEqual(await shown(w), []);
  assert.equal(
    w.store.read((tx) => tx.row('_bgp', 'h1')),
    undefined,
  );
});
