/**
 * Speakers that announce and write no routes: the agent owns the next hops to both leaves and follows the sessions. ExaBGP on the hosts,
 * BIRD on the leaves.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import {
  drift,
  endBackground,
  eventually,
  place,
  reaches,
  settled,
  startLab,
  steady,
} from '../faults/support.ts';
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
      fabric: { kind: 'bgp', daemon: 'exabgp', tor: 'bird', dualHomed: true },
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
  ];
  const learned = async (): Promise<string[]> =>
    (await romanaRoutes(lab, 'h1')).filter((line) => /^(10\.0\.0\.0\/8|fd10::\/16) /.test(line));
  const overBoth = (line: string): boolean => / dev up1\b.* dev up2\b/.test(line);

  test('the agent has installed the networks over both leaves; deleted behind its back they are back', async () => {
    const before = await eventually('over both', async () => {
      const lines = await learned();
      assert.equal(lines.length, 2);
      assert.ok(lines.every(overBoth), lines.join('\n'));
      return lines;
    });
    assert.ok(before.every((line) => line.includes(' proto 82 ')));
    await lab.exec('h1', ['ip', 'route', 'delete', '10.0.0.0/8']);
    await lab.exec('h1', ['ip', '-6', 'route', 'flush', 'fd10::/16', 'proto', '82']);
    await eventually('restored', async () => {
      assert.deepEqual(await learned(), before);
      assert.deepEqual(await drift(lab, 'h1'), []);
    });
  });

  test('agent and speaker stop, die and come back: not one packet is lost, and the next hops stay', async () => {
    const before = await romanaRoutes(lab, 'h1');
    const packets = await steady(pairs());
    await lab.restartAgent('h1');
    for (const daemon of lab.daemons.of('h1')) await daemon.kill();
    await lab.killAgent('h1');
    await reaches(lab, 'a', c);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await sleep(3_000);
    await established(lab, 'h1', 2);
    await packets.stopWhole(300);
    assert.deepEqual(await romanaRoutes(lab, 'h1'), before);
  });

  test('a leaf dies without a word: its next hop goes when the session does, and comes back with it', async () => {
    const way = await outages(pairs());
    await killSilently(lab, 'leaf1a');
    await eventually(
      'without the dead leaf',
      async () => {
        const lines = await learned();
        assert.equal(lines.length, 2);
        assert.ok(
          lines.every((line) => line.includes(' dev up2') && !line.includes(' dev up1')),
          lines.join('\n'),
        );
      },
      20_000,
    );
    // the spine and the other hosts miss the leaf by clocks of their own
    await sleep(6_000);
    const { longestMs, lost, sent } = await way.stop();
    console.log(`# a leaf died: at most ${longestMs} ms without an answer, ${lost} of ${sent} packets lost`);
    // hold time 9 s, the agent looks every 3 s; the rest is for a machine that has other work
    assert.ok(longestMs < 18_000, `${longestMs} ms`);
    const packets = await steady(pairs());
    await revive(lab, 'leaf1a');
    await eventually('over both again', async () => assert.ok((await learned()).every(overBoth)), 40_000);
    await sleep(1_000);
    await packets.stopWhole(200);
  });

  test('with no session left the last next hops stay, and all is well when the leaves are back', async () => {
    for (const leaf of ['leaf1a', 'leaf1b']) await killSilently(lab, leaf);
    await sleep(13_000);
    assert.equal((await learned()).length, 2);
    for (const leaf of ['leaf1a', 'leaf1b']) await revive(lab, leaf);
    await established(lab, 'h1', 2);
    await eventually('reached again', () => reaches(lab, 'a', c));
    await eventually('over both again', async () => assert.ok((await learned()).every(overBoth)), 40_000);
  });
}
