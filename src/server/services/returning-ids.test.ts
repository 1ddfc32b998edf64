import assert from 'node:assert/strict';
import { afterEach, describe, test } from 'node:test';
import fc from 'fast-check';
import type { Host, HostReport, Position } from '#contract/model.ts';
import { admin, agentOf, type World, world } from '../testing.ts';
import { host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const rest = 30_000;

for (const [name, how, addressIn] of [
  ['IPv4', {}, (id: number, n: number) => `10.${id}.1.${16 + n}`],
  ['IPv6', six, (id: number, n: number) => `fd10:${id.toString(16)}:1:1::${n.toString(16)}`],
] as const) {
  interface View {
    readonly ids: Host['ids'];
    readonly position: Position;
  }

  /** A host with one id, and an agent that keeps its journal, its view, and the view on its disk. */
  class Site {
    w: World;
    view: View;
    disk: View;
    generation = 'g1';
    follows: string | null = null;
    next = 1;
    readonly journal = new Map<string, { readonly id: number; readonly uid: string; readonly n: number }>();

    private constructor(w: World) {
      this.w = w;
      this.view = this.recorded();
      this.disk = this.view;
    }

    static async make(): Promise<Site> {
      const w = world();
      worlds.push(w);
      await network(w.services, 'main', how);
      await host(w.services, 'h1', { growth: 8 });
      await tenant(w.services, 'a');
      await segment(w.services, 'a', 's');
      return new Site(w);
    }

    recorded(): View {
      return this.w.store.read((tx) => ({
        ids: tx.get('host', 'h1')!.ids,
        position: this.w.store.position(),
      }));
    }

    get ids(): number[] {
      return this.recorded().ids.map(({ id }) => id);
    }

    get retiring(): number[] {
      return this.recorded().ids.flatMap(({ id, retiring }) => (retiring === true ? [id] : []));
    }

    /** Sees what is recorded, and has it on its disk. */
    follow(): void {
      this.view = this.recorded();
      this.disk = this.view;
    }

    take(id: number): void {
      const n = this.next++;
      this.journal.set(`e${n}`, { id, uid: `u${n}`, n: 1 + (n % 14) });
    }

    says(wanted?: number): HostReport {
      const known = new Map(
        this.w.store.read((tx) => tx.list('endpoint').map(({ value }) => [value.name, value] as const)),
      );
      const ref = { tenant: 'a', segment: 's' };
      const acknowledged =
        this.disk.position.revision < this.view.position.revision ? this.disk.position : this.view.position;
      const marked = this.view.ids.filter(({ retiring }) => retiring === true);
      const used = new Set([...this.journal.values()].map(({ id }) => id));
      return {
        applied: this.view.position,
        acknowledged,
        problems: [],
        version: '1',
        registered: [...this.journal].flatMap(([each, { id, uid, n }]) =>
          known.get(each)?.uid === uid
            ? []
            : [
                {
                  ...ref,
                  name: each,
                  uid,
                  addresses: [{ network: 'main', address: addressIn(id, n) }],
                  attachment: { kind: 'none' as const },
                  sourcePrefixes: [],
                },
              ],
        ),
        phases: [],
        gone: [...known.values()].flatMap(({ name: each, uid }) =>
          this.journal.has(each) ? [] : [{ ...ref, name: each, uid }],
        ),
        holds: 0,
        orphans: [],
        generation: { id: this.generation, seq: 0, follows: this.follows },
        ...(wanted === undefined ? {} : { wanted: [{ network: 'main', ids: wanted }] }),
        ...(marked.length === 0
          ? {}
          : {
              empty: marked.flatMap(({ id, network: of }) => (used.has(id) ? [] : [{ network: of, id }])),
            }),
      };
    }

    report(body = this.says()): Promise<unknown> {
      return this.w.services.hostReport(agentOf('h1'), { params: { name: 'h1' }, query: {}, body });
    }

    async grow(ids: number): Promise<void> {
      await this.report(this.says(ids));
      this.follow();
    }

    /** Two looks with the quarantine between them. */
    async marked(): Promise<void> {
      await this.report();
      this.w.clock.time += rest;
      await this.report();
    }
  }

  describe(name, () => {
    test('an empty id is marked after two looks, and goes a quarantine after the agent agreed; the first one stays', async () => {
      const s = await Site.make();
      await s.grow(3);
      const [first, ...others] = s.ids;
      assert.equal(others.length, 2);
      const reserved = s.w.store.read((tx) => tx.get('host', 'h1')?.reservations);
      await s.report();
      s.w.clock.time += rest - 1;
      await s.report();
      assert.deepEqual(s.retiring, []);
      s.w.clock.time += 1;
      await s.report();
      assert.deepEqual(s.retiring, others);
      s.w.clock.time += 100 * rest;
      await s.report();
      assert.deepEqual(s.ids, [first, ...others], 'the agent has not seen the mark');
      s.follow();
      await s.report();
      s.w.clock.time += rest - 1;
      await s.report();
      assert.deepEqual(s.ids, [first, ...others]);
      s.w.clock.time += 1;
      await s.report();
      assert.deepEqual(s.ids, [first]);
      assert.deepEqual(
        s.w.store.read((tx) => tx.get('host', 'h1')?.reservations),
        reserved,
        'no route changes',
      );
      const { revision } = s.w.store.position();
      s.w.clock.time += 100 * rest;
      await s.report();
      assert.equal(s.w.store.position().revision, revision);
      await s.grow(2);
      assert.deepEqual(s.ids, [first, others[0]], 'and it is there again when it is needed');
    });

    test('a view that is not on the disk counts for nothing, nor does the answer of an older agent or of another journal', async () => {
      const s = await Site.make();
      await s.grow(2);
      await s.marked();
      const both = s.ids;
      s.view = s.recorded();
      const stays = async (body?: HostReport): Promise<void> => {
        for (let look = 0; look < 3; look++) {
          await s.report(body);
          s.w.clock.time += rest;
        }
        assert.deepEqual(s.ids, both);
        assert.deepEqual(s.retiring, both.slice(1));
      };
      await stays();
      s.follow();
      const { empty: _, ...silent } = s.says();
      await stays(silent);
      const { generation: __, ...nameless } = s.says();
      await stays(nameless);
      await stays({ ...s.says(), acknowledged: { incarnation: 'other', revision: 1_000_000 } });
      await s.report();
      s.w.clock.time += rest;
      s.generation = 'g2';
      s.follows = 'g1';
      await s.report();
      assert.deepEqual(s.ids, both, 'a new journal has to agree for itself');
      s.w.clock.time += rest;
      await s.report();
      assert.deepEqual(s.ids, both.slice(0, 1));
    });

    test('what the agent still holds takes the mark off, and so does growth; each time the next look takes longer', async () => {
      const s = await Site.make();
      await s.grow(2);
      const both = s.ids;
      await s.marked();
      await s.grow(2);
      assert.deepEqual([s.ids, s.retiring], [both, []], 'growth takes what is there already');
      s.w.clock.time += 2 * rest - 1;
      await s.report();
      assert.deepEqual(s.retiring, []);
      s.w.clock.time += 1;
      await s.report();
      assert.deepEqual(s.retiring, both.slice(1));
      s.follow();
      await s.report({ ...s.says(), empty: [] });
      assert.deepEqual(s.retiring, [], 'held, though not on record');
      s.take(both[1]!);
      await s.report();
      s.journal.clear();
      await s.report();
      await s.marked();
      assert.deepEqual(s.retiring, both.slice(1), 'once it was used the looks are as at first');
      s.take(both[1]!);
      await s.report();
      assert.deepEqual(s.retiring, [], 'registered');
    });

    test('what an operator gave stays, and so does the last id of the agent; a restart forgets no look, mark or agreement', async () => {
      const s = await Site.make();
      await s.w.services.hostAddId(admin, {
        params: { name: 'h1' },
        query: {},
        body: { allocator: 'agent' },
      });
      await s.grow(3);
      const [first, given, grown] = s.ids;
      const again = (): void => {
        s.w = s.w.restart();
        worlds.push(s.w);
      };
      await s.report();
      again();
      s.w.clock.time += rest;
      await s.report();
      assert.deepEqual(s.retiring, [grown]);
      again();
      s.follow();
      await s.report();
      again();
      s.w.clock.time += rest;
      await s.report();
      assert.deepEqual(s.ids, [first, given]);
    });

    test('whatever is killed, lost, late or restarted: an id of which the agent holds an address stays with its agent', async () => {
      const step = (...steps: string[]) => fc.record({ do: fc.constantFrom(...steps), n: fc.nat() });
      const action = fc.oneof(
        { weight: 6, arbitrary: step('see', 'report', 'wait') },
        { weight: 3, arbitrary: step('save', 'kill', 'take', 'free') },
        { weight: 1, arbitrary: step('want', 'write', 'deliver', 'restart') },
      );
      await fc.assert(
        fc.asyncProperty(fc.array(action, { minLength: 20, maxLength: 50, size: 'max' }), async (actions) => {
          const s = await Site.make();
          await s.grow(4);
          await s.marked();
          const [first] = s.ids;
          let late: HostReport | undefined;
          for (const { do: what, n } of actions) {
            const usable = s.view.ids.filter(({ retiring }) => retiring !== true);
            const names = [...s.journal.keys()];
            if (what === 'wait') s.w.clock.time += (n % 4) * 20_000;
            if (what === 'see') s.view = s.recorded();
            if (what === 'save') s.disk = s.view;
            if (what === 'kill') s.view = s.disk;
            if (what === 'take' && names.length < 10) s.take(usable[n % usable.length]!.id);
            if (what === 'free' && names.length > 0) s.journal.delete(names[n % names.length]!);
            if (what === 'report') await s.report();
            if (what === 'want') await s.report(s.says(1 + (n % 5)));
            if (what === 'write') late = s.says();
            if (what === 'deliver' && late !== undefined) await s.report(late);
            if (what === 'restart') {
              s.w = s.w.restart();
              worlds.push(s.w);
            }
            for (const { id } of s.journal.values()) assert.ok(s.ids.includes(id), `id ${id} is gone`);
            assert.equal(s.ids[0], first);
          }
          s.journal.clear();
          for (let look = 0; look < 8; look++) {
            s.follow();
            await s.report();
            s.w.clock.time += 64 * rest;
          }
          assert.deepEqual(s.ids, [first], 'and when it is empty everything goes back');
          for (const w of worlds.splice(0)) w.dispose();
        }),
        { numRuns: 60 },
      );
    });
  });
}
