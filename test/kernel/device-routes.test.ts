/** What is exported for a switch that is a Linux box, given to the kernel: it has those routes then, and no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createRunner } from '#agent/exec.ts';
import { formatCidr, parseCidr } from '#core/address/index.ts';
import { exportDevice } from '#core/routing/export/index.ts';
import { cases, showRoute } from '#core/routing/export/samples.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';

interface KernelRoute {
  readonly type?: string;
  readonly dst: string;
  readonly gateway?: string;
  readonly nexthops?: readonly { readonly gateway: string }[];
}

if (inPrivateNamespaces(import.meta.url)) {
  const run = createRunner();
  const ip = async (args: readonly string[], stdin = ''): Promise<string> =>
    (await run(['ip', ...args], { stdin })).stdout;
  const links = ['192.168.0.0/16', '172.16.0.0/12', 'fd00::/16', 'fd01::/16'];
  const routesIn = async (): Promise<string[]> => {
    const both = await Promise.all(['-4', '-6'].map((family) => ip([family, '-j', 'route', 'show'])));
    return both
      .flatMap((text) => JSON.parse(text === '' ? '[]' : text) as KernelRoute[])
      .filter(({ dst }) => !links.includes(dst) && !dst.startsWith('fe80:'))
      .map(({ type = 'unicast', dst, gateway, nexthops = [] }) => {
        const cidr = dst.includes('/') ? formatCidr(parseCidr(dst)) : dst;
        if (type !== 'unicast') return `${cidr} ${type === 'blackhole' ? 'drop' : type}`;
        const hops = gateway === undefined ? nexthops.map((hop) => hop.gateway) : [gateway];
        return `${cidr} via ${hops.toSorted().join(' ')}`;
      })
      .toSorted();
  };

  for (const [name, routing] of cases) {
    test(`${routing.device.name}, ${name}: once or twice, the kernel has what was planned`, async () => {
      await ip(['link', 'add', 'down0', 'type', 'veth', 'peer', 'name', 'down1']);
      for (const link of ['down0', 'down1']) await ip(['link', 'set', link, 'up']);
      for (const cidr of links) await ip(['route', 'add', cidr, 'dev', 'down0']);
      const text = exportDevice(routing, 'iproute2', { revision: 7 });
      const want = routing.routes.map(showRoute).toSorted();
      for (let times = 0; times < 2; times++) {
        await ip(['-batch', '-'], text);
        assert.deepEqual(await routesIn(), want);
      }
      await ip(['link', 'delete', 'down0']);
      for (const family of ['-4', '-6']) await ip([family, 'route', 'flush', 'type', 'blackhole']);
      assert.deepEqual(await routesIn(), []);
    });
  }
}
