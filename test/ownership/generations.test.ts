/** Real agents whose journal is an old copy, or has been followed by that of another agent. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import { operations } from '#contract/operations.ts';
import { isRomanaError } from '#core/errors.ts';
import { admin, agentOf } from '#server/testing.ts';
import { type Cluster, cluster, type Machine, pause } from '../growth/support.ts';

const clusters: Cluster[] = [];
afterEach(async () => {
  for (const c of clusters.splice(0)) await c.dispose();
});

async function made(): Promise<{ c: Cluster; h1: Machine }> {
  const c = await cluster([1, 1]);
  clusters.push(c);
  await c.settled();
  return { c, h1: c.machines[0]! };
}

/** Answers when the agent answers: while its journal is rebuilt, it asks to try again. */
async function create(machine: Machine, name: string): Promise<Endpoint> {
  const netns = `/run/netns/${name}`;
  machine.kernel.addNetns(netns);
  const attachment = { kind: 'veth-netns' as const, netns, ifname: 'eth0' };
  for (;;) {
    try {
      return await machine.agent!.createEndpoint({
        tenant: 'a',
        segment: 's',
        name,
        attachment,
        sourcePrefixes: [],
      });
    } catch (error) {
      if (!isRomanaError(error) || error.code !== 'unavailable') throw error;
      await pause(5);
    }
  }
}

const recorded = async (c: Cluster) =>
  (await c.services.endpointList(admin, { params: {}, query: {}, body: undefined })).items;
const generation = (c: Cluster) =>
  c.store.read((tx) => tx.get('_generation', 'h1')) as { current: string; seq: number } | undefined;
/** As another machine would that has the same certificate. */
function sayAs(c: Cluster, id: string, seq: number) {
  const body = operations.hostReport.body.parse({
    applied: null,
    version: 'x',
    generation: { id, seq, follows: generation(c)?.current ?? null },
  });
  return c.services.hostReport(agentOf('h1'), { params: { name: 'h1' }, query: {}, body });
}

test('a journal is known to the control plane before it answers, and how far it came with each endpoint', async () => {
  const { c, h1 } = await made();
  const before = generation(c);
  assert.ok(before !== undefined);
  await create(h1, 'one');
  while (generation(c)?.seq !== before.seq + 1) await pause(5);
  assert.equal(generation(c)?.current, before.current);
});

test('an agent that another one has followed lets nothing pass before it takes anything down, and answers nobody', async () => {
  const { c, h1 } = await made();
  await create(h1, 'one');
  while ((await recorded(c))[0]?.phase !== 'ready') await pause(5);
  await c.settled();
  h1.writes.length = 0;
  await sayAs(c, 'another', 1);
  // What it wants to say next is refused.
  await h1.agent!.removeEndpoint('a/s/none').catch(() => undefined);
  await c.services.tenantCreate(admin, { params: {}, query: {}, body: { name: 'b', isolation: 'segment' } });
  while (!h1.writes.some((line) => line.startsWith('remove rom'))) await pause(10);
  const blocked = h1.writes.findIndex((line) => line.startsWith('remove endpoints4'));
  const unplugged = h1.writes.findIndex((line) => line.startsWith('remove rom'));
  assert.ok(blocked >= 0 && unplugged > blocked, h1.writes.join('\n'));
  while (!h1.writes.includes('remove 10.2.0.0/16 via 192.168.0.2')) await pause(10);
  await assert.rejects(create(h1, 'two'), {
    code: 'generation_stale',
  });
  assert.equal((await recorded(c)).length, 1, 'what is recorded is for the agent that followed');
});

test('an old copy is rebuilt under a new generation: recorded endpoints stay, with their addresses, and new ones differ', async () => {
  const { c, h1 } = await made();
  const one = await create(h1, 'one');
  while ((await recorded(c))[0]?.phase !== 'ready') await pause(5);
  const before = generation(c)!;
  await sayAs(c, before.current, before.seq + 1000);
  await create(h1, 'two');
  while (generation(c)?.current === before.current) await pause(10);
  const three = await create(h1, 'three');
  const held = h1.agent!.listEndpoints();
  assert.equal(held.find(({ name }) => name === 'one')?.uid, one.uid);
  assert.deepEqual(held.find(({ name }) => name === 'one')?.addresses, one.addresses);
  const addresses = held.flatMap((endpoint) => endpoint.addresses.map(({ address }) => address));
  assert.equal(new Set(addresses).size, addresses.length);
  assert.ok(addresses.includes(three.addresses[0]!.address));
  await assert.rejects(sayAs(c, before.current, before.seq + 2000), { code: 'generation_stale' });
});
