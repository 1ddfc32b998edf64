/**
 * What Romana 1 and 2 did or got wrong with addresses, restated in this model: every situation of the table in docs/ipam.md has a test of
 * its name here.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressPlan, formatAddress, parseCidr, parseLayout } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { decideAllocate, decideRelease, type IpamNetwork, MemoryIpam } from '#core/ipam/index.ts';
import { byKey, endpoint, host, network, segment, tenant } from '#server/services/fixtures.ts';
import { admin, type World, world } from '#server/testing.ts';

const refusedWith = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

/** One network in memory, with short verbs. */
function bench(cidr: string, layout: string, quarantineMs = 0) {
  const net: IpamNetwork = {
    name: 'n',
    plan: addressPlan(parseCidr(cidr), parseLayout(layout)),
    reserved: [],
    quarantineMs,
  };
  const ipam = new MemoryIpam([net]);
  return {
    give(key: string, hostId = 1, tenantId = 1, segmentId = 1): string {
      const slots = [{ network: 'n', hostIds: [hostId], tenantId, segmentId }];
      const { allocation, events } = decideAllocate(ipam, { key, question: '', slots }, key, 0);
      for (const event of events) ipam.apply(event);
      return formatAddress(allocation.addresses[0]!.address);
    },
    free(key: string): void {
      for (const event of decideRelease(ipam, key, {}, 0)) ipam.apply(event);
    },
  };
}

async function cluster(
  t: { after(fn: () => void): void },
  more: Parameters<typeof network>[2] = {},
): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'main', more);
  for (const name of ['h1', 'h2']) await host(w.services, name, { allocator: 'server' });
  for (const name of ['a', 'b']) {
    await tenant(w.services, name);
    await segment(w.services, name, 's');
  }
  return w;
}
const addressOf = ({ addresses }: { addresses: { address: string }[] }): string | undefined =>
  addresses[0]?.address;

test('T2 host, tenant and segment are read from the address; the first endpoint is the first id', () => {
  const b = bench('10.0.0.0/8', '8/4/4/8');
  assert.equal(b.give('x', 1, 1, 1), '10.1.17.1');
  assert.deepEqual(
    [b.give('y', 1, 1, 2), b.give('z', 1, 1, 2), b.give('w', 1, 1, 2)],
    ['10.1.18.1', '10.1.18.2', '10.1.18.3'],
  );
  assert.equal(b.give('v', 2, 1, 2), '10.2.18.1');
});

test('T2 capacity: 255 endpoints of 8 bits, one more is refused, and a released one is given again', () => {
  const b = bench('10.0.0.0/8', '8/4/4/8');
  for (let n = 1; n <= 255; n++) assert.equal(b.give(`k${n}`), `10.1.17.${n}`);
  assert.throws(() => b.give('more'), refusedWith('block_full'));
  b.free('k1');
  assert.equal(b.give('more'), '10.1.17.1');
});

test('T2 widths that do not fill the address are refused', () => {
  for (const layout of ['8/4/4/7', '8/4/4/9', '9/8/4/4'])
    assert.throws(() => bench('10.0.0.0/8', layout), refusedWith('layout_invalid'));
});

test('T4a released addresses come again longest idle first, after every fresh one', () => {
  const b = bench('10.0.0.0/24', '2/2/2/2');
  const [one, two, three] = [b.give('a'), b.give('b'), b.give('c')];
  for (const key of ['b', 'c']) b.free(key);
  assert.deepEqual([b.give('d'), b.give('e')], [two, three]);
  assert.throws(() => b.give('f'), refusedWith('block_full'));
  for (const key of ['a', 'd', 'e']) b.free(key);
  assert.deepEqual([b.give('g'), b.give('h')], [one, two]);
});

test('T4b two segments never share a block', () => {
  const b = bench('10.0.0.0/24', '2/2/2/2');
  assert.deepEqual(
    [b.give('a', 1, 1, 1), b.give('b', 1, 1, 1), b.give('c', 1, 1, 2)],
    ['10.0.0.85', '10.0.0.86', '10.0.0.89'],
  );
});

test('T4c the same name twice has the same address; the same tenant on two hosts has two blocks', async (t) => {
  const { services } = await cluster(t);
  const first = await endpoint(services, 'a/s/x');
  assert.deepEqual(await endpoint(services, 'a/s/x'), first);
  assert.deepEqual(
    [addressOf(first), addressOf(await endpoint(services, 'a/s/y', { host: 'h2' }))],
    ['10.1.1.17', '10.2.1.17'],
  );
});

