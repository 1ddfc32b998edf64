/** Fabrics, devices and uplinks of topology files: what is filled in, what is refused, and where. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatAddress } from '../../address/index.ts';
import { bgpDefaults, daemonCan, daemons, l2Default, vpcDefaults } from '../../routing/fabric.ts';
import { demandTopology, readTopology, showTopology } from './index.ts';
import { issuesOf, refused } from './testing.ts';

type Fields = Record<string, unknown>;
const net = { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' };
const one = (topology: Fields): Fields => ({ networks: [net], topologies: [topology] });
const leaf = (more: Fields = {}): Fields => ({
  name: 'leaf1',
  asn: 65001,
  addresses: ['192.168.1.1', 'fd00:1::1'],
  ...more,
});
const bgp = (more: Fields = {}): Fields => ({ kind: 'bgp', hostAsn: 65100, ...more });
const fabricOf = (fabric: unknown): unknown =>
  readTopology(one({ fabric, devices: [leaf()] })).file.topologies?.[0]?.fabric;
const badFabric = (fabric: unknown, path: string, message: RegExp): void =>
  refused(one({ fabric, devices: [leaf()] }), `topologies.0.fabric${path}`, message);

describe('a fabric', () => {
  it('is a word or an object; what is left out or null has its default', () => {
    assert.deepEqual(fabricOf('l2'), l2Default);
    assert.deepEqual(fabricOf({ kind: 'l2', observers: 3 }), { ...l2Default, observers: 3 });
    assert.deepEqual(fabricOf('l3-static'), { kind: 'l3-static' });
    const whole = { ...bgpDefaults, hostAsn: 65100 };
    assert.deepEqual(fabricOf(bgp()), whole);
    assert.deepEqual(fabricOf(bgp({ daemon: null, bfd: null, communities: null, aggregate: null })), whole);
    assert.deepEqual(fabricOf(bgp({ maxPrefixes: null })), { ...whole, maxPrefixes: null });
    assert.deepEqual(fabricOf(bgp({ bfd: {} })), { ...whole, bfd: { intervalMs: 1000, multiplier: 3 } });
    assert.deepEqual(fabricOf({ kind: 'vpc', region: 'eu-west-1', vpc: 'vpc-1' }), {
      ...vpcDefaults,
      region: 'eu-west-1',
      vpc: 'vpc-1',
    });
    assert.equal(fabricOf(null), undefined);
  });

  it('of no known kind, or with keys of another kind, is refused', () => {
    badFabric('L2', '', /one of l2, l3-static, bgp, vpc, not "L2"/);
    badFabric(['l2'], '', /not a list/);
    badFabric({ daemon: 'bird' }, '', /kind is missing/);
    badFabric({ kind: 'ospf' }, '.kind', /one of l2/);
    badFabric({ kind: 'l2', daemon: 'bird' }, '.daemon', /Unknown key "daemon"; known here: kind, withdraw/);
    badFabric('bgp', '', /hostAsn is missing/);
    badFabric({ kind: 'vpc', region: 'eu-west-1' }, '.vpc', /missing/);
  });

  it('has numbers within what the protocols carry, at both ends', () => {
    const ranges: [string, number, number][] = [
      ['hostAsn', 1, 4_294_967_294],
      ['holdSeconds', 3, 65_535],
      ['connectRetrySeconds', 1, 65_535],
      ['gracefulRestartSeconds', 0, 4095],
      ['maxPrefixes', 1, 1_000_000],
      ['ecmp', 1, 64],
    ];
    for (const [key, least, most] of ranges) {
      for (const value of [least, most])
        assert.deepEqual(issuesOf(one({ fabric: bgp({ [key]: value }), devices: [leaf()] })), [], key);
      for (const value of [least - 1, most + 1, 3.5, '9', true])
        badFabric(bgp({ [key]: value }), `.${key}`, /is a whole number from/);
    }
    badFabric(bgp({ bfd: { intervalMs: 9 } }), '.bfd.intervalMs', /from 10 to 60000/);
    badFabric(bgp({ bfd: { multiplier: 1 } }), '.bfd.multiplier', /from 2 to 255/);
    badFabric(bgp({ bfd: 'on' }), '.bfd', /Expected an object/);
    badFabric({ kind: 'l2', withdrawAfterSeconds: -1 }, '.withdrawAfterSeconds', /from 0/);
    badFabric(bgp({ direct: 'yes' }), '.direct', /true or false, not "yes"/);
  });

  it('communities are of RFC 1997 or RFC 8092', () => {
    const communities = ['65001:100', '0:0', '65535:65535', '4294967295:1:4294967295'];
    assert.deepEqual((fabricOf(bgp({ communities })) as Fields)['communities'], communities);
    for (const text of ['65536:1', '1:65536', '1', '1:2:3:4', 'no-export', '4294967296:1:1', '1: 2', '-1:2'])
      badFabric(bgp({ communities: [text] }), '.communities.0', /is no community/);
  });

  it('accepts CIDRs, but everything only by its own word', () => {
    badFabric(bgp({ accept: ['0.0.0.0/0'] }), '.accept.0', /acceptDefault/);
    badFabric(bgp({ accept: ['::/0'] }), '.accept.0', /acceptDefault/);
    badFabric(bgp({ accept: ['10.0.0.1/8'] }), '.accept.0', /host bits/);
  });

  it('never holds a password, only where it lies', () => {
    badFabric(bgp({ passwordFile: 'secret' }), '.passwordFile', /absolute path/);
    badFabric(bgp({ passwordFile: '/etc/../x' }), '.passwordFile', /absolute path/);
    badFabric(bgp({ password: 'secret' }), '.password', /Unknown key/);
    const [, message] = issuesOf(one({ fabric: bgp({ passwordFile: 'hunter2' }), devices: [leaf()] }))[0]!;
    assert.doesNotMatch(message, /hunter2/);
  });

  it('asks of a daemon only what it can', () => {
    const asks = {
      unnumbered: { unnumbered: true },
      bfd: { bfd: { intervalMs: 300, multiplier: 3 } },
      ttlSecurity: { ttlSecurity: true },
      passwords: { passwordFile: '/etc/romana/bgp' },
    };
    for (const daemon of daemons) {
      for (const [what, fields] of Object.entries(asks)) {
        const [key] = Object.keys(fields) as [string];
        const fabric = bgp({ daemon, gracefulRestartSeconds: 0, ...fields });
        const issues = issuesOf(one({ fabric, devices: [leaf()] }));
        const able = daemonCan[daemon][what as keyof typeof asks];
        assert.deepEqual(
          issues.map(([path]) => path),
          able ? [] : [`topologies.0.fabric.${key}`],
          `${daemon} ${what}`,
        );
      }
    }
  });

  it('with BFD and graceful restart is told that one undoes the other', () => {
    const notes = (more: Fields): number =>
      readTopology(one({ fabric: bgp({ bfd: {}, ...more }), devices: [leaf()] })).notes.length;
    assert.equal(notes({}), 1);
    assert.equal(notes({ gracefulRestartSeconds: 0 }), 0);
  });

  it('of a VPC names things as the provider does, and groups that there are', () => {
    const vpc = (more: Fields): Fields => ({ kind: 'vpc', region: 'eu-west-1', vpc: 'vpc-1', ...more });
    badFabric(vpc({ vpc: 'my vpc' }), '.vpc', /not of the form vpc-/);
    badFabric(vpc({ routeTables: ['main'] }), '.routeTables.0', /rtb-/);
    badFabric(vpc({ budget: 0 }), '.budget', /from 1 to 1000/);
    badFabric(vpc({ endpoint: 'ftp://x' }), '.endpoint', /https:/);
    const peerings = [{ group: 'dc2', connection: 'pcx-1' }];
    badFabric(vpc({ peerings }), '.peerings.0.group', /no group dc2/);
    const map = [{ name: 'a', fabric: vpc({ peerings }) }, { name: 'dc2' }];
    assert.deepEqual(issuesOf(one({ map })), []);
  });
});

describe('devices', () => {
  const bad = (devices: unknown[], path: string, message: RegExp, fabric: unknown = 'l3-static'): void =>
    refused(one({ fabric, devices }), `topologies.0.devices${path}`, message);

  it('are filled in', () => {
    const { file } = demandTopology(one({ devices: [{ name: 'r' }] }));
    const { at, ...device } = file.topologies![0]!.devices![0]!;
    assert.deepEqual(at, ['topologies', 0, 'devices', 0]);
    assert.deepEqual(device, {
      name: 'r',
      platform: 'json',
      addresses: [],
      uplinks: [],
      asn: null,
      routerId: null,
      routeReflector: false,
      links: {},
      budget: null,
    });
  });

  it('have known keys and platforms, a name that is there once, and addresses that can be next hops', () => {
    bad([leaf({ vendor: 'x' })], '.0.vendor', /Unknown key/);
    bad([leaf({ platform: 'nxos' })], '.0.platform', /one of iproute2, frr/);
    bad([leaf({ name: 'Leaf 1' })], '.0.name', /is no name/);
    bad([leaf({ addresses: ['192.168.1.1', '192.168.1.2'] })], '.0.addresses', /one address of each family/);
    bad([leaf({ addresses: ['fd00::1', 'fd00::2'] })], '.0.addresses', /one address of each family/);
    for (const address of ['224.0.0.1', 'ff02::1', '127.0.0.1', '::1', 'fe80::1', '0.0.0.0'])
      bad([leaf({ addresses: [address] })], '.0.addresses', /cannot be a next hop/);
    bad([leaf({ routerId: '::1' })], '.0.routerId', /dotted quad/);
    bad([leaf({ asn: 0 })], '.0.asn', /from 1 to 4294967294/);
    bad([leaf({ asn: 4_294_967_295 })], '.0.asn', /from 1 to 4294967294/);
    bad([leaf({ asn: 23_456 })], '.0.asn', /AS_TRANS/);
    bad([leaf({ budget: 0 })], '.0.budget', /from 1/);
    bad([leaf(), leaf()], '.1.name', /leaf1 is there twice/);
    const map = [{ name: 'r1', devices: [leaf()] }];
    refused(one({ devices: [leaf()], map }), 'topologies.0.map.0.devices.0.name', /there twice/);
    refused(
      { networks: [net], topologies: [{ networks: ['v4'], devices: [leaf()] }, { devices: [leaf()] }] },
      'topologies.1.devices.0.name',
      /there twice/,
    );
  });

  it('speak BGP only with a number of their own, an id, and an address', () => {
    const d = leaf();
    const { asn: _, ...numberless } = d;
    bad([numberless], '.0', /give it an asn/, bgp());
    bad([leaf({ addresses: ['fd00::1'] })], '.0', /give it a routerId/, bgp());
    bad([leaf({ addresses: [], routerId: '192.0.2.1' })], '.0', /needs addresses/, bgp());
    bad([leaf({ addresses: [] })], '.0', /needs addresses/, 'l3-static');
    bad([leaf({ links: { h1: 'swp1' } })], '.0.links', /unnumbered/, bgp());
    const six = leaf({ addresses: ['fd00::1'], routerId: '192.0.2.1' });
    assert.deepEqual(issuesOf(one({ fabric: bgp(), devices: [six] })), []);
    refused(one({ fabric: bgp() }), 'topologies.0.fabric', /nobody to speak BGP with/);
    const inherited = one({ fabric: bgp(), map: [{ name: 'r1', devices: [leaf()] }, { name: 'r2' }] });
    refused(inherited, 'topologies.0.map.1', /hosts of group r2 have nobody/);
    const above = one({ devices: [leaf()], map: [{ name: 'r1', fabric: bgp() }] });
    assert.deepEqual(issuesOf(above), []);
  });

  it('are linked to devices further up and to nobody else: never in a circle', () => {
    const tree = (spine: Fields, tor: Fields, more: unknown[] = []): Fields =>
      one({
        fabric: bgp(),
        devices: [leaf({ name: 'spine', ...spine })],
        map: [
          { name: 'r1', devices: [leaf(tor), ...more] },
          { name: 'r2', devices: [leaf({ name: 'leaf2' })] },
        ],
      });
    assert.deepEqual(issuesOf(tree({}, { uplinks: ['spine'] })), []);
    const at = 'topologies.0.map.0.devices.0.uplinks.0';
    refused(tree({}, { uplinks: ['spine9'] }), at, /no device spine9/);
    refused(tree({}, { uplinks: ['leaf1'] }), at, /does not stand above/);
    refused(tree({}, { uplinks: ['leaf2'] }), at, /does not stand above/);
    refused(tree({}, { uplinks: ['leaf1b'] }, [leaf({ name: 'leaf1b' })]), at, /does not stand above/);
    const far = one({
      fabric: bgp(),
      devices: [leaf({ name: 'spine' })],
      map: [
        {
          name: 'z',
          devices: [leaf({ name: 'middle' })],
          groups: [{ name: 'r', devices: [leaf({ uplinks: ['spine'] })] }],
        },
      ],
    });
    refused(far, 'topologies.0.map.0.groups.0.devices.0.uplinks.0', /next group further up that has any/);
    const circle = tree({ uplinks: ['leaf1'] }, { uplinks: ['spine'] });
    refused(circle, 'topologies.0.devices.0.uplinks.0', /does not stand above/);
    const twice = tree({}, { uplinks: ['spine', 'spine'] });
    refused(twice, 'topologies.0.map.0.devices.0.uplinks.1', /one to each/);
    const nowhere = tree({ addresses: [], routerId: '192.0.2.1' }, { uplinks: ['spine'] });
    refused(nowhere, at, /state remote/);
    const uplinks = [{ device: 'spine', local: ['10.255.0.1'], remote: ['fd00::1'] }];
    refused(tree({}, { uplinks }), at, /same families/);
  });

  it('whose uplinks do not carry a family of the networks are noted', () => {
    const notes = (cidr: string, layout: string, uplinks: unknown): number =>
      demandTopology({
        networks: [{ name: 'n', cidr, layout }],
        topologies: [
          { devices: [leaf({ name: 'spine' })], map: [{ name: 'r1', devices: [leaf({ uplinks })] }] },
        ],
      }).notes.length;
    const only4 = [{ device: 'spine', local: ['172.16.0.1'], remote: ['172.16.0.0'] }];
    assert.equal(notes('10.0.0.0/8', '8/8/4/4', only4), 0);
    assert.equal(notes('fd10::/16', '16/16/16/64', only4), 1);
    assert.equal(notes('fd10::/16', '16/16/16/64', ['spine']), 0);
    assert.equal(notes('fd10::/16', '16/16/16/64', []), 0, 'all above, from its own addresses');
  });

  it('have no address of a host or inside a network; two of them may share one', () => {
    const map = [{ name: 'r1', hosts: [{ name: 'h1', ip: '192.168.1.1' }] }];
    refused(one({ devices: [leaf()], map }), 'topologies.0.devices.0', /belongs to host h1/);
    refused(
      one({ devices: [leaf({ addresses: ['10.0.0.1'] })] }),
      'topologies.0.devices.0',
      /lies in network/,
    );
    assert.deepEqual(issuesOf(one({ devices: [leaf(), leaf({ name: 'leaf2' })] })), []);
  });
});

describe('sessions', () => {
  const tree = (fabric: Fields, spine: Fields, tor: Fields, host: Fields = {}): Fields =>
    one({
      fabric: bgp(fabric),
      devices: [leaf({ name: 'spine', addresses: ['192.168.255.1'], asn: 65_000, ...spine })],
      map: [
        {
          name: 'r1',
          devices: [leaf({ uplinks: ['spine'], ...tor })],
          hosts: [{ name: 'h1', ip: '192.168.1.9', ...host }],
        },
      ],
    });
  const spineAt = 'topologies.0.devices.0';
  const torAt = 'topologies.0.map.0.devices.0';

  it('inside one AS need a route reflector between them', () => {
    const reflected = { asn: 65_000, routeReflector: true };
    refused(tree({ hostAsn: 65_000 }, {}, { asn: 65_000 }), torAt, /state routeReflector: true/);
    refused(tree({}, {}, { asn: 65_000 }, { asn: 65_000 }), torAt, /state routeReflector: true/);
    refused(tree({ hostAsn: 65_000 }, {}, { asn: 65_000, uplinks: [] }), torAt, /state routeReflector: true/);
    assert.deepEqual(issuesOf(tree({ hostAsn: 65_000 }, {}, reflected)), []);
    assert.deepEqual(issuesOf(tree({}, {}, { asn: 65_000 })), []);
    assert.deepEqual(issuesOf(tree({ hostAsn: 65_001 }, {}, {})), []);
  });

  it('with TTL security have two AS numbers', () => {
    const secured = { ttlSecurity: true };
    assert.deepEqual(issuesOf(tree(secured, {}, {})), []);
    refused(tree({ ...secured, hostAsn: 65_001 }, {}, {}), torAt, /in common with its hosts/);
    refused(tree(secured, {}, {}, { asn: 65_001 }), torAt, /in common with its hosts/);
    refused(tree(secured, {}, { asn: 65_000 }), torAt, /in common with a device above/);
  });

  it('have numbers for every host, and are told of those that two might have', () => {
    const notes = (document: Fields): string[] =>
      demandTopology(document).notes.map(({ path, message }) => `${path.join('.')}: ${message}`);
    const perHost = (hostAsn: number): Fields => ({ hostAsn, hostAsnPerHost: true });
    assert.deepEqual(notes(tree(perHost(4_200_000_000), {}, {})), []);
    assert.deepEqual(notes(tree(perHost(65_001), {}, {})), []);
    const [note, ...more] = notes(tree(perHost(64_999), {}, {}));
    assert.match(note!, /^topologies\.0\.devices\.0\.asn: AS 65000 is also that of the host with host id 1;/);
    assert.equal(more.length, 1);
    assert.deepEqual(issuesOf(tree(perHost(4_294_967_294 - 255), {}, {})), []);
    refused(tree(perHost(4_294_967_294 - 254), {}, {}), spineAt, /more than an AS number can be/);
  });

  it('that announce an aggregate from several devices are noted', () => {
    const two = (aggregate: boolean | null): Fields =>
      one({ fabric: bgp({ aggregate }), devices: [leaf(), leaf({ name: 'leaf2', asn: 65_002 })] });
    assert.equal(demandTopology(two(true)).notes.length, 2);
    assert.equal(demandTopology(two(null)).notes.length, 0);
  });
});

describe('uplinks of hosts', () => {
  const file = (host: Fields, fabric: unknown = bgp(), device: Fields = {}): Fields =>
    one({
      fabric,
      map: [
        { name: 'r1', devices: [leaf(device)], hosts: [{ name: 'h1', ip: '192.168.1.9', ...host }] },
        { name: 'r2', devices: [leaf({ name: 'leaf2', addresses: ['192.168.2.1'] })] },
      ],
    });
  const at = 'topologies.0.map.0.hosts.0';

  it('are read with addresses and links, by name alone too', () => {
    const uplinks = [{ device: 'leaf1', addresses: ['192.168.7.1', 'fd00::7'], link: 'eth1' }];
    const read = (given: unknown): unknown => {
      const [host] = demandTopology(file({ uplinks: given, asn: 65_009 })).file.topologies![0]!.groups[0]!
        .hosts;
      assert.equal(host!.asn, 65_009);
      return host!.uplinks?.map((uplink) => ({ ...uplink, addresses: uplink.addresses.map(formatAddress) }));
    };
    assert.deepEqual(read(uplinks), uplinks);
    assert.deepEqual(read(['leaf1']), [{ device: 'leaf1', addresses: [], link: null }]);
  });

  it('lead to devices of the groups of the host, in families of both ends', () => {
    refused(file({ uplinks: ['leaf9'] }), `${at}.uplinks.0`, /no device leaf9/);
    refused(file({ uplinks: ['leaf2'] }), `${at}.uplinks.0`, /serves group r2/);
    refused(file({ uplinks: ['leaf1', 'leaf1'] }), `${at}.uplinks.1`, /already/);
    const six = { uplinks: [{ device: 'leaf1', addresses: ['fd00::7'] }] };
    refused(file(six, bgp(), { addresses: ['192.168.1.1'] }), `${at}.uplinks.0`, /no IPv6 address/);
    refused(file({ asn: 0 }), `${at}.asn`, /from 1/);
    refused(file({ uplinks: [{ device: 'leaf1', link: 'a b' }] }), `${at}.uplinks.0.link`, /is no link/);
  });

  it('name their links where sessions are unnumbered', () => {
    const fabric = bgp({ daemon: 'frr', unnumbered: true });
    refused(file({}, fabric), at, /uplinks name their links/);
    refused(file({ uplinks: ['leaf1'] }, fabric), at, /uplinks name their links/);
    const linked = { uplinks: [{ device: 'leaf1', link: 'eth0' }] };
    const bare = { addresses: [], routerId: '192.0.2.1' };
    refused(file(linked, fabric, bare), `${at}.uplinks.0`, /does not say over which link it reaches host h1/);
    assert.deepEqual(issuesOf(file(linked, fabric, { ...bare, links: { h1: 'swp1' } })), []);
  });

  it('have addresses of no other host and of no network', () => {
    const with1 = (address: string): Fields => ({ uplinks: [{ device: 'leaf1', addresses: [address] }] });
    const document = file(with1('192.168.1.8'));
    const hosts = [{ name: 'h2', ip: '192.168.1.8' }];
    refused({ ...document, hosts }, 'hosts.0', /192\.168\.1\.8 belongs to host h1/);
    refused(file(with1('10.1.2.3')), at, /lies in network v4/);
    assert.deepEqual(issuesOf(file(with1('192.168.1.9'))), []);
  });
});

it('what is shown of a group has the fabric that holds there and its own devices', () => {
  const map = [{ name: 'r1', devices: [leaf()] }, { name: 'r2', fabric: 'l2' }, { name: 'r3' }];
  const { groups } = showTopology(demandTopology(one({ fabric: 'l3-static', map })).plan);
  assert.deepEqual(
    groups.map(({ path, fabric, devices }) => [path, fabric, devices]),
    [
      ['r1', 'l3-static', ['leaf1']],
      ['r2', 'l2', []],
      ['r3', 'l3-static', []],
    ],
  );
});
