/** Reserved ranges by the API, kept addresses, and what `address explain` says of both. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Network } from '#contract/model.ts';
import { isRomanaError } from '#core/errors.ts';
import { admin, type World, world } from '../testing.ts';
import { byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';

const refusedWith = (code: string) => (error: unknown) => isRomanaError(error) && error.code === code;

async function cluster(t: { after(fn: () => void): void }): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'v4');
  await network(w.services, 'v6', {
    cidr: 'fd10::/112',
    layout: { host: 4, tenant: 4, segment: 4, endpoint: 4 },
  });
  await host(w.services, 'h1', { allocator: 'server' });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

function reserve(w: World, name: string, cidr: string, keepLive = false): Promise<Network> {
  return w.services.networkReserve(admin, { params: { name }, query: {}, body: { cidr, keepLive } });
}
function unreserve(w: World, name: string, cidr: string): Promise<Network> {
  return w.services.networkUnreserve(admin, { params: { name, cidr }, query: {}, body: undefined });
}
const explain = (w: World, address: string) =>
  w.services.addressExplain(admin, { params: { address }, query: {}, body: undefined });

for (const [name, whole, half, wide, narrow, inside] of [
  ['v4', '10.0.0.0/8', '10.128.0.0/9', '10.1.1.16/30', '10.1.1.18/32', '10.1.1.18'],
  ['v6', 'fd10::/112', 'fd10::8000/113', 'fd10::1110/126', 'fd10::1112/128', 'fd10::1112'],
] as const) {
  test(`R1 ${name}: a wider reservation swallows narrower ones, a narrower one adds nothing, repeating is no change`, async (t) => {
    const w = await cluster(t);
    assert.deepEqual((await reserve(w, name, narrow)).reserved, [narrow]);
    const first = await reserve(w, name, wide);
    assert.deepEqual(first.reserved, [wide]);
    for (const again of [wide, narrow])
      assert.equal((await reserve(w, name, again)).revision, first.revision);
    assert.equal((await explain(w, inside)).state, 'reserved');
  });

  test(`R2 ${name}: only exactly what was reserved is taken back`, async (t) => {
    const w = await cluster(t);
    await reserve(w, name, wide);
    for (const other of [narrow, half])
      await assert.rejects(unreserve(w, name, other), refusedWith('not_found'));
    assert.deepEqual((await unreserve(w, name, wide)).reserved, []);
    assert.equal((await explain(w, inside)).state, 'free');
  });

  test(`R3 ${name}: not the whole network, neither at once nor in parts; nothing outside`, async (t) => {
    const w = await cluster(t);
    await assert.rejects(reserve(w, name, whole), refusedWith('input_invalid'));
    await reserve(w, name, half);
    const rest = name === 'v4' ? '10.0.0.0/9' : 'fd10::/113';
    await assert.rejects(reserve(w, name, rest), refusedWith('input_invalid'));
    await assert.rejects(reserve(w, name, '192.0.2.0/24'), refusedWith('input_invalid'));
    await assert.rejects(reserve(w, 'none', narrow), refusedWith('not_found'));
  });

  test(`R4 ${name}: a range with live addresses is refused, or reserved around them; they stay until they go`, async (t) => {
    const w = await cluster(t);
    await endpoint(w.services, 'a/s/x', { networks: [name], endpointId: 2 });
    await assert.rejects(reserve(w, name, wide), refusedWith('in_use'));
    const kept = await reserve(w, name, wide, true);
    assert.deepEqual(kept.reserved, [wide]);
    const seen = await explain(w, inside);
    assert.deepEqual([seen.state, seen.endpoint, seen.reservedBy], ['used', 'a/s/x', wide]);
    // The list as a whole may be written back, and changed elsewhere.
    const body = { reserved: [wide, half] };
    await w.services.networkUpdate(admin, { params: { name }, query: {}, body });
    await w.services.endpointDelete(admin, byKey('a/s/x'));
    assert.equal((await explain(w, inside)).state, 'reserved');
    const back = await endpoint(w.services, 'a/s/x', { networks: [name] });
    assert.notEqual(back.addresses[0]?.address, inside);
  });
}

test('R5 an old revision reserves and gives back nothing', async (t) => {
  const w = await cluster(t);
  const old = await w.services.networkShow(admin, { params: { name: 'v4' }, query: {}, body: undefined });
  await reserve(w, 'v4', '10.1.1.16/30');
  const query = { ifRevision: old.revision };
  const body = { cidr: '10.1.1.20/30', keepLive: false };
  await assert.rejects(
    w.services.networkReserve(admin, { params: { name: 'v4' }, query, body }),
    refusedWith('revision_conflict'),
  );
  await assert.rejects(
    w.services.networkUnreserve(admin, {
      params: { name: 'v4', cidr: '10.1.1.16/30' },
      query,
      body: undefined,
    }),
    refusedWith('revision_conflict'),
  );
});

test('R6 explain: every state an address can be in, and the host that its endpoint is on', async (t) => {
  const w = await cluster(t);
  await endpoint(w.services, 'a/s/x', { networks: ['v4'], endpointId: 2 });
  await endpoint(w.services, 'a/s/y', { networks: ['v4'], endpointId: 3 });
  await w.services.endpointDelete(admin, byKey('a/s/y'));
  await reserve(w, 'v4', '10.1.1.21/32');
  const stateOf = async (address: string) => (await explain(w, address)).state;
  assert.deepEqual(
    await Promise.all(
      [
        '10.1.1.18',
        '10.1.1.19',
        '10.1.1.20',
        '10.1.1.21',
        '10.1.1.16',
        '10.0.1.20',
        '10.1.2.20',
        '10.2.1.20',
      ].map(stateOf),
    ),
    ['used', 'quarantined', 'free', 'reserved', 'never', 'never', 'unassigned', 'unassigned'],
  );
  const used = await explain(w, '10.1.1.18');
  assert.deepEqual([used.host, used.location, used.allocator], ['h1', 'h1', 'server']);
  const resting = await explain(w, '10.1.1.19');
  assert.equal(resting.quarantinedUntil, new Date(w.clock.time + 30_000).toISOString());
  w.clock.time += 30_000;
  assert.equal(await stateOf('10.1.1.19'), 'free');
});

test('R7 a host id that goes to another host gives nobody his old address back', async (t) => {
  const w = await cluster(t);
  const first = await endpoint(w.services, 'a/s/x', { networks: ['v4'], endpointId: 2 });
  await w.services.endpointDelete(admin, byKey('a/s/x'));
  await w.services.hostDelete(admin, { params: { name: 'h1' }, query: {}, body: undefined });
  await host(w.services, 'h2', { allocator: 'server' });
  const other = await endpoint(w.services, 'a/s/x', { networks: ['v4'], host: 'h2' });
  assert.equal(first.addresses[0]?.address, '10.1.1.18');
  assert.equal(other.addresses[0]?.address, '10.1.1.17');
});
