/** Route tables kept as planned: the real SDK and the real control plane against a small EC2. */
import assert from 'node:assert/strict';
import { after, describe, test } from 'node:test';
import { type VpcSetup, type VpcWorld, vpcWorld } from './support.ts';

const worlds: VpcWorld[] = [];
async function fresh(setup: VpcSetup = {}): Promise<VpcWorld> {
  const made = await vpcWorld(setup);
  worlds.push(made);
  return made;
}
after(async () => {
  for (const one of worlds) await one.dispose();
});

const none = { params: {}, query: {}, body: undefined };
function statusOf({ control }: VpcWorld) {
  const [item] = control.status().items;
  assert.ok(item !== undefined);
  return item;
}
function codesOf(world: VpcWorld): string[] {
  return statusOf(world).problems.map(({ code, about }) => `${code} ${about}`);
}
async function joined(world: VpcWorld, count: number, zone = 0): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `h${zone}${index}`);
  for (const [index, name] of names.entries()) await world.addHost(name, zone, 10 + index);
  return names;
}

describe('writing', () => {
  test('hosts get their routes in every table and forward; a second round writes nothing', async () => {
    const world = await fresh({ tables: ['rtb-a', 'rtb-b'] });
    world.ec2.pageSize = 2;
    await joined(world, 3);
    await joined(world, 2, 1);
    await world.later();
    const routes = [
      '100.65.0.0/16 eni-h00',
      '100.66.0.0/16 eni-h01',
      '100.67.0.0/16 eni-h02',
      '100.96.0.0/16 eni-h10',
      '100.97.0.0/16 eni-h11',
    ];
    assert.deepEqual(world.ec2.routesOf('rtb-a'), routes);
    assert.deepEqual(world.ec2.routesOf('rtb-b'), routes);
    for (const { interfaces } of world.ec2.instances.values())
      for (const { sourceDestCheck } of interfaces) assert.equal(sourceDestCheck, false);
    world.ec2.taken();
    await world.later();
    assert.deepEqual(world.ec2.taken(), []);
    const { drift, writer, problems, quota, lastError } = statusOf(world);
    assert.deepEqual(
      { drift, writer, problems, quota, lastError },
      { drift: 0, writer: true, problems: [], quota: 50, lastError: null },
    );
  });

  test('a host that leaves takes its route along, and nothing else changes', async () => {
    const world = await fresh();
    await joined(world, 3);
    await world.later();
    world.ec2.taken();
    const store = world.world.store;
    await store.transaction('test', (tx) => tx.delete('host', 'h01'));
    await world.later();
    assert.deepEqual(world.ec2.taken(), ['DeleteRoute']);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-h00', '100.67.0.0/16 eni-h02']);
  });

  test('more hosts than routes: ranges are joined behind routers of their zone, within the quota', async () => {
    const world = await fresh();
    world.ec2.quota = 8;
    await joined(world, 9);
    await joined(world, 9, 1);
    await world.report('h00');
    await world.later();
    const routes = world.ec2.routesOf('rtb-a');
    assert.ok(routes.length <= 7, routes.join('\n'));
    const { routers, problems } = statusOf(world);
    assert.deepEqual(problems, []);
    assert.ok(routers.length > 1);
    world.ec2.taken();
    await world.later();
    assert.deepEqual(world.ec2.taken(), []);
  });

  test('the plan tells what would be written, and writes nothing', async () => {
    const world = await fresh();
    await joined(world, 2);
    const { items } = await world.control.plan();
    assert.deepEqual(
      items[0]?.tables[0]?.routes.map(({ cidr, target, action, from, why }) => [
        cidr,
        target,
        action,
        from,
        why,
      ]),
      [
        ['100.65.0.0/16', 'eni-h00', 'create', null, 'the range of host h00'],
        ['100.66.0.0/16', 'eni-h01', 'create', null, 'the range of host h01'],
      ],
    );
    assert.deepEqual(
      items[0]?.checks.map(({ interface: one }) => one),
      ['eni-h00', 'eni-h01'],
    );
    assert.deepEqual(world.ec2.taken(), []);
  });

  test('a label names the instance where the addresses do not', async () => {
    const world = await fresh();
    world.ec2.addInstance('odd', '172.31.0.99', 'subnet-a');
    const body = {
      name: 'odd',
      addresses: ['192.0.2.9'],
      group: 'zone-a',
      allocator: 'agent',
      labels: { 'aws/instance': 'i-odd' },
    };
    await world.world.services.hostCreate(
      { kind: 'token', name: 'root', role: 'admin' },
      { ...none, body: body as never },
    );
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-odd']);
  });
});

