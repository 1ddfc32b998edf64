import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import { isRomanaError } from '#core/errors.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

/** Dual stack; host 1, tenant 1 and segment 1 as in the worked example. */
async function cluster(more: Parameters<typeof network>[2] = {}): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', more);
  await network(w.services, 'six', six);
  await host(w.services, 'h1', { allocator: 'server' });
  await host(w.services, 'h2');
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

const texts = (e: { addresses: { address: string }[] }) => e.addresses.map((a) => a.address);

test('E1 the worked example: endpoint id 11 of tenant 1 segment 1 on host 1, in both families', async () => {
  const { services } = await cluster();
  assert.deepEqual(texts(await endpoint(services, 'a/s/x', { endpointId: 11 })), [
    '10.1.1.27',
    'fd10:1:1:1::b',
  ]);
  assert.deepEqual(texts(await endpoint(services, 'a/s/y', { addresses: ['10.1.1.28'] })), [
    '10.1.1.28',
    'fd10:1:1:1::1',
  ]);
});

test('E2 the same question has the same answer, after a restart too; another question names what differs', async () => {
  const w = await cluster();
  const ask = { host: 'h1', networks: ['main'] };
  const first = await endpoint(w.services, 'a/s/x', ask);
  const { revision } = w.store.position();
  assert.deepEqual(await endpoint(w.services, 'a/s/x', ask), first);
  const again = w.restart();
  assert.deepEqual(await endpoint(again.services, 'a/s/x', ask), first);
  assert.equal(again.store.position().revision, revision);
  for (const [more, field] of [
    [{ host: 'h2' }, 'host'],
    [{ networks: ['six'] }, 'networks'],
    [{ endpointId: 3 }, 'endpointId'],
    [{ addresses: ['10.1.1.18'] }, 'addresses'],
    [{ attachment: { kind: 'existing-link', link: 'tap0' } }, 'attachment'],
    [{ sourcePrefixes: ['192.168.0.0/24'] }, 'sourcePrefixes'],
  ] as const) {
    const body = { ...ask, ...more } as Parameters<typeof endpoint>[2];
    await assert.rejects(
      endpoint(again.services, 'a/s/x', body),
      (error: Error) => refusedWith('conflict')(error) && error.message.includes(field),
    );
  }
});

test('E3 addresses are all or nothing: a refused family leaves none of the other', async () => {
  const w = await cluster();
  const { services, store } = w;
  await endpoint(services, 'a/s/x', { networks: ['six'], endpointId: 1 });
  const before = store.position();
  await assert.rejects(endpoint(services, 'a/s/y', { endpointId: 1 }), refusedWith('address_taken'));
  assert.deepEqual(store.position(), before);
  assert.deepEqual(texts(await endpoint(services, 'a/s/z', { networks: ['main'], endpointId: 1 })), [
    '10.1.1.17',
  ]);
});

test('E4 a host of the agent gets an id of the server on first need, together with the endpoint or not at all', async () => {
  const w = await cluster();
  const { services } = w;
  await assert.rejects(
    endpoint(services, 'a/s/x', { host: 'h2', endpointId: 16 }),
    refusedWith('id_out_of_range'),
  );
  assert.equal(
    (await services.hostShow(admin, { params: { name: 'h2' }, query: {}, body: undefined })).ids.length,
    2,
  );
  const made = await endpoint(services, 'a/s/x', { host: 'h2' });
  assert.deepEqual(texts(made), ['10.3.1.17', 'fd10:3:1:1::1']);
  const ids = (await services.hostShow(admin, { params: { name: 'h2' }, query: {}, body: undefined })).ids;
  assert.deepEqual(
    ids.map((i) => [i.network, i.id, i.allocator]),
    [
      ['main', 2, 'agent'],
      ['six', 2, 'agent'],
      ['main', 3, 'server'],
      ['six', 3, 'server'],
    ],
  );
  assert.deepEqual(texts(await endpoint(services, 'a/s/y', { host: 'h2' })), ['10.3.1.18', 'fd10:3:1:1::2']);
});

