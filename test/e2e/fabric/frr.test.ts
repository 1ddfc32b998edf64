/**
 * FRR on hosts and switches: what it shares with other speakers holds, and a neighbour that falls silent is not kept as one that
 * restarts.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';
import { established, killSilently, outages, revive, romanaRoutes } from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  let c: Endpoint;
  before(async () => {
    lab = await startLab({
      hosts: 3,
      racks: 2,
      fabric: { kind: 'bgp', daemon: 'frr', tor: 'frr', dualHomed: true },
    });
    [a, b, c] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'web', 'c', 'h3')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });
  const pairs = (): [string, Endpoint][] => [
    ['a', b],
    ['a', c],
    ['c', a],
    ['c', b],
  ];
  const learned = async (): Promise<string[]> =>
    (await romanaRoutes(lab, 'h1')).filter((line) => line.includes(' proto bgp '));
  const overBoth = (line: string): boolean => / dev up1\b.* dev up2\b/.test(line);
  /** How often each session has come up so far. */
  const sessions = async (): Promise<string[]> => {
    const { control } = lab.daemons.place('h1', 'frr');
    const vtysh = ['vtysh', '--vty_socket', control, '-c', 'show bgp neighbors json'];
    const { stdout } = await lab.exec('h1', vtysh);
    const neighbours = JSON.parse(stdout) as Record<
      string,
      { bgpState: string; connectionsEstablished: number }
    >;
    return Object.entries(neighbours)
      .map(([name, { bgpState, connectionsEstablished }]) => `${name} ${bgpState} ${connectionsEstablished}`)
      .sort();
  };

  test('the agent dies and the speaker reads a new configuration: not one packet is lost, no session is new', async () => {
    const before = await sessions();
    assert.equal(before.length, 4);
    const packets = await steady(pairs());
    await lab.killAgent('h1');
    await reaches(lab, 'a', c);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await lab.client.hostAddId({ params: { name: 'h1' }, body: { allocator: 'server' } });
    await lab.exportRoutes();
    await eventually('on both leaves', async () => {
      const { reservations = [] } = await lab.client.hostShow({ params: { name: 'h1' } });
      assert.deepEqual(
        reservations.flatMap(({ pending }) => pending?.waitingFor ?? []),
        [],
      );
      for (const leaf of ['leaf1a', 'leaf1b']) {
        const routes = await romanaRoutes(lab, leaf);
        for (const { cidr } of reservations)
          assert.ok(
            routes.some((line) => line.startsWith(`${cidr} via`)),
            `${cidr} on ${leaf}`,
          );
      }
    });
    await packets.stopWhole(100);
    assert.deepEqual(await sessions(), before);
  });

  test('a leaf dies without a word: missed for little more than the hold time, and back without a lost packet', async () => {
    const way = await outages(pairs());
    await killSilently(lab, 'leaf1a');
    await eventually(
      'without the dead leaf',
      async () => {
        const lines = await learned();
        assert.equal(lines.length, 2);
        assert.ok(
          lines.every((line) => !line.includes(' dev up1')),
          lines.join('\n'),
        );
      },
      30_000,
    );
    // the spine and the other hosts miss the leaf by clocks of their own
    await sleep(5_000);
    const { longestMs, lost, sent } = await way.stop();
    console.log(`# a leaf died: at most ${longestMs} ms without an answer, ${lost} of ${sent} packets lost`);
    assert.ok(longestMs < 15_000, `${longestMs} ms`);
    const packets = await steady(pairs());
    await revive(lab, 'leaf1a');
    for (const host of ['h1', 'h2']) await established(lab, host, 2);
    // the leaf tells of the networks once it has them from the spine again
    await eventually('over both again', async () => assert.ok((await learned()).every(overBoth)), 40_000);
    await sleep(1_000);
    await packets.stopWhole(200);
  });

  test('bgpd killed with -9 comes back: the routes of the agent stand in, not one packet is lost', async () => {
    const standIns = (await romanaRoutes(lab, 'h1')).filter((line) => line.includes(' metric 4278190162 '));
    assert.equal(standIns.length, 2);
    assert.ok(standIns.every(overBoth), standIns.join('\n'));
    for (let turn = 0; turn < 3; turn++) {
      const packets = await steady(pairs());
      await lab.daemons
        .of('h1')
        .find(({ wish }) => wish.name === 'bgpd')
        ?.kill();
      await sleep(2_000);
      await established(lab, 'h1', 2);
      // longer than FRR puts its first routes off
      await sleep(8_000);
      await packets.stopWhole(100);
    }
    assert.ok((await learned()).every(overBoth));
  });

  test('the daemons of a host killed with -9 come back with the same routes', async () => {
    const before = await romanaRoutes(lab, 'h1');
    await Promise.all(lab.daemons.of('h1').map((daemon) => daemon.kill()));
    await reaches(lab, 'c', a);
    await sleep(3_000);
    await established(lab, 'h1', 2);
    await eventually(
      'the same routes',
      async () => assert.deepEqual(await romanaRoutes(lab, 'h1'), before),
      40_000,
    );
    await reaches(lab, 'a', c);
  });
}
