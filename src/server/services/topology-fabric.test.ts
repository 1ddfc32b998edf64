/** Fabrics and devices in the control plane: stored, told, exported; hosts are linked only to devices that serve them. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Host, HostInput } from '#contract/model.ts';
import { routingInput } from '#contract/routing.ts';
import { formatAddress } from '#core/address/index.ts';
import { bgpDefaults } from '#core/routing/fabric.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});
function fresh(): World {
  const w = world();
  worlds.push(w);
  return w;
}

type Document = Record<string, Record<string, unknown>[]>;
const none = { params: {}, query: {}, body: undefined };
const apply = (w: World, body: Document) => w.services.topologyApply(admin, { params: {}, query: {}, body });
const diff = (w: World, body: Document) => w.services.topologyDiff(admin, { params: {}, query: {}, body });
const exported = async (w: World): Promise<Document> =>
  JSON.parse(JSON.stringify(await w.services.topologyExport(admin, none))) as Document;
const create = (w: World, body: Partial<HostInput> & Pick<HostInput, 'name' | 'addresses'>): Promise<Host> =>
  w.services.hostCreate(admin, {
    params: {},
    query: {},
    body: { group: null, allocator: 'agent', labels: {}, ...body },
  });
const update = (w: World, name: string, body: object): Promise<Host> =>
  w.services.hostUpdate(admin, { params: { name }, query: {}, body });
const to = (device: string, ...addresses: string[]) => ({ device, addresses, link: null });

const networks = [
  { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' },
  { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' },
];
const spine = { name: 'spine', platform: 'frr', asn: 65000, addresses: ['192.168.0.1'] };
const leaf = (name: string, n: number, more = {}) => ({
  name,
  platform: 'arista-eos',
  asn: 65000 + n,
  addresses: [`192.168.${n}.1`, `fd00:${n}::1`],
  uplinks: ['spine'],
  ...more,
});
const fabric = { kind: 'bgp', daemon: 'frr', hostAsn: 65100, communities: ['65001:100'], maxPrefixes: null };
const map = [
  { name: 'r1', devices: [leaf('leaf1a', 1), leaf('leaf1b', 2, { budget: 500 })] },
  { name: 'r2', fabric: { kind: 'l2', withdrawAfterSeconds: 30 }, devices: [leaf('leaf2', 3)] },
  { name: 'r3', fabric: 'l3-static' },
];
const site: Document = { networks, topologies: [{ name: 'dc', fabric, devices: [spine], map }] };
const h1 = { name: 'h1', addresses: ['192.168.1.10'], group: 'r1' };

test('a fabric is stored with its defaults, and told to agents with the topology', async () => {
  const w = fresh();
  const topology = await apply(w, site);
  assert.deepEqual(topology.fabric, {
    ...bgpDefaults,
    ...fabric,
    accept: [],
  });
  assert.deepEqual(
    topology.groups.map(({ fabric: own, devices = [] }) => [own?.kind, devices.map(({ name }) => name)]),
    [
      [undefined, ['leaf1a', 'leaf1b']],
      ['l2', ['leaf2']],
      ['l3-static', []],
    ],
  );
  const { topologies } = w.store.read((tx) =>
    routingInput({
      topology: tx.get('topology', ''),
      networks: tx.list('network').map(({ value }) => value),
      hosts: [],
    }),
  );
  const [r1] = topologies[0]!.root.groups;
  assert.deepEqual(r1!.devices[0]!.addresses.map(formatAddress), ['192.168.1.1', 'fd00:1::1']);
  assert.deepEqual(r1!.devices[1]!.budget, 500);
});

test('what is exported says the same, without what is usual, and applied it changes nothing', async () => {
  const w = fresh();
  await apply(w, site);
  await create(w, { ...h1, uplinks: [to('leaf1a'), to('leaf1b', '192.168.2.10')], asn: 65200 });
  const file = await exported(w);
  const [topology] = file['topologies']!;
  assert.deepEqual(topology!['fabric'], fabric);
  assert.deepEqual(topology!['devices'], [spine]);
  const groups = topology!['map'] as Record<string, unknown>[];
  assert.deepEqual(groups[1]!['fabric'], { kind: 'l2', withdrawAfterSeconds: 30 });
  assert.deepEqual(groups[2]!['fabric'], 'l3-static');
  assert.deepEqual(groups[0]!['devices'], map[0]!.devices);
  const [host] = groups[0]!['hosts'] as Record<string, unknown>[];
  assert.deepEqual(host!['uplinks'], ['leaf1a', { device: 'leaf1b', addresses: ['192.168.2.10'] }]);
  assert.deepEqual(host!['asn'], 65200);
  assert.deepEqual((await diff(w, file)).changes, []);
  const { revision } = w.store.position();
  await apply(w, file);
  assert.equal(w.store.position().revision, revision);
  const other = fresh();
  await apply(other, file);
  assert.deepEqual(await exported(other), file);
});

test('a change of a fabric or device is told by diff; taking them away is a change too', async () => {
  const w = fresh();
  await apply(w, site);
  const fieldsOf = async (topology: Record<string, unknown>) =>
    (await diff(w, { topologies: [topology] })).changes.flatMap((change) => change.fields);
  assert.deepEqual(await fieldsOf({ name: 'dc', fabric, devices: [spine], map }), []);
  assert.deepEqual(await fieldsOf({ name: 'dc', fabric: { ...fabric, ecmp: 2 }, devices: [spine], map }), [
    'fabric',
  ]);
  assert.deepEqual(await fieldsOf({ name: 'dc', devices: [spine], map }), ['fabric']);
  assert.deepEqual(await fieldsOf({ name: 'dc', fabric, devices: [{ ...spine, budget: 9 }], map }), [
    'devices',
  ]);
  const [, ...rest] = map;
  const changed = { ...map[0]!, devices: [leaf('leaf1a', 1)] };
  assert.deepEqual(await fieldsOf({ name: 'dc', fabric, devices: [spine], map: [changed, ...rest] }), [
    'groups',
  ]);
  await apply(w, { topologies: [{ name: 'dc', map: [{ name: 'r1' }, { name: 'r2' }, { name: 'r3' }] }] });
  const [bare] = (await exported(w))['topologies']!;
  assert.ok(!('fabric' in bare!) && !('devices' in bare!));
});

test('a host is linked to devices of its groups alone, whatever way it is made or changed', async () => {
  const w = fresh();
  await apply(w, site);
  const refuse = (uplinks: HostInput['uplinks'], message: RegExp) =>
    assert.rejects(create(w, { ...h1, uplinks }), (error: Error) => {
      refusedWith('topology_invalid')(error);
      assert.match(error.message, message);
      return true;
    });
  await refuse([to('leaf9')], /no device leaf9/);
  await refuse([to('leaf2')], /leaf2 serves group r2, in which the host does not stand/);
  await refuse([to('spine', 'fd00:1::10')], /no IPv6 address/);
  const host = await create(w, { ...h1, uplinks: [to('leaf1a'), to('spine')] });
  assert.deepEqual(host.uplinks, [to('leaf1a'), to('spine')]);
  assert.deepEqual(await create(w, { ...h1, uplinks: host.uplinks }), host);
  assert.deepEqual(await create(w, h1), host);
  await assert.rejects(create(w, { ...h1, uplinks: [to('leaf1b')] }), refusedWith('conflict'));
  await assert.rejects(update(w, 'h1', { uplinks: [to('leaf2')] }), refusedWith('topology_invalid'));
  const changed = await update(w, 'h1', { uplinks: [to('leaf1b')], asn: 65300 });
  assert.deepEqual([changed.uplinks, changed.asn], [[to('leaf1b')], 65300]);
  assert.deepEqual((await update(w, 'h1', { labels: { a: 'b' } })).uplinks, [to('leaf1b')]);
  const bare = await update(w, 'h1', { uplinks: [], asn: null });
  assert.ok(!('uplinks' in bare) && !('asn' in bare));
  assert.equal((await update(w, 'h1', { uplinks: [], asn: null })).revision, bare.revision);
});

test('a device does not go while a host names it', async () => {
  const w = fresh();
  await apply(w, site);
  await create(w, { ...h1, uplinks: [to('leaf1a')] });
  const without = [{ name: 'r1', devices: [leaf('leaf1b', 2)] }, ...map.slice(1)];
  const next: Document = { topologies: [{ name: 'dc', fabric, devices: [spine], map: without }] };
  await assert.rejects(apply(w, next), refusedWith('topology_invalid'));
  await update(w, 'h1', { uplinks: [] });
  await apply(w, next);
});

test('an address of a link belongs to one host, in no network, and is free when the link has gone', async () => {
  const w = fresh();
  await apply(w, site);
  const h2 = { ...h1, name: 'h2', addresses: ['192.168.1.11'] };
  for (const address of ['192.168.7.1', 'fd00:7::1']) {
    await create(w, { ...h1, uplinks: [to('leaf1a', address)] });
    await assert.rejects(create(w, { ...h2, addresses: [address] }), refusedWith('already_exists'));
    await assert.rejects(create(w, { ...h2, uplinks: [to('leaf1b', address)] }), (error: Error) => {
      refusedWith('already_exists')(error);
      assert.match(error.message, /belongs to host h1/);
      return true;
    });
    await update(w, 'h1', { uplinks: [] });
    await create(w, { ...h2, uplinks: [to('leaf1b', address)] });
    for (const name of ['h1', 'h2'])
      await w.services.hostDelete(admin, {
        params: { name },
        query: { drain: false, dead: false },
        body: undefined,
      });
  }
  const inside = create(w, { ...h1, uplinks: [to('leaf1a', '10.1.2.3')] });
  await assert.rejects(inside, refusedWith('network_overlap'));
  const two = create(w, { ...h1, uplinks: [to('leaf1a', '192.168.7.1', '192.168.7.2')] });
  await assert.rejects(two, refusedWith('input_invalid'));
  // The own address on a link is no second one, and the same on both links neither.
  await create(w, { ...h1, uplinks: [to('leaf1a', '192.168.1.10'), to('leaf1b', '192.168.1.10')] });
});

test('no network comes over an address of a device or of a link', async () => {
  const w = fresh();
  await apply(w, site);
  await create(w, { ...h1, uplinks: [to('leaf1a', '172.16.0.1')] });
  const network = (cidr: string) =>
    w.services.networkCreate(admin, {
      params: {},
      query: {},
      body: {
        name: 'n',
        cidr,
        infrastructure: 'deny',
        reserved: [],
        quarantineSeconds: 30,
        layout: { host: 8, tenant: 4, segment: 2, endpoint: 2 },
      },
    });
  await assert.rejects(network('192.168.0.0/16'), refusedWith('network_overlap'));
  await assert.rejects(network('172.16.0.0/16'), refusedWith('network_overlap'));
  await network('172.17.0.0/16');
});

test('a host whose own address changes is routed to over the new one, on devices too; the old one is free', async () => {
  const w = fresh();
  await apply(w, site);
  const h3 = { name: 'h3', addresses: ['192.168.3.10', 'fd00:3::10'], group: 'r2' };
  const other = { name: 'h4', addresses: ['192.168.3.11', 'fd00:3::11'], group: 'r2' };
  const [made] = [await create(w, h3), await create(w, other)];
  const range = made.reservations![0]!.cidr;
  const ways = async (of: { host?: string; device?: string }): Promise<string[]> => {
    const { items } = await w.services.routeList(admin, { params: {}, query: of, body: undefined });
    const route = items[0]!.routes.find(({ cidr }) => cidr === range);
    return (route?.nextHops ?? []).map(({ address }) => address);
  };
  assert.deepEqual(await ways({ host: 'h4' }), ['192.168.3.10']);
  assert.deepEqual(await ways({ device: 'leaf2' }), ['192.168.3.10']);
  await update(w, 'h3', { addresses: ['192.168.3.20', 'fd00:3::20'] });
  assert.deepEqual(await ways({ host: 'h4' }), ['192.168.3.20']);
  assert.deepEqual(await ways({ device: 'leaf2' }), ['192.168.3.20']);
  await create(w, { name: 'h5', addresses: ['192.168.3.10', 'fd00:3::10'], group: 'r2' });
});
