/** Networks that are open to some tenants only. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, endpoint, host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});
function fresh(): World {
  const w = world();
  worlds.push(w);
  return w;
}
const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const layout = { host: 6, tenant: 3, segment: 3, endpoint: 4 };

async function three(w: World): Promise<void> {
  await network(w.services, 'open', { cidr: '10.240.0.0/16', layout });
  await network(w.services, 'n12', { cidr: '10.200.0.0/16', layout, tenants: ['t1', 't2'] });
  await network(w.services, 'n3', { cidr: '10.220.0.0/16', layout, tenants: ['t3'] });
  await host(w.services, 'h1', { allocator: 'server' });
  for (const name of ['t1', 't2', 't3', 'other']) {
    await tenant(w.services, name);
    await segment(w.services, name, 's');
  }
}

test('C1 an endpoint gets an address of a network that names its tenant first, then of an open one', async () => {
  const w = fresh();
  await three(w);
  const networks: string[] = [];
  for (const name of ['t1', 't2', 't3', 'other'])
    networks.push((await endpoint(w.services, `${name}/s/e`)).addresses.map((a) => a.network).join());
  assert.deepEqual(networks, ['n12', 'n12', 'n3', 'open']);
  // Open ones may be asked for; closed ones may not, neither by name nor by address.
  const asked = await endpoint(w.services, 't1/s/f', { networks: ['open', 'n12'] });
  assert.equal(asked.addresses.length, 2);
  await assert.rejects(
    endpoint(w.services, 'other/s/f', { networks: ['n12'] }),
    refusedWith('network_closed'),
  );
  await assert.rejects(
    endpoint(w.services, 'other/s/f', { addresses: ['10.200.4.145'] }),
    refusedWith('network_closed'),
  );
});

test('C2 a tenant and its segments have ids only where it may be; nobody waits for ids of a closed network', async () => {
  const w = fresh();
  await three(w);
  const networksOf = async (name: string) =>
    (await w.services.tenantShow(admin, named(name))).ids.map((id) => id.network).sort();
  assert.deepEqual(await networksOf('t1'), ['n12', 'open']);
  assert.deepEqual(await networksOf('other'), ['open']);
  const shown = await w.services.segmentShow(admin, { ...named('s'), params: { tenant: 't3', name: 's' } });
  assert.deepEqual(shown.ids.map((id) => id.network).sort(), ['n3', 'open']);
  // An id that gets free in n12 is given to nobody outside it.
  await w.services.segmentDelete(admin, { ...named('s'), params: { tenant: 't2', name: 's' } });
  await w.services.tenantDelete(admin, named('t2'));
  assert.deepEqual(await networksOf('other'), ['open']);
});

test('C3 without a network that is open to the tenant the refusal says so', async () => {
  const w = fresh();
  await network(w.services, 'n', { tenants: ['t1'] });
  await host(w.services, 'h1', { allocator: 'server' });
  await tenant(w.services, 'other');
  await segment(w.services, 'other', 's');
  await assert.rejects(
    endpoint(w.services, 'other/s/e'),
    (error: Error) =>
      refusedWith('network_closed')(error) && /No network is open to tenant other/.test(error.message),
  );
  // One family may be closed and the other not.
  await network(w.services, 'six', six);
  const made = await endpoint(w.services, 'other/s/e');
  assert.deepEqual(
    made.addresses.map((a) => a.network),
    ['six'],
  );
});

test('C4 a network is opened to more tenants, who get ids; nobody who is there loses it', async () => {
  const w = fresh();
  await three(w);
  const change = (tenants: string[]) =>
    w.services.networkUpdate(admin, { params: { name: 'n3' }, query: {}, body: { tenants } });
  await change(['t3', 'other', 'later']);
  assert.equal((await endpoint(w.services, 'other/s/e')).addresses[0]?.network, 'n3');
  const { revision } = w.store.position();
  await assert.rejects(
    change(['t3']),
    (error: Error) => refusedWith('in_use')(error) && /other/.test(error.message),
  );
  assert.equal(w.store.position().revision, revision);
  await change(['other', 't3']);
  assert.equal((await change([])).tenants, undefined);
  assert.equal((await w.services.tenantShow(admin, named('t1'))).ids.length, 3);
  await assert.rejects(change(['t3']), refusedWith('in_use'));
});

test('C5 creating it again is the same network, with other tenants it is a conflict', async () => {
  const w = fresh();
  const first = await network(w.services, 'n', { tenants: ['t1'] });
  assert.deepEqual(await network(w.services, 'n', { tenants: ['t1'] }), first);
  await assert.rejects(network(w.services, 'n', { tenants: [] }), refusedWith('conflict'));
});

test('C6 an agent cannot register an address of a network that is closed to the tenant', async () => {
  const w = fresh();
  await network(w.services, 'n', { tenants: ['t1'] });
  await host(w.services, 'h1');
  await tenant(w.services, 'other');
  await segment(w.services, 'other', 's');
  await w.join('h1');
  const { rejected } = await agentReport(w.services, 'h1', {
    registered: [
      {
        tenant: 'other',
        segment: 's',
        name: 'e',
        uid: 'u',
        addresses: [{ network: 'n', address: '10.1.0.1' }],
        attachment: { kind: 'none' },
        sourcePrefixes: [],
      },
    ],
  });
  assert.deepEqual(
    rejected.map(({ error }) => error.code),
    ['network_closed'],
  );
});

test('C7 a topology file says to whom a network is open, and its export says it again', async () => {
  const w = fresh();
  const file = { networks: [{ name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4', tenants: ['t1'] }] };
  await w.services.topologyApply(admin, { params: {}, query: {}, body: file });
  const out = await w.services.topologyExport(admin, { params: {}, query: {}, body: undefined });
  assert.deepEqual(out.networks[0]?.['tenants'], ['t1']);
  const diff = (body: object) => w.services.topologyDiff(admin, { params: {}, query: {}, body });
  assert.deepEqual((await diff(out)).changes, []);
  const opened = await diff({ networks: [{ ...file.networks[0], tenants: [] }] });
  assert.deepEqual(opened.changes, [{ action: 'change', kind: 'network', name: 'v4', fields: ['tenants'] }]);
});
