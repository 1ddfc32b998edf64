/** From one configuration to another on a shell in memory: it arrives, and nothing bad happens on the way. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareCidr, parseCidr } from '#core/address/index.ts';
import { frrNeighbour } from '#core/routing/export/frr-text.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import { intentOf, passwords, peerOf } from '../testing.ts';
import { frrConfig } from './config.ts';
import { difference, networksOf } from './difference.ts';
import { emptyShell, feed, type ShellState, show } from './shell-testing.ts';

const none: ReadonlySet<string> = new Set();
const some = <T>(...all: T[]): fc.Arbitrary<T[]> => fc.subarray(all);
const bfd = { intervalMs: 1000, multiplier: 3 };
const peer = (name: string, address: string | null) =>
  fc
    .record({
      asn: fc.constantFrom(65001, 65011, 4200000000),
      passwordFile: fc.constantFrom(null, '/etc/romana/bgp-password'),
      ttlSecurity: fc.boolean(),
      bfd: fc.constantFrom(null, bfd, { ...bfd, intervalMs: 300 }),
      maxPrefixes: fc.constantFrom(null, 10, 1000),
    })
    .map((over) => peerOf(name, address, { ...over, link: address === null ? 'up3' : null }));
const prefixes = some('10.11.0.0/16', '10.12.0.0/16', '10.12.3.4/32', 'fd10:11::/32', 'fd10:12::/32');
const intents: fc.Arbitrary<BgpIntent> = fc
  .record({
    asn: fc.constantFrom(65011, 65011, 65011, 65012),
    routerId: fc.constantFrom('192.0.2.11', '192.0.2.12'),
    peers: fc
      .tuple(
        peer('tor1', '172.17.11.1'),
        peer('tor1', 'fd01:11::1'),
        peer('tor2', '172.18.11.1'),
        peer('tor3', null),
      )
      .chain((all) => fc.subarray(all)),
    announce: prefixes.map((all) => all.map(parseCidr).sort(compareCidr)),
    accept: some('10.0.0.0/8', '192.0.2.0/24', 'fd10::/16').map((all) => all.map(parseCidr)),
    acceptDefault: fc.boolean(),
    communities: some('65001:100', '65001:200', '65001:1:2'),
    ecmp: fc.constantFrom(1, 8),
    gracefulRestartSeconds: fc.constantFrom(0, 60, 120),
    holdSeconds: fc.constantFrom(3, 9, 180),
    connectRetrySeconds: fc.constantFrom(2, 5, 180),
  })
  .map((over) => intentOf(over));
const textOf = (intent: BgpIntent): string => frrConfig(intent, passwords, 'frr');

function running(text: string): ShellState {
  const shell = emptyShell();
  feed(shell, text);
  assert.deepEqual(shell.faults, []);
  return shell;
}

test('what was read from the file differs in nothing', () => {
  fc.assert(
    fc.property(intents, (intent) => {
      const text = textOf(intent);
      assert.equal(difference(show(running(text)), text, none), null);
    }),
    { numRuns: 60 },
  );
});

test('from any intent to any other: it arrives, lists end, filters stay, and a session in both is not taken away', () => {
  fc.assert(
    fc.property(intents, intents, (from, to) => {
      const shell = running(textOf(from));
      const step = difference(show(shell), textOf(to), none);
      if (step === null) return;
      const wanted = new Set(to.peers.map(frrNeighbour));
      const kept = from.asn === to.asn ? from.peers.map(frrNeighbour).filter((who) => wanted.has(who)) : [];
      feed(shell, step.commands);
      assert.deepEqual(shell.faults, [], step.commands);
      assert.equal(difference(show(shell), textOf(to), none), null, step.commands);
      for (const who of kept) {
        const taken = [`no neighbor ${who} remote-as `, `no neighbor ${who} interface remote-as `];
        assert.ok(!taken.some((words) => step.commands.includes(words)), step.commands);
      }
    }),
    { numRuns: 150 },
  );
});

test('a fresh daemon is told everything, routers of nobody else are touched', () => {
  const shell = emptyShell();
  const wanted = textOf(intentOf());
  feed(shell, difference('!\nfrr version 8.4.4\nhostname x\nend\n', wanted, none)?.commands ?? '');
  assert.deepEqual(shell.faults, []);
  assert.equal(difference(show(shell), wanted, none), null);
  const foreign =
    'ip prefix-list SITE seq 5 permit any\nroute-map SITE permit 10\nrouter bgp 65011 vrf red\n bgp router-id 1.1.1.1\nbfd\n profile site\n';
  assert.equal(difference(`${show(shell)}${foreign}`, wanted, none), null);
});

test('what somebody added to our router by hand goes, what somebody took comes back', () => {
  const shell = running(textOf(intentOf()));
  feed(
    shell,
    'router bgp 65011\n neighbor 192.0.2.99 remote-as 65099\n no neighbor 172.18.11.1 timers 3 9\n address-family ipv4 unicast\n  network 10.66.0.0/16\n  redistribute kernel\n  neighbor 192.0.2.99 prefix-list ROMANA4-IN in\n  neighbor 192.0.2.99 prefix-list ROMANA4-OUT out\n  neighbor 192.0.2.99 activate\n exit-address-family\n',
  );
  const step = difference(show(shell), textOf(intentOf()), none);
  assert.deepEqual(step?.commands.split('\n'), [
    'router bgp 65011',
    ' address-family ipv4 unicast',
    '  no network 10.66.0.0/16',
    '  no redistribute kernel',
    ' exit-address-family',
    'router bgp 65011',
    ' no neighbor 192.0.2.99 remote-as 65099',
    'router bgp 65011',
    ' neighbor 172.18.11.1 timers 3 9',
    '',
  ]);
});

test('3 a new announcement is two lines, the filter first; it goes the other way round', () => {
  const [less, more] = [['10.11.0.0/16'], ['10.11.0.0/16', '10.12.0.0/16']].map((all) =>
    textOf(intentOf({ announce: all.map(parseCidr) })),
  );
  const shell = running(less ?? '');
  const there = difference(show(shell), more ?? '', none)?.commands ?? '';
  assert.deepEqual(
    there.split('\n').map((line) => line.trim()),
    [
      'ip prefix-list ROMANA4-OUT seq 10 permit 10.12.0.0/16',
      'router bgp 65011',
      'address-family ipv4 unicast',
      'network 10.12.0.0/16',
      'exit-address-family',
      '',
    ],
  );
  feed(shell, there);
  const back = difference(show(shell), less ?? '', none)?.commands ?? '';
  assert.match(back, /no network 10\.12\.0\.0\/16[^]*no ip prefix-list ROMANA4-OUT seq 10/);
});

test('what is overlooked alone is no difference', () => {
  const text = textOf(intentOf());
  const shell = running(text);
  feed(shell, 'router bgp 65011\n bgp log-neighbor-changes\n');
  const step = difference(show(shell), text, none);
  assert.deepEqual(step?.keys, ['router bgp 65011 / bgp log-neighbor-changes']);
  assert.equal(difference(show(shell), text, new Set(step?.keys)), null);
});

test('the networks that it announces', () => {
  assert.deepEqual(networksOf(textOf(intentOf())), ['10.11.0.0/16', '10.12.3.4/32', 'fd10:11::/32']);
  assert.deepEqual(
    networksOf('router bgp 1 vrf red\n address-family ipv4 unicast\n  network 10.0.0.0/8\n'),
    [],
  );
});
