import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { addressPlan, formatAddress, parseCidr, parseLayout } from '#core/address/index.ts';
import { type ErrorCode, RomanaError } from '#core/errors.ts';
import type { IpamNetwork, Wanted } from '#core/ipam/index.ts';
import type { Clock, Log, Random } from '#core/ports.ts';
import { type Held, LocalAllocator } from './allocator.ts';
import { FakeFs, PowerFailure } from './journal/fake-fs.ts';

const log: Log = { debug() {}, info() {}, warn() {}, error() {} };
let uuids = 0;
const random: Random = { bytes: (n) => new Uint8Array(n), uuid: () => `uuid-${++uuids}`, fraction: () => 0 };

class FakeClock implements Clock {
  wall = 1_000_000;
  ticks = 500;
  now = (): number => this.wall;
  monotonic = (): number => this.ticks;
  pass(ms: number): void {
    this.wall += ms;
    this.ticks += ms;
  }
}

const network = (name: string, cidr: string, layout: string): IpamNetwork => ({
  name,
  plan: addressPlan(parseCidr(cidr), parseLayout(layout)),
  reserved: [],
  quarantineMs: 1000,
});
const networks = [
  network('v4', '10.0.0.0/8', '8/8/2/6'),
  network('v6', 'fd10::/16', '16/16/16/64'),
  network('tiny', '10.0.0.0/29', '1/1/0/1'),
];

function want(key: string, name = 'v4', more: { endpointId?: number; question?: string } = {}): Wanted {
  const { question = name, ...rest } = more;
  const segmentId = name === 'tiny' ? 0 : 1;
  return { key, question, slots: [{ network: name, hostIds: [1], tenantId: 1, segmentId, ...rest }] };
}

const start = (fs: FakeFs, clock: Clock = new FakeClock()): Promise<LocalAllocator> =>
  LocalAllocator.open({ dir: 'dir', networks, clock, random, log, fs });

const text = (held: Held): string => formatAddress(held.allocation.addresses[0]!.address);

const code =
  (wanted: ErrorCode) =>
  (error: unknown): true => {
    assert.ok(error instanceof RomanaError, String(error));
    assert.equal(error.code, wanted);
    return true;
  };

for (const [name, address] of [
  ['v4', (id: number) => `10.1.1.${64 + id}`],
  ['v6', (id: number) => `fd10:1:1:1::${id.toString(16)}`],
] as const) {
  describe(name, () => {
    test('64 callers at once on one block: 64 addresses, durable when answered, in few syncs', async () => {
      const fs = new FakeFs();
      const allocator = await start(fs);
      const syncs = fs.syncs;
      const count = name === 'v4' ? 63 : 64;
      const held = await Promise.all(
        [...Array(64).keys()].map((i) =>
          allocator.allocate(want(`k${i}`, name), { i }).catch((e: unknown) => e),
        ),
      );
      const ok = held.filter((answer) => !(answer instanceof Error)) as Held[];
      assert.deepEqual(
        ok.map(text),
        [...Array(count).keys()].map((i) => address(i + 1)),
      );
      for (const answer of held.slice(count)) code('block_full')(answer);
      assert.equal(fs.syncs - syncs, 1);
      const again = await start(fs.afterPowerFailure(0));
      assert.deepEqual(again.list(), ok);
      assert.deepEqual(again.get('k7')?.payload, { i: 7 });
    });

    test('a key asked twice at once is given once, with the payload of the first', async () => {
      const allocator = await start(new FakeFs());
      const [a, b] = await Promise.all([
        allocator.allocate(want('k', name), 'first'),
        allocator.allocate(want('k', name), 'second'),
      ]);
      assert.deepEqual(a, b);
      assert.equal(a.payload, 'first');
      assert.deepEqual(await allocator.allocate(want('k', name), 'third'), a);
      await assert.rejects(allocator.allocate(want('k', name, { question: 'x' }), null), code('conflict'));
      assert.equal(allocator.list().length, 1);
    });

    test('allocate, release and allocate of one key made at once are done in that order', async () => {
      const allocator = await start(new FakeFs());
      const [a, released, b] = await Promise.all([
        allocator.allocate(want('k', name), 'first'),
        allocator.release('k', {}),
        allocator.allocate(want('k', name), 'second'),
      ]);
      assert.deepEqual(released, a);
      assert.equal(b.payload, 'second');
      assert.deepEqual([text(a), text(b)], [address(1), address(1)]);
      assert.notEqual(a.allocation.uid, b.allocation.uid);
      assert.equal(await allocator.release('k', { seq: a.allocation.seq }), undefined); // I1
      assert.deepEqual(allocator.get('k'), b);
    });
  });
}

test('both families or none, across a restart', async () => {
  const fs = new FakeFs();
  const allocator = await start(fs);
  const dual = (key: string): Wanted => ({
    key,
    question: 'dual',
    slots: [...want('', 'tiny').slots, ...want('', 'v6').slots],
  });
  const first = await allocator.allocate(dual('a'), null);
  await assert.rejects(allocator.allocate(dual('b'), null), code('block_full'));
  assert.deepEqual(
    (await start(fs.afterPowerFailure(1))).usage().map((usage) => [usage.network, usage.used]),
    [
      ['tiny', 1],
      ['v6', 1],
    ],
  );
  assert.equal(first.allocation.addresses.length, 2);
});

