import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  addressPlan,
  addressPlus,
  containsAddress,
  formatAddress,
  parseCidr,
  parseLayout,
} from '../address/index.ts';
import { isRomanaError } from '../errors.ts';
import {
  decideAllocate,
  decideRelease,
  ImpossibleEvent,
  type IpamEvent,
  type IpamNetwork,
  MemoryIpam,
  type Slot,
} from './index.ts';
import { addId, mergeRanges, rangeOf } from './ranges.ts';

const QUARANTINE = 10;
const SIZE = 7;
const names = ['v4', 'v6'] as const;
const plans = {
  v4: addressPlan(parseCidr('10.0.0.0/25'), parseLayout('2/1/1/3')),
  v6: addressPlan(parseCidr('fd10::/121'), parseLayout('2/1/1/3')),
};
/** Ranges of the only block under test: 0 is all of it, 1 and 2 its halves, then pairs. All in both families alike. */
const ranges = ['/29', '/30', '/30', '/31', '/31', '/32'].map((length, i) => {
  const start = [0, 0, 4, 2, 6, 5][i]!;
  return {
    ids: [...Array(2 ** (32 - Number(length.slice(1)))).keys()].map((k) => start + k),
    v4: parseCidr(`10.0.0.${56 + start}${length}`),
    v6: parseCidr(`fd10::${(56 + start).toString(16)}/${Number(length.slice(1)) + 96}`),
  };
});

/** The same rules in the dumbest way: one block per network, scanned from end to end. */
class Naive {
  readonly owner = new Map<string, string>();
  readonly idle: { name: string; at: number; key: string }[] = [];
  readonly touched = new Set<string>();
  readonly keys = new Map<string, { uid: string; question: string; ids: string[] }>();
  reserved = new Set<number>();

  pick(
    key: string,
    network: string,
    fixed: number | undefined,
    taken: string[],
    now: number,
  ): string | undefined {
    const resting = (name: string): boolean =>
      this.idle.some((entry) => entry.name === name && entry.key !== key && now - entry.at < QUARANTINE);
    const usable = (id: number): boolean => !this.reserved.has(id) && !taken.includes(`${network}/${id}`);
    if (fixed !== undefined) {
      const name = `${network}/${fixed}`;
      return usable(fixed) && !this.owner.has(name) && !resting(name) ? name : undefined;
    }
    const former = this.idle
      .map(({ name, at, key: last }) => ({ id: Number(name.split('/')[1]), name, at, last }))
      .filter(({ id, name, last }) => last === key && name.startsWith(network) && usable(id))
      .sort((a, b) => b.at - a.at || a.id - b.id);
    if (former[0] !== undefined) return former[0].name;
    for (let id = 1; id <= SIZE; id++) {
      if (usable(id) && !this.touched.has(`${network}/${id}`)) return `${network}/${id}`;
    }
    return this.idle.find(({ name }) => {
      const [at, id] = name.split('/');
      return at === network && usable(Number(id)) && !resting(name);
    })?.name;
  }

  allocate(key: string, uid: string, question: string, slots: Slot[], now: number): string[] | undefined {
    const known = this.keys.get(key);
    if (known !== undefined) return known.question === question ? known.ids : undefined;
    const taken: string[] = [];
    const ids: string[] = [];
    for (const fixed of [true, false]) {
      for (const [index, slot] of slots.entries()) {
        if ((slot.endpointId !== undefined) !== fixed) continue;
        const name = this.pick(key, slot.network, slot.endpointId, taken, now);
        if (name === undefined) return undefined;
        taken.push(name);
        ids[index] = name;
      }
    }
    for (const name of ids) {
      this.owner.set(name, key);
      this.touched.add(name);
      const at = this.idle.findIndex((entry) => entry.name === name);
      if (at >= 0) this.idle.splice(at, 1);
    }
    this.keys.set(key, { uid, question, ids });
    return ids;
  }