describe('what others do', () => {
  test('a route deleted or led elsewhere behind our back is put right', async () => {
    const world = await fresh();
    await joined(world, 3);
    await world.later();
    const table = world.ec2.tables.get('rtb-a');
    assert.ok(table !== undefined);
    const before = world.ec2.routesOf('rtb-a');
    await world.later(40_000);
    table.routes = table.routes.filter(({ cidr }) => cidr !== '100.65.0.0/16');
    for (const route of table.routes) if (route.cidr === '100.66.0.0/16') route.target = 'nat-1';
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), before);
  });

  test('routes of others stay, whatever happens to ours', async () => {
    const world = await fresh();
    const foreign = [
      { cidr: '0.0.0.0/0', target: 'igw-1', origin: 'CreateRoute' as const },
      { cidr: '100.65.0.0/16', target: 'nat-1', origin: 'CreateRoute' as const },
      { cidr: '100.66.1.0/24', target: 'nat-2', origin: 'CreateRoute' as const },
      { cidr: '100.90.0.0/16', target: 'tgw-1', origin: 'EnableVgwRoutePropagation' as const },
    ];
    world.ec2.tables.get('rtb-a')?.routes.push(...foreign);
    await joined(world, 2);
    await world.later();
    assert.deepEqual(codesOf(world), ['route_in_the_way rtb-a', 'route_inside rtb-a']);
    assert.deepEqual(world.ec2.routesOf('rtb-a').filter((line) => !line.includes('eni-')).length, 4);
    assert.ok(world.ec2.routesOf('rtb-a').includes('100.66.0.0/16 eni-h01'));
    await world.world.store.transaction('test', (tx) => {
      tx.delete('host', 'h00');
      tx.delete('host', 'h01');
    });
    await world.later(40_000);
    assert.deepEqual(
      world.ec2.routesOf('rtb-a'),
      foreign.map(({ cidr, target }) => `${cidr} ${target}`).sort(),
    );
  });

  test('somebody is faster with a route of the same destination: it stays, is told, and is theirs for ever', async () => {
    const world = await fresh();
    await joined(world, 2);
    world.ec2.before.set('CreateRoute', () => {
      world.ec2.before.clear();
      world.ec2.tables
        .get('rtb-a')
        ?.routes.push({ cidr: '100.65.0.0/16', target: 'nat-1', origin: 'CreateRoute' });
    });
    await world.later();
    assert.deepEqual(codesOf(world), ['route_in_the_way rtb-a']);
    await world.later(40_000);
    assert.deepEqual(codesOf(world), ['route_in_the_way rtb-a']);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 nat-1', '100.66.0.0/16 eni-h01']);
    await world.world.store.transaction('test', (tx) => tx.delete('host', 'h00'));
    await world.later();
    assert.ok(world.ec2.routesOf('rtb-a').includes('100.65.0.0/16 nat-1'));
  });

  test('the source/destination check switched on again is switched off again', async () => {
    const world = await fresh();
    await joined(world, 1);
    await world.later();
    const one = world.ec2.instances.get('i-h00')?.interfaces[0];
    assert.ok(one !== undefined);
    one.sourceDestCheck = true;
    await world.later();
    assert.equal(one.sourceDestCheck, false);
  });
});

