/** Every finding of `ipam check` on a store that was damaged for it, none on a store after any history; leaks released once. */
import assert from 'node:assert/strict';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import type { IpamCheck } from '#contract/ipam.ts';
import { testStore } from '#store/testing.ts';
import { admin, agentOf, countingRandom, type World, world } from '../testing.ts';
import { byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';

const nothing = { params: {}, query: {}, body: undefined };
const check = (w: World): Promise<IpamCheck> => w.services.ipamCheck(admin, nothing);
const codes = async (w: World): Promise<string[]> => (await check(w)).findings.map(({ code }) => code).sort();

/** A world, and a way to damage its store as no command would. */
async function cluster(t: { after(fn: () => void): void }) {
  const base = testStore();
  let current = world(base, countingRandom());
  t.after(() => current.dispose());
  const { services } = current;
  await network(services, 'v4');
  await network(services, 'v6', {
    cidr: 'fd10::/112',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  await host(services, 'h1', { allocator: 'server' });
  await host(services, 'h2', { allocator: 'server' });
  for (const name of ['a', 'b']) {
    await tenant(services, name);
    await segment(services, name, 's');
  }
  await endpoint(services, 'a/s/x');
  await endpoint(services, 'a/s/y');
  await endpoint(services, 'b/s/z', { host: 'h2' });
  await services.endpointDelete(admin, byKey('a/s/y'));
  return {
    get world() {
      return current;
    },
    damage(sql: string): World {
      current.store.close();
      const db = new DatabaseSync(base.path);
      db.exec(`PRAGMA foreign_keys = OFF; ${sql}`);
      db.close();
      current = world(base, current.random);
      return current;
    },
  };
}

test('a store that nobody damaged has no finding, and says what was compared', async (t) => {
  const { findings, checked } = await check((await cluster(t)).world);
  assert.deepEqual(findings, []);
  assert.deepEqual(checked, { networks: 2, hosts: 2, endpoints: 2, allocations: 2 });
});

const change = (kind: string, key: string, path: string, value: string): string =>
  `UPDATE objects SET value = json_set(value, '${path}', ${value}) WHERE kind = '${kind}' AND key = '${key}'`;
const cases: readonly (readonly [sql: string, found: readonly string[]])[] = [
  [`DELETE FROM objects WHERE kind = 'endpoint' AND key = 'a/s/x'`, ['allocation_without_endpoint']],
  [
    `DELETE FROM leases WHERE key = 'a/s/x'`,
    [
      'allocation_without_lease',
      'allocation_without_lease',
      'endpoint_without_allocation',
      'endpoint_without_allocation',
    ],
  ],
  [
    `DELETE FROM allocations WHERE key = 'a/s/x'; DELETE FROM leases WHERE key = 'a/s/x'`,
    ['endpoint_without_allocation', 'endpoint_without_allocation'],
  ],
  [
    `UPDATE leases SET uid = 'old' WHERE key = 'a/s/x'`,
    ['allocation_without_endpoint', 'endpoint_without_allocation', 'endpoint_without_allocation'],
  ],
  [
    `UPDATE allocations SET segment_id = 2 WHERE key = 'a/s/x' AND network = 'v4'`,
    ['address_outside_block', 'identity_mismatch', 'owned_but_fresh'],
  ],
  [
    `UPDATE allocations SET endpoint_id = 9 WHERE key = 'a/s/x' AND network = 'v6'`,
    ['address_outside_block', 'owned_but_fresh'],
  ],
  [change('endpoint', 'a/s/x', '$.host', `'h2'`), ['host_id_not_held', 'host_id_not_held']],
  [`UPDATE meta SET value = 0 WHERE name = 'seq'`, ['sequence_behind', 'sequence_behind']],
  [
    `INSERT INTO released (network, host_id, tenant_id, segment_id, endpoint_id, address, released_at)
     SELECT network, host_id, tenant_id, segment_id, endpoint_id, address, 0 FROM allocations WHERE key = 'a/s/x' AND network = 'v4'`,
    ['owned_and_released'],
  ],
  [`DELETE FROM runs WHERE network = 'v4' AND host_id = 1`, ['owned_but_fresh', 'owned_but_fresh']],
  [`INSERT INTO runs VALUES ('v4', 1, 1, 1, 2, 7)`, ['runs_overlap']],
  [
    `${change('network', 'v6', '$.layout', 'NULL')}; ${change('network', 'v6', '$.cidr', `'10.9.0.0/16'`)}`,
    [
      'network_overlap',
      'address_outside_block',
      'address_outside_block',
      'host_id_outside_group',
      'host_id_outside_group',
    ],
  ],
  [change('network', 'v4', '$.reserved', `json('["192.0.2.0/24"]')`), ['reserved_outside']],
  [change('tenant', 'b', '$.ids[0].id', '1'), ['holding_mismatch', 'id_doubled', 'identity_mismatch']],
  [change('host', 'h2', '$.ids[0].id', '1'), ['holding_mismatch', 'host_id_not_held', 'id_doubled']],
  [`UPDATE holdings SET holder = 'h9' WHERE space = 'host id/v4' AND value = 1`, ['holding_mismatch']],
  [
    change('topology', '', '$.groups', `json('[{"name":"r1"},{"name":"r2"}]')`),
    Array(4).fill('host_id_outside_group'),
  ],
];
for (const [sql, found] of cases) {
  test(`found: ${found[0]} after ${sql.replaceAll(/\s+/g, ' ').slice(0, 70)}`, async (t) => {
    const w = (await cluster(t)).damage(sql);
    const { findings } = await check(w);
    assert.deepEqual(findings.map(({ code }) => code).sort(), found.toSorted());
    for (const { objects, message, remedy } of findings)
      assert.ok(objects.length > 0 && message.endsWith('.') && remedy !== '');
  });
}

test('a leak is released once, by number; its addresses rest for others', async (t) => {
  const c = await cluster(t);
  const w = c.damage(`DELETE FROM objects WHERE kind = 'endpoint' AND key = 'a/s/x'`);
  const leaks = (await check(w)).findings.flatMap(({ leak }) => (leak === null ? [] : [leak]));
  const release = () => w.services.ipamRelease(admin, { params: {}, query: {}, body: { leaks } });
  assert.deepEqual(await release(), { released: ['a/s/x'], skipped: [] });
  assert.deepEqual(await codes(w), []);
  const again = await release();
  assert.deepEqual([again.released, again.skipped.map(({ key }) => key)], [[], ['a/s/x']]);
  const other = await endpoint(w.services, 'a/s/other');
  assert.deepEqual(
    other.addresses.map(({ address }) => address),
    ['10.1.1.19', 'fd10::1113'],
  );
});

test('I1 a report that is late releases nothing: the name was allocated anew, or the endpoint is there', async (t) => {
  const c = await cluster(t);
  const w = c.damage(`DELETE FROM objects WHERE kind = 'endpoint' AND key = 'a/s/x'`);
  const leaks = (await check(w)).findings.flatMap(({ leak }) => (leak === null ? [] : [leak]));
  await w.services.ipamRelease(admin, { params: {}, query: {}, body: { leaks } });
  const fresh = await endpoint(w.services, 'a/s/x');
  const answer = await w.services.ipamRelease(admin, { params: {}, query: {}, body: { leaks } });
  assert.deepEqual(answer, {
    released: [],
    skipped: [{ key: 'a/s/x', reason: 'it was allocated anew since' }],
  });
  const seq = w.store.read((tx) => tx.ipam.byKey('a/s/x')?.seq ?? 0);
  const own = [{ key: 'a/s/x', uid: fresh.uid, seq }];
  const refused = await w.services.ipamRelease(admin, { params: {}, query: {}, body: { leaks: own } });
  assert.deepEqual(refused.skipped, [{ key: 'a/s/x', reason: 'the endpoint exists' }]);
  assert.deepEqual(await codes(w), []);
});

test('addresses that an agent gave out agree too, and a leak of them rests with the agent', async (t) => {
  const c = await cluster(t);
  await host(c.world.services, 'h3');
  await c.world.services.hostReport(agentOf('h3'), {
    params: { name: 'h3' },
    query: {},
    body: {
      applied: null,
      problems: [],
      version: 'test',
      registered: [
        {
          tenant: 'a',
          segment: 's',
          name: 'p',
          uid: 'u9',
          addresses: [{ network: 'v4', address: '10.3.1.20' }],
          attachment: { kind: 'none' },
          sourcePrefixes: [],
        },
      ],
      phases: [],
      gone: [],
      acknowledged: null,
      holds: 1,
      orphans: [],
    },
  });
  assert.deepEqual(await codes(c.world), []);
  const w = c.damage(`DELETE FROM objects WHERE kind = 'endpoint' AND key = 'a/s/p'`);
  const leaks = (await check(w)).findings.flatMap(({ leak }) => (leak === null ? [] : [leak]));
  assert.equal(leaks.length, 1);
  await w.services.ipamRelease(admin, { params: {}, query: {}, body: { leaks } });
  const seen = await w.services.addressExplain(admin, {
    params: { address: '10.3.1.20' },
    query: {},
    body: undefined,
  });
  assert.deepEqual([seen.state, seen.quarantinedUntil], ['free', null]);
});
