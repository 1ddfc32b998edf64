/**
 * A host on a BGP fabric that is declared dead: its daemon goes on announcing while no agent tells it otherwise, and its agent, back
 * again, withdraws everything. The switch learns and forgets by sessions alone.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';
import { established, romanaRoutes } from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  let c: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 3, fabric: { kind: 'bgp', daemon: 'gobgp', tor: 'bird' } });
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

  test('its agent comes back, withdraws what the daemon still announces, and the host is gone; others lose nothing', async () => {
    await established(lab, 'h1', 1);
    await Promise.all([reaches(lab, 'a', b), reaches(lab, 'b', a)]);
    const ranges = (await lab.client.hostShow({ params: { name: 'h1' } })).ids.map(({ cidr }) => cidr);
    const held = async (): Promise<string[]> => {
      const routes = await romanaRoutes(lab, 'leaf1');
      return ranges.filter((cidr) => routes.some((line) => line.startsWith(`${cidr} `)));
    };
    assert.deepEqual(await held(), ranges);
    const packets = await steady([
      ['b', c],
      ['c', b],
    ]);
    await lab.killAgent('h1');
    await lab.client.hostDelete({ params: { name: 'h1' }, query: { dead: true } });
    assert.deepEqual(await held(), ranges, 'its daemon lives by itself');
    lab.startAgent('h1');
    await eventually('withdrawn', async () => assert.deepEqual(await held(), []));
    await eventually('gone', () =>
      lab.client.hostShow({ params: { name: 'h1' } }).then(
        () => assert.fail('still there'),
        (error: unknown) => {
          if (!isRomanaError(error) || error.code !== 'not_found') throw error;
        },
      ),
    );
    const { stdout } = await lab.exec('h1', ['ip', '-j', 'link', 'show']);
    assert.ok(!stdout.includes('"rom'), 'no endpoint is wired any more');
    await packets.stopWhole(100);
  });
}
