/** Topology files: what they mean, and that nothing wrong in them passes. Lines and columns: cli/source.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { containsCidr, equalCidr, formatCidr, overlaps } from '../../address/index.ts';
import {
  chooseLeaf,
  demandTopology,
  hostIdsOf,
  isEligible,
  leavesOf,
  planTopology,
  readTopology,
  showTopology,
} from './index.ts';
import { cidrs, issuesOf, names, one, refused } from './testing.ts';

describe('worked examples, read as Romana 2 wrote them', () => {
  it('a: four groups are quarters; b: of three the fourth quarter is padding', () => {
    const quarters = ['10.111.0.0/18', '10.111.64.0/18', '10.111.128.0/18', '10.111.192.0/18'];
    assert.deepEqual(Object.values(cidrs(one('10.111.0.0/16', names('rack-', 4)))), quarters);
    assert.deepEqual(Object.values(cidrs(one('10.111.0.0/16', names('rack-', 3)))), quarters.slice(0, 3));
  });

  it('c: zones with different numbers of racks', () => {
    const map = [
      { name: 'zone-A', groups: names('rack-', 4) },
      { name: 'zone-B', groups: names('rack-', 2) },
    ];
    assert.deepEqual(cidrs(one('10.111.0.0/16', map)), {
      'zone-A': '10.111.0.0/17',
      'zone-A/rack-1': '10.111.0.0/19',
      'zone-A/rack-2': '10.111.32.0/19',
      'zone-A/rack-3': '10.111.64.0/19',
      'zone-A/rack-4': '10.111.96.0/19',
      'zone-B': '10.111.128.0/17',
      'zone-B/rack-1': '10.111.128.0/18',
      'zone-B/rack-2': '10.111.192.0/18',
    });
  });

  it('d: one group is the whole network, and its hosts are in it', () => {
    const map = [
      {
        name: 'all',
        groups: [
          { name: 'h1', ip: '192.168.0.1' },
          { name: 'h2', ip: '192.168.0.2' },
        ],
      },
    ];
    const { plan } = demandTopology(one('10.111.0.0/16', map));
    assert.deepEqual(showTopology(plan).groups, [
      {
        topology: 'default',
        path: 'all',
        holds: 'hosts',
        fabric: null,
        devices: [],
        networks: [{ network: 'net', cidr: '10.111.0.0/16' }],
        hosts: ['h1', 'h2'],
        hostIds: [
          { network: 'net', host: 'h1', ids: [1] },
          { network: 'net', host: 'h2', ids: [2] },
        ],
      },
    ]);
  });

  it('e: eight groups without names or labels', () => {
    const map = Array.from({ length: 8 }, () => ({ routing: 'block-on-host', groups: [] }));
    const { notes } = demandTopology(one('10.112.0.0/12', map, { block_mask: 28 }));
    assert.equal(notes.filter(({ message }) => /routing is not used/.test(message)).length, 8);
    assert.match(notes[0]?.message ?? '', /block_mask 28: read as layout 8\/4\/4\/4/);
    assert.deepEqual(
      cidrs(one('10.112.0.0/12', map)),
      Object.fromEntries(
        [112, 114, 116, 118, 120, 122, 124, 126].map((n, i) => [`group${i + 1}`, `10.${n}.0.0/15`]),
      ),
    );
  });

  it('f: a leaf beside a group of groups', () => {
    const map = [{ name: 'group1' }, { name: 'group2', groups: [{ name: '2a' }, { name: '2b' }] }];
    assert.deepEqual(cidrs(one('10.0.0.0/16', map)), {
      group1: '10.0.0.0/17',
      group2: '10.0.128.0/17',
      'group2/2a': '10.0.128.0/18',
      'group2/2b': '10.0.192.0/18',
    });
  });

  it('g: two zones of eight groups in a /11', () => {
    const zone = (name: string) => ({
      name,
      assignment: { 'failure-domain.beta.kubernetes.io/zone': name },
      groups: names('g', 8),
    });
    const found = cidrs(one('100.96.0.0/11', [zone('us-east-1a'), zone('us-east-1b')]));
    const wanted = [0, 1].flatMap((z) => [
      `100.${96 + 16 * z}.0.0/12`,
      ...Array.from({ length: 8 }, (_, i) => `100.${96 + 16 * z + 2 * i}.0.0/15`),
    ]);
    assert.deepEqual(Object.values(found), wanted);
  });

  const kinds = ['backend', 'frontend', 'backend', 'frontend'];
  const tiers = kinds.map((tier, i) => ({ name: `g${i + 1}`, assignment: { tier } }));
  const labelled = (tier: string, count: number, from: number) =>
    Array.from({ length: count }, (_, i) => ({
      name: `${tier}${i}`,
      ip: `192.168.0.${from + i}`,
      labels: { tier },
    }));

  it('h: twelve hosts by labels are 4, 2, 4, 2; without or with other labels a host is refused', () => {
    const document = one('10.0.0.0/16', tiers);
    const hosts = [...labelled('backend', 8, 1), ...labelled('frontend', 4, 101)];
    const { groups } = showTopology(demandTopology({ ...document, hosts }).plan);
    assert.deepEqual(
      groups.map((group) => group.hosts.length),
      [4, 2, 4, 2],
    );
    const odd = { name: 'odd', ip: '192.168.1.1' };
    refused({ ...document, hosts: [odd] }, 'hosts.0', /match no group/);
    refused({ ...document, hosts: [{ ...odd, labels: { tier: 'middle' } }] }, 'hosts.0', /match no group/);
  });

  it('the IPv6 twin of c, under a layout of its own', () => {
    const map = [
      { name: 'zone-A', groups: names('rack-', 4) },
      { name: 'zone-B', groups: names('rack-', 2) },
    ];
    const found = cidrs(one('fd10::/16', map, { layout: '16/16/16/64' }));
    assert.equal(found['zone-A/rack-4'], 'fd10:6000::/19');
    assert.equal(found['zone-B/rack-2'], 'fd10:c000::/18');
    refused(one('fd10::/16', map), 'networks.0.cidr', /states its layout/);
  });
});

describe('faults of the old code', () => {
  it('bug 11: of three labelled racks the fourth place takes no host, labelled or not', () => {
    const racks = [1, 2, 3].map((n) => ({ name: `rack${n}`, assignment: { rack: String(n) } }));
    const document = one('10.111.0.0/16', racks);
    refused({ ...document, hosts: [{ name: 'h', ip: '192.168.0.1' }] }, 'hosts.0', /match no group/);
    refused(
      { ...document, hosts: [{ name: 'h', ip: '192.168.0.1', labels: { rack: '4' } }] },
      'hosts.0',
      /match no/,
    );
    const leaves = leavesOf(readTopology(document).file.topologies![0]!);
    assert.deepEqual(
      leaves.map(({ path }) => path),
      ['rack1', 'rack2', 'rack3'],
    );
  });

  it('bug 12: a block larger than its group is refused', () => {
    const map = names('g', 4);
    refused(one('10.0.0.0/28', map, { block_mask: 29 }), 'networks.0.block_mask', /state a layout/);
    refused(
      one('10.0.0.0/28', map, { layout: '1/1/1/1' }),
      'topologies.0.map',
      /do not fit into the 2 host ids/,
    );
    // Two groups of one host id each: the first would have only id 0.
    refused(
      one('10.0.0.0/28', names('g', 2), { layout: '1/1/1/1' }),
      'topologies.0.map.0',
      /only host id would be 0/,
    );
    refused(one('10.0.0.0/24', map, { block_mask: 20 }), 'networks.0.block_mask', /cannot be larger/);
    refused(one('10.0.0.0/24', map, { block_mask: 33 }), 'networks.0.block_mask', /from 0 to 32, not 33/);
  });
});

describe('sizes and slots', () => {
  const layout = '8/8/4/4';
  it('a group has the host ids that it states, the others share what can be shared', () => {
    const map = [{ name: 'a', size: 16 }, { name: 'b' }, { name: 'c', size: 64 }, { name: 'd' }];
    assert.deepEqual(cidrs(one('10.0.0.0/8', map, { layout })), {
      a: '10.0.0.0/12',
      b: '10.64.0.0/10',
      c: '10.128.0.0/10',
      d: '10.192.0.0/10',
    });
    refused(
      one('10.0.0.0/8', [{ name: 'a', size: 48 }], { layout }),
      'topologies.0.map.0.size',
      /power of two such as 64/,
    );
    refused(
      one('10.0.0.0/8', [{ name: 'a', size: 512 }], { layout }),
      'topologies.0.map.0',
      /has only 256 host ids/,
    );
    const full = [{ name: 'a', size: 128 }, { name: 'b', size: 128 }, { name: 'c' }];
    refused(one('10.0.0.0/8', full, { layout }), 'topologies.0.map', /with their sizes do not fit/);
  });

  it('a group smaller than its hosts is refused', () => {
    const hosts = [1, 2, 3, 4].map((n) => ({ name: `h${n}`, ip: `192.168.0.${n}` }));
    const map = [{ name: 'a', size: 4, hosts }];
    refused(
      one('10.0.0.0/8', map, { layout }),
      'topologies.0.map.0.hosts.3',
      /no host id left for host h4 in group a/,
    );
    const second = [
      { name: 'z', size: 4 },
      { name: 'a', size: 4, hosts },
    ];
    assert.deepEqual(issuesOf(one('10.0.0.0/8', second, { layout })), []);
  });

  it('adding groups inside the slots moves nothing, with or without sizes', () => {
    const group = fc.option(fc.constantFrom(1, 2, 4, 8, 16, 32, 64), { nil: undefined });
    fc.assert(
      fc.property(fc.array(group, { minLength: 1, maxLength: 8 }), fc.nat(7), (sizes, cut) => {
        const all = sizes.map((size, i) => ({ name: `g${i}`, ...(size === undefined ? {} : { size }) }));
        const tree = (map: unknown[]) => ({
          networks: [{ name: 'net', cidr: '10.0.0.0/8', layout }],
          topologies: [{ map: [{ name: 'zone', slots: 8, groups: map }] }],
        });
        const large = planTopology(readTopology(tree(all)).file);
        fc.pre(large.issues.length === 0);
        const before = cidrs(tree(all.slice(0, cut)));
        const after = cidrs(tree(all));
        for (const [path, cidr] of Object.entries(before)) assert.equal(after[path], cidr);
      }),
    );
  });

  it('a group with slots holds no hosts, even while it has no groups', () => {
    const map = [{ name: 'zone', slots: 4 }, { name: 'rack' }];
    const hosts = [1, 2, 3].map((n) => ({ name: `h${n}`, ip: `192.168.0.${n}` }));
    const { groups } = showTopology(demandTopology({ ...one('10.0.0.0/8', map, { layout }), hosts }).plan);
    assert.deepEqual(
      groups.map(({ path, holds, hosts: here }) => [path, holds, here.length]),
      [
        ['zone', 'groups', 0],
        ['rack', 'hosts', 3],
      ],
    );
    const five = [{ name: 'zone', slots: 4, groups: names('r', 5) }];
    refused(
      one('10.0.0.0/8', five, { layout }),
      'topologies.0.map.0',
      /5 groups do not fit into the 4 slots/,
    );
  });
});

describe('any tree', () => {
  interface Tree {
    name: string;
    size?: number;
    slots?: number;
    groups?: Tree[];
  }
  const option = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 1 });
  /** Sizes at leaves and seldom above, slots that hold the children: most trees fit. */
  const tree = (depth: number): fc.Arbitrary<Tree[]> =>
    fc
      .array(
        fc.tuple(
          option(fc.constantFrom(2, 4, 16, 64)),
          option(fc.nat(3)),
          depth === 0 ? fc.constant<Tree[]>([]) : fc.oneof(fc.constant<Tree[]>([]), tree(depth - 1)),
        ),
        { minLength: 1, maxLength: 4 },
      )
      .map((nodes) =>
        nodes.map(([size, spare, groups], i) => ({
          name: `g${i}`,
          ...(size === undefined || groups.length > 0 ? {} : { size }),
          ...(spare === undefined || groups.length === 0 ? {} : { slots: groups.length + spare }),
          ...(groups.length === 0 ? {} : { groups }),
        })),
      );

  it('no overlap, full containment, one aggregate that covers exactly, padding never hosts', () => {
    const hosts = Array.from({ length: 12 }, (_, i) => ({ name: `h${i}`, ip: `192.168.0.${i + 1}` }));
    fc.assert(
      fc.property(tree(2), (map) => {
        const { file } = readTopology({
          networks: [
            { name: 'v4', cidr: '10.0.0.0/8', layout: '16/4/2/2' },
            { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' },
          ],
          topologies: [{ map }],
          hosts,
        });
        const { plan, issues } = planTopology(file);
        fc.pre(issues.length === 0);
        const leafIds = new Set<string>();
        const ids = hostIdsOf(plan);
        for (const { host } of plan.places) assert.equal(ids.get(host.name)?.size, 2);
        for (const [i, a] of plan.groups.entries()) {
          for (const range of a.ranges) {
            const { source } = plan.networks.find(({ name }) => name === range.network)!;
            assert.ok(containsCidr(source.cidr, range.cidr));
            const count = range.lastHostId - range.firstHostId + 1;
            assert.equal(range.firstHostId % count, 0);
            for (const b of plan.groups.slice(i + 1)) {
              const other = b.ranges.find(({ network }) => network === range.network)!;
              if (b.path.startsWith(`${a.path}/`)) assert.ok(containsCidr(range.cidr, other.cidr));
              else assert.ok(!overlaps(range.cidr, other.cidr), `${a.path} ${b.path}`);
            }
          }
        }
        for (const place of plan.places) {
          const group = plan.groups.find(({ path }) => path === place.path)!;
          assert.ok(group.leaf);
          for (const [network, id] of ids.get(place.host.name) ?? []) {
            const range = group.ranges.find((candidate) => candidate.network === network)!;
            assert.ok(id >= Math.max(1, range.firstHostId) && id <= range.lastHostId);
            const key = `${network} ${id}`;
            assert.ok(!leafIds.has(key), key);
            leafIds.add(key);
          }
        }
      }),
      { numRuns: 150 },
    );
  });

  it('the same document gives the same plan', () => {
    fc.assert(
      fc.property(tree(2), (map) => {
        const plan = () => planTopology(readTopology(one('10.0.0.0/8', map, { layout: '12/4/4/4' })).file);
        assert.deepEqual(plan(), plan());
      }),
      { numRuns: 30 },
    );
  });
});

