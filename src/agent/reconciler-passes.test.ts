/** The reconciler on a kernel in memory; `reconciler.test.ts` has how passes follow each other. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { Simulator } from '../../test/simulation/simulator.ts';
import { type Kernel, type Outcome, Reconciler } from './reconciler.ts';
import type { Flow } from './rules/ruleset.ts';
import {
  at,
  endpointOf,
  hostOf,
  type Machine,
  machine,
  type Objects,
  silent,
  tenantOf,
  viewOf,
  wiredOf,
} from './testing.ts';

const resyncMs = 30_000;

interface Setup extends Machine {
  readonly sim: Simulator;
  readonly reconciler: Reconciler;
  readonly outcomes: Outcome[];
  /** Null: nothing is known. */
  given: Objects | null;
  revision: number;
}

interface Changes {
  readonly kernel?: (drivers: Kernel, host: Machine) => Kernel;
  readonly on?: Machine;
}

function setup(
  given: Objects | null = {},
  { kernel = (drivers) => drivers, on = machine() }: Changes = {},
): Setup {
  const sim = new Simulator();
  const outcomes: Outcome[] = [];
  const all: Setup = {
    ...on,
    sim,
    outcomes,
    given,
    revision: 10,
    reconciler: new Reconciler({
      host: 'h1',
      uplinks: [],
      endpointLinks: ['rom*', 'tap*'],
      mtu: 0,
      resyncMs,
      kernel: kernel(on.drivers, on),
      clock: sim.clock({ ms: 0 }),
      timers: sim,
      log: silent,
      knowledge: () =>
        all.given === null
          ? null
          : { view: viewOf(all.given, all.revision), endpoints: (all.given.endpoints ?? []).map(wiredOf) },
      onPass: (outcome) => outcomes.push(outcome),
    }),
  };
  return all;
}

const both = ['10.1.1.17', 'fd10:1:1:1::1'];
const veth = (name: string, addresses: readonly string[] = both): m.Endpoint =>
  endpointOf(`a/x/${name}`, addresses, {
    attachment: { kind: 'veth-netns', netns: `/run/netns/${name}`, ifname: 'eth0' },
  });
const phases = ({ phases: all }: Outcome): string[] => [...all].map(([key, { phase }]) => `${key} ${phase}`);
const refused = (): RomanaError => new RomanaError('kernel_refused', 'No space left.');
const flow = (source: string, destination: string, more: Partial<Flow> = {}): Flow => ({
  protocol: 'tcp',
  source,
  destination,
  sourcePort: 1024,
  destinationPort: 80,
  ...more,
});

test('1 rules before links, links before routes, and the pass ends ready', async () => {
  const { kernel, reconciler, calls } = setup({ endpoints: [veth('e')] });
  kernel.addNetns('/run/netns/e');
  const outcome = await reconciler.reconcile();
  assert.deepEqual(
    calls.filter((call) => ['rules', 'links', 'routes'].includes(call)),
    ['rules', 'links', 'routes'],
  );
  assert.deepEqual(phases(outcome!), ['a/x/e ready']);
  assert.deepEqual([outcome?.applied, outcome?.position, outcome?.problems], [true, at(10), []]);
  assert.ok((outcome?.changes.length ?? 0) > 0);
});

test('a pass over what is right writes nothing', async () => {
  const { kernel, reconciler } = setup({ endpoints: [veth('e')] });
  kernel.addNetns('/run/netns/e');
  await reconciler.reconcile();
  for (let n = 0; n < 3; n++) assert.deepEqual((await reconciler.reconcile())?.changes, []);
});

test('nothing is written while nothing is known', async () => {
  const { reconciler, sim, calls, outcomes } = setup(null);
  reconciler.start();
  await sim.run(10 * resyncMs);
  assert.equal(await reconciler.reconcile(), null);
  assert.deepEqual([calls, outcomes, reconciler.last], [[], [], null]);
  await reconciler.stop();
});

test('1 without rules no link comes up; what stood before stands, and routes are kept right', async () => {
  const { kernel, rules, reconciler, calls } = setup({ endpoints: [veth('e')] });
  kernel.addNetns('/run/netns/e');
  rules.failNext = refused();
  const failed = await reconciler.reconcile();
  assert.equal(failed?.applied, false);
  assert.deepEqual(phases(failed), ['a/x/e pending']);
  assert.match(failed.problems[0]?.message ?? '', /rules: No space left/);
  assert.ok(!calls.includes('links'));
  assert.equal(
    kernel.links().some(({ name }) => name.startsWith('rom')),
    false,
  );
  assert.deepEqual(phases((await reconciler.reconcile())!), ['a/x/e ready']);
});

