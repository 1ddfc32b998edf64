/** Shared identity and promotion (sharing.ts, promotion.ts). */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import { addressPlan, decode, parseAddress, parseCidr } from '#core/address/index.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const layout = { host: 8, tenant: 1, segment: 1, endpoint: 14 };

/** One tenant id, one segment id: whoever comes first has it. */
async function cluster(hosts: readonly string[] = ['h1', 'h2', 'h3'], more = {}): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', { layout, ...more });
  for (const name of hosts) await host(w.services, name, { allocator: 'server' });
  return w;
}

async function tenants(w: World, ...names: string[]): Promise<void> {
  for (const name of names) {
    await tenant(w.services, name);
    await segment(w.services, name, 's');
  }
}

/** What a host is told, as `tenant/segment address`. */
const told = (w: World, name: string): string[] =>
  w.store
    .read((tx) => tx.list('sharedpeer', { host: name }))
    .flatMap(({ value }) =>
      value.addresses.map(({ address }) => `${value.tenant}/${value.segment} ${address}`),
    )
    .sort();
const addressOf = (made: { addresses: readonly { address: string }[] }): string => made.addresses[0]!.address;

function report(w: World, name: string, more: object = {}): Promise<unknown> {
  return agentReport(w.services, name, { acknowledged: w.store.position(), ...more });
}

for (const [family, more] of [
  [4, {}],
  [6, { ...six, layout: { host: 16, tenant: 1, segment: 1, endpoint: 94 } }],
] as const) {
  test(`S1 tenants and segments beyond their fields have endpoints under tenant id 0, IPv${family}`, async () => {
    const w = await cluster(undefined, more);
    await tenants(w, 'a', 'b', 'c');
    await segment(w.services, 'a', 't');
    const { cidr, layout: widths } = await w.services.networkShow(admin, named('main'));
    const plan = addressPlan(parseCidr(cidr), widths!);
    const ids = async (key: string) => decode(plan, parseAddress(addressOf(await endpoint(w.services, key))));
    assert.deepEqual(await ids('a/s/x'), { host: 1, tenant: 1, segment: 1, endpoint: 1 });
    assert.deepEqual(await ids('a/t/x'), { host: 1, tenant: 0, segment: 0, endpoint: 1 });
    assert.deepEqual(await ids('b/s/x'), { host: 1, tenant: 0, segment: 0, endpoint: 2 });
    assert.deepEqual(await ids('c/s/x'), { host: 1, tenant: 0, segment: 0, endpoint: 3 });
    const explained = await w.services.addressExplain(admin, {
      params: { address: addressOf(await w.services.endpointShow(admin, byKey('b/s/x'))) },
      query: {},
      body: undefined,
    });
    assert.deepEqual(
      [explained.tenant, explained.segment, explained.endpoint, explained.state],
      ['b', 's', 'b/s/x', 'used'],
    );
  });
}

test('S2 a host is told of tenants that have endpoints there, from the first to the last of them, and of its own never', async () => {
  const w = await cluster();
  await tenants(w, 'a', 'b', 'c');
  const b1 = addressOf(await endpoint(w.services, 'b/s/1'));
  const b2 = addressOf(await endpoint(w.services, 'b/s/2', { host: 'h2' }));
  await endpoint(w.services, 'c/s/1', { host: 'h2' });
  assert.deepEqual([told(w, 'h1'), told(w, 'h2'), told(w, 'h3')], [[`b/s ${b2}`], [`b/s ${b1}`], []]);
  await endpoint(w.services, 'b/s/3', { host: 'h3' });
  assert.deepEqual(told(w, 'h3'), [`b/s ${b1}`, `b/s ${b2}`].sort());
  await w.services.endpointDelete(admin, byKey('b/s/1'));
  assert.deepEqual(told(w, 'h1'), [], 'the last one went');
  assert.equal(told(w, 'h2').includes(`b/s ${b1}`), false);
  // An endpoint of a tenant that has an id needs the shared addresses of its segments that have none.
  await segment(w.services, 'a', 't');
  const at = addressOf(await endpoint(w.services, 'a/t/1'));
  await endpoint(w.services, 'a/s/1', { host: 'h3' });
  assert.ok(told(w, 'h3').includes(`a/t ${at}`));
});

