/** I19: what `ipam show` answers adds up in every row, and the rows add up to each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { IpamRow } from '#contract/ipam.ts';
import { isRomanaError } from '#core/errors.ts';
import { admin, type World, world } from '../testing.ts';
import { byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';
import type { Input } from './types.ts';

type Query = Input<'ipamShow'>['query'];

async function show(w: World, query: Partial<Query> = {}): Promise<IpamRow[]> {
  const all = { tree: 'false', tenants: 'false', blocks: 'false', ...query } as const;
  return (await w.services.ipamShow(admin, { params: {}, query: all, body: undefined })).rows;
}

/** 2 groups, 3 hosts, 2 tenants; the third host stands alone in its group. */
async function cluster(): Promise<World> {
  const w = world();
  await network(w.services, 'v4', {
    cidr: '10.0.0.0/24',
    layout: { host: 3, tenant: 2, segment: 1, endpoint: 2 },
  });
  const groups = [{ name: 'g1' }, { name: 'g2' }];
  await w.services.topologyApply(admin, { params: {}, query: {}, body: { groups } });
  await host(w.services, 'h1', { group: 'g1', allocator: 'server' });
  await host(w.services, 'h2', { group: 'g1', allocator: 'server' });
  await host(w.services, 'h4', { group: 'g2', allocator: 'server' });
  for (const name of ['a', 'b']) {
    await tenant(w.services, name);
    await segment(w.services, name, 's');
  }
  return w;
}

const fields = ['used', 'reserved', 'quarantined', 'free', 'stranded'] as const;
const sumOf = (rows: readonly IpamRow[], field: (typeof fields)[number] | 'size'): bigint =>
  rows.reduce((sum, row) => sum + BigInt(row[field]), 0n);

function demandSums(rows: readonly IpamRow[]): void {
  for (const row of rows) {
    const text = JSON.stringify(row);
    assert.equal(
      fields.reduce((sum, field) => sum + BigInt(row[field]), 0n),
      BigInt(row.size),
      text,
    );
    assert.equal(
      row.why.reduce((sum, { count }) => sum + BigInt(count), 0n),
      BigInt(row.stranded),
      text,
    );
    for (const { count } of row.why) assert.ok(BigInt(count) > 0n, text);
  }
}

test('I19 over any history every row adds up, and hosts, tenants and blocks add up to the network', async () => {
  const step = fc.record({
    do: fc.constantFrom('create', 'create', 'create', 'delete', 'wait', 'reserve', 'unreserve', 'restart'),
    n: fc.nat(7),
    host: fc.constantFrom('h1', 'h2', 'h4'),
    cidr: fc.constantFrom('10.0.0.32/27', '10.0.0.44/30', '10.0.0.45/32', '10.0.0.128/25', '10.0.0.41/32'),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      let w = await cluster();
      const refused = (error: unknown): void => {
        if (!isRomanaError(error) || error.code === 'internal') throw error;
      };
      const params = { name: 'v4' };
      for (const { do: what, n, host: on, cidr } of steps) {
        const key = `${n % 2 === 0 ? 'a' : 'b'}/s/e${n}`;
        if (what === 'create') await endpoint(w.services, key, { host: on }).catch(refused);
        else if (what === 'delete') await w.services.endpointDelete(admin, byKey(key)).catch(refused);
        else if (what === 'wait') w.clock.time += n * 5000;
        else if (what === 'restart') w = w.restart();
        else if (what === 'reserve') {
          const body = { cidr, keepLive: n > 3 };
          await w.services.networkReserve(admin, { params, query: {}, body }).catch(refused);
        } else {
          const input = { params: { ...params, cidr }, query: {}, body: undefined };
          await w.services.networkUnreserve(admin, input).catch(refused);
        }
      }
      const { items } = await w.services.endpointList(admin, { params: {}, query: {}, body: undefined });
      const rows = await show(w, { tree: 'true', tenants: 'true', blocks: 'true' });
      demandSums(rows);
      const level = (name: IpamRow['level']): IpamRow[] => rows.filter((row) => row.level === name);
      const [all] = level('network');
      assert.equal(all?.size, '256');
      assert.equal(all.used, String(items.length));
      assert.equal(sumOf(level('group'), 'size'), 256n);
      for (const field of ['used', 'reserved', 'quarantined', 'free', 'stranded'] as const)
        assert.equal(sumOf(level('group'), field), BigInt(all[field]), field);
      for (const name of ['host', 'tenant', 'block'] as const) {
        assert.equal(sumOf(level(name), 'used'), BigInt(items.length), name);
        assert.equal(sumOf(level(name), 'quarantined'), BigInt(all.quarantined), name);
      }
      w.dispose();
    }),
    { numRuns: 25 },
  );
});

test('the filters: a host with its blocks, a tenant, one network; unknown names are refused', async (t) => {
  const w = await cluster();
  t.after(() => w.dispose());
  await endpoint(w.services, 'a/s/x', { host: 'h2' });
  await endpoint(w.services, 'b/s/y', { host: 'h1' });
  const brief = (rows: readonly IpamRow[]) =>
    rows.map(({ level, cidr, used, free }) => [level, cidr, used, free]);
  assert.deepEqual(brief(await show(w, { host: 'h2', blocks: 'true' })), [
    ['host', '10.0.0.64/27', '1', '8'],
    ['block', '10.0.0.76/30', '1', '2'],
  ]);
  assert.deepEqual(brief(await show(w, { tenant: 'b', blocks: 'true' })), [
    ['tenant', null, '1', '8'],
    ['block', '10.0.0.52/30', '1', '2'],
  ]);
  assert.deepEqual(brief(await show(w)), [
    ['network', '10.0.0.0/24', '2', '152'],
    ['group', '10.0.0.0/25', '2', '48'],
    ['group', '10.0.0.128/25', '0', '104'],
  ]);
  for (const query of [{ network: 'none' }, { host: 'none' }, { tenant: 'none' }])
    await assert.rejects(show(w, query), (error) => isRomanaError(error) && error.code === 'not_found');
});