describe('time', () => {
  test('a wall clock set back or forth while running neither shortens nor lengthens the quarantine', async () => {
    for (const jump of [-500_000, 500_000]) {
      const clock = new FakeClock();
      const allocator = await start(new FakeFs(), clock);
      await allocator.allocate(want('a', 'tiny'), null);
      await allocator.release('a', {});
      clock.wall += jump;
      clock.pass(999);
      await assert.rejects(allocator.allocate(want('b', 'tiny'), null), code('block_full'));
      clock.pass(1);
      assert.equal(text(await allocator.allocate(want('b', 'tiny'), null)), '10.0.0.7');
    }
  });

  test('the quarantine goes on across a restart; a clock set back meanwhile makes it at most whole again', async () => {
    for (const [jump, left] of [
      [0, 600],
      [-500_000, 1000],
    ] as const) {
      const fs = new FakeFs();
      const clock = new FakeClock();
      const allocator = await start(fs, clock);
      await allocator.allocate(want('a', 'tiny'), null);
      await allocator.release('a', {});
      await allocator.close();
      clock.pass(400);
      clock.wall += jump;
      clock.ticks = 3; // another boot
      const again = await start(fs, clock);
      clock.pass(left - 1);
      await assert.rejects(again.allocate(want('b', 'tiny'), null), code('block_full'));
      clock.pass(1);
      await again.allocate(want('b', 'tiny'), null);
    }
  });
});

describe('a failing disk', () => {
  test('full: what needs a write is refused and leaves no trace, what is known is answered', async () => {
    const fs = new FakeFs();
    const allocator = await start(fs);
    const known = await allocator.allocate(want('known', 'tiny'), 'p');
    fs.space = 0;
    const results = await Promise.allSettled([
      allocator.allocate(want('new'), null),
      allocator.allocate(want('known', 'tiny'), null),
      allocator.release('known', {}),
      allocator.allocate(want('other', 'tiny'), null), // full only because the release did not happen
      allocator.allocate(want('new'), null), // the same as the first: neither is answered
      allocator.release('nobody', {}),
    ]);
    assert.deepEqual(
      results.map((r) => (r.status === 'fulfilled' ? r.value : (r.reason as RomanaError).code)),
      ['store_full', known, 'store_full', 'block_full', 'store_full', undefined],
    );
    assert.deepEqual(allocator.list(), [known]);
    fs.space = 1e6;
    assert.equal(text(await allocator.allocate(want('new'), null)), '10.1.1.65');
    assert.deepEqual(await allocator.release('known', {}), known);
    await allocator.close();
    assert.deepEqual(
      (await start(fs)).list().map((held) => held.allocation.key),
      ['new'],
    );
  });

  test('an I/O error: nothing new until the agent starts again, reads go on', async () => {
    const fs = new FakeFs();
    const allocator = await start(fs);
    const known = await allocator.allocate(want('known'), null);
    fs.fault = 'datasync';
    await assert.rejects(allocator.allocate(want('new'), null), code('unavailable'));
    fs.fault = undefined;
    await assert.rejects(allocator.allocate(want('newer'), null), code('unavailable'));
    assert.deepEqual(await allocator.allocate(want('known'), null), known);
    await allocator.close();
    await assert.rejects(allocator.allocate(want('known'), null), code('unavailable'));
  });
});

test('compaction keeps everything: holders, payloads, order of rest, sequence numbers', async () => {
  const fs = new FakeFs();
  const clock = new FakeClock();
  const allocator = await start(fs, clock);
  const payload = 'x'.repeat(2000);
  let largest = 0;
  for (let round = 0; round < 60; round++) {
    const keys = [...Array(8).keys()].map((i) => `k${round}-${i}`);
    await Promise.all(keys.map((key) => allocator.allocate(want(key), payload)));
    clock.pass(250);
    await Promise.all(keys.slice(round % 4 === 0 ? 1 : 0).map((key) => allocator.release(key, {})));
    largest = Math.max(largest, fs.contents('dir/allocations.journal')!.length);
  }
  assert.ok(largest < 60 * 8 * 2000, 'it was compacted on the way');
  const again = await start(fs.afterPowerFailure(0), clock);
  assert.deepEqual(again.list(), allocator.list());
  assert.deepEqual(again.usage(), allocator.usage());
  clock.pass(5000);
  for (let i = 0; i < 10; i++) {
    const wanted = want(`after${i}`);
    const [a, b] = [await allocator.allocate(wanted, null), await again.allocate(wanted, null)];
    assert.equal(text(a), text(b));
    assert.equal(a.allocation.seq, b.allocation.seq);
  }
});

