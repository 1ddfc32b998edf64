/** An agent on a BGP fabric: when it announces, when it stops to, and what the control plane hears of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { storedFabric } from '#contract/routing.ts';
import { formatCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { bgpDefaults } from '#core/routing/index.ts';
import type { FollowedEvent } from '#net/watch.ts';
import { Seeded, Simulator } from '../../test/simulation/simulator.ts';
import { Agent } from './agent.ts';
import { FakeSpeaker } from './bgp/fake-speaker.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import { FakeFs } from './journal/fake-fs.ts';
import type { DesiredRoute } from './ports.ts';
import { at, hostOf, machine, objectsOf, silent, snapshotOf } from './testing.ts';

const fabric = storedFabric({ ...bgpDefaults, hostAsn: 65101, daemon: 'gobgp' });
const leaf = (name: string, ...addresses: string[]) => ({
  name,
  platform: 'frr' as const,
  addresses,
  uplinks: [],
  asn: 65001,
  routerId: null,
  routeReflector: false,
  links: {},
  budget: null,
});
const topology: m.Topology = {
  name: 'default',
  networks: null,
  groups: [
    {
      name: 'r1',
      fabric,
      devices: [leaf('leaf1a', '192.168.0.253', 'fd99::fd'), leaf('leaf1b', '192.168.0.254', 'fd99::fe')],
    },
  ],
  aggregates: [],
  revision: 1,
};
const member = (more: Partial<m.Host> = {}): m.Host => hostOf(1, { group: 'r1', ...more });

function whole(self = member(), revision = 10, stated: m.Topology = topology): FollowedEvent[] {
  const objects = { ...objectsOf({ hosts: [self] }), topology: new Map([['', stated]]) };
  return snapshotOf(objects, at(revision));
}

/** What outlives an agent, and the order in which kernel and daemon were told. */
class Site {
  readonly host = machine();
  readonly speaker = new FakeSpeaker();
  readonly texts = new Map<string, string>();
  fs = new FakeFs();
  readonly order: string[] = [];
  /** What the control plane answers to reports; null: it takes them. */
  refusal: RomanaError | null = null;

  constructor() {
    const { speaker, order } = this;
    const { calls } = speaker;
    calls.push = (...said) => {
      order.push(...said.filter((call) => call !== 'status'));
      return Array.prototype.push.apply(calls, said);
    };
  }

  async live() {
    this.fs = this.fs.afterPowerFailure(1);
    const sim = new Simulator();
    const reports: m.HostReport[] = [];
    let listener: (event: FollowedEvent) => void = () => undefined;
    const { drivers } = this.host;
    const agent = new Agent({
      host: 'h1',
      version: 'test',
      uplinks: [],
      endpointLinks: ['rom*'],
      mtu: 0,
      resyncMs: 60_000,
      heartbeatMs: 10_000,
      kernel: {
        ...drivers,
        rules: {
          ...drivers.rules,
          apply: (...args) => {
            this.order.push('rules');
            return drivers.rules.apply(...args);
          },
        },
      },
      speaker: () => this.speaker,
      controlPlane: {
        report: (report) => {
          reports.push(report);
          return this.refusal === null ? Promise.resolve({ rejected: [] }) : Promise.reject(this.refusal);
        },
        follow: (_from, onEvent) => {
          listener = onEvent;
          return () => (listener = () => undefined);
        },
      },
      files: {
        read: (name) => Promise.resolve(this.texts.get(name) ?? null),
        write: (name, text) => Promise.resolve(void this.texts.set(name, text)),
      },
      journal: { dir: '/journal', fs: this.fs },
      clock: sim.clock({ ms: 0 }),
      timers: sim,
      random: new Seeded(1),
      log: silent,
    });
    await agent.start();
    await sim.run(100);
    const say = async (...events: readonly FollowedEvent[]): Promise<void> => {
      for (const event of events) listener(event);
      await sim.run(5_000);
    };
    return { sim, agent, reports, say };
  }

  get announced(): string[] {
    return this.speaker.announced.map(formatCidr);
  }

  get routes(): string[] {
    const { kernel } = this.host;
    return kernel
      .routes()
      .filter(({ protocol }) => protocol === '82')
      .map(({ cidr, type, via, hops }) => {
        const ways = hops.length > 0 ? hops.map((hop) => hop.via!) : via === null ? [] : [via];
        const route: DesiredRoute =
          type === 'unicast'
            ? { kind: 'via', cidr, hops: ways.map((way) => ({ via: way, link: null })) }
            : { kind: 'blackhole', cidr };
        return routeText(route);
      })
      .sort();
  }
}

