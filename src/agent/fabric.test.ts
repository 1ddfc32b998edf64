/** The same host on every fabric: its routes, what its speaker is told, whom it looks after. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Device, Fabric } from '#contract/fabric.ts';
import type * as m from '#contract/model.ts';
import { storedFabric } from '#contract/routing.ts';
import { formatAddress, formatCidr } from '#core/address/index.ts';
import { type BgpFabric, bgpDefaults, l2Default } from '#core/routing/index.ts';
import type { Following } from './bgp/following.ts';
import { computeDesired, type Desired, type DesiredInput } from './desired.ts';
import type { FakeKernel } from './drivers/iproute2/fake-kernel.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import { endpointOf, hostOf, machine, objectsOf, wiredOf } from './testing.ts';

const device = (name: string, ...addresses: string[]): Device => ({
  name,
  platform: 'frr',
  addresses,
  uplinks: [],
  asn: 65001,
  routerId: null,
  routeReflector: false,
  links: {},
  budget: null,
});
const leaves = [device('leaf1a', '192.168.0.254', 'fd99::fe'), device('leaf1b', '192.168.1.254', 'fd98::fe')];
const bgp = (more: Partial<BgpFabric> = {}): Fabric =>
  storedFabric({ ...bgpDefaults, hostAsn: 65101, daemon: 'gobgp', ...more });

/** Both hosts in the group r1, on links to both leaves. */
function site(fabric: Fabric, hosts: readonly m.Host[] = [member(1), member(2)], devices = leaves) {
  const topology: m.Topology = {
    groups: [{ name: 'r1', fabric, devices }],
    name: 'default',
    networks: null,
    aggregates: ['four', 'six'].map((network) => ({
      path: 'r1',
      network,
      cidr: network === 'four' ? '10.0.0.0/8' : 'fd10::/16',
      leaf: true,
      topology: 'default',
    })),
    revision: 1,
  };
  return { ...objectsOf({ hosts }), topology: new Map([['', topology]]) };
}

function member(n: number, more: Partial<m.Host> = {}): m.Host {
  return hostOf(n, {
    group: 'r1',
    uplinks: [
      { device: 'leaf1a', addresses: [`192.168.0.${n}`, `fd99::${n}`], link: null },
      { device: 'leaf1b', addresses: [`192.168.1.${n}`, `fd98::${n}`], link: null },
    ],
    ...more,
  });
}

/** up0 towards leaf1a, up1 towards leaf1b. */
function dualHomed(): FakeKernel {
  const { kernel } = machine();
  kernel.addLink('up1');
  kernel.setUp('up1', true);
  kernel.addAddress('up1', '192.168.1.1/24');
  kernel.addAddress('up1', 'fd98::1/64');
  return kernel;
}

function desire(
  objects: DesiredInput['objects'],
  kernel = dualHomed(),
  more: Partial<DesiredInput> = {},
): Desired {
  return computeDesired({
    host: 'h1',
    objects,
    endpoints: [],
    facts: kernel.facts(),
    uplinks: [],
    endpointLinks: ['rom*', 'tap*'],
    mtu: 0,
    guardOthers: { 4: false, 6: false },
    ...more,
  });
}
const routes = (desired: Desired): string[] => desired.routes.map(routeText).sort();
const own = ['10.1.0.0/16 blackhole', 'fd10:1::/32 blackhole'];
const sessions = (...names: string[]): Following => ({ 4: names, 6: names });

test('l3-static: nothing but the own ranges; everything else is the default route of the site', () => {
  const desired = desire(site({ kind: 'l3-static' }));
  assert.deepEqual([routes(desired), desired.bgp, desired.problems], [own, null, []]);
});

test('l2 over two links: other hosts over both, in one route for each range', () => {
  assert.deepEqual(routes(desire(site(l2Default))), [
    own[0],
    '10.2.0.0/16 via 192.168.0.2 via 192.168.1.2',
    own[1],
    'fd10:2::/32 via fd98::2 via fd99::2',
  ]);
});

