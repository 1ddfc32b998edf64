/** What keeps a host from saying that all it holds has been told: something under way, or an id that is another's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { isUndisputed } from './listed.ts';
import { endpointOf, hostOf, type Objects, objectsOf, segmentOf, tenantOf, wiredOf } from './testing.ts';

function undisputed(
  endpoints: readonly m.Endpoint[],
  objects: Objects = {},
  underWay: string[] = [],
): boolean {
  const local = endpoints.map(wiredOf);
  const uids = [...local.map(({ uid }) => uid), ...underWay];
  const allocator = {
    claims: () => uids.map((uid) => ({ uid, key: uid, question: '', seq: 1, addresses: [] })),
  };
  return isUndisputed(allocator, local, objectsOf(objects), 'h1');
}

const cases: readonly (readonly [what: string, four: string, six: string, objects?: Objects])[] = [
  ['its own ids', '10.1.1.17', 'fd10:1:1:1::1'],
  ['the shared identity', '10.1.0.1', 'fd10:1:0:0::1'],
  ['a tenant id that nobody has', '10.1.9.17', 'fd10:1:9:1::1'],
  ['a segment id that nobody has', '10.1.1.145', 'fd10:1:1:9::1'],
  [
    'a host id that waits for its route',
    '10.7.1.17',
    'fd10:7:1:1::1',
    {
      hosts: [
        hostOf(1, {
          reservations: ['four', 'six'].map((network) => ({
            network,
            first: 7,
            size: 1,
            cidr: '',
            pending: { revision: 1, id: 7, allocator: 'agent', switches: false, waitingFor: [] },
          })),
        }),
      ],
    },
  ],
];
for (const [what, four, six, objects] of cases) {
  test(`undisputed: ${what}`, () => {
    for (const address of [four, six])
      assert.equal(undisputed([endpointOf('a/x/e', [address])], objects), true, address);
  });
}

const others: Objects = {
  tenants: [tenantOf('a', 1), tenantOf('b', 2)],
  segments: [segmentOf('a', 'x', 1), segmentOf('a', 'y', 2), segmentOf('b', 'x', 1)],
};
for (const [what, four, six] of [
  ['the host id of another host', '10.2.1.17', 'fd10:2:1:1::1'],
  ['a host id that is not its own', '10.7.1.17', 'fd10:7:1:1::1'],
  ['the tenant id of another', '10.1.2.17', 'fd10:1:2:1::1'],
  ['the segment id of another', '10.1.1.33', 'fd10:1:1:2::1'],
] as const) {
  test(`disputed: ${what}, unless it is on record so`, () => {
    for (const address of [four, six]) {
      const endpoint = endpointOf('a/x/e', [address]);
      assert.equal(undisputed([endpoint], others), false, address);
      assert.equal(undisputed([endpoint], { ...others, endpoints: [endpoint] }), true, address);
    }
  });
}

test('what is being given out at this moment may be told only with the next report', () => {
  assert.equal(undisputed([endpointOf('a/x/e', ['10.1.1.17'])], {}, ['later']), false);
});
