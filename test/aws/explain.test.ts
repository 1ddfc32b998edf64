/** `route explain` in a VPC: from host to table to host, and on to the host behind it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { admin } from '../../src/server/testing.ts';
import { type VpcSetup, type VpcWorld, vpcWorld } from './support.ts';

const worlds: VpcWorld[] = [];
after(async () => {
  for (const one of worlds) await one.dispose();
});

async function fresh(setup: VpcSetup): Promise<(source: string, destination: string) => Promise<string[]>> {
  const vpc = await vpcWorld(setup);
  worlds.push(vpc);
  for (const [index, name] of ['a1', 'a2', 'a3'].entries()) await vpc.addHost(name, 0, 11 + index);
  for (const [index, name] of ['b1', 'b2', 'b3'].entries()) await vpc.addHost(name, 1, 11 + index);
  await vpc.report('a1', 'a2', 'a3', 'b1', 'b2', 'b3');
  await vpc.later(1_000);
  await vpc.later(2_000);
  return async (source, destination) => {
    const query = { source, destination };
    const { hops, end } = await vpc.services.routeExplain(admin, { params: {}, query, body: undefined });
    const told = hops.map(
      ({ at, type, route, nextHops }) =>
        `${type} ${at} ${route?.cidr ?? '-'} ${nextHops.map(({ to }) => to).join()}`,
    );
    if (end.kind === 'leaves') assert.match(end.reason, /^The route tables of its VPC have no route for /);
    return [...told, `${end.kind === 'leaves' ? 'leaves' : 'ends at'} ${end.at}`];
  };
}

test('between subnets: the table leads to the host itself', async () => {
  const explain = await fresh({});
  assert.deepEqual(await explain('100.65.0.1', '100.97.0.1'), [
    'host a1 - ',
    'table rtb-a 100.97.0.0/16 b2',
    'host b2 100.97.0.0/16 ',
    'ends at b2',
  ]);
});

test('between subnets, joined: the table leads to the host that forwards', async () => {
  const explain = await fresh({ budget: 2 });
  const way = await explain('100.65.0.1', '100.98.0.1');
  assert.deepEqual(way[0], 'host a1 - ');
  assert.match(way[1] ?? '', /^table rtb-a 100\.96\.0\.0\/11 b[123]$/);
  assert.equal(way.at(-1), 'ends at b3');
});

test('inside a subnet: from host to host', async () => {
  const explain = await fresh({});
  assert.deepEqual(await explain('100.65.0.1', '100.66.0.1'), [
    'host a1 100.66.0.0/16 a2',
    'host a2 100.66.0.0/16 ',
    'ends at a2',
  ]);
});

test('an address that nobody has: dropped behind the table, or there is no route to it', async () => {
  const joined = await fresh({ budget: 2 });
  const way = await joined('100.65.0.1', '100.120.0.1');
  assert.match(way.at(-1) ?? '', /^ends at b[123]$/);
  const single = await fresh({});
  assert.deepEqual(await single('100.65.0.1', '100.120.0.1'), ['host a1 - ', 'leaves a1']);
});