test('2 what one endpoint lacks stops no other', async () => {
  const endpoints = [veth('e'), veth('late', ['10.1.1.18', 'fd10:1:1:1::2']), veth('f', ['10.1.1.19'])];
  const { kernel, reconciler } = setup({ endpoints });
  for (const name of ['e', 'f']) kernel.addNetns(`/run/netns/${name}`);
  const outcome = await reconciler.reconcile();
  assert.equal(outcome?.applied, true);
  assert.deepEqual(phases(outcome), ['a/x/e ready', 'a/x/late failed', 'a/x/f ready']);
  assert.equal(outcome.phases.get('a/x/late')?.problem?.code, 'attachment_invalid');
  // Single endpoints are their own problem, not the host's.
  assert.deepEqual(outcome.problems, []);
  kernel.addNetns('/run/netns/late');
  assert.deepEqual(phases((await reconciler.reconcile())!), ['a/x/e ready', 'a/x/late ready', 'a/x/f ready']);
});

test('2 a link driver that fails as a whole keeps the routes of the host right', async () => {
  const { reconciler, kernel } = setup(
    { endpoints: [veth('e')] },
    {
      kernel: (drivers) => ({
        ...drivers,
        links: { ...drivers.links, apply: () => Promise.reject(refused()) },
      }),
    },
  );
  const outcome = await reconciler.reconcile();
  assert.equal(outcome?.applied, false);
  assert.ok(kernel.routes().some(({ cidr, protocol }) => protocol === '82' && cidr.length === 16));
});

test('a route that somebody else holds is a problem of the host when it leads to others, of the endpoint when to it', async () => {
  const { kernel, reconciler } = setup({ endpoints: [veth('e', ['10.1.1.17'])] });
  kernel.addNetns('/run/netns/e');
  const foreign = (text: string) => {
    const route = { type: 'blackhole', protocol: 'static', metric: 0, via: null, source: null } as const;
    kernel.addRoute({ ...route, cidr: parseCidr(text) });
  };
  foreign('10.2.0.0/16');
  foreign('10.1.1.17/32');
  const outcome = await reconciler.reconcile();
  assert.deepEqual(phases(outcome!), ['a/x/e failed']);
  assert.equal(outcome?.problems.length, 1);
  assert.match(outcome.problems[0]?.message ?? '', /10\.2\.0\.0\/16/);
});

test('an exception of the facts is no crash: the pass fails and is repeated', async () => {
  let broken = true;
  const { reconciler, sim, outcomes } = setup(
    {},
    {
      kernel: (drivers) => ({
        ...drivers,
        facts: {
          ...drivers.facts,
          read: () => (broken ? Promise.reject(new Error('EIO')) : drivers.facts.read()),
        },
      }),
    },
  );
  reconciler.start();
  await sim.run(1);
  assert.deepEqual(
    [outcomes[0]?.applied, outcomes[0]?.problems],
    [false, [{ code: 'internal', message: 'facts: EIO' }]],
  );
  broken = false;
  await sim.run(2_000);
  assert.equal(reconciler.last?.applied, true);
  await reconciler.stop();
});

test('4 failed passes are repeated soon, then ever more slowly, never more slowly than the resync', async () => {
  const all = setup({ endpoints: [veth('late')] });
  all.reconciler.start();
  await all.sim.run(5_000);
  const soon = all.outcomes.length;
  assert.ok(soon >= 3 && soon <= 6, `${soon} in 5 s`);
  await all.sim.run(10 * resyncMs);
  const later = all.outcomes.length - soon;
  assert.ok(later >= 10 && later <= 16, `${later} in ten resyncs`);
  all.kernel.addNetns('/run/netns/late');
  await all.sim.run(resyncMs);
  assert.deepEqual(phases(all.reconciler.last!), ['a/x/late ready']);
  await all.reconciler.stop();
});

test('4 losses that give no event are found within a resync', async () => {
  const all = setup();
  all.reconciler.start();
  await all.sim.run(1_000);
  all.rules.table = null;
  await all.sim.run(resyncMs + 1);
  assert.notEqual(all.rules.table, null);
  await all.reconciler.stop();
});

test('a kernel event is answered with one pass, many of them with one', async () => {
  const all = setup();
  all.reconciler.start();
  await all.sim.run(1_000);
  const before = all.outcomes.length;
  for (let n = 0; n < 100; n++) all.kernel.tell(n % 2 === 0 ? 'network' : 'rules');
  await all.sim.run(1_000);
  assert.equal(all.outcomes.length, before + 1);
  await all.reconciler.stop();
});

