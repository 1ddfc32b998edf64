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

  test("a host's address changes: the routes of others follow, its own routes take it as source, and nothing is lost", async () => {
    const { addresses } = await lab.client.hostShow({ params: { name: 'h2' } });
    const [old4 = '', old6 = ''] = addresses;
    const [new4, new6] = [old4.replace(/\d+$/, '77'), old6.replace(/[^:]+$/, '77')];
    const packets = await steady([
      ['a', b],
      ['b', a],
    ]);
    // Else the kernel takes the second address of a subnet away with the first.
    await lab.exec('h2', ['sysctl', '-q', '-w', 'net.ipv4.conf.eth0.promote_secondaries=1']);
    await lab.exec('h2', ['ip', 'address', 'add', `${new4}/24`, 'dev', 'eth0']);
    await lab.exec('h2', ['ip', 'address', 'add', `${new6}/64`, 'dev', 'eth0', 'nodad']);
    await lab.client.hostUpdate({ params: { name: 'h2' }, body: { addresses: [new4, new6] } });
    const routes = async (host: string): Promise<string> =>
      (await lab.exec(host, ['ip', 'route'])).stdout + (await lab.exec(host, ['ip', '-6', 'route'])).stdout;
    await eventually('the others follow', async () => {
      for (const host of ['h1', 'h3', 'h4']) {
        const text = await routes(host);
        for (const address of [new4, new6]) assert.ok(text.includes(`via ${address} `), `${host}: ${text}`);
      }
    });
    await eventually('its own follow', async () => {
      const text = await routes('h2');
      for (const { address } of b.addresses)
        assert.match(text, new RegExp(`^${address} dev rom.* src (${new4}|${new6}) `, 'm'));
    });
    await eventually('nobody complains', async () => {
      const { hosts } = await lab.client.status();
      assert.deepEqual(
        hosts.flatMap(({ problems }) => problems),
        [],
      );
    });
    // The connections of its agent go with the old address: it is silent for half a minute.
    await lab.exec('h2', ['ip', 'address', 'del', `${old4}/24`, 'dev', 'eth0']);
    await lab.exec('h2', ['ip', 'address', 'del', `${old6}/64`, 'dev', 'eth0']);
    await reaches(lab, 'a', b);
    await packets.stopWhole(50);
  });
}
