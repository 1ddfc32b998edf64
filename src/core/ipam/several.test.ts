/** Tenants and segments with several numbers: which blocks they have, and in which order these fill. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressPlan, formatAddress, parseAddress, parseCidr, parseLayout } from '../address/index.ts';
import { isRomanaError } from '../errors.ts';
import { decideAllocate, decideRelease, MemoryIpam, numbersIn, type Slot } from './index.ts';

/** Three addresses in a block. */
const networks = (
  [
    ['v4', '10.0.0.0/16', '4/5/5/2'],
    ['v6', 'fd10::/112', '4/5/5/2'],
  ] as const
).map(([name, cidr, layout]) => ({
  name,
  plan: addressPlan(parseCidr(cidr), parseLayout(layout)),
  reserved: [],
  quarantineMs: 1000,
}));

function bench() {
  const ipam = new MemoryIpam(networks);
  let uids = 0;
  return {
    give(key: string, slot: Slot, now = 0) {
      const { allocation, events } = decideAllocate(
        ipam,
        { key, question: '', slots: [slot] },
        `u${++uids}`,
        now,
      );
      for (const event of events) ipam.apply(event);
      return allocation.addresses[0]!;
    },
    free(key: string, now = 0) {
      for (const event of decideRelease(ipam, key, {}, now)) ipam.apply(event);
    },
  };
}

const holding = (...ids: number[]) => ({ ids: ids.map((id) => ({ network: 'v4', id })) });

test('every id of the tenant goes with every id of the segment, the oldest first; without one of either it is the shared identity', () => {
  assert.deepEqual(numbersIn('v4', holding(7), holding(3)), { tenantId: 7, segmentId: 3 });
  assert.deepEqual(numbersIn('v4', holding(7, 2), holding(3, 1)), {
    tenantId: 7,
    segmentId: 3,
    further: [
      { tenantId: 7, segmentId: 1 },
      { tenantId: 2, segmentId: 3 },
      { tenantId: 2, segmentId: 1 },
    ],
  });
  for (const [tenant, segment] of [
    [holding(), holding(1, 2)],
    [holding(1, 2), holding()],
  ] as const)
    assert.deepEqual(numbersIn('v4', tenant, segment), { tenantId: 0, segmentId: 0 });
  assert.deepEqual(numbersIn('v6', holding(7, 2), holding(3)), { tenantId: 0, segmentId: 0 });
});

for (const { name } of networks) {
  const slot: Slot = { network: name, hostIds: [1, 2], tenantId: 1, segmentId: 1 };
  const further = [
    { tenantId: 1, segmentId: 2 },
    { tenantId: 5, segmentId: 1 },
  ];

  test(`${name}: all blocks of the first pair fill before those of the next, and no pair is used that was not given`, () => {
    const b = bench();
    const taken = Array.from({ length: 18 }, (_, n) => b.give(`a/s/${n}`, { ...slot, further }));
    assert.deepEqual(
      taken.map(({ tenantId, segmentId, hostId }) => `${tenantId}/${segmentId}@${hostId}`),
      ['1/1@1', '1/1@2', '1/2@1', '1/2@2', '5/1@1', '5/1@2'].flatMap((block) => [block, block, block]),
    );
    assert.equal(new Set(taken.map(({ address }) => formatAddress(address))).size, 18);
    assert.throws(
      () => b.give('a/s/more', { ...slot, further }),
      (error: unknown) =>
        isRomanaError(error) && error.code === 'block_full' && error.details?.['size'] === 18,
    );
  });

  test(`${name}: firstOnly keeps free choices in the first pair; a name that comes back and a fixed address are not bound by it`, () => {
    const b = bench();
    const careful: Slot = { ...slot, hostIds: [1], further, firstOnly: true };
    for (const n of [1, 2, 3]) b.give(`a/s/${n}`, careful);
    assert.throws(
      () => b.give('a/s/4', careful),
      (error: unknown) => isRomanaError(error) && error.code === 'block_full',
    );
    const spilled = b.give('a/s/4', { ...careful, firstOnly: false });
    assert.deepEqual([spilled.tenantId, spilled.segmentId], [1, 2]);
    b.free('a/s/4');
    assert.deepEqual(b.give('a/s/4', careful), spilled, 'names keep addresses');
    const fixed = parseAddress(name === 'v4' ? '10.0.18.134' : 'fd10::1286');
    const other = b.give('a/s/5', { ...careful, address: fixed });
    assert.deepEqual([other.tenantId, other.segmentId, other.endpointId], [5, 1, 2]);
  });
}

test('whatever is given and freed, in whatever order: no address twice, each in a block of the pairs given', () => {
  const pair = fc.record({
    tenantId: fc.integer({ min: 1, max: 3 }),
    segmentId: fc.integer({ min: 1, max: 3 }),
  });
  const step = fc.record({
    name: fc.integer({ min: 0, max: 25 }),
    give: fc.boolean(),
    firstOnly: fc.boolean(),
  });
  const same = (p: { tenantId: number; segmentId: number }): string => `${p.tenantId}/${p.segmentId}`;
  fc.assert(
    fc.property(
      fc.uniqueArray(pair, { minLength: 1, maxLength: 4, selector: same }),
      fc.array(step, { maxLength: 60 }),
      ([first, ...rest], steps) => {
        const b = bench();
        /** By address: who owns it, or since when it rests. */
        const known = new Map<string, { pair: string; owner?: string; since?: number }>();
        const held = new Set([first!, ...rest].map(same));
        for (const [n, { name, give, firstOnly }] of steps.entries()) {
          const key = `a/s/${name}`;
          const now = n * 250;
          if (!give) {
            b.free(key, now);
            for (const [address, { pair: where, owner }] of known)
              if (owner === key) known.set(address, { pair: where, since: now });
            continue;
          }
          try {
            const slot = { network: 'v4', hostIds: [1], ...first!, further: rest, firstOnly };
            const placed = b.give(key, slot, now);
            const address = formatAddress(placed.address);
            assert.equal(known.get(address)?.owner ?? key, key);
            known.set(address, { pair: same(placed), owner: key });
            assert.ok(held.has(same(placed)));
          } catch (error) {
            if (!isRomanaError(error) || error.code !== 'block_full') throw error;
            const allowed = firstOnly ? new Set([same(first!)]) : held;
            const gone = [...known.values()].filter(
              (one) => allowed.has(one.pair) && (one.owner !== undefined || now - one.since! < 1000),
            );
            assert.equal(gone.length, 3 * allowed.size, 'only full blocks are refused');
          }
        }
      },
    ),
  );
});