test('a stopped loop writes nothing more and leaves the kernel as it is', async () => {
  const all = setup();
  all.reconciler.start();
  await all.sim.run(1_000);
  await all.reconciler.stop();
  const { table } = all.rules;
  const count = all.outcomes.length;
  all.kernel.tell('network');
  all.reconciler.trigger(0);
  assert.equal(await all.reconciler.reconcile(), null);
  await all.sim.run(10 * resyncMs);
  assert.equal(all.outcomes.length, count);
  assert.equal(all.rules.table, table);
});

const isolated = (isolation: m.Tenant['isolation']): Objects => ({
  tenants: [tenantOf('a', 1, isolation)],
  endpoints: [veth('e')],
});

for (const [family, allowed, cross, host2] of [
  [4, ['10.1.1.17', '10.2.1.18'], ['10.1.1.17', '10.2.1.33'], '192.168.0.2'],
  [6, ['fd10:1:1:1::1', 'fd10:2:1:1::2'], ['fd10:1:1:1::1', 'fd10:2:1:2::1'], 'fd99::2'],
] as const) {
  test(`3 IPv${family}: a permission goes together with its flows, and only with them`, async () => {
    const all = setup(isolated('tenant'));
    all.kernel.addNetns('/run/netns/e');
    const stays = flow(allowed[0], allowed[1]);
    const goes = flow(cross[0], cross[1]);
    const back = flow(cross[1], cross[0], { protocol: 'udp' });
    all.conntrack.table = [stays, goes, back];
    await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, [stays, goes, back]);
    all.given = isolated('segment');
    all.calls.length = 0;
    const outcome = await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, [stays]);
    assert.deepEqual(all.rules.cutFlows, [goes, back]);
    // One transaction, and one more look at the flows after it.
    assert.deepEqual(all.calls.slice(0, 3), ['flows', 'rules', 'flows']);
    const cuts = outcome?.changes.filter(({ object }) => object.startsWith('cut')) ?? [];
    assert.equal(cuts.length, 4);
  });

  test(`3 IPv${family}: a flow that comes to be between the listing and the transaction is cut by the second look`, async () => {
    const goes = flow(cross[0], cross[1]);
    const all: Setup = setup(isolated('tenant'), {
      kernel: (drivers, host) => ({
        ...drivers,
        rules: {
          ...drivers.rules,
          apply: (desired, cut, mend) => {
            if (
              all.given?.tenants?.[0]?.isolation === 'segment' &&
              host.rules.cutFlows.length === 0 &&
              cut?.length === 0
            )
              host.conntrack.table.push(goes);
            return drivers.rules.apply(desired, cut, mend);
          },
        },
      }),
    });
    all.kernel.addNetns('/run/netns/e');
    await all.reconciler.reconcile();
    all.given = isolated('segment');
    await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, []);
    assert.deepEqual(all.rules.cutFlows, [goes]);
  });

  test(`3 IPv${family}: what was cut and is allowed again is mended, at once`, async () => {
    const all = setup(isolated('tenant'));
    all.kernel.addNetns('/run/netns/e');
    const goes = flow(cross[0], cross[1]);
    await all.reconciler.reconcile();
    all.conntrack.table = [goes];
    all.given = isolated('segment');
    await all.reconciler.reconcile();
    assert.deepEqual(all.rules.cutFlows, [goes]);
    all.given = isolated('tenant');
    await all.reconciler.reconcile();
    assert.deepEqual(all.rules.cutFlows, []);
  });

  test(`3 IPv${family}: flows that came to be while somebody had opened the rules go with the repair`, async () => {
    const all = setup(isolated('segment'));
    all.kernel.addNetns('/run/netns/e');
    await all.reconciler.reconcile();
    all.rules.table = null;
    const goes = flow(cross[0], cross[1]);
    const stays = flow(allowed[0], allowed[1]);
    all.conntrack.table = [goes, stays];
    await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, [stays]);
  });

  test(`IPv${family}: the next owner of an address inherits no flow, also when the agent was away meanwhile`, async () => {
    const mine = flow(allowed[1], allowed[0]);
    const others = flow(host2, allowed[1]);
    const all = setup(isolated('open'));
    all.kernel.addNetns('/run/netns/e');
    all.conntrack.table = [mine, others];
    await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, [mine, others]);
    all.given = { ...isolated('open'), endpoints: [] };
    await all.reconciler.reconcile();
    assert.deepEqual(all.conntrack.table, [others]);
    // A fresh agent finds flows of an endpoint that left while it was away.
    const { kernel, rules, conntrack, drivers, calls } = all;
    conntrack.table = [mine, others];
    const again = setup(
      { ...isolated('open'), endpoints: [] },
      { on: { kernel, rules, conntrack, drivers, calls } },
    );
    await again.reconciler.reconcile();
    assert.deepEqual(conntrack.table, [others]);
  });
}

