/** What an agent tells of what lives on its host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '#core/address/index.ts';
import type { WiredEndpoint } from './desired.ts';
import { liveOf } from './live.ts';

const one = (name: string, ...addresses: string[]): WiredEndpoint => ({
  key: `a/s/${name}`,
  uid: `u-${name}`,
  tenant: 'a',
  placed: addresses.map((text) => ({ network: 'n', address: parseAddress(text) })),
  attachment: { kind: 'none' },
  sourcePrefixes: [],
});
const x = one('x', '10.1.1.17', 'fd10::1');
const y = one('y', '10.1.1.18');

test('digests do not depend on the order of endpoints or addresses, and differ with every uid and address', () => {
  const hash = (...held: WiredEndpoint[]) => liveOf(held, null, 'digest').held.hash;
  assert.equal(hash(x, y), hash(y, one('x', 'fd10::1', '10.1.1.17')));
  const others = [[], [x], [x, { ...y, uid: 'u' }], [x, one('y', '10.1.1.19')], [x, one('z', '10.1.1.18')]];
  assert.equal(new Set([[x, y], ...others].map((held) => hash(...held))).size, others.length + 1);
});

test('everything is told only when it is asked for; one entry for what is held and wired', () => {
  assert.deepEqual(Object.keys(liveOf([x], [x, y], 'digest')), ['held', 'wired']);
  const { list, wired } = liveOf([x], [x, y], 'list');
  assert.equal(wired?.count, 2);
  assert.deepEqual(
    list?.map((entry) => [entry.key, entry.held, entry.wired]),
    [
      ['a/s/x', true, true],
      ['a/s/y', false, true],
    ],
  );
  assert.equal(liveOf([x], null, 'list').wired, null);
});

test('a list that would not fit into a request is left out: a host that cannot report would seem away', () => {
  const many = (count: number, length: number) =>
    Array.from({ length: count }, (_, i) => one(`${'n'.repeat(length)}${i}`, `10.1.${i >> 8}.${i & 255}`));
  assert.equal(liveOf(many(4096, 1), [], 'list').list?.length, 4096);
  assert.equal(liveOf(many(4097, 1), [], 'list').list, undefined);
  assert.equal(liveOf(many(4000, 190), [], 'list').list, undefined);
});