test('E5 wishes that cannot be are refused by the right name', async () => {
  const { services } = await cluster({ reserved: ['10.1.1.20/30'] });
  await endpoint(services, 'a/s/x', { networks: ['main'], endpointId: 1 });
  for (const [more, code] of [
    [{ host: 'nope' }, 'not_found'],
    [{ networks: ['nope'] }, 'not_found'],
    [{ networks: ['main', 'main'] }, 'input_invalid'],
    [{ addresses: ['10.1.1.18', '10.1.1.19'] }, 'input_invalid'],
    [{ addresses: ['192.168.0.1'] }, 'address_mismatch'],
    [{ addresses: ['10.1.1.18'], networks: ['six'] }, 'address_mismatch'],
    [{ addresses: ['10.1.2.18'] }, 'address_mismatch'],
    [{ addresses: ['10.2.1.18'] }, 'address_mismatch'],
    [{ addresses: ['10.9.1.18'] }, 'address_mismatch'],
    [{ addresses: ['10.2.1.18'], host: 'h2' }, 'allocator_mismatch'],
    [{ addresses: ['10.1.1.17'] }, 'address_taken'],
    [{ addresses: ['10.1.1.21'] }, 'address_reserved'],
    [{ sourcePrefixes: ['10.1.0.0/16'] }, 'input_invalid'],
    [{ sourcePrefixes: ['0.0.0.0/0'] }, 'input_invalid'],
    [{ sourcePrefixes: ['fd10::/12'] }, 'input_invalid'],
  ] as const) {
    await assert.rejects(
      endpoint(services, 'a/s/new', more as unknown as Parameters<typeof endpoint>[2]),
      refusedWith(code),
      JSON.stringify(more),
    );
  }
  await assert.rejects(endpoint(services, 'b/s/x'), refusedWith('not_found'));
  await assert.rejects(endpoint(services, 'a/t/x'), refusedWith('not_found'));
});

test('E6 an endpoint of a host that never joined goes at once; its addresses rest for others, not for its name', async () => {
  const w = await cluster();
  const { services, clock } = w;
  const first = await endpoint(services, 'a/s/x', { endpointId: 4 });
  await services.endpointDelete(admin, byKey('a/s/x'));
  await assert.rejects(services.endpointShow(admin, byKey('a/s/x')), refusedWith('not_found'));
  await assert.rejects(services.endpointDelete(admin, byKey('a/s/x')), refusedWith('not_found'));
  await assert.rejects(endpoint(services, 'a/s/y', { endpointId: 4 }), refusedWith('address_quarantined'));
  const second = await endpoint(services, 'a/s/x');
  assert.deepEqual(texts(second), texts(first));
  assert.notEqual(second.uid, first.uid);
  await services.endpointDelete(admin, byKey('a/s/x'));
  clock.time += 29_999;
  await assert.rejects(endpoint(services, 'a/s/y', { endpointId: 4 }), refusedWith('address_quarantined'));
  clock.time += 1;
  const third = await endpoint(services, 'a/s/y', { endpointId: 4 });
  assert.deepEqual(texts(third), texts(first));
});

test('E6 quarantine outlasts a restart with a clock set back, and is not stretched by it', async () => {
  const w = await cluster();
  await endpoint(w.services, 'a/s/x', { endpointId: 4 });
  w.clock.time += 365 * 86_400_000;
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  w.clock.time -= 365 * 86_400_000;
  const again = w.restart();
  await assert.rejects(
    endpoint(again.services, 'a/s/y', { endpointId: 4 }),
    refusedWith('address_quarantined'),
  );
  again.clock.time += 30_000;
  await endpoint(again.services, 'a/s/y', { endpointId: 4 });
});

test('E7 of a joined host the address stays until the host says the endpoint is gone', async () => {
  const w = await cluster();
  const { services, store } = w;
  await w.join('h1');
  const made = await endpoint(services, 'a/s/x', { endpointId: 4 });
  await services.endpointDelete(admin, byKey('a/s/x'));
  const { revision } = store.position();
  await services.endpointDelete(admin, byKey('a/s/x'));
  assert.equal(store.position().revision, revision, 'removing twice is as good as once');
  assert.equal((await services.endpointShow(admin, byKey('a/s/x'))).phase, 'removing');
  await assert.rejects(endpoint(services, 'a/s/x', { endpointId: 4 }), refusedWith('endpoint_removing'));
  await assert.rejects(endpoint(services, 'a/s/y', { endpointId: 4 }), refusedWith('address_taken'));
  await assert.rejects(
    services.endpointUpdate(admin, { ...byKey('a/s/x'), body: { sourcePrefixes: [] } }),
    refusedWith('endpoint_removing'),
  );
  const gone = (uid: string) =>
    agentReport(services, 'h1', { gone: [{ tenant: 'a', segment: 's', name: 'x', uid }] });
  await gone('another');
  assert.equal((await services.endpointShow(admin, byKey('a/s/x'))).phase, 'removing');
  await gone(made.uid);
  await assert.rejects(services.endpointShow(admin, byKey('a/s/x')), refusedWith('not_found'));
  await assert.rejects(endpoint(services, 'a/s/y', { endpointId: 4 }), refusedWith('address_quarantined'));
  await gone(made.uid);
});