test('3 after a failed write the flows are cut with the one that succeeds', async () => {
  const all = setup(isolated('tenant'));
  all.kernel.addNetns('/run/netns/e');
  const goes = flow('10.1.1.17', '10.2.1.33');
  await all.reconciler.reconcile();
  all.conntrack.table = [goes];
  all.given = isolated('segment');
  all.rules.failNext = refused();
  await all.reconciler.reconcile();
  // Nothing was written: the permission still stands, and so does its flow.
  assert.deepEqual(all.conntrack.table, [goes]);
  await all.reconciler.reconcile();
  assert.deepEqual(all.conntrack.table, []);
});

test('3 while flows cannot be listed no permission is taken half; it goes when they can', async () => {
  let deaf = false;
  const all = setup(isolated('tenant'), {
    kernel: (drivers) => ({
      ...drivers,
      conntrack: {
        ...drivers.conntrack,
        flows: () => (deaf ? Promise.reject(refused()) : drivers.conntrack.flows()),
      },
    }),
  });
  all.kernel.addNetns('/run/netns/e');
  await all.reconciler.reconcile();
  const goes = flow('10.1.1.17', '10.2.1.33');
  all.conntrack.table = [goes];
  all.given = isolated('segment');
  deaf = true;
  assert.equal((await all.reconciler.reconcile())?.applied, false);
  deaf = false;
  assert.equal((await all.reconciler.reconcile())?.applied, true);
  assert.deepEqual(all.conntrack.table, []);
});

test('endpoints that come and go, and hosts, cost no look at the flows', async () => {
  const all = setup({ endpoints: [veth('e')] });
  for (const name of ['e', 'f']) all.kernel.addNetns(`/run/netns/${name}`);
  await all.reconciler.reconcile();
  all.calls.length = 0;
  all.given = { endpoints: [veth('e'), veth('f', ['10.1.1.18'])] };
  await all.reconciler.reconcile();
  all.given = { endpoints: [veth('e')], hosts: [hostOf(1), hostOf(2), hostOf(3)] };
  await all.reconciler.reconcile();
  assert.ok(!all.calls.includes('flows'), all.calls.join(' '));
});

test('that forwarding was off before us is remembered by the table, across agents and our own turning it on', async () => {
  const on = machine();
  const first = setup({}, { on });
  await first.reconciler.reconcile();
  assert.deepEqual(on.kernel.facts().forwarding, { 4: true, 6: true });
  assert.deepEqual(await on.rules.guardsOthers(), { 4: true, 6: true });
  const second = setup({}, { on });
  assert.deepEqual((await second.reconciler.reconcile())?.changes, []);
  assert.deepEqual(await on.rules.guardsOthers(), { 4: true, 6: true });
  // The table vanishes while the agent runs: it knows.
  on.rules.table = null;
  await second.reconciler.reconcile();
  assert.deepEqual(await on.rules.guardsOthers(), { 4: true, 6: true });
  const router = machine();
  router.kernel.setForwarding(4, true);
  await setup({}, { on: router }).reconciler.reconcile();
  assert.deepEqual(await router.rules.guardsOthers(), { 4: false, 6: true });
});

test('a position that brought nothing for this host counts as applied, but never ahead of a pass that is due', async () => {
  const all = setup();
  all.reconciler.start();
  await all.sim.run(1_000);
  all.reconciler.advance(at(11));
  assert.deepEqual(all.reconciler.last?.position, at(11));
  all.reconciler.trigger(5);
  all.reconciler.advance(at(12));
  assert.deepEqual(all.reconciler.last.position, at(11));
  all.revision = 12;
  await all.sim.run(1_000);
  assert.deepEqual(all.reconciler.last.position, at(12));
  await all.reconciler.stop();
});

test('every owned object is shown as it is wanted and as it is', async () => {
  const all = setup({ endpoints: [veth('e')] });
  assert.deepEqual(await all.reconciler.inspect(), []);
  all.kernel.addNetns('/run/netns/e');
  await all.reconciler.reconcile();
  assert.deepEqual(
    (await all.reconciler.inspect()).filter(({ ok }) => !ok),
    [],
  );
  all.kernel.deleteRoute(parseCidr('10.2.0.0/16'));
  all.rules.table = null;
  const wrong = (await all.reconciler.inspect()).filter(({ ok }) => !ok);
  assert.ok(wrong.some(({ kind, actual }) => kind === 'route' && actual === null));
  assert.ok(wrong.some(({ kind }) => kind === 'table' || kind === 'chain'));
});
