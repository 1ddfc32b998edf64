/** When the loop looks, with a provider that is a map and time that passes when told. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { formatCidr } from '#core/address/index.ts';
import { admin, ManualTimers, silentLog, type World, world } from '../../server/testing.ts';
import { type CloudApi, CloudFailure } from './api.ts';
import { createVpcControl } from './control.ts';

const worlds: World[] = [];
after(() => {
  for (const one of worlds) one.dispose();
});

async function setting() {
  const inner = world();
  worlds.push(inner);
  const { services, store, clock, random, fabric } = inner;
  const routes = new Map<string, string>();
  const failing = { now: false };
  let looks = 0;
  let closed = 0;
  const api: CloudApi = {
    tables: async () => {
      looks += 1;
      if (failing.now)
        throw new CloudFailure('unreachable', 'DescribeRouteTables', 'ECONNREFUSED', 'no answer');
      const shown = store.read(() => [...routes]);
      return [
        {
          id: 'rtb-a',
          subnets: [],
          main: true,
          routes: shown.map(([text, target]) => ({ cidr: cidrs.get(text) ?? null, target, counted: true })),
        },
      ];
    },
    instances: async () =>
      [11, 12].map((last) => ({
        id: `i-${last}`,
        zone: 'z',
        state: 'running' as const,
        interfaces: [
          {
            id: `eni-${last}`,
            subnet: 'subnet-a',
            addresses: [`172.31.0.${last}`],
            forwards: true,
            first: true,
          },
        ],
      })),
    impaired: async () => new Set(),
    quota: async () => 50,
    createRoute: async (_, cidr, target) => {
      cidrs.set(formatCidr(cidr), cidr);
      routes.set(formatCidr(cidr), target);
    },
    replaceRoute: async (_, cidr, target) => void routes.set(formatCidr(cidr), target),
    deleteRoute: async (_, cidr) => void routes.delete(formatCidr(cidr)),
    letForward: async () => undefined,
    close: () => {
      closed += 1;
    },
  };
  const cidrs = new Map<string, Parameters<CloudApi['createRoute']>[1]>();
  const timers = new ManualTimers();
  const parts = {
    store,
    clock,
    timers,
    random,
    log: silentLog,
    heard: (host: { name: string; uid: string }) => fabric.heard(host),
  };
  const control = createVpcControl(parts, { open: async () => api });
  const apply = (fabricOf: object | undefined) =>
    services.topologyApply(admin, {
      params: {},
      query: {},
      body: {
        networks: [{ name: 'net1', cidr: '100.64.0.0/10', layout: '6/8/4/4' }],
        topologies: [
          {
            networks: ['net1'],
            ...(fabricOf === undefined ? {} : { fabric: fabricOf }),
            map: [{ name: 'zone-a' }],
          },
        ],
      },
    });
  const addHost = (name: string, last: number) =>
    services.hostCreate(admin, {
      params: {},
      query: {},
      body: { name, addresses: [`172.31.0.${last}`], group: 'zone-a', allocator: 'agent', labels: {} },
    });
  return {
    inner,
    control,
    routes,
    failing,
    apply,
    addHost,
    closed: () => closed,
    /** Looks since the last question, after so much time. */
    tick: async (ms: number): Promise<number> => {
      const before = looks;
      clock.time += ms;
      timers.advance(ms);
      for (let n = 0; n < 50; n++) await new Promise((resolve) => setImmediate(resolve));
      return looks - before;
    },
  };
}

const fabric = { kind: 'vpc', region: 'eu-test-1', vpc: 'vpc-1' };

test('without a VPC nothing is asked, and nothing is loaded; with one it is looked at, at once and then again and again', async () => {
  const { control, tick, apply, addHost, routes } = await setting();
  await apply(undefined);
  control.start();
  assert.equal(await tick(0), 0);
  assert.equal(await tick(60_000), 0);
  await apply(fabric);
  await addHost('h1', 11);
  assert.equal(await tick(499), 0);
  assert.equal(await tick(1), 1);
  assert.deepEqual([...routes], [['100.65.0.0/16', 'eni-11']]);
  // what was written is looked at soon
  assert.equal(await tick(2_000), 1);
  assert.equal(await tick(9_999), 0);
  assert.equal(await tick(1), 1);
  await control.stop();
});

test('a new host is looked at soon; endpoints and tenants are not', async () => {
  const { control, tick, apply, addHost, routes, inner } = await setting();
  await apply(fabric);
  await addHost('h1', 11);
  control.start();
  await tick(0);
  await tick(2_000);
  await inner.services.tenantCreate(admin, {
    params: {},
    query: {},
    body: { name: 't', isolation: 'segment' },
  });
  await inner.services.segmentCreate(admin, { params: { tenant: 't' }, query: {}, body: { name: 's' } });
  assert.equal(await tick(600), 0);
  await addHost('h2', 12);
  assert.equal(await tick(500), 1);
  assert.equal(routes.size, 2);
  await control.stop();
});

test('a provider that does not answer is asked less and less often, and as before when it does', async () => {
  const { control, tick, apply, addHost, failing } = await setting();
  await apply(fabric);
  await addHost('h1', 11);
  control.start();
  await tick(0);
  await tick(2_000);
  failing.now = true;
  // the look itself tries several times: the timers of its waits are fired by time passing
  let looks = 0;
  for (let second = 0; second < 600; second++) looks += await tick(1_000);
  assert.ok(looks < 120, `${looks} looks in ten minutes`);
  failing.now = false;
  let until = 0;
  while ((await tick(1_000)) === 0 && until < 130) until += 1;
  assert.ok(until < 130);
  assert.equal(await tick(10_000), 1);
  await control.stop();
});

test('stopped: nothing is asked any more, the lease is free, and what was open is closed', async () => {
  const { control, tick, apply, addHost, inner, closed } = await setting();
  await apply(fabric);
  await addHost('h1', 11);
  control.start();
  await tick(0);
  await control.stop();
  await control.stop();
  assert.equal(closed(), 1);
  await addHost('h2', 12);
  assert.equal(await tick(60_000), 0);
  assert.equal(inner.store.read((tx) => tx.list('_lease')).length, 0);
});

test('a VPC that is no longer stated is let go of', async () => {
  const { control, tick, apply, addHost, closed } = await setting();
  await apply(fabric);
  await addHost('h1', 11);
  control.start();
  await tick(0);
  await apply(undefined);
  await tick(500);
  assert.equal(closed(), 1);
  assert.deepEqual(control.status().items, []);
  assert.deepEqual((await control.plan()).items, []);
  await control.stop();
});