const ranges = ['10.1.0.0/16', 'fd10:1::/32'];
const both = [
  '10.0.0.0/8 via 192.168.0.253 via 192.168.0.254',
  '10.1.0.0/16 blackhole',
  'fd10:1::/32 blackhole',
  'fd10::/16 via fd99::fd via fd99::fe',
];
const withoutFirst = [
  '10.0.0.0/8 via 192.168.0.254',
  '10.1.0.0/16 blackhole',
  'fd10:1::/32 blackhole',
  'fd10::/16 via fd99::fe',
];

test('rules and routes first, then the announcement; the control plane hears of the sessions', async () => {
  const site = new Site();
  const { agent, say, reports } = await site.live();
  await say(...whole());
  assert.deepEqual(site.announced, ranges);
  assert.deepEqual(site.order.slice(0, 2), ['rules', 'apply']);
  assert.deepEqual(site.routes, both);
  const bgp = reports.at(-1)?.bgp;
  assert.deepEqual(
    [bgp?.daemon, bgp?.up, bgp?.announced, bgp?.sessions.map(({ peer, state }) => `${peer} ${state}`)],
    ['gobgp', true, ranges, ['leaf1a', 'leaf1a', 'leaf1b', 'leaf1b'].map((name) => `${name} established`)],
  );
  assert.deepEqual((await agent.status()).bgp?.sessions.length, 4);
  await agent.stop();
});

test('a range whose blackhole another program keeps out of the kernel is not announced, and the problem says why', async () => {
  const site = new Site();
  site.host.kernel.addRoute({
    cidr: { address: { family: 4, w0: 0x0a010000, w1: 0, w2: 0, w3: 0 }, length: 16 },
    type: 'unicast',
    protocol: 'static',
    metric: 0,
    via: null,
    source: null,
    link: 'up0',
  });
  const { agent, say, reports } = await site.live();
  await say(...whole());
  assert.deepEqual(site.announced, ['fd10:1::/32']);
  const problem = reports.at(-1)?.problems.find(({ code }) => code === 'route_foreign');
  assert.match(problem?.message ?? '', /protocol static.*10\.1\.0\.0\/16/);
  await agent.stop();
});

test('routes follow a session that goes and comes; when none is left, the last ones stay', async () => {
  const site = new Site();
  const { agent, say, sim } = await site.live();
  await say(...whole());
  site.speaker.down.add('leaf1a');
  await sim.run(5_000);
  assert.deepEqual(site.routes, withoutFirst);
  site.speaker.down.add('leaf1b');
  await sim.run(5_000);
  assert.deepEqual(site.routes, withoutFirst, 'the last ones stay');
  site.speaker.down.clear();
  await sim.run(5_000);
  assert.deepEqual(site.routes, both);
  await agent.stop();
});

test('the end and the start of an agent change no route, whatever the sessions are; nor does a dead daemon', async () => {
  const site = new Site();
  const first = await site.live();
  await first.say(...whole());
  site.speaker.down.add('leaf1a');
  await first.sim.run(5_000);
  const { routes } = site;
  assert.deepEqual(routes, withoutFirst);
  await first.agent.stop();
  assert.deepEqual([site.routes, site.announced], [routes, ranges]);
  site.speaker.daemon = 'down';
  const second = await site.live();
  await second.sim.run(60_000);
  assert.deepEqual([site.routes, site.announced], [routes, ranges]);
  assert.equal((await second.agent.status()).bgp?.up, false);
  await second.agent.stop();
});

test('an agent that starts again never says that there is no speaker', async () => {
  const site = new Site();
  const first = await site.live();
  await first.say(...whole());
  await first.agent.stop();
  let release: () => void = () => undefined;
  site.speaker.hold = new Promise((resolve) => (release = resolve));
  const second = await site.live();
  second.sim.after(1_000, () => {
    site.speaker.hold = null;
    release();
  });
  await second.say({ type: 'synced', position: at(10) });
  assert.ok(second.reports.length > 0);
  assert.ok(second.reports.every(({ bgp }) => bgp?.sessions.length === 4));
  await second.agent.stop();
});

test('a daemon that hangs delays no pass', async () => {
  const site = new Site();
  site.speaker.hold = new Promise(() => undefined);
  const { agent, say, sim, reports } = await site.live();
  await say(...whole());
  assert.deepEqual([agent.ready, site.routes], [true, both]);
  await say(
    { type: 'object', kind: 'host', key: 'h1', value: member({ revision: 11 }) },
    { type: 'position', position: at(11) },
  );
  assert.deepEqual(reports.at(-1)?.applied, at(11));
  await sim.run(30_000);
  assert.ok(reports.at(-1)?.problems.some(({ code }) => code === 'speaker_unavailable'));
  await agent.stop();
});

