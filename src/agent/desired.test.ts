import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type * as m from '#contract/model.ts';
import { formatAddress, formatCidr } from '#core/address/index.ts';
import { computeDesired, type Desired, type DesiredInput } from './desired.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import { linkName } from './owned.ts';
import {
  endpointOf,
  four,
  hostOf,
  type Machine,
  machine,
  type Objects,
  objectsOf,
  segmentOf,
  six,
  tenantOf,
  wiredOf,
} from './testing.ts';

interface Given extends Objects {
  readonly wired?: readonly m.Endpoint[];
  readonly on?: Machine;
  readonly input?: Partial<DesiredInput>;
}

function desire({ wired = [], on = machine(), input = {}, ...given }: Given = {}): Desired {
  return computeDesired({
    host: 'h1',
    objects: objectsOf(given),
    endpoints: wired.map(wiredOf),
    facts: on.kernel.facts(),
    uplinks: [],
    endpointLinks: ['rom*', 'tap*'],
    mtu: 0,
    guardOthers: { 4: false, 6: false },
    ...input,
  });
}

const routes = (desired: Desired): string[] => desired.routes.map(routeText).sort();
const codes = (desired: Desired): string[] => desired.problems.map(({ code }) => code);
const both = ['10.1.1.17', 'fd10:1:1:1::1'];

test('an endpoint gets its link, its routes with the node address as source, and its addresses in the rules', () => {
  const desired = desire({ wired: [endpointOf('a/x/e', both)] });
  const [link] = desired.links.links;
  assert.deepEqual([link?.endpoint, link?.link, link?.mtu], ['a/x/e', 'tap-e', 1500]);
  assert.deepEqual(link?.addresses.map(formatAddress), both);
  const own = desired.routes.flatMap((route) =>
    route.kind === 'link' ? [[routeText(route), route.source && formatAddress(route.source)]] : [],
  );
  assert.deepEqual(own, [
    ['10.1.1.17/32 dev tap-e', '192.168.0.1'],
    ['fd10:1:1:1::1/128 dev tap-e', 'fd99::1'],
  ]);
  assert.deepEqual(
    desired.rules.endpoints.map(({ tenant, link: name, addresses }) => [
      tenant,
      name,
      addresses.map(formatAddress),
    ]),
    [['a', 'tap-e', both]],
  );
  assert.deepEqual([desired.problems, [...desired.refused]], [[], []]);
});

test('each host route goes by the family of its network; the own ranges are black holes', () => {
  assert.deepEqual(routes(desire()), [
    '10.1.0.0/16 blackhole',
    '10.2.0.0/16 via 192.168.0.2',
    'fd10:1::/32 blackhole',
    'fd10:2::/32 via fd99::2',
  ]);
});

test('a host without an address of a family has no source there, and is told whom it cannot reach', () => {
  const only4 = hostOf(1, { addresses: ['192.168.0.1'] });
  const desired = desire({ hosts: [only4, hostOf(2)], wired: [endpointOf('a/x/e', both)] });
  const sources = desired.routes.flatMap((route) => (route.kind === 'link' ? [route.source] : []));
  assert.deepEqual(
    sources.map((source) => source && formatAddress(source)),
    ['192.168.0.1', null],
  );
  const others = desire({ hosts: [hostOf(1), hostOf(2, { addresses: ['fd99::2'] })] });
  assert.deepEqual(codes(others), ['host_unreachable']);
  assert.match(others.problems[0]!.message, /10\.2\.0\.0\/16 of host h2/);
  assert.ok(!routes(others).some((route) => route.includes('via 192.168')));
});

test('a pair of ours is named by its endpoint, an existing link by itself', () => {
  const veth: m.Attachment = { kind: 'veth-netns', netns: '/run/netns/n', ifname: 'eth0' };
  const peer: m.Attachment = {
    kind: 'existing-netns-peer',
    link: 'tap9',
    netns: '/run/netns/n',
    ifname: 'eth0',
  };
  const desired = desire({
    wired: [
      endpointOf('a/x/v', ['10.1.1.17'], { attachment: veth }),
      endpointOf('a/x/p', ['10.1.1.18'], { attachment: peer }),
      endpointOf('a/x/n', ['10.1.1.19'], { attachment: { kind: 'none' } }),
    ],
  });
  assert.deepEqual(
    desired.links.links.map(({ endpoint, link }) => [endpoint, link]),
    [
      ['a/x/p', 'tap9'],
      ['a/x/v', linkName('a/x/v')],
    ],
  );
  // Address only: no link, no route, no rule.
  assert.equal(desired.rules.endpoints.length, 2);
  assert.ok(!routes(desired).some((route) => route.startsWith('10.1.1.19')));
});

test('a link that two endpoints want stays with the first by name; the other is refused, whatever came first', () => {
  const one = endpointOf('a/x/one', ['10.1.1.17'], { attachment: { kind: 'existing-link', link: 'tap1' } });
  const two = endpointOf('a/x/two', ['10.1.1.18'], { attachment: { kind: 'existing-link', link: 'tap1' } });
  for (const wired of [
    [one, two],
    [two, one],
  ]) {
    const desired = desire({ wired });
    assert.deepEqual([...desired.refused.keys()], ['a/x/two']);
    assert.match(desired.refused.get('a/x/two')!.message, /tap1 belongs to endpoint a\/x\/one/);
    assert.deepEqual(
      desired.rules.endpoints.map(({ addresses }) => addresses.map(formatAddress)),
      [['10.1.1.17']],
    );
    assert.ok(!routes(desired).some((route) => route.startsWith('10.1.1.18')));
  }
});

