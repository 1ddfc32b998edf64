/**
 * A VPC in namespaces: two subnets, a router between them whose tables are as planned, four hosts with the planned routes and real tables
 * of rules. Ranges are joined, so that packets and their answers pass different hosts that forward for others.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NftablesDriver } from '#agent/drivers/nftables/driver.ts';
import { buildRuleset } from '#agent/rules/build.ts';
import { addressPlan, formatAddress, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import type { PolicyModel } from '#core/policy/index.ts';
import { planRouting, type RoutingGroup, type RoutingInput, vpcDefaults } from '#core/routing/index.ts';
import { planVpc, vpcSites } from '#core/routing/vpc/index.ts';
import { inPrivateNamespaces, makeNetns, type Netns, veth } from '../support/namespace.ts';

const networks = [
  { name: 'v4', cidr: parseCidr('10.0.0.0/8') },
  { name: 'v6', cidr: parseCidr('fd10::/16') },
];
const zones = [
  { name: 'zone-a', aggregates: ['10.0.0.0/9', 'fd10::/17'] },
  { name: 'zone-b', aggregates: ['10.128.0.0/9', 'fd10:8000::/17'] },
];
/** The first of each zone will forward IPv4. */
const hosts = [
  {
    name: 'a1',
    zone: 0,
    last: 11,
    ranges: ['10.1.0.0/16', 'fd10:1::/32'],
    endpoint: ['10.1.1.17', 'fd10:1:1:1::1'],
  },
  {
    name: 'a2',
    zone: 0,
    last: 12,
    ranges: ['10.2.0.0/16', 'fd10:2::/32'],
    endpoint: ['10.2.1.17', 'fd10:2:1:1::1'],
  },
  {
    name: 'b1',
    zone: 1,
    last: 11,
    ranges: ['10.129.0.0/16', 'fd10:8001::/32'],
    endpoint: ['10.129.1.17', 'fd10:8001:1:1::1'],
  },
  {
    name: 'b2',
    zone: 1,
    last: 12,
    ranges: ['10.130.0.0/16', 'fd10:8002::/32'],
    endpoint: ['10.130.1.17', 'fd10:8002:1:1::1'],
  },
];
const underlay = ({ zone, last }: (typeof hosts)[number]): [string, string] => [
  `172.31.${zone}.${last}`,
  `fd31:${zone}::${last}`,
];

const group = (
  path: string,
  aggregates: readonly string[],
  more: Partial<RoutingGroup> = {},
): RoutingGroup => ({
  path,
  fabric: null,
  devices: [],
  aggregates: aggregates.map((text, index) => ({
    network: index === 0 ? 'v4' : 'v6',
    cidr: parseCidr(text),
  })),
  groups: [],
  ...more,
});
const input: RoutingInput = {
  networks: networks.map((network) => ({ ...network, topology: 'default' })),
  topologies: [
    {
      name: 'default',
      root: group('', ['10.0.0.0/8', 'fd10::/16'], {
        fabric: { ...vpcDefaults, region: 'eu-test-1', vpc: 'vpc-1', budget: 2 },
        groups: zones.map(({ name, aggregates }) => group(name, aggregates)),
      }),
    },
  ],
  hosts: hosts.map((host) => ({
    name: host.name,
    addresses: underlay(host).map(parseAddress),
    uplinks: [],
    asn: null,
    places: [{ topology: 'default', path: zones[host.zone]?.name ?? '' }],
    ranges: host.ranges.map((text, index) => ({ network: index === 0 ? 'v4' : 'v6', cidr: parseCidr(text) })),
    granted: [],
    state: 'active',
    number: 1,
  })),
};
const everywhere = networks.map(({ name }) => ({ network: name, id: 1 }));
const model: PolicyModel = {
  networks: networks.map(({ name, cidr }) => ({
    name,
    plan: addressPlan(
      cidr,
      name === 'v4'
        ? { host: 8, tenant: 8, segment: 4, endpoint: 4 }
        : { host: 16, tenant: 16, segment: 16, endpoint: 64 },
    ),
    infrastructure: 'deny',
  })),
  tenants: [
    { name: 'acme', isolation: 'segment', ids: everywhere, segments: [{ name: 'web', ids: everywhere }] },
  ],
};