for (const [what, cut] of [
  ['a link that is down', (kernel: FakeKernel) => kernel.setUp('up1', false)],
  ['a link without a carrier', (kernel: FakeKernel) => kernel.setCarrier('up1', false)],
] as const) {
  test(`next hops over ${what} are left out as long as one is left, in both families`, () => {
    const kernel = dualHomed();
    cut(kernel);
    const one = routes(desire(site(l2Default), kernel)).filter((text) => text.includes('via'));
    assert.deepEqual(one, ['10.2.0.0/16 via 192.168.0.2', 'fd10:2::/32 via fd99::2']);
    kernel.setCarrier('up0', false);
    const none = routes(desire(site(l2Default), kernel)).filter((text) => text.includes('via'));
    assert.equal(none.length, 2, 'they stay wanted');
  });
}

test('the links of uplinks are uplinks to the rules, without a default route too', () => {
  assert.deepEqual(desire(site(bgp())).rules.uplinks, ['up0', 'up1']);
  const named = member(1, { uplinks: [{ device: 'leaf1a', addresses: [], link: 'up1' }] });
  assert.deepEqual(desire(site(bgp({ daemon: 'frr', unnumbered: true }), [named])).rules.uplinks, [
    'up0',
    'up1',
  ]);
  const elsewhere = member(1, { uplinks: [{ device: 'leaf1a', addresses: [], link: 'gone0' }] });
  assert.deepEqual(desire(site(bgp({ daemon: 'frr', unnumbered: true }), [elsewhere])).rules.uplinks, [
    'up0',
  ]);
});

test('bgp: the speaker is told the own ranges; a daemon that writes what it learns leaves the agent the blackholes', () => {
  const desired = desire(site(bgp()), dualHomed(), { following: () => null });
  assert.deepEqual(routes(desired), own);
  assert.deepEqual(desired.bgp?.announce.map(formatCidr), ['10.1.0.0/16', 'fd10:1::/32']);
  assert.deepEqual(
    desired.bgp.peers
      .map(({ name, address }) => `${name} ${address === null ? '' : formatAddress(address)}`)
      .sort(),
    ['leaf1a 192.168.0.254', 'leaf1a fd99::fe', 'leaf1b 192.168.1.254', 'leaf1b fd98::fe'],
  );
});

test('bgp: where the daemon writes nothing, the networks go over the devices with a session, or all', () => {
  const over = (following: Following): string[] =>
    routes(
      desire(site(bgp()), dualHomed(), { following: () => ({ over: following, standIn: false }) }),
    ).filter((text) => text.includes('via'));
  const all = ['10.0.0.0/8 via 192.168.0.254 via 192.168.1.254', 'fd10::/16 via fd98::fe via fd99::fe'];
  assert.deepEqual(over(sessions('leaf1a', 'leaf1b')), all);
  assert.deepEqual(over(sessions('leaf1b')), ['10.0.0.0/8 via 192.168.1.254', 'fd10::/16 via fd98::fe']);
  assert.deepEqual(over({ 4: ['leaf1a'], 6: ['leaf1b'] }), [
    '10.0.0.0/8 via 192.168.0.254',
    'fd10::/16 via fd98::fe',
  ]);
  assert.deepEqual(over(sessions()), all);
  assert.deepEqual(over(sessions('one that is gone')), all);
});

test('bgp: a session over a link that is down is no way', () => {
  const kernel = dualHomed();
  kernel.setUp('up0', false);
  const desired = desire(site(bgp()), kernel, {
    following: () => ({ over: sessions('leaf1a', 'leaf1b'), standIn: false }),
  });
  assert.deepEqual(
    routes(desired).filter((text) => text.includes('via')),
    ['10.0.0.0/8 via 192.168.1.254', 'fd10::/16 via fd98::fe'],
  );
});

