import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { BgpHost } from '#contract/routing-model.ts';
import { addBgpMetrics } from './bgp-metrics.ts';

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
const one = (host: string, more: Partial<NonNullable<BgpHost['report']>>): BgpHost => ({
  host,
  group: null,
  daemon: 'bird',
  seenAt: 't',
  ageSeconds: 1,
  report: {
    daemon: 'bird',
    up: true,
    version: '2',
    sessions: [session, session],
    announced: null,
    problem: null,
    ...more,
  },
});

test('sessions are counted by host and state; a host or state that is gone leaves no series behind', async () => {
  const registry = new Registry();
  let hosts: BgpHost[] = [];
  let looks = 0;
  addBgpMetrics(registry, async () => {
    looks += 1;
    return hosts;
  });
  const lines = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('romana'));
  const silent: BgpHost = {
    host: 'h3',
    group: null,
    daemon: 'frr',
    seenAt: null,
    ageSeconds: null,
    report: null,
  };
  hosts = [one('h1', {}), one('h2', { up: false, sessions: [{ ...session, state: 'idle' }] }), silent];
  assert.deepEqual(await lines(), [
    'romana_server_bgp_sessions{host="h1",state="established"} 2',
    'romana_server_bgp_sessions{host="h2",state="idle"} 1',
    'romana_server_bgp_daemon_up{host="h1",daemon="bird"} 1',
    'romana_server_bgp_daemon_up{host="h2",daemon="bird"} 0',
    'romana_server_bgp_daemon_up{host="h3",daemon="frr"} 0',
  ]);
  assert.equal(looks, 1);
  hosts = [one('h1', { sessions: [{ ...session, state: 'active' }] })];
  assert.deepEqual(await lines(), [
    'romana_server_bgp_sessions{host="h1",state="active"} 1',
    'romana_server_bgp_daemon_up{host="h1",daemon="bird"} 1',
  ]);
});
