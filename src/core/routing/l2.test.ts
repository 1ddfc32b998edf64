import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  type Address,
  addressPlan,
  aggregate,
  type Cidr,
  containsAddress,
  equalAddress,
  firstAddress,
  formatAddress,
  formatCidr,
  hostCidr,
  lastAddress,
  parseAddress,
  parseCidr,
  parseLayout,
  subtract,
} from '../address/index.ts';
import { hostRoutes, type L2Host, type L2Routes } from './l2.ts';

const v4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const v6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));

const host = (name: string, group: string | null, addresses: string[], cidrs: string[]): L2Host => ({
  name,
  group,
  addresses: addresses.map(parseAddress),
  cidrs: cidrs.map(parseCidr),
});

const show = (result: L2Routes): { routes: string[]; blackholes: string[]; unreachable: string[] } => ({
  routes: result.routes.map((route) => `${formatCidr(route.cidr)} via ${formatAddress(route.via)}`),
  blackholes: result.blackholes.map(formatCidr),
  unreachable: result.unreachable.map((lost) => `${lost.host} ${formatCidr(lost.cidr)}`),
});

function lookup(result: L2Routes, a: Address): Address | 'local' | undefined {
  const entries: { cidr: Cidr; to: Address | 'local' }[] = [
    ...result.routes.map((route) => ({ cidr: route.cidr, to: route.via })),
    ...result.blackholes.map((cidr) => ({ cidr, to: 'local' as const })),
  ];
  return entries
    .filter((entry) => containsAddress(entry.cidr, a))
    .sort((x, y) => y.cidr.length - x.cidr.length)[0]?.to;
}

const ends = (cidr: Cidr): Address[] => [firstAddress(cidr), lastAddress(cidr)];

/** Up to six hosts with disjoint ids of both networks; some lack an underlay address of a family. */
const fleet = fc
  .tuple(
    fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 16, maxLength: 16 }),
    fc.array(fc.tuple(fc.constantFrom('rack1', 'rack2', null), fc.boolean(), fc.boolean()), {
      minLength: 1,
      maxLength: 6,
    }),
  )
  .map(([owners, shapes]): L2Host[] =>
    shapes.map(([group, has4, has6], n) => ({
      name: `host${n}`,
      group,
      addresses: [
        ...(has4 ? [parseAddress(`192.168.0.${n + 1}`)] : []),
        ...(has6 ? [parseAddress(`fd00::${n + 1}`)] : []),
      ],
      cidrs: owners.flatMap((owner, id) => (owner === n ? [hostCidr(v4, id + 1), hostCidr(v6, id + 1)] : [])),
    })),
  );

