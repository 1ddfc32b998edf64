/**
 * A host that vanishes from a shared link, where the fabric states that such hosts are withdrawn: the others notice it by themselves,
 * tell the control plane, and answer for its addresses until it is back. No observer knows of the test.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import { ownTopology } from '#lab/fabric.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  let d: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 4 });
    [a, b, d] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'web', 'd', 'h4')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  /** How the kernels of the others answer for both ranges of h4. */
  const ways = async (): Promise<string[]> => {
    const { ids } = await lab.client.hostShow({ params: { name: 'h4' } });
    const found = ['h1', 'h2', 'h3'].flatMap((host) =>
      ids.map(async ({ cidr }) => {
        const family = cidr.includes(':') ? '-6' : '-4';
        const { stdout } = await lab.exec(host, ['ip', family, 'route', 'show', cidr]);
        return stdout.startsWith('unreachable ') ? 'unreachable' : / via /.test(stdout) ? 'via' : stdout;
      }),
    );
    return [...new Set(await Promise.all(found))];
  };

  test('nobody reaches it: its routes are unreachable, no packet of others is lost; it is back, and so are they', async () => {
    const [name = ''] = lab.plan.racks.map((rack) => rack.name);
    const { topologies = [] } = ownTopology(lab.plan);
    const watching = { kind: 'l2', withdrawAfterSeconds: 5, observers: 2 };
    const stated = topologies.map((one) => ({
      ...one,
      map: (one['map'] as Record<string, unknown>[]).map((group) =>
        group['name'] === name ? { ...group, fabric: watching } : group,
      ),
    }));
    await lab.client.topologyApply({ body: { topologies: stated } });
    await settled(lab);
    await reaches(lab, 'a', d);
    assert.deepEqual(await ways(), ['via']);
    const packets = await steady([
      ['a', b],
      ['b', a],
    ]);

    // The agent alone is no reason: the host forwards.
    await lab.killAgent('h4');
    await reaches(lab, 'a', d);
    await lab.exec('leaf1', ['ip', 'link', 'set', 'h4', 'down']);
    for (const host of ['h1', 'h2', 'h3']) await lab.exec(host, ['ip', 'neigh', 'flush', 'all']);
    await eventually('withdrawn', async () => assert.deepEqual(await ways(), ['unreachable']), 90_000);
    assert.equal((await lab.client.hostShow({ params: { name: 'h4' } })).lost, true);

    await lab.exec('leaf1', ['ip', 'link', 'set', 'h4', 'up']);
    lab.startAgent('h4');
    await lab.agentReady('h4');
    await eventually('back', async () => assert.deepEqual(await ways(), ['via']), 60_000);
    await eventually('answers', () => reaches(lab, 'a', d));
    await packets.stopWhole(100);
  });
}