/** Sends back what it gets. */
const server = `require('node:net').createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(7000, '::'); process.on('SIGTERM', () => process.exit(0));`;
/** One connection to each address: says which of them brought everything back. */
const client = `
  const net = require('node:net');
  const size = 200000;
  const talk = (host) => new Promise((resolve) => {
    let got = 0;
    const socket = net.connect({ host, port: 7000 }, () => socket.end(Buffer.alloc(size)));
    socket.setTimeout(3000, () => socket.destroy());
    socket.on('data', (data) => { got += data.length; }).on('error', () => {}).on('close', () => resolve(host + ' ' + (got === size)));
  });
  Promise.all(process.argv.slice(1).map(talk)).then((lines) => console.log(lines.join('\\n')));`;

async function space(name: string): Promise<Netns> {
  const ns = await makeNetns(name);
  const settings = ['forwarding=1', 'accept_dad=0'].flatMap((setting) =>
    ['all', 'default'].map((scope) => `net.ipv6.conf.${scope}.${setting}`),
  );
  await ns.run(['sysctl', '-q', '-w', 'net.ipv4.ip_forward=1', ...settings]);
  return ns;
}
const ip = (ns: Netns, lines: readonly string[]) =>
  ns.run(['ip', '-batch', '-'], { stdin: `${lines.join('\n')}\n` });

