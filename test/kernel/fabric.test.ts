/** A host with two links on a real kernel: its routes while links come and go, and whom it finds on them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { desiredRoutes } from '#agent/desired-routes.ts';
import { seenText } from '#agent/drivers/iproute2/contract-world.ts';
import { dumpRoutes } from '#agent/drivers/iproute2/dump.ts';
import { createKernelFacts } from '#agent/drivers/iproute2/facts.ts';
import { createRouteDriver } from '#agent/drivers/iproute2/routes.ts';
import { peerProbe } from '#agent/drivers/peer-probe.ts';
import { createRunner } from '#agent/exec.ts';
import { kernelFiles } from '#agent/files.ts';
import { formatAddress, parseAddress, parseCidr } from '#core/address/index.ts';
import type { HostRouting, PlannedRoute } from '#core/routing/index.ts';
import { inPrivateNamespaces, makeNetns, removeNetns } from '../support/namespace.ts';

const run = createRunner();
const facts = createKernelFacts(run, kernelFiles);
const routes = createRouteDriver(run);

const over = (cidr: string, ...hops: string[]): PlannedRoute => ({
  cidr: parseCidr(cidr),
  nextHops: hops.map((address) => ({ address: parseAddress(address), to: 'leaf', link: null })),
  why: { kind: 'host', host: 'h2' },
});
const routing: HostRouting = {
  name: 'h1',
  kinds: ['l2'],
  routes: [
    over('10.2.0.0/16', '192.168.0.2', '192.168.1.2'),
    over('fd10:2::/32', 'fd99::2', 'fd98::2'),
    { cidr: parseCidr('10.3.0.0/16'), nextHops: [], why: { kind: 'withdrawn', host: 'h3' } },
    { cidr: parseCidr('fd10:3::/32'), nextHops: [], why: { kind: 'withdrawn', host: 'h3' } },
    { cidr: parseCidr('10.1.0.0/16'), nextHops: [], why: { kind: 'own' } },
    { cidr: parseCidr('fd10:1::/32'), nextHops: [], why: { kind: 'own' } },
  ],
  learned: [],
  gateways: [],
  bgp: null,
  problems: [],
};

/** A pass as far as routes go; answers the routes towards h2 that stand then. */
async function pass(): Promise<string[]> {
  const desired = desiredRoutes({ routing, facts: await facts.read(), following: null, fenced: false });
  const { failures } = await routes.apply(desired);
  assert.deepEqual([...failures], []);
  assert.deepEqual((await routes.apply(desired)).changes, []);
  const dump = await dumpRoutes(run, ['table', 'all', 'proto', '82'], '82');
  return dump
    .map(seenText)
    .filter((text) => text.includes('via'))
    .sort();
}

/** The kernel tells of a carrier with a delay. */
async function become(wanted: readonly string[], what: string): Promise<void> {
  for (let turn = 0; turn < 50; turn++) {
    if ((await pass()).join() === wanted.join()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.deepEqual(await pass(), wanted, what);
}

const both = ['10.2.0.0/16 via 192.168.0.2 via 192.168.1.2', 'fd10:2::/32 via fd98::2 via fd99::2'];
const first = ['10.2.0.0/16 via 192.168.0.2', 'fd10:2::/32 via fd99::2'];

if (inPrivateNamespaces(import.meta.url)) {
  test('a link that goes down, loses its carrier or its address, and comes back: the other one carries all', async () => {
    const other = await makeNetns('other');
    try {
      for (const n of [0, 1]) {
        await run([
          'ip',
          'link',
          'add',
          `up${n}`,
          'type',
          'veth',
          'peer',
          'name',
          `d${n}`,
          'netns',
          other.path!,
        ]);
        await other.run(['ip', 'link', 'set', `d${n}`, 'up']);
        await run(['ip', 'link', 'set', `up${n}`, 'up']);
        await run(['ip', 'address', 'add', `192.168.${n}.1/24`, 'dev', `up${n}`]);
        await run(['ip', 'address', 'add', `fd9${9 - n}::1/64`, 'dev', `up${n}`, 'nodad']);
      }
      assert.deepEqual(await pass(), both);
      const seen = new Set((await dumpRoutes(run, ['table', 'all', 'proto', '82'], '82')).map(seenText));
      for (const text of ['10.3.0.0/16 unreachable', 'fd10:3::/32 unreachable', '10.1.0.0/16 blackhole'])
        assert.ok(seen.has(text), text);

      await run(['ip', 'link', 'set', 'up1', 'down']);
      assert.deepEqual(await pass(), first, 'down');
      await run(['ip', 'link', 'set', 'up1', 'up']);
      await run(['ip', 'address', 'replace', 'fd98::1/64', 'dev', 'up1', 'nodad']);
      await become(both, 'up again');

      await other.run(['ip', 'link', 'set', 'd1', 'down']);
      await become(first, 'without a carrier');
      await other.run(['ip', 'link', 'set', 'd1', 'up']);
      await become(both, 'with a carrier again');

      await run(['ip', 'address', 'del', '192.168.1.1/24', 'dev', 'up1']);
      await run(['ip', 'address', 'del', 'fd98::1/64', 'dev', 'up1']);
      assert.deepEqual(await pass(), first, 'without an address');
      await run(['ip', 'address', 'add', '192.168.1.1/24', 'dev', 'up1']);
      await run(['ip', 'address', 'add', 'fd98::1/64', 'dev', 'up1', 'nodad']);
      assert.deepEqual(await pass(), both, 'with its addresses again');

      await run(['ip', 'route', 'del', '10.2.0.0/16', 'proto', '82']);
      await run([
        'ip',
        '-6',
        'route',
        'del',
        'fd10:2::/32',
        'via',
        'fd98::2',
        'proto',
        '82',
        'metric',
        '1024',
      ]);
      assert.deepEqual(await pass(), both, 'after somebody took routes away');
    } finally {
      await routes.apply([]);
      await removeNetns(other);
    }
  });

  test('the kernel finds out who answers on a link, in both families, and says so', async () => {
    const other = await makeNetns('other');
    try {
      await run(['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'd0', 'netns', other.path!]);
      await other.run(['ip', 'link', 'set', 'd0', 'up']);
      await run(['ip', 'link', 'set', 'up0', 'up']);
      await run(['ip', 'address', 'add', '192.168.0.1/24', 'dev', 'up0']);
      await run(['ip', 'address', 'add', 'fd99::1/64', 'dev', 'up0', 'nodad']);
      await other.run(['ip', 'address', 'add', '192.168.0.2/24', 'dev', 'd0']);
      await other.run(['ip', 'address', 'add', 'fd99::2/64', 'dev', 'd0', 'nodad']);
      const asked = ['192.168.0.2', 'fd99::2', '192.168.0.3', 'fd99::3', '203.0.113.1', '2001:db8::1'];
      await peerProbe.send(asked.map(parseAddress));
      const states = async (): Promise<Record<string, string>> =>
        Object.fromEntries(
          (await facts.neighbours())
            .map(({ address, state }) => [formatAddress(address), state] as const)
            .filter(([address]) => !address.startsWith('fe80:') && !address.startsWith('ff')),
        );
      const wanted = {
        '192.168.0.2': 'reachable',
        'fd99::2': 'reachable',
        '192.168.0.3': 'failed',
        'fd99::3': 'failed',
      };
      for (let turn = 0; turn < 100; turn++) {
        if (isDeepStrictEqual(await states(), wanted)) return;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      assert.deepEqual(await states(), wanted);
    } finally {
      await removeNetns(other);
    }
  });
}
