import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  type Address,
  addressPlan,
  aggregate,
  containsAddress,
  equalAddress,
  firstAddress,
  formatAddress,
  hostCidr,
  lastAddress,
  parseAddress,
  parseCidr,
  parseLayout,
  subtract,
} from '../address/index.ts';
import type { HostRouting, RoutingHost } from './model.ts';
import { planRouting } from './plan.ts';
import * as t from './testing.ts';

const v4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const v6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));
const networks = [t.network('n4', '10.0.0.0/8'), t.network('n6', 'fd10::/16')];
const racks = (more: Parameters<typeof t.group>[2] = {}): ReturnType<typeof t.group> =>
  t.group(
    '',
    { n4: '10.0.0.0/8', n6: 'fd10::/16' },
    {
      groups: [
        t.group('rack1', { n4: '10.0.0.0/9', n6: 'fd10::/17' }),
        t.group('rack2', { n4: '10.128.0.0/9', n6: 'fd10:8000::/17' }),
      ],
      ...more,
    },
  );

const host = (
  name: string,
  path: string | null,
  addresses: string[],
  cidrs: string[],
  more: Partial<RoutingHost> = {},
): RoutingHost =>
  t.host(
    name,
    path,
    addresses,
    { n4: cidrs.filter((cidr) => !cidr.includes(':')), n6: cidrs.filter((cidr) => cidr.includes(':')) },
    more,
  );

function routing(self: string, hosts: readonly RoutingHost[], root = racks()): HostRouting {
  return planRouting(t.input(networks, root, hosts)).host(self)!;
}
const routes = (self: string, hosts: readonly RoutingHost[], root = racks()): string[] =>
  t.show(routing(self, hosts, root).routes);
const messages = (self: string, hosts: readonly RoutingHost[]): string[] =>
  routing(self, hosts)
    .problems.map(({ message }) => message)
    .sort();

/** Where the routes lead: a next hop, here (`local`), or nowhere. */
function lookup({ routes: all }: HostRouting, address: Address): Address | 'local' | undefined {
  const best = all
    .filter(({ cidr }) => containsAddress(cidr, address))
    .sort((a, b) => b.cidr.length - a.cidr.length)[0];
  return best?.why.kind === 'own' ? 'local' : best?.nextHops[0]?.address;
}

/** Up to six hosts with disjoint ids of both networks; some lack an underlay address of a family. */
const fleet = fc
  .tuple(
    fc.array(fc.integer({ min: -1, max: 5 }), { minLength: 16, maxLength: 16 }),
    fc.array(fc.tuple(fc.constantFrom('rack1', 'rack2', null), fc.boolean(), fc.boolean()), {
      minLength: 1,
      maxLength: 6,
    }),
  )
  .map(([owners, shapes]): RoutingHost[] =>
    shapes.map(([path, has4, has6], n) => ({
      ...host(
        `host${n}`,
        path,
        [...(has4 ? [`192.168.0.${n + 1}`] : []), ...(has6 ? [`fd00::${n + 1}`] : [])],
        [],
      ),
      ranges: owners.flatMap((owner, id) =>
        owner === n
          ? [
              { network: 'n4', cidr: hostCidr(v4, id + 1) },
              { network: 'n6', cidr: hostCidr(v6, id + 1) },
            ]
          : [],
      ),
    })),
  );
const cidrsOf = ({ ranges }: RoutingHost): ReturnType<typeof parseCidr>[] => ranges.map(({ cidr }) => cidr);
const linkOf = ({ places }: RoutingHost): string | undefined => places[0]?.path;

