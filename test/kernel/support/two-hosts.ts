/**
 * Two hosts with real tables and endpoints in namespaces of their own, for tests of what the kernel lets through. Every endpoint
 * counts what arrives at it by source and destination, so that a verdict is a number of packets and not the absence of an answer.
 */
import assert from 'node:assert/strict';
import { NftablesDriver } from '#agent/drivers/nftables/driver.ts';
import { buildRuleset, type LocalEndpoint, type RulesInput } from '#agent/rules/build.ts';
import {
  type Cidr,
  formatAddress,
  formatCidr,
  hostRoute,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import type { PolicyModel } from '#core/policy/index.ts';
import { makeNetns, type Netns, veth } from '../../support/namespace.ts';

export interface TestHost {
  readonly name: string;
  /** Ranges of its host ids. */
  readonly cidrs: readonly string[];
}

export interface TestEndpoint {
  /** At most 11 characters; also the name of its namespace. */
  readonly name: string;
  readonly host: string;
  readonly tenant: string;
  readonly addresses: readonly string[];
}

export interface World {
  /** Makes both hosts enforce the model; answers how many rules each table has. */
  apply(model: PolicyModel): Promise<number[]>;
  /** Sends one echo request for every pair of addresses of a family; answers the pairs that arrived, as `source destination`. */
  arrivals(): Promise<ReadonlySet<string>>;
  /** Sends echo requests with any source out of an endpoint or host; answers those pairs that arrived anywhere. */
  forged(from: string, pairs: readonly (readonly [string, string])[]): Promise<ReadonlySet<string>>;
  readonly drivers: ReadonlyMap<string, NftablesDriver>;
  readonly spaces: ReadonlyMap<string, Netns>;
}

const gateway = '169.254.1.1';
const underlay = { 0: ['192.168.0.1', 'fd00::1'], 1: ['192.168.0.2', 'fd00::2'] } as const;
const six = (address: string): boolean => address.includes(':');

export async function twoHosts(
  hosts: readonly [TestHost, TestHost],
  endpoints: readonly TestEndpoint[],
): Promise<World> {
  const spaces = await Promise.all(hosts.map(({ name }) => space(name)));
  const [first, second] = spaces as [Netns, Netns];
  await veth(first, 'up0', second, 'up0');
  await Promise.all(
    hosts.map((host, index) => {
      const [own4, own6] = underlay[index as 0 | 1];
      const [via4, via6] = underlay[index === 0 ? 1 : 0];
      const other = hosts[1 - index]!;
      return setUp(spaces[index]!, [
        `address add ${own4}/24 dev up0`,
        `address add ${own6}/64 dev up0 nodad`,
        `address add ${gateway}/32 dev lo scope link`,
        ...host.cidrs.map((cidr) => `route add blackhole ${cidr}`),
        ...other.cidrs.map((cidr) => `route add ${cidr} via ${six(cidr) ? via6 : via4}`),
      ]);
    }),
  );
  const places = new Map(
    endpoints.map((endpoint) => [endpoint.name, makeEndpoint(endpoint, spaces[hostIndex(hosts, endpoint)]!)]),
  );
  const namespaces = new Map<string, Netns>();
  for (const [name, made] of places) namespaces.set(name, await made);

  const drivers = new Map(
    hosts.map(({ name }, index) => [
      name,
      new NftablesDriver((argv, options) => spaces[index]!.run(argv, options)),
    ]),
  );
  const apply = (model: PolicyModel): Promise<number[]> =>
    Promise.all(
      hosts.map(async (host, index) => {
        const driver = drivers.get(host.name)!;
        await driver.apply(buildRuleset(rulesOf(model, endpoints, host, hosts[1 - index]!)));
        return (await driver.counts()).rules;
      }),
    );
  const send = async (
    pairs: readonly (readonly [string, string, string])[],
  ): Promise<ReadonlySet<string>> => {
    await Promise.all([...namespaces.values()].map((ns) => ns.run(['nft', '-f', '-'], { stdin: counting })));
    const bySender = Map.groupBy(pairs, ([from]) => from);
    await Promise.all(
      [...bySender].map(([from, list]) =>
        (namespaces.get(from) ?? spaces[hosts.findIndex(({ name }) => name === from)]!).run(
          ['perl', '-e', sender],
          {
            stdin: list.map(([, source, destination]) => `${source} ${destination}\n`).join(''),
            timeoutMs: 60_000,
          },
        ),
      ),
    );
    return eventualArrivals(namespaces.values());
  };
  return {
    drivers,
    spaces: new Map(hosts.map(({ name }, index) => [name, spaces[index]!])),
    apply,
    arrivals: () =>
      send(
        endpoints.flatMap((from) =>
          from.addresses.flatMap((source) =>
            endpoints
              .filter((to) => to !== from)
              .flatMap((to) => to.addresses)
              .filter((destination) => six(source) === six(destination))
              .map((destination) => [from.name, source, destination] as const),
          ),
        ),
      ),
    forged: (from, pairs) => send(pairs.map(([source, destination]) => [from, source, destination] as const)),
  };
}

function hostIndex(hosts: readonly [TestHost, TestHost], { host, name }: TestEndpoint): number {
  const index = hosts.findIndex((candidate) => candidate.name === host);
  assert.ok(index >= 0, `endpoint ${name} is on no host of this world`);
  return index;
}

export function rulesOf(
  model: PolicyModel,
  endpoints: readonly TestEndpoint[],
  host: TestHost,
  other: TestHost,
): RulesInput {
  const local = endpoints
    .filter((endpoint) => endpoint.host === host.name)
    .map(
      ({ name, tenant, addresses }): LocalEndpoint => ({
        tenant,
        link: linkOf(name),
        addresses: addresses.map(parseAddress),
        sourcePrefixes: [],
      }),
    );
  const peers: Cidr[] = other.cidrs.map(parseCidr);
  return {
    model,
    endpoints: local,
    peers,
    uplinks: ['up0'],
    endpointLinks: ['rom*'],
    gateways: { 4: parseAddress(gateway), 6: parseAddress('fe80::1') },
    guardOthers: { 4: false, 6: false },
  };
}

const linkOf = (name: string): string => `rom-${name}`;

async function makeEndpoint(endpoint: TestEndpoint, host: Netns): Promise<Netns> {
  const { name, addresses } = endpoint;
  const ns = await space(name);
  await veth(host, linkOf(name), ns, 'eth0');
  await setUp(host, [
    `address add fe80::1/64 dev ${linkOf(name)} nodad`,
    ...addresses.map(
      (address) => `route add ${formatCidr(hostRoute(parseAddress(address)))} dev ${linkOf(name)}`,
    ),
  ]);
  const anySix = addresses.some(six);
  await setUp(ns, [
    ...addresses.map(
      (address) =>
        `address add ${formatCidr(hostRoute(parseAddress(address)))} dev eth0${six(address) ? ' nodad' : ''}`,
    ),
    `route add ${gateway} dev eth0`,
    `route add default via ${gateway} dev eth0`,
    ...(anySix ? ['route add default via fe80::1 dev eth0'] : []),
  ]);
  return ns;
}

/** A namespace that routes, whose IPv6 addresses work at once: those of links made in it too. */
async function space(name: string): Promise<Netns> {
  const ns = await makeNetns(name);
  const settings = ['forwarding=1', 'accept_dad=0'].flatMap((setting) =>
    ['all', 'default'].map((scope) => `net.ipv6.conf.${scope}.${setting}`),
  );
  await ns.run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', ...settings]);
  return ns;
}

async function setUp(ns: Netns, lines: readonly string[]): Promise<void> {
  await ns.run(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });
}

