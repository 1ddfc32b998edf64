import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  type Address,
  addressPlan,
  formatAddress,
  parseAddress,
  parseCidr,
  parseLayout,
} from '../address/index.ts';
import { type ErrorCode, RomanaError } from '../errors.ts';
import { decideAllocate, decideRelease, type IpamNetwork, MemoryIpam, type Slot } from './index.ts';

function network(name: string, cidr: string, layout: string, reserved: string[] = []): IpamNetwork {
  return {
    name,
    plan: addressPlan(parseCidr(cidr), parseLayout(layout)),
    reserved: reserved.map(parseCidr),
    quarantineMs: 1000,
  };
}

const slotIn = (name: string, more: Partial<Slot> = {}): Slot => ({
  network: name,
  hostIds: [1],
  tenantId: 1,
  segmentId: 1,
  ...more,
});

/** A state with short verbs. Every event is applied at once. */
function bench(...networks: IpamNetwork[]) {
  const ipam = new MemoryIpam(networks);
  let uids = 0;
  return {
    ipam,
    give(key: string, slots: Slot[], now = 0, question = ''): string[] {
      const { allocation, events } = decideAllocate(ipam, { key, question, slots }, `u${++uids}`, now);
      for (const event of events) ipam.apply(event);
      return allocation.addresses.map((placed) => formatAddress(placed.address));
    },
    free(key: string, now = 0, expected: { uid?: string; seq?: number } = {}): number {
      const events = decideRelease(ipam, key, expected, now);
      for (const event of events) ipam.apply(event);
      return events.length;
    },
  };
}

