/** A cluster on a BGP fabric whose sessions flap and whose daemons come and go; ROMANA_SEED=N runs it again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '#core/address/index.ts';
import { Chaos } from './chaos.ts';
import { check, rest } from './check.ts';
import type { SimHost } from './host.ts';
import { Orchestrator } from './orchestrator.ts';
import type { Seeded } from './simulator.ts';
import { World } from './world.ts';

const given = Number(process.env['ROMANA_SEED']);
const seed = Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31);
const leaves = ['leaf-a', 'leaf-b'];

const topology = {
  topologies: [
    {
      name: 'default',
      fabric: { kind: 'bgp', daemon: 'gobgp', hostAsn: 65100 },
      devices: leaves.map((name, n) => ({
        name,
        platform: 'frr',
        asn: 65001 + n,
        addresses: [`192.168.255.${n + 1}`, `fd99::ff:${n + 1}`],
      })),
    },
  ],
};

/** One thing that happens to the daemon of a host. */
function flap(random: Seeded, { speaker }: SimHost): void {
  const leaf = random.pick(leaves)!;
  switch (random.below(6)) {
    case 0:
      speaker.daemon = 'down';
      break;
    case 1:
      if (speaker.daemon === 'down' && random.chance(0.5)) speaker.forget();
      speaker.daemon = 'up';
      break;
    case 2:
      speaker.down.add(leaf);
      break;
    case 3:
      speaker.down.add(`${leaf}/${random.pick([4, 6])}`);
      break;
    case 4:
      speaker.down.clear();
      break;
    default:
      speaker.announced = [];
  }
}

function heal({ speaker }: SimHost): void {
  speaker.daemon = 'up';
  speaker.down.clear();
}

test(`hosts on a BGP fabric announce their ranges and nothing else, whatever happened to their daemons (seed ${seed})`, async (t) => {
  const world = new World(seed);
  try {
    const people = new Orchestrator(world);
    const chaos = new Chaos(world, people, 12);
    void people.createNetwork('four', '10.0.0.0/8', { host: 8, tenant: 8, segment: 4, endpoint: 4 });
    void people.createNetwork('six', 'fd10::/16', { host: 16, tenant: 16, segment: 16, endpoint: 64 });
    await world.sim.run(1_000);
    void people.applyTopology(topology);
    await world.sim.run(1_000);
    for (let n = 0; n < 8; n++) void people.addHost();
    for (let n = 0; n < 3; n++) chaos.createTenant();
    await world.sim.run(1_000);
    for (let n = 0; n < 6; n++) chaos.createSegment();
    await world.sim.run(1_000);
    const random = world.random.fork('flaps');
    for (let n = 0; n < 200; n++) {
      chaos.event();
      if (random.chance(0.2)) flap(random, random.pick([...world.hosts.values()])!);
      await world.sim.run(random.below(400));
    }
    chaos.calm();
    for (const host of world.hosts.values()) heal(host);
    await rest(world, people);
    await check(world, people);
    for (const { name, speaker, kernel } of world.hosts.values()) {
      const held = world.server.store.read((tx) => tx.get('host', name))?.reservations ?? [];
      const announced = speaker.announced.map(formatCidr).sort();
      assert.deepEqual(announced, held.map(({ cidr }) => cidr).sort(), name);
      const ways = kernel.routes().filter(({ hops }) => hops.length === leaves.length);
      assert.equal(ways.length, 2, `${name} reaches both networks over both leaves`);
    }
    assert.ok(people.counts.created > 0);
    t.diagnostic(`seed ${seed}: ${world.sim.steps} steps, ${JSON.stringify(people.counts)}`);
  } finally {
    world.dispose();
  }
});