describe('failures of the provider', () => {
  test('throttled now and then: waited for, counted, done', async () => {
    const world = await fresh();
    await joined(world, 3);
    for (const action of ['DescribeInstances', 'DescribeRouteTables', 'CreateRoute', 'GetServiceQuota'])
      world.ec2.throttled.set(action, 3);
    await world.later();
    assert.equal(world.ec2.routesOf('rtb-a').length, 3);
    const { calls, lastError } = statusOf(world);
    assert.deepEqual([calls.throttled, calls.failed, lastError], [12, 0, null]);
  });

  test('throttled for long: the tables stay, it is told, and the next round goes on where this one stopped', async () => {
    const world = await fresh();
    await joined(world, 3);
    world.ec2.before.set('CreateRoute', () => {
      world.ec2.before.clear();
      world.ec2.throttled.set('*', 20);
    });
    await world.later();
    assert.equal(world.ec2.routesOf('rtb-a').length, 1);
    assert.deepEqual(codesOf(world), ['api_throttled ec2:CreateRoute']);
    await world.later();
    world.ec2.throttled.clear();
    await world.later();
    assert.equal(world.ec2.routesOf('rtb-a').length, 3);
    assert.deepEqual(codesOf(world), []);
  });

  test('answers of 500 are tried again, and told when they stay', async () => {
    const world = await fresh();
    await joined(world, 1);
    world.ec2.broken = true;
    await world.later();
    assert.equal(statusOf(world).lastError?.code, 'InternalError');
    assert.match(codesOf(world).join(), /^api_unreachable ec2:/);
    await assert.rejects(world.control.plan(), { code: 'unavailable', message: /AWS does not answer/ });
    world.ec2.broken = false;
    await world.later();
    assert.equal(world.ec2.routesOf('rtb-a').length, 1);
  });

  test('nobody listens: told', async () => {
    const world = await fresh();
    await joined(world, 1);
    await world.ec2.close();
    await world.later();
    assert.match(codesOf(world).join(), /^api_unreachable ec2:/);
    assert.equal(statusOf(world).lastError?.code, 'ECONNREFUSED');
  });

  for (const [action, routes] of [
    ['CreateRoute', 0],
    ['ModifyNetworkInterfaceAttribute', 2],
    ['DescribeInstanceStatus', 2],
    ['GetServiceQuota', 2],
    ['DescribeInstances', 0],
    ['DescribeRouteTables', 0],
  ] as const) {
    test(`${action} denied: the permission is named, what can be done without is done, and it heals`, async () => {
      const world = await fresh();
      await joined(world, 2);
      world.ec2.denied.add(action);
      await world.later();
      const permission = action === 'GetServiceQuota' ? `servicequotas:${action}` : `ec2:${action}`;
      assert.ok(codesOf(world).includes(`permission_missing ${permission}`), codesOf(world).join());
      assert.doesNotMatch(JSON.stringify(statusOf(world)), /AbCdEf/);
      assert.equal(world.ec2.routesOf('rtb-a').length, routes);
      // one refusal says it for all
      assert.ok(world.ec2.taken(true).filter((one) => one === action).length <= 2);
      world.ec2.denied.clear();
      await world.later(6 * 60_000);
      assert.deepEqual(codesOf(world), []);
      assert.equal(world.ec2.routesOf('rtb-a').length, 2);
    });
  }

  test('DeleteRoute denied: joined routes are written, and the old ones stay until it is allowed', async () => {
    const world = await fresh();
    await joined(world, 2);
    await world.later();
    world.ec2.denied.add('DeleteRoute');
    await world.world.store.transaction('test', (tx) => tx.delete('host', 'h01'));
    await world.later();
    assert.deepEqual(codesOf(world), ['permission_missing ec2:DeleteRoute']);
    assert.equal(statusOf(world).drift, 1);
    world.ec2.denied.clear();
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-h00']);
  });

  test('the table is full before the quota says so: the next round joins ranges, and all are reached', async () => {
    const world = await fresh();
    world.ec2.quota = 6;
    world.ec2.toldQuota = 500;
    await joined(world, 9);
    await world.later();
    assert.deepEqual(codesOf(world), ['table_full rtb-a']);
    for (let round = 0; round < 3; round++) await world.later();
    assert.deepEqual(codesOf(world), []);
    assert.equal(statusOf(world).drift, 0);
    assert.ok(world.ec2.routesOf('rtb-a').length <= 5);
  });

  test('answers that are older than our own writes undo nothing', async () => {
    const world = await fresh();
    await joined(world, 2);
    await world.later();
    await joined(world, 2, 1);
    await world.later();
    const routes = world.ec2.routesOf('rtb-a');
    world.ec2.taken();
    world.ec2.staleReads = 3;
    for (let round = 0; round < 3; round++) await world.later(5_000);
    assert.deepEqual(world.ec2.taken(), []);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), routes);
    assert.equal(statusOf(world).drift, 0);
  });

  test('an old answer that outlives our patience: the route that is there already is ours, and stays', async () => {
    const world = await fresh();
    await joined(world, 2);
    await world.later();
    world.ec2.staleReads = 1;
    await world.later(60_000);
    assert.deepEqual(codesOf(world), []);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-h00', '100.66.0.0/16 eni-h01']);
  });

  test('no credentials: told, without a word of them', async () => {
    const { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, HOME } = process.env;
    const world = await fresh();
    await joined(world, 1);
    try {
      delete process.env['AWS_ACCESS_KEY_ID'];
      delete process.env['AWS_SECRET_ACCESS_KEY'];
      process.env['HOME'] = '/nonexistent';
      await world.later();
    } finally {
      Object.assign(process.env, { AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, HOME });
    }
    assert.match(codesOf(world).join(), /^credentials_missing ec2:/);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), []);
  });
});

