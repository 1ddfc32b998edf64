/** What `romana agent status` says of the BGP speaker. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { statusText } from './commands/agent.ts';

const session = {
  peer: 'leaf1a',
  neighbour: '192.0.2.1',
  asn: 65001,
  prefixesIn: 2,
  prefixesOut: 1,
  lastError: '',
};
const bgp = {
  daemon: 'bird',
  up: true,
  version: '2.0.12',
  sessions: [{ ...session, state: 'established', seconds: 3700 }],
  announced: [],
  problem: null,
} as const;

test('the daemon and each session are shown, and nothing of them where the fabric needs none', () => {
  const text = statusText({ bgp: { ...bgp, sessions: [...bgp.sessions], announced: [] } }, false);
  assert.match(text, /^BGP daemon: +bird 2\.0\.12, up$/m);
  assert.match(text, /^PEER +NEIGHBOUR +AS +STATE +SINCE +IN +OUT +LAST ERROR$/m);
  assert.match(text, /^leaf1a +192\.0\.2\.1 +65001 +established +1h1m +2 +1/m);
  for (const none of [statusText({ bgp: null }, false), statusText({}, false)])
    assert.doesNotMatch(none, /BGP|PEER/);
});

test('hosts of the link that do not answer are named', () => {
  assert.match(statusText({ unreachable: ['h2', 'h7'] }, false), /^do not answer: +h2 h7$/m);
  for (const none of [[], null]) assert.doesNotMatch(statusText({ unreachable: none }, false), /answer/);
});

test('a daemon that is away is named with what is wrong', () => {
  const text = statusText(
    { bgp: { ...bgp, up: false, version: null, sessions: [], announced: null, problem: 'Start it.' } },
    false,
  );
  assert.match(text, /^BGP daemon: +bird, down: Start it\.$/m);
  assert.doesNotMatch(text, /PEER/);
});
