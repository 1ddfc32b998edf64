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