test('T4d an endpoint gets its address from the network it asks for, else from the first; an unknown host is refused', async (t) => {
  const { services } = await cluster(t, {
    cidr: '10.200.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  await network(services, 'other', {
    cidr: '10.220.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  assert.match(addressOf(await endpoint(services, 'a/s/x')) ?? '', /^10\.200\./);
  assert.match(addressOf(await endpoint(services, 'a/s/y', { networks: ['other'] })) ?? '', /^10\.220\./);
  await assert.rejects(endpoint(services, 'a/s/z', { host: 'none' }), refusedWith('not_found'));
});

test('T4e reservations: not the whole, wider swallows narrower, not over live addresses, back only exactly', async (t) => {
  const { services } = await cluster(t);
  const params = { name: 'main' };
  const reserve = (cidr: string) =>
    services.networkReserve(admin, { params, query: {}, body: { cidr, keepLive: false } });
  const back = (cidr: string) =>
    services.networkUnreserve(admin, { params: { ...params, cidr }, query: {}, body: undefined });
  await assert.rejects(reserve('10.0.0.0/8'), refusedWith('input_invalid'));
  await reserve('10.1.1.16/32');
  assert.deepEqual((await reserve('10.1.1.16/31')).reserved, ['10.1.1.16/31']);
  assert.equal(addressOf(await endpoint(services, 'a/s/x')), '10.1.1.18');
  await assert.rejects(reserve('10.1.1.18/31'), refusedWith('in_use'));
  await assert.rejects(back('10.1.1.16/30'), refusedWith('not_found'));
  await back('10.1.1.16/31');
  assert.equal(addressOf(await endpoint(services, 'a/s/y')), '10.1.1.17');
});

test('T4f 31 endpoints round-robin over four hosts and two networks: all have an address of their own, in the block of their host', async (t) => {
  const w = world();
  t.after(() => w.dispose());
  // Two /26 with /29 blocks leave 3 bits for host, tenant and segment: four hosts would have been three, so that is refused.
  const small = ['10.0.0.0/26', '10.0.0.64/26'].map((cidr, i) => ({ name: `n${i}`, cidr, block_mask: 29 }));
  const file = { params: {}, query: {}, body: { networks: small } };
  await assert.rejects(w.services.topologyApply(admin, file), refusedWith('layout_invalid'));
  const layout = { host: 3, tenant: 1, segment: 1, endpoint: 3 };
  for (const [name, cidr] of [
    ['n0', '10.0.0.0/24'],
    ['n1', '10.0.1.0/24'],
  ] as const)
    await network(w.services, name, { cidr, layout });
  for (const name of ['h1', 'h2', 'h3', 'h4']) await host(w.services, name, { allocator: 'server' });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  const addresses = new Set<string>();
  for (let i = 0; i < 31; i++) {
    const on = `h${1 + (i % 4)}`;
    const made = await endpoint(w.services, `a/s/x${i}`, {
      host: on,
      networks: [`n${Math.floor(i / 4) % 2}`],
    });
    const address = addressOf(made) ?? '';
    const seen = await w.services.addressExplain(admin, { params: { address }, query: {}, body: undefined });
    assert.equal(seen.host, on);
    addresses.add(address);
  }
  assert.equal(addresses.size, 31);
});

test('T4g a block larger than its network, or beyond the address, is refused', async (t) => {
  const w = world();
  t.after(() => w.dispose());
  for (const mask of [20, 33]) {
    const body = { networks: [{ name: 'n', cidr: '10.0.0.0/24', block_mask: mask }] };
    await assert.rejects(w.services.topologyApply(admin, { params: {}, query: {}, body }));
  }
  const six = { networks: [{ name: 'n', cidr: 'fd10::/64', block_mask: 129 }] };
  await assert.rejects(w.services.topologyApply(admin, { params: {}, query: {}, body: six }));
  assert.equal(
    w.store.read((tx) => tx.count('network')),
    0,
  );
});

test('T4g a network is its name: the same range under another is refused, and every address stays', async (t) => {
  const { services } = await cluster(t);
  const before = await endpoint(services, 'a/s/x');
  const body = { networks: [{ name: 'renamed', cidr: '10.0.0.0/8', layout: '8/8/4/4' }] };
  await assert.rejects(services.topologyApply(admin, { params: {}, query: {}, body }));
  assert.deepEqual((await services.endpointShow(admin, byKey('a/s/x'))).addresses, before.addresses);
  assert.equal(
    (await services.networkList(admin, { params: {}, query: {}, body: undefined })).items.length,
    1,
  );
});

test('T4g a network that overlaps another is refused', async (t) => {
  const { services } = await cluster(t);
  await assert.rejects(
    network(services, 'more', {
      cidr: '10.128.0.0/9',
      layout: { host: 7, tenant: 8, segment: 4, endpoint: 4 },
    }),
    refusedWith('network_overlap'),
  );
});

test('bug 1: the addresses of a removed host go to nobody but the next holder of its host id', async (t) => {
  const { services } = await cluster(t);
  await endpoint(services, 'a/s/x', { host: 'h2' });
  const name = { params: { name: 'h2' }, query: {}, body: undefined };
  await assert.rejects(services.hostDelete(admin, name), refusedWith('in_use'));
  await services.endpointDelete(admin, byKey('a/s/x'));
  await services.hostDelete(admin, name);
  await host(services, 'h3', { allocator: 'server' });
  assert.equal(addressOf(await endpoint(services, 'b/s/y', { host: 'h3' })), '10.2.2.17');
  assert.equal(addressOf(await endpoint(services, 'a/s/x', { host: 'h1' })), '10.1.1.17');
  assert.deepEqual(
    (await services.ipamCheck(admin, { params: {}, query: {}, body: undefined })).findings,
    [],
  );
});

test('bug 9: an id beyond its field is refused and spills into no other field', async (t) => {
  const { services } = await cluster(t, {
    cidr: '10.0.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  await assert.rejects(tenant(services, 'wide', { id: 16 }), refusedWith('id_out_of_range'));
  await assert.rejects(segment(services, 'a', 'wide', 16), refusedWith('id_out_of_range'));
  assert.throws(() => bench('10.0.0.0/16', '4/4/4/4').give('x', 1, 16), refusedWith('id_out_of_range'));
});

test('bug 10: released in any order, a block is whole again: 3, 5, 1, and every order of a full one', () => {
  const keys = ['1', '2', '3', '4', '5', '6', '7'];
  fc.assert(
    fc.property(fc.shuffledSubarray(keys, { minLength: keys.length }), (order) => {
      const b = bench('10.0.0.0/24', '2/2/1/3');
      const all = keys.map((key) => b.give(key));
      for (const key of ['3', '5', '1', ...order]) b.free(key);
      const again = keys.map((key) => b.give(`again${key}`));
      assert.deepEqual(again.toSorted(), all.toSorted());
    }),
  );
});

test('bug 12: no two hosts can get one address, however small the network is', () => {
  const b = bench('10.0.0.0/27', '2/1/1/1');
  const given = [1, 2, 3].map((hostId) => b.give(`h${hostId}`, hostId));
  assert.equal(new Set(given).size, 3, given.join());
  for (const hostId of [1, 2, 3])
    assert.throws(() => b.give(`more${hostId}`, hostId), refusedWith('block_full'));
});

test('bug 14: asking twice answers the same and frees nothing; deleting twice is as good as once', async (t) => {
  const { services } = await cluster(t);
  const first = await endpoint(services, 'a/s/x');
  assert.equal((await endpoint(services, 'a/s/x')).uid, first.uid);
  await assert.rejects(endpoint(services, 'a/s/x', { endpointId: 9 }), refusedWith('conflict'));
  assert.equal(addressOf(await services.endpointShow(admin, byKey('a/s/x'))), addressOf(first));
  await services.endpointDelete(admin, byKey('a/s/x'));
  await assert.rejects(services.endpointDelete(admin, byKey('a/s/x')), refusedWith('not_found'));
});

test('bug 16: an answer that says it is allocated outlives a crash of the server', async (t) => {
  const w = await cluster(t);
  const first = await endpoint(w.services, 'a/s/x');
  const again = w.restart();
  assert.equal((await endpoint(again.services, 'a/s/x')).uid, first.uid);
  assert.notEqual(addressOf(await endpoint(again.services, 'a/s/y')), addressOf(first));
});

test('bug 23: what a layout keeps from everybody else is counted, and it is said why', async (t) => {
  const { services } = await cluster(t);
  await endpoint(services, 'a/s/x');
  const query = { tree: 'false', tenants: 'false', blocks: 'true' } as const;
  const { rows } = await services.ipamShow(admin, { params: {}, query, body: undefined });
  const block = rows.find(({ level }) => level === 'block');
  assert.deepEqual([block?.size, block?.used, block?.free], ['16', '1', '14']);
  assert.ok(rows[0]?.why.some(({ reason }) => reason === 'segment'));
});
