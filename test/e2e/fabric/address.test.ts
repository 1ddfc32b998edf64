/** A host on a shared link whose own address changes while it runs. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 3 });
    [a, b] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
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
      for (const host of ['h1', 'h3']) {
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
