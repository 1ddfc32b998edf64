/** What FRR's shell prints, as FRR 8.4.4 printed it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { complaintOf, isKnownVersion, sessionsOf, versionOf } from './status.ts';

test('versions, wherever they are said', () => {
  assert.equal(versionOf('bgpd version 8.4.4\nCopyright'), '8.4.4');
  assert.equal(versionOf('FRRouting 8.4.4 (vm) on Linux(6.18)'), '8.4.4');
  assert.equal(versionOf('Quagga 1.2.4 (host).\nCopyright'), 'Quagga 1.2.4');
  assert.equal(versionOf('bgpd is not running'), null);
  assert.deepEqual(
    ['8.4.4', '9.1', '10.0.1', '7.5.1', '11.0', '80.1'].map((version) => isKnownVersion(version, 'frr')),
    [true, true, true, false, false, false],
  );
  assert.deepEqual(
    ['Quagga 1.2.4', '1.2.4', '8.4.4', 'Quagga 0.99'].map((version) => isKnownVersion(version, 'quagga')),
    [true, true, true, false],
  );
  assert.equal(isKnownVersion('1.2.4', 'frr'), false);
});

test('what bgpd says of a file: lines of other daemons are no fault', () => {
  const head = '2026/11/21 18:28:23 BGP: [SHWNK-NWT5S][EC 100663304] ';
  assert.equal(complaintOf(`${head}No such command on config line 6:   detect-multiplier 3\n`), '');
  assert.equal(
    complaintOf(
      `% Malformed communities attribute '1:x'\n${head}Command returned Warning Config Failed on config line 2:  set community 1:x\n`,
    ),
    "Malformed communities attribute '1:x'\nset community 1:x",
  );
});

const neighbour = (over: object): string =>
  JSON.stringify({
    '172.17.11.1': { nbrDesc: 'tor1', remoteAs: 65001, bgpState: 'Active', ...over },
    vrfId: 0,
  });

test('sessions, and what they brought', () => {
  const families = {
    ipv4Unicast: { acceptedPrefixCounter: 3, sentPrefixCounter: 1 },
    ipv6Unicast: { acceptedPrefixCounter: 4, sentPrefixCounter: 2 },
  };
  const up = {
    bgpState: 'Established',
    bgpTimerUpMsec: 105_900,
    addressFamilyInfo: families,
    lastResetDueTo: 'Peer closed the session',
  };
  assert.deepEqual(sessionsOf(neighbour(up)), [
    {
      peer: 'tor1',
      neighbour: '172.17.11.1',
      asn: 65001,
      state: 'established',
      seconds: 105,
      prefixesIn: 7,
      prefixesOut: 3,
      lastError: '',
    },
  ]);
  const [down] = sessionsOf(neighbour({ addressFamilyInfo: families, lastResetTimerMsecs: 2000 }));
  assert.deepEqual([down?.state, down?.seconds, down?.prefixesIn, down?.prefixesOut], ['active', 2, 0, 0]);
  assert.deepEqual(sessionsOf('{}\n'), []);
  assert.deepEqual(sessionsOf(''), []);
});

test('why a session is not up', () => {
  const error = (over: object): string => sessionsOf(neighbour(over))[0]?.lastError ?? '';
  assert.match(error({}), /password/);
  assert.match(error({ lastResetDueTo: 'Waiting for peer OPEN' }), /password/);
  assert.equal(
    error({
      lastResetDueTo: 'BGP Notification send',
      lastNotificationReason: 'OPEN Message Error/Bad Peer AS',
    }),
    'BGP Notification send: OPEN Message Error/Bad Peer AS',
  );
  assert.match(error({ lastNotificationReason: 'Cease/Maximum Number of Prefixes Reached' }), /clear bgp/);
  assert.equal(error({ bgpState: 'OpenSent' }), '');
});

test('every state has its name', () => {
  const states = [
    'Idle',
    'Connect',
    'Active',
    'OpenSent',
    'OpenConfirm',
    'Established',
    'Clearing',
    'Deleted',
  ];
  assert.deepEqual(
    states.map((bgpState) => sessionsOf(neighbour({ bgpState }))[0]?.state),
    ['idle', 'connect', 'active', 'opensent', 'openconfirm', 'established', 'idle', 'idle'],
  );
});