test('any history with power failures: what was answered is there, one owner per address, never two answers for one question', async () => {
  const step = fc.record({
    key: fc.integer({ min: 0, max: 9 }).map((n) => `k${n}`),
    release: fc.boolean(),
    endpointId: fc.option(fc.integer({ min: 1, max: 6 }), { nil: undefined, freq: 4 }),
    wait: fc.integer({ min: 0, max: 600 }),
    together: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 1, max: 9000 }),
      fc.double({ min: 0, max: 1, noNaN: true }),
      fc.boolean(),
      async (steps, fuel, luck, shuffle) => {
        let fs = new FakeFs();
        const clock = new FakeClock();
        let allocator = await start(fs, clock);
        fs.fuel = fuel;
        // What callers know: the answer for a key, or 'open' when the power failed before they had one.
        const known = new Map<string, Held | 'open'>();
        let running = new Map<string, Promise<unknown>>();
        for (const { key, release, endpointId, wait, together } of steps) {
          clock.pass(wait);
          // One caller per key: only then is it plain which of two answers came last.
          await running.get(key);
          const before = known.get(key);
          const call = async (): Promise<void> => {
            if (release) {
              await allocator.release(key, {});
              known.delete(key);
            } else {
              const fixed = endpointId === undefined ? {} : { endpointId };
              known.set(key, await allocator.allocate(want(key, 'v4', { ...fixed, question: 'q' }), key));
            }
          };
          known.set(key, 'open');
          running.set(
            key,
            call().catch((error: unknown) => {
              if (error instanceof RomanaError && error.code !== 'unavailable') {
                if (before === undefined) known.delete(key);
                else known.set(key, before);
              }
            }),
          );
          if (together && running.size < 5) continue;
          await Promise.all(running.values());
          running = new Map();
          if (fs.fuel > 0) continue;
          fs = fs.afterPowerFailure(luck, shuffle);
          clock.ticks = 0;
          allocator = await start(fs, clock);
          check(allocator, known);
        }
        await Promise.all(running.values());
        if (fs.fuel > 0) check(allocator, known);
        check(await start(fs.afterPowerFailure(luck, shuffle), clock), known);
      },
    ),
    { numRuns: 120 },
  );
});

function check(allocator: LocalAllocator, known: ReadonlyMap<string, Held | 'open'>): void {
  const list = allocator.list();
  const owned = list.map(text);
  assert.equal(new Set(owned).size, owned.length);
  for (const { allocation, payload } of list) {
    assert.ok(known.has(allocation.key), `${allocation.key} was released`);
    assert.equal(payload, allocation.key);
  }
  for (const [key, held] of known) {
    if (held !== 'open') assert.deepEqual(allocator.get(key), held);
  }
}

test('a power failure in the middle of a write is not answered', async () => {
  const fs = new FakeFs();
  const allocator = await start(fs);
  fs.fuel = 30;
  await assert.rejects(
    allocator.allocate(want('k'), null),
    (error: unknown) => error instanceof PowerFailure || error instanceof RomanaError,
  );
  assert.deepEqual((await start(fs.afterPowerFailure(1))).list(), []);
});

test('an address of the shared identity is given again to its own segment alone, also after a crash and a compaction', async () => {
  const fs = new FakeFs();
  const clock = new FakeClock();
  // Three shared addresses: one bit of segment, one of endpoint.
  const shared = (key: string): Wanted => ({
    key,
    question: '',
    slots: [{ network: 'few', hostIds: [1], tenantId: 0, segmentId: 0 }],
  });
  const few = [network('few', '10.0.0.0/24', '2/4/1/1')];
  const open = () => LocalAllocator.open({ dir: 'dir', networks: few, clock, random, log, fs });
  let allocator = await open();
  const first = await allocator.allocate(shared('a/web/1'), null);
  await allocator.allocate(shared('a/web/2'), null);
  await allocator.release('a/web/1', {});
  clock.pass(2000);
  assert.notEqual(text(await allocator.allocate(shared('b/web/1'), null)), text(first), 'a fresh one');
  for (let turn = 0; turn < 3; turn++) {
    await assert.rejects(allocator.allocate(shared('b/web/2'), null), code('block_full'));
    await assert.rejects(allocator.allocate(shared('a/db/1'), null), code('block_full'));
    const fixed = { ...shared('b/web/3'), slots: [{ ...shared('').slots[0]!, endpointId: 1 }] };
    await assert.rejects(allocator.allocate(fixed, null), code('address_quarantined'));
    assert.equal(text(await allocator.allocate(shared(`a/web/again${turn}`), null)), text(first));
    await allocator.release(`a/web/again${turn}`, {});
    clock.pass(2000);
    await allocator.close();
    allocator = await open();
  }
  // Release and wish in one write are decided one after the other.
  await allocator.allocate(shared('a/web/last'), null);
  const [released, taken] = await Promise.allSettled([
    allocator.release('a/web/last', {}),
    allocator.allocate(shared('b/web/4'), null),
  ]);
  assert.deepEqual([released.status, taken.status], ['fulfilled', 'rejected']);
});
