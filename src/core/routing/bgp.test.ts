import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress, parseCidr } from '../address/index.ts';
import type { BgpFabric } from './fabric.ts';
import type { BgpNeighbour, RoutingGroup, RoutingHost, RoutingPlan } from './model.ts';
import { planRouting } from './plan.ts';
import * as t from './testing.ts';

const networks = [t.network('n4', '10.0.0.0/8'), t.network('n6', 'fd10::/16')];
const leaf = (name: string, n: number, more = {}): ReturnType<typeof t.device> =>
  t.device(name, [`172.17.${n}.1`, `fd02:${n}::1`], {
    asn: 65_000 + n,
    uplinks: [t.deviceUplink('spine', [`172.16.${n}.2`, `fd01:${n}::2`], [`172.16.${n}.1`, `fd01:${n}::1`])],
    ...more,
  });
const spine = t.device('spine', ['172.16.0.1', 'fd01::1'], { asn: 65_000 });

interface Stated {
  readonly fabric?: Partial<BgpFabric>;
  readonly root?: Partial<RoutingGroup>;
  readonly leaves?: RoutingGroup['devices'];
  readonly hosts?: readonly RoutingHost[];
}
function plan({
  fabric = {},
  root = {},
  leaves = [leaf('leaf1', 1)],
  hosts = [host(1)],
}: Stated = {}): RoutingPlan {
  return planRouting(
    t.input(
      networks,
      t.group(
        '',
        { n4: '10.0.0.0/8', n6: 'fd10::/16' },
        {
          fabric: t.bgp(fabric),
          devices: [spine],
          groups: [
            t.group('rack1', { n4: '10.0.0.0/9', n6: 'fd10::/17' }, { devices: leaves }),
            t.group('rack2', { n4: '10.128.0.0/9', n6: 'fd10:8000::/17' }),
          ],
          ...root,
        },
      ),
      hosts,
    ),
  );
}
const host = (n: number, more: Partial<RoutingHost> = {}): RoutingHost =>
  t.host(
    `h${n}`,
    'rack1',
    [`172.18.0.${n}`, `fd03::${n}`],
    { n4: `10.${n}.0.0/16`, n6: `fd10:${n}::/32` },
    { number: n, ...more },
  );

const show = ({
  name,
  role,
  address,
  local,
  link,
  asn,
  accept,
  acceptWithin,
  announce,
  announceWithin,
}: BgpNeighbour): unknown => ({
  to: `${role} ${name} AS ${asn}`,
  over: [local, address].map((each) => (each === null ? link : formatAddress(each))).join(' → '),
  accept: [...t.showCidrs(accept), ...t.showCidrs(acceptWithin).map((cidr) => `${cidr}+`)].join(' '),
  announce: [...t.showCidrs(announce), ...t.showCidrs(announceWithin).map((cidr) => `${cidr}+`)].join(' '),
});
const neighbours = (from: RoutingPlan, name: string): unknown[] =>
  from.device(name)!.bgp!.neighbours.map(show);

