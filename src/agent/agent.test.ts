import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { type ErrorCode, isRomanaError, RomanaError } from '#core/errors.ts';
import type { FollowedEvent } from '#net/watch.ts';
import { Seeded, Simulator } from '../../test/simulation/simulator.ts';
import { Agent, type ControlPlane, type StateFiles } from './agent.ts';
import type { LocalEndpointInput } from './endpoints.ts';
import { FakeFs, PowerFailure } from './journal/fake-fs.ts';
import type { Objects } from './testing.ts';
import { at, endpointOf, type Machine, machine, objectsOf, silent, snapshotOf } from './testing.ts';

const six = ['10.1.1.17', 'fd10:1:1:1::1'];
const recorded = endpointOf('a/x/e', six, { allocator: 'agent', attachment: { kind: 'none' }, uid: 'old' });

/** What outlives an agent. */
interface Host {
  readonly machine: Machine;
  readonly texts: Map<string, string>;
  fs: FakeFs;
}

const newHost = (): Host => ({ machine: machine(), texts: new Map(), fs: new FakeFs() });

interface Life {
  readonly sim: Simulator;
  readonly agent: Agent;
  readonly reports: m.HostReport[];
  /** Positions from which the stream was asked for. */
  readonly since: (m.Position | null)[];
  readonly say: (...events: readonly FollowedEvent[]) => Promise<void>;
  readonly down: () => void;
}

interface Options {
  /** Called before a small file is written; may throw. */
  readonly beforeFile?: (name: string) => void;
}

function agentOn(
  host: Host,
  sim: Simulator,
  controlPlane: ControlPlane,
  beforeFile: (name: string) => void,
): Agent {
  const files: StateFiles = {
    read: (name) => Promise.resolve(host.texts.get(name) ?? null),
    write: async (name, text) => {
      await Promise.resolve();
      beforeFile(name);
      host.texts.set(name, text);
    },
  };
  return new Agent({
    host: 'h1',
    version: 'test',
    uplinks: [],
    endpointLinks: ['rom*', 'tap*'],
    mtu: 0,
    resyncMs: 60_000,
    heartbeatMs: 10_000,
    kernel: host.machine.drivers,
    controlPlane,
    files,
    journal: { dir: '/journal', fs: host.fs },
    clock: sim.clock({ ms: 0 }),
    timers: sim,
    random: new Seeded(host.texts.size + 1),
    log: silent,
  });
}

async function live(host: Host, { beforeFile = () => undefined }: Options = {}): Promise<Life> {
  // The lock of the agent before is gone with it.
  host.fs = host.fs.afterPowerFailure(1);
  const sim = new Simulator();
  const reports: m.HostReport[] = [];
  const since: Life['since'] = [];
  let listener: (event: FollowedEvent) => void = () => undefined;
  let onDown: (error: RomanaError) => void = () => undefined;
  const controlPlane: ControlPlane = {
    report: (report) => {
      reports.push(report);
      return Promise.resolve({ rejected: [] });
    },
    follow: (from, onEvent, down) => {
      since.push(from);
      listener = onEvent;
      onDown = down;
      return () => (listener = () => undefined);
    },
  };
  const agent = agentOn(host, sim, controlPlane, beforeFile);
  await agent.start();
  await sim.run(100);
  return {
    sim,
    agent,
    reports,
    since,
    say: async (...events) => {
      for (const event of events) listener(event);
      await sim.run(1_000);
    },
    down: () => onDown(new RomanaError('unavailable', 'Away.')),
  };
}

const whole = (given: Objects = {}, revision = 10): FollowedEvent[] =>
  snapshotOf(objectsOf(given), at(revision));

const code = (wanted: ErrorCode) => (error: unknown) => isRomanaError(error) && error.code === wanted;

const veth = (name: string, netns: string): LocalEndpointInput => ({
  tenant: 'a',
  segment: 'x',
  name,
  attachment: { kind: 'veth-netns', netns, ifname: 'eth0' },
  sourcePrefixes: [],
});

const unwritten = ({ rules, kernel }: Machine): boolean =>
  rules.table === null && kernel.routes().every(({ protocol }) => protocol !== '82');

