import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import * as fc from 'fast-check';
import { type TestStore, testStore } from '../../store/testing.ts';
import { Lease, LeaseLost } from './lease.ts';

const bases: TestStore[] = [];
after(() => {
  for (const base of bases) base.dispose();
});

/** Servers with clocks of their own, which begin anywhere. */
function servers(count: number) {
  const base = testStore();
  bases.push(base);
  const store = base.open();
  const clocks = Array.from({ length: count }, (_, index) => {
    const clock = { at: index * 1_000_000, monotonic: (): number => clock.at };
    return clock;
  });
  const pass = (ms: number): void => {
    for (const clock of clocks) clock.at += ms;
  };
  const leases = clocks.map(
    (clock, index) => new Lease({ store, clock, name: 'x', holder: `s${index}`, lastsMs: 60_000 }),
  );
  return { store, leases, pass };
}

test('the first has it, and keeps it as long as it renews it', async () => {
  const { leases, pass } = servers(2);
  const [first, second] = leases;
  assert.ok(first !== undefined && second !== undefined);
  for (let n = 0; n < 20; n++) {
    assert.equal(await first.renew(), true);
    assert.equal(await second.renew(), false);
    pass(20_000);
  }
  assert.equal(second.holder, 's0');
});

test('one that is not heard of for as long as the lease lasts is followed; it holds nothing long before that', async () => {
  const { store, leases, pass } = servers(2);
  const [first, second] = leases;
  assert.ok(first !== undefined && second !== undefined);
  await first.renew();
  await second.renew();
  pass(30_000);
  assert.equal(first.held, false);
  assert.equal(await second.renew(), false);
  pass(29_999);
  assert.equal(await second.renew(), false);
  pass(1);
  assert.equal(await second.renew(), true);
  await assert.rejects(
    store.transaction('x', (tx) => first.check(tx)),
    LeaseLost,
  );
  assert.equal(await first.renew(), false);
});

test("given back, the next need not wait; suspended, it is still nobody else's", async () => {
  const { leases } = servers(2);
  const [first, second] = leases;
  assert.ok(first !== undefined && second !== undefined);
  await first.renew();
  first.suspend();
  assert.equal(first.held, false);
  assert.equal(await second.renew(), false);
  await first.release();
  assert.equal(await second.renew(), true);
  // gives back only its own
  await first.release();
  assert.equal(await second.renew(), true);
});

test('whatever happens, two never hold it at once', async () => {
  const step = fc.oneof(
    fc.record({ renew: fc.integer({ min: 0, max: 2 }) }),
    fc.record({ pass: fc.constantFrom(1, 10_000, 29_000, 31_000, 61_000) }),
    fc.record({ release: fc.integer({ min: 0, max: 2 }) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const { leases, pass } = servers(3);
      for (const one of steps) {
        if ('pass' in one) pass(one.pass);
        else if ('renew' in one) await leases[one.renew]?.renew();
        else await leases[one.release]?.release();
        assert.ok(leases.filter(({ held }) => held).length <= 1);
      }
      bases.pop()?.dispose();
    }),
    { numRuns: 15 },
  );
});
