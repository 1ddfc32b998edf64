/**
 * What the link and route drivers must do, on any kernel: run on the fake (beside the unit tests) and on the real one (in
 * namespaces). The world is what an operator or a foreign program could do and see, so that no driver is trusted about itself.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr, parseAddress } from '#core/address/index.ts';
import type { DesiredRoute } from '../../ports.ts';
import {
  blackhole,
  desiredLinks,
  existingLink,
  linkRoute,
  noChange,
  peerLink,
  refusals,
  type SeenLink,
  unreachable,
  vethLink,
  viaRoute,
  type World,
} from './contract-world.ts';

const V4 = '10.1.1.27';
const V6 = 'fd10:1:1:1::b';

export function driverContract(kernel: string, makeWorld: () => Promise<World>): void {
  const law = (name: string, body: (world: World) => Promise<void>): void => {
    test(`${kernel}: ${name}`, async () => {
      const world = await makeWorld();
      try {
        await body(world);
      } finally {
        await world.close();
      }
    });
  };
  const dualRoutes = (link: string): DesiredRoute[] => [
    linkRoute(`${V4}/32`, link, '192.168.0.1'),
    linkRoute(`${V6}/128`, link, 'fd99::1'),
    blackhole('10.1.0.0/16'),
    blackhole('fd10:1::/32'),
    viaRoute('10.2.0.0/16', '192.168.0.2'),
    viaRoute('fd10:2::/32', 'fd99::2'),
  ];
  const dualRouteTexts = (link: string): string[] =>
    [
      `${V4}/32 dev ${link} src 192.168.0.1`,
      `${V6}/128 dev ${link} src fd99::1`,
      '10.1.0.0/16 blackhole',
      'fd10:1::/32 blackhole',
      '10.2.0.0/16 via 192.168.0.2',
      'fd10:2::/32 via fd99::2',
    ].sort();
  const named = async (world: World, link: string): Promise<SeenLink | undefined> =>
    (await world.seen()).find(({ name }) => name === link);

  for (const [family, addresses, host] of [
    ['IPv4', [V4], []],
    ['IPv6', [V6], ['fe80::1/64']],
    ['dual stack', [V4, V6], ['fe80::1/64']],
  ] as const) {
    law(`I1 a pair is made and wired, and nothing is written twice (${family})`, async (world) => {
      const want = vethLink('a', await world.addNetns('a'), ...addresses);
      const driver = world.links();
      const first = await driver.apply(desiredLinks(want));
      assert.deepEqual([...first.failures], []);
      assert.ok(first.changes.some(({ kind, action }) => kind === 'link' && action === 'create'));
      const link = await named(world, want.link);
      assert.equal(link?.up, true);
      assert.equal(link.mtu, 1400);
      assert.match(link.alias, /^romana acme\/web\/a @/);
      assert.deepEqual(link.addresses, host);
      const inside = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
      assert.deepEqual(await world.seenInside('a', 'eth0'), inside);
      noChange(await driver.apply(desiredLinks(want)));
      noChange(await world.links().apply(desiredLinks(want)));
      assert.ok((await driver.inspect(desiredLinks(want))).every(({ ok }) => ok));
    });
  }

  law('I1 routes of all kinds are made once, for a new driver too', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    await world.links().apply(desiredLinks(want));
    const routes = world.routes();
    const first = await routes.apply(dualRoutes(want.link));
    assert.deepEqual([...first.failures], []);
    assert.equal(first.changes.length, 6);
    assert.deepEqual(await world.seenRoutes(true), dualRouteTexts(want.link));
    noChange(await routes.apply(dualRoutes(want.link)));
    noChange(await world.routes().apply(dualRoutes(want.link).reverse()));
    assert.ok((await routes.inspect(dualRoutes(want.link))).every(({ ok }) => ok));
  });

  law('a route changes its kind, its next hop and its source, and goes', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    await world.links().apply(desiredLinks(want));
    const routes = world.routes();
    await routes.apply(dualRoutes(want.link));
    const changed = [
      linkRoute(`${V4}/32`, want.link),
      linkRoute(`${V6}/128`, want.link),
      viaRoute('10.1.0.0/16', '192.168.0.3'),
      viaRoute('fd10:1::/32', 'fd99::3'),
      viaRoute('10.2.0.0/16', '192.168.0.4'),
      viaRoute('fd10:2::/32', 'fd99::4'),
    ];
    const result = await routes.apply(changed);
    assert.deepEqual([...result.failures], []);
    assert.equal(result.changes.length, 6);
    assert.deepEqual(
      await world.seenRoutes(true),
      [
        `${V4}/32 dev ${want.link}`,
        `${V6}/128 dev ${want.link}`,
        '10.1.0.0/16 via 192.168.0.3',
        'fd10:1::/32 via fd99::3',
        '10.2.0.0/16 via 192.168.0.4',
        'fd10:2::/32 via fd99::4',
      ].sort(),
    );
    noChange(await world.routes().apply(changed));
    const gone = await world.routes().apply([]);
    assert.equal(gone.changes.length, 6);
    assert.deepEqual(await world.seenRoutes(true), []);
  });

  law(
    'I2 foreign routes stay, in both families, and are a conflict where ours has the same key',
    async (world) => {
      await world.addForeignRoute('10.2.0.0/16', 'up0');
      await world.addForeignRoute('fd10:2::/32', 'up0');
      await world.addForeignRoute('10.9.0.0/16', 'up0');
      const before = await world.seenRoutes(false);
      const routes = world.routes();
      const want = [...dualRoutes('up0').slice(2), viaRoute('10.3.0.0/16', '192.168.0.2')];
      const result = await routes.apply(want);
      assert.deepEqual(refusals(result), [
        '10.2.0.0/16 via 192.168.0.2: route_foreign',
        'fd10:2::/32 via fd99::2: route_foreign',
      ]);
      for (const error of result.failures.values()) assert.match(error.message, /protocol static/);
      assert.deepEqual(
        (await routes.foreign(want)).map(({ cidr, ...rest }) => ({ cidr: formatCidr(cidr), ...rest })),
        [
          { cidr: '10.2.0.0/16', protocol: 'static', wins: true },
          { cidr: 'fd10:2::/32', protocol: 'static', wins: true },
        ],
      );
      assert.deepEqual(await world.seenRoutes(true), [
        '10.1.0.0/16 blackhole',
        '10.3.0.0/16 via 192.168.0.2',
        'fd10:1::/32 blackhole',
      ]);
      await routes.apply([]);
      assert.deepEqual(await world.seenRoutes(false), before);
    },
  );

  law(
    'I2 a route that stands in leaves the better one of the same prefix alone, and is no conflict',
    async (world) => {
      await world.addForeignRoute('10.2.0.0/16', 'up0');
      await world.addForeignRoute('fd10:2::/32', 'up0');
      const before = await world.seenRoutes(false);
      const routes = world.routes();
      const want = dualRoutes('up0')
        .slice(2)
        .map((route) => (route.kind === 'via' ? { ...route, standIn: true as const } : route));
      assert.deepEqual(refusals(await routes.apply(want)), []);
      assert.deepEqual(await routes.foreign(want), []);
      assert.deepEqual((await routes.apply(want)).changes, []);
      assert.deepEqual(await world.seenRoutes(true), [
        '10.1.0.0/16 blackhole',
        '10.2.0.0/16 via 192.168.0.2',
        'fd10:1::/32 blackhole',
        'fd10:2::/32 via fd99::2',
      ]);
      await routes.apply([]);
      assert.deepEqual(await world.seenRoutes(false), before);
    },
  );

  law('I3 a route that the kernel refuses does not stop the others', async (world) => {
    const result = await world
      .routes()
      .apply([
        linkRoute('10.1.1.1/32', 'nosuch0'),
        linkRoute('fd10:1:1:1::1/128', 'nosuch0'),
        viaRoute('10.3.0.0/16', '203.0.113.1'),
        ...dualRoutes('up0').slice(2),
      ]);
    assert.deepEqual([...result.failures.keys()].sort(), [
      '10.1.1.1/32 dev nosuch0',
      '10.3.0.0/16 via 203.0.113.1',
      'fd10:1:1:1::1/128 dev nosuch0',
    ]);
    assert.equal((await world.seenRoutes(true)).length, 4);
  });

  law(
    'two wanted routes of one prefix are a conflict of the second, in any order of calls',
    async (world) => {
      const routes = world.routes();
      const want = [
        viaRoute('10.2.0.0/16', '192.168.0.2'),
        viaRoute('10.2.0.0/16', '192.168.0.3'),
        viaRoute('10.2.0.0/16', '192.168.0.2'),
      ];
      for (const result of [await routes.apply(want), await routes.apply(want)]) {
        assert.deepEqual([...result.failures.keys()], ['10.2.0.0/16 via 192.168.0.3']);
      }
      assert.deepEqual(await world.seenRoutes(true), ['10.2.0.0/16 via 192.168.0.2']);
    },
  );

  for (const [family, cidr, first, second, third, unreached] of [
    ['IPv4', '10.2.0.0/16', '192.168.0.2', '192.168.1.2', '192.168.1.3', '203.0.113.1'],
    ['IPv6', 'fd10:2::/32', 'fd99::2', 'fd98::2', 'fd98::3', '2001:db8::1'],
  ] as const) {
    law(`several next hops are made, changed as a set and taken away (${family})`, async (world) => {
      await world.addUplink();
      const routes = world.routes();
      const steps: (readonly [want: DesiredRoute, seen: string])[] = [
        [viaRoute(cidr, first, second), `${cidr} via ${first} via ${second}`],
        [viaRoute(cidr, second, third, first), `${cidr} via ${first} via ${second} via ${third}`],
        [viaRoute(cidr, second), `${cidr} via ${second}`],
        [viaRoute(cidr, `${second} up1`, `${first} up0`), `${cidr} via ${first} via ${second}`],
        [unreachable(cidr), `${cidr} unreachable`],
        [viaRoute(cidr, first, second), `${cidr} via ${first} via ${second}`],
        [blackhole(cidr), `${cidr} blackhole`],
        [viaRoute(cidr, first, second), `${cidr} via ${first} via ${second}`],
      ];
      for (const [want, seen] of steps) {
        const result = await routes.apply([want]);
        assert.deepEqual([[...result.failures], result.changes.length], [[], 1], seen);
        const ways = seen.replaceAll(/via (\S+)/g, 'via $1').split(' via ');
        const sorted = [ways[0], ...ways.slice(1).sort()].join(' via ');
        assert.deepEqual(await world.seenRoutes(true), [sorted]);
        noChange(await world.routes().apply([want]));
        assert.ok((await routes.inspect([want])).every(({ ok }) => ok));
      }
      noChange(await world.routes().apply([viaRoute(cidr, second, first)]));
      assert.equal((await routes.apply([])).changes.length, 1);
      assert.deepEqual(await world.seenRoutes(true), []);
    });

    law(`a next hop out of reach fails the route and leaves what stood (${family})`, async (world) => {
      await world.addUplink();
      const routes = world.routes();
      await routes.apply([viaRoute(cidr, first, second)]);
      const before = await world.seenRoutes(true);
      const result = await routes.apply([viaRoute(cidr, first, unreached)]);
      assert.equal(result.failures.size, 1);
      assert.deepEqual(await world.seenRoutes(true), before);
    });

    law(
      `I5 one of two links flaps, and the route loses a next hop and gets it back (${family})`,
      async (world) => {
        await world.addUplink();
        const routes = world.routes();
        await routes.apply([viaRoute(cidr, first, second)]);
        await world.setUp('up1', false);
        await routes.apply([viaRoute(cidr, first)]);
        assert.deepEqual(await world.seenRoutes(true), [`${cidr} via ${first}`]);
        noChange(await world.routes().apply([viaRoute(cidr, first)]));
        await world.setUp('up1', true);
        if (family === 'IPv6') await world.addAddress('up1', 'fd98::1/64');
        assert.deepEqual([...(await routes.apply([viaRoute(cidr, first, second)])).failures], []);
        assert.deepEqual(await world.seenRoutes(true), [
          `${cidr} ${[`via ${first}`, `via ${second}`].sort().join(' ')}`,
        ]);
      },
    );

    law(
      `I2 a foreign route of equal prefix stays while ours gets several next hops (${family})`,
      async (world) => {
        await world.addUplink();
        const routes = world.routes();
        await routes.apply([viaRoute(cidr, first)]);
        await world.addForeignRoute(cidr.replace(/\/.*/, '/24').replace('::/24', '::/48'), 'up0');
        await world.deleteRoute(cidr);
        await world.addForeignRoute(cidr, 'up0');
        const before = await world.seenRoutes(false);
        const result = await routes.apply([viaRoute(cidr, first, second)]);
        assert.deepEqual(
          [...result.failures.values()].map(({ code }) => code),
          ['route_foreign'],
        );
        assert.deepEqual(await world.seenRoutes(false), before);
        await routes.apply([]);
        assert.deepEqual(await world.seenRoutes(false), before);
      },
    );
  }

  law('an IPv4 route over a link-local next hop of a named link', async (world) => {
    const routes = world.routes();
    const want = [viaRoute('10.2.0.0/16', 'fe80::2 up0'), viaRoute('fd10:2::/32', 'fe80::2 up0')];
    assert.deepEqual([...(await routes.apply(want)).failures], []);
    assert.deepEqual(await world.seenRoutes(true), ['10.2.0.0/16 via fe80::2', 'fd10:2::/32 via fe80::2']);
    noChange(await world.routes().apply(want));
    assert.equal((await routes.apply([])).changes.length, 2);
    assert.deepEqual(await world.seenRoutes(true), []);
  });

  law('I2 links and addresses of others are never touched', async (world) => {
    await world.addNetns('x');
    await world.addPair('romforeign', 'x', 'f0');
    await world.addPair('tapother', 'x', 'f1');
    await world.setAlias('tapother', 'romana fake/alias/on a foreign name');
    await world.addAddress('tapother', 'fe80::1/64');
    const before = await world.seen();
    const driver = world.links();
    await driver.apply(desiredLinks());
    await driver.apply({ ...desiredLinks(), families: [] });
    assert.deepEqual(await world.seen(), before);
  });

  law('I2 a foreign link of our name is a conflict of that endpoint, and stays', async (world) => {
    const path = await world.addNetns('a');
    const want = vethLink('a', path, V4);
    const other = vethLink('b', await world.addNetns('b'), '10.1.1.28');
    await world.addNetns('x');
    await world.addPair(want.link, 'x', 'f0');
    const result = await world.links().apply(desiredLinks(want, other));
    assert.deepEqual(refusals(result), ['acme/web/a: conflict']);
    assert.equal((await named(world, want.link))?.alias, '');
    assert.deepEqual(await world.seenInside('b', 'eth0'), ['10.1.1.28/32']);
    await world.links().apply(desiredLinks());
    assert.notEqual(await named(world, want.link), undefined);
  });

  law('I3 a missing namespace and a foreign eth0 fail one endpoint each, without churn', async (world) => {
    const good = vethLink('good', await world.addNetns('good'), V4, V6);
    const gone = vethLink('gone', '/run/netns/nosuch', '10.1.1.28');
    const busy = vethLink('busy', await world.addNetns('busy'), '10.1.1.29');
    await world.addPair('tapbusy', 'busy', 'eth0');
    const driver = world.links();
    for (const turn of [1, 2]) {
      const result = await driver.apply(desiredLinks(gone, good, busy));
      assert.deepEqual(refusals(result), [
        'acme/web/busy: attachment_invalid',
        'acme/web/gone: attachment_invalid',
      ]);
      assert.equal(result.changes.length === 0, turn === 2);
    }
    assert.deepEqual(await world.seenInside('good', 'eth0'), [`${V4}/32`, `${V6}/128`]);
  });

  law('one link wanted by two endpoints is a conflict of the second', async (world) => {
    await world.addNetns('x');
    await world.addPair('tap1', 'x', 'f0');
    const result = await world
      .links()
      .apply(desiredLinks(existingLink('a', 'tap1', V4), existingLink('b', 'tap1', '10.1.1.28')));
    assert.deepEqual(refusals(result), ['acme/web/b: conflict']);
  });

  law('existing links are set up, never made or deleted, and lose only our address', async (world) => {
    await world.addNetns('x');
    await world.addPair('tap1', 'x', 'f0');
    const driver = world.links();
    const want = existingLink('a', 'tap1', V4, V6);
    const first = await driver.apply(desiredLinks(want, existingLink('b', 'tap2', V4)));
    assert.deepEqual(refusals(first), ['acme/web/b: attachment_invalid']);
    const link = await named(world, 'tap1');
    assert.deepEqual([link?.up, link?.alias, link?.addresses], [true, '', ['fe80::1/64']]);
    noChange(await driver.apply(desiredLinks(want)));
    noChange(await world.links().apply(desiredLinks(want)));
    await world.links().apply(desiredLinks());
    assert.deepEqual((await named(world, 'tap1'))?.addresses, []);
  });

  law('both ends of an existing pair are configured, once', async (world) => {
    const path = await world.addNetns('p');
    await world.addPair('cali1', 'p', 'eth7');
    const driver = world.links();
    const want = peerLink('a', 'cali1', path, V4, V6);
    assert.deepEqual(refusals(await driver.apply(desiredLinks(want))), []);
    assert.deepEqual(await world.seenInside('p', 'eth7'), [`${V4}/32`, `${V6}/128`]);
    assert.deepEqual((await named(world, 'cali1'))?.addresses, ['fe80::1/64']);
    noChange(await driver.apply(desiredLinks(want)));
    noChange(await world.links().apply(desiredLinks(want)));
    await world.links().apply(desiredLinks());
    assert.notEqual(await named(world, 'cali1'), undefined);
    assert.deepEqual(await world.seenInside('p', 'eth7'), [`${V4}/32`, `${V6}/128`]);
  });

  law('an existing pair without its inner link is a failure of that endpoint', async (world) => {
    const path = await world.addNetns('p');
    await world.addPair('cali1', 'p', 'other0');
    const result = await world.links().apply(desiredLinks(peerLink('a', 'cali1', path, V4)));
    assert.equal(result.failures.get('acme/web/a')?.code, 'attachment_invalid');
  });

  law('I5 a link flap takes routes and fe80::1 away, and the next apply brings them back', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    const [links, routes] = [world.links(), world.routes()];
    await links.apply(desiredLinks(want));
    await routes.apply(dualRoutes(want.link));
    await world.setUp(want.link, false);
    await world.setUp(want.link, true);
    assert.deepEqual((await named(world, want.link))?.addresses, []);
    assert.equal((await world.seenRoutes(true)).length, 4);
    await links.apply(desiredLinks(want));
    await routes.apply(dualRoutes(want.link));
    assert.deepEqual((await named(world, want.link))?.addresses, ['fe80::1/64']);
    assert.deepEqual(await world.seenRoutes(true), dualRouteTexts(want.link));
    await world.setUp(want.link, false);
    await links.apply(desiredLinks(want));
    assert.equal((await named(world, want.link))?.up, true);
  });

  law('I5 deleted routes, a deleted link and a deleted gateway come back', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    const [links, routes] = [world.links(), world.routes()];
    await links.apply(desiredLinks(want));
    await routes.apply(dualRoutes(want.link));
    assert.ok((await named(world, 'lo'))?.addresses.includes('169.254.1.1/32'));
    await world.deleteRoute(`${V4}/32`);
    await world.deleteRoute('fd10:2::/32');
    assert.equal((await routes.apply(dualRoutes(want.link))).changes.length, 2);
    await world.deleteAddress('lo', '169.254.1.1/32');
    await world.deleteLink(want.link);
    await links.apply(desiredLinks(want));
    await routes.apply(dualRoutes(want.link));
    assert.ok((await named(world, 'lo'))?.addresses.includes('169.254.1.1/32'));
    assert.deepEqual(await world.seenInside('a', 'eth0'), [`${V4}/32`, `${V6}/128`]);
    assert.deepEqual(await world.seenRoutes(true), dualRouteTexts(want.link));
  });

  law(
    'I4 a namespace made anew under the same path gets a pair anew, also by a new driver',
    async (world) => {
      const want = vethLink('a', await world.addNetns('a'), V4);
      await world.links().apply(desiredLinks(want));
      await world.removeNetns('a');
      await world.addNetns('a');
      await world.links().apply(desiredLinks(want));
      assert.deepEqual(await world.seenInside('a', 'eth0'), [`${V4}/32`]);
    },
  );

  law('I4 a half-made pair, and one whose endpoint got other addresses, is made anew', async (world) => {
    const path = await world.addNetns('a');
    const want = vethLink('a', path, V4);
    await world.links().apply(desiredLinks(want));
    // What a crash before the last step leaves.
    await world.setAlias(want.link, '');
    assert.deepEqual([...(await world.links().apply(desiredLinks(want))).failures], []);
    assert.match((await named(world, want.link))?.alias ?? '', /^romana acme\/web\/a @/);
    const other = vethLink('a', path, '10.1.1.28', V6);
    assert.deepEqual([...(await world.links().apply(desiredLinks(other))).failures], []);
    assert.deepEqual(await world.seenInside('a', 'eth0'), ['10.1.1.28/32', `${V6}/128`]);
  });

  law('a changed MTU is set on the pair as it stands', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    await world.links().apply(desiredLinks(want));
    const result = await world.links().apply(desiredLinks({ ...want, mtu: 1380 }));
    assert.ok(result.changes.every(({ action }) => action !== 'remove'));
    assert.equal((await named(world, want.link))?.mtu, 1380);
    noChange(await world.links().apply(desiredLinks({ ...want, mtu: 1380 })));
  });

  law('unwanted pairs of ours go, half-made ones too; the gateway goes with its family', async (world) => {
    const a = vethLink('a', await world.addNetns('a'), V4);
    const b = vethLink('b', await world.addNetns('b'), '10.1.1.28');
    await world.links().apply(desiredLinks(a, b));
    await world.setAlias(b.link, '');
    const result = await world.links().apply({ ...desiredLinks(), families: [6] });
    assert.deepEqual([...result.failures], []);
    assert.deepEqual((await world.seen()).map(({ name }) => name).sort(), ['lo', 'up0']);
    assert.ok(!(await named(world, 'lo'))?.addresses.includes('169.254.1.1/32'));
  });

  law('I7 calls at the same time do the work once', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    const [links, routes] = [world.links(), world.routes()];
    const results = await Promise.all([1, 2, 3].map(() => links.apply(desiredLinks(want))));
    assert.deepEqual(
      results.map(({ changes }) => changes.length > 0),
      [true, false, false],
    );
    const routed = await Promise.all([1, 2, 3].map(() => routes.apply(dualRoutes(want.link))));
    assert.deepEqual(
      routed.map(({ changes }) => changes.length),
      [6, 0, 0],
    );
  });

  law('forwarding is turned on for the families asked for, and never off', async (world) => {
    await world.links().apply({ ...desiredLinks(), families: [6] });
    assert.deepEqual((await world.facts.read()).forwarding, { 4: false, 6: true });
    await world.links().apply({ ...desiredLinks(), families: [4] });
    assert.deepEqual((await world.facts.read()).forwarding, { 4: true, 6: true });
  });

  law('facts name links, addresses and default routes', async (world) => {
    await world.addForeignRoute('0.0.0.0/0', 'up0');
    await world.addForeignRoute('::/0', 'up0');
    const facts = await world.facts.read();
    const up0 = facts.links.find(({ name }) => name === 'up0');
    assert.equal(up0?.up, true);
    assert.deepEqual(
      up0.addresses.filter(({ length }) => length === 24),
      [{ address: parseAddress('192.168.0.1'), length: 24 }],
    );
    assert.deepEqual(facts.defaultRoutes, [
      { family: 4, link: 'up0', fromRouterAdvertisement: false },
      { family: 6, link: 'up0', fromRouterAdvertisement: false },
    ]);
  });

  law('inspect shows what is missing and what is too much', async (world) => {
    const want = vethLink('a', await world.addNetns('a'), V4, V6);
    const stray = vethLink('b', await world.addNetns('b'), '10.1.1.28');
    await world.links().apply(desiredLinks(want, stray));
    await world.routes().apply([blackhole('10.1.0.0/16'), blackhole('10.7.0.0/16')]);
    await world.deleteAddress(want.link, 'fe80::1/64');
    const wrong = (await world.links().inspect(desiredLinks(want))).filter(({ ok }) => !ok);
    assert.deepEqual(
      wrong.map(({ object, desired, actual }) => `${object} ${desired === null} ${actual === null}`).sort(),
      [`fe80::1/64 dev ${want.link} false true`, `${stray.link} true false`].sort(),
    );
    const routes = await world
      .routes()
      .inspect([blackhole('10.1.0.0/16'), viaRoute('fd10:2::/32', 'fd99::2')]);
    assert.deepEqual(
      routes.map(({ object, ok, desired, actual }) => [object, ok, desired === null, actual === null]),
      [
        ['10.1.0.0/16', true, false, false],
        ['10.7.0.0/16', false, true, false],
        ['fd10:2::/32', false, false, true],
      ],
    );
  });
}