test('1 the kernel is not written before a view is complete', async () => {
  const host = newHost();
  const { agent, say, sim, reports } = await live(host);
  const events = whole();
  await say(...events.slice(0, -1));
  await sim.run(200_000);
  assert.ok(unwritten(host.machine));
  assert.equal(reports.length, 0);
  assert.equal(agent.ready, false);
  await say(events.at(-1)!);
  assert.ok(!unwritten(host.machine));
  assert.equal(agent.ready, true);
  assert.deepEqual(reports.at(-1)?.applied, at(10));
  await agent.stop();
});

test('1 the saved view serves while the control plane is away; nothing is reported from it', async () => {
  const host = newHost();
  const first = await live(host);
  await first.say(...whole());
  await first.agent.stop();
  host.machine.rules.table = null;
  host.machine.kernel.addNetns('/run/netns/n');
  const { agent, since, reports } = await live(host);
  assert.deepEqual(since, [at(10)]);
  assert.equal(agent.ready, true);
  assert.ok(!unwritten(host.machine));
  const made = await agent.createEndpoint(veth('new', '/run/netns/n'));
  assert.deepEqual(
    made.addresses.map(({ address }) => address),
    six,
  );
  assert.deepEqual(reports, []);
  await agent.stop();
});

test('1 a damaged view is not acted upon', async () => {
  const host = newHost();
  const first = await live(host);
  await first.say(...whole());
  await first.agent.stop();
  host.machine.rules.table = null;
  host.texts.set('view.json', (host.texts.get('view.json') ?? '').slice(0, -9));
  const { agent, since, say } = await live(host);
  assert.deepEqual(since, [null]);
  assert.equal(agent.ready, false);
  assert.equal(host.machine.rules.table, null);
  await assert.rejects(agent.createEndpoint(veth('new', '/run/netns/n')), code('unavailable'));
  await say(...whole());
  assert.equal(agent.ready, true);
  await agent.stop();
});

test('1 a control plane that goes away changes nothing', async () => {
  const host = newHost();
  const { agent, say, down, sim, reports } = await live(host);
  await say(...whole());
  const { table } = host.machine.rules;
  const before = reports.length;
  down();
  await sim.run(300_000);
  assert.deepEqual(host.machine.rules.table, table);
  assert.equal(reports.length, before);
  assert.equal(agent.ready, true);
  // What came to be meanwhile is told at once when the stream is back, also when it has nothing new.
  host.machine.kernel.addNetns('/run/netns/n');
  await agent.createEndpoint(veth('new', '/run/netns/n'));
  await say({ type: 'position', position: at(10) });
  assert.deepEqual(
    reports.slice(before).flatMap(({ registered }) => registered.map(({ name }) => name)),
    ['new'],
  );
  await agent.stop();
});

test('2 nobody is answered before what the control plane has recorded is in the new journal', async () => {
  const host = newHost();
  const { agent, say, reports } = await live(host);
  assert.throws(() => agent.listEndpoints(), code('unavailable'));
  await assert.rejects(agent.createEndpoint(veth('e', '/n')), code('unavailable'));
  await assert.rejects(agent.removeEndpoint('a/x/e'), code('unavailable'));
  const removed = endpointOf('a/x/r', ['10.1.1.20'], { allocator: 'agent', phase: 'removing' });
  const foreign = endpointOf('a/x/f', ['10.2.1.17'], { allocator: 'agent', host: 'h2' });
  const served = endpointOf('a/x/s', ['10.1.1.21'], { attachment: { kind: 'none' } });
  await say(...whole({ endpoints: [recorded, removed, foreign, served] }));
  assert.deepEqual(
    agent.listEndpoints().map(({ name, uid }) => [name, uid]),
    [['e', 'old']],
  );
  assert.deepEqual(
    reports.flatMap(({ gone }) => gone.map(({ name }) => name)),
    ['r'],
  );
  await agent.stop();
});

