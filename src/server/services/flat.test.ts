/** Flat networks: ranges that are kept apart from all others, shown and explained, and in which nobody holds anything. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Network } from '#contract/model.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { itemOf, seenBy } from '../watch/feed.ts';
import { endpoint, host, network, segment, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const nothing = { params: {}, query: {}, body: undefined };
const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const families = [
  { family: 4, cidr: '203.0.113.0/24', inside: '203.0.113.9', part: '203.0.113.0/28', size: 256n },
  { family: 6, cidr: 'fd20::/64', inside: 'fd20::9', part: 'fd20::/120', size: 2n ** 64n },
] as const;

async function cluster(cidr: string): Promise<{ w: World; flat: Network }> {
  const w = world();
  worlds.push(w);
  const flat = await network(w.services, 'outside', { cidr, layout: null });
  await network(w.services, 'main');
  await host(w.services, 'h1', { allocator: 'server' });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return { w, flat };
}

for (const { family, cidr, inside, part, size } of families) {
  test(`nobody holds ids in a flat network, before or after it is made, IPv${family}`, async () => {
    const { w, flat } = await cluster(cidr);
    assert.deepEqual([flat.layout, flat.family], [null, family]);
    await network(w.services, 'later', {
      cidr: family === 4 ? '198.51.100.0/24' : 'fd21::/64',
      layout: null,
    });
    const shown = await w.services.hostShow(admin, named('h1'));
    const of = (list: readonly { network: string }[] = []) => new Set(list.map((one) => one.network));
    assert.deepEqual([of(shown.ids), of(shown.reservations)], [new Set(['main']), new Set(['main'])]);
    assert.deepEqual(of((await w.services.tenantShow(admin, named('a'))).ids), new Set(['main']));
    const { aggregates } = await w.services.topologyShow(admin, nothing);
    assert.ok(aggregates.every((one) => one.network === 'main'));
    await assert.rejects(
      w.services.hostAddId(admin, { ...named('h1'), body: { network: 'outside', allocator: 'server' } }),
      refusedWith('network_flat'),
    );
    assert.deepEqual((await w.services.ipamCheck(admin, nothing)).findings, []);
  });

  test(`no endpoint is made in a flat network, and none by default, IPv${family}`, async () => {
    const { w } = await cluster(cidr);
    await assert.rejects(
      endpoint(w.services, 'a/s/x', { networks: ['outside'] }),
      refusedWith('network_flat'),
    );
    await assert.rejects(endpoint(w.services, 'a/s/x', { addresses: [inside] }), refusedWith('network_flat'));
    const made = await endpoint(w.services, 'a/s/x');
    assert.deepEqual(
      made.addresses.map((one) => one.network),
      ['main'],
    );
  });

  test(`neither networks, hosts' own addresses nor source prefixes lie in a flat network, IPv${family}`, async () => {
    const { w } = await cluster(cidr);
    await assert.rejects(
      network(w.services, 'more', { cidr: part, layout: null }),
      refusedWith('network_overlap'),
    );
    await assert.rejects(host(w.services, 'h2', { addresses: [inside] }), refusedWith('network_overlap'));
    await assert.rejects(
      endpoint(w.services, 'a/s/x', { sourcePrefixes: [part] }),
      refusedWith('input_invalid'),
    );
    await assert.rejects(network(w.services, 'outside'), refusedWith('conflict'));
  });

  test(`ranges of a flat network are reserved; addresses are explained and counted, IPv${family}`, async () => {
    const { w } = await cluster(cidr);
    const explain = async () => {
      const params = { address: inside };
      const {
        state,
        reservedBy,
        ids,
        network: of,
      } = await w.services.addressExplain(admin, {
        ...nothing,
        params,
      });
      return [of, state, reservedBy, ids];
    };
    const rows = async () => {
      const query = { network: 'outside', tree: 'true', tenants: 'true', blocks: 'true' } as const;
      return (await w.services.ipamShow(admin, { ...nothing, query })).rows;
    };
    assert.deepEqual(await explain(), ['outside', 'flat', null, null]);
    const body = { cidr: part, keepLive: false };
    await w.services.networkReserve(admin, { params: { name: 'outside' }, query: {}, body });
    assert.deepEqual(await explain(), ['outside', 'reserved', part, null]);
    const [row, ...more] = await rows();
    const kept = family === 4 ? 16n : 256n;
    assert.deepEqual(more, []);
    assert.deepEqual(
      [row?.size, row?.reserved, row?.free, row?.stranded, row?.why],
      [size, kept, 0n, size - kept, [{ reason: 'flat', count: size - kept }]].map((value) =>
        Array.isArray(value) ? value.map((one) => ({ ...one, count: String(one.count) })) : String(value),
      ),
    );
    await w.services.networkUnreserve(admin, {
      params: { name: 'outside', cidr: part },
      query: {},
      body: undefined,
    });
    assert.deepEqual(await explain(), ['outside', 'flat', null, null]);
    await w.services.networkDelete(admin, named('outside'));
    await network(w.services, 'outside', { cidr: part, layout: null });
  });

  test(`a flat network is opened to tenants, changed and survives a restart, IPv${family}`, async () => {
    const { w } = await cluster(cidr);
    const body = { tenants: ['a'], infrastructure: 'allow' as const, quarantineSeconds: 1 };
    const changed = await w.services.networkUpdate(admin, { params: { name: 'outside' }, query: {}, body });
    assert.deepEqual([changed.tenants, changed.layout], [['a'], null]);
    const again = w.restart();
    assert.deepEqual(await again.services.networkShow(admin, named('outside')), changed);
    assert.deepEqual((await again.services.tenantShow(admin, named('a'))).ids.length, 1);
  });

  test(`a file makes a flat network and cannot turn it into another; its export changes nothing, IPv${family}`, async () => {
    const w = world();
    worlds.push(w);
    const apply = (networks: Record<string, unknown>[]) =>
      w.services.topologyApply(admin, { params: {}, query: {}, body: { networks } });
    const flat = { name: 'outside', cidr, kind: 'flat' };
    await apply([
      { ...flat, reserved: [part] },
      { name: 'main', cidr: '10.0.0.0/8', layout: '8/8/4/4' },
    ]);
    const shown = await w.services.networkShow(admin, named('outside'));
    assert.deepEqual([shown.layout, shown.reserved], [null, [part]]);
    const { revision } = w.store.position();
    const file = JSON.parse(JSON.stringify(await w.services.topologyExport(admin, nothing))) as {
      networks: { name: string; kind?: string }[];
    };
    assert.equal(file.networks.find(({ name }) => name === 'outside')?.kind, 'flat');
    await w.services.topologyApply(admin, { params: {}, query: {}, body: file });
    assert.equal(w.store.position().revision, revision);
    const wide = family === 4 ? '2/2/2/2' : '16/16/16/16';
    await assert.rejects(apply([{ name: 'outside', cidr, layout: wide }]), refusedWith('conflict'));
    await assert.rejects(
      apply([{ name: 'main', cidr: '10.0.0.0/8', kind: 'flat' }]),
      refusedWith('conflict'),
    );
  });

  test(`agents are not told of flat networks: they are in no rule, and an older agent could not read them, IPv${family}`, async () => {
    const { flat } = await cluster(cidr);
    const item = itemOf({ revision: 1, kind: 'network', key: 'outside', value: flat, host: null });
    assert.equal(seenBy({ host: 'h1' }, item), undefined);
    assert.notEqual(seenBy({ host: null }, item), undefined);
  });
}