describe('l2 routes', () => {
  it('every address of a host on the same link goes to that host; own ranges stay here (1, 3)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        for (const self of hosts) {
          const result = hostRoutes(self, hosts);
          for (const peer of hosts) {
            for (const a of peer.cidrs.flatMap(ends)) {
              const to = lookup(result, a);
              const via = peer.addresses.find((address) => address.family === a.family);
              if (peer === self) assert.equal(to, 'local');
              else if (peer.group !== self.group || via === undefined) assert.equal(to, undefined);
              else assert.ok(typeof to === 'object' && equalAddress(to, via));
            }
          }
          for (const route of result.routes) assert.equal(route.via.family, route.cidr.address.family);
        }
      }),
    );
  });

  it('routes are minimal per next hop and cover nothing that the next hop does not own (2)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const self = hosts[0]!;
        const { routes, blackholes } = hostRoutes(self, hosts);
        assert.deepEqual(blackholes, aggregate(self.cidrs));
        for (const peer of hosts.slice(1)) {
          const mine = routes
            .filter((route) => peer.addresses.some((a) => equalAddress(a, route.via)))
            .map((r) => r.cidr);
          assert.deepEqual(mine, aggregate(mine));
          assert.deepEqual(subtract(mine, peer.cidrs), []);
        }
      }),
    );
  });

  it('what has no route is listed, and only that (5)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const self = hosts[0]!;
        const { routes, unreachable } = hostRoutes(self, hosts);
        for (const peer of hosts.slice(1).filter((other) => other.group === self.group)) {
          const lost = unreachable.filter((entry) => entry.host === peer.name).map((entry) => entry.cidr);
          const got = routes
            .filter((route) => peer.addresses.some((a) => equalAddress(a, route.via)))
            .map((r) => r.cidr);
          assert.deepEqual(aggregate([...lost, ...got]), aggregate(peer.cidrs));
        }
        assert.ok(
          unreachable.every((entry) => hosts.some((h) => h.name === entry.host && h.group === self.group)),
        );
      }),
    );
  });

  it('does not depend on the order of the input (4)', () => {
    fc.assert(
      fc.property(fleet, fc.infiniteStream(fc.nat()), (hosts, order) => {
        const self = hosts[0]!;
        const keys = new Map(hosts.map((h) => [h.name, order.next().value]));
        const shuffled = [...hosts]
          .sort((a, b) => keys.get(a.name)! - keys.get(b.name)!)
          .map(({ name, group, addresses, cidrs }): L2Host => {
            return { name, group, addresses: [...addresses].reverse(), cidrs: [...cidrs].reverse() };
          });
        assert.deepEqual(hostRoutes(self, shuffled), hostRoutes(self, hosts));
        assert.deepEqual(
          hostRoutes(
            self,
            shuffled.filter((h) => h.name !== self.name),
          ),
          hostRoutes(self, hosts),
        );
      }),
    );
  });

  it('joins adjacent ids of one host, both families, and not across hosts', () => {
    const self = host('a', null, ['192.168.0.1', 'fd00::1'], ['10.1.0.0/16', 'fd10:1::/32']);
    const b = host(
      'b',
      null,
      ['192.168.0.2', 'fd00::2'],
      ['10.2.0.0/16', '10.3.0.0/16', 'fd10:2::/32', 'fd10:3::/32'],
    );
    const c = host('c', null, ['192.168.0.3', 'fd00::3'], ['10.4.0.0/16', 'fd10:4::/32']);
    const d = host('d', null, ['192.168.0.4', 'fd00::4'], ['10.5.0.0/16', 'fd10:5::/32']);
    assert.deepEqual(show(hostRoutes(self, [d, c, b, self])), {
      routes: [
        '10.2.0.0/15 via 192.168.0.2',
        '10.4.0.0/16 via 192.168.0.3',
        '10.5.0.0/16 via 192.168.0.4',
        'fd10:2::/31 via fd00::2',
        'fd10:4::/32 via fd00::3',
        'fd10:5::/32 via fd00::4',
      ],
      blackholes: ['10.1.0.0/16', 'fd10:1::/32'],
      unreachable: [],
    });
  });

  it('hosts of another group get no route; null is a link of its own', () => {
    const self = host('a', 'rack1', ['192.168.0.1'], ['10.1.0.0/16']);
    const others = [
      host('b', 'rack2', ['192.168.0.2'], ['10.2.0.0/16']),
      host('c', null, ['192.168.0.3'], ['10.3.0.0/16']),
      host('d', 'rack1', ['192.168.0.4'], ['10.4.0.0/16']),
    ];
    assert.deepEqual(show(hostRoutes(self, others)).routes, ['10.4.0.0/16 via 192.168.0.4']);
  });

  it('a range without an underlay address of its family is unreachable, the other family is not', () => {
    const self = host('a', null, ['192.168.0.1'], []);
    const b = host('b', null, ['192.168.0.2'], ['10.2.0.0/16', 'fd10:2::/32']);
    assert.deepEqual(show(hostRoutes(self, [b])), {
      routes: ['10.2.0.0/16 via 192.168.0.2'],
      blackholes: [],
      unreachable: ['b fd10:2::/32'],
    });
  });

  it('a claim on own ranges, wider, narrower or equal, never routes them away (3)', () => {
    const self = host('a', null, ['192.168.0.1', 'fd00::1'], ['10.2.0.0/16', 'fd10:2::/32']);
    const via = ['192.168.0.2', 'fd00::2'];
    const equal = host('b', null, via, ['10.2.0.0/16', 'fd10:2::/32']);
    assert.deepEqual(show(hostRoutes(self, [equal])).unreachable, ['b 10.2.0.0/16', 'b fd10:2::/32']);
    assert.deepEqual(hostRoutes(self, [equal]).routes, []);
    const narrower = host('b', null, via, ['10.2.3.0/24', 'fd10:2:3::/48']);
    assert.deepEqual(hostRoutes(self, [narrower]).routes, []);
    assert.deepEqual(show(hostRoutes(self, [narrower])).unreachable, ['b 10.2.3.0/24', 'b fd10:2:3::/48']);
    const wider = host('b', null, via, ['10.2.0.0/15', 'fd10:2::/31']);
    assert.deepEqual(show(hostRoutes(self, [wider])), {
      routes: ['10.3.0.0/16 via 192.168.0.2', 'fd10:3::/32 via fd00::2'],
      blackholes: ['10.2.0.0/16', 'fd10:2::/32'],
      unreachable: ['b 10.2.0.0/16', 'b fd10:2::/32'],
    });
  });

  it('of two hosts that claim one range the first by name gets it, the other is listed (5)', () => {
    const self = host('a', null, ['192.168.0.1'], ['10.1.0.0/16']);
    const b = host('b', null, ['192.168.0.2'], ['10.2.0.0/16']);
    const c = host('c', null, ['192.168.0.3'], ['10.2.0.0/16']);
    for (const hosts of [
      [b, c],
      [c, b],
    ]) {
      assert.deepEqual(show(hostRoutes(self, hosts)).routes, ['10.2.0.0/16 via 192.168.0.2']);
      assert.deepEqual(show(hostRoutes(self, hosts)).unreachable, ['c 10.2.0.0/16']);
    }
  });

  it('alone on the link there is nothing to route', () => {
    const self = host('a', null, [], ['10.1.0.0/16']);
    assert.deepEqual(show(hostRoutes(self, [])), {
      routes: [],
      blackholes: ['10.1.0.0/16'],
      unreachable: [],
    });
  });
});
