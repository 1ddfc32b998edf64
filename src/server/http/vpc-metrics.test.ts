import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Registry } from 'prom-client';
import type { VpcStatus } from '#contract/vpc.ts';
import { addVpcMetrics } from './vpc-metrics.ts';

const item: VpcStatus['items'][number] = {
  region: 'eu-test-1',
  vpc: 'vpc-1',
  writer: true,
  readAt: null,
  settledAt: null,
  drift: 2,
  quota: 50,
  tables: [{ table: 'rtb-a', use: [{ family: 4, limit: 40, routes: 3, foreign: 1 }], drift: 2 }],
  routers: [{ host: 'h1', instance: 'i-1', zone: 'z', health: 'fit', ranges: [] }],
  problems: [{ code: 'no_instance', message: 'x', about: 'h1' }],
  lastError: null,
  calls: { made: 9, throttled: 2, failed: 1 },
  written: { created: 0, replaced: 0, deleted: 0 },
};

test('room, drift, routers, problems and calls of each VPC, from one look; what is gone leaves no series behind', async () => {
  const registry = new Registry();
  let items = [item];
  let looks = 0;
  addVpcMetrics(registry, async () => {
    looks += 1;
    return items;
  });
  const lines = async () =>
    (await registry.metrics()).split('\n').filter((line) => line.startsWith('romana'));
  assert.deepEqual(await lines(), [
    'romana_server_vpc_routes{vpc="vpc-1",table="rtb-a",family="4",kind="planned"} 3',
    'romana_server_vpc_routes{vpc="vpc-1",table="rtb-a",family="4",kind="foreign"} 1',
    'romana_server_vpc_routes{vpc="vpc-1",table="rtb-a",family="4",kind="limit"} 40',
    'romana_server_vpc_drift{vpc="vpc-1"} 2',
    'romana_server_vpc_routers{vpc="vpc-1",health="fit"} 1',
    'romana_server_vpc_problems{vpc="vpc-1",code="no_instance"} 1',
    'romana_server_vpc_calls{vpc="vpc-1",outcome="made"} 9',
    'romana_server_vpc_calls{vpc="vpc-1",outcome="throttled"} 2',
    'romana_server_vpc_calls{vpc="vpc-1",outcome="failed"} 1',
  ]);
  assert.equal(looks, 1);
  items = [];
  assert.deepEqual(await lines(), []);
  // not looked at yet: no drift is told
  items = [{ ...item, drift: null, tables: [], routers: [], problems: [] }];
  assert.ok(!(await lines()).some((line) => line.includes('drift')));
});
