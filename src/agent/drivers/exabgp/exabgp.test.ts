/** Texts in and out of ExaBGP, without it. What it makes of them is proved in test/bgp. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import { parseConfiguration, parseEvents, parseRoutes, parseStates } from './api.ts';
import { communities, configText, neighbours, withoutRoutes } from './config.ts';

const place = { dir: '/etc/romana/bgp', control: '/etc/romana/bgp/exabgp.sock' };
const peer = (address: string, over: Partial<BgpPeer> = {}): BgpPeer => ({
  name: 'leaf1',
  address: parseAddress(address),
  local: parseAddress(address.includes(':') ? 'fd01::2' : '172.17.11.2'),
  link: null,
  asn: 65001,
  families: [address.includes(':') ? 6 : 4],
  passwordFile: null,
  ttlSecurity: false,
  bfd: null,
  maxPrefixes: null,
  ...over,
});
const intent: BgpIntent = {
  daemon: 'exabgp',
  asn: 65011,
  routerId: '192.0.2.11',
  peers: [peer('172.17.11.1', { passwordFile: '/etc/secret', ttlSecurity: true }), peer('fd01::1')],
  announce: ['fd10:11::/32', '10.12.0.0/16', '10.11.0.0/16'].map(parseCidr),
  accept: [],
  acceptDefault: false,
  communities: ['65001:7', '65001:1:2', '65001:100'],
  ecmp: 8,
  gracefulRestartSeconds: 120,
  holdSeconds: 9,
  connectRetrySeconds: 5,
};
const passwords = new Map([['/etc/secret', 'correct-horse']]);
const made = neighbours(intent, passwords);

test('a configuration: one neighbour for each session, with exactly the routes of its family', () => {
  assert.equal(
    configText(place, made),
    `# Written by Romana; what is changed here is overwritten.
process romana { run /etc/romana/bgp/exabgp-api /etc/romana/bgp/exabgp.sock; encoder json; }
neighbor 172.17.11.1 {
  description "${made[0]!.description}";
  router-id 192.0.2.11;
  local-address 172.17.11.2;
  local-as 65011;
  peer-as 65001;
  hold-time 9;
  md5-password "correct-horse";
  outgoing-ttl 255;
  incoming-ttl 255;
  capability {
    asn4 enable;
    route-refresh enable;
    graceful-restart 120;
  }
  family {
    ipv4 unicast;
  }
  api {
    processes [ romana ];
    neighbor-changes;
  }
  static {
    route 10.11.0.0/16 next-hop self community [ 65001:100 65001:7 ] large-community [ 65001:1:2 ];
    route 10.12.0.0/16 next-hop self community [ 65001:100 65001:7 ] large-community [ 65001:1:2 ];
  }
}
neighbor fd01::1 {
  description "${made[1]!.description}";
  router-id 192.0.2.11;
  local-address fd01::2;
  local-as 65011;
  peer-as 65001;
  hold-time 9;
  capability {
    asn4 enable;
    route-refresh enable;
    graceful-restart 120;
  }
  family {
    ipv6 unicast;
  }
  api {
    processes [ romana ];
    neighbor-changes;
  }
  static {
    route fd10:11::/32 next-hop self community [ 65001:100 65001:7 ] large-community [ 65001:1:2 ];
  }
}
`,
  );
});

test('the order of an intent does not show; only what a session itself is changes its digest', () => {
  const turned = {
    ...intent,
    peers: intent.peers.toReversed(),
    announce: intent.announce.toReversed(),
    communities: intent.communities.toReversed(),
  };
  assert.deepEqual(neighbours(turned, passwords), made);
  const other = neighbours({ ...intent, announce: [], communities: [] }, passwords);
  assert.deepEqual(
    other.map(({ description }) => description),
    made.map(({ description }) => description),
  );
  const slower = neighbours({ ...intent, holdSeconds: 30 }, passwords);
  assert.ok(slower.every(({ description }, index) => description !== made[index]!.description));
  assert.ok(!made.some(({ description }) => description.includes('horse')));
});

test('without an own address there is no session', () => {
  const away = { ...intent, peers: [peer('172.17.11.1', { local: null }), peer('fd01::1')] };
  assert.deepEqual(
    neighbours(away, passwords).map(({ address }) => address),
    ['fd01::1'],
  );
});

test('a text without its routes keeps its sessions', () => {
  const silent = withoutRoutes(configText(place, made));
  assert.ok(!/route 10|route fd/.test(silent));
  assert.equal(silent, configText(place, neighbours({ ...intent, announce: [] }, passwords)));
});

test('announced routes are read back in the form that they were written in, whatever order and brackets', () => {
  const line = (rest: string): string =>
    `neighbor 172.17.11.1 local-ip 172.17.11.2 local-as 65011 peer-as 65001 router-id 192.0.2.11 family-allowed in-open ipv4 unicast 10.11.0.0/16 next-hop self${rest}`;
  for (const [rest, wanted] of [
    ['', []],
    [' community 65001:100', ['65001:100']],
    [' community [ 65001:100 65001:7 ] large-community 65001:1:2', intent.communities],
    [' large-community [ 65001:1:2 65001:1:3 ]', ['65001:1:3', '65001:1:2']],
  ] as const) {
    const routes = parseRoutes([line(rest), 'nonsense', '']).get('172.17.11.1');
    assert.deepEqual([...(routes ?? [])], [['10.11.0.0/16', communities(wanted)]]);
  }
  assert.equal(formatCidr(intent.announce[0]!), 'fd10:11::/32');
});

test('sessions, durations and read definitions', () => {
  const states = parseStates([
    'Neighbor 172.17.11.1',
    '   state                    ESTABLISHED                                ',
    '   up for                       1:02:03                                ',
    'Neighbor fd01::1',
    '   state                    ESTABLISHED ',
    '   up for               2 days, 0:00:01 ',
    'Neighbor 172.18.11.1',
    '   state                         ACTIVE ',
    '   down for                     0:00:00 ',
  ]);
  assert.deepEqual(
    [...states].map(([address, { state, seconds }]) => [address, state, seconds]),
    [
      ['172.17.11.1', 'established', 3723],
      ['fd01::1', 'established', 172_801],
      ['172.18.11.1', 'active', null],
    ],
  );
  const read = parseConfiguration(['neighbor fd01::1 {', '  description "leaf1 0123";', '  peer-as 65001;']);
  assert.deepEqual([...read], [['fd01::1', 'leaf1 0123']]);
});

test('the reason of an end is told without what wraps it', () => {
  const told = {
    a: {
      since: 1.9,
      state: 'down',
      reason: 'peer reset, message (closing connection) error(Broken TCP connection)',
    },
    b: {
      since: 0,
      state: 'down',
      reason: 'peer reset, message (notification sent (2,2)) error(OPEN message error / Bad Peer AS. )',
    },
    c: { since: 5, state: 'up', reason: '' },
  };
  assert.deepEqual(
    [...parseEvents([JSON.stringify(told)])],
    [
      ['a', { seconds: 1, reason: 'Broken TCP connection' }],
      ['b', { seconds: 0, reason: 'OPEN message error / Bad Peer AS. ' }],
      ['c', { seconds: 5, reason: '' }],
    ],
  );
});
