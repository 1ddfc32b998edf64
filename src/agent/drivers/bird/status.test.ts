/** What birdc prints, as BIRD 2.0.12 printed it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '#core/address/index.ts';
import {
  complaintOf,
  fingerprintAnswer,
  isKnownVersion,
  prefixesOf,
  serverTimeOf,
  sessionsOf,
  versionOf,
} from './status.ts';

const block = (head: string, ...lines: string[]): string =>
  [head, ...lines.map((line) => `  ${line}`), ''].join('\n');
const established = block(
  'romana_tor-1.a_4 BGP        ---        up     1795284895    Established   ',
  'Description:    tor-1.a',
  'BGP state:          Established',
  '  Neighbor address: 172.17.11.1%up1',
  '  Neighbor AS:      65001',
  '  Hold timer:       7.625/9',
  'Channel ipv4',
  '  Routes:         3 imported, 1 filtered, 2 exported, 1 preferred',
  'Channel ipv6',
  '  Routes:         4 imported, 5 exported, 1 preferred',
);
const other = (state: string, protocol: string, ...more: string[]): string =>
  block(
    `romana_tor2_6 BGP        ---        ${protocol}  1795284898    Idle          words`,
    'Description:    tor2',
    `BGP state:          ${state}`,
    '  Neighbor address: fd01::1',
    '  Neighbor AS:      4200000001',
    ...more,
    'Channel ipv6',
    '  Routes:         7 imported, 8 exported, 1 preferred',
  );
const rest = block(
  'romana_kernel4 Kernel     romana4    up     1795284894    ',
  'Channel ipv4',
  '  Routes: 1 imported',
);

test('sessions are found among the other protocols, with what they brought', () => {
  const found = sessionsOf(
    `BIRD 2.0.12 ready.\nName Proto Table State Since Info\n${rest}${established}${rest}`,
    1795285000,
  );
  assert.deepEqual(found, [
    {
      peer: 'tor-1.a',
      neighbour: '172.17.11.1',
      asn: 65001,
      state: 'established',
      seconds: 105,
      prefixesIn: 7,
      prefixesOut: 7,
      lastError: '',
    },
  ]);
});

test('a session that is not up brings nothing and says why', () => {
  const error = (state: string, protocol: string, words: string): string =>
    sessionsOf(other(state, protocol, ...(words === '' ? [] : [`  Last error:       ${words}`])), 0)[0]
      ?.lastError ?? '';
  const [session] = sessionsOf(
    other('Idle', 'start', '  Last error:       Received: Administrative shutdown'),
    0,
  );
  assert.deepEqual(
    [session?.state, session?.prefixesIn, session?.prefixesOut, session?.lastError, session?.seconds],
    ['idle', 0, 0, 'Received: Administrative shutdown', 0],
  );
  assert.match(error('Active', 'start', ''), /password/);
  assert.match(error('Connect', 'start', ''), /password/);
  assert.equal(error('OpenSent', 'start', ''), '');
  assert.match(error('Down', 'down', ''), /by hand/);
  assert.match(error('Down', 'down', 'Import limit exceeded'), /birdc enable/);
});

test('every state has its name', () => {
  const states = [
    'Idle',
    'Connect',
    'Active',
    'OpenSent',
    'OpenConfirm',
    'Established',
    'Close',
    'Down',
    'Passive',
  ];
  assert.deepEqual(
    states.map((state) => sessionsOf(other(state, 'start'), 0)[0]?.state),
    ['idle', 'connect', 'active', 'opensent', 'openconfirm', 'established', 'idle', 'idle', 'active'],
  );
});

test('in BIRD’s own time format the age is told by its clock; a date is too coarse', () => {
  const text = (since: string): string => established.replace('1795284895', since);
  const at = serverTimeOf(
    'BIRD 2.0.12 ready.\nCurrent server time is 2026-11-21 18:14:58.585\nLast reboot on x\n',
  );
  assert.equal(sessionsOf(text('18:14:54.584'), 1795285000, at)[0]?.seconds, 4);
  assert.equal(sessionsOf(text('23:14:58'), 1795285000, at)[0]?.seconds, 19 * 3600);
  assert.equal(sessionsOf(text('2026-11-19'), 1795285000, at)[0]?.seconds, null);
  assert.equal(sessionsOf(text('18:14:54.584'), 1795285000)[0]?.seconds, null);
});

test('versions: 2 is known, 1 and 3 are not', () => {
  assert.equal(versionOf('BIRD version 2.0.12\n'), '2.0.12');
  assert.equal(versionOf('BIRD 2.0.12 ready.\nBIRD 2.0.12\n'), '2.0.12');
  assert.equal(versionOf('BIRD v2.15.1 ready.'), '2.15.1');
  assert.equal(versionOf('Unable to connect to server control socket'), null);
  assert.deepEqual(['2.0.7', '2.16', '2.16.1', '1.6.8', '3.0.1', '20.1'].map(isKnownVersion), [
    true,
    true,
    true,
    false,
    false,
    false,
  ]);
});

test('what it says to a configuration', () => {
  const said = (line: string): string | null =>
    complaintOf(`BIRD 2.0.12 ready.\nReading configuration from x\n${line}\n`);
  for (const fine of [
    'Reconfigured',
    'Reconfiguration in progress',
    'Reconfiguration already in progress, queueing new config',
  ])
    assert.equal(said(fine), null);
  assert.equal(
    said('x:1:1 syntax error, unexpected CF_SYM_UNDEFINED'),
    'x:1:1 syntax error, unexpected CF_SYM_UNDEFINED',
  );
  assert.equal(complaintOf(''), 'no answer');
});

test('its fingerprint, and none where it runs another configuration', () => {
  assert.equal(fingerprintAnswer('BIRD 2.0.12 ready.\n0123456789abcdef0123\n'), '0123456789abcdef0123');
  assert.equal(fingerprintAnswer('BIRD 2.0.12 ready.\nsyntax error, unexpected CF_SYM_UNDEFINED\n'), null);
});

test('prefixes of a table', () => {
  const text =
    'Table romana4:\nfd10:11::/32         blackhole [romana_announce6 18:14:54] * (200)\n10.11.0.0/16         blackhole [romana_announce4 18:14:54.584] * (200)\n\tvia x\n';
  assert.deepEqual(prefixesOf(text).map(formatCidr), ['10.11.0.0/16', 'fd10:11::/32']);
});