describe('intents of BGP', () => {
  it('one leaf: the host tells its own ranges, the leaf its aggregates, the spine the networks; each accepts exactly that (R2)', () => {
    const made = plan();
    assert.deepEqual(neighbours(made, 'leaf1'), [
      {
        to: 'host h1 AS 65100',
        over: '172.17.1.1 → 172.18.0.1',
        accept: '10.1.0.0/16',
        announce: '10.0.0.0/8',
      },
      { to: 'host h1 AS 65100', over: 'fd02:1::1 → fd03::1', accept: 'fd10:1::/32', announce: 'fd10::/16' },
      {
        to: 'above spine AS 65000',
        over: '172.16.1.2 → 172.16.1.1',
        accept: '10.0.0.0/8',
        announce: '10.0.0.0/9',
      },
      {
        to: 'above spine AS 65000',
        over: 'fd01:1::2 → fd01:1::1',
        accept: 'fd10::/16',
        announce: 'fd10::/17',
      },
    ]);
    assert.deepEqual(neighbours(made, 'spine'), [
      {
        to: 'below leaf1 AS 65001',
        over: '172.16.1.1 → 172.16.1.2',
        accept: '10.0.0.0/9',
        announce: '10.0.0.0/8',
      },
      {
        to: 'below leaf1 AS 65001',
        over: 'fd01:1::1 → fd01:1::2',
        accept: 'fd10::/17',
        announce: 'fd10::/16',
      },
    ]);
    assert.deepEqual(t.showCidrs(made.device('leaf1')!.bgp!.originate), ['10.0.0.0/9', 'fd10::/17']);
    assert.deepEqual(t.showCidrs(made.device('spine')!.bgp!.originate), ['10.0.0.0/8', 'fd10::/16']);
    const { announce, accept, peers } = made.host('h1')!.bgp!;
    assert.deepEqual(t.showCidrs(announce), ['10.1.0.0/16', 'fd10:1::/32']);
    assert.deepEqual(t.showCidrs(accept), ['10.0.0.0/8', 'fd10::/16']);
    assert.deepEqual(
      peers.map(({ name, address, local, asn }) => [
        name,
        formatAddress(address!),
        formatAddress(local!),
        asn,
      ]),
      [
        ['leaf1', '172.17.1.1', '172.18.0.1', 65_001],
        ['leaf1', 'fd02:1::1', 'fd03::1', 65_001],
      ],
    );
  });

  it('two leaves tell what lies in the aggregates and drop nothing of them; with `aggregate` they tell these and drop the rest', () => {
    const leaves = [leaf('leaf1', 1), leaf('leaf2', 2)];
    const ranges = plan({ leaves });
    assert.deepEqual(t.showCidrs(ranges.device('leaf1')!.bgp!.originate), []);
    assert.deepEqual(
      ranges
        .device('leaf1')!
        .bgp!.neighbours.filter(({ role }) => role === 'above')
        .map(show),
      [
        {
          to: 'above spine AS 65000',
          over: '172.16.1.2 → 172.16.1.1',
          accept: '10.0.0.0/8',
          announce: '10.0.0.0/9+',
        },
        {
          to: 'above spine AS 65000',
          over: 'fd01:1::2 → fd01:1::1',
          accept: 'fd10::/16',
          announce: 'fd10::/17+',
        },
      ],
    );
    assert.ok(
      t.show(ranges.device('spine')!.routes).includes('10.1.0.0/16 via leaf1@172.16.1.2 leaf2@172.16.2.2'),
    );
    const whole = plan({ leaves, fabric: { aggregate: true } });
    assert.deepEqual(t.showCidrs(whole.device('leaf2')!.bgp!.originate), ['10.0.0.0/9', 'fd10::/17']);
    assert.ok(
      t.show(whole.device('spine')!.routes).includes('10.0.0.0/9 via leaf1@172.16.1.2 leaf2@172.16.2.2'),
    );
  });

  it('a fenced host keeps its sessions and may announce nothing; the devices accept nothing from it', () => {
    const made = plan({ hosts: [host(1, { state: 'fenced' })] });
    assert.deepEqual(made.host('h1')!.bgp!.announce, []);
    assert.equal(made.host('h1')!.bgp!.peers.length, 2);
    for (const { accept, acceptWithin } of made.device('leaf1')!.bgp!.neighbours.slice(0, 2)) {
      assert.deepEqual([accept, acceptWithin], [[], []]);
    }
  });

  it('own addresses and granted routes are announced and accepted, one by one, and told upwards', () => {
    const made = plan({
      fabric: { announceAddresses: true },
      hosts: [host(1, { granted: ['10.200.1.0/28', 'fd10:9000:1::/64'].map(parseCidr) })],
    });
    const told = [
      '10.1.0.0/16',
      '10.200.1.0/28',
      '172.18.0.1/32',
      'fd03::1/128',
      'fd10:1::/32',
      'fd10:9000:1::/64',
    ];
    assert.deepEqual(t.showCidrs(made.host('h1')!.bgp!.announce), told);
    const [four, six, up4, up6] = made.device('leaf1')!.bgp!.neighbours;
    assert.deepEqual([...t.showCidrs(four!.accept), ...t.showCidrs(six!.accept)], told);
    assert.deepEqual(t.showCidrs(up4!.announce), ['10.0.0.0/9', '10.200.1.0/28', '172.18.0.1/32']);
    assert.deepEqual(t.showCidrs(up6!.announce), ['fd03::1/128', 'fd10::/17', 'fd10:9000:1::/64']);
  });

  it('AS numbers: the fabric’s, the host’s own, or one for each host by its id; without an id there is no session yet', () => {
    const hosts = [host(1), host(2, { asn: 4_200_000_000 }), host(3, { number: null })];
    assert.deepEqual(
      hosts.map(({ name }) => plan({ hosts }).host(name)!.bgp?.asn),
      [65_100, 4_200_000_000, 65_100],
    );
    const each = plan({ hosts, fabric: { hostAsnPerHost: true } });
    assert.deepEqual(
      hosts.map(({ name }) => each.host(name)!.bgp?.asn),
      [65_101, 4_200_000_000, undefined],
    );
    assert.deepEqual(
      [...new Set(each.device('leaf1')!.bgp!.neighbours.map(({ name, asn }) => `${name} ${asn}`))],
      ['h1 65101', 'h2 4200000000', 'spine 65000'],
    );
    assert.ok(each.host('h3')!.problems.some(({ message }) => message.includes('no AS number')));
    const most = plan({ hosts: [host(1)], fabric: { hostAsn: 4_294_967_295, hostAsnPerHost: true } });
    assert.equal(most.host('h1')!.bgp, null);
  });

  it('options of the fabric reach both sides of the host’s session; devices among each other have no limit of prefixes', () => {
    const bfd = { intervalMs: 300, multiplier: 3 };
    const fabric = {
      bfd,
      ttlSecurity: true,
      passwordFile: '/etc/romana/bgp',
      maxPrefixes: 7,
      holdSeconds: 30,
      ecmp: 2,
      communities: ['65001:100'],
    };
    const made = plan({ fabric });
    const intent = made.host('h1')!.bgp!;
    assert.deepEqual([intent.holdSeconds, intent.ecmp, intent.communities], [30, 2, ['65001:100']]);
    for (const peer of intent.peers) {
      assert.deepEqual(
        [peer.bfd, peer.ttlSecurity, peer.passwordFile, peer.maxPrefixes],
        [bfd, true, '/etc/romana/bgp', 7],
      );
    }
    for (const { role, maxPrefixes, password, ttlSecurity } of made.device('leaf1')!.bgp!.neighbours) {
      assert.deepEqual([maxPrefixes, password, ttlSecurity], [role === 'host' ? 7 : null, true, true]);
    }
    // The path of a file on hosts says nothing to a switch.
    assert.ok(!JSON.stringify(made.device('leaf1')).includes('/etc/romana/bgp'));
  });

  it('sessions over links without addresses carry both families; both sides name their link', () => {
    const uplinks = [t.uplink('leaf1', [], 'eth1')];
    const made = plan({
      fabric: { unnumbered: true, daemon: 'frr' },
      leaves: [leaf('leaf1', 1, { links: { h1: 'swp1' } })],
      hosts: [host(1, { uplinks }), host(2)],
    });
    const [peer] = made.host('h1')!.bgp!.peers;
    assert.deepEqual([peer!.address, peer!.local, peer!.link, peer!.families], [null, null, 'eth1', [4, 6]]);
    const [back, ...others] = made.device('leaf1')!.bgp!.neighbours;
    assert.deepEqual([back!.name, back!.address, back!.link, back!.families], ['h1', null, 'swp1', [4, 6]]);
    assert.deepEqual(
      others.map(({ role }) => role),
      ['above', 'above'],
    );
    assert.deepEqual(
      t.show(made.device('leaf1')!.routes).filter((line) => line.includes('h1')),
      ['10.1.0.0/16 via h1@fe80::%swp1', 'fd10:1::/32 via h1@fe80::%swp1'],
    );
    assert.deepEqual(made.host('h2')!.bgp!.peers, []);
    assert.ok(made.host('h2')!.problems.some(({ message }) => message.includes('state the link')));
  });

  it('there is one session for each family that a network has and both sides have an address of', () => {
    const four = { ...host(1), addresses: host(1).addresses.slice(0, 1), ranges: host(1).ranges.slice(0, 1) };
    const made = plan({ hosts: [four] });
    assert.deepEqual(
      made.host('h1')!.bgp!.peers.map(({ families }) => families),
      [[4]],
    );
    assert.deepEqual(made.host('h1')!.problems, []);
    const lacking = plan({ hosts: [{ ...host(1), addresses: four.addresses }] });
    assert.deepEqual(
      lacking.problems.map(({ about, message }) => [about, message.includes('fd10:1::/32')]),
      [['h1', true]],
    );
  });

  it('the topmost device below a root without devices tells the networks and drops only what is its own', () => {
    const made = plan({ root: { devices: [] }, leaves: [leaf('leaf1', 1, { uplinks: [] })] });
    const { originate, advertise, neighbours: all } = made.device('leaf1')!.bgp!;
    assert.deepEqual(t.showCidrs(originate), ['10.0.0.0/9', 'fd10::/17']);
    assert.deepEqual(t.showCidrs(advertise), ['10.0.0.0/8', 'fd10::/16']);
    assert.deepEqual(
      [...new Set(all.flatMap(({ announce }) => t.showCidrs(announce)))],
      ['10.0.0.0/8', 'fd10::/16'],
    );
  });

  it('under a device that speaks no BGP the networks are led there, and the rest of the group’s part is dropped', () => {
    const made = plan({ root: { devices: [{ ...spine, asn: null }] } });
    const { originate, advertise, statics, neighbours: all } = made.device('leaf1')!.bgp!;
    assert.deepEqual(t.showCidrs(originate), ['10.0.0.0/9', 'fd10::/17']);
    assert.deepEqual(t.showCidrs(advertise), ['10.0.0.0/8', 'fd10::/16']);
    assert.deepEqual(t.show(statics), ['10.0.0.0/8 via spine@172.16.1.1', 'fd10::/16 via spine@fd01:1::1']);
    assert.deepEqual(
      all.map(({ role }) => role),
      ['host', 'host'],
    );
    assert.equal(made.device('spine')!.bgp, null);
    assert.ok(t.show(made.device('spine')!.routes).includes('10.0.0.0/9 via leaf1@172.16.1.2'));
  });

  it('hosts of another fabric below a BGP device are configured on it and told upwards with the rest', () => {
    const made = plan({
      root: {
        groups: [
          t.group(
            'rack1',
            { n4: '10.0.0.0/9', n6: 'fd10::/17' },
            { fabric: t.l3Static, devices: [leaf('leaf1', 1, { asn: null })] },
          ),
          t.group('rack2', { n4: '10.128.0.0/9', n6: 'fd10:8000::/17' }),
        ],
      },
    });
    assert.equal(made.device('leaf1')!.bgp, null);
    assert.equal(made.host('h1')!.bgp, null);
    assert.deepEqual(t.show(made.device('spine')!.bgp!.statics), [
      '10.0.0.0/9 via leaf1@172.16.1.2',
      'fd10::/17 via leaf1@fd01:1::2',
    ]);
  });

  it('inside one AS the reflector’s clients are what is below it; without a reflector it is said what is not told', () => {
    const inside = (routeReflector: boolean): RoutingPlan =>
      plan({
        fabric: { hostAsn: 65_000 },
        leaves: [leaf('leaf1', 1, { asn: 65_000, routeReflector })],
        root: {},
      });
    assert.deepEqual(
      inside(true)
        .device('leaf1')!
        .bgp!.neighbours.map(({ role, routeReflectorClient }) => [role, routeReflectorClient]),
      [
        ['host', true],
        ['host', true],
        ['above', false],
        ['above', false],
      ],
    );
    assert.deepEqual(inside(true).problems, []);
    assert.deepEqual(
      inside(false).problems.map(({ about, code }) => [about, code]),
      [['leaf1', 'topology_invalid']],
    );
  });

  it('an AS number that comes again above is named: what has come through it would be refused', () => {
    const again = plan({ fabric: { hostAsn: 65_000 } });
    assert.deepEqual(
      again.problems.map(({ about, code }) => [about, code]),
      [['h1', 'topology_invalid']],
    );
    assert.equal(plan({ fabric: { hostAsn: 65_001 } }).problems.length, 0);
  });

  it('a leaf that tells the aggregate hears of a host on the other leaf alone from above; with that leaf’s AS number it cannot, and says so', () => {
    const hosts = [host(1, { uplinks: [t.uplink('leaf1', [])] })];
    const [first, second] = [leaf('leaf1', 1), leaf('leaf2', 2)];
    const made = plan({ fabric: { aggregate: true }, leaves: [first, second], hosts });
    assert.ok(t.show(made.device('leaf2')!.routes).includes('10.1.0.0/16 via spine@172.16.2.1'));
    assert.deepEqual(made.device('leaf2')!.problems, []);
    const same = plan({ fabric: { aggregate: true }, leaves: [first, { ...second, asn: first.asn }], hosts });
    assert.deepEqual(
      same.device('leaf2')!.problems.map(({ message }) => message.includes('different AS numbers')),
      [true, true],
    );
    assert.deepEqual(
      plan({ leaves: [first, { ...second, asn: first.asn }], hosts }).device('leaf2')!.problems,
      [],
    );
  });

  it('a device without an AS number, an unknown device, no link to the serving group: each is named with what to do', () => {
    const mute = plan({ leaves: [leaf('leaf1', 1, { asn: null })] });
    assert.ok(mute.host('h1')!.problems.some(({ message }) => message.includes('leaf1 has no AS number')));
    assert.deepEqual(mute.host('h1')!.bgp!.peers, []);
    assert.ok(t.show(mute.device('leaf1')!.routes).includes('10.1.0.0/16 via h1@172.18.0.1'));
    const lost = plan({ hosts: [host(1, { uplinks: [t.uplink('leaf9', [])] })] });
    assert.deepEqual(
      lost.problems.map(({ about, code }) => [about, code]),
      [
        ['h1', 'topology_invalid'],
        ['h1', 'host_unreachable'],
      ],
    );
    const up = plan({ leaves: [leaf('leaf1', 1, { uplinks: [t.deviceUplink('leaf1', [], [])] })] });
    assert.ok(up.device('leaf1')!.problems.some(({ message }) => message.includes('uplink to leaf1')));
  });
});