describe('hosts that share a link', () => {
  it('every address of a host on the link goes to that host; own ranges stay here; others have no route (R1, R3)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const plan = planRouting(t.input(networks, racks(), hosts));
        for (const self of hosts) {
          const result = plan.host(self.name)!;
          for (const peer of hosts) {
            for (const a of cidrsOf(peer).flatMap((cidr) => [firstAddress(cidr), lastAddress(cidr)])) {
              const to = lookup(result, a);
              const via = peer.addresses.find(({ family }) => family === a.family);
              if (peer === self) assert.equal(to, 'local');
              else if (linkOf(peer) !== linkOf(self) || via === undefined) assert.equal(to, undefined);
              else assert.ok(typeof to === 'object' && equalAddress(to, via));
            }
          }
        }
      }),
    );
  });

  it('routes are the fewest per next hop and cover nothing that the next hop does not own (R4)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const self = hosts[0]!;
        const all = planRouting(t.input(networks, racks(), hosts)).host(self.name)!.routes;
        const own = all.filter(({ why }) => why.kind === 'own').map(({ cidr }) => cidr);
        assert.deepEqual(own, aggregate(cidrsOf(self)));
        for (const peer of hosts.slice(1)) {
          const mine = all.filter(({ nextHops }) => nextHops[0]?.to === peer.name).map(({ cidr }) => cidr);
          assert.deepEqual(mine, aggregate(mine));
          assert.deepEqual(subtract(mine, cidrsOf(peer)), []);
        }
      }),
    );
  });

  it('what has no route is a problem that names host and range, and only that (R6)', () => {
    fc.assert(
      fc.property(fleet, (hosts) => {
        const self = hosts[0]!;
        const { problems } = planRouting(t.input(networks, racks(), hosts)).host(self.name)!;
        const expected = hosts.slice(1).flatMap((peer) =>
          linkOf(peer) !== linkOf(self)
            ? []
            : aggregate(cidrsOf(peer))
                .filter(({ address }) => !peer.addresses.some(({ family }) => family === address.family))
                .map(() => peer.name),
        );
        assert.deepEqual(problems.map(({ about }) => about).sort(), expected.sort());
        assert.ok(problems.every(({ code }) => code === 'host_unreachable'));
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
    assert.deepEqual(routes('a', [d, c, b, self]), [
      '10.1.0.0/16 drop',
      '10.2.0.0/15 via b@192.168.0.2',
      '10.4.0.0/16 via c@192.168.0.3',
      '10.5.0.0/16 via d@192.168.0.4',
      'fd10:1::/32 drop',
      'fd10:2::/31 via b@fd00::2',
      'fd10:4::/32 via c@fd00::3',
      'fd10:5::/32 via d@fd00::4',
    ]);
  });

  it('a range without an underlay address of its family is named, the other family is routed', () => {
    const hosts = [
      host('a', null, ['192.168.0.1', 'fd00::1'], []),
      host('b', null, ['192.168.0.2'], ['10.2.0.0/16', 'fd10:2::/32']),
      host('c', null, ['fd00::3'], ['10.3.0.0/16', 'fd10:3::/32']),
    ];
    assert.deepEqual(routes('a', hosts), ['10.2.0.0/16 via b@192.168.0.2', 'fd10:3::/32 via c@fd00::3']);
    assert.deepEqual(messages('a', hosts), [
      'No route to 10.3.0.0/16 of host c: it needs an underlay address of that family, used by no other host.',
      'No route to fd10:2::/32 of host b: it needs an underlay address of that family, used by no other host.',
    ]);
  });

  it('a claim on own ranges, wider, narrower or equal, never routes them away', () => {
    const self = host('a', null, ['192.168.0.1', 'fd00::1'], ['10.2.0.0/16', 'fd10:2::/32']);
    const via = ['192.168.0.2', 'fd00::2'];
    const own = ['10.2.0.0/16 drop', 'fd10:2::/32 drop'];
    for (const claim of [
      ['10.2.0.0/16', 'fd10:2::/32'],
      ['10.2.3.0/24', 'fd10:2:3::/48'],
    ]) {
      const hosts = [self, host('b', null, via, claim)];
      assert.deepEqual(routes('a', hosts), own);
      assert.deepEqual(
        messages('a', hosts),
        claim.map((cidr) => `No route to ${cidr} of host b: host a has it already.`),
      );
    }
    assert.deepEqual(routes('a', [self, host('b', null, via, ['10.2.0.0/15', 'fd10:2::/31'])]), [
      '10.2.0.0/16 drop',
      '10.3.0.0/16 via b@192.168.0.2',
      'fd10:2::/32 drop',
      'fd10:3::/32 via b@fd00::2',
    ]);
  });

  it('of two hosts that claim one range the first by name gets it, the other is named', () => {
    const self = host('a', null, ['192.168.0.1'], ['10.1.0.0/16']);
    const b = host('b', null, ['192.168.0.2'], ['10.2.0.0/16']);
    const c = host('c', null, ['192.168.0.3'], ['10.2.0.0/16']);
    for (const hosts of [
      [self, b, c],
      [c, b, self],
    ]) {
      assert.deepEqual(routes('a', hosts), ['10.1.0.0/16 drop', '10.2.0.0/16 via b@192.168.0.2']);
      assert.deepEqual(messages('a', hosts), ['No route to 10.2.0.0/16 of host c: host b has it already.']);
    }
  });

  it('of two hosts with one underlay address the first by name is taken for its owner, the other is named to both and to everybody', () => {
    for (const [address, other, range, second] of [
      ['192.168.0.2', '192.168.0.1', '10.2.0.0/16', '10.3.0.0/16'],
      ['fd00::2', 'fd00::1', 'fd10:2::/32', 'fd10:3::/32'],
    ] as const) {
      const hosts = [
        host('c', null, [address], [second]),
        host('a', null, [other], []),
        host('b', null, [address], [range]),
      ];
      assert.deepEqual(routes('a', hosts), [`${range} via b@${address}`]);
      assert.deepEqual(messages('a', hosts), [
        `No route to ${second} of host c: its underlay address ${address} is that of another host too.`,
      ]);
      const { problems } = planRouting(t.input(networks, racks(), hosts));
      assert.deepEqual(
        problems.map(({ about, message }) => [about, message.includes('b and c'), message.includes(address)]),
        [['c', true, true]],
      );
      // A fenced host is gone: another may have its address.
      const replaced = hosts.map((each) =>
        each.name === 'b' ? { ...each, state: 'fenced' as const } : each,
      );
      assert.deepEqual(routes('a', replaced), [`${second} via c@${address}`]);
      assert.deepEqual(planRouting(t.input(networks, racks(), replaced)).problems, []);
    }
  });

  it('where nothing is stated, hosts of one leaf group share a link; hosts in no group share another', () => {
    const hosts = [
      host('a', 'rack1', ['192.168.0.1'], ['10.1.0.0/16']),
      host('b', 'rack2', ['192.168.0.2'], ['10.129.0.0/16']),
      host('c', null, ['192.168.0.3'], ['10.3.0.0/16']),
      host('d', 'rack1', ['192.168.0.4'], ['10.4.0.0/16']),
      host('e', null, ['192.168.0.5'], ['10.5.0.0/16']),
    ];
    assert.deepEqual(routes('a', hosts), ['10.1.0.0/16 drop', '10.4.0.0/16 via d@192.168.0.4']);
    assert.deepEqual(routes('b', hosts), ['10.129.0.0/16 drop']);
    assert.deepEqual(routes('c', hosts), ['10.3.0.0/16 drop', '10.5.0.0/16 via e@192.168.0.5']);
  });

  it('l2 stated above: all hosts below share the link; restated below, the link is split', () => {
    const hosts = [
      host('a', 'rack1', ['192.168.0.1'], ['10.1.0.0/16']),
      host('b', 'rack2', ['192.168.0.2'], ['10.129.0.0/16']),
    ];
    assert.deepEqual(routes('a', hosts, racks({ fabric: t.l2 })), [
      '10.1.0.0/16 drop',
      '10.129.0.0/16 via b@192.168.0.2',
    ]);
    const split = racks({
      fabric: t.l2,
      groups: [
        t.group('rack1', { n4: '10.0.0.0/9' }, { fabric: t.l2 }),
        t.group('rack2', { n4: '10.128.0.0/9' }),
      ],
    });
    assert.deepEqual(routes('a', hosts, split), ['10.1.0.0/16 drop']);
  });

  it('a host on two links reaches a host of both over both, a host of one over that one, a host of none by its underlay address', () => {
    const on = (n: number, devices: string[]): Partial<RoutingHost> => ({
      uplinks: devices.map((name, i) => t.uplink(name, [`172.16.${i}.${n}`, `fd0${i + 1}::${n}`], `up${i}`)),
    });
    const root = racks({
      groups: [
        t.group('rack1', { n4: '10.0.0.0/9' }, { devices: [t.device('leaf1', []), t.device('leaf2', [])] }),
        t.group('rack2', { n4: '10.128.0.0/9' }),
      ],
    });
    const hosts = [
      host(
        'a',
        'rack1',
        ['192.168.0.1', 'fd00::1'],
        ['10.1.0.0/16', 'fd10:1::/32'],
        on(1, ['leaf1', 'leaf2']),
      ),
      host(
        'b',
        'rack1',
        ['192.168.0.2', 'fd00::2'],
        ['10.2.0.0/16', 'fd10:2::/32'],
        on(2, ['leaf1', 'leaf2']),
      ),
      host('c', 'rack1', ['192.168.0.3', 'fd00::3'], ['10.3.0.0/16', 'fd10:3::/32'], on(3, ['leaf1'])),
      host('d', 'rack1', ['192.168.0.4', 'fd00::4'], ['10.4.0.0/16', 'fd10:4::/32']),
    ];
    assert.deepEqual(routes('a', hosts, root), [
      '10.1.0.0/16 drop',
      '10.2.0.0/16 via b@172.16.0.2%up0 b@172.16.1.2%up1',
      '10.3.0.0/16 via c@172.16.0.3%up0',
      '10.4.0.0/16 via d@192.168.0.4',
      'fd10:1::/32 drop',
      'fd10:2::/32 via b@fd01::2%up0 b@fd02::2%up1',
      'fd10:3::/32 via c@fd01::3%up0',
      'fd10:4::/32 via d@fd00::4',
    ]);
  });

  it('nobody routes to a fenced host; a lost one is unreachable; a draining one is routed to', () => {
    const hosts = [
      host('a', null, ['192.168.0.1'], ['10.1.0.0/16']),
      host('b', null, ['192.168.0.2'], ['10.2.0.0/16'], { state: 'fenced' }),
      host('c', null, ['192.168.0.3'], ['10.4.0.0/16', '10.5.0.0/16'], { state: 'lost' }),
      host('d', null, ['192.168.0.4'], ['10.6.0.0/16'], { state: 'draining' }),
    ];
    assert.deepEqual(routes('a', hosts), [
      '10.1.0.0/16 drop',
      '10.4.0.0/15 unreachable',
      '10.6.0.0/16 via d@192.168.0.4',
    ]);
    assert.deepEqual(routes('b', hosts), ['10.2.0.0/16 drop']);
    assert.deepEqual(messages('a', hosts), []);
    // It may be back before anybody has noticed.
    assert.deepEqual(routes('c', hosts), [
      '10.1.0.0/16 via a@192.168.0.1',
      '10.4.0.0/15 drop',
      '10.6.0.0/16 via d@192.168.0.4',
    ]);
  });

  it('alone on the link there is nothing to route', () => {
    assert.deepEqual(routes('a', [host('a', null, [], ['10.1.0.0/16'])]), ['10.1.0.0/16 drop']);
    assert.equal(planRouting(t.input(networks, racks(), [])).host('a'), undefined);
  });
});

describe('granted routes', () => {
  const a = host('a', 'rack1', ['192.168.0.1', 'fd00::1'], ['10.1.0.0/16', 'fd10:1::/32']);
  const moved = ['10.1.1.16/28', 'fd10:1:1::/64'].map(parseCidr);

  it('lead to their holder on the same link, its home included; the holder drops what nobody has', () => {
    const b = host('b', 'rack1', ['192.168.0.2', 'fd00::2'], [], { granted: moved });
    const c = host('c', 'rack1', ['192.168.0.3', 'fd00::3'], []);
    assert.deepEqual(routes('a', [a, b, c]), [
      '10.1.0.0/16 drop',
      '10.1.1.16/28 via b@192.168.0.2',
      'fd10:1::/32 drop',
      'fd10:1:1::/64 via b@fd00::2',
    ]);
    assert.deepEqual(routes('c', [a, b, c]), [
      '10.1.0.0/16 via a@192.168.0.1',
      '10.1.1.16/28 via b@192.168.0.2',
      'fd10:1::/32 via a@fd00::1',
      'fd10:1:1::/64 via b@fd00::2',
    ]);
    assert.deepEqual(routes('b', [a, b, c]), [
      '10.1.0.0/16 via a@192.168.0.1',
      '10.1.1.16/28 drop',
      'fd10:1::/32 via a@fd00::1',
      'fd10:1:1::/64 drop',
    ]);
  });

  it('lead over the devices where the holder is on another link, for its home and the hosts beside that one', () => {
    const root = racks({ devices: [t.device('spine', ['192.168.9.1', 'fd09::1'])] });
    const b = host('b', 'rack2', ['192.168.0.2', 'fd00::2'], ['10.129.0.0/16'], { granted: moved });
    const c = host('c', 'rack1', ['192.168.0.3', 'fd00::3'], []);
    const elsewhere = ['10.1.1.16/28 via spine@192.168.9.1', 'fd10:1:1::/64 via spine@fd09::1'];
    for (const name of ['a', 'c']) {
      const found = routes(name, [a, b, c], root);
      assert.deepEqual(
        found.filter((line) => line.includes('spine')),
        elsewhere,
      );
    }
    assert.deepEqual(
      routing('a', [a, b, c]).problems.map(({ about, code }) => [about, code]),
      [
        ['b', 'host_unreachable'],
        ['b', 'host_unreachable'],
      ],
    );
  });

  it('of single addresses leave the host route to the endpoint alone', () => {
    const b = host('b', 'rack1', ['192.168.0.2'], [], { granted: [parseCidr('10.1.1.17/32')] });
    assert.deepEqual(
      routes('b', [a, b]),
      ['10.1.0.0/16 via a@192.168.0.1'].concat(['fd10:1::/32 via a@fd00::1']),
    );
  });
});

describe('hosts below devices', () => {
  it('l3-static: own ranges and nothing else; the gateways are the devices of the group', () => {
    const root = racks({ fabric: t.l3Static, devices: [t.device('s', ['192.168.0.254', 'fd00::254'])] });
    const hosts = [
      host('a', 'rack1', ['192.168.0.1', 'fd00::1'], ['10.1.0.0/16']),
      host('b', 'rack1', ['192.168.0.2', 'fd00::2'], ['10.2.0.0/16']),
    ];
    assert.deepEqual(routes('a', hosts, root), ['10.1.0.0/16 drop']);
    const { gateways, kinds, bgp, learned } = routing('a', hosts, root);
    assert.deepEqual(
      gateways.map(({ address, to }) => [formatAddress(address), to]),
      [
        ['192.168.0.254', 's'],
        ['fd00::254', 's'],
      ],
    );
    assert.deepEqual([kinds, bgp, learned], [['l3-static'], null, []]);
  });

  it('devices that share an address are one gateway and one next hop', () => {
    const shared = ['leaf1', 'leaf2'].map((name) => t.device(name, ['192.168.0.254', 'fd00::254']));
    const root = racks({
      fabric: t.l3Static,
      devices: [t.device('spine', ['192.168.9.1', 'fd09::1'])],
      groups: [
        t.group('rack1', { n4: '10.0.0.0/9', n6: 'fd10::/17' }, { devices: shared }),
        t.group('rack2', {}),
      ],
    });
    const plan = planRouting(t.input(networks, root, [host('a', 'rack1', ['192.168.0.1'], ['10.1.0.0/16'])]));
    assert.equal(t.showHops(plan.host('a')!.gateways), 'leaf1@192.168.0.254 leaf1@fd00::254');
    assert.ok(t.show(plan.device('spine')!.routes).includes('10.0.0.0/9 via leaf1@192.168.0.254'));
  });

  it('vpc: hosts of one leaf group directly, or of the group whose subnet is stated', () => {
    const hosts = [
      host('a', 'rack1', ['172.31.0.1'], ['10.1.0.0/16']),
      host('b', 'rack1', ['172.31.0.2'], ['10.2.0.0/16']),
      host('c', 'rack2', ['172.31.1.1'], ['10.129.0.0/16']),
    ];
    // what nobody has of the subnet's part ends here: the tables may lead it here, and would again
    assert.deepEqual(routes('a', hosts, racks({ fabric: t.vpc })), [
      '10.0.0.0/9 drop',
      '10.1.0.0/16 drop',
      '10.2.0.0/16 via b@172.31.0.2',
      'fd10::/17 drop',
    ]);
    assert.deepEqual(routes('a', hosts, racks({ fabric: { ...t.vpc, subnet: 'subnet-1' } })), [
      '10.1.0.0/16 drop',
      '10.2.0.0/16 via b@172.31.0.2',
      '10.129.0.0/16 via c@172.31.1.1',
    ]);
  });

  it('several topologies: each says who shares a link for the networks that it carves, the first for the others', () => {
    const input = {
      networks: [
        t.network('one', '10.0.0.0/8', 'one'),
        t.network('two', '100.64.0.0/10', 'two'),
        t.network('flat', '172.30.0.0/16', null),
      ],
      topologies: [
        {
          name: 'one',
          root: t.group('', { one: '10.0.0.0/8' }, { groups: [t.group('x', {}), t.group('y', {})] }),
        },
        {
          name: 'two',
          root: t.group('', { two: '100.64.0.0/10' }, { groups: [t.group('p', {}), t.group('q', {})] }),
        },
      ],
      hosts: [
        ['a', 'x', 'p', 1],
        ['b', 'x', 'q', 2],
        ['c', 'y', 'p', 3],
      ].map(([name, one, two, n]) => ({
        ...t.host(`${name}`, null, [`192.168.0.${n}`], {
          one: `10.${n}.0.0/16`,
          two: `100.64.${n}.0/24`,
          flat: `172.30.${n}.0/24`,
        }),
        places: [
          { topology: 'one', path: `${one}` },
          { topology: 'two', path: `${two}` },
        ],
      })),
    };
    const [one, flat] = [parseAddress('10.2.0.1'), parseAddress('172.30.2.1')];
    const result = planRouting(input).host('a')!;
    assert.deepEqual(
      t.show(result.routes).filter((line) => line.includes('via')),
      ['10.2.0.0/16 via b@192.168.0.2', '100.64.3.0/24 via c@192.168.0.3', '172.30.2.0/24 via b@192.168.0.2'],
    );
    for (const address of [one, flat]) assert.notEqual(lookup(result, address), undefined);
  });
});