for (const hangs of [false, true]) {
  test(`a fenced host withdraws before its kernel is touched${hangs ? ', or waits in vain for a moment' : ''}`, async () => {
    const site = new Site();
    const { agent, say, sim } = await site.live();
    await say(...whole());
    site.order.length = 0;
    if (hangs) site.speaker.hold = new Promise(() => undefined);
    const value = member({ state: 'fenced' });
    await say({ type: 'object', kind: 'host', key: 'h1', value }, { type: 'position', position: at(11) });
    assert.deepEqual(site.order.slice(0, 2), ['withdraw', 'rules']);
    assert.deepEqual(site.routes, ['10.1.0.0/16 blackhole', 'fd10:1::/32 blackhole']);
    if (!hangs) assert.deepEqual(site.announced, []);
    await sim.run(60_000);
    assert.ok(!site.order.includes('apply'));
    await agent.stop();
  });
}

test('a host that the control plane does not have withdraws before its blackholes go', async () => {
  const site = new Site();
  const { agent, say } = await site.live();
  await say(...whole());
  site.order.length = 0;
  await say({ type: 'gone', kind: 'host', key: 'h1' }, { type: 'position', position: at(11) });
  assert.deepEqual(site.order.slice(0, 2), ['withdraw', 'rules']);
  assert.deepEqual([site.announced, site.routes], [[], []]);
  await agent.stop();
});

test('a host that is taken back announces again, after its pass', async () => {
  const site = new Site();
  const { agent, say } = await site.live();
  await say(...whole(member({ state: 'fenced' })));
  assert.deepEqual(site.announced, []);
  await say(
    { type: 'object', kind: 'host', key: 'h1', value: member() },
    { type: 'position', position: at(11) },
  );
  assert.deepEqual([site.announced, site.routes], [ranges, both]);
  await agent.stop();
});

test('a journal that another one has followed: withdrawn before the kernel, also after a restart without the control plane', async () => {
  const site = new Site();
  const first = await site.live();
  await first.say(...whole());
  site.order.length = 0;
  site.refusal = new RomanaError('generation_stale', 'Another one.', { details: { reason: 'followed' } });
  await first.sim.run(30_000);
  assert.deepEqual(site.order.slice(0, 2), ['withdraw', 'rules']);
  assert.deepEqual(site.announced, []);
  await first.agent.stop();
  // Somebody has put the old configuration back meanwhile.
  site.speaker.announced = [{ address: { family: 4, w0: 0x0a010000, w1: 0, w2: 0, w3: 0 }, length: 16 }];
  site.order.length = 0;
  const second = await site.live();
  await second.sim.run(60_000);
  assert.deepEqual([site.order[0], site.announced], ['withdraw', []]);
  assert.ok(!site.order.includes('apply'));
  await second.agent.stop();
});

test('a fabric without BGP from now on: everything is withdrawn, the report says nothing of a speaker', async () => {
  const site = new Site();
  const { agent, say, reports } = await site.live();
  await say(...whole());
  const groups: m.GroupTree[] = [{ ...topology.groups[0]!, fabric: { kind: 'l3-static' } }];
  await say(
    { type: 'object', kind: 'topology', key: '', value: { ...topology, groups } },
    { type: 'position', position: at(11) },
  );
  assert.deepEqual(site.announced, []);
  assert.deepEqual(site.routes, ['10.1.0.0/16 blackhole', 'fd10:1::/32 blackhole']);
  assert.equal(reports.at(-1)?.bgp, undefined);
  await agent.stop();
});

test('reports come with news and with the heartbeat, not with every second of a session', async () => {
  const site = new Site();
  const { agent, say, sim, reports } = await site.live();
  await say(...whole());
  await sim.run(10_000);
  const before = reports.length;
  await sim.run(60_000);
  assert.ok(reports.length - before <= 7, `${reports.length - before}`);
  await agent.stop();
});

test('a server that does not know of speakers is told without them; one that was only away is told again', async () => {
  const site = new Site();
  const { agent, say, sim, reports } = await site.live();
  await say(...whole());
  site.refusal = new RomanaError('timeout', 'No answer.');
  await sim.run(20_000);
  assert.ok(reports.at(-1)?.bgp !== undefined);
  site.refusal = new RomanaError('input_invalid', 'bgp: unknown key.');
  const { length } = reports;
  await sim.run(40_000);
  assert.ok(reports.slice(length + 1).every(({ bgp }) => bgp === undefined));
  site.refusal = null;
  await sim.run(40_000);
  assert.ok(reports.at(-1)?.bgp !== undefined);
  await agent.stop();
});