test('2 a new journal asks for everything, whatever view was saved', async () => {
  const host = newHost();
  const first = await live(host);
  await first.say(...whole({ endpoints: [recorded] }));
  await first.agent.stop();
  host.fs = new FakeFs();
  const { agent, since, say, reports, sim } = await live(host);
  assert.deepEqual(since, [null]);
  await sim.run(100_000);
  assert.equal(agent.ready, false);
  await say(...whole({ endpoints: [recorded] }));
  assert.deepEqual(
    agent.listEndpoints().map(({ uid }) => uid),
    ['old'],
  );
  assert.deepEqual(
    reports.flatMap(({ gone }) => gone),
    [],
  );
  await agent.stop();
});

test('2 a crash at any write while endpoints are taken over begins that again: none is ever reported gone', async () => {
  const endpoints = [17, 18, 19].map((last) =>
    endpointOf(`a/x/e${last}`, [`10.1.1.${last}`, `fd10:1:1:1::${last - 16}`], {
      allocator: 'agent',
      attachment: { kind: 'none' },
      uid: `uid-${last}`,
    }),
  );
  const first = newHost();
  const before = await live(first);
  await before.say(...whole({ endpoints }));
  await before.agent.stop();
  let crashes = 0;
  for (let fuel = 1; fuel < 3_000; fuel += 1 + Math.floor(fuel / 20)) {
    // The saved view is there, the journal is lost; then the power fails again.
    const host: Host = { machine: machine(), texts: new Map(first.texts), fs: new FakeFs() };
    host.fs.fuel = fuel;
    const broken = host.fs;
    await doomed(host, endpoints);
    if (broken.fuel <= 0) crashes++;
    for (const luck of [0, 1]) {
      const again: Host = {
        machine: machine(),
        texts: new Map(host.texts),
        fs: broken.afterPowerFailure(luck),
      };
      const { agent, say, reports } = await live(again);
      await say(...whole({ endpoints }));
      assert.deepEqual(
        reports.flatMap(({ gone }) => gone),
        [],
        `fuel ${fuel}, luck ${luck}`,
      );
      assert.equal(agent.listEndpoints().length, 3, `fuel ${fuel}, luck ${luck}`);
      await agent.stop();
    }
  }
  assert.ok(crashes > 10);
});

/** The power fails when the disk's fuel is used up: for the journal, and for the small files too. */
async function doomed(host: Host, endpoints: readonly m.Endpoint[]): Promise<void> {
  const { fs } = host;
  const sim = new Simulator();
  const controlPlane: ControlPlane = {
    report: () => Promise.resolve({ rejected: [] }),
    follow: (_since, onEvent) =>
      sim.after(1, () => {
        for (const event of whole({ endpoints })) onEvent(event);
      }),
  };
  const agent = agentOn(host, sim, controlPlane, () => {
    if (fs.fuel <= 0) throw new PowerFailure();
  });
  await agent.start().catch(() => undefined);
  await sim.run(5_000);
}

test('2 the taking over is tried again until it is durable, and nobody is answered meanwhile', async () => {
  const host = newHost();
  let full = true;
  const { agent, say, sim } = await live(host, {
    beforeFile: (name) => {
      if (full && name === 'generation.json') throw new RomanaError('store_full', 'The disk is full.');
    },
  });
  await say(...whole({ endpoints: [recorded] }));
  await sim.run(30_000);
  assert.equal(agent.ready, false);
  assert.ok(unwritten(host.machine));
  full = false;
  await sim.run(2_000);
  assert.equal(agent.ready, true);
  assert.equal(agent.listEndpoints().length, 1);
  await agent.stop();
});

test('what the control plane removes is released and reported gone', async () => {
  const host = newHost();
  const { agent, say, reports } = await live(host);
  await say(...whole({ endpoints: [recorded] }));
  const value = { ...recorded, phase: 'removing', revision: 11 } as const;
  await say(
    { type: 'object', kind: 'endpoint', key: 'a/x/e', value },
    { type: 'position', position: at(11) },
  );
  assert.deepEqual(agent.listEndpoints(), []);
  assert.deepEqual(
    reports.flatMap(({ gone }) => gone.map(({ name, uid }) => [name, uid])),
    [['e', 'old']],
  );
  await agent.stop();
});

