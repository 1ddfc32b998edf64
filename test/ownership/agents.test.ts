/** Real agents on fake kernels: what they acknowledge, and in which order a fenced one withdraws. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import { admin } from '#server/testing.ts';
import { type Cluster, cluster, type Machine, pause } from '../growth/support.ts';

const clusters: Cluster[] = [];
afterEach(async () => {
  for (const c of clusters.splice(0)) await c.dispose();
});

async function made(hosts: number): Promise<Cluster> {
  const c = await cluster(Array.from({ length: hosts }, () => 1));
  clusters.push(c);
  return c;
}

const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const inA = (name: string) => ({ params: { tenant: 'a', name }, query: {}, body: undefined });
const retiring = async (c: Cluster) =>
  (await c.services.status(admin, { params: {}, query: {}, body: undefined })).retiring;

async function create(machine: Machine, name: string) {
  const netns = `/run/netns/${name}`;
  machine.kernel.addNetns(netns);
  while (!machine.agent!.ready) await pause(5);
  return machine.agent!.createEndpoint({
    tenant: 'a',
    segment: 's',
    name,
    attachment: { kind: 'veth-netns', netns, ifname: 'eth0' },
    sourcePrefixes: [],
  });
}

const gone = (c: Cluster, name: string): Promise<boolean> =>
  c.show(name).then(
    () => false,
    (error: unknown) => isRomanaError(error) && error.code === 'not_found',
  );

test('a deleted tenant: every agent acknowledges by itself, an agent that is cut off holds the id back', async () => {
  const c = await made(3);
  await c.settled();
  c.machines[2]!.cutOff();
  await c.services.segmentDelete(admin, inA('s'));
  await c.services.tenantDelete(admin, named('a'));
  while ((await retiring(c))[0]?.waitingFor.length !== 1) await pause(20);
  assert.deepEqual((await retiring(c))[0]?.waitingFor, ['h3']);
  await c.services.hostDelete(admin, { ...named('h3'), query: { dead: true } });
  assert.equal((await retiring(c))[0]?.resting, true);
});

test('an endpoint that the server has never heard of holds the id of its deleted tenant until it is removed', async () => {
  const c = await made(1);
  const [h1] = c.machines;
  await c.settled();
  await create(h1!, 'one');
  while (
    !(await c.services.endpointList(admin, { params: {}, query: {}, body: undefined })).items.some(
      ({ phase }) => phase === 'ready',
    )
  )
    await pause(5);
  // As if the server had never heard of it.
  await c.store.transaction('test', (tx) => {
    tx.forgetAddresses('a/s/one');
    tx.delete('endpoint', 'a/s/one');
    tx.delete('segment', 'a/s');
  });
  await c.services.tenantDelete(admin, named('a'));
  while ((await retiring(c))[0]?.heldBy.length !== 1) await pause(20);
  assert.equal((await retiring(c))[0]?.resting, false);
  await h1!.agent!.removeEndpoint('a/s/one');
  while ((await retiring(c))[0]?.resting !== true) await pause(20);
});

test('a fenced host lets nothing pass before it takes anything down, then is gone', async () => {
  const c = await made(2);
  const [h1, h2] = c.machines;
  await create(h1!, 'one');
  await create(h2!, 'two');
  await c.settled();
  h1!.writes.length = 0;
  await c.services.hostDelete(admin, { ...named('h1'), query: { dead: true } });
  while (!(await gone(c, 'h1'))) await pause(10);
  const blocked = h1!.writes.findIndex((line) => line.startsWith('remove endpoints4'));
  const unplugged = h1!.writes.findIndex((line) => line.startsWith('remove rom'));
  assert.ok(blocked >= 0 && unplugged > blocked, h1!.writes.join('\n'));
  assert.ok(h1!.writes.includes('remove 10.2.0.0/16 via 192.168.0.2'));
  assert.deepEqual(h1!.agent!.listEndpoints(), []);
  assert.ok(h2!.writes.includes('remove 10.1.0.0/16 via 192.168.0.1'));
  await assert.rejects(create(h1!, 'three'), (error: unknown) => isRomanaError(error));
});

test('a drained host keeps its endpoints, takes none, and is gone with the last', async () => {
  const c = await made(2);
  const [h1] = c.machines;
  await create(h1!, 'one');
  await c.settled();
  await c.services.hostDelete(admin, { ...named('h1'), query: { drain: true } });
  await c.settled();
  await assert.rejects(create(h1!, 'two'), { code: 'host_leaving' });
  assert.equal(h1!.agent!.listEndpoints()[0]?.phase, 'ready');
  assert.equal(await gone(c, 'h1'), false);
  await h1!.agent!.removeEndpoint('a/s/one');
  while (!(await gone(c, 'h1'))) await pause(10);
});
