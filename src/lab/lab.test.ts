import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Host } from '#contract/model.ts';
import { containsAddress, parseAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { missingOn } from './converge.ts';
import { type KernelRoute, routesWithin, tableCounts } from './counts.ts';
import { sessionRows } from './observe.ts';
import { type LabInput, labOptions } from './options.ts';
import { type FabricChoice, fabrics, plainFabric, planLab } from './plan.ts';
import {
  type EndpointPlan,
  expected,
  keyOf,
  pairKind,
  pairKinds,
  planEndpoints,
  planProbes,
  probeWaves,
  sampleSize,
  TENANTS,
  waveSize,
} from './spread.ts';
import { underlay } from './underlay.ts';

const choices: FabricChoice[] = fabrics.flatMap((kind) =>
  [false, true].map((dualHomed) => ({ ...plainFabric, kind, dualHomed })),
);
const sizes = fc
  .record({
    hosts: fc.integer({ min: 1, max: 32 }),
    racks: fc.integer({ min: 1, max: 8 }),
    fabric: fc.constantFrom(...choices),
  })
  .map(({ hosts, racks, fabric }) => ({ hosts, racks: Math.min(hosts, racks), fabric }));

test('the defaults are 4 hosts, 2 racks, 12 endpoints; one host means one rack', () => {
  const ordinary = { hosts: 4, racks: 2, endpoints: 12, growth: 1, topology: null, once: false, json: false };
  assert.deepEqual(labOptions(), { ...ordinary, fabric: plainFabric });
  assert.equal(labOptions({ hosts: '1' }).racks, 1);
});

test('sizes out of range and words are refused with the option named', () => {
  const bad: [LabInput, string][] = [
    [{ hosts: 0 }, 'hosts'],
    [{ hosts: 33 }, 'hosts'],
    [{ hosts: '4x' }, 'hosts'],
    [{ hosts: '' }, 'hosts'],
    [{ hosts: 1.5 }, 'hosts'],
    [{ racks: 9, hosts: 32 }, 'racks'],
    [{ racks: 3, hosts: 2 }, 'racks'],
    [{ endpoints: 401 }, 'endpoints'],
    [{ endpoints: -1 }, 'endpoints'],
    [{ endpoints: 1 }, 'endpoints'],
    [{ fabric: 'vxlan' }, 'fabric'],
    [{ fabric: 'bgp', daemon: 'routed' }, 'daemon'],
    [{ fabric: 'l2', daemon: 'bird' }, 'daemon'],
    [{ daemon: 'bird' }, 'daemon'],
    [{ fabric: 'bgp', tor: 'gobgp' }, 'tor'],
  ];
  for (const [input, path] of bad) {
    assert.throws(
      () => labOptions(input),
      (error) => isRomanaError(error) && error.code === 'input_invalid' && error.details?.['path'] === path,
    );
  }
});

test('P1 every host is in one rack, racks differ by one host at most, underlay addresses are unique and in their rack', () => {
  fc.assert(
    fc.property(sizes, (size) => {
      const plan = planLab(size);
      assert.equal(plan.hosts.length, size.hosts);
      const perRack = plan.racks.map((rack) => plan.hosts.filter((host) => host.rack === rack).length);
      assert.ok(Math.max(...perRack) - Math.min(...perRack) <= 1 && Math.min(...perRack) >= 1);
      const addresses = plan.hosts.flatMap((host) =>
        (size.fabric.dualHomed ? [host, ...host.links] : host.links).flatMap((at) => [
          at.address4,
          at.address6,
        ]),
      );
      assert.equal(new Set(addresses).size, addresses.length);
      assert.ok(plan.hosts.every(({ links, rack }) => links.length === rack.leaves.length));
      for (const host of plan.hosts) {
        assert.ok(
          containsAddress(parseCidr(`192.168.${host.rack.number}.0/24`), parseAddress(host.address4)),
        );
        assert.ok(containsAddress(parseCidr(`fd00:${host.rack.number}::/64`), parseAddress(host.address6)));
      }
    }),
  );
});

test('P1 links join namespaces of the plan only, no link name is used twice in one, and none is too long', () => {
  fc.assert(
    fc.property(sizes, (size) => {
      const { links, namespaces } = underlay(planLab(size));
      const names = new Set(namespaces.map(({ name }) => name));
      const ends = links.flatMap((line) => {
        const match = /^link add (\S+) netns (\S+) type veth peer name (\S+) netns (\S+)$/.exec(line);
        assert.ok(match, line);
        return [`${match[2]}/${match[1]}`, `${match[4]}/${match[3]}`];
      });
      assert.equal(new Set(ends).size, ends.length);
      for (const end of ends) {
        const [namespace = '', link = ''] = end.split('/');
        assert.ok(names.has(namespace) && link.length <= 15);
      }
    }),
  );
});

test('P3 on a routed fabric no address of a host is on a link with another host, and each link has the leaf as its only neighbour', () => {
  for (const fabric of choices) {
    const plan = planLab({ hosts: 4, racks: 2, fabric });
    for (const host of plan.hosts) {
      const lines = underlay(plan).namespaces.find(({ name }) => name === host.name)?.lines ?? [];
      const onLinks = lines.filter((line) => line.startsWith('address add') && !line.includes(' dev lo'));
      assert.equal(onLinks.length, fabric.dualHomed ? 4 : 2);
      for (const line of onLinks) assert.equal(/ peer \S+\/(32|128) /.test(line), fabric.kind !== 'l2', line);
    }
  }
});

const placed = (hosts: number, racks: number, endpoints: number): EndpointPlan[] =>
  planEndpoints(endpoints, planLab({ hosts, racks }).hosts);
const kindsOf = (endpoints: readonly EndpointPlan[]): Set<string> =>
  new Set(endpoints.flatMap((a) => endpoints.filter((b) => b !== a).map((b) => pairKind(a, b))));

test('S1 the default lab has every kind of pair and uses every host evenly', () => {
  const endpoints = placed(4, 2, 12);
  assert.deepEqual([...kindsOf(endpoints)].sort(), [...pairKinds].sort());
  const perHost = Map.groupBy(endpoints, (endpoint) => endpoint.host.name);
  assert.deepEqual(
    [...perHost.values()].map((list) => list.length),
    [3, 3, 3, 3],
  );
});

test('S1 every kind of pair exists in every larger lab whose racks hold two hosts', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 2, max: 8 }),
      fc.integer({ min: 12, max: 100 }),
      fc.integer({ min: 0, max: 8 }),
      (racks, n, more) => {
        assert.equal(kindsOf(placed(Math.min(32, racks * 2 + more), racks, n)).size, pairKinds.length);
      },
    ),
    { numRuns: 30 },
  );
});