test('a link outside the patterns is refused: the catch-all would not cover it', () => {
  for (const link of ['eth0', 'up0', 'lo', 'ta', 'xtap1', 'xrom1']) {
    const desired = desire({
      wired: [endpointOf('a/x/e', ['10.1.1.17'], { attachment: { kind: 'existing-link', link } })],
    });
    assert.deepEqual(
      [...desired.refused.values()].map(({ code }) => code),
      ['attachment_invalid'],
      link,
    );
    assert.deepEqual([desired.links.links, desired.rules.endpoints], [[], []], link);
  }
});

test('a pattern without a star is one name', () => {
  const wired = [endpointOf('a/x/e', ['10.1.1.17'], { attachment: { kind: 'existing-link', link: 'vm10' } })];
  assert.equal(desire({ wired, input: { endpointLinks: ['vm1'] } }).refused.size, 1);
  assert.equal(desire({ wired, input: { endpointLinks: ['vm10'] } }).refused.size, 0);
  assert.equal(desire({ wired, input: { endpointLinks: ['vm1*'] } }).refused.size, 0);
});

test('uplinks are found by the own addresses and default routes, or are what was said', () => {
  const on = machine();
  assert.deepEqual(desire({ on }).rules.uplinks, ['up0']);
  on.kernel.addLink('up1');
  on.kernel.setUp('up1', true);
  on.kernel.addAddress('up1', '172.16.0.2/24');
  assert.deepEqual(desire({ on }).rules.uplinks, ['up0']);
  const facts = on.kernel.facts();
  const withDefault = {
    ...facts,
    defaultRoutes: [{ family: 4 as const, link: 'up1', fromRouterAdvertisement: false }],
  };
  assert.deepEqual(desire({ input: { facts: withDefault } }).rules.uplinks, ['up0', 'up1']);
  assert.deepEqual(desire({ on, input: { uplinks: ['bond0'] } }).rules.uplinks, ['bond0']);
  // An own address on lo is no uplink.
  const loop = hostOf(1, { addresses: ['127.0.0.1'] });
  assert.deepEqual(desire({ hosts: [loop] }).rules.uplinks, []);
});

test('the MTU is that of the smallest uplink, unless one is stated', () => {
  const wired = [endpointOf('a/x/e', ['10.1.1.17'])];
  const on = machine();
  on.kernel.addLink('up1', { mtu: 1400 });
  on.kernel.addLink('small', { mtu: 576 });
  const mtu = (input: Partial<DesiredInput>) => desire({ on, wired, input }).links.links[0]?.mtu;
  assert.equal(mtu({}), 1500);
  assert.equal(mtu({ uplinks: ['up0', 'up1'] }), 1400);
  assert.equal(mtu({ uplinks: ['gone0'] }), 1500);
  assert.equal(mtu({ mtu: 9000 }), 9000);
});

test('only families of networks are forwarded', () => {
  assert.deepEqual(desire().links.families, [4, 6]);
  assert.deepEqual(desire({ networks: [four] }).links.families, [4]);
  assert.deepEqual(desire({ networks: [six] }).links.families, [6]);
  assert.deepEqual(desire({ networks: [] }).links.families, []);
});

test('peers are the ranges of all other hosts, never the own ones', () => {
  const desired = desire({ hosts: [hostOf(1), hostOf(2), hostOf(3)] });
  assert.deepEqual(desired.rules.peers.map(formatCidr), [
    '10.2.0.0/16',
    'fd10:2::/32',
    '10.3.0.0/16',
    'fd10:3::/32',
  ]);
});

test('a host that the control plane does not know keeps its endpoints, reaches nobody wrongly and says so', () => {
  const desired = desire({ hosts: [hostOf(2)], wired: [endpointOf('a/x/e', both)] });
  assert.equal(desired.problems[0]?.code, 'not_found');
  assert.match(desired.problems[0].message, /no host h1/);
  assert.equal(desired.links.links.length, 1);
  assert.ok(!routes(desired).some((route) => route.endsWith('blackhole')));
});

test('the model names tenants, their isolation and segments with their ids', () => {
  const { rules } = desire({
    tenants: [tenantOf('a', 1, 'tenant'), tenantOf('b', 2)],
    segments: [segmentOf('a', 'x', 1), segmentOf('a', 'y', 2)],
  });
  assert.deepEqual(
    rules.model.tenants.map(({ name, isolation, segments }) => [
      name,
      isolation,
      segments.map((each) => each.name),
    ]),
    [
      ['a', 'tenant', ['x', 'y']],
      ['b', 'segment', []],
    ],
  );
});

test('the same endpoints in another order give the same state', () => {
  const wired = Array.from({ length: 6 }, (_, n) =>
    endpointOf(`a/x/e${n}`, [`10.1.1.${17 + n}`], {
      attachment: { kind: 'existing-link', link: `tap${n % 4}` },
    }),
  );
  const wanted = desire({ wired });
  fc.assert(
    fc.property(fc.shuffledSubarray(wired, { minLength: wired.length }), (shuffled) => {
      assert.deepEqual(desire({ wired: shuffled }), wanted);
    }),
  );
});
