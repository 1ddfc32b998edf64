import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { BgpReport } from '#contract/bgp.ts';
import { addBgpMetrics } from './metrics.ts';

const session = { asn: 65001, seconds: 1, lastError: '' };
const report: BgpReport = {
  daemon: 'bird',
  up: true,
  version: '2.0.12',
  sessions: [
    {
      ...session,
      peer: 'leaf1a',
      neighbour: '192.0.2.1',
      state: 'established',
      prefixesIn: 2,
      prefixesOut: 1,
    },
    { ...session, peer: 'leaf1b', neighbour: 'up2', state: 'active', prefixesIn: null, prefixesOut: null },
  ],
  announced: [],
  problem: null,
};

async function textOf(shown: BgpReport | null): Promise<string[]> {
  const registry = new Registry();
  addBgpMetrics(registry, shown);
  return (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
}

test('each session is up or not, with its prefixes as far as they are known', async () => {
  assert.deepEqual(await textOf(report), [
    'romana_agent_bgp_daemon_up{daemon="bird"} 1',
    'romana_agent_bgp_session_established{peer="leaf1a",neighbour="192.0.2.1"} 1',
    'romana_agent_bgp_session_established{peer="leaf1b",neighbour="up2"} 0',
    'romana_agent_bgp_prefixes{peer="leaf1a",neighbour="192.0.2.1",direction="in"} 2',
    'romana_agent_bgp_prefixes{peer="leaf1a",neighbour="192.0.2.1",direction="out"} 1',
  ]);
});

test('a daemon that is away is a series of its own, and a host without a speaker has none', async () => {
  assert.deepEqual(await textOf({ ...report, up: false, sessions: [] }), [
    'romana_agent_bgp_daemon_up{daemon="bird"} 0',
  ]);
  assert.deepEqual(await textOf(null), []);
});
