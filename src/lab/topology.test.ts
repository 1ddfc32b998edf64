import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isRomanaError } from '#core/errors.ts';
import { planLab } from './plan.ts';
import { addressing, endpointsPerBlock, familiesOf, networksFor, rackAggregates } from './topology.ts';

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

test('the spine routes the aggregate of the group that a rack stands in; racks that share a group are refused', () => {
  const plan = planLab({ hosts: 3, racks: 2 });
  const standing = (...paths: (string | null)[]) => paths.map((group) => ({ group }));
  const topology = {
    aggregates: [
      { path: 'z', cidr: '10.0.0.0/8' },
      { path: 'z/a', cidr: '10.0.0.0/9' },
      { path: 'z/b', cidr: '10.128.0.0/9' },
    ],
  };
  assert.deepEqual(rackAggregates(plan, standing('z/a', 'z/a', 'z/b'), topology), [
    { path: 'rack1', cidr: '10.0.0.0/9' },
    { path: 'rack2', cidr: '10.128.0.0/9' },
  ]);
  for (const groups of [standing('z/a', 'z/a', 'z/a'), standing('z/a', 'z/a', null)]) {
    assert.throws(() => rackAggregates(plan, groups, topology), /a group for each rack/);
  }
});
