/** A whole cluster from one seed; ROMANA_SEED=N runs it again. See README.md. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sizes } from '../support/sizes.ts';
import { Chaos } from './chaos.ts';
import { check, rest, stateText } from './check.ts';
import { Orchestrator } from './orchestrator.ts';
import { World } from './world.ts';

const given = Number(process.env['ROMANA_SEED']);
const seed = Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31);

/** What the first network is like, by seed. */
const networks = [
  { what: 'room for everything', cidr: '10.0.0.0/8', layout: [8, 8, 4, 4], tenants: 6, quiet: true },
  // Hosts are told of the shared addresses that they need, and of further ids.
  { what: 'few numbers', cidr: '10.0.0.0/12', layout: [12, 3, 2, 3], tenants: 12, quiet: false },
  { what: 'several ids for each host', cidr: '10.0.0.0/9', layout: [9, 8, 4, 2], tenants: 6, quiet: false },
] as const;
const networkOf = (from: number) => networks[from % networks.length]!;

interface Cluster {
  readonly world: World;
  readonly people: Orchestrator;
  readonly chaos: Chaos;
}

async function cluster(from: number, hosts: number): Promise<Cluster> {
  const world = new World(from);
  const people = new Orchestrator(world);
  const chaos = new Chaos(world, people, hosts + 3);
  const { cidr, layout, tenants } = networkOf(from);
  const [host, tenant, segment, endpoint] = layout;
  void people.createNetwork('four', cidr, { host, tenant, segment, endpoint });
  void people.createNetwork('six', 'fd10::/16', { host: 16, tenant: 16, segment: 16, endpoint: 64 });
  await world.sim.run(1_000);
  for (let n = 0; n < hosts; n++) void people.addHost();
  for (let n = 0; n < tenants; n++) chaos.createTenant();
  await world.sim.run(1_000);
  for (let n = 0; n < 15; n++) chaos.createSegment();
  await world.sim.run(1_000);
  return { world, people, chaos };
}

async function storm({ world, people, chaos }: Cluster, events: number): Promise<void> {
  const pace = world.random.fork('pace');
  for (let n = 0; n < events; n++) {
    chaos.event();
    await world.sim.run(Math.floor(pace.fraction() * 40));
  }
  chaos.calm();
  await rest(world, people);
}

test(`a cluster of ${sizes.simulation.hosts} hosts comes to rest as it was answered, whatever happened (seed ${seed})`, async (t) => {
  const all = await cluster(seed, sizes.simulation.hosts);
  const { world, people } = all;
  try {
    await storm(all, sizes.simulation.events);
    await check(world, people);
    const { counts } = people;
    t.diagnostic(
      `seed ${seed}, ${networkOf(seed).what}: ${world.sim.steps} steps, ${Math.round(world.sim.now / 1000)} s, ${JSON.stringify(counts)}, refused ${JSON.stringify(people.refusals)}, ${people.endpoints.size} endpoints left, ${world.asked} pairs asked, ${world.reused} tenant ids reused`,
    );
    assert.ok(counts.created > 0 && counts.removed > 0 && world.asked > 0);

    const { quiet } = networkOf(seed);
    const what = quiet ? ' without one write on other hosts' : '';
    await t.test(`endpoints come and go inside segments${what}`, () => churn(all, quiet));
  } finally {
    world.dispose();
  }
});

/** More would want a further host id, whose route concerns everybody. */
const mostInOneBlock = 6;

async function churn({ world, people }: Cluster, quietly: boolean): Promise<void> {
  const random = world.random.fork('churn');
  const all = [...world.hosts.values()];
  const busy = all.slice(0, Math.ceil(all.length / 5));
  const quiet = all.slice(busy.length);
  for (const host of busy) void people.addServerIds(host);
  await rest(world, people);
  for (const host of all) Object.assign(host.writes, { rules: 0, routes: 0, links: 0 });
  const before = { ...people.counts };
  for (let n = 0; n < sizes.simulation.churn; n++) {
    const live = [...people.endpoints.values()].filter(
      ({ phase, host }) => phase === 'live' && busy.includes(host),
    );
    const host = random.pick(busy)!;
    const segment = random.pick([...people.segments])!;
    const mates = [...people.endpoints.values()].filter(
      (one) => one.host === host && one.key.startsWith(`${segment}/`),
    );
    const known = random.chance(0.45) ? random.pick(live) : undefined;
    if (known !== undefined) void people.removeEndpoint(known);
    else if (!quietly || mates.length < mostInOneBlock) {
      void people.createEndpoint({
        host,
        by: random.chance(0.5) ? 'agent' : 'server',
        segment,
        name: `churn${n}`,
        kind: 'veth-netns',
      });
    }
    await world.sim.run(random.below(60));
  }
  await rest(world, people);
  await check(world, people);
  assert.ok(people.counts.created > before.created && people.counts.removed > before.removed);
  assert.ok(busy.some(({ writes }) => writes.rules > 0));
  for (const { name, writes } of quietly ? quiet : [])
    assert.deepEqual(writes, { rules: 0, routes: 0, links: 0 }, `${name} held none of them`);
}

test(`the same seed gives the same history and the same end (seed ${seed})`, async () => {
  const run = async (from: number): Promise<readonly [log: string, end: string]> => {
    const all = await cluster(from, 6);
    try {
      await storm(all, sizes.simulation.events / 10);
      await check(all.world, all.people);
      return [all.world.sim.digest(), stateText(all.world)];
    } finally {
      all.world.dispose();
    }
  };
  const [first, second, other] = [await run(seed), await run(seed), await run(seed + 1)];
  assert.equal(first[0], second[0]);
  assert.equal(first[1], second[1]);
  assert.notEqual(first[0], other[0]);
});