describe('instances', () => {
  async function routed(): Promise<{ world: VpcWorld; router: string; names: string[]; before: string[] }> {
    const world = await fresh({ zones: 1, budget: 2 });
    const names = await joined(world, 6);
    await world.report(...names);
    await world.later(1_000);
    const [first] = statusOf(world).routers;
    assert.ok(first !== undefined);
    world.ec2.taken();
    return { world, router: first.host, names, before: world.ec2.routesOf('rtb-a') };
  }

  test('a router whose instance stops is replaced in the next round, and does not come back when it starts', async () => {
    const { world, router, before } = await routed();
    const instance = world.ec2.instances.get(`i-${router}`);
    assert.ok(instance !== undefined);
    instance.state = 'stopped';
    await world.later();
    assert.deepEqual(world.ec2.taken(), ['ReplaceRoute']);
    const moved = world.ec2.routesOf('rtb-a');
    assert.notDeepEqual(moved, before);
    assert.ok(!moved.join().includes(`eni-${router}`));
    instance.state = 'running';
    await world.later();
    assert.deepEqual(world.ec2.taken(), []);
  });

  test('one observer alone moves nothing; both together do', async () => {
    const { world, router, names, before } = await routed();
    const instance = world.ec2.instances.get(`i-${router}`);
    assert.ok(instance !== undefined);
    const others = names.filter((name) => name !== router);
    instance.impaired = true;
    await world.report(...names);
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), before);
    assert.equal(statusOf(world).routers.find(({ host }) => host === router)?.health, 'suspect');
    instance.impaired = false;
    world.world.clock.time += 60_000;
    await world.report(...others);
    await world.later(1_000);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), before);
    instance.impaired = true;
    await world.report(...others);
    await world.later(1_000);
    assert.deepEqual(world.ec2.taken(), ['ReplaceRoute']);
    assert.ok(!world.ec2.routesOf('rtb-a').join().includes(`eni-${router}`));
  });

  test('an instance that one answer does not have is not gone; one that is never there is', async () => {
    const { world, router, before } = await routed();
    const instance = world.ec2.instances.get(`i-${router}`);
    assert.ok(instance !== undefined);
    world.ec2.instances.delete(instance.id);
    await world.later();
    await world.control.plan();
    await world.control.plan();
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), before);
    await world.later();
    assert.ok(!world.ec2.routesOf('rtb-a').join().includes(`eni-${router}`));
    assert.ok(codesOf(world).includes(`no_instance ${router}`));
  });

  test('an instance replaced by another with the same address: the routes follow', async () => {
    const { world, router } = await routed();
    const old = world.ec2.instances.get(`i-${router}`);
    assert.ok(old !== undefined);
    const [address = ''] = old.interfaces[0]?.addresses ?? [];
    old.state = 'terminated';
    world.ec2.addInstance('new', address, 'subnet-a');
    const { items } = await world.control.plan();
    assert.deepEqual(
      items[0]?.checks.map(({ instance }) => instance),
      ['i-new'],
    );
    await world.later();
    assert.deepEqual(codesOf(world), []);
    assert.ok(world.ec2.routesOf('rtb-a').every((line) => !line.includes(`eni-${router}`)));
  });
});

describe('one writer', () => {
  test('of two servers one writes; when it is gone the other does, and the first, back, does not', async () => {
    const world = await fresh();
    await joined(world, 1);
    const second = world.another();
    await world.later();
    world.world.clock.time += 1_000;
    await second.round();
    assert.equal(second.status().items[0]?.writer, false);
    await joined(world, 1, 1);
    world.ec2.taken();
    // the first is not heard of any more
    for (const ms of [30_000, 31_000]) {
      world.world.clock.time += ms;
      await second.round();
    }
    assert.equal(second.status().items[0]?.writer, true);
    assert.deepEqual(world.ec2.taken(), ['ModifyNetworkInterfaceAttribute', 'CreateRoute']);
    await world.world.store.transaction('test', (tx) => tx.delete('host', 'h10'));
    await world.later(1_000);
    assert.equal(statusOf(world).writer, false);
    assert.deepEqual(world.ec2.taken(), []);
  });

  test('a server that has its store for itself goes on at once after it was killed', async () => {
    const world = await fresh();
    const killed = world.another('server');
    await killed.round();
    await joined(world, 1);
    const next = world.another('server');
    await next.round();
    assert.equal(next.status().items[0]?.writer, true);
    assert.deepEqual(world.ec2.routesOf('rtb-a'), ['100.65.0.0/16 eni-h00']);
  });

  test('a writer that stops in order leaves at once', async () => {
    const world = await fresh();
    await joined(world, 1);
    const second = world.another();
    await world.later();
    await world.control.stop();
    await second.round();
    assert.equal(second.status().items[0]?.writer, true);
  });

  test('killed between any two writes: the next server finishes, and what was half done is ours', async () => {
    for (let written = 0; written < 4; written++) {
      const world = await fresh();
      await joined(world, 4);
      let left = written;
      world.ec2.before.set('CreateRoute', () => {
        if (left-- === 0) world.ec2.broken = true;
      });
      await world.later();
      world.ec2.broken = false;
      world.ec2.before.clear();
      await world.world.store.transaction('test', (tx) => tx.delete('host', 'h03'));
      // the host is gone and with it what tells its interface: the record still knows the route
      const second = world.another();
      await second.round();
      world.world.clock.time += 61_000;
      await second.round();
      await second.round();
      assert.deepEqual(
        world.ec2.routesOf('rtb-a'),
        ['100.65.0.0/16 eni-h00', '100.66.0.0/16 eni-h01', '100.67.0.0/16 eni-h02'],
        `after ${written}`,
      );
    }
  });
});