  release(key: string, uid: string | undefined, now: number): boolean {
    const known = this.keys.get(key);
    if (known === undefined || (uid !== undefined && uid !== known.uid)) return false;
    this.keys.delete(key);
    for (const name of known.ids) {
      this.owner.delete(name);
      this.idle.push({ name, at: now, key });
    }
    return true;
  }
}

const slot = fc.record({
  network: fc.constantFrom(...names),
  endpointId: fc.option(fc.integer({ min: 1, max: SIZE }), { nil: undefined, freq: 2 }),
});
const key = fc.integer({ min: 0, max: 11 }).map((n) => `k${n}`);
const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('allocate' as const),
      key,
      question: fc.constantFrom('q', 'q', 'q', 'r'),
      slots: fc.array(slot, { minLength: 1, maxLength: 3 }),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constant('release' as const), key, stale: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 0, max: 12 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant('reserve' as const),
      which: fc.subarray([0, 1, 2, 3, 4, 5], { maxLength: 2 }),
    }),
  },
);

test('any history: as the naive model, one owner per address, the same after replay and after a snapshot', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const ipam = new MemoryIpam();
      const naive = new Naive();
      const history: IpamEvent[] = [];
      const setNetworks = (to: MemoryIpam, which: number[]): void => {
        for (const name of names) {
          const network: IpamNetwork = {
            name,
            plan: plans[name],
            reserved: which.map((i) => ranges[i]![name]),
            quarantineMs: QUARANTINE,
          };
          to.setNetwork(network);
        }
      };
      let reserved: number[] = [];
      setNetworks(ipam, reserved);
      const uids = new Map<string, string>();
      let now = 0;
      steps.forEach((step, n) => {
        if (step.do === 'wait') now += step.ms;
        if (step.do === 'reserve') {
          reserved = step.which;
          setNetworks(ipam, reserved);
          naive.reserved = new Set(reserved.flatMap((i) => ranges[i]!.ids));
        }
        if (step.do === 'allocate') {
          const uid = `u${n}`;
          const slots = step.slots.map(({ network, endpointId }): Slot => {
            const slot = { network, hostIds: [1], tenantId: 1, segmentId: 1 };
            return endpointId === undefined ? slot : { ...slot, endpointId };
          });
          let got: string[] | undefined;
          try {
            const { key, question } = step;
            const { allocation, events } = decideAllocate(ipam, { key, question, slots }, uid, now);
            for (const event of events) ipam.apply(event);
            history.push(...events);
            got = allocation.addresses.map((placed) => `${placed.network}/${placed.endpointId}`);
            if (events.length > 0) uids.set(key, uid);
            assert.ok(
              events.length === 0 ||
                allocation.addresses.every(({ network, address }) =>
                  reserved.every((i) => !containsAddress(ranges[i]![network as 'v4'], address)),
                ),
            );
          } catch (error) {
            if (!isRomanaError(error)) throw error;
          }
          assert.deepEqual(got, naive.allocate(step.key, uid, step.question, slots, now));
        }
        if (step.do === 'release') {
          const uid = step.stale ? 'stale' : uids.get(step.key);
          const events = decideRelease(ipam, step.key, uid === undefined ? {} : { uid }, now);
          for (const event of events) ipam.apply(event);
          history.push(...events);
          assert.equal(events.length > 0, naive.release(step.key, uid, now));
        }
        const owned = ipam
          .list()
          .flatMap((allocation) => allocation.addresses.map((placed) => formatAddress(placed.address)));
        assert.equal(new Set(owned).size, owned.length);
        assert.equal(owned.length, naive.owner.size);
        for (const allocation of ipam.list()) {
          for (const { network, address } of allocation.addresses) {
            assert.equal(ipam.ownerOf(network, address), allocation.key);
          }
        }
      });
      for (const events of [history, ipam.snapshot()]) {
        const copy = new MemoryIpam();
        for (const event of events) copy.apply(event);
        setNetworks(copy, reserved);
        assert.deepEqual(copy.list(), ipam.list());
        assert.deepEqual(copy.usage(), ipam.usage());
        assert.equal(copy.nextSeq(), ipam.nextSeq());
        // Whatever is asked from now on has the same answer.
        for (let i = 0; i < 2 * SIZE; i++) {
          const answers = [ipam, copy].map((state) => {
            try {
              const slots = [{ network: names[i % 2]!, hostIds: [1], tenantId: 1, segmentId: 1 }];
              const wanted = { key: `after${i}`, question: '', slots };
              const clone = new MemoryIpam([state.network('v4')!, state.network('v6')!]);
              for (const event of state.snapshot()) clone.apply(event);
              return decideAllocate(clone, wanted, 'u', now + QUARANTINE - 3 + i).allocation;
            } catch (error) {
              if (!isRomanaError(error)) throw error;
              return [error.code, error.details];
            }
          });
          assert.deepEqual(answers[0], answers[1]);
        }
      }
    }),
    { numRuns: 150 },
  );
});

