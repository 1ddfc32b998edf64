/** Hosts that share a link and state that a host which nobody reaches is routed to no more: never on the word of one. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '#contract/model.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { ownTopology } from '#lab/fabric.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';
import { romanaRoutes } from './support.ts';

const withdrawAfterSeconds = 12;

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  let c: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 3, racks: 1 });
    [a, b, c] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'web', 'c', 'h3')),
    ]);
    const fabric = `"fabric":{"kind":"l2","withdrawAfterSeconds":${withdrawAfterSeconds},"observers":2}`;
    const stated = JSON.stringify(ownTopology(lab.plan)).replace('"fabric":{"kind":"l2"}', fabric);
    await lab.client.topologyApply({ body: JSON.parse(stated) as TopologyInput });
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });
  const toH3 = async (host: string): Promise<string[]> =>
    (await romanaRoutes(lab, host)).filter((line) => /^(unreachable )?(10\.3\.|fd10:3::)/.test(line));
  const isLost = async (): Promise<boolean> =>
    (await lab.client.hostShow({ params: { name: 'h3' } })).lost === true;

  test('an agent that is silent is not a host that is gone: its neighbours reach it, and its routes stay', async () => {
    const before = await toH3('h1');
    assert.equal(before.length, 2);
    assert.ok(before.every((line) => line.includes(' via ')));
    const packets = await steady([['a', c]]);
    await lab.killAgent('h3');
    await sleep((withdrawAfterSeconds + 8) * 1000);
    assert.equal(await isLost(), false);
    assert.deepEqual(await toH3('h1'), before);
    await packets.stopWhole(500);
  });

  test('a host that is gone from the link too: its neighbours agree, and answer for it that it is unreachable', async () => {
    const packets = await steady([
      ['a', b],
      ['b', a],
    ]);
    await lab.exec('leaf1', ['ip', 'link', 'set', 'h3', 'down']);
    await eventually('withdrawn', async () => assert.ok(await isLost()), 60_000);
    for (const host of ['h1', 'h2']) {
      await eventually(`told by ${host}`, async () => {
        const routes = await toH3(host);
        assert.equal(routes.length, 2);
        assert.ok(
          routes.every((line) => line.startsWith('unreachable ')),
          routes.join('\n'),
        );
      });
    }
    const address = c.addresses.find(({ address }) => !address.includes(':'))?.address ?? '';
    const { stdout } = await lab.exec('a', ['ping', '-n', '-c', '1', '-W', '5', address], { okCodes: 'any' });
    assert.match(stdout, /Unreachable/);
    await packets.stopWhole(500);
  });

  test('it comes back: with its first report it is routed to again', async () => {
    await lab.exec('leaf1', ['ip', 'link', 'set', 'h3', 'up']);
    lab.startAgent('h3');
    await lab.agentReady('h3');
    await eventually('back', async () => assert.equal(await isLost(), false));
    await eventually('routed to', async () => {
      for (const host of ['h1', 'h2']) assert.ok((await toH3(host)).every((line) => line.includes(' via ')));
    });
    await eventually('reached', () => reaches(lab, 'a', c));
  });
}
