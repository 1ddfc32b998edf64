/** A host that grows in a VPC: its further range is used once every table was found to have it, and no operator is asked. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { agentReport } from '../../src/server/services/fixtures.ts';
import { admin } from '../../src/server/testing.ts';
import { type VpcWorld, vpcWorld } from './support.ts';

const worlds: VpcWorld[] = [];
after(async () => {
  for (const one of worlds) await one.dispose();
});

test('what was only written is not there yet; what was read back is', async () => {
  const vpc = await vpcWorld({ tables: ['rtb-a', 'rtb-b'] });
  worlds.push(vpc);
  const { services, store } = vpc.world;
  const params = { name: 'h1' };
  const shown = () => services.hostShow(admin, { params, query: {}, body: undefined });
  const waiting = async () =>
    (await shown()).reservations?.flatMap(({ pending }) => pending?.waitingFor ?? []);
  await vpc.addHost('h1', 0, 11);
  await vpc.addHost('h2', 0, 12);
  await vpc.later();
  await vpc.later();
  await services.hostAddId(admin, { params, query: {}, body: { allocator: 'agent' } });
  await agentReport(services, 'h2', { applied: store.position() });
  assert.deepEqual(await waiting(), ['vpc vpc-1']);
  await vpc.later();
  const cidr = (await shown()).reservations?.at(-1)?.cidr ?? '';
  for (const table of ['rtb-a', 'rtb-b'])
    assert.ok(vpc.ec2.routesOf(table).includes(`${cidr} eni-h1`), `${table} has ${cidr}`);
  assert.deepEqual(await waiting(), ['vpc vpc-1']);
  await vpc.later();
  assert.equal((await shown()).ids.length, 2);
});

test('a permission that is missing elsewhere, or a host without an instance, holds up nobody', async () => {
  const vpc = await vpcWorld();
  worlds.push(vpc);
  const { services, store } = vpc.world;
  const params = { name: 'h1' };
  await vpc.addHost('h1', 0, 11);
  await vpc.addHost('h2', 0, 12);
  vpc.ec2.instances.delete('i-h2');
  vpc.ec2.denied.add('GetServiceQuota');
  await vpc.later();
  await vpc.later();
  await services.hostAddId(admin, { params, query: {}, body: { allocator: 'agent' } });
  await agentReport(services, 'h2', { applied: store.position() });
  await vpc.later();
  await vpc.later();
  const shown = await services.hostShow(admin, { params, query: {}, body: undefined });
  assert.equal(shown.ids.length, 2);
});

test('a range that a route of somebody else takes away is not used', async () => {
  const vpc = await vpcWorld({ zones: 2, budget: 2 });
  worlds.push(vpc);
  const { services, store } = vpc.world;
  await vpc.addHost('h1', 0, 11);
  await vpc.addHost('h2', 1, 12);
  vpc.ec2.tables.get('rtb-a')?.routes.push({ cidr: '100.66.0.0/16', target: 'nat-1', origin: 'CreateRoute' });
  const params = { name: 'h1' };
  const ids = async () => (await services.hostShow(admin, { params, query: {}, body: undefined })).ids.length;
  await vpc.later();
  await vpc.later();
  await services.hostAddId(admin, { params, query: {}, body: { allocator: 'agent' } });
  await agentReport(services, 'h2', { applied: store.position() });
  for (let round = 0; round < 3; round++) await vpc.later();
  assert.equal(await ids(), 1, JSON.stringify(vpc.control.status().items[0]?.problems));
});