describe('placement', () => {
  const leaves = leavesOf(
    readTopology(
      one('10.0.0.0/8', [
        {
          name: 'a',
          assignment: { zone: 'a' },
          groups: [{ name: 'r1' }, { name: 'r2', assignment: { disk: 'ssd' } }],
        },
        { name: 'b' },
      ]),
    ).file.topologies![0]!,
  );

  it('inherited pairs count; unknown labels do no harm; a label of the prototype is none', () => {
    assert.deepEqual(
      leaves
        .filter((leaf) => isEligible(leaf, { zone: 'a', disk: 'ssd', other: 'x' }))
        .map(({ path }) => path),
      ['a/r1', 'a/r2', 'b'],
    );
    assert.deepEqual(
      leaves.filter((leaf) => isEligible(leaf, { disk: 'ssd' })).map(({ path }) => path),
      ['b'],
    );
    assert.equal(isEligible({ assignment: { toString: 'x' } }, {}), false);
  });

  it('the emptiest wins, ties by order, a full one is passed over', () => {
    const counts = new Map([
      ['a/r1', 2],
      ['a/r2', 1],
      ['b', 1],
    ]);
    const choose = (labels: Record<string, string>, full: string[] = []) =>
      chooseLeaf(
        leaves,
        labels,
        (path) => counts.get(path) ?? 0,
        (path) => !full.includes(path),
      )?.path;
    assert.equal(choose({ zone: 'a', disk: 'ssd' }), 'a/r2');
    assert.equal(choose({ zone: 'a', disk: 'ssd' }, ['a/r2']), 'b');
    assert.equal(choose({ zone: 'a' }, ['b']), 'a/r1');
    assert.equal(choose({}, ['b']), undefined);
  });
});

it('equal trees of two families have groups of equal host ids', () => {
  const map = names('r', 3);
  const { plan } = demandTopology({
    networks: [
      { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' },
      { name: 'v6', cidr: 'fd10::/24', layout: '8/16/16/64' },
    ],
    topologies: [{ networks: ['v4', 'v6'], map }],
  });
  for (const { ranges } of plan.groups) {
    const [a, b] = ranges;
    assert.deepEqual([a?.firstHostId, a?.lastHostId], [b?.firstHostId, b?.lastHostId]);
    assert.ok(!equalCidr(a!.cidr, b!.cidr), formatCidr(a!.cidr));
  }
});
