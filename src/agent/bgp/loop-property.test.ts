/** Whatever happens to daemon, sessions, fabric and agent, and in whatever order: what the loop never does, and where it ends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { type Cidr, formatCidr, overlaps, parseAddress, parseCidr } from '#core/address/index.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import { Simulator } from '../../../test/simulation/simulator.ts';
import type { Speaker } from '../speaker.ts';
import { silent } from '../testing.ts';
import { FakeSpeaker } from './fake-speaker.ts';
import { BgpLoop } from './loop.ts';
import { intentOf as anIntent, peerOf } from './testing.ts';

const ranges = ['10.1.0.0/16', '10.2.0.0/16', 'fd10:1::/32'].map(parseCidr);
const devices = ['leaf1a', 'leaf1b'];
const daemons = ['gobgp', 'exabgp'] as const;

const wish = fc.record({
  daemon: fc.constantFrom(...daemons),
  announce: fc.subarray(ranges),
  unready: fc.subarray(ranges),
  silent: fc.boolean(),
  none: fc.boolean(),
});
type Wish = typeof wish extends fc.Arbitrary<infer T> ? T : never;

function intentOf({ daemon, announce }: Wish): BgpIntent {
  const peers = devices.map((name, n) => peerOf(name, { address: parseAddress(`192.0.2.${n + 1}`) }));
  return anIntent({ daemon, peers, announce });
}

class World {
  readonly sim = new Simulator();
  readonly files = new Map<string, string>();
  readonly speakers = { gobgp: new FakeSpeaker(), exabgp: new FakeSpeaker() };
  readonly faults: string[] = [];
  unready: readonly Cidr[] = [];
  loop: BgpLoop;
  readonly #told = new Map<FakeSpeaker, ReadonlySet<string>>();
  #release: (() => void) | null = null;

  constructor() {
    this.loop = this.#make();
  }

  async restart(): Promise<void> {
    this.loop.stop();
    this.loop = this.#make();
    await this.loop.load();
  }

  want(given: Wish): void {
    const unready = given.none ? [] : given.unready;
    this.unready = unready;
    this.loop.want(given.none ? null : intentOf(given), given.silent, unready);
  }

  hang(): void {
    if (this.#release !== null) return;
    const held = new Promise<void>((resolve) => (this.#release = resolve));
    for (const speaker of Object.values(this.speakers)) speaker.hold = held;
  }

  release(): void {
    for (const speaker of Object.values(this.speakers)) speaker.hold = null;
    this.#release?.();
    this.#release = null;
  }

  #make(): BgpLoop {
    return new BgpLoop({
      speaker: (daemon) => this.#watched(this.speakers[daemon as 'gobgp']),
      files: {
        read: (name) => Promise.resolve(this.files.get(name) ?? null),
        write: (name, text) => Promise.resolve(void this.files.set(name, text)),
      },
      clock: this.sim.clock({ ms: 0 }),
      timers: this.sim,
      log: silent,
      onFollow: () => undefined,
      onChange: () => undefined,
    });
  }

  /** One call at a time, and nothing new of what has no blackhole: what the daemon was told before may be told again. */
  #watched(speaker: FakeSpeaker): Speaker {
    let running = 0;
    const alone = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
      if (running++ > 0) this.faults.push(`${what} while another call runs`);
      try {
        return await work();
      } finally {
        running--;
      }
    };
    return {
      capabilities: speaker.capabilities,
      apply: (intent) => {
        const before = this.#told.get(speaker) ?? new Set();
        for (const cidr of intent.announce)
          if (!before.has(formatCidr(cidr)) && this.unready.some((range) => overlaps(range, cidr)))
            this.faults.push(`${formatCidr(cidr)} is announced without a blackhole`);
        return alone('apply', async () => {
          const result = await speaker.apply(intent);
          this.#told.set(speaker, new Set(intent.announce.map(formatCidr)));
          return result;
        });
      },
      withdraw: () =>
        alone('withdraw', async () => {
          await speaker.withdraw();
          this.#told.delete(speaker);
        }),
      status: () => alone('status', () => speaker.status()),
    };
  }
}

const event = fc.oneof(
  { weight: 4, arbitrary: wish.map((given) => (world: World) => world.want(given)) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(fc.constantFrom(...daemons), fc.constantFrom('up', 'down', 'unfit'))
      .map(([name, daemon]) => (world: World) => {
        world.speakers[name].daemon = daemon;
      }),
  },
  {
    weight: 2,
    arbitrary: fc.tuple(fc.constantFrom(...devices), fc.boolean()).map(([device, up]) => (world: World) => {
      for (const { down } of Object.values(world.speakers)) down[up ? 'delete' : 'add'](device);
    }),
  },
  { weight: 1, arbitrary: fc.constant((world: World) => world.hang()) },
  { weight: 2, arbitrary: fc.constant((world: World) => world.release()) },
  { weight: 1, arbitrary: fc.constant((world: World) => world.speakers.gobgp.forget()) },
  { weight: 1, arbitrary: fc.constant((world: World) => world.restart()) },
  { weight: 1, arbitrary: fc.constant((world: World) => void world.loop.withdraw(2_000)) },
);
const pause = fc.constantFrom(0, 1, 500, 4_000, 40_000);

test('it ends where the last wish is, and on the way asks one thing at a time and announces nothing too early', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(event, pause), { maxLength: 20 }), wish, async (events, last) => {
      const world = new World();
      await world.loop.load();
      for (const [happen, ms] of events) {
        await happen(world);
        await world.sim.run(ms);
      }
      world.release();
      for (const speaker of Object.values(world.speakers)) {
        speaker.daemon = 'up';
        speaker.down.clear();
      }
      await world.sim.run(40_000);
      world.want({ ...last, unready: [] });
      await world.sim.run(120_000);
      assert.deepEqual(world.faults, []);
      const announces = !last.none && !last.silent;
      const { announced } = world.speakers[last.daemon];
      assert.deepEqual(announced.map(formatCidr), announces ? last.announce.map(formatCidr) : []);
      assert.deepEqual(world.loop.problems, []);
      assert.equal(world.loop.report?.up ?? null, last.none ? null : true);
      for (const other of daemons)
        if (other !== last.daemon) assert.deepEqual(world.speakers[other].announced, [], other);
      if (announces) assert.deepEqual(world.loop.following(last.daemon)?.over[4], devices);
      world.loop.stop();
    }),
    { numRuns: 60 },
  );
});
