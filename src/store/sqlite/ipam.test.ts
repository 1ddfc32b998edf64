/** The view in SQL against the one in memory, which has tests of its own. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { addressPlan, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { locate } from '#core/ipam/block.ts';
import {
  type Block,
  decideAllocate,
  decideRelease,
  type IpamView,
  MemoryIpam,
  type Wanted,
} from '#core/ipam/index.ts';
import { network } from '../conformance.ts';
import type { Store, Tx } from '../port.ts';
import { testStore } from '../testing.ts';

const layout = { host: 2, tenant: 2, segment: 1, endpoint: 3 };
const wide = { host: 16, tenant: 16, segment: 16, endpoint: 64 };
const networks = [
  { ...network('v4', '10.0.0.0/24', layout), reserved: ['10.0.0.82/31'], quarantineSeconds: 2 },
  { ...network('v6', 'fd10::/16', wide), quarantineSeconds: 0 },
];

type Step =
  | {
      readonly do: 'allocate';
      readonly key: string;
      readonly host: number;
      readonly id?: number | undefined;
      readonly both: boolean;
    }
  | { readonly do: 'release'; readonly key: string; readonly stale: boolean }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'restart' };

const key = fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i');
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('allocate' as const),
      key,
      host: fc.integer({ min: 1, max: 2 }),
      id: fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined }),
      both: fc.boolean(),
    }),
  },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('release' as const), key, stale: fc.boolean() }) },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 3000 }) }),
  },
  { weight: 1, arbitrary: fc.constant({ do: 'restart' as const }) },
);

function wanted(of: Extract<Step, { do: 'allocate' }>): Wanted {
  const slot = {
    hostIds: [of.host],
    tenantId: 2,
    segmentId: 1,
    ...(of.id === undefined ? {} : { endpointId: of.id }),
  };
  const slots = [{ network: 'v4', ...slot }, ...(of.both ? [{ network: 'v6', ...slot }] : [])];
  return { key: of.key, question: JSON.stringify([of.host, of.id ?? null, of.both]), slots };
}

function same(store: Store, memory: MemoryIpam): void {
  store.read(({ ipam }) => {
    for (const name of 'abcdefghi') {
      assert.deepEqual(ipam.byKey(name), memory.byKey(name));
      assert.deepEqual(new Set(ipam.formerly(name)), new Set(memory.formerly(name)));
    }
    assert.equal(ipam.nextSeq(), memory.nextSeq());
    for (const [network, ids] of [
      ['v4', 8],
      ['v6', 9],
    ] as const) {
      for (const hostId of [1, 2]) {
        const block: Block = { network, hostId, tenantId: 2, segmentId: 1 };
        assert.deepEqual(ipam.blockUsage(block), memory.blockUsage(block));
        for (const without of [
          [],
          [
            { first: 1, last: 2 },
            { first: 4, last: 4 },
          ],
        ]) {
          assert.deepEqual(ipam.oldestReleased(block, without), memory.oldestReleased(block, without));
        }
        for (let id = 1; id <= ids; id++)
          assert.equal(ipam.nextFresh(block, id), memory.nextFresh(block, id));
      }
      const plan = memory.network(network)!;
      for (const text of network === 'v4'
        ? ['10.0.0.81', '10.0.0.86', '10.0.0.145']
        : ['fd10:1:2:1::1', 'fd10:2:2:1::3']) {
        const { address } = locate(plan, parseCidr(`${text}/${network === 'v4' ? 32 : 128}`).address)!;
        assert.equal(ipam.ownerOf(network, address), memory.ownerOf(network, address));
        assert.equal(ipam.releasedAt(network, address), memory.releasedAt(network, address));
      }
    }
  });
}

test('A1 the view in SQL decides, keeps and shows what the view in memory does, over any history', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const base = testStore();
      base.clock.time = 10_000_000;
      let store = base.open();
      const memory = new MemoryIpam(
        networks.map((n) => ({
          name: n.name,
          plan: addressPlan(parseCidr(n.cidr), n.layout!),
          reserved: n.reserved.map(parseCidr),
          quarantineMs: n.quarantineSeconds * 1000,
        })),
      );
      await store.transaction('t', (tx) => {
        for (const n of networks) tx.put('network', n.name, n);
      });
      let uid = 0;
      for (const s of steps) {
        if (s.do === 'wait') base.clock.time += s.ms;
        else if (s.do === 'restart') {
          store.close();
          store = base.open();
        } else {
          const now = base.clock.time;
          const id = `u${uid++}`;
          const decide = (view: IpamView) => {
            if (s.do === 'allocate') return attempt(() => decideAllocate(view, wanted(s), id, now).events);
            return attempt(() => decideRelease(view, s.key, s.stale ? { uid: 'stale' } : {}, now));
          };
          const inMemory = decide(memory);
          const inSql = await store.transaction('t', (tx: Tx) => {
            const decided = decide(tx.ipam);
            for (const event of decided.events) tx.applyIpam(event);
            return decided;
          });
          assert.deepEqual(inSql, inMemory);
          for (const event of inMemory.events) memory.apply(event);
        }
        same(store, memory);
      }
      base.dispose();
    }),
    { numRuns: 25 },
  );
});

function attempt(decide: () => ReturnType<typeof decideRelease>) {
  try {
    return { events: decide(), refused: null };
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    return { events: [], refused: error.message };
  }
}

test('A2 addresses that an agent registers have an owner, but leave the block as fresh as it was', async () => {
  const base = testStore();
  const store = base.open();
  const block: Block = { network: 'v4', hostId: 1, tenantId: 2, segmentId: 1 };
  const { address } = parseCidr('10.0.0.105/32');
  await store.transaction('t', (tx) => {
    tx.put('network', 'v4', networks[0]!);
    tx.registerAddresses({
      key: 'k',
      uid: 'u',
      question: '',
      seq: tx.ipam.nextSeq(),
      addresses: [{ ...block, address, endpointId: 1 }],
    });
    assert.equal(tx.ipam.ownerOf('v4', address), 'k');
    assert.equal(tx.ipam.nextFresh(block, 1), 1);
  });
  await store.transaction('t', (tx) => {
    tx.forgetAddresses('k');
    assert.equal(tx.ipam.ownerOf('v4', address), undefined);
    assert.equal(tx.ipam.releasedAt('v4', address), undefined);
  });
  base.dispose();
});