test('S2 names are unique and no block is over-full; what does not fit is refused', () => {
  fc.assert(
    fc.property(sizes, fc.integer({ min: 2, max: 400 }), ({ hosts, racks }, n) => {
      try {
        const endpoints = placed(hosts, racks, n);
        assert.equal(endpoints.length, n);
        assert.equal(new Set(endpoints.map((endpoint) => endpoint.name)).size, n);
        const blocks = Map.groupBy(endpoints, (e) => `${e.host.name}/${e.tenant}/${e.segment}`);
        for (const block of blocks.values()) assert.ok(block.length <= 15);
      } catch (error) {
        assert.ok(isRomanaError(error) && error.code === 'input_invalid', String(error));
        assert.ok(n > hosts * 60, `${n} endpoints must fit on ${hosts} hosts`);
      }
    }),
    { numRuns: 60 },
  );
  assert.equal(placed(32, 8, 400).length, 400);
});

test('what is expected: the narrower side decides, in both directions alike', () => {
  const [a, b, c, d] = ['t1/s1', 't1/s2', 't2/s1', 't3/s1'].map((text) => {
    const [tenant = '', segment = ''] = text.split('/');
    const host = planLab({ hosts: 1, racks: 1 }).hosts[0];
    assert.ok(host);
    return { name: 'x', tenant, segment, host };
  });
  assert.ok(a && b && c && d);
  const isolated = (t1: 'segment' | 'tenant' | 'open', rest: 'segment' | 'open') =>
    [t1, rest, rest].map((isolation, i) => ({ name: `t${i + 1}`, isolation, segments: [] }));
  const table: [EndpointPlan, EndpointPlan, ReturnType<typeof isolated>, 'allow' | 'deny'][] = [
    [a, { ...a, name: 'y' }, isolated('segment', 'segment'), 'allow'],
    [a, b, isolated('segment', 'segment'), 'deny'],
    [a, b, isolated('tenant', 'segment'), 'allow'],
    [a, c, isolated('tenant', 'segment'), 'deny'],
    [a, c, isolated('open', 'segment'), 'deny'],
    [c, d, isolated('segment', 'open'), 'allow'],
  ];
  for (const [from, to, tenants, verdict] of table) {
    assert.equal(expected(from, to, tenants), verdict);
    assert.equal(expected(to, from, tenants), verdict);
  }
  assert.equal(expected(a, b), 'deny', 'an unknown tenant is isolated by segment');
  assert.deepEqual(
    TENANTS.map((tenant) => tenant.name),
    ['acme', 'globex'],
  );
});

test('the whole matrix of a small lab: each ordered pair with three protocols in two families', () => {
  const endpoints = placed(4, 2, 12);
  const probes = planProbes(endpoints);
  assert.equal(probes.length, 12 * 11 * 6);
  const keys = probes.map((p) => `${keyOf(p.from)} ${keyOf(p.to)} ${p.family} ${p.protocol}`);
  assert.equal(new Set(keys).size, keys.length);
  assert.ok(
    probes.every((p) => (p.protocol === 'icmp') === (p.family === 4 && !['tcp', 'udp'].includes(p.protocol))),
  );
});

