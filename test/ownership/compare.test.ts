/** Real agents on fake kernels: what they say of journal and kernel agrees with the records, and what does not is named. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { IpamCheck } from '#contract/ipam.ts';
import { admin } from '#server/testing.ts';
import { type Cluster, cluster, pause } from '../growth/support.ts';

const clusters: Cluster[] = [];
afterEach(async () => {
  for (const c of clusters.splice(0)) await c.dispose();
});

test('agents agree with the records; an endpoint that only its host knows is named until it is removed', async () => {
  const c = await cluster([1, 1]);
  clusters.push(c);
  const check = (): Promise<IpamCheck> =>
    c.services.ipamCheck(admin, { params: {}, query: {}, body: undefined });
  const until = async (wanted: (report: IpamCheck) => boolean): Promise<IpamCheck> => {
    for (;;) {
      const report = await check();
      if (wanted(report)) return report;
      await pause(20);
    }
  };
  const [h1] = c.machines;
  await c.settled();
  h1!.kernel.addNetns('/run/netns/one');
  while (!h1!.agent!.ready) await pause(5);
  await h1!.agent!.createEndpoint({
    tenant: 'a',
    segment: 's',
    name: 'one',
    attachment: { kind: 'veth-netns', netns: '/run/netns/one', ifname: 'eth0' },
    sourcePrefixes: [],
  });
  const good = await until(
    ({ checked, findings, unknown = [] }) =>
      checked.endpoints === 1 && findings.length + unknown.length === 0,
  );
  assert.deepEqual(good.findings, []);

  // The records lose it, and its host cannot bring it back: there is no such segment any more.
  await c.store.transaction('test', (tx) => {
    tx.forgetAddresses('a/s/one');
    tx.delete('endpoint', 'a/s/one');
    tx.delete('segment', 'a/s');
  });
  const bad = await until(({ findings }) => findings.length >= 2);
  assert.deepEqual(bad.findings.map(({ code, objects }) => `${code} ${objects.join(' ')}`).sort(), [
    'held_not_recorded a/s/one h1',
    'wired_not_recorded a/s/one h1',
  ]);
  await h1!.agent!.removeEndpoint('a/s/one');
  await until(({ findings, unknown = [] }) => findings.length + unknown.length === 0);
});
