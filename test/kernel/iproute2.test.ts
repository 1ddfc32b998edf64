/** The iproute2 drivers against the real kernel: the contract, what only it can show, and how many processes it takes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { driverContract } from '#agent/drivers/iproute2/contract-test.ts';
import {
  desiredLinks,
  linkRoute,
  refusals,
  type SeenLink,
  seenText,
  vethLink,
  viaRoute,
  type World,
} from '#agent/drivers/iproute2/contract-world.ts';
import { dumpInside, dumpLinks, dumpRoutes } from '#agent/drivers/iproute2/dump.ts';
import { createKernelEvents } from '#agent/drivers/iproute2/events.ts';
import { createKernelFacts } from '#agent/drivers/iproute2/facts.ts';
import { createLinkDriver } from '#agent/drivers/iproute2/links.ts';
import { createRouteDriver } from '#agent/drivers/iproute2/routes.ts';
import { createRunner, type LineSpawner, type Runner, spawnLines } from '#agent/exec.ts';
import { kernelFiles } from '#agent/files.ts';
import { formatAddress } from '#core/address/index.ts';
import type { Timers } from '#core/ports.ts';
import {
  here,
  inPrivateNamespaces,
  makeNetns,
  reaches,
  removeNetns,
  setSysctl,
} from '../support/namespace.ts';

const run = createRunner();
/** Endpoints of the test that counts processes; below 256. Namespaces are slow to make and to delete. */
const COUNT = 60;