test('E8 a full block says so, and frees by release and time', async () => {
  // A host field of one bit: h1 has the only id there is.
  const w = world();
  worlds.push(w);
  const { services, clock } = w;
  await network(services, 'main', {
    cidr: '10.0.0.0/15',
    layout: { host: 1, tenant: 8, segment: 4, endpoint: 4 },
  });
  await host(services, 'h1', { allocator: 'server' });
  await tenant(services, 'a');
  await segment(services, 'a', 's');
  for (let i = 1; i <= 15; i++) await endpoint(services, `a/s/e${i}`, { networks: ['main'] });
  await assert.rejects(endpoint(services, 'a/s/more', { networks: ['main'] }), refusedWith('block_full'));
  await services.endpointDelete(admin, byKey('a/s/e7'));
  await assert.rejects(endpoint(services, 'a/s/more', { networks: ['main'] }), refusedWith('block_full'));
  clock.time += 30_000;
  assert.deepEqual(texts(await endpoint(services, 'a/s/more', { networks: ['main'] })), ['10.1.1.23']);
});

test('E9 hosts, segments, tenants, networks and ranges that hold endpoints stay', async () => {
  const { services } = await cluster();
  await endpoint(services, 'a/s/x');
  const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
  await assert.rejects(services.hostDelete(admin, named('h1')), refusedWith('in_use'));
  await assert.rejects(services.networkDelete(admin, named('main')), refusedWith('in_use'));
  await assert.rejects(services.networkDelete(admin, named('six')), refusedWith('in_use'));
  await assert.rejects(
    services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined }),
    refusedWith('in_use'),
  );
  const reserve = (name: string, reserved: string[]) =>
    services.networkUpdate(admin, { params: { name }, query: {}, body: { reserved } });
  await assert.rejects(
    reserve('main', ['10.1.1.16/31']),
    (error: Error) => refusedWith('in_use')(error) && error.message.includes('a/s/x'),
  );
  await assert.rejects(reserve('six', ['fd10:1::/32']), refusedWith('in_use'));
  await reserve('main', ['10.1.1.18/31']);
  assert.deepEqual(texts(await endpoint(services, 'a/s/y', { networks: ['main'] })), ['10.1.1.20']);
});

