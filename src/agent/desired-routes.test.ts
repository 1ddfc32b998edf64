/** Whatever links and sessions do: no wanted route is lost, and no next hop is taken that is known to lead nowhere while one is left. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatAddress, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import type { HostRouting, NextHop, PlannedRoute } from '#core/routing/index.ts';
import { planRouting } from '#core/routing/index.ts';
import { bgp as bgpOf, group, host, input } from '#core/routing/testing.ts';
import { everywhere, type Following, nobody } from './bgp/following.ts';
import { desiredRoutes } from './desired-routes.ts';
import type { DesiredRoute, HostFacts } from './ports.ts';

const links = [0, 1, 2];
const hop = (family: 4 | 6, n: number, named: boolean): NextHop => ({
  address: parseAddress(family === 4 ? `192.168.${n}.254` : `fd9${n}::fe`),
  to: `leaf${n}`,
  link: named ? `up${n}` : null,
});

const planned = fc.record({
  family: fc.constantFrom(4 as const, 6 as const),
  over: fc.subarray(links, { minLength: 1 }),
  named: fc.boolean(),
});
const state = fc.constantFrom('up', 'down', 'no carrier', 'no addresses', 'gone');
const site = fc.record({
  routes: fc.array(planned, { maxLength: 3 }),
  learned: fc.array(planned, { maxLength: 2 }),
  states: fc.tuple(state, state, state),
  following: fc.option(
    fc.record({
      4: fc.subarray(links.map((n) => `leaf${n}`)),
      6: fc.subarray(links.map((n) => `leaf${n}`)),
    }),
  ),
});

function routesOf(
  list: readonly { family: 4 | 6; over: readonly number[]; named: boolean }[],
  base: number,
): PlannedRoute[] {
  return list.map(({ family, over, named }, n) => ({
    cidr: parseCidr(family === 4 ? `10.${base + n}.0.0/16` : `fd10:${base + n}::/32`),
    nextHops: over.map((one) => hop(family, one, named)),
    why: { kind: 'host', host: `h${base + n}` },
  }));
}

function factsOf(states: readonly string[]): HostFacts {
  return {
    links: states.flatMap((now, n) =>
      now === 'gone'
        ? []
        : [
            {
              name: `up${n}`,
              mtu: 1500,
              up: now !== 'down',
              running: now === 'up' || now === 'no addresses',
              addresses:
                now === 'no addresses'
                  ? []
                  : [`192.168.${n}.1`, `fd9${n}::1`].map((text) => ({
                      address: parseAddress(text),
                      length: text.includes(':') ? 64 : 24,
                    })),
            },
          ],
    ),
    defaultRoutes: [],
    forwarding: { 4: true, 6: true },
  };
}

const hopsOf = (route: DesiredRoute | undefined): string[] =>
  route?.kind === 'via' ? route.hops.map(({ via }) => formatAddress(via)).sort() : [];

test('every wanted route stays, over next hops of its own, and over none that is known to be dead while a good one is left', () => {
  fc.assert(
    fc.property(site, fc.boolean(), ({ routes, learned, states, following }, standIn) => {
      const ways = following === null ? null : { over: following, standIn };
      const routing: HostRouting = {
        name: 'h1',
        kinds: ['l2'],
        routes: routesOf(routes, 2),
        learned: routesOf(learned, 100),
        gateways: [],
        bgp: null,
        problems: [],
      };
      const facts = factsOf(states);
      const wanted = desiredRoutes({ routing, facts, following: ways, fenced: false });
      const all = [...routing.routes, ...(following === null ? [] : routing.learned)];
      assert.deepEqual(
        wanted.map(({ cidr }) => formatCidr(cidr)),
        all.map(({ cidr }) => formatCidr(cidr)),
      );
      for (const [n, { nextHops, cidr }] of all.entries()) {
        const isLearned = n >= routing.routes.length;
        const family = cidr.address.family;
        const sessions: Following = isLearned && following !== null ? following : nobody;
        const spoken = nextHops.filter(({ to }) => sessions[family].includes(to));
        const left = spoken.length > 0 ? spoken : nextHops;
        const may = new Set(left.map(({ address }) => formatAddress(address)));
        const route = wanted[n];
        assert.equal(route?.kind === 'via' && route.standIn === true, isLearned && standIn);
        const got = hopsOf(route);
        assert.ok(got.length > 0);
        assert.ok(got.every((one) => may.has(one)));
        const good = left
          .filter(({ to, link }) => {
            const now = states[Number(to.slice(-1))];
            return now === 'up' || (now === 'no addresses' && link !== null);
          })
          .map(({ address }) => formatAddress(address));
        if (good.length > 0) assert.deepEqual(got, good.sort());
      }
      const shuffled = { ...facts, links: facts.links.toReversed() };
      assert.deepEqual(desiredRoutes({ routing, facts: shuffled, following: ways, fenced: false }), wanted);
      assert.deepEqual(desiredRoutes({ routing, facts, following: ways, fenced: true }), []);
    }),
  );
});

test('what is learned goes over as many of the living next hops as the fabric allows; what is not learned over all', () => {
  const list = [
    { family: 4 as const, over: links, named: true },
    { family: 6 as const, over: links, named: true },
  ];
  const { bgp } = planRouting(
    input([], group('', {}, { fabric: bgpOf({ ecmp: 2 }) }), [host('h1', '', ['192.168.0.1'], {})]),
  ).host('h1')!;
  const routing: HostRouting = {
    name: 'h1',
    kinds: ['bgp'],
    routes: routesOf(list, 2),
    learned: routesOf(list, 100),
    gateways: [],
    bgp,
    problems: [],
  };
  for (const [states, ways] of [
    [
      ['up', 'up', 'up'],
      [3, 3, 2, 2],
    ],
    [
      ['down', 'up', 'up'],
      [2, 2, 2, 2],
    ],
    [
      ['down', 'down', 'up'],
      [1, 1, 1, 1],
    ],
  ] as const) {
    const wanted = desiredRoutes({ routing, facts: factsOf(states), following: everywhere, fenced: false });
    assert.deepEqual(
      wanted.map((route) => hopsOf(route).length),
      ways,
    );
  }
});