function refused(code: ErrorCode, pattern: RegExp, details: Record<string, unknown> = {}) {
  return (error: unknown): true => {
    assert.ok(error instanceof RomanaError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    for (const [name, value] of Object.entries(details)) assert.deepEqual(error.details?.[name], value, name);
    return true;
  };
}

// Each case runs in both families: `at(id)` is the address of that endpoint id of the block under test.
const families = [
  {
    family: 'IPv4',
    make: (reserved: string[] = []) => network('n', '10.0.0.0/8', '8/8/4/4', reserved),
    at: (id: number) => `10.1.1.${16 + id}`,
    second: (id: number) => `10.2.1.${16 + id}`,
    blocks: ['10.1.1.16/28', '10.2.1.16/28'],
    foreign: '10.1.2.17',
  },
  {
    family: 'IPv6',
    make: (reserved: string[] = []) => network('n', 'fd10::/112', '4/4/4/4', reserved),
    at: (id: number) => `fd10::11${(16 + id).toString(16).padStart(2, '0')}`,
    second: (id: number) => `fd10::21${(16 + id).toString(16).padStart(2, '0')}`,
    blocks: ['fd10::1110/124', 'fd10::2110/124'],
    foreign: 'fd10::1121',
  },
] as const;

describe('worked example', () => {
  test('tenant 1, segment 1, endpoint id 11 on host 1', () => {
    const b = bench(network('v4', '10.0.0.0/8', '8/8/4/4'), network('v6', 'fd10::/16', '16/16/16/64'));
    const slots = [slotIn('v4', { endpointId: 11 }), slotIn('v6', { endpointId: 11 })];
    assert.deepEqual(b.give('a', slots), ['10.1.1.27', 'fd10:1:1:1::b']);
    assert.deepEqual(b.give('b', [slotIn('v4', { endpointId: 11, hostIds: [2] })]), ['10.2.1.27']);
  });
});

for (const { family, make, at, second, blocks, foreign } of families) {
  describe(family, () => {
    const full = [...Array(15).keys()].map((i) => i + 1);

    test('fresh ids come in order from 1 to the last one', () => {
      const b = bench(make());
      assert.deepEqual(
        full.flatMap((id) => b.give(`k${id}`, [slotIn('n')])),
        full.map(at),
      );
    });

    test('a full block is refused with its numbers and what would help', () => {
      const b = bench(make([`${at(14)}/${family === 'IPv4' ? 32 : 128}`]));
      for (const id of full.slice(0, 14)) b.give(`k${id}`, [slotIn('n')]);
      b.free('k3', 5000);
      assert.throws(
        () => b.give('late', [slotIn('n')], 5400),
        refused('block_full', /15 ids 13 are used, 1 reserved and 1 released.*wait 1 s/, {
          network: 'n',
          block: blocks[0],
          size: 15,
          used: 13,
          reserved: 1,
          quarantined: 1,
          waitMs: 600,
        }),
      );
      assert.deepEqual(b.give('late', [slotIn('n')], 6000), [at(3)]);
    });

    test('a full block without resting ids is not told to wait', () => {
      const b = bench(make());
      for (const id of full) b.give(`k${id}`, [slotIn('n')]);
      assert.throws(
        () => b.give('late', [slotIn('n')]),
        (error: unknown) =>
          refused('block_full', /delete endpoints/)(error) && !/wait/.test((error as Error).message),
      );
    });

    test('the next host id is taken when one block is full, in the order given', () => {
      const b = bench(make());
      const slot = slotIn('n', { hostIds: [1, 2] });
      const given = [...Array(30).keys()].flatMap((i) => b.give(`k${i}`, [slot]));
      assert.deepEqual(given, [...full.map(at), ...full.map(second)]);
      assert.throws(
        () => b.give('late', [slot]),
        refused('block_full', /30 ids 30/, { block: blocks.join(', ') }),
      );
    });

    test('a fixed id ahead of the fresh ones is passed over by them', () => {
      const b = bench(make());
      assert.deepEqual(b.give('f2', [slotIn('n', { endpointId: 2 })]), [at(2)]);
      assert.deepEqual(b.give('f4', [slotIn('n', { address: parseAddress(at(4)) })]), [at(4)]);
      assert.deepEqual(
        ['a', 'b', 'c'].flatMap((key) => b.give(key, [slotIn('n')])),
        [at(1), at(3), at(5)],
      );
    });

    test('released ids come last, longest idle first, and only after the quarantine', () => {
      const b = bench(make());
      for (const id of full) b.give(`k${id}`, [slotIn('n')]);
      b.free('k3', 100);
      b.free('k5', 101);
      b.free('k1', 101);
      assert.throws(() => b.give('x', [slotIn('n')], 1099), refused('block_full', /wait 1 s/));
      assert.deepEqual(b.give('x', [slotIn('n')], 1100), [at(3)]);
      assert.throws(() => b.give('y', [slotIn('n')], 1100), refused('block_full', /wait/));
      assert.deepEqual(b.give('y', [slotIn('n')], 1101), [at(5)]);
      assert.deepEqual(b.give('z', [slotIn('n')], 1101), [at(1)]);
    });

    test('nothing leaks whatever the order of releases', () => {
      const b = bench(make());
      for (let round = 0; round < 4; round++) {
        const now = round * 10_000;
        const got = full.flatMap((id) => b.give(`k${id}`, [slotIn('n')], now));
        assert.equal(new Set(got).size, 15);
        const order = [3, 5, 1, ...full.filter((id) => ![3, 5, 1].includes(id))];
        for (const id of round % 2 === 0 ? order : order.reverse()) assert.equal(b.free(`k${id}`, now), 1);
        assert.equal(b.ipam.size, 0);
        assert.deepEqual(
          b.ipam.usage().map((usage) => [usage.used, usage.quarantined]),
          [[0, 15]],
        );
      }
    });

    test('the same question has the same answer and no event; another question is a conflict', () => {
      const b = bench(make());
      const first = b.give('k', [slotIn('n')], 0, 'q');
      assert.deepEqual(b.give('k', [slotIn('n')], 1, 'q'), first);
      const wanted = { key: 'k', question: 'q', slots: [slotIn('n')] };
      assert.deepEqual(decideAllocate(b.ipam, wanted, 'other', 2), {
        allocation: b.ipam.byKey('k'),
        events: [],
      });
      assert.throws(
        () => b.give('k', [slotIn('n')], 3, 'other'),
        refused('conflict', /k already has addresses/),
      );
    });

    test('I1: a release that means another allocation frees nothing', () => {
      const b = bench(make());
      b.give('k', [slotIn('n')]);
      const old = b.ipam.byKey('k')!;
      b.free('k', 10);
      b.give('k', [slotIn('n', { endpointId: 1 })], 2000);
      assert.equal(b.free('k', 2001, { seq: old.seq }), 0);
      assert.equal(b.free('k', 2001, { uid: old.uid }), 0);
      assert.equal(b.ipam.ownerOf('n', parseAddress(at(1))), 'k');
      const { uid, seq } = b.ipam.byKey('k')!;
      assert.equal(b.free('k', 2002, { uid, seq }), 1);
      assert.equal(b.free('k', 2003, { uid, seq }), 0);
      assert.equal(b.free('never', 2003), 0);
    });

    test('sequence numbers grow and are never used again', () => {
      const b = bench(make());
      b.give('a', [slotIn('n')]);
      b.give('b', [slotIn('n')]);
      const last = b.ipam.byKey('b')!.seq;
      b.free('b');
      b.give('c', [slotIn('n')]);
      assert.ok(b.ipam.byKey('c')!.seq > last);
    });

    test('an owned address is refused with its owner', () => {
      const b = bench(make());
      b.give('web', [slotIn('n')]);
      for (const more of [{ endpointId: 1 }, { address: parseAddress(at(1)) }]) {
        assert.throws(
          () => b.give('k', [slotIn('n', more)]),
          refused('address_taken', /belongs to endpoint web/, { owner: 'web', address: at(1) }),
        );
      }
    });

    test('a fixed id goes to the first host id where it is free', () => {
      const b = bench(make());
      const slot = slotIn('n', { hostIds: [1, 2], endpointId: 7 });
      assert.deepEqual(b.give('a', [slot]), [at(7)]);
      assert.deepEqual(b.give('b', [slot]), [second(7)]);
      assert.throws(() => b.give('c', [slot]), refused('address_taken', /belongs to endpoint a/));
      assert.deepEqual(b.give('d', [slotIn('n', { hostIds: [1, 2], address: parseAddress(second(8)) })]), [
        second(8),
      ]);
    });

    test('a fixed address rests like any other, but not for its last owner', () => {
      const b = bench(make());
      b.give('k', [slotIn('n')]);
      b.free('k', 500);
      const slot = slotIn('n', { address: parseAddress(at(1)) });
      assert.throws(
        () => b.give('other', [slot], 600),
        refused('address_quarantined', /free again in 1 s/, { freeAt: 1500, waitMs: 900 }),
      );
      assert.deepEqual(b.give('k', [slot], 600), [at(1)]);
      b.free('k', 700);
      assert.deepEqual(b.give('other', [slot], 1700), [at(1)]);
      b.give('k2', [slotIn('n')], 1700);
      assert.equal(b.ipam.ownerOf('n', parseAddress(at(2))), 'k2');
    });

    test('a name that comes back on its host gets the address it had, in and after the quarantine', () => {
      const b = bench(make());
      b.give('before', [slotIn('n')]);
      b.give('k', [slotIn('n')]);
      b.free('k', 500);
      assert.deepEqual(b.give('other', [slotIn('n')], 501), [at(3)]);
      assert.deepEqual(b.give('k', [slotIn('n')], 502), [at(2)]);
      b.free('k', 600);
      assert.deepEqual(b.give('k', [slotIn('n')], 60_000), [at(2)]);
      assert.deepEqual(b.ipam.formerly('k'), []);
    });

    test('a name gets nothing back that somebody else has, that is reserved, or that is of another host id', () => {
      const b = bench(make());
      b.give('k', [slotIn('n')]);
      b.free('k', 0);
      assert.deepEqual(b.give('taker', [slotIn('n', { endpointId: 1 })], 1000), [at(1)]);
      assert.deepEqual(b.give('k', [slotIn('n')], 1000), [at(2)]);
      b.free('k', 1000);
      assert.deepEqual(b.give('k', [slotIn('n', { hostIds: [2] })], 1001), [second(1)]);
      b.free('k', 1002);
      b.ipam.setNetwork(make([`${at(2)}/${family === 'IPv4' ? 32 : 128}`]));
      assert.deepEqual(b.give('k', [slotIn('n')], 1003), [at(3)]);
    });

    test('the restart of two names at once swaps nothing', () => {
      const b = bench(make());
      b.give('a', [slotIn('n')]);
      b.give('b', [slotIn('n')]);
      b.free('a', 10);
      b.free('b', 11);
      assert.deepEqual(b.give('b', [slotIn('n')], 12), [at(2)]);
      assert.deepEqual(b.give('a', [slotIn('n')], 12), [at(1)]);
    });

    test('addresses outside the block, id 0 and ids past the end are refused', () => {
      const b = bench(make());
      const address = (text: string): { address: Address } => ({ address: parseAddress(text) });
      for (const text of [foreign, '192.0.2.1', '2001:db8::1', second(1)]) {
        assert.throws(
          () => b.give('k', [slotIn('n', address(text))]),
          refused('address_mismatch', /is not in/),
        );
      }
      assert.throws(
        () => b.give('k', [slotIn('n', { ...address(at(2)), endpointId: 3 })]),
        refused('address_mismatch', /endpoint id 2, not 3/),
      );
      assert.deepEqual(b.give('both', [slotIn('n', { ...address(at(3)), endpointId: 3 })]), [at(3)]);
      assert.throws(() => b.give('k', [slotIn('n', address(at(0)))]), refused('id_out_of_range', /1 to 15/));
      for (const endpointId of [0, -1, 16, 1.5, Number.NaN, 2 ** 32]) {
        assert.throws(
          () => b.give('k', [slotIn('n', { endpointId })]),
          refused('id_out_of_range', /1 to 15/),
        );
      }
      for (const more of [{ hostIds: [0] }, { tenantId: -1 }, { segmentId: 0 }, { segmentId: 16 }]) {
        assert.throws(() => b.give('k', [slotIn('n', more)]), refused('id_out_of_range', /id/));
      }
      assert.throws(() => b.give('k', [slotIn('n', { hostIds: [] })]), refused('host_without_id', /add-id/));
      assert.throws(() => b.give('k', [slotIn('gone')]), refused('not_found', /gone/));
      assert.throws(() => b.give('k', []), refused('input_invalid', /no address/));
    });

    test('reserved ranges are passed over and refused by name, and are usable once they are reserved no more', () => {
      const length = family === 'IPv4' ? 30 : 126;
      const b = bench(make([`${at(0)}/${length}`, `${at(8)}/${length}`]));
      const keys = [...Array(8).keys()].map((i) => `k${i}`);
      assert.deepEqual(
        keys.flatMap((key) => b.give(key, [slotIn('n')])),
        [4, 5, 6, 7, 12, 13, 14, 15].map(at),
      );
      assert.throws(() => b.give('x', [slotIn('n')]), refused('block_full', /8 are used, 7 reserved/));
      assert.throws(
        () => b.give('x', [slotIn('n', { endpointId: 9 })]),
        refused('address_reserved', /reserved range/, { reserved: `${at(8)}/${length}` }),
      );
      b.ipam.setNetwork(make());
      assert.deepEqual(
        [1, 2, 3, 8, 9, 10, 11].flatMap((id) => b.give(`n${id}`, [slotIn('n')])),
        [1, 2, 3, 8, 9, 10, 11].map(at),
      );
    });

    test('a range reserved over owned and resting ids keeps owners and bars reuse', () => {
      const b = bench(make());
      for (const id of full) b.give(`k${id}`, [slotIn('n')]);
      b.ipam.setNetwork(make([`${at(0)}/${family === 'IPv4' ? 29 : 125}`]));
      assert.equal(b.ipam.ownerOf('n', parseAddress(at(3))), 'k3');
      b.free('k3', 0);
      b.free('k9', 1);
      assert.deepEqual(b.give('x', [slotIn('n')], 5000), [at(9)]);
      assert.throws(() => b.give('y', [slotIn('n')], 5000), refused('block_full', /reserved/));
    });

    test('a reserved range over the whole block or network leaves nothing', () => {
      for (const reserved of [blocks[0], family === 'IPv4' ? '0.0.0.0/0' : '::/0']) {
        const b = bench(make([reserved]));
        assert.throws(
          () => b.give('x', [slotIn('n')]),
          refused('block_full', /15 reserved/, { reserved: 15 }),
        );
      }
    });

    test('two slots of one endpoint never take the same address', () => {
      const b = bench(make());
      assert.deepEqual(b.give('pair', [slotIn('n'), slotIn('n')]), [at(1), at(2)]);
      // The free choice comes first in the list, but may not take what the second names.
      assert.deepEqual(b.give('mixed', [slotIn('n'), slotIn('n', { endpointId: 3 })]), [at(4), at(3)]);
      assert.throws(
        () => b.give('twice', [slotIn('n', { endpointId: 9 }), slotIn('n', { endpointId: 9 })]),
        refused('address_taken', /belongs to endpoint twice/),
      );
      for (const id of full.slice(4, 14)) b.give(`k${id}`, [slotIn('n')]);
      assert.throws(() => b.give('last', [slotIn('n'), slotIn('n')]), refused('block_full', /14 are used/));
      b.free('k5', 0);
      assert.deepEqual(b.give('last', [slotIn('n'), slotIn('n')], 1000), [at(15), at(5)]);
    });

    test('segments, tenants and hosts have blocks of their own', () => {
      const b = bench(make());
      const all = [{}, { hostIds: [2] }, { tenantId: 2 }, { segmentId: 2 }].flatMap((more, i) =>
        b.give(`k${i}`, [slotIn('n', more)]),
      );
      assert.equal(new Set(all).size, 4);
      assert.deepEqual(
        b.ipam.usage().map((u) => [u.hostId, u.tenantId, u.segmentId, u.used]),
        [
          [1, 1, 1, 1],
          [1, 1, 2, 1],
          [1, 2, 1, 1],
          [2, 1, 1, 1],
        ],
      );
    });

    test('the shared identity numbers segment and endpoint bits together', () => {
      const b = bench(make());
      const slot = slotIn('n', { tenantId: 0, segmentId: 0 });
      const given = [...Array(20).keys()].flatMap((i) => b.give(`k${i}`, [slot]));
      assert.equal(given[0], family === 'IPv4' ? '10.1.0.1' : 'fd10::1001');
      assert.equal(given[19], family === 'IPv4' ? '10.1.0.20' : 'fd10::1014');
      assert.equal(b.ipam.ownerOf('n', parseAddress(given[19])), 'k19');
      assert.throws(
        () => b.give('x', [slotIn('n', { tenantId: 0, segmentId: 3 })]),
        refused('id_out_of_range', /shared identity/),
      );
      b.free('k19', 7);
      assert.equal(b.ipam.releasedAt('n', parseAddress(given[19])), 7);
    });
  });
}

describe('dual stack', () => {
  const both = [slotIn('v4'), slotIn('v6')];
  for (const [small, large] of [
    ['v6', 'v4'],
    ['v4', 'v6'],
  ] as const) {
    test(`I4: when only ${small} is exhausted, nothing of ${large} is taken`, () => {
      const b = bench(
        small === 'v4' ? network('v4', '10.0.0.0/24', '2/2/2/2') : network('v4', '10.0.0.0/8', '8/8/4/4'),
        small === 'v6' ? network('v6', 'fd10::/120', '2/2/2/2') : network('v6', 'fd10::/16', '16/16/16/64'),
      );
      for (let i = 0; i < 3; i++) b.give(`k${i}`, both);
      const before = b.ipam.usage();
      assert.throws(() => b.give('k3', both), refused('block_full', new RegExp(`network ${small}`)));
      assert.deepEqual(b.ipam.usage(), before);
      assert.equal(b.ipam.byKey('k3'), undefined);
    });
  }
});

describe('wide endpoint fields', () => {
  test('ids stay below 2^32, and a reserved range of 2^63 addresses costs no more than one', () => {
    const b = bench(network('n', 'fd10::/16', '16/16/16/64', ['fd10:1:1:1::/66', 'fd10:1:1:1:8000::/65']));
    assert.throws(
      () => b.give('a', [slotIn('n')]),
      refused('block_full', /4294967295 reserved/, { size: 2 ** 32 - 1 }),
    );
    b.ipam.setNetwork(network('n', 'fd10::/16', '16/16/16/64', ['fd10:1:1:1::/97', 'fd10:1:1:1:8000::/65']));
    assert.deepEqual(b.give('a', [slotIn('n')]), ['fd10:1:1:1::8000:0']);
    assert.deepEqual(b.give('b', [slotIn('n', { endpointId: 2 ** 32 - 1 })]), ['fd10:1:1:1::ffff:ffff']);
    assert.throws(
      () => b.give('c', [slotIn('n', { address: parseAddress('fd10:1:1:1:0:1::') })]),
      refused('id_out_of_range', /1 to 4294967295/),
    );
  });
});

test('ids that an earlier network of the same name has left behind never lead outside the block', () => {
  const b = bench(network('n', '10.0.0.0/8', '8/4/4/8'));
  for (const [i, endpointId] of [200, 2, 201].entries()) b.give(`old${i}`, [slotIn('n', { endpointId })]);
  for (let i = 0; i < 3; i++) b.free(`old${i}`, i);
  b.ipam.setNetwork(network('n', '10.0.0.0/8', '8/4/8/4'));
  const given = [...Array(15).keys()].flatMap((i) => b.give(`k${i}`, [slotIn('n')], 5000));
  assert.equal(new Set(given).size, 15);
  for (const text of given) assert.match(text, /^10[.]1[.]16[.](1[7-9]|2[0-9]|3[01])$/);
  assert.throws(() => b.give('late', [slotIn('n')], 5000), refused('block_full', /15 ids/));
});
