/** Hosts of one link that fall silent, to the control plane, to each other, or to both; ROMANA_SEED=N runs it again. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '#core/address/index.ts';
import { Chaos } from './chaos.ts';
import { check, rest } from './check.ts';
import { Orchestrator } from './orchestrator.ts';
import { World } from './world.ts';

const given = Number(process.env['ROMANA_SEED']);
const seed = Number.isInteger(given) && given > 0 ? given : Math.floor(Math.random() * 2 ** 31);
const minute = 60_000;

async function link(world: World, hosts: number): Promise<Orchestrator> {
  const people = new Orchestrator(world);
  void people.createNetwork('four', '10.0.0.0/8', { host: 8, tenant: 8, segment: 4, endpoint: 4 });
  void people.createNetwork('six', 'fd10::/16', { host: 16, tenant: 16, segment: 16, endpoint: 64 });
  await world.sim.run(1_000);
  const fabric = { kind: 'l2', withdrawAfterSeconds: 40, observers: 2 };
  void people.applyTopology({ topologies: [{ name: 'default', fabric }] });
  await world.sim.run(1_000);
  for (let n = 0; n < hosts; n++) void people.addHost();
  await world.sim.run(2 * minute);
  return people;
}

function lost(world: World): string[] {
  const hosts = world.server.store.read((tx) => tx.list('host').map(({ value }) => value));
  return hosts.filter(({ lost: marked }) => marked === true).map(({ name }) => name);
}

/** What the kernels of the others do with the ranges of a host. */
function routed(world: World, name: string): string[] {
  const held = world.server.store.read((tx) => tx.get('host', name))?.reservations ?? [];
  const ranges = new Set(held.map(({ cidr }) => cidr));
  const kinds = [...world.hosts.values()]
    .filter((host) => host.name !== name && host.alive)
    .flatMap(({ kernel }) => kernel.routes().filter(({ cidr }) => ranges.has(formatCidr(cidr))))
    .map(({ type }) => type);
  return [...new Set(kinds)].sort();
}

test(`a machine that is gone is unreachable at once for the others, and routed to again when it is back (seed ${seed})`, async () => {
  const world = new World(seed);
  try {
    const people = await link(world, 5);
    const [, gone] = [...world.hosts.values()];
    assert.ok(gone !== undefined);
    assert.deepEqual([lost(world), routed(world, gone.name)], [[], ['unicast']]);
    gone.kill();
    world.mute.add(gone.name);
    await world.sim.run(2 * minute);
    assert.deepEqual([lost(world), routed(world, gone.name)], [[gone.name], ['unreachable']]);
    const { revision } = world.server.store.position();
    await world.sim.run(10 * minute);
    assert.equal(world.server.store.position().revision, revision, 'nothing more happens');
    world.mute.delete(gone.name);
    gone.start();
    await world.sim.run(minute);
    assert.deepEqual([lost(world), routed(world, gone.name)], [[], ['unicast']]);
    await rest(world, people);
    await check(world, people);
  } finally {
    world.dispose();
  }
});

test(`nobody is withdrawn whom others reach, or the control plane hears (seed ${seed})`, async () => {
  const world = new World(seed);
  try {
    await link(world, 6);
    const names = [...world.hosts.keys()];
    const half = names.slice(0, 3);
    for (const name of half) world.network.partition(name);
    await world.sim.run(5 * minute);
    assert.deepEqual(lost(world), [], 'the others reach the half that the control plane lost');
    for (const name of half) world.network.heal(name);
    await world.sim.run(minute);
    // One whose own link is cut reaches nobody and says so: nobody is lost for it.
    world.mute.add(names[0]!);
    await world.sim.run(5 * minute);
    assert.deepEqual(lost(world), [], 'its agent speaks, so it is not lost; nor is anybody on its word');
    world.mute.clear();
    world.server.stop();
    await world.sim.run(5 * minute);
    world.server.start();
    await world.sim.run(5 * minute);
    assert.deepEqual(lost(world), [], 'a server that was away');
  } finally {
    world.dispose();
  }
});

test(`machines die and return while the cluster lives: in the end everybody routes to everybody (seed ${seed})`, async (t) => {
  const world = new World(seed);
  try {
    const people = await link(world, 7);
    const chaos = new Chaos(world, people, 9);
    for (let n = 0; n < 3; n++) chaos.createTenant();
    await world.sim.run(1_000);
    for (let n = 0; n < 6; n++) chaos.createSegment();
    const random = world.random.fork('machines');
    let marked = 0;
    for (let n = 0; n < 60; n++) {
      chaos.event();
      const name = random.pick([...world.hosts.keys()])!;
      if (random.chance(0.3)) world.mute.add(name);
      if (random.chance(0.3)) {
        world.mute.add(name);
        world.hosts.get(name)?.kill();
      }
      if (random.chance(0.2)) world.mute.clear();
      await world.sim.run(random.below(30_000));
      marked += world.server.up ? lost(world).length : 0;
    }
    world.mute.clear();
    chaos.calm();
    await rest(world, people);
    await check(world, people);
    assert.deepEqual(lost(world), []);
    t.diagnostic(`seed ${seed}: ${world.sim.steps} steps, ${marked} times somebody was lost`);
  } finally {
    world.dispose();
  }
});
