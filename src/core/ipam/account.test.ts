/** I19: the account is recomputed from scratch and adds up; the model counts every single address. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  type Address,
  addressPlan,
  addressPlus,
  cidrOf,
  containsAddress,
  decode,
  type Ids,
  parseCidr,
  sizeOf,
} from '../address/index.ts';
import {
  type Account,
  type AccountInput,
  accountant,
  classOfAddress,
  type HeldRange,
  type Reason,
} from './account.ts';

const plans = {
  v4: addressPlan(parseCidr('10.9.8.0/24'), { host: 3, tenant: 2, segment: 1, endpoint: 2 }),
  v6: addressPlan(parseCidr('fd10:9::8:0/120'), { host: 2, tenant: 2, segment: 2, endpoint: 2 }),
};

interface World {
  readonly input: AccountInput;
  readonly used: ReadonlySet<number>;
  readonly resting: ReadonlySet<number>;
}

const states = fc.constantFrom<HeldRange['state']>('active', 'active', 'spare', 'pending', 'fenced');
const idRow = (max: number) => fc.record({ id: fc.integer({ min: 1, max }), retiring: fc.boolean() });
const byId = { selector: ({ id }: { id: number }) => id, maxLength: 3 };
const byte = fc.nat(255);
const address = (plan: AccountInput['plan'], n: number): Address => addressPlus(plan.cidr.address, n)!;

/** Of `used` and `resting`, those that can be given out at all are taken. */
const world: fc.Arbitrary<World> = fc
  .record({
    plan: fc.constantFrom(plans.v4, plans.v6),
    hosts: fc.uniqueArray(fc.record({ id: fc.integer({ min: 1, max: 7 }), state: states }), {
      ...byId,
      maxLength: 6,
    }),
    tenants: fc.uniqueArray(
      fc
        .tuple(idRow(3), fc.uniqueArray(idRow(3), byId))
        .map(([tenant, segments]) => ({ ...tenant, segments })),
      byId,
    ),
    leaves: fc.subarray([
      { first: 0, last: 1 },
      { first: 4, last: 5 },
    ]),
    reserved: fc.array(fc.tuple(byte, fc.integer({ min: 0, max: 8 })), { maxLength: 4 }),
    used: fc.uniqueArray(byte, { maxLength: 30 }),
    resting: fc.uniqueArray(byte, { maxLength: 30 }),
  })
  .map((w) => {
    const { plan } = w;
    const input = {
      plan,
      hosts: w.hosts
        .filter(({ id }) => id <= plan.hostField.max)
        .sort((a, b) => a.id - b.id)
        .map(({ id, state }) => ({ first: id, last: id, state })),
      leaves: w.leaves.filter(({ last }) => last <= plan.hostField.max),
      tenants: w.tenants.map((tenant) => ({
        ...tenant,
        segments: tenant.segments.filter(({ id }) => id <= plan.segmentField.max),
      })),
      reserved: w.reserved.map(([n, length]) => cidrOf(address(plan, n), plan.cidr.length + length)),
      blocks: [],
    };
    const sane = (n: number): boolean => classOfAddress(input, address(plan, n)) !== 'never';
    const used = new Set(w.used.filter(sane));
    const resting = new Set(w.resting.filter((n) => sane(n) && !used.has(n)));
    const blocks = new Map<string, AccountInput['blocks'][number]>();
    for (const n of [...used, ...resting]) {
      const ids = decode(plan, address(plan, n))!;
      const where = {
        hostId: ids.host,
        tenantId: ids.tenant,
        segmentId: ids.tenant === 0 ? 0 : ids.segment,
      };
      const key = Object.values(where).join();
      const before = blocks.get(key) ?? { used: 0, usedReserved: 0, resting: 0 };
      const inside = input.reserved.some((range) => containsAddress(range, address(plan, n)));
      blocks.set(key, {
        ...where,
        used: before.used + Number(used.has(n)),
        usedReserved: before.usedReserved + Number(used.has(n) && inside),
        resting: before.resting + Number(!used.has(n) && !inside),
      });
    }
    return { input: { ...input, blocks: [...blocks.values()] }, used, resting };
  });

