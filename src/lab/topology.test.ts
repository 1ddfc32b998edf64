import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import { demandTopology } from '#core/plan/topology/index.ts';
import { ownTopology, withFabric } from './fabric.ts';
import { fabrics, plainFabric, planLab } from './plan.ts';
import { addressing, endpointsPerBlock, familiesOf, groupsOfRacks, networksFor } from './topology.ts';

const v4 = { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' };
const old = { name: 'old', cidr: '172.16.0.0/12', layout: '8/6/4/2', tenants: ['acme'] };
const v6 = { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' };
const groups = [{ name: 'rack1' }, { name: 'z', groups: [{ name: 'rack2' }] }];

test('without a file the lab has its own networks, one of each family', () => {
  const own = addressing(null);
  assert.equal(own.file, null);
  assert.deepEqual(familiesOf(own), [4, 6]);
  assert.equal(endpointsPerBlock(own, 1), 15);
});

test('a tenant takes the networks that are open to it in turn, one of each family', () => {
  const file = addressing({ networks: [v4, old, v6], groups });
  const turns = (tenant: string): string[] =>
    [0, 1, 2].map((turn) => networksFor(file, tenant, turn).join(' '));
  assert.deepEqual(turns('acme'), ['v4 v6', 'old v6', 'v4 v6']);
  assert.deepEqual(turns('globex'), ['v4 v6', 'v4 v6', 'v4 v6']);
  assert.deepEqual(
    [...file.leaves],
    [
      ['rack1', 'rack1'],
      ['rack2', 'z/rack2'],
    ],
  );
});

test('the smallest block and the host ids that are reserved say how many endpoints of a segment a host has room for', () => {
  assert.equal(endpointsPerBlock(addressing({ networks: [v4, old, v6], groups }), 4), 3 * 4);
  const six = addressing({ networks: [v6], groups });
  assert.deepEqual(familiesOf(six), [6]);
  assert.equal(endpointsPerBlock(six, 1), 2 ** 16 - 1);
});

test('files that the lab cannot use are refused, and it says why', () => {
  for (const [file, reason] of [
    [{ networks: [v4], groups: [{ name: 'rack1', hosts: [{ name: 'h1', ip: '192.168.1.1' }] }] }, /hosts/],
    [{ networks: [{ name: 'f', cidr: '192.0.2.0/24', kind: 'flat' }] }, /network/],
    [{ networks: [v4, { ...v4, name: 'twice' }] }, /overlap/],
    [
      {
        networks: [v4],
        topologies: [
          { name: 'a', networks: ['v4'] },
          { name: 'b', networks: [] },
        ],
      },
      /one topology/,
    ],
  ] as const) {
    assert.throws(
      () => addressing(file as unknown as Parameters<typeof addressing>[0]),
      (error) => isRomanaError(error) && reason.test(error.message),
    );
  }
});

test('the switches of a rack serve the smallest group that holds its hosts; a file that has them otherwise is refused', () => {
  const plan = planLab({ hosts: 4, racks: 2 });
  const standing = (...paths: (string | null)[]) => paths.map((group) => ({ group }));
  assert.deepEqual(
    [...groupsOfRacks(plan.hosts, standing('z/a', 'z/a', 'z/b', 'z/b'))],
    [
      ['rack1', 'z/a'],
      ['rack2', 'z/b'],
    ],
  );
  assert.deepEqual(
    [...groupsOfRacks(plan.hosts, standing('y/a', 'y/b', 'z/b', 'z/b'))],
    [
      ['rack1', 'y'],
      ['rack2', 'z/b'],
    ],
  );
  for (const groups of [
    standing('z/a', 'z/a', 'z/a', 'z/a'),
    standing('z/a', 'z/a', null, 'z/b'),
    standing('z/a', 'z/c', 'z/b', 'z/b'),
    standing('x', 'y', 'z/b', 'z/b'),
    standing('z', 'z', 'z/b', 'z/b'),
  ]) {
    assert.throws(() => groupsOfRacks(plan.hosts, groups), /a group for each rack/);
  }
});

test("the lab's switches and fabric are stated in the words of a topology file, for its own racks and in a user's file", () => {
  const choices = fabrics.flatMap((kind) =>
    [false, true].map((dualHomed) => ({ ...plainFabric, kind, dualHomed })),
  );
  for (const fabric of choices) {
    const plan = planLab({ hosts: 4, racks: 2, fabric });
    const own = demandTopology({ networks: [v4, v6], ...ownTopology(plan) }).file;
    const racks = new Map([
      ['rack1', 'rack1'],
      ['rack2', 'z/rack2'],
    ]);
    const theirs = demandTopology(withFabric(plan, { networks: [v4, v6], groups }, racks)).file;
    for (const { topologies } of [own, theirs]) {
      const [top] = topologies ?? [];
      assert.deepEqual(
        top?.devices?.map(({ name }) => name),
        ['spine'],
      );
      const rack1 = top?.groups.find(({ name }) => name === 'rack1');
      assert.deepEqual(
        rack1?.devices?.map(({ name, uplinks }) => [name, uplinks[0]?.device]),
        fabric.dualHomed
          ? [
              ['leaf1a', 'spine'],
              ['leaf1b', 'spine'],
            ]
          : [['leaf1', 'spine']],
      );
      assert.equal((fabric.kind === 'l2' ? rack1 : top)?.fabric?.kind, fabric.kind);
      assert.equal((fabric.kind === 'l2' ? top : rack1)?.fabric ?? null, null);
    }
    const inner = theirs.topologies?.[0]?.groups.find(({ name }) => name === 'z')?.groups[0];
    assert.equal(inner?.devices?.length, fabric.dualHomed ? 2 : 1);
  }
});

test('a file that states a fabric or devices itself is refused: the lab has switches of its own', () => {
  const plan = planLab({ hosts: 2, racks: 1 });
  for (const file of [
    { topologies: [{ fabric: 'l2', map: [] }] },
    { groups: [{ name: 'a', groups: [{ name: 'b', devices: [] }] }] },
  ]) {
    assert.throws(() => withFabric(plan, file, new Map()), /switches of its own/);
  }
});
