import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress } from '#core/address/index.ts';
import { type Claim, emptyIds, holdingsOf, MaybeWired, olderOf } from './holdings.ts';
import { View, type ViewObjects } from './view.ts';

const network = { name: 'main', cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } };
const six = { name: 'six', cidr: 'fd10::/16', layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 } };

function objects(tenantId: number | null, segmentId: number | null): ViewObjects {
  const view = new View();
  const both = (id: number) => ['main', 'six'].map((name) => ({ network: name, id }));
  const say = (kind: string, key: string, value: object): void => {
    view.take({ type: 'object', kind, key, value } as never);
  };
  view.take({ type: 'snapshot' });
  for (const one of [network, six]) say('network', one.name, one);
  if (tenantId !== null) say('tenant', 'a', { name: 'a', ids: both(tenantId) });
  if (segmentId !== null) say('segment', 'a/s', { tenant: 'a', name: 's', ids: both(segmentId) });
  view.take({ type: 'synced', position: { incarnation: 'i', revision: 1 } });
  return view.state!.objects;
}

const claim = (...addresses: string[]): Claim => ({
  key: 'a/s/x',
  placed: addresses.map((text) => ({
    network: text.includes(':') ? 'six' : 'main',
    address: parseAddress(text),
  })),
});
const both = claim('10.1.1.17', 'fd10:1:1:1::1');

test('an endpoint whose tenant and segment have the ids of its addresses is held, and no orphan', () => {
  assert.deepEqual(holdingsOf([both, both], objects(1, 1)), { holds: 1, orphans: [] });
});

test('an endpoint of a tenant or segment that is gone, or has other ids now, is an orphan in each family', () => {
  const orphans = [
    { network: 'main', tenant: 1, segment: 1 },
    { network: 'six', tenant: 1, segment: 1 },
  ];
  for (const [tenantId, segmentId] of [
    [null, null],
    [1, null],
    [2, 1],
    [1, 2],
  ] as const)
    assert.deepEqual(holdingsOf([both], objects(tenantId, segmentId)), { holds: 1, orphans });
});

test('an address of no known network is an orphan without ids', () => {
  assert.deepEqual(holdingsOf([claim('192.0.2.1')], objects(1, 1)).orphans, [
    { network: 'main', tenant: 0, segment: 0 },
  ]);
});

test('an endpoint may be wired from the beginning of a pass until a later whole one has left it out', () => {
  const other: Claim = { ...both, key: 'a/s/y' };
  const wired = new MaybeWired();
  const keys = (): string[] => wired.list().map(({ key }) => key);
  wired.began([both]);
  assert.deepEqual(keys(), ['a/s/x'], 'while the pass runs');
  wired.ended(true);
  wired.began([other]);
  assert.deepEqual(keys(), ['a/s/x', 'a/s/y']);
  wired.ended(false);
  assert.deepEqual(keys(), ['a/s/x', 'a/s/y'], 'nobody knows how far it came');
  wired.began([]);
  wired.ended(true);
  assert.deepEqual(keys(), []);
});

test('the older of two positions; none of different stores', () => {
  const at = (revision: number, incarnation = 'i') => ({ incarnation, revision });
  assert.deepEqual(olderOf(at(3), at(5)), at(3));
  assert.deepEqual(olderOf(at(5), at(3)), at(3));
  for (const [a, b] of [
    [null, at(1)],
    [at(1), null],
    [at(1), at(1, 'j')],
  ] as const)
    assert.equal(olderOf(a, b), null);
});

test('a retiring id is empty when nothing that counts has an address of it; without retiring ids nothing is said', () => {
  const ids = (retiring: boolean) =>
    ['main', 'six'].flatMap((name) => [
      { network: name, id: 1, allocator: 'agent', cidr: '' },
      { network: name, id: 2, allocator: 'agent', cidr: '', ...(retiring ? { retiring } : {}) },
    ]);
  const knowing = (retiring: boolean): ViewObjects => {
    const host = { name: 'h1', ids: ids(retiring) } as never;
    return { ...objects(1, 1), host: new Map([['h1', host]]) };
  };
  const [main, second] = ['main', 'six'].map((name) => ({ network: name, id: 2 }));
  assert.equal(emptyIds([both], knowing(false), 'h1'), null);
  assert.deepEqual(emptyIds([both], knowing(true), 'h1'), [main, second]);
  assert.deepEqual(emptyIds([both, claim('10.2.1.17')], knowing(true), 'h1'), [second]);
  assert.deepEqual(emptyIds([both, claim('fd10:2:1:1::1')], knowing(true), 'h1'), [main]);
  assert.deepEqual(
    emptyIds(
      [{ key: 'a/s/x', placed: [{ network: 'main', address: parseAddress('192.0.2.1') }] }],
      knowing(true),
      'h1',
    ),
    [second],
    'of an earlier network of the name: it may be any id',
  );
});