/** The namespace of the test, emptied again by `close`. */
async function makeWorld(): Promise<World> {
  const names = new Set<string>();
  const add = async (name: string): Promise<string> => {
    const ns = await makeNetns(name);
    names.add(name);
    assert.ok(ns.path !== null);
    return ns.path;
  };
  await makeNetns('upstream');
  const upstream = '/run/netns/upstream';
  await run(['ip', 'link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'd0', 'netns', upstream]);
  await setSysctl(here, 'net/ipv6/conf/up0/addr_gen_mode', 1);
  await run(['ip', 'link', 'set', 'up0', 'up']);
  await run(['nsenter', `--net=${upstream}`, 'ip', 'link', 'set', 'd0', 'up']);
  await run(['ip', 'address', 'add', '192.168.0.1/24', 'dev', 'up0']);
  await run(['ip', 'address', 'add', 'fd99::1/64', 'dev', 'up0', 'nodad']);
  await setSysctl(here, 'net/ipv4/ip_forward', 0);
  await setSysctl(here, 'net/ipv6/conf/all/forwarding', 0);
  const shown = (addresses: SeenLink['addresses']): string[] =>
    addresses.filter((text) => !text.startsWith('fe80:') || text === 'fe80::1/64').sort();
  const text = ({
    address,
    length,
  }: {
    address: Parameters<typeof formatAddress>[0];
    length: number;
  }): string => `${formatAddress(address)}/${length}`;
  return {
    links: () => createLinkDriver(run, kernelFiles),
    routes: () => createRouteDriver(run),
    facts: createKernelFacts(run, kernelFiles),
    addNetns: add,
    removeNetns: async (name) => void (await run(['ip', 'netns', 'delete', name])),
    async addPair(link, netns, ifname) {
      await run([
        'ip',
        'link',
        'add',
        link,
        'type',
        'veth',
        'peer',
        'name',
        ifname,
        'netns',
        `/run/netns/${netns}`,
      ]);
    },
    setAlias: async (link, alias) => void (await run(['ip', 'link', 'set', 'dev', link, 'alias', alias])),
    async addAddress(link, address) {
      await run(['ip', 'address', 'add', address, 'dev', link, ...(address.includes(':') ? ['nodad'] : [])]);
    },
    deleteAddress: async (link, address) => void (await run(['ip', 'address', 'del', address, 'dev', link])),
    setUp: async (link, up) => void (await run(['ip', 'link', 'set', 'dev', link, up ? 'up' : 'down'])),
    deleteLink: async (link) => void (await run(['ip', 'link', 'del', 'dev', link])),
    async addForeignRoute(cidr, link) {
      const metric = cidr.includes(':') ? ['metric', '1024'] : [];
      await run(['ip', 'route', 'add', cidr, 'dev', link, 'proto', 'static', ...metric]);
    },
    async addUplink() {
      await run(['ip', 'link', 'add', 'up1', 'type', 'veth', 'peer', 'name', 'd1', 'netns', upstream]);
      await run(['nsenter', `--net=${upstream}`, 'ip', 'link', 'set', 'd1', 'up']);
      await run(['ip', 'link', 'set', 'up1', 'up']);
      await run(['ip', 'address', 'add', '192.168.1.1/24', 'dev', 'up1']);
      await run(['ip', 'address', 'add', 'fd98::1/64', 'dev', 'up1', 'nodad']);
    },
    deleteRoute: async (cidr) => void (await run(['ip', 'route', 'del', cidr])),
    async seen() {
      return (await dumpLinks(run)).map(({ name, up, mtu, alias, addresses }) => ({
        name,
        up,
        mtu,
        alias,
        addresses: shown(addresses.map(text)),
      }));
    },
    async seenRoutes(ours) {
      return (await dumpRoutes(run, ['table', 'all']))
        .filter(({ protocol }) => (ours ? protocol === '82' : protocol !== '82' && protocol !== 'kernel'))
        .map(seenText)
        .sort();
    },
    async seenInside(netns, ifname) {
      const { links } = await dumpInside(run, `/run/netns/${netns}`);
      const link = links.find(({ name }) => name === ifname);
      return shown((link?.addresses ?? []).map(text));
    },
    async close() {
      for (const { name } of await dumpLinks(run)) {
        if (name !== 'lo') await run(['ip', 'link', 'del', 'dev', name], { okCodes: 'any' });
      }
      await createLinkDriver(run, kernelFiles).apply({ ...desiredLinks(), families: [] });
      await createRouteDriver(run).apply([]);
      for (const name of [...names, 'upstream'])
        await run(['ip', 'netns', 'delete', name], { okCodes: 'any' });
    },
  };
}

function counting(): { runner: Runner; calls: string[] } {
  const calls: string[] = [];
  return {
    calls,
    runner: (argv, options) => {
      calls.push(argv.join(' '));
      return run(argv, options);
    },
  };
}

/** Lets so many lines of batches through, then the program is gone. */
function dyingAfter(lines: number): Runner {
  let left = lines;
  return async (argv, options = {}) => {
    if (!argv.includes('-batch')) return run(argv, options);
    const batch = (options.stdin ?? '').split('\n').slice(0, -1);
    const part = batch.slice(0, left);
    left -= part.length;
    if (part.length < batch.length) {
      await run(argv, { ...options, stdin: `${part.join('\n')}\n` });
      throw new Error('killed');
    }
    return run(argv, options);
  };
}

async function inWorld(body: (world: World) => Promise<void>): Promise<void> {
  const world = await makeWorld();
  try {
    await body(world);
  } finally {
    await world.close();
  }
}

const timers: Timers = {
  after(ms, fn) {
    const timer = setTimeout(fn, ms);
    return () => clearTimeout(timer);
  },
};

if (inPrivateNamespaces(import.meta.url)) {
  driverContract('kernel', makeWorld);

  test('two endpoints reach each other and their gateways through the host, in both families', () =>
    inWorld(async (world) => {
      const a = vethLink('a', await world.addNetns('a'), '10.1.1.27', 'fd10:1:1:1::b');
      const b = vethLink('b', await world.addNetns('b'), '10.1.1.28', 'fd10:1:1:1::c');
      await world.links().apply(desiredLinks(a, b));
      await world
        .routes()
        .apply([
          linkRoute('10.1.1.27/32', a.link, '192.168.0.1'),
          linkRoute('fd10:1:1:1::b/128', a.link, 'fd99::1'),
          linkRoute('10.1.1.28/32', b.link, '192.168.0.1'),
          linkRoute('fd10:1:1:1::c/128', b.link, 'fd99::1'),
        ]);
      const from = {
        name: 'a',
        path: '/run/netns/a',
        run: (argv: readonly string[], options = {}) =>
          run(['nsenter', '--net=/run/netns/a', '--', ...argv], options),
      };
      for (const to of [
        '10.1.1.28',
        'fd10:1:1:1::c',
        '169.254.1.1',
        'fe80::1%eth0',
        '192.168.0.1',
        'fd99::1',
      ]) {
        assert.ok(await reaches(from, to), to);
      }
      assert.ok(await reaches(here, '10.1.1.28'));
      assert.ok(await reaches(here, 'fd10:1:1:1::c'));
    }));

  test('I4 a pair whose namespace was replaced while a process keeps the old one is made anew', () =>
    inWorld(async (world) => {
      const want = vethLink('a', await world.addNetns('a'), '10.1.1.27');
      await world.links().apply(desiredLinks(want));
      // A second name keeps the old namespace, and with it the pair, alive.
      await run(['touch', '/run/netns/kept']);
      await run(['mount', '--bind', '/run/netns/a', '/run/netns/kept']);
      await world.removeNetns('a');
      assert.ok((await world.seen()).some(({ name }) => name === want.link));
      await world.addNetns('a');
      await world.links().apply(desiredLinks(want));
      assert.deepEqual(await world.seenInside('a', 'eth0'), ['10.1.1.27/32']);
      assert.deepEqual(await world.seenInside('kept', 'eth0'), []);
      await removeNetns({ ...here, name: 'kept' });
    }));

  test('a namespace with IPv6 switched off is wired all the same', () =>
    inWorld(async (world) => {
      const path = await world.addNetns('a');
      await run(
        [
          'nsenter',
          `--net=${path}`,
          '--',
          'tee',
          '/proc/sys/net/ipv6/conf/all/disable_ipv6',
          '/proc/sys/net/ipv6/conf/default/disable_ipv6',
        ],
        { stdin: '1\n' },
      );
      const result = await world
        .links()
        .apply(desiredLinks(vethLink('a', path, '10.1.1.27', 'fd10:1:1:1::b')));
      assert.deepEqual([...result.failures], []);
      assert.deepEqual(await world.seenInside('a', 'eth0'), ['10.1.1.27/32', 'fd10:1:1:1::b/128']);
    }));

  test('a path that is no namespace fails its endpoint alone', () =>
    inWorld(async (world) => {
      const good = vethLink('good', await world.addNetns('good'), '10.1.1.27');
      const result = await world
        .links()
        .apply(desiredLinks(vethLink('file', '/etc/passwd', '10.1.1.28'), good));
      assert.deepEqual(refusals(result), ['acme/web/file: attachment_invalid']);
      assert.deepEqual(await world.seenInside('good', 'eth0'), ['10.1.1.27/32']);
    }));

  test('I3 a namespace that vanishes between the look and the batch fails its endpoint alone', () =>
    inWorld(async (world) => {
      const good = vethLink('good', await world.addNetns('good'), '10.1.1.27');
      const late = vethLink('late', '/run/netns/late', '10.1.1.28');
      const last = vethLink('last', await world.addNetns('last'), '10.1.1.29');
      const files = { ...kernelFiles, inode: (path: string) => kernelFiles.inode(path) ?? '1' };
      const result = await createLinkDriver(run, files).apply(desiredLinks(good, late, last));
      assert.deepEqual(refusals(result), ['acme/web/late: attachment_invalid']);
      assert.deepEqual(await world.seenInside('last', 'eth0'), ['10.1.1.29/32']);
    }));

  test('I4 a crash behind any line of any batch is repaired by a new driver', () =>
    inWorld(async (world) => {
      const path = await world.addNetns('a');
      const want = desiredLinks(vethLink('a', path, '10.1.1.27', 'fd10:1:1:1::b'));
      let steps = 0;
      for (let finished = false; !finished; steps++) {
        const crashed = await createLinkDriver(dyingAfter(steps), kernelFiles)
          .apply(want)
          .catch(() => null);
        finished = crashed !== null && crashed.failures.size === 0;
        assert.deepEqual(refusals(await world.links().apply(want)), [], `after ${steps} lines`);
        assert.deepEqual(await world.seenInside('a', 'eth0'), ['10.1.1.27/32', 'fd10:1:1:1::b/128']);
        assert.equal((await world.links().apply(want)).changes.length, 0);
        assert.ok(
          (await world.links().inspect(want)).every(({ ok }) => ok),
          `after ${steps} lines`,
        );
        await world.links().apply(desiredLinks());
      }
      assert.ok(steps > 8, `${steps} lines`);
    }));

  test('I6 many endpoints take few processes, and nothing to do takes one', () =>
    inWorld(async (world) => {
      const want = [];
      for (let i = 0; i < COUNT; i++) {
        want.push(
          vethLink(`e${i}`, await world.addNetns(`e${i}`), `10.1.${i}.1`, `fd10:1:${i.toString(16)}::1`),
        );
      }
      const { runner, calls } = counting();
      const driver = createLinkDriver(runner, kernelFiles);
      const first = await driver.apply(desiredLinks(...want));
      assert.deepEqual([...first.failures], []);
      assert.ok(calls.length <= 4 + COUNT, `${calls.length} processes`);
      calls.length = 0;
      assert.equal((await driver.apply(desiredLinks(...want))).changes.length, 0);
      assert.deepEqual(calls, ['ip -j -d address show']);
      calls.length = 0;
      const routes = createRouteDriver(runner);
      const wanted = want.flatMap(({ addresses, link }) =>
        addresses.map((a) => linkRoute(`${formatAddress(a)}/${a.family === 4 ? 32 : 128}`, link)),
      );
      assert.equal((await routes.apply(wanted)).changes.length, 2 * COUNT);
      assert.equal((await routes.apply(wanted)).changes.length, 0);
      assert.equal(calls.length, 3);
    }));

  test('I2 our route beside a foreign one of the same key changes without touching that', () =>
    inWorld(async (world) => {
      const driver = world.routes();
      const via = (hop: string) => [viaRoute('10.9.0.0/16', `192.168.0.${hop}`)];
      await driver.apply(via('2'));
      await run(['ip', 'route', 'prepend', '10.9.0.0/16', 'via', '192.168.0.77', 'proto', 'static']);
      const before = await world.seenRoutes(false);
      await driver.apply(via('3'));
      assert.deepEqual(await world.seenRoutes(false), before);
      await run(['ip', 'route', 'del', '10.9.0.0/16', 'proto', 'static']);
      await driver.apply(via('3'));
      assert.deepEqual(await world.seenRoutes(true), ['10.9.0.0/16 via 192.168.0.3']);
    }));

  test('routes of ours in other tables and appended twins are removed', () =>
    inWorld(async (world) => {
      await run(['ip', 'route', 'add', '10.8.0.0/16', 'via', '192.168.0.2', 'proto', '82', 'table', '99']);
      await run(['ip', 'route', 'add', '10.7.0.0/16', 'via', '192.168.0.2', 'proto', '82']);
      await run(['ip', 'route', 'append', '10.7.0.0/16', 'via', '192.168.0.3', 'proto', '82']);
      await run([
        'ip',
        'route',
        'add',
        'fd10:7::/32',
        'proto',
        '82',
        'nexthop',
        'via',
        'fd99::2',
        'nexthop',
        'via',
        'fd99::3',
      ]);
      const result = await world.routes().apply([]);
      assert.deepEqual([...result.failures], []);
      assert.deepEqual(await world.seenRoutes(true), []);
    }));

  test('events tell of links and of our table, not of other tables', () =>
    inWorld(async () => {
      const lines: string[] = [];
      const told: string[] = [];
      const spawn: LineSpawner = (argv, { onLine, onEnd }) =>
        spawnLines(argv, {
          onEnd,
          onLine: (line) => {
            lines.push(line);
            onLine(line);
          },
        });
      const cancel = createKernelEvents({ timers, spawn }).start((what) => told.push(what));
      // Until a monitor listens, events pass unseen: repeat the cause until its line comes.
      const provoke = async (line: string, cause: () => Promise<unknown>): Promise<void> => {
        while (!lines.some((text) => text.includes(line))) {
          await cause();
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      };
      const nft = (stdin: string): Promise<unknown> => run(['nft', '-f', '-'], { stdin });
      await provoke('up0', async () => {
        await run(['ip', 'link', 'set', 'up0', 'down']);
        await run(['ip', 'link', 'set', 'up0', 'up']);
      });
      await provoke('add table inet romana', () => nft('add table inet romana\ndelete table inet romana\n'));
      await provoke('add table ip romana', () => nft('add table ip romana\ndelete table ip romana\n'));
      cancel();
      const ours = lines.filter((line) => line.includes('table inet romana')).length;
      assert.equal(told.filter((what) => what === 'rules').length, ours);
      assert.ok(told.includes('network'));
    }));
}
