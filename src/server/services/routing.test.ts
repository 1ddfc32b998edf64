/** Routes as they are listed, exported and confirmed, and what confirming them sets free. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { BgpReport, Host } from '#contract/model.ts';
import type { RouteTable } from '#contract/routing-model.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, host, network } from './fixtures.ts';
import { confirmTables } from './vpc.ts';

type Fabric = Record<string, unknown> | string;

/** Two racks with a leaf each, and a spine above; hosts h1 and h3 in r1, h2 in r2. All of them joined. */
async function site(t: TestContext, fabric: Fabric, carved = true, devices = true): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'main');
  const leaf = (n: number) => ({
    name: `leaf${n}`,
    platform: 'iproute2',
    addresses: [`192.168.${n}.1`],
    asn: 65000 + n,
    uplinks: [{ device: 'spine', local: [`192.168.0.${n}1`], remote: [`192.168.0.${n}0`] }],
    budget: 2,
  });
  const body = {
    topologies: [
      {
        ...(carved ? {} : { networks: [] }),
        fabric,
        ...(devices
          ? { devices: [{ name: 'spine', platform: 'json', addresses: ['192.168.9.1'], asn: 64999 }] }
          : {}),
        map: [1, 2].map((n) => ({ name: `r${n}`, ...(devices ? { devices: [leaf(n)] } : {}) })),
      },
    ],
  };
  await w.services.topologyApply(admin, { params: {}, query: {}, body });
  for (const [name, group, address] of [
    ['h1', 'r1', '192.168.1.11'],
    ['h2', 'r2', '192.168.2.12'],
    ['h3', 'r1', '192.168.1.13'],
  ] as const) {
    await host(w.services, name, { group, addresses: [address] });
    await w.join(name);
  }
  return w;
}

async function tables(w: World, query: { host?: string; device?: string } = {}): Promise<RouteTable[]> {
  return (await w.services.routeList(admin, { params: {}, query, body: undefined })).items;
}
const lines = ({ routes }: RouteTable): string[] =>
  routes.map(
    ({ cidr, kind, nextHops, reason }) =>
      `${cidr} ${kind} ${nextHops.map(({ to }) => to).join('|') || '-'} ${reason}`,
  );
const listed = async (w: World, query: { host?: string; device?: string }) =>
  lines((await tables(w, query))[0] ?? assert.fail('no table'));
const exported = (w: World, device: string, format?: 'frr' | 'iproute2') =>
  w.services.routeExport(admin, { params: { device }, query: { format }, body: undefined });
const confirmed = (w: World, device: string, revision: number) =>
  w.services.routeConfirm(admin, { params: { device }, query: {}, body: { revision } });
const show = (w: World, name: string): Promise<Host> =>
  w.services.hostShow(admin, { params: { name }, query: {}, body: undefined });
const addId = (w: World, name: string): Promise<Host> =>
  w.services.hostAddId(admin, { params: { name }, query: {}, body: { allocator: 'agent' } });
const applied = async (w: World, ...names: string[]) => {
  for (const name of names) await agentReport(w.services, name, { applied: w.store.position() });
};
const waiting = async (w: World, name: string) =>
  (await show(w, name)).reservations?.flatMap(({ pending }) => pending?.waitingFor ?? []);
const idCount = async (w: World, name: string) => (await show(w, name)).ids.length;

test('lists devices, then hosts; each route says how it came to be', async (t) => {
  const w = await site(t, 'l3-static');
  assert.deepEqual(
    (await tables(w)).map(({ type, name }) => `${type} ${name}`),
    ['device leaf1', 'device leaf2', 'device spine', 'host h1', 'host h2', 'host h3'],
  );
  const leaf1 = await listed(w, { device: 'leaf1' });
  assert.ok(
    leaf1.some((line) => line.endsWith('static h1 range of host h1')),
    leaf1.join('\n'),
  );
  assert.ok(leaf1.some((line) => line.endsWith('drop - its own part: what nobody below has is dropped')));
  const spine = await listed(w, { device: 'spine' });
  assert.ok(
    spine.some((line) => line.endsWith('static leaf1 group r1')),
    spine.join('\n'),
  );
  assert.deepEqual(
    (await listed(w, { host: 'h1' })).map((line) => line.split(' ')[1]),
    ['drop'],
    'hosts have a default route and what is their own',
  );
  assert.equal((await tables(w, { host: 'h1' })).length, 1);
  assert.equal((await tables(w, { host: 'h1', device: 'leaf1' })).length, 2);
});

