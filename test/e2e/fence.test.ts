/**
 * A host that is declared dead while it still runs: the kernels of the others drop what carries its sources and route nothing to it;
 * its agent, back again, lets nothing pass, forgets its endpoints and says so; only then its ids are another host's.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { drop } from './isolation/support/counting.ts';
import {
  eventually,
  expectVerdicts,
  type Placed,
  place,
  settled,
  startLab,
} from './isolation/support/lab.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let dead: Placed;
  let peer: Placed;
  let other: Placed;
  before(async () => {
    lab = await startLab({ hosts: 3, racks: 1 }, [{ name: 'acme', isolation: 'segment', segments: ['web'] }]);
    const wish = { tenant: 'acme', segment: 'web' };
    dead = await place(lab, { ...wish, name: 'dead', host: 'h1' });
    peer = await place(lab, { ...wish, name: 'peer', host: 'h2' });
    other = await place(lab, { ...wish, name: 'other', host: 'h3' });
  });
  after(() => lab.stop());

  const params = (name: string) => ({ params: { name } });
  const routes = async (host: string): Promise<string> => {
    const [four, six] = await Promise.all(
      ['-4', '-6'].map((family) => lab.exec(host, ['ip', family, 'route', 'show', 'proto', '82'])),
    );
    return `${four?.stdout}${six?.stdout}`;
  };
  const endpointLinks = async (host: string): Promise<string[]> => {
    const { stdout } = await lab.exec(host, ['ip', '-j', 'link', 'show']);
    return (JSON.parse(stdout) as { ifname: string }[])
      .map(({ ifname }) => ifname)
      .filter((name) => name.startsWith('rom'));
  };
  const isGone = async (host: string): Promise<true | undefined> => {
    try {
      await lab.client.hostShow(params(host));
      return undefined;
    } catch (error) {
      if (isRomanaError(error) && error.code === 'not_found') return true;
      throw error;
    }
  };
  /** The agent of the dead host never reaches the newest revision. */
  const appliedBy = (hosts: readonly string[]) =>
    eventually('applied', async () => {
      const status = await lab.client.status();
      const behind = status.hosts.filter(({ name, current }) => hosts.includes(name) && !current);
      return behind.length === 0 ? true : undefined;
    });

  test('a fenced host that still runs reaches nobody: no route leads to it, its packets are dropped and counted', async () => {
    await settled(lab);
    await expectVerdicts(lab, 'before', [
      { from: 'dead', to: { ...peer, name: 'peer' }, verdict: 'allow' },
      { from: 'peer', to: { ...dead, name: 'dead' }, verdict: 'allow' },
    ]);
    const prefix = `${dead[4].split('.').slice(0, 2).join('.')}.`;
    assert.ok((await routes('h2')).includes(prefix));
    // Cut off from the control plane; its kernel goes on as it was.
    await lab.killAgent('h1');
    const ended = await lab.client.hostDelete({ ...params('h1'), query: { dead: true } });
    assert.deepEqual(ended, { name: 'h1', state: 'fenced', endpoints: 1 });
    await appliedBy(['h2', 'h3']);
    for (const host of ['h2', 'h3'])
      assert.ok(!(await routes(host)).includes(prefix), `${host} routes nothing there`);
    assert.equal((await endpointLinks('h1')).length, 1, 'nobody told the dead host');
    const before = await drop(lab, 'h2', 'uplink_spoofed');
    await expectVerdicts(lab, 'fenced', [
      { from: 'dead', to: { ...peer, name: 'peer' }, verdict: 'deny' },
      { from: 'peer', to: { ...dead, name: 'dead' }, verdict: 'deny' },
      { from: 'peer', to: { ...other, name: 'other' }, verdict: 'allow' },
    ]);
    assert.ok((await drop(lab, 'h2', 'uplink_spoofed')) > before);
    await assert.rejects(lab.client.hostJoinToken({ ...params('h1'), body: { takeOver: true } }), {
      code: 'host_leaving',
    });
  });

  test('its agent comes back, lets nothing pass, forgets its endpoints; then the host is gone and its id is free', async () => {
    assert.equal(await isGone('h1'), undefined);
    lab.startAgent('h1');
    await eventually('gone', () => isGone('h1'));
    assert.deepEqual(await endpointLinks('h1'), []);
    const { stdout } = await lab.exec('h1', ['nft', '-j', 'list', 'set', 'inet', 'romana', 'endpoints4']);
    assert.ok(!stdout.includes('"elem"'), 'no endpoint link may pass anything');
    await lab.killAgent('h1');
    const { address4, address6, rack } = lab.host('h1');
    const addresses = [address4, address6];
    const made = await lab.client.hostCreate({ body: { name: 'h9', addresses, group: rack.name } });
    assert.equal(made.ids[0]?.cidr.split('.')[1], dead[4].split('.')[1]);
  });

  test('a host whose machine is off is gone when an admin confirms it, a living one when it is drained', async () => {
    await lab.killAgent('h3');
    await lab.client.hostDelete({ ...params('h3'), query: { dead: true } });
    assert.equal((await lab.client.hostShow(params('h3'))).state, 'fenced');
    await lab.client.hostFence({ ...params('h3'), body: { confirmOff: true } });
    assert.equal(await isGone('h3'), true);

    await assert.rejects(lab.client.hostDelete(params('h2')), { code: 'in_use' });
    const drained = await lab.client.hostDelete({ ...params('h2'), query: { drain: true } });
    assert.deepEqual(drained, { name: 'h2', state: 'draining', endpoints: 1 });
    await eventually('told', async () => {
      const refused = await lab
        .agentCall('h2', 'POST', '/v1/endpoints', { tenant: 'acme', segment: 'web', name: 'late' })
        .then(
          () => undefined,
          (error: unknown) => (isRomanaError(error) ? error.code : undefined),
        );
      return refused === 'host_leaving' ? true : undefined;
    });
    await lab.removeEndpoint({ tenant: 'acme', segment: 'web', name: 'peer', host: 'h2' });
    await eventually('drained', () => isGone('h2'));
    assert.deepEqual(await endpointLinks('h2'), []);
  });
}
