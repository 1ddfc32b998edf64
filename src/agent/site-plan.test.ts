/** The plan is computed anew only when it has to be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createPlanner } from './site-plan.ts';
import { endpointOf, hostOf, objectsOf, tenantOf } from './testing.ts';

test('endpoints and tenants that come and go leave the plan as it is; networks, hosts and the topology do not', () => {
  const planner = createPlanner();
  const objects = objectsOf();
  const first = planner(objects);
  const churned = objectsOf({ endpoints: [endpointOf('a/x/e', ['10.1.1.17'])], tenants: [tenantOf('b', 2)] });
  const { tenant, endpoint } = churned;
  assert.equal(planner({ ...objects, tenant, endpoint }), first);
  const host = new Map(objects.host).set('h2', hostOf(2, { addresses: ['192.168.0.77'] }));
  const moved = planner({ ...objects, host });
  assert.notEqual(moved, first);
  const more = planner({ ...objects, host: new Map(host).set('h3', hostOf(3)) });
  assert.deepEqual(more.plan.hosts, ['h1', 'h2', 'h3']);
  const fewer = planner({ ...objects, network: new Map([...objects.network].slice(0, 1)) });
  assert.equal(fewer.input.networks.length, 1);
  const stated = { groups: [], aggregates: [], revision: 2, fabric: { kind: 'l3-static' as const } };
  const topology = planner({ ...objects, topology: new Map([['', stated]]) });
  assert.deepEqual(topology.plan.host('h1')?.kinds, ['l3-static']);
});

test('a view whose tables are changed in place is seen', () => {
  const planner = createPlanner();
  const host = new Map(objectsOf().host);
  const objects = { ...objectsOf(), host };
  const first = planner(objects);
  host.set('h2', hostOf(2, { state: 'fenced' }));
  assert.notEqual(planner(objects), first);
  host.delete('h2');
  assert.deepEqual(planner(objects).plan.hosts, ['h1']);
});
