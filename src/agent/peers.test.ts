/** The look at the other hosts of a link. Numbers are those of peers.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Address, formatAddress, parseAddress } from '#core/address/index.ts';
import { Simulator } from '../../test/simulation/simulator.ts';
import { createFakeKernelFacts } from './drivers/iproute2/fake-drivers.ts';
import { type Peer, PeerWatch } from './peers.ts';
import { machine, silent } from './testing.ts';

const peer = (n: number): Peer => ({
  name: `h${n}`,
  addresses: [`192.168.0.${n}`, `fd99::${n.toString(16)}`].map(parseAddress),
});

function setup() {
  const sim = new Simulator();
  const { kernel } = machine();
  const sent: string[][] = [];
  const told = { news: 0 };
  let failing = false;
  const watch = new PeerWatch({
    facts: createFakeKernelFacts(kernel),
    probe: {
      send: (addresses: readonly Address[]) => {
        sent.push(addresses.map(formatAddress));
        return failing ? Promise.reject(new Error('EPERM')) : Promise.resolve();
      },
    },
    timers: sim,
    log: silent,
    everyMs: 10_000,
    onChange: () => void told.news++,
  });
  return { sim, kernel, sent, told, watch, fail: (now: boolean) => void (failing = now) };
}

for (const [family, gone, left] of [
  [4, '192.168.0.2', 'fd99::2'],
  [6, 'fd99::2', '192.168.0.2'],
] as const) {
  test(`2 a host is unreachable when no address of it answers, not when its IPv${family} one does not`, async () => {
    const { sim, kernel, watch, told } = setup();
    watch.want([peer(2), peer(3)]);
    kernel.setNeighbour(gone, 'failed');
    await sim.run(25_000);
    assert.deepEqual(watch.unreachable, []);
    kernel.setNeighbour(left, 'failed');
    await sim.run(10_000);
    assert.deepEqual([watch.unreachable, told.news], [['h2'], 1]);
    kernel.setNeighbour(left, 'unknown');
    await sim.run(10_000);
    assert.deepEqual(watch.unreachable, ['h2'], 'while it is being asked for');
    kernel.setNeighbour(gone, 'reachable');
    await sim.run(10_000);
    assert.deepEqual([watch.unreachable, told.news], [[], 2]);
    watch.stop();
  });
}

test('2 what the kernel says of addresses that were not asked for is not news', async () => {
  const { sim, kernel, watch } = setup();
  for (const address of ['192.168.0.2', 'fd99::2']) kernel.setNeighbour(address, 'failed');
  watch.want([peer(2)]);
  await sim.run(5_000);
  assert.deepEqual(watch.unreachable, []);
  watch.stop();
});

test('3 while no link is up nobody becomes unreachable; addresses on no link are not asked for', async () => {
  const { sim, kernel, watch, sent } = setup();
  for (const address of ['192.168.0.2', 'fd99::2']) kernel.setNeighbour(address, 'failed');
  watch.want([peer(2), { name: 'h9', addresses: [parseAddress('203.0.113.9')] }]);
  kernel.setCarrier('up0', false);
  await sim.run(60_000);
  assert.deepEqual([watch.unreachable, sent.slice(1)], [[], []]);
  kernel.setCarrier('up0', true);
  await sim.run(20_000);
  assert.deepEqual([watch.unreachable, sent.at(-1)], [['h2'], ['192.168.0.2', 'fd99::2']]);
  watch.stop();
});

test('1 of a large link so many at once, and in the end all of them', async () => {
  const { sim, watch, sent } = setup();
  watch.want(
    Array.from({ length: 250 }, (_, n) => ({
      name: `h${n + 2}`,
      addresses: [parseAddress(`192.168.0.${n + 2}`)],
    })),
  );
  await sim.run(1_000);
  assert.equal(sent[0]?.length, 128);
  await sim.run(10_000);
  assert.equal(new Set(sent.flat()).size, 250);
  watch.stop();
});

test('who is not looked after any more is forgotten; with nobody left the looks end', async () => {
  const { sim, kernel, watch, sent } = setup();
  for (const address of ['192.168.0.2', 'fd99::2']) kernel.setNeighbour(address, 'failed');
  watch.want([peer(2), peer(3)]);
  await sim.run(25_000);
  watch.want([peer(3)]);
  assert.deepEqual(watch.unreachable, []);
  watch.want([]);
  assert.equal(watch.unreachable, null);
  await sim.run(30_000);
  const { length } = sent;
  await sim.run(60_000);
  assert.equal(sent.length, length);
  watch.want([peer(2)]);
  await sim.run(25_000);
  assert.deepEqual(watch.unreachable, ['h2']);
  watch.stop();
  await sim.run(60_000);
  watch.want([peer(2), peer(3)]);
  const after = sent.length;
  await sim.run(60_000);
  assert.equal(sent.length, after);
});

test('a probe that fails stops nothing', async () => {
  const { sim, kernel, watch, fail } = setup();
  fail(true);
  watch.want([peer(2)]);
  await sim.run(15_000);
  fail(false);
  for (const address of ['192.168.0.2', 'fd99::2']) kernel.setNeighbour(address, 'failed');
  await sim.run(25_000);
  assert.deepEqual(watch.unreachable, ['h2']);
  watch.stop();
});
