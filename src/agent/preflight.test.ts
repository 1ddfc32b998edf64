/** Each finding of the preflight: when it is made, and that it is not made of a sound host. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseAddress, parseCidr } from '#core/address/index.ts';
import { type Finding, type PreflightFacts, preflight } from './preflight.ts';

const link = (name: string, ...addresses: string[]): PreflightFacts['host']['links'][number] => ({
  name,
  mtu: 1500,
  up: true,
  running: true,
  addresses: addresses.map((text) => ({
    address: parseAddress(text.slice(0, text.indexOf('/'))),
    length: Number(text.slice(text.indexOf('/') + 1)),
  })),
});

const sound: PreflightFacts = {
  programs: [{ name: 'ip', debianPackage: 'iproute2', version: '6.1.0' }],
  netAdmin: true,
  tableProblem: null,
  host: {
    links: [
      link('lo', '127.0.0.1/8', '::1/128', '169.254.1.1/32'),
      link('eth0', '192.168.0.1/24', 'fd99::1/64', 'fe80::5/64'),
      link('rom0123456789', 'fe80::1/64'),
    ],
    defaultRoutes: [
      { family: 4, link: 'eth0', fromRouterAdvertisement: false },
      { family: 6, link: 'eth0', fromRouterAdvertisement: false },
    ],
    forwarding: { 4: false, 6: false },
  },
  routes: [
    { cidr: parseCidr('0.0.0.0/0'), protocol: 'boot', link: 'eth0' },
    { cidr: parseCidr('::/0'), protocol: 'boot', link: 'eth0' },
    { cidr: parseCidr('10.2.0.0/16'), protocol: 'bird', link: 'eth0' },
    { cidr: parseCidr('172.20.0.0/16'), protocol: 'static', link: 'eth0' },
  ],
  networks: [
    { name: 'net4', cidr: parseCidr('10.0.0.0/8') },
    { name: 'net6', cidr: parseCidr('fd10::/16') },
  ],
  nodeAddresses: [parseAddress('192.168.0.1'), parseAddress('fd99::1')],
  sysctls: { arpIgnoreAll: 0, rpFilterAll: 0, acceptRa: new Map([['eth0', 1]]) },
  conntrack: { count: 10, max: 65536 },
  dropChains: [],
  table: 'absent',
  now: Date.UTC(2026, 0, 1),
};

const brief = (findings: readonly Finding[]): string[] =>
  findings.map(({ severity, code }) => `${severity} ${code}`);
const check = (change: Partial<PreflightFacts>): string[] => brief(preflight({ ...sound, ...change }));
const withLink = (extra: PreflightFacts['host']['links'][number]): Partial<PreflightFacts> => ({
  host: { ...sound.host, links: [...sound.host.links, extra] },
});
const withRoute = (cidr: string, protocol: string): Partial<PreflightFacts> => ({
  routes: [...sound.routes, { cidr: parseCidr(cidr), protocol, link: 'eth0' }],
});

test('a sound host has no finding, nor one with our table', () => {
  assert.deepEqual(check({}), []);
  assert.deepEqual(check({ table: 'ours' }), []);
});

test('a missing program names its package', () => {
  const [finding] = preflight({
    ...sound,
    programs: [{ name: 'nft', debianPackage: 'nftables', version: null }],
  });
  assert.equal(finding?.code, 'program_missing');
  assert.match(finding.remedy, /nftables/);
});

test('privilege, kernel and foreign table', () => {
  assert.deepEqual(check({ netAdmin: false }), ['refuse not_privileged']);
  assert.deepEqual(check({ tableProblem: 'no vmap' }), ['refuse table_unsupported']);
  assert.deepEqual(check({ table: 'foreign' }), ['refuse table_foreign']);
});

test('arp_ignore is refused only where there is IPv4 to serve', () => {
  const sysctls = { ...sound.sysctls, arpIgnoreAll: 1 };
  assert.deepEqual(check({ sysctls }), ['refuse arp_ignored']);
  assert.deepEqual(check({ sysctls, networks: sound.networks.slice(1) }), []);
});

test('a default route by router advertisement is refused unless accept_ra is 2 or forwarding is on already', () => {
  const host = {
    ...sound.host,
    defaultRoutes: [{ family: 6 as const, link: 'eth0', fromRouterAdvertisement: true }],
  };
  const code = ['refuse router_advertisement'];
  assert.deepEqual(check({ host }), code);
  assert.deepEqual(check({ host, sysctls: { ...sound.sysctls, acceptRa: new Map() } }), code);
  assert.deepEqual(check({ host, sysctls: { ...sound.sysctls, acceptRa: new Map([['eth0', 0]]) } }), code);
  assert.deepEqual(check({ host, sysctls: { ...sound.sysctls, acceptRa: new Map([['eth0', 2]]) } }), []);
  assert.deepEqual(check({ host: { ...host, forwarding: { 4: false, 6: true } } }), []);
  assert.deepEqual(check({ host, networks: sound.networks.slice(0, 1) }), []);
});

test('a node address that no link has is refused, in both families', () => {
  for (const text of ['192.168.0.2', 'fd99::2']) {
    assert.deepEqual(check({ nodeAddresses: [parseAddress(text)] }), ['refuse node_address_missing']);
  }
  // Of our own links and link-local ones nobody may speak as of the host's own.
  assert.deepEqual(check({ nodeAddresses: [parseAddress('fe80::1')] }), ['refuse node_address_missing']);
});

test('a network that contains an address of the host or overlaps a connected range is refused', () => {
  assert.deepEqual(check(withLink(link('eth1', '10.9.0.1/24'))), ['refuse network_contains_host']);
  assert.deepEqual(check(withLink(link('eth1', 'fd10:9::1/64'))), ['refuse network_contains_host']);
  assert.deepEqual(check({ ...withLink(link('eth1', '11.0.0.1/7')) }), ['refuse network_overlaps_link']);
  assert.deepEqual(check({ ...withLink(link('eth1', 'fd11::1/15')) }), ['refuse network_overlaps_link']);
  assert.deepEqual(check(withLink(link('eth1', '11.0.0.1/8', '9.255.255.255/8'))), []);
});

test('foreign routes inside a network are refused, those around it warned of, those of speakers are not', () => {
  for (const [inside, equal, around, beside] of [
    ['10.7.0.0/16', '10.0.0.0/8', '8.0.0.0/6', '11.0.0.0/8'],
    ['fd10:7::/32', 'fd10::/16', 'fd00::/8', 'fd11::/16'],
  ] as const) {
    assert.deepEqual(check(withRoute(inside, 'static')), ['refuse network_overlaps_route']);
    assert.deepEqual(check(withRoute(equal, 'boot')), ['refuse network_overlaps_route']);
    assert.deepEqual(check(withRoute(around, 'dhcp')), ['warn network_inside_route']);
    assert.deepEqual(check(withRoute(beside, 'static')), []);
    assert.deepEqual(check(withRoute(inside, 'bgp')), []);
    assert.deepEqual(check(withRoute(inside, '82')), []);
  }
});

test('a foreign chain that drops forwarded packets is warned of, with the rule that helps', () => {
  const [finding] = preflight({ ...sound, dropChains: ['ip filter FORWARD'] });
  assert.equal(finding?.severity, 'warn');
  assert.match(finding.remedy, /nft insert rule ip filter FORWARD ip saddr 10\.0\.0\.0\/8 accept/);
  const [six] = preflight({ ...sound, dropChains: ['ip6 filter FORWARD'] });
  assert.match(six?.remedy ?? '', /ip6 filter FORWARD ip6 saddr fd10::\/16 accept/);
});

test('strict reverse path, full conntrack and a wrong clock are warned of', () => {
  assert.deepEqual(check({ sysctls: { ...sound.sysctls, rpFilterAll: 1 } }), ['warn rp_filter_strict']);
  assert.deepEqual(check({ sysctls: { ...sound.sysctls, rpFilterAll: 2 } }), []);
  assert.deepEqual(check({ conntrack: { count: 80, max: 100 } }), ['warn conntrack_nearly_full']);
  assert.deepEqual(check({ conntrack: { count: 79, max: 100 } }), []);
  assert.deepEqual(check({ conntrack: null }), []);
  assert.deepEqual(check({ now: Date.UTC(2025, 0, 1) - 1 }), ['warn clock_wrong']);
  assert.deepEqual(check({ now: Date.UTC(2025, 0, 1) }), []);
});

test('several faults are all told', () => {
  assert.equal(check({ netAdmin: false, table: 'foreign', now: 0 }).length, 3);
});