test('what the control plane removes of another uid than ours stays', async () => {
  const host = newHost();
  const { agent, say } = await live(host);
  await say(...whole({ endpoints: [recorded] }));
  const value = { ...recorded, uid: 'older', phase: 'removing', revision: 11 } as const;
  await say(
    { type: 'object', kind: 'endpoint', key: 'a/x/e', value },
    { type: 'position', position: at(11) },
  );
  assert.deepEqual(
    agent.listEndpoints().map(({ uid }) => uid),
    ['old'],
  );
  await agent.stop();
});

test('of two endpoints with one address, the one that the server recorded is wired', async () => {
  const host = newHost();
  const first = await live(host);
  await first.say(...whole());
  host.machine.kernel.addNetns('/run/netns/n');
  await first.agent.createEndpoint(veth('mine', '/run/netns/n'));
  host.machine.kernel.addLink('tap-s');
  const value = endpointOf('a/y/s', six);
  await first.say(
    { type: 'object', kind: 'endpoint', key: 'a/y/s', value },
    { type: 'position', position: at(11) },
  );
  const elements = [...(host.machine.rules.table?.sets.get('endpoints4')?.elements ?? [])];
  assert.deepEqual(elements, ['tap-s . 10.1.1.17']);
  await first.agent.stop();
});

test('a network that comes, and one that goes, is known to the allocator', async () => {
  const host = newHost();
  const { agent, say } = await live(host);
  const { network } = objectsOf();
  await say(...whole({ networks: [] }));
  const input = { ...veth('e', '/run/netns/n'), attachment: { kind: 'none' as const } };
  await assert.rejects(agent.createEndpoint(input), code('host_without_id'));
  await say(
    { type: 'object', kind: 'network', key: 'four', value: network.get('four')! },
    { type: 'position', position: at(11) },
  );
  const made = await agent.createEndpoint(input);
  assert.deepEqual(made.addresses, [{ network: 'four', address: '10.1.1.17' }]);
  await agent.removeEndpoint('a/x/e');
  await say({ type: 'gone', kind: 'network', key: 'four' }, { type: 'position', position: at(12) });
  await assert.rejects(agent.createEndpoint(input), code('host_without_id'));
  await agent.stop();
});

test('3 stopping leaves rules, links and routes, and later requests are refused', async () => {
  const host = newHost();
  const { agent, say } = await live(host);
  host.machine.kernel.addNetns('/run/netns/n');
  await say(...whole());
  await agent.createEndpoint(veth('e', '/run/netns/n'));
  const { kernel, rules } = host.machine;
  const before = JSON.stringify([kernel.routes(), kernel.links()]);
  const { table } = rules;
  await agent.stop();
  assert.equal(JSON.stringify([kernel.routes(), kernel.links()]), before);
  assert.equal(rules.table, table);
  await assert.rejects(agent.createEndpoint(veth('f', '/run/netns/n')), code('unavailable'));
});

test('a restart finds everything right and writes nothing', async () => {
  const host = newHost();
  const first = await live(host);
  host.machine.kernel.addNetns('/run/netns/n');
  await first.say(...whole());
  const made = await first.agent.createEndpoint(veth('e', '/run/netns/n'));
  await first.agent.stop();
  const { agent, say } = await live(host);
  await say({ type: 'position', position: at(10) });
  assert.equal((await agent.status()).writes, 0);
  assert.deepEqual(agent.listEndpoints(), [{ ...made, phase: 'ready' }]);
  assert.deepEqual(await agent.createEndpoint(veth('e', '/run/netns/n')), made);
  await agent.stop();
});

test('the status says what is known, applied and wrong', async () => {
  const host = newHost();
  const { agent, say } = await live(host);
  await say(...whole({ endpoints: [endpointOf('a/x/s', ['10.1.1.21'])] }));
  const status = await agent.status();
  assert.deepEqual([status.host, status.ready, status.connected], ['h1', true, true]);
  assert.deepEqual([status.applied, status.known], [at(10), at(10)]);
  assert.equal(status.endpoints, 1);
  assert.ok(status.counts.rules > 0);
  assert.ok(status.objects.some(({ object, ok }) => object === 'tap-s' && !ok));
  await agent.stop();
});