test('S3 a sample is bounded and holds every endpoint, every kind, every protocol and both families', () => {
  for (const [hosts, racks, n] of [
    [4, 2, 25],
    [8, 2, 100],
    [16, 4, 200],
    [32, 8, 400],
  ] as const) {
    const endpoints = placed(hosts, racks, n);
    const probes = planProbes(endpoints);
    assert.ok(probes.length <= sampleSize);
    assert.deepEqual(planProbes(endpoints), probes);
    for (const side of ['from', 'to'] as const) {
      const seen = new Set(probes.map((probe) => keyOf(probe[side])));
      if (side === 'from') assert.equal(seen.size, n);
      else assert.ok(seen.size > n / 2);
    }
    assert.equal(new Set(probes.map((p) => pairKind(p.from, p.to))).size, pairKinds.length);
    assert.equal(new Set(probes.map((p) => `${p.family} ${p.protocol}`)).size, 6);
    assert.ok(probes.some((p) => expected(p.from, p.to) === 'allow'));
    const perKind = Map.groupBy(probes, (p) => `${pairKind(p.from, p.to)} ${p.family} ${p.protocol}`);
    assert.equal(perKind.size, pairKinds.length * 6);
    if (n * pairKinds.length <= sampleSize) {
      for (const from of endpoints) {
        const own = new Set(probes.filter((p) => p.from === from).map((p) => pairKind(p.from, p.to)));
        const possible = new Set(endpoints.filter((to) => to !== from).map((to) => pairKind(from, to)));
        assert.deepEqual(own, possible);
      }
    }
  }
});

test('a leaf misses a range of its hosts that no route holds, or only a dropping one; the spine misses those of all', () => {
  const plan = planLab({ hosts: 3, racks: 2 });
  const hosts = [1, 2, 129].map((n, i) => ({
    name: `h${i + 1}`,
    ids: [{ cidr: `10.${n}.0.0/16` }] as unknown as Host['ids'],
  }));
  const routes = (...texts: string[]): KernelRoute[] =>
    texts.map((text) => {
      const [cidr = '', type = ''] = text.split(' ');
      return { cidr: parseCidr(cidr), type };
    });
  const leaf = routes('10.0.0.0/9 blackhole', '10.1.0.0/16', '10.2.0.0/16');
  assert.deepEqual(missingOn(plan, 'leaf1', leaf, hosts), []);
  assert.deepEqual(missingOn(plan, 'leaf1', leaf.slice(0, 2), hosts), ['10.2.0.0/16']);
  assert.deepEqual(missingOn(plan, 'spine', routes('10.0.0.0/9'), hosts), ['10.129.0.0/16']);
  assert.equal(
    routesWithin([...leaf, ...routes('192.168.1.0/24', 'fd10::/16')], ['10.0.0.0/8', 'fd10::/16']),
    4,
  );
});

test('a session that nobody tells of is shown as down', () => {
  const { hosts } = planLab({ hosts: 2, racks: 1, fabric: { ...plainFabric, kind: 'bgp', dualHomed: true } });
  const session = {
    peer: 'leaf1a',
    neighbour: '192.168.11.254',
    asn: 65111,
    state: 'established' as const,
    seconds: 1,
    prefixesIn: 1,
    prefixesOut: 2,
    lastError: '',
  };
  const report = { daemon: 'bird' as const, up: true, version: null, announced: null, problem: null };
  const items = [
    { host: 'h1', report: { ...report, sessions: [session] } },
    { host: 'h2', report: null },
  ];
  assert.deepEqual(
    sessionRows(hosts, items).map((row) => `${row.host} ${row.peer} ${row.state} ${row.prefixesOut}`),
    ['h1 leaf1a established 2', 'h1 leaf1b idle null', 'h2 leaf1a idle null', 'h2 leaf1b idle null'],
  );
});

test('rules and elements are told apart; a host without our table has neither', () => {
  const listing = {
    nftables: [
      { metainfo: { version: '1.0.6' } },
      { table: { family: 'inet', name: 'romana' } },
      { set: { name: 'a', elem: ['x', { concat: ['a', 'b'] }] } },
      { set: { name: 'empty' } },
      { map: { name: 'm', elem: [[{ concat: [] }, { accept: null }]] } },
      { chain: { name: 'c' } },
      { rule: { chain: 'c', expr: [] } },
      { rule: { chain: 'c', expr: [] } },
    ],
  };
  assert.deepEqual(tableCounts(JSON.stringify(listing)), { rules: 2, elements: 3 });
  assert.deepEqual(tableCounts(''), { rules: 0, elements: 0 });
});

test('waves hold every probe once, and few sources each when there are many', () => {
  for (const [hosts, racks, n] of [
    [4, 2, 12],
    [16, 4, 60],
    [32, 8, 61],
    [32, 8, 400],
  ] as const) {
    const probes = planProbes(placed(hosts, racks, n));
    const waves = probeWaves(probes);
    assert.deepEqual(
      waves.flat().sort((a, b) => a - b),
      probes.map((_, i) => i),
    );
    assert.equal(waves.length, Math.ceil(n / waveSize));
    for (const wave of waves) assert.ok(new Set(wave.map((i) => probes[i]?.from)).size <= waveSize);
  }
  assert.deepEqual(probeWaves([]), []);
});