test('S3 an open tenant is told to every host, also to one that comes later, and no longer when it is not open any more', async () => {
  const w = await cluster();
  await tenants(w, 'a', 'b');
  const address = addressOf(await endpoint(w.services, 'b/s/1'));
  const isolate = (isolation: 'open' | 'segment') =>
    w.services.tenantUpdate(admin, { params: { name: 'b' }, query: {}, body: { isolation } });
  await isolate('open');
  await host(w.services, 'h4');
  const all = ['h1', 'h2', 'h3', 'h4'];
  assert.deepEqual(
    all.map((name) => told(w, name)),
    [[], [`b/s ${address}`], [`b/s ${address}`], [`b/s ${address}`]],
  );
  await w.services.hostDelete(admin, named('h4'));
  await isolate('segment');
  assert.deepEqual(
    all.map((name) => told(w, name)),
    [[], [], [], []],
  );
});

test('S4 after any changes each host is told exactly what it needs', async () => {
  const step = fc.oneof(
    fc.record({
      type: fc.constantFrom('create' as const, 'create' as const, 'delete' as const),
      tenant: fc.constantFrom('a', 'b', 'c'),
      segment: fc.constantFrom('s', 't'),
      name: fc.constantFrom('1', '2', '3'),
      host: fc.constantFrom('h1', 'h2', 'h3'),
    }),
    fc.record({
      type: fc.constant('isolate' as const),
      tenant: fc.constantFrom('a', 'b', 'c'),
      isolation: fc.constantFrom('segment' as const, 'tenant' as const, 'open' as const),
    }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const w = await cluster();
      await tenants(w, 'a', 'b', 'c');
      for (const name of ['a', 'b', 'c']) await segment(w.services, name, 't');
      for (const one of steps) {
        if (one.type === 'isolate') {
          const { tenant: name, isolation } = one;
          await w.services.tenantUpdate(admin, { params: { name }, query: {}, body: { isolation } });
        } else {
          const key = `${one.tenant}/${one.segment}/${one.name}`;
          const act =
            one.type === 'create'
              ? endpoint(w.services, key, { host: one.host })
              : w.services.endpointDelete(admin, byKey(key));
          await act.catch((error: { code?: string }) =>
            assert.ok(['conflict', 'not_found'].includes(error.code ?? '')),
          );
        }
      }
      const { items } = await w.services.endpointList(admin, { params: {}, query: {}, body: undefined });
      const { items: all } = await w.services.tenantList(admin, { params: {}, query: {}, body: undefined });
      const isShared = (text: string) => (parseAddress(text).w0 & 0x8000) === 0;
      for (const name of ['h1', 'h2', 'h3']) {
        const needs = (of: string) =>
          all.find((one) => one.name === of)?.isolation === 'open' ||
          items.some((one) => one.host === name && one.tenant === of);
        const wanted = items
          .filter((one) => one.host !== name && needs(one.tenant))
          .flatMap((one) => one.addresses.map(({ address }) => ({ one, address })))
          .filter(({ address }) => isShared(address))
          .map(({ one, address }) => `${one.tenant}/${one.segment} ${address}`);
        assert.deepEqual(told(w, name), wanted.sort());
      }
      w.dispose();
      worlds.splice(0);
    }),
    { numRuns: 20 },
  );
});

test('S5 agents register shared addresses of their own host ids, for tenants with and without an id', async () => {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', { layout });
  await host(w.services, 'h1');
  await host(w.services, 'h2', { allocator: 'server' });
  await tenants(w, 'a', 'b');
  await endpoint(w.services, 'b/s/2', { host: 'h2' });
  const item = (key: string, uid: string, address: string) => {
    const [t = '', s = '', name = ''] = key.split('/');
    return {
      tenant: t,
      segment: s,
      name,
      uid,
      addresses: [{ network: 'main', address }],
      attachment: { kind: 'none' },
      sourcePrefixes: [],
    };
  };
  const answer = (await report(w, 'h1', {
    registered: [
      item('b/s/1', 'u1', '10.1.0.1'),
      item('a/s/1', 'u2', '10.1.0.2'),
      item('b/s/3', 'u3', '10.2.0.9'),
      item('b/s/4', 'u4', '10.1.192.1'),
    ],
  })) as { rejected: { name: string; error: { code: string } }[] };
  assert.deepEqual(
    answer.rejected.map(({ name, error }) => [name, error.code]),
    [
      ['3', 'address_mismatch'],
      ['4', 'address_mismatch'],
    ],
  );
  assert.deepEqual(told(w, 'h2'), ['b/s 10.1.0.1']);
  await report(w, 'h1', { registered: [item('b/s/1', 'u5', '10.1.0.7')] });
  assert.deepEqual(told(w, 'h2'), ['b/s 10.1.0.7']);
  await report(w, 'h1', { gone: [{ tenant: 'b', segment: 's', name: '1', uid: 'u5' }] });
  assert.deepEqual([told(w, 'h1'), told(w, 'h2')], [[], []]);
});

