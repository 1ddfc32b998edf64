import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  addressPlan,
  containsCidr,
  equalCidr,
  formatCidr,
  hostCidr,
  overlaps,
  parseCidr,
  parseLayout,
  sizeOf,
} from '../address/index.ts';
import { carve, carveCidr, type GroupNode, type Topology } from './groups.ts';

const names = (prefix: string, count: number): GroupNode[] =>
  Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i + 1}` }));

function cidrs(network: string, topology: Topology): string[] {
  return carveCidr(parseCidr(network), topology).map((group) => formatCidr(group.cidr));
}

const v4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('8/8/4/4'));
const v6 = addressPlan(parseCidr('fd10::/16'), parseLayout('16/16/16/64'));

/** Three levels of five groups take nine bits of the host field, and the first leaf needs an id besides 0. */
const deepV4 = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('10/6/4/4'));

/** Trees of up to three levels, names unique among siblings. */
const nodes: (depth: number) => fc.Arbitrary<GroupNode[]> = (depth) =>
  fc
    .array(
      depth === 0 ? fc.constant<GroupNode[]>([]) : fc.oneof(fc.constant<GroupNode[]>([]), nodes(depth - 1)),
      {
        minLength: 1,
        maxLength: 5,
      },
    )
    .map((children) => children.map((groups, i) => ({ name: `g${i}`, groups })));

describe('worked examples of group CIDRs', () => {
  const four = ['10.111.0.0/18', '10.111.64.0/18', '10.111.128.0/18', '10.111.192.0/18'];

  it('a: four groups are quarters', () => {
    assert.deepEqual(cidrs('10.111.0.0/16', { groups: names('rack', 4) }), four);
  });

  it('b: three groups are quarters too, the fourth is padding', () => {
    assert.deepEqual(cidrs('10.111.0.0/16', { groups: names('rack', 3) }), four.slice(0, 3));
  });

  it('c: zones with different numbers of racks', () => {
    const groups = [
      { name: 'zone-A', groups: names('rack', 4) },
      { name: 'zone-B', groups: names('rack', 2) },
    ];
    assert.deepEqual(cidrs('10.111.0.0/16', { groups }), [
      '10.111.0.0/17',
      '10.111.0.0/19',
      '10.111.32.0/19',
      '10.111.64.0/19',
      '10.111.96.0/19',
      '10.111.128.0/17',
      '10.111.128.0/18',
      '10.111.192.0/18',
    ]);
    const paths = carveCidr(parseCidr('10.111.0.0/16'), { groups }).map((group) => [
      group.path,
      group.name,
      group.leaf,
    ]);
    assert.deepEqual(paths[0], ['zone-A', 'zone-A', false]);
    assert.deepEqual(paths[1], ['zone-A/rack1', 'rack1', true]);
    assert.deepEqual(paths[7], ['zone-B/rack2', 'rack2', true]);
  });

  it('d: one group is the whole network', () => {
    assert.deepEqual(cidrs('10.111.0.0/16', { groups: names('all', 1) }), ['10.111.0.0/16']);
  });

  it('e: eight groups of a /12', () => {
    const wanted = [112, 114, 116, 118, 120, 122, 124, 126].map((octet) => `10.${octet}.0.0/15`);
    assert.deepEqual(cidrs('10.112.0.0/12', { groups: names('rack', 8) }), wanted);
  });

  it('f: a leaf beside a group of groups', () => {
    const groups = [{ name: 'group1' }, { name: 'group2', groups: [{ name: '2a' }, { name: '2b' }] }];
    assert.deepEqual(cidrs('10.0.0.0/16', { groups }), [
      '10.0.0.0/17',
      '10.0.128.0/17',
      '10.0.128.0/18',
      '10.0.192.0/18',
    ]);
  });

  it('g: two zones of eight groups in a /11', () => {
    const groups = ['zone1', 'zone2'].map((name) => ({ name, groups: names('rack', 8) }));
    const carved = carveCidr(parseCidr('100.96.0.0/11'), { groups });
    assert.deepEqual(
      carved.filter((group) => !group.leaf).map((group) => formatCidr(group.cidr)),
      ['100.96.0.0/12', '100.112.0.0/12'],
    );
    assert.deepEqual(
      carved.filter((group) => group.leaf).map((group) => formatCidr(group.cidr)),
      Array.from({ length: 16 }, (_, i) => `100.${96 + 2 * i}.0.0/15`),
    );
  });

  it('IPv6 twin of c', () => {
    const groups = [
      { name: 'zone-A', groups: names('rack', 4) },
      { name: 'zone-B', groups: names('rack', 2) },
    ];
    assert.deepEqual(cidrs('fd10::/16', { groups }), [
      'fd10::/17',
      'fd10::/19',
      'fd10:2000::/19',
      'fd10:4000::/19',
      'fd10:6000::/19',
      'fd10:8000::/17',
      'fd10:8000::/18',
      'fd10:c000::/18',
    ]);
  });
});

describe('carving the host field', () => {
  it('an empty topology is one anonymous leaf over everything', () => {
    const [root, ...others] = carve(v4, { groups: [] });
    assert.deepEqual(others, []);
    assert.deepEqual(root, {
      path: '',
      name: '',
      cidr: v4.cidr,
      leaf: true,
      firstHostId: 0,
      lastHostId: 255,
    });
  });

  it('groups hold the host ids whose CIDRs they contain, padding holds none', () => {
    const carved = carve(v4, { groups: names('rack', 3) });
    assert.deepEqual(
      carved.map((group) => [group.firstHostId, group.lastHostId]),
      [
        [0, 63],
        [64, 127],
        [128, 191],
      ],
    );
    for (let id = 0; id <= 255; id++) {
      const holders = carved.filter((group) => containsCidr(group.cidr, hostCidr(v4, id)));
      assert.equal(holders.length, id < 192 ? 1 : 0);
      for (const group of holders) assert.ok(id >= group.firstHostId && id <= group.lastHostId);
    }
  });

  it('aggregates are disjoint except for ancestors; children fit their parent; ids match CIDRs', () => {
    fc.assert(
      fc.property(fc.constantFrom(deepV4, v6), nodes(2), (plan, groups) => {
        const carved = carve(plan, { groups });
        for (const [i, a] of carved.entries()) {
          assert.ok(containsCidr(a.cidr, hostCidr(plan, a.firstHostId)));
          assert.ok(containsCidr(a.cidr, hostCidr(plan, a.lastHostId)));
          const hosts = BigInt(a.lastHostId - a.firstHostId + 1);
          assert.equal(sizeOf(a.cidr), hosts * sizeOf(hostCidr(plan, 1)));
          for (const b of carved.slice(i + 1)) {
            // An only child is as large as its parent, so equal CIDRs are nesting as well.
            if (b.path.startsWith(`${a.path}/`)) assert.ok(containsCidr(a.cidr, b.cidr));
            else assert.ok(!overlaps(a.cidr, b.cidr));
          }
        }
      }),
    );
  });

  it('a group keeps its CIDR while siblings are added within the padding', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 64 }), (count) => {
        const small = carve(v6, { groups: names('rack', count) });
        const room = 2 ** Math.ceil(Math.log2(count));
        const large = carve(v6, { groups: names('rack', room) });
        assert.ok(small.every((group, i) => equalCidr(group.cidr, large[i]!.cidr)));
      }),
    );
  });

  it('duplicate paths, empty names and slashes are refused', () => {
    const bad: GroupNode[][] = [
      [{ name: 'a' }, { name: 'a' }],
      [{ name: 'z', groups: [{ name: 'a' }, { name: 'b' }, { name: 'a' }] }],
      [{ name: '' }],
      [{ name: 'a/b' }, { name: 'a', groups: [{ name: 'b' }] }],
    ];
    for (const groups of bad) assert.throws(() => carve(v4, { groups }), { code: 'topology_invalid' });
    const twins = ['zone1', 'zone2'].map((name) => ({ name, groups: names('rack', 2) }));
    assert.equal(carve(v4, { groups: twins }).length, 6);
  });

  it('a host field too narrow for the tree is refused, one bit wider is not', () => {
    const narrow = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('2/14/4/4'));
    assert.throws(() => carve(narrow, { groups: names('rack', 5) }), { code: 'topology_invalid' });
    const deep = [{ name: 'z1', groups: names('rack', 4) }, { name: 'z2' }];
    assert.throws(() => carve(narrow, { groups: deep }), { code: 'topology_invalid' });
    // Four racks of one id each: the first would have id 0 alone, which no host gets.
    assert.throws(() => carve(narrow, { groups: names('rack', 4) }), { code: 'topology_invalid' });
    assert.equal(carve(narrow, { groups: names('rack', 2) }).length, 2);
    const wider = addressPlan(parseCidr('10.0.0.0/8'), parseLayout('3/13/4/4'));
    assert.equal(carve(wider, { groups: names('rack', 4) }).length, 4);
    assert.throws(() => carveCidr(parseCidr('10.0.0.0/31'), { groups: names('rack', 3) }), {
      code: 'topology_invalid',
    });
    assert.throws(() => carveCidr(parseCidr('fd10::/127'), { groups: names('rack', 3) }), {
      code: 'topology_invalid',
    });
  });
});
