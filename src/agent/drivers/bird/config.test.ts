/** What BIRD is told. That BIRD reads it so is shown with the daemon itself, in test/bgp. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { birdMatch, birdSymbol } from '#core/routing/export/bird-text.ts';
import { intentOf, passwords, peerOf } from '../testing.ts';
import { type BirdMode, birdConfig, fingerprintOf, withoutAnnouncements } from './config.ts';

const digest = (text: string): string => `abcdef${text.length.toString(16).padStart(10, '0')}`;
const textOf = (over: Parameters<typeof intentOf>[0] = {}, mode: BirdMode = 'complete'): string =>
  birdConfig(intentOf(over), passwords, mode, digest);
const isUnfit = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

for (const mode of ['complete', 'include'] as const) {
  test(`golden: ${mode}`, () => {
    const file = new URL(`./golden/${mode}.conf`, import.meta.url);
    const text = textOf({}, mode);
    if (process.env['ROMANA_WRITE_GOLDEN'] === '1') writeFileSync(file, text);
    assert.equal(text, readFileSync(file, 'utf8'));
  });
}

test('1 without anything to announce or to accept everything is refused', () => {
  const text = textOf({ announce: [], accept: [], acceptDefault: false });
  assert.equal(text.match(/^ {2}if false then accept;$/gm)?.length, 2);
  assert.doesNotMatch(text, /route .* blackhole/);
});

test('1 a default route is accepted only where the intent says so', () => {
  assert.match(textOf(), /net = 0\.0\.0\.0\/0 then accept/);
  assert.match(textOf(), /net = ::\/0 then accept/);
  assert.doesNotMatch(textOf({ acceptDefault: false }), /0\.0\.0\.0\/0|::\/0/);
});

test('2 no kernel protocol takes an announcement; an included part brings neither daemon nor kernel protocol', () => {
  assert.equal(textOf().match(/export where source = RTS_BGP;/g)?.length, 2);
  assert.doesNotMatch(textOf({}, 'include'), /^(protocol (kernel|device|bfd)|router id|log|timeformat)/m);
});

test('3 a session keeps its name whatever else comes and goes', () => {
  const names = (text: string): string[] =>
    [...text.matchAll(/^protocol bgp (\S+) \{$/gm)].map(([, name = '']) => name);
  const all = names(textOf());
  assert.deepEqual(all, ['romana_tor1_4', 'romana_tor1_6', "'romana_tor2.rack-7_4'"]);
  const { peers } = intentOf();
  assert.deepEqual(names(textOf({ peers: peers.slice(1) })), all.slice(1));
  assert.deepEqual(names(textOf({ peers: [...peers].reverse() })), [...all].reverse());
});

test('3 several sessions with one device are told apart by address', () => {
  const peers = ['172.17.11.1', '172.19.11.1', 'fd01:11::1'].map((address) => peerOf('tor1', address));
  const text = textOf({ peers });
  for (const name of ["'romana_tor1.172.17.11.1_4'", "'romana_tor1.172.19.11.1_4'", 'romana_tor1_6'])
    assert.ok(text.includes(`protocol bgp ${name} {`), name);
});

test('4 the fingerprint is that of the rest of the text', () => {
  const text = textOf();
  const rest = text.replace(/^define romana_fingerprint.*\n/m, '');
  assert.equal(fingerprintOf(text), digest(rest));
  assert.equal(fingerprintOf(rest), null);
});

test('without announcements the same text remains, and again the same', () => {
  const silent = withoutAnnouncements(textOf(), digest);
  assert.equal(silent, textOf({ announce: [] }));
  assert.equal(withoutAnnouncements(silent, digest), silent);
});

test('no graceful restart: peers may, we do not', () => {
  const text = textOf({ gracefulRestartSeconds: 0 });
  assert.doesNotMatch(text, /graceful restart(;| on| time)/);
  assert.match(text, /graceful restart aware;/);
});

test('what BIRD cannot do, and what is no community, is refused', () => {
  assert.throws(() => textOf({ peers: [peerOf('tor1', null, { link: 'up1' })] }), isUnfit('speaker_unfit'));
  for (const community of ['', '1', '1:2:3:4', '1:x', '1:2)); accept; #'])
    assert.throws(() => textOf({ communities: [community] }), isUnfit('input_invalid'), community);
});

test('different names give different symbols that BIRD can read', () => {
  const name = fc.string({ unit: 'grapheme', maxLength: 70 });
  fc.assert(
    fc.property(name, name, (a, b) => {
      const symbol = birdSymbol('romana_', a, '_4');
      assert.match(symbol, /^([A-Za-z_][A-Za-z0-9_]*|'[A-Za-z0-9_.:-]+')$/);
      assert.ok(symbol.replaceAll("'", '').length <= 63);
      assert.equal(symbol === birdSymbol('romana_', b, '_4'), a === b);
    }),
  );
});

test('a match names exactly its prefixes, of its family', () => {
  const list = ['10.0.0.0/8', 'fd10::/16'].map(parseCidr);
  assert.equal(birdMatch(4, list, []), 'net ~ [ 10.0.0.0/8 ]');
  assert.equal(birdMatch(6, [], list), 'net ~ [ fd10::/16+ ]');
  assert.equal(birdMatch(4, list.slice(1), []), 'false');
});