if (inPrivateNamespaces(import.meta.url)) {
  test('every endpoint talks to every other, over hosts that forward one way only; an unused address goes round nowhere', async () => {
    const spaces = new Map<string, Netns>();
    const endpoints = new Map<string, Netns>();
    const vpc = await space('vpc');
    for (const [zone] of zones.entries())
      await ip(vpc, [
        `link add sub${zone} type bridge`,
        `link set sub${zone} up`,
        `address add 172.31.${zone}.1/24 dev sub${zone}`,
        `address add fd31:${zone}::1/64 dev sub${zone} nodad`,
      ]);
    const plan = planRouting(input);
    for (const host of hosts) {
      const { name, zone, endpoint } = host;
      const ns = await space(name);
      spaces.set(name, ns);
      await veth(vpc, `to-${name}`, ns, 'up0');
      await ip(vpc, [`link set to-${name} master sub${zone}`]);
      const [four, six] = underlay(host);
      const inside = await space(`e-${name}`);
      endpoints.set(name, inside);
      await veth(ns, `rom-${name}`, inside, 'eth0');
      await ip(ns, [
        `address add ${four}/24 dev up0`,
        `address add ${six}/64 dev up0 nodad`,
        `route add default via 172.31.${zone}.1`,
        `route add default via fd31:${zone}::1`,
        'address add 169.254.1.1/32 dev lo scope link',
        `address add fe80::1/64 dev rom-${name} nodad`,
        ...endpoint.map((address) => `route add ${address} dev rom-${name}`),
        ...(plan.host(name)?.routes ?? []).map(({ cidr, nextHops }) => {
          const [hop] = nextHops;
          return hop === undefined
            ? `route add blackhole ${formatCidr(cidr)}`
            : `route add ${formatCidr(cidr)} via ${formatAddress(hop.address)}`;
        }),
      ]);
      await ip(inside, [
        ...endpoint.map(
          (address) => `address add ${address} dev eth0${address.includes(':') ? ' nodad' : ''}`,
        ),
        'route add 169.254.1.1 dev eth0',
        'route add default via 169.254.1.1 dev eth0',
        'route add default via fe80::1 dev eth0',
      ]);
    }
    // the tables as planned
    const [site] = vpcSites(input);
    assert.ok(site !== undefined);
    const instances = new Map(
      hosts.map((host) => [
        host.name,
        {
          id: host.name,
          interface: host.name,
          subnet: `${host.zone}`,
          zone: '',
          state: 'running' as const,
          impaired: false,
          forwards: true,
        },
      ]),
    );
    const table = { id: 'rtb-a', subnets: [], main: true, routes: [], recorded: new Set<string>() };
    const { tables, problems } = planVpc(site, {
      quota: null,
      tables: [table],
      instances,
      silent: new Set(),
    });
    assert.deepEqual(problems, []);
    const routes = tables[0]?.routes ?? [];
    assert.deepEqual(
      routes.map(({ cidr }) => formatCidr(cidr)),
      zones.map(({ aggregates }) => aggregates[0]).concat(zones.map(({ aggregates }) => aggregates[1])),
    );
    await ip(
      vpc,
      routes.map(({ cidr, target }) => {
        const host = hosts.find(({ name }) => name === target);
        assert.ok(host !== undefined);
        return `route add ${formatCidr(cidr)} via ${underlay(host)[cidr.address.family === 4 ? 0 : 1]}`;
      }),
    );
    for (const { name, endpoint } of hosts) {
      const ns = spaces.get(name);
      assert.ok(ns !== undefined);
      await new NftablesDriver((argv, options) => ns.run(argv, options)).apply(
        buildRuleset({
          model,
          endpoints: [
            {
              tenant: 'acme',
              link: `rom-${name}`,
              addresses: endpoint.map(parseAddress),
              sourcePrefixes: [],
            },
          ],
          peers: hosts.filter((other) => other.name !== name).flatMap(({ ranges }) => ranges.map(parseCidr)),
          uplinks: ['up0'],
          endpointLinks: ['rom*'],
          gateways: { 4: parseAddress('169.254.1.1'), 6: parseAddress('fe80::1') },
          guardOthers: { 4: true, 6: true },
        }),
      );
    }
    const serving = [...endpoints.values()].map((ns) =>
      ns.run([process.execPath, '-e', server], { okCodes: 'any', timeoutMs: 125_000 }),
    );
    try {
      for (const [name, ns] of endpoints) {
        const others = hosts.filter((other) => other.name !== name).flatMap(({ endpoint }) => endpoint);
        let missing: string[] = others;
        // the first packets may wait for a server that starts
        for (let attempt = 0; attempt < 5 && missing.length > 0; attempt++) {
          const { stdout } = await ns.run([process.execPath, '-e', client, '--', ...missing], {
            timeoutMs: 60_000,
          });
          missing = stdout
            .split('\n')
            .flatMap((line) => (line.endsWith(' false') ? [line.split(' ')[0] ?? ''] : []));
        }
        assert.deepEqual(missing, [], `from ${name}`);
      }

      // what nobody has: once to the router of the range, and no further
      await vpc.run(['nft', '-f', '-'], {
        stdin:
          'table inet count { chain forward { type filter hook forward priority 0; ip daddr 10.200.1.17 counter\n ip6 daddr fd10:9000:1:1::1 counter\n }\n }\n',
      });
      for (const address of ['10.200.1.17', 'fd10:9000:1:1::1'])
        await endpoints.get('a2')?.run(['ping', '-n', '-c', '1', '-W', '1', address], { okCodes: 'any' });
      const { stdout } = await vpc.run(['nft', 'list', 'table', 'inet', 'count']);
      assert.deepEqual(
        [...stdout.matchAll(/counter packets (\d+)/g)].map(([, count]) => count),
        ['1', '1'],
      );
    } finally {
      for (const ns of endpoints.values()) {
        const { stdout: pids } = await ns.run(['ip', 'netns', 'pids', ns.name]);
        await ns.run(['kill', ...pids.split('\n').filter((pid) => pid !== '')], { okCodes: 'any' });
      }
      await Promise.all(serving);
    }
  });
}
