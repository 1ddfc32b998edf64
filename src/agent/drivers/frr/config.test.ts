/** What FRR is told. That FRR reads it so is shown with the daemon itself, in test/bgp. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import { intentOf, passwords, peerOf } from '../testing.ts';
import { type FrrDialect, frrConfig, withoutAnnouncements } from './config.ts';

const unnumbered = peerOf('tor3', null, { link: 'up3', asn: 65003 });
const plain = intentOf().peers.map((peer) => ({ ...peer, bfd: null }));
const textOf = (over: Parameters<typeof intentOf>[0] = {}, dialect: FrrDialect = 'frr'): string =>
  frrConfig(
    intentOf({ peers: dialect === 'frr' ? [...intentOf().peers, unnumbered] : plain, ...over }),
    passwords,
    dialect,
  );
const hasCode = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

for (const dialect of ['frr', 'quagga'] as const) {
  test(`golden: ${dialect}`, () => {
    const file = new URL(`./golden/${dialect}.conf`, import.meta.url);
    const text = textOf({}, dialect);
    if (process.env['ROMANA_WRITE_GOLDEN'] === '1') writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });
}

test('1 without anything to announce or to accept the lists refuse everything', () => {
  const lists = textOf({ announce: [], accept: [], acceptDefault: false })
    .split('\n')
    .filter((line) => line.includes('prefix-list ROMANA') && line.includes('seq'));
  assert.equal(lists.length, 4);
  for (const line of lists) assert.match(line, /deny any$/);
});

test('1 every family of every session has its lists before it is activated', () => {
  for (const dialect of ['frr', 'quagga'] as const) {
    const lines = textOf({}, dialect).split('\n');
    const activated = lines.filter((line) => line.endsWith(' activate'));
    assert.equal(activated.length, dialect === 'frr' ? 5 : 3);
    for (const [at, line] of lines.entries()) {
      if (!line.endsWith(' activate')) continue;
      const who = line.replace(/ activate$/, '');
      const before = lines.slice(0, at).lastIndexOf(' !');
      const block = lines.slice(before + 1, at).filter((line) => line.startsWith(who));
      for (const way of ['in', 'out'])
        assert.ok(
          block.some((line) => line.includes(' prefix-list ROMANA') && line.endsWith(` ${way}`)),
          line,
        );
    }
  }
});

test('2 nothing is routed or redistributed', () => {
  assert.doesNotMatch(textOf(), /^ip(v6)? route|redistribute/m);
  assert.match(textOf(), /no bgp network import-check/);
});

test('one file serves all daemons: no line ends a block that another daemon does not know', () => {
  assert.doesNotMatch(textOf(), /^ *(exit|end)$/m);
});

test('4 Quagga is told nothing that only FRR knows', () => {
  const words =
    /frr|bfd|interface|extended-nexthop|preserve-fw-state|select-defer|restart-time|prefer-global|maximum-prefix \d+ \D/;
  assert.doesNotMatch(textOf({}, 'quagga').replace(/^!.*$/gm, ''), words);
  for (const peer of [unnumbered, { ...plain[0]!, bfd: { intervalMs: 300, multiplier: 3 } }])
    assert.throws(() => textOf({ peers: [peer] }, 'quagga'), hasCode('speaker_unfit'));
});

test('an unnumbered session needs a link; what is no community is refused', () => {
  assert.throws(() => textOf({ peers: [{ ...unnumbered, link: null }] }), hasCode('speaker_unfit'));
  for (const community of ['', '1', '1:2:3:4', '1:x', '1:2\nline vty'])
    assert.throws(() => textOf({ communities: [community] }), hasCode('input_invalid'), community);
});

test('without announcements the same text remains', () => {
  for (const dialect of ['frr', 'quagga'] as const) {
    const silent = withoutAnnouncements(textOf({}, dialect));
    assert.equal(silent, textOf({ announce: [] }, dialect));
    assert.equal(withoutAnnouncements(silent), silent);
  }
});