describe('both families, and what is elsewhere', () => {
  test('IPv6 ranges, and aggregates behind connections, are written beside IPv4; a connection that is gone is told', async () => {
    const world = await fresh();
    const admin = { kind: 'token', name: 'root', role: 'admin' } as const;
    const { endpoint } = world;
    const fabric = {
      kind: 'vpc',
      region: 'eu-test-1',
      vpc: 'vpc-1',
      endpoint,
      peerings: [
        { group: 'dc', connection: 'tgw-1' },
        { group: 'far', connection: 'pcx-1' },
      ],
    };
    const networks = [
      { name: 'net1', cidr: '100.64.0.0/10', layout: '6/8/4/4' },
      { name: 'net6', cidr: 'fd64::/16', layout: '16/16/16/64' },
    ];
    const map = [
      { name: 'here', fabric, groups: [{ name: 'zone-a' }] },
      { name: 'dc', fabric: { kind: 'l2' } },
      { name: 'far' },
    ];
    await world.world.services.topologyApply(admin, { ...none, body: { networks, topologies: [{ map }] } });
    world.ec2.connections.add('tgw-1');
    world.ec2.addInstance('h1', '172.31.0.11', 'subnet-a', {
      interfaces: [
        { id: 'eni-h1', addresses: ['172.31.0.11', 'FD31:0:0:0:0:0:0:11'], sourceDestCheck: true },
      ],
    });
    const body = {
      name: 'h1',
      addresses: ['172.31.0.11', 'fd31::11'],
      group: 'here/zone-a',
      allocator: 'agent' as const,
      labels: {},
    };
    await world.world.services.hostCreate(admin, { ...none, body });
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), [
      '100.65.0.0/16 eni-h1',
      '100.80.0.0/12 tgw-1',
      'fd64:1::/32 eni-h1',
      'fd64:4000::/18 tgw-1',
    ]);
    assert.deepEqual(codesOf(world), ['target_gone rtb-a', 'target_gone rtb-a']);
    world.ec2.connections.add('pcx-1');
    await world.later();
    assert.deepEqual(
      world.ec2.routesOf('rtb-a').filter((line) => line.includes('pcx-1')),
      ['100.96.0.0/12 pcx-1', 'fd64:8000::/18 pcx-1'],
    );
    await world.later();
    assert.deepEqual([codesOf(world), statusOf(world).drift], [[], 0]);
    const { items } = await world.control.plan();
    assert.deepEqual(
      items[0]?.tables[0]?.use.map(({ family, routes }) => [family, routes]),
      [
        [4, 3],
        [6, 3],
      ],
    );
  });

  test('the tables that the fabric names, and no others', async () => {
    const world = await fresh({ tables: ['rtb-a', 'rtb-b'], fabric: { routeTables: ['rtb-b', 'rtb-c'] } });
    await joined(world, 1);
    await world.later();
    assert.deepEqual(
      [world.ec2.routesOf('rtb-a'), world.ec2.routesOf('rtb-b')],
      [[], ['100.65.0.0/16 eni-h00']],
    );
    assert.deepEqual(codesOf(world), ['table_missing rtb-c']);
  });

  test('groups of a VPC whose last host is gone leave no route behind', async () => {
    const world = await fresh();
    await joined(world, 2);
    await world.later();
    await world.world.store.transaction('test', (tx) => {
      for (const name of ['h00', 'h01']) tx.delete('host', name);
    });
    await world.later();
    assert.deepEqual(world.ec2.routesOf('rtb-a'), []);
  });
});
