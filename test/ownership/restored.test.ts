/** Real agents, and a control plane that is put back to a copy from before: what they hold is known again before anything is given out. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import { admin } from '#server/testing.ts';
import { type Cluster, cluster, type Machine, pause } from '../growth/support.ts';

const clusters: Cluster[] = [];
afterEach(async () => {
  for (const c of clusters.splice(0)) await c.dispose();
});

const none = { params: {}, query: {}, body: undefined };
const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const recorded = async (c: Cluster) => (await c.services.endpointList(admin, none)).items;
const waiting = async (c: Cluster) => (await c.services.status(admin, none)).waiting?.hosts;
const makeTenant = (c: Cluster, name: string) =>
  c.services.tenantCreate(admin, { params: {}, query: {}, body: { name, isolation: 'segment' } });

async function create(machine: Machine, name: string, tenant = 'a'): Promise<Endpoint> {
  const netns = `/run/netns/${name}`;
  machine.kernel.addNetns(netns);
  while (!machine.agent!.ready) await pause(5);
  return machine.agent!.createEndpoint({
    tenant,
    segment: 's',
    name,
    attachment: { kind: 'veth-netns', netns, ifname: 'eth0' },
    sourcePrefixes: [],
  });
}

async function made(growths: readonly number[]): Promise<Cluster> {
  const c = await cluster(growths);
  clusters.push(c);
  await c.settled();
  return c;
}

test('what agents made after the copy keeps its addresses, is on record again, and nobody gets anything before', async () => {
  const c = await made([1, 1]);
  const [h1, h2] = c.machines;
  await c.copy();
  const one = await create(h1!, 'one');
  const two = await create(h2!, 'two');
  while ((await recorded(c)).filter(({ phase }) => phase === 'ready').length < 2) await pause(5);
  await c.restore(async () => {
    assert.deepEqual(await recorded(c), []);
    await assert.rejects(makeTenant(c, 'b'), {
      code: 'unavailable',
      details: { waitingFor: ['h1', 'h2'] },
    });
  });
  while ((await waiting(c)) !== undefined) await pause(10);
  assert.deepEqual(
    (await recorded(c)).map(({ name, uid, addresses }) => ({ name, uid, addresses })),
    [one, two].map(({ name, uid, addresses }) => ({ name, uid, addresses })),
  );
  assert.equal((await makeTenant(c, 'b')).ids[0]?.id, 2);
});

test('a host that is cut off is waited for until it is declared dead', async () => {
  const c = await made([1, 1]);
  await c.copy();
  await create(c.machines[0]!, 'one');
  c.machines[0]!.cutOff();
  await c.restore();
  while ((await waiting(c))?.length !== 1) await pause(10);
  assert.deepEqual(await waiting(c), ['h1']);
  await assert.rejects(makeTenant(c, 'b'), { code: 'unavailable' });
  await c.services.hostDelete(admin, { ...named('h1'), query: { dead: true } });
  assert.equal(await waiting(c), undefined);
  await makeTenant(c, 'b');
});

test('further host ids that were given after the copy are the same host again, before the wait ends', async () => {
  const c = await made([2, 1]);
  const [h1] = c.machines;
  await c.copy();
  // Until the agent is connected again nobody can give it ids.
  const before = [await create(h1!, 'e0')];
  while ((await recorded(c))[0]?.phase !== 'ready') await pause(5);
  // A block holds 15.
  for (let n = 1; n < 20; n++) before.push(await create(h1!, `e${n}`));
  while ((await recorded(c)).length < 20) await pause(10);
  const ids = (await c.show('h1')).ids.map(({ id }) => id);
  assert.ok(ids.length > 1);
  await c.restore(async () => assert.equal((await c.show('h1')).ids.length, 1));
  while ((await waiting(c)) !== undefined) await pause(10);
  assert.deepEqual((await recorded(c)).length, 20);
  assert.deepEqual(
    (await c.show('h1')).ids.map(({ id }) => id),
    ids,
  );
  assert.deepEqual(
    new Map((await recorded(c)).map(({ name, addresses }) => [name, addresses])),
    new Map(before.map(({ name, addresses }) => [name, addresses])),
  );
});

test('the id of a tenant that was made after the copy goes to nobody while an agent holds endpoints with it', async () => {
  const c = await made([1, 1]);
  const [h1] = c.machines;
  await c.copy();
  await makeTenant(c, 'lost');
  await c.services.segmentCreate(admin, { params: { tenant: 'lost' }, query: {}, body: { name: 's' } });
  await c.settled();
  await create(h1!, 'one', 'lost');
  await c.restore();
  while ((await waiting(c)) !== undefined) await pause(10);
  const [retiring] = (await c.services.status(admin, none)).retiring;
  assert.deepEqual([retiring?.id, retiring?.owner, retiring?.heldBy], [2, '(unknown)', ['h1']]);
  assert.equal((await makeTenant(c, 'b')).ids[0]?.id, 3);
  await h1!.agent!.removeEndpoint('lost/s/one');
  while ((await c.services.status(admin, none)).retiring[0]?.resting !== true) await pause(20);
});

test('a host is waited for while it holds endpoints with the id of a tenant that is another now', async () => {
  const c = await made([1, 1]);
  const [h1] = c.machines;
  await makeTenant(c, 'old');
  await c.copy();
  // In the lost state the id has gone to another tenant.
  await c.store.transaction('test', (tx) => {
    const { name: _name, ...old } = tx.get('tenant', 'old')!;
    tx.delete('tenant', 'old');
    tx.put('tenant', 'new', { ...old, name: 'new', uid: 'new' });
    tx.letGo('tenant id/main', 2);
    tx.hold('tenant id/main', 2, 'new');
  });
  await c.services.segmentCreate(admin, { params: { tenant: 'new' }, query: {}, body: { name: 's' } });
  await c.settled();
  await create(h1!, 'one', 'new');
  await c.restore();
  while ((await waiting(c))?.length !== 1) await pause(10);
  await pause(50);
  assert.deepEqual(await waiting(c), ['h1']);
  await h1!.agent!.removeEndpoint('new/s/one');
  while ((await waiting(c)) !== undefined) await pause(10);
});