test('E10 no network may come to cover a source prefix', async () => {
  const { services } = await cluster();
  await endpoint(services, 'a/s/x', { sourcePrefixes: ['172.16.5.0/24', 'fd99::/64'] });
  await assert.rejects(
    network(services, 'more', {
      cidr: '172.16.0.0/16',
      layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
    }),
    refusedWith('network_overlap'),
  );
  await assert.rejects(
    network(services, 'more', { cidr: 'fd99::/96', layout: { host: 8, tenant: 8, segment: 8, endpoint: 8 } }),
    refusedWith('network_overlap'),
  );
  const update = (sourcePrefixes: string[]) =>
    services.endpointUpdate(admin, { ...byKey('a/s/x'), body: { sourcePrefixes } });
  await assert.rejects(update(['10.0.0.0/8']), refusedWith('input_invalid'));
  await update([]);
  await network(services, 'more', {
    cidr: '172.16.0.0/16',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
});

test('E11 wiring an endpoint makes it pending again; saying the same changes nothing', async () => {
  const w = await cluster();
  const made = await endpoint(w.services, 'a/s/x');
  const attachment = { kind: 'veth-netns', netns: '/run/netns/web', ifname: 'eth0' } as const;
  const update = (query = {}) =>
    w.services.endpointUpdate(admin, { ...byKey('a/s/x'), query, body: { attachment } });
  await assert.rejects(update({ ifRevision: made.revision - 1 }), refusedWith('revision_conflict'));
  const wired = await update({ ifRevision: made.revision });
  assert.deepEqual([wired.phase, wired.attachment], ['pending', attachment]);
  assert.deepEqual(await update(), wired);
  await assert.rejects(
    w.services.endpointDelete(admin, { ...byKey('a/s/x'), query: { ifRevision: made.revision } }),
    refusedWith('revision_conflict'),
  );
});

test('E12 lists are by tenant, segment and host, and an address explains itself', async () => {
  const { services } = await cluster();
  await tenant(services, 'b');
  await segment(services, 'b', 's');
  await endpoint(services, 'a/s/x');
  await endpoint(services, 'b/s/x', { host: 'h2' });
  const list = async (query: { tenant?: string; segment?: string; host?: string }) =>
    (await services.endpointList(admin, { params: {}, query, body: undefined })).items.map(
      (e) => `${e.tenant}/${e.name}`,
    );
  assert.deepEqual(await list({}), ['a/x', 'b/x']);
  assert.deepEqual(await list({ tenant: 'a' }), ['a/x']);
  assert.deepEqual(await list({ segment: 's', host: 'h2' }), ['b/x']);
  assert.deepEqual(await list({ tenant: 'a', segment: 'other' }), []);
  const explain = (address: string) =>
    services.addressExplain(admin, { params: { address }, query: {}, body: undefined });
  assert.deepEqual(await explain('10.1.1.17'), {
    address: '10.1.1.17',
    network: 'main',
    ids: { host: 1, tenant: 1, segment: 1, endpoint: 1 },
    host: 'h1',
    tenant: 'a',
    segment: 's',
    endpoint: 'a/s/x',
    hostCidr: '10.1.0.0/16',
    block: '10.1.1.16/28',
    state: 'used',
    quarantinedUntil: null,
    reservedBy: null,
    allocator: 'server',
    location: 'h1',
    locationSeq: 0,
  });
  const six6 = await explain('fd10:1:9:1::1');
  assert.deepEqual([six6.host, six6.tenant, six6.segment, six6.endpoint], ['h1', null, null, null]);
  await assert.rejects(explain('192.0.2.1'), refusedWith('not_found'));
  const { counts } = await services.status(admin, { params: {}, query: {}, body: undefined });
  assert.deepEqual(counts, { networks: 2, hosts: 2, tenants: 2, segments: 2, endpoints: 2 });
});

test('E13 over any history no address has two owners, and what the objects say is what is allocated', async () => {
  const step = fc.record({
    do: fc.constantFrom('create', 'create', 'create', 'delete', 'wait', 'restart', 'many'),
    n: fc.nat(5),
    id: fc.option(fc.integer({ min: 1, max: 3 }), { nil: undefined }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
      let w = await cluster({ cidr: '10.0.0.0/24', layout: { host: 2, tenant: 2, segment: 2, endpoint: 2 } });
      const refused = (error: unknown) => {
        if (!isRomanaError(error) || error.code === 'internal') throw error;
      };
      for (const { do: what, n, id } of steps) {
        const more = { host: `h${1 + (n % 2)}`, ...(id === undefined ? {} : { endpointId: id }) };
        if (what === 'create') await endpoint(w.services, `a/s/e${n}`, more).catch(refused);
        else if (what === 'many') {
          await Promise.all([0, 1, 2, 3].map((k) => endpoint(w.services, `a/s/e${k}`, more).catch(refused)));
        } else if (what === 'delete')
          await w.services.endpointDelete(admin, byKey(`a/s/e${n}`)).catch(refused);
        else if (what === 'wait') w.clock.time += n * 10_000;
        else w = w.restart();
        const { items } = await w.services.endpointList(admin, { params: {}, query: {}, body: undefined });
        const all = items.flatMap((e) => texts(e).map((address) => ({ key: `a/s/${e.name}`, address })));
        assert.equal(new Set(all.map((a) => a.address)).size, all.length);
        for (const { key, address } of all) {
          const found = await w.services.addressExplain(admin, {
            params: { address },
            query: {},
            body: undefined,
          });
          assert.equal(found.endpoint, key);
        }
        const used = (hostId: number) =>
          w.store.read(
            (tx) => tx.ipam.blockUsage({ network: 'main', hostId, tenantId: 1, segmentId: 1 }).used,
          );
        assert.equal(used(1) + used(2) + used(3), items.length);
      }
      w.dispose();
    }),
    { numRuns: 25 },
  );
});