test('what is not there is named: a host, a device and the devices that there are', async (t) => {
  const w = await site(t, 'l3-static');
  await assert.rejects(tables(w, { host: 'nobody' }), { code: 'not_found' });
  await assert.rejects(tables(w, { host: 'leaf1' }), { code: 'not_found', message: /--device leaf1/ });
  await assert.rejects(tables(w, { device: 'h1' }), { code: 'not_found', message: /leaf1, leaf2, spine/ });
  await assert.rejects(exported(w, 'nobody'), { code: 'not_found' });
  await assert.rejects(confirmed(w, 'nobody', 1), { code: 'not_found' });
});

test('export: as the topology says of the device, or as asked; more routes than it has room for is said', async (t) => {
  const w = await site(t, 'l3-static');
  const one = await exported(w, 'leaf1');
  assert.equal(one.format, 'iproute2');
  assert.deepEqual([one.routes, one.budget, one.over], [3, 2, true]);
  assert.equal(one.revision, w.store.position().revision);
  assert.match(one.text, /10\.\d+\.0\.0\/16 via 192\.168\.1\.11/);
  assert.equal((await exported(w, 'leaf1', 'frr')).format, 'frr');
  assert.equal((await exported(w, 'leaf2')).over, false);
  const again = await exported(w, 'leaf1');
  assert.deepEqual(again, one);
});

test('a further range waits for the device that carries it, and for no other', async (t) => {
  const w = await site(t, 'l3-static');
  await addId(w, 'h1');
  assert.deepEqual(await waiting(w, 'h1'), ['h2', 'h3', 'switch leaf1']);
  await applied(w, 'h2', 'h3');
  assert.deepEqual(await waiting(w, 'h1'), ['switch leaf1']);
  const { revision } = await exported(w, 'leaf1');
  const early = await confirmed(w, 'leaf1', revision - 1);
  assert.deepEqual(early.active, []);
  assert.deepEqual(
    early.pending.map(({ host: name, waitingFor }) => [name, ...waitingFor]),
    [['h1', 'switch leaf1']],
  );
  await confirmed(w, 'leaf2', revision);
  await confirmed(w, 'spine', revision);
  assert.equal(await idCount(w, 'h1'), 1);
  assert.deepEqual((await confirmed(w, 'leaf1', revision)).active, ['h1']);
  assert.equal(await idCount(w, 'h1'), 2);
  // A late word of an older export takes nothing back.
  assert.equal((await confirmed(w, 'leaf1', 1)).revision, revision);
});

test('devices may be confirmed before the agents have applied; a restart forgets neither', async (t) => {
  let w = await site(t, 'l3-static');
  await addId(w, 'h1');
  await confirmed(w, 'leaf1', w.store.position().revision);
  assert.deepEqual(await waiting(w, 'h1'), ['h2', 'h3']);
  w = w.restart();
  await applied(w, 'h2', 'h3');
  assert.equal(await idCount(w, 'h1'), 2);
});

test('confirming what is still to come is refused', async (t) => {
  const w = await site(t, 'l3-static');
  const { revision } = w.store.position();
  await assert.rejects(confirmed(w, 'leaf1', revision + 1), { code: 'input_invalid' });
  await confirmed(w, 'leaf1', revision);
});

test('a network that nobody carves has no aggregates: the spine carries the range, too', async (t) => {
  const w = await site(t, 'l3-static', false);
  await addId(w, 'h1');
  await applied(w, 'h2', 'h3');
  assert.deepEqual(await waiting(w, 'h1'), ['switch leaf1', 'switch spine']);
});

test('host confirm speaks for all devices; so does a topology that has none any more', async (t) => {
  const w = await site(t, 'l3-static');
  await addId(w, 'h1');
  await addId(w, 'h2');
  await applied(w, 'h1', 'h2', 'h3');
  await w.services.hostConfirm(admin, { params: { name: 'h1' }, query: {}, body: undefined });
  assert.deepEqual([await idCount(w, 'h1'), await idCount(w, 'h2')], [2, 1]);
  const groups = ['r1', 'r2'].map((name) => ({ name }));
  await w.services.topologyApply(admin, { params: {}, query: {}, body: { groups } });
  assert.deepEqual(await waiting(w, 'h2'), ['switches'], 'nobody knows the names of its switches');
});