/** Looks at every address of the network that `inside` takes. */
function byHand(
  { input, used, resting }: World,
  inside: (ids: Ids) => boolean,
  own: readonly string[],
): Account {
  const count = { size: 0n, used: 0n, reserved: 0n, quarantined: 0n, free: 0n, stranded: 0n };
  const why = new Map<Reason, bigint>();
  for (let n = 0; n < 256; n++) {
    const one = address(input.plan, n);
    if (!inside(decode(input.plan, one)!)) continue;
    const what = classOfAddress(input, one);
    count.size++;
    if (used.has(n)) count.used++;
    else if (input.reserved.some((range) => containsAddress(range, one))) count.reserved++;
    else if (resting.has(n)) count.quarantined++;
    else if (what === 'free' || own.includes(what)) count.free++;
    else {
      count.stranded++;
      why.set(what, (why.get(what) ?? 0n) + 1n);
    }
  }
  return { ...count, why };
}

const total = (a: Account): bigint => a.used + a.reserved + a.quarantined + a.free + a.stranded;
test('I19 used + reserved + quarantined + free + stranded = size, whatever the state is', () => {
  fc.assert(
    fc.property(world, (w) => {
      const books = accountant(w.input);
      const accounts = [
        books.network(),
        ...w.input.leaves.map((leaf) => books.hostIds([leaf], false)),
        ...w.input.hosts.map((range) => books.hostIds([range], true)),
        ...w.input.tenants.map(({ id }) => books.tenant([id])),
        ...w.input.blocks.map((block) => books.block(block)),
      ];
      for (const account of accounts) {
        assert.equal(total(account), account.size);
        assert.equal(
          [...account.why.values()].reduce((a, b) => a + b, 0n),
          account.stranded,
        );
      }
      assert.equal(accounts[0]!.size, sizeOf(w.input.plan.cidr));
    }),
  );
});

test('I19 the arithmetic counts what counting every address counts, in every scope', () => {
  fc.assert(
    fc.property(world, (w) => {
      const books = accountant(w.input);
      const { hosts } = w.input;
      assert.deepEqual(
        books.network(),
        byHand(w, () => true, []),
      );
      for (const { first, last } of w.input.leaves) {
        assert.deepEqual(
          books.hostIds([{ first, last }], false),
          byHand(w, ({ host }) => first <= host && host <= last, []),
        );
      }
      for (const range of hosts) {
        assert.deepEqual(
          books.hostIds([range], true),
          byHand(w, ({ host }) => host === range.first, ['spare']),
        );
      }
      for (const { id } of w.input.tenants) {
        const held = (host: number): boolean => hosts.some(({ first }) => first === host);
        assert.deepEqual(
          books.tenant([id]),
          byHand(w, (ids) => ids.tenant === id && held(ids.host), ['segment', 'tenant']),
        );
      }
      const all = w.input.tenants.map(({ id }) => id);
      assert.deepEqual(
        books.tenant(all),
        byHand(w, (ids) => all.includes(ids.tenant) && hosts.some(({ first }) => first === ids.host), [
          'segment',
          'tenant',
        ]),
        'a tenant with all these ids',
      );
      for (const block of w.input.blocks) {
        const inside = (ids: { host: number; tenant: number; segment: number }): boolean =>
          ids.host === block.hostId &&
          ids.tenant === block.tenantId &&
          (block.tenantId === 0 || ids.segment === block.segmentId);
        assert.deepEqual(books.block(block), byHand(w, inside, ['segment', 'shared']));
      }
    }),
    { numRuns: 60 },
  );
});

test('a /16 of IPv6 with 64 bits of endpoints adds up: nothing is rounded', () => {
  const plan = addressPlan(parseCidr('fd10::/16'), { host: 16, tenant: 16, segment: 16, endpoint: 64 });
  const books = accountant({
    plan,
    hosts: [{ first: 1, last: 5000, state: 'active' }],
    leaves: [],
    tenants: [{ id: 1, retiring: false, segments: [{ id: 1, retiring: false }] }],
    reserved: [parseCidr('fd10:1:1:1::/65'), parseCidr('fd10:8000::/17')],
    blocks: [{ hostId: 1, tenantId: 1, segmentId: 1, used: 3, usedReserved: 3, resting: 0 }],
  });
  const all = books.network();
  assert.equal(all.size, 2n ** 112n);
  assert.equal(total(all), all.size);
  assert.equal(all.reserved, 2n ** 111n + 2n ** 63n - 3n);
  assert.equal(books.block({ hostId: 2, tenantId: 1, segmentId: 1 }).free, 2n ** 32n - 1n);
});