/** Before conntrack, so that what arrives is counted whatever becomes of it. Kept small: each probe begins with an empty table. */
const counting = `
table inet seen
delete table inet seen
table inet seen {
  set seen4 {
    type ipv4_addr . ipv4_addr
    flags dynamic
  }
  set seen6 {
    type ipv6_addr . ipv6_addr
    flags dynamic
  }
  chain input {
    type filter hook prerouting priority -400;
    icmp type echo-request update @seen4 { ip saddr . ip daddr }
    icmpv6 type echo-request update @seen6 { ip6 saddr . ip6 daddr }
  }
}
`;

/**
 * Writes echo requests with the IP headers it is told, twice, a moment apart: the first may meet a neighbour that is still being
 * found. One program sends for all pairs of its namespace; the last packet goes out before it ends.
 */
const sender = String.raw`
use Socket qw(:all);
sub sum { my $s = 0; $s += $_ for unpack('n*', $_[0] . (length($_[0]) % 2 ? "\0" : '')); $s = ($s >> 16) + ($s & 0xffff) while $s >> 16; return ~$s & 0xffff }
my @pairs = map { [split] } <STDIN>;
my ($raw4, $raw6);
for my $round (1 .. 2) {
  my $n = 0;
  for my $pair (@pairs) {
    my ($from, $to) = @$pair;
    my $id = $$ & 0xffff; $n++;
    if ($to =~ /:/) {
      socket($raw6, AF_INET6, SOCK_RAW, 255) or die "raw6: $!" unless $raw6;
      my ($s, $d) = (inet_pton(AF_INET6, $from), inet_pton(AF_INET6, $to));
      my $icmp = pack('CCnnn', 128, 0, 0, $id, $n);
      my $check = sum($s . $d . pack('NN', length $icmp, 58) . $icmp);
      substr($icmp, 2, 2) = pack('n', $check);
      my $packet = pack('NnCC', 0x60000000, length $icmp, 58, 64) . $s . $d . $icmp;
      send($raw6, $packet, 0, pack_sockaddr_in6(0, $d)) or warn "$from $to: $!";
    } else {
      unless ($raw4) { socket($raw4, AF_INET, SOCK_RAW, 255) or die "raw4: $!" }
      my ($s, $d) = (inet_aton($from), inet_aton($to));
      my $icmp = pack('CCnnn', 8, 0, 0, $id, $n);
      substr($icmp, 2, 2) = pack('n', sum($icmp));
      my $packet = pack('CCnnnCCn', 0x45, 0, 20 + length $icmp, 0, 0, 64, 1, 0) . $s . $d . $icmp;
      send($raw4, $packet, 0, pack_sockaddr_in(0, $d)) or warn "$from $to: $!";
    }
  }
  select(undef, undef, undef, 0.3);
}
`;

/** Until two looks in a row see the same: packets on their way through queues have arrived then. */
async function eventualArrivals(namespaces: Iterable<Netns>): Promise<ReadonlySet<string>> {
  const all = [...namespaces];
  const look = async (): Promise<Set<string>> => new Set((await Promise.all(all.map(arrivedAt))).flat());
  let before = await look();
  for (;;) {
    const now = await look();
    if (now.size === before.size) return now;
    before = now;
  }
}

async function arrivedAt(ns: Netns): Promise<string[]> {
  const { stdout } = await ns.run(['nft', '-j', 'list', 'table', 'inet', 'seen']);
  const { nftables } = JSON.parse(stdout) as { nftables: { set?: { elem?: { concat: string[] }[] } }[] };
  return nftables.flatMap(({ set }) =>
    (set?.elem ?? []).map(({ concat }) => concat.map((text) => formatAddress(parseAddress(text))).join(' ')),
  );
}