test('one link stated for all racks: agents alone are waited for', async (t) => {
  const w = await site(t, 'l2', true, false);
  await addId(w, 'h1');
  assert.deepEqual(await waiting(w, 'h1'), ['h2', 'h3']);
  await applied(w, 'h2', 'h3');
  assert.equal(await idCount(w, 'h1'), 2);
});

test('without fabric and devices hosts of other groups make an operator speak for the switches', async (t) => {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'main');
  const groups = ['r1', 'r2'].map((name) => ({ name }));
  await w.services.topologyApply(admin, { params: {}, query: {}, body: { groups } });
  for (const [name, group] of [
    ['h1', 'r1'],
    ['h2', 'r2'],
  ] as const) {
    await host(w.services, name, { group });
    await w.join(name);
  }
  await addId(w, 'h1');
  assert.deepEqual(await waiting(w, 'h1'), ['h2', 'switches']);
});

const bgp = { kind: 'bgp', hostAsn: 65100 };
const speaking = (announced: string[], state: 'established' | 'idle' = 'established'): BgpReport => ({
  daemon: 'bird',
  up: true,
  version: null,
  sessions: [
    {
      peer: 'leaf1',
      neighbour: '192.168.1.1',
      asn: 65001,
      state,
      seconds: null,
      prefixesIn: null,
      prefixesOut: null,
      lastError: '',
    },
  ],
  announced,
  problem: null,
});

test('on BGP the host confirms by announcing: no operator, and its own report is enough', async (t) => {
  const w = await site(t, bgp);
  const before = (await show(w, 'h1')).reservations?.map(({ cidr }) => cidr) ?? [];
  await agentReport(w.services, 'h1', { bgp: speaking(before) });
  await addId(w, 'h1');
  await applied(w, 'h2', 'h3');
  assert.deepEqual(await waiting(w, 'h1'), ['bgp']);
  const all = (await show(w, 'h1')).reservations?.map(({ cidr }) => cidr) ?? [];
  await agentReport(w.services, 'h1', { bgp: speaking(all, 'idle') });
  assert.equal(await idCount(w, 'h1'), 1);
  await agentReport(w.services, 'h1', { bgp: speaking(all) });
  assert.equal(await idCount(w, 'h1'), 2);
});

test('on BGP the last agent may be the last one that is waited for; one rack alone waits for the sessions, too', async (t) => {
  const w = await site(t, bgp);
  await w.services.hostDelete(admin, { params: { name: 'h2' }, query: { dead: true }, body: undefined });
  await w.services.hostFence(admin, { params: { name: 'h2' }, query: {}, body: { confirmOff: true } });
  await addId(w, 'h1');
  const all = (await show(w, 'h1')).reservations?.map(({ cidr }) => cidr) ?? [];
  assert.deepEqual(await waiting(w, 'h1'), ['h3', 'bgp']);
  await agentReport(w.services, 'h1', { bgp: speaking(all) });
  assert.deepEqual(await waiting(w, 'h1'), ['h3']);
  await applied(w, 'h3');
  assert.equal(await idCount(w, 'h1'), 2);
});

test('in a VPC whoever keeps its tables confirms them; an operator can, too', async (t) => {
  const w = await site(t, { kind: 'vpc', region: 'eu-central-1', vpc: 'vpc-0abc' }, true, false);
  await addId(w, 'h1');
  await addId(w, 'h2');
  await applied(w, 'h1', 'h2', 'h3');
  assert.deepEqual(await waiting(w, 'h1'), ['vpc vpc-0abc']);
  const { revision } = w.store.position();
  await confirmTables(w.services, 'vpc-0abc', revision - 1);
  assert.deepEqual([await idCount(w, 'h1'), await idCount(w, 'h2')], [2, 1], 'the range of h2 is newer');
  assert.deepEqual((await confirmed(w, 'vpc-0abc', revision)).active, ['h2']);
  await confirmTables(w.services, 'vpc-gone', revision);
});