test('events that contradict the state are refused and change nothing', () => {
  const ipam = new MemoryIpam([{ name: 'v4', plan: plans.v4, reserved: [], quarantineMs: 0 }]);
  const slots = [{ network: 'v4', hostIds: [1], tenantId: 1, segmentId: 1 }];
  const { allocation, events } = decideAllocate(ipam, { key: 'a', question: '', slots }, 'u', 0);
  ipam.apply(events[0]!);
  const before = [ipam.snapshot(), ipam.usage(), ipam.nextSeq()];
  const { addresses } = allocation;
  const twice = { ...addresses[0]!, address: addressPlus(addresses[0]!.address, 1)!, endpointId: 2 };
  const wrong: IpamEvent[] = [
    events[0]!,
    { type: 'allocated', at: 0, allocation: { ...allocation, key: 'b' } },
    {
      type: 'allocated',
      at: 0,
      allocation: { ...allocation, key: 'c', addresses: [twice, twice] },
    },
    { type: 'released', at: 0, key: 'a', uid: 'u', seq: allocation.seq + 1, addresses },
    { type: 'released', at: 0, key: 'never', uid: '', seq: 9, addresses },
  ];
  for (const event of wrong) assert.throws(() => ipam.apply(event), ImpossibleEvent);
  assert.deepEqual([ipam.snapshot(), ipam.usage(), ipam.nextSeq()], before);
});

test('releases stamped in the future count from now, in their old order', () => {
  const ipam = new MemoryIpam([{ name: 'v4', plan: plans.v4, reserved: [], quarantineMs: 10 }]);
  const slots = [{ network: 'v4', hostIds: [1], tenantId: 1, segmentId: 1 }];
  for (let i = 1; i <= SIZE; i++) {
    for (const event of decideAllocate(ipam, { key: `k${i}`, question: '', slots }, 'u', 0).events) {
      ipam.apply(event);
    }
  }
  for (const [key, at] of [
    ['k4', 9000],
    ['k2', 50],
    ['k6', 9001],
  ] as const) {
    for (const event of decideRelease(ipam, key, {}, at)) ipam.apply(event);
  }
  ipam.clampReleases(100);
  const order: number[] = [];
  for (let i = 0; i < 3; i++) {
    const { allocation, events } = decideAllocate(ipam, { key: `n${i}`, question: '', slots }, 'u', 110);
    for (const event of events) ipam.apply(event);
    order.push(allocation.addresses[0]!.endpointId);
  }
  assert.deepEqual(order, [2, 4, 6]);
});

test('lists of id ranges hold exactly the ids put in, sorted, disjoint and never adjacent', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 30 })), (ids) => {
      const list: { first: number; last: number }[] = [];
      for (const id of ids) addId(list, id);
      assert.deepEqual(list, mergeRanges(ids.map((id) => ({ first: id, last: id }))));
      for (let id = 0; id <= 31; id++) assert.equal(rangeOf(list, id) !== undefined, ids.includes(id));
      for (let i = 1; i < list.length; i++) assert.ok(list[i]!.first > list[i - 1]!.last + 1);
    }),
  );
});