test('S6 a shared address goes to another segment only when every host has acknowledged, to its own at once', async () => {
  // Three shared addresses on each host id.
  const w = await cluster(['h1', 'h2'], {
    cidr: '10.0.0.0/16',
    layout: { host: 8, tenant: 6, segment: 1, endpoint: 1 },
    quarantineSeconds: 0,
  });
  for (const name of ['h1', 'h2']) await w.join(name);
  for (let i = 1; i <= 63; i++) await tenant(w.services, `t${i}`);
  await tenants(w, 'x', 'y');
  const gone = async (name: string, key: string): Promise<void> => {
    const { uid } = await w.services.endpointShow(admin, byKey(key));
    await w.services.endpointDelete(admin, byKey(key));
    const [t, s, n] = key.split('/');
    await report(w, name, { gone: [{ tenant: t, segment: s, name: n, uid }], acknowledged: null });
  };
  for (const n of ['1', '2', '3']) await endpoint(w.services, `x/s/${n}`, { networks: ['main'] });
  const address = addressOf(await w.services.endpointShow(admin, byKey('x/s/2')));
  await gone('h1', 'x/s/2');
  const take = () => endpoint(w.services, 'y/s/1', { addresses: [address] });
  await assert.rejects(take(), refusedWith('address_quarantined'));
  await report(w, 'h1');
  await assert.rejects(take(), refusedWith('address_quarantined'), 'h2 has not acknowledged');
  assert.equal(addressOf(await endpoint(w.services, 'x/s/4', { addresses: [address] })), address);
  await gone('h1', 'x/s/4');
  await report(w, 'h1');
  await report(w, 'h2');
  assert.equal(addressOf(await take()), address);
});

test('S7 the tenant that waited longest is promoted: new endpoints are encoded, old ones keep their shared address', async () => {
  const w = await cluster(['h1', 'h2']);
  for (const name of ['h1', 'h2']) await w.join(name);
  await tenants(w, 'a', 'b', 'c');
  const old = addressOf(await endpoint(w.services, 'b/s/old'));
  await endpoint(w.services, 'b/s/other', { host: 'h2' });
  await w.services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined });
  await w.services.tenantDelete(admin, named('a'));
  const idsOf = async (name: string) =>
    (await w.services.tenantShow(admin, named(name))).ids.map(({ id }) => id);
  await report(w, 'h1');
  assert.deepEqual(await idsOf('b'), [], 'h2 has not acknowledged the deletion of a');
  await report(w, 'h2');
  assert.deepEqual(await idsOf('b'), [], 'the id rests');
  w.clock.time += 30_000;
  await report(w, 'h1');
  assert.deepEqual([await idsOf('b'), await idsOf('c')], [[1], []], 'promoted by the next report');
  const young = addressOf(await endpoint(w.services, 'b/s/young'));
  assert.equal(young, '10.1.192.1');
  assert.equal(addressOf(await w.services.endpointShow(admin, byKey('b/s/old'))), old);
  assert.deepEqual(told(w, 'h2'), [`b/s ${old}`]);
  // A new tenant does not pass by those who wait.
  await tenants(w, 'd');
  assert.deepEqual(await idsOf('d'), []);
});

test('S8 a network of one family alone serves hosts that have only that family', async () => {
  for (const [more, address, first] of [
    [{}, '192.0.2.1', '10.1.1.17'],
    [six, 'fd00::1', 'fd10:1:1:1::1'],
  ] as const) {
    const w = world();
    worlds.push(w);
    await network(w.services, 'only', more);
    await host(w.services, 'h1', { addresses: [address], allocator: 'server' });
    await tenants(w, 'a');
    const made = await endpoint(w.services, 'a/s/x');
    assert.deepEqual(made.addresses, [{ network: 'only', address: first }]);
    const explained = await w.services.addressExplain(admin, {
      params: { address: first },
      query: {},
      body: undefined,
    });
    assert.equal(explained.endpoint, 'a/s/x');
  }
});
