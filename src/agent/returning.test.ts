/** Host ids that are on their way back: nothing more is given out of them, and nobody is refused for that. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type * as m from '#contract/model.ts';
import { LocalAllocator } from './allocator.ts';
import { ipamNetwork, LocalEndpoints, wantedOf } from './endpoints.ts';
import { wantedIds } from './growth.ts';
import { FakeFs } from './journal/fake-fs.ts';
import { four, hostOf, objectsOf, silent, six } from './testing.ts';
import type { ViewState } from './view.ts';

const small6: m.LaidOut = {
  ...six,
  cidr: 'fd10::/96',
  layout: { host: 16, tenant: 8, segment: 4, endpoint: 4 },
};

for (const [family, network, idIn] of [
  [4, four, (text: string) => Number(text.split('.')[1])],
  [6, small6, (text: string) => Number.parseInt(text.split(':')[2]!, 16)],
] as const) {
  describe(`IPv${family}`, () => {
    const hostWith = (ids: readonly number[], retiring: readonly number[]): ViewState => ({
      position: { incarnation: 'i', revision: 1 },
      objects: objectsOf({
        networks: [network],
        hosts: [
          hostOf(1, {
            ids: ids.map((id) => ({
              network: network.name,
              id,
              allocator: 'agent',
              cidr: '',
              ...(id === 1 ? {} : { grown: true }),
              ...(retiring.includes(id) ? { retiring: true } : {}),
            })),
          }),
        ],
      }),
    });
    const input = (name: string) => ({
      tenant: 'a',
      segment: 'x',
      name,
      attachment: { kind: 'none' as const },
      sourcePrefixes: [],
    });

    /** `viewAt`: what is known at the nth look. */
    async function site(viewAt: (look: number) => ViewState, growth: () => boolean = () => false) {
      let uuids = 0;
      let looks = 0;
      const allocator = await LocalAllocator.open({
        dir: 'dir',
        networks: [ipamNetwork(network)],
        clock: { now: () => 1_000_000, monotonic: () => 500 },
        random: { bytes: (n) => new Uint8Array(n), uuid: () => `uuid-${++uuids}`, fraction: () => 0 },
        log: silent,
        fs: new FakeFs(),
      });
      const endpoints = new LocalEndpoints({
        host: 'h1',
        allocator: () => allocator,
        view: () => viewAt(looks++),
        reconcile: () => Promise.resolve(null),
        last: () => null,
        now: () => '2026-01-01T00:00:00.000Z',
        growth: () => Promise.resolve(growth()),
      });
      return { allocator, endpoints, looks: () => looks };
    }

    test('a decision under way when the mark comes is made again, at whatever step: no refusal, nothing held in the id', async () => {
      let last = 0;
      for (let at = 0; at <= last; at++) {
        let from = Number.POSITIVE_INFINITY;
        const s = await site((look) => hostWith([1, 2, 3], look >= from ? [2] : []));
        for (let n = 1; n <= 15; n++) await s.endpoints.create(input(`e${n}`));
        const before = s.looks();
        from = before + at;
        const { addresses } = await s.endpoints.create(input('late'));
        const marked = s.looks() > from;
        assert.equal(idIn(addresses[0]!.address), marked ? 3 : 2, `marked at look ${at}`);
        assert.equal(s.allocator.list().length, 16);
        last = Math.max(last, s.looks() - before);
        await s.allocator.close();
      }
      assert.ok(last >= 3);
    });

    test('when all others are full it is asked for again, and the request gets its address of it', async () => {
      let retiring = [2];
      const s = await site(
        () => hostWith([1, 2], retiring),
        () => {
          retiring = [];
          return true;
        },
      );
      const made = await Promise.all(
        Array.from({ length: 16 }, (_, n) => s.endpoints.create(input(`e${n}`))),
      );
      assert.equal(made.filter(({ addresses }) => idIn(addresses[0]!.address) === 2).length, 1);
      await s.allocator.close();
    });

    test('it is not among the ids that are allocated from, and does not count when more are wished for', () => {
      const { objects } = hostWith([1, 2, 3], [2]);
      assert.deepEqual(wantedOf(objects, 'h1', input('e')).slots[0]?.hostIds, [1, 3]);
      const usage = [
        { network: network.name, hostId: 1, tenantId: 1, segmentId: 1, used: 15, released: 0 },
        { network: network.name, hostId: 3, tenantId: 1, segmentId: 1, used: 10, released: 0 },
      ] as never;
      assert.deepEqual(wantedIds(objects, 'h1', usage, []), [{ network: network.name, ids: 3 }]);
    });
  });
}