test('of a fenced host the blackholes alone are left, and nothing is announced', () => {
  const fenced = member(1, { state: 'fenced' });
  for (const fabric of [l2Default, bgp()]) {
    const desired = desire(site(fabric, [fenced, member(2)]));
    assert.deepEqual(routes(desired), own);
    assert.deepEqual(desired.bgp?.announce ?? [], []);
  }
});

test('a lost host is unreachable for the others of its link, and looked after so that it can come back', () => {
  const watching: Fabric = { ...l2Default, withdrawAfterSeconds: 30 };
  const desired = desire(site(watching, [member(1), member(2, { lost: true }), member(3)]));
  assert.deepEqual(
    routes(desired).filter((text) => /^(10|fd10:)\.?2[./:]/.test(text)),
    ['10.2.0.0/16 unreachable', 'fd10:2::/32 unreachable'],
  );
  assert.deepEqual(
    desired.watched.map(({ name }) => name),
    ['h2', 'h3'],
  );
});

test('hosts are looked after only where the fabric withdraws them, and by none that is fenced', () => {
  const watching: Fabric = { ...l2Default, withdrawAfterSeconds: 30 };
  assert.deepEqual(desire(site(l2Default)).watched, []);
  assert.deepEqual(desire(site(bgp())).watched, []);
  assert.deepEqual(desire(site({ kind: 'l3-static' })).watched, []);
  assert.deepEqual(desire(site(watching, [member(1, { state: 'fenced' }), member(2)])).watched, []);
  const inherited = site(watching);
  const topology = inherited.topology.get('')!;
  const { fabric: _, ...bare } = topology.groups[0]!;
  const above = { ...topology, groups: [bare], fabric: watching };
  assert.deepEqual(
    desire({ ...inherited, topology: new Map([['', above]]) }).watched.map(({ name }) => name),
    ['h2'],
  );
});

test('a changed host address: the source follows the address that the host has, and who has none is told', () => {
  const moved = member(1, { addresses: ['192.168.0.77', 'fd99::1'] });
  const wired = [endpointOf('a/x/e', ['10.1.1.17', 'fd10:1:1:1::1'])].map(wiredOf);
  const desired = desire(site(l2Default, [moved, member(2)]), dualHomed(), { endpoints: wired });
  const sources = desired.routes.flatMap((route) => (route.kind === 'link' ? [route.source] : []));
  assert.deepEqual(
    sources.map((source) => source && formatAddress(source)),
    ['192.168.0.1', 'fd99::1'],
  );
  assert.deepEqual(
    desired.problems.map(({ code }) => code),
    ['host_unreachable'],
  );
  assert.match(desired.problems[0]!.message, /192\.168\.0\.77/);
  const kernel = dualHomed();
  kernel.addAddress('up0', '192.168.0.77/24');
  const after = desire(site(l2Default, [moved, member(2)]), kernel, { endpoints: wired });
  assert.deepEqual(after.problems, []);
  assert.ok(after.routes.some((route) => route.kind === 'link' && route.source?.w0 === 0xc0a8004d));
});

test('another host with the same address, and another machine that answers for it, are told', () => {
  const twin = hostOf(2, { group: 'r1', addresses: ['192.168.0.1'] });
  const clash = desire(site(l2Default, [hostOf(1, { group: 'r1' }), twin], []));
  assert.ok(
    clash.problems.some(({ message }) => message.includes('h2')),
    JSON.stringify(clash.problems),
  );
  const kernel = dualHomed();
  kernel.setDuplicate('up0', 'fd99::1');
  const desired = desire(site(l2Default), kernel);
  assert.deepEqual(
    desired.problems.map(({ code }) => code),
    ['host_unreachable'],
  );
  assert.match(desired.problems[0]!.message, /link up0 has the address fd99::1/);
});

test('a link that moves to bgp keeps its direct routes while the fabric says so, and gains what is announced', () => {
  const before = routes(desire(site(l2Default)));
  const after = routes(desire(site(bgp({ direct: true }))));
  assert.deepEqual(
    before.filter((text) => !after.includes(text)),
    [],
  );
  assert.equal(after.length, before.length + 2);
});
