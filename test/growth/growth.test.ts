import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import { admin } from '#server/testing.ts';
import { refusedWith } from '#store/conformance.ts';
import { type Cluster, cluster, type Machine, pause } from './support.ts';

const running: Cluster[] = [];
afterEach(async () => {
  for (const one of running.splice(0)) await one.dispose();
});

async function made(growths: readonly number[]): Promise<Cluster> {
  const one = await cluster(growths);
  running.push(one);
  await one.settled();
  return one;
}

const create = (machine: Machine, name: string): Promise<Endpoint> =>
  machine.agent!.createEndpoint({
    tenant: 'a',
    segment: 's',
    name,
    attachment: { kind: 'veth-netns', netns: `/run/netns/${name}`, ifname: 'eth0' },
    sourcePrefixes: [],
  });
const many = (machine: Machine, from: number, to: number): Promise<Endpoint[]> =>
  Promise.all(Array.from({ length: to - from + 1 }, (_, i) => create(machine, `e${from + i}`)));
const agentIds = async (c: Cluster, host: string) => (await c.show(host)).ids.map(({ id }) => id);

test('1,000 endpoints of one segment at once on one host: none fails, nothing is written on any other host', async () => {
  const c = await made([128, 1, 1]);
  const [h1, h2, h3] = c.machines;
  const before = [h2!, h3!].map(({ writes }) => [...writes]);
  const routes = h1!.kernel.routes().filter(({ cidr }) => cidr.length < 32).length;
  for (let n = 1; n <= 1000; n++) h1!.kernel.addNetns(`/run/netns/e${n}`);
  const endpoints = await many(h1!, 1, 1000);
  const addresses = endpoints.map(({ addresses: [first] }) => first?.address);
  assert.equal(new Set(addresses).size, 1000);
  assert.ok((await agentIds(c, 'h1')).length >= 67);
  await c.settled();
  assert.deepEqual(
    [h2!, h3!].map(({ writes }) => writes),
    before,
  );
  assert.equal(h1!.kernel.routes().filter(({ cidr }) => cidr.length < 32).length, routes);
  assert.equal((await c.show('h1')).reservations?.length, 1);
});

test('the next id is asked for before the block is full: no request ever waits for it', async () => {
  const c = await made([4]);
  const [h1] = c.machines;
  for (let n = 1; n <= 40; n++) h1!.kernel.addNetns(`/run/netns/e${n}`);
  await many(h1!, 1, 8);
  await c.settled();
  assert.deepEqual(await agentIds(c, 'h1'), [8], 'eight of fifteen: half a block is left');
  await many(h1!, 9, 9);
  while ((await agentIds(c, 'h1')).length < 2) await pause(5);
  assert.deepEqual(await agentIds(c, 'h1'), [8, 9]);
});

test('beyond the reservation: refused while another host is away, given when all have the route', async () => {
  const c = await made([1, 1, 1]);
  const [h1, h2, h3] = c.machines;
  for (let n = 1; n <= 40; n++) h1!.kernel.addNetns(`/run/netns/e${n}`);
  h3!.cutOff();
  await many(h1!, 1, 15);
  while ((await c.show('h1')).reservations?.length !== 2) await pause(5);
  await c.settled();
  assert.deepEqual((await c.show('h1')).reservations?.[1]?.pending?.waitingFor, ['h3']);
  assert.ok(h2!.writes.includes('create 10.4.0.0/16 via 192.168.0.1'), 'routed before any address of it');
  assert.ok(h1!.writes.includes('create 10.4.0.0/16 blackhole'));
  const waits = create(h1!, 'e16');
  await c.services.hostDelete(admin, { params: { name: 'h3' }, query: { dead: true }, body: undefined });
  assert.equal((await waits).addresses[0]?.address, '10.4.1.17');
});

test('without the control plane a full block is refused at once', async () => {
  const c = await made([4]);
  const [h1] = c.machines;
  for (let n = 1; n <= 16; n++) h1!.kernel.addNetns(`/run/netns/e${n}`);
  h1!.cutOff();
  await many(h1!, 1, 15);
  await assert.rejects(create(h1!, 'e16'), refusedWith('block_full'));
});
