import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isOpenTo, networksByDefault } from './open.ts';

const net = (name: string, family: 4 | 6, ...tenants: string[]) => ({ name, family, tenants });

test('a network without a list is open to all, with one to those on it', () => {
  assert.ok(isOpenTo({}, 'a'));
  assert.ok(isOpenTo({ tenants: [] }, 'a'));
  assert.ok(isOpenTo({ tenants: ['b', 'a'] }, 'a'));
  assert.ok(!isOpenTo({ tenants: ['b'] }, 'a'));
});

test('of each family one network: the first that names the tenant, else the first open one, else none', () => {
  const networks = [
    net('open4', 4),
    net('b4', 4, 'b'),
    net('a4', 4, 'a', 'b'),
    net('a4-2', 4, 'a'),
    net('b6', 6, 'b'),
    net('open6', 6),
    net('open6-2', 6),
  ];
  const choose = (tenant: string, among = networks) =>
    networksByDefault(among, ({ family }) => family, tenant).map(({ name }) => name);
  assert.deepEqual(choose('a'), ['a4', 'open6']);
  assert.deepEqual(choose('b'), ['b4', 'b6']);
  assert.deepEqual(choose('c'), ['open4', 'open6']);
  assert.deepEqual(choose('c', [net('b4', 4, 'b')]), []);
  assert.deepEqual(choose('c', []), []);
});
