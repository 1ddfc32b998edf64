/** The loop that keeps a speaker as the fabric wants it. Numbers are those of loop.ts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Cidr } from '#core/address/index.ts';
import { formatCidr, parseCidr } from '#core/address/index.ts';
import type { Daemon } from '#core/routing/fabric.ts';
import { Simulator } from '../../../test/simulation/simulator.ts';
import { silent } from '../testing.ts';
import { FakeSpeaker } from './fake-speaker.ts';
import { BgpLoop } from './loop.ts';
import { intentOf, peerOf } from './testing.ts';

const texts = (cidrs: readonly Cidr[]): string[] => cidrs.map(formatCidr);

async function setup(
  given: { speakers?: Partial<Record<Daemon, FakeSpeaker>>; files?: Map<string, string> } = {},
) {
  const sim = new Simulator();
  const files = given.files ?? new Map<string, string>();
  const speaker = given.speakers?.gobgp ?? new FakeSpeaker();
  const told = { follow: 0, change: 0 };
  const make = (): BgpLoop =>
    new BgpLoop({
      speaker: (daemon) => given.speakers?.[daemon] ?? speaker,
      files: {
        read: (name) => Promise.resolve(files.get(name) ?? null),
        write: (name, text) => Promise.resolve(void files.set(name, text)),
      },
      clock: sim.clock({ ms: 0 }),
      timers: sim,
      log: silent,
      onFollow: () => void told.follow++,
      onChange: () => void told.change++,
    });
  const loop = make();
  await loop.load();
  return { sim, speaker, loop, told, files, make };
}

test('what is wanted is announced once, and looked at again and again', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(20_000);
  assert.deepEqual(texts(speaker.announced), ['10.1.0.0/16', 'fd10:1::/32']);
  assert.equal(speaker.calls.filter((call) => call === 'apply').length, 1);
  assert.ok(speaker.calls.filter((call) => call === 'status').length > 5);
  assert.deepEqual(
    loop.report?.sessions.map(({ peer, state }) => `${peer} ${state}`),
    ['leaf1a established', 'leaf1a established', 'leaf1b established', 'leaf1b established'],
  );
  loop.stop();
});

test('passes that come often put no look at the sessions off, and cost no call', async () => {
  const { sim, speaker, loop } = await setup();
  for (let n = 0; n < 60; n++) {
    loop.want(intentOf(), false, []);
    await sim.run(500);
  }
  assert.ok(speaker.calls.filter((call) => call === 'status').length >= 10);
  assert.ok(speaker.calls.filter((call) => call === 'apply').length <= 2);
  loop.stop();
});

test('1 a range without a blackhole is not announced; with it, it is; and then it stays', async () => {
  const { sim, speaker, loop } = await setup();
  const range = parseCidr('10.1.0.0/16');
  loop.want(intentOf(), false, [range]);
  await sim.run(5_000);
  assert.deepEqual(texts(speaker.announced), ['fd10:1::/32']);
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  assert.deepEqual(texts(speaker.announced), ['10.1.0.0/16', 'fd10:1::/32']);
  loop.want(intentOf(), false, [range]);
  await sim.run(60_000);
  assert.deepEqual(texts(speaker.announced), ['10.1.0.0/16', 'fd10:1::/32']);
  loop.stop();
});

test('1 what is announced stays so over a restart of the agent, also while its blackhole is missing', async () => {
  const { sim, speaker, loop, make } = await setup();
  const range = parseCidr('10.1.0.0/16');
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  loop.stop();
  const next = make();
  await next.load();
  next.want(intentOf(), false, [range]);
  await sim.run(60_000);
  assert.deepEqual(texts(speaker.announced), ['10.1.0.0/16', 'fd10:1::/32']);
  next.want(intentOf(), true, [range]);
  await sim.run(5_000);
  next.want(intentOf(), false, [range]);
  await sim.run(60_000);
  assert.deepEqual(texts(speaker.announced), ['fd10:1::/32'], 'once withdrawn it waits again');
  next.stop();
});

test('1 a granted route inside a range without a blackhole waits with it', async () => {
  const { sim, speaker, loop } = await setup();
  const announce = [parseCidr('10.1.0.0/16'), parseCidr('10.1.1.27/32'), parseCidr('10.9.1.1/32')];
  loop.want(intentOf({ announce }), false, [parseCidr('10.1.0.0/16')]);
  await sim.run(5_000);
  assert.deepEqual(texts(speaker.announced), ['10.9.1.1/32']);
  loop.stop();
});

test('2 a daemon that hangs is down; nothing more is asked of it until it answers, and then all is well', async () => {
  const { sim, speaker, loop } = await setup();
  let release: () => void = () => undefined;
  speaker.hold = new Promise((resolve) => (release = resolve));
  loop.want(intentOf(), false, []);
  await sim.run(60_000);
  assert.deepEqual(speaker.calls, ['apply']);
  assert.equal(loop.report?.up, false);
  assert.deepEqual(
    loop.problems.map(({ code }) => code),
    ['speaker_unavailable'],
  );
  speaker.hold = null;
  release();
  await sim.run(60_000);
  assert.equal(loop.report?.up, true);
  assert.deepEqual(loop.problems, []);
  loop.stop();
});

test('3 withdraw resolves when nothing is announced any more, also right after a start', async () => {
  const { sim, speaker, loop, make } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  loop.stop();
  const next = make();
  await next.load();
  let done = false;
  void next.withdraw(2_000).then(() => (done = true));
  await sim.run(0);
  assert.deepEqual([done, speaker.announced], [true, []]);
  next.want(intentOf(), true, []);
  await sim.run(60_000);
  assert.deepEqual(speaker.announced, []);
  assert.equal(speaker.intent?.peers.length, 2, 'sessions stay');
  next.stop();
});

test('3 a daemon that hangs holds the withdrawal up no longer than the limit, and withdraws when it can', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  let release: () => void = () => undefined;
  speaker.hold = new Promise((resolve) => (release = resolve));
  let at = -1;
  const began = sim.now;
  void loop.withdraw(2_000).then(() => (at = sim.now));
  await sim.run(3_000);
  assert.ok(at >= 0 && at - began <= 2_000);
  speaker.hold = null;
  release();
  await sim.run(60_000);
  assert.deepEqual(speaker.announced, []);
  loop.stop();
});

test('who may speak again announces again', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), true, []);
  await sim.run(5_000);
  assert.deepEqual(speaker.announced, []);
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  assert.equal(speaker.announced.length, 2);
  loop.stop();
});

test('a fabric that needs no speaker any more: silenced, not looked at, not reported, forgotten', async () => {
  const { sim, speaker, loop, files } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  loop.want(null, false, []);
  await sim.run(1_000);
  const { length } = speaker.calls;
  await sim.run(120_000);
  assert.deepEqual([speaker.announced, speaker.calls.length, loop.report], [[], length, null]);
  assert.match(files.get('bgp.json') ?? '', /"daemon":null/);
  loop.stop();
});

test('a fabric that needs no speaker any more is told to one that was away as soon as it is back', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  speaker.daemon = 'down';
  loop.want(null, false, []);
  await sim.run(60_000);
  assert.equal(speaker.announced.length, 2);
  speaker.daemon = 'up';
  await sim.run(60_000);
  assert.deepEqual(speaker.announced, []);
  loop.stop();
});

test('7 another daemon: the one before is silenced', async () => {
  const [bird, gobgp] = [new FakeSpeaker({ fib: true }), new FakeSpeaker()];
  const { sim, loop } = await setup({ speakers: { bird, gobgp } });
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  assert.notEqual(loop.following('gobgp'), null);
  loop.want(intentOf({ daemon: 'bird' }), false, []);
  await sim.run(5_000);
  assert.deepEqual([gobgp.announced, texts(bird.announced)], [[], ['10.1.0.0/16', 'fd10:1::/32']]);
  assert.equal(loop.following('bird'), null);
  loop.stop();
});

test('7 the one before goes on announcing until the new one has sessions in both families, unless it has to be silent', async () => {
  const turned = async () => {
    const [bird, gobgp] = [new FakeSpeaker({ fib: true }), new FakeSpeaker()];
    bird.daemon = 'down';
    const made = await setup({ speakers: { bird, gobgp } });
    made.loop.want(intentOf(), false, []);
    await made.sim.run(5_000);
    made.loop.want(intentOf({ daemon: 'bird' }), false, []);
    await made.sim.run(120_000);
    assert.equal(gobgp.announced.length, 2);
    assert.match(
      made.loop.problems[1]?.message ?? '',
      /^gobgp, .* goes on announcing until bird has sessions/,
    );
    return { ...made, bird, gobgp };
  };
  const up = await turned();
  up.loop.stop();
  const next = up.make();
  await next.load();
  for (const leaf of ['leaf1a', 'leaf1b']) up.bird.down.add(`${leaf}/6`);
  up.bird.daemon = 'up';
  next.want(intentOf({ daemon: 'bird' }), false, []);
  await up.sim.run(60_000);
  assert.deepEqual([up.gobgp.announced.length, up.bird.announced.length], [2, 2]);
  up.bird.down.clear();
  await up.sim.run(60_000);
  assert.deepEqual([up.gobgp.announced, up.bird.announced.length, next.problems], [[], 2, []]);
  next.stop();

  const fenced = await turned();
  fenced.loop.want(intentOf({ daemon: 'bird' }), true, []);
  await fenced.sim.run(5_000);
  assert.deepEqual(fenced.gobgp.announced, []);
  fenced.loop.stop();

  const moved = await turned();
  moved.loop.want(intentOf({ daemon: 'bird', announce: [parseCidr('10.1.0.0/16')] }), false, []);
  await moved.sim.run(5_000);
  assert.deepEqual(moved.gobgp.announced, [], 'it announces what is no longer of this host');
  moved.loop.stop();
});

test('7 a daemon that was away when another took its place is silenced when it is back, by the next agent too', async () => {
  const [bird, gobgp] = [new FakeSpeaker({ fib: true }), new FakeSpeaker()];
  const { sim, loop, make, files } = await setup({ speakers: { bird, gobgp } });
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  gobgp.daemon = 'down';
  loop.want(intentOf({ daemon: 'bird' }), false, []);
  await sim.run(5_000);
  assert.equal(bird.announced.length, 2);
  assert.match(loop.problems[0]?.message ?? '', /^gobgp, which this host used before, may still announce/);
  loop.stop();
  const next = make();
  await next.load();
  next.want(intentOf({ daemon: 'bird' }), false, []);
  await sim.run(5_000);
  gobgp.daemon = 'up';
  await sim.run(60_000);
  assert.deepEqual([gobgp.announced, bird.announced.length, next.problems], [[], 2, []]);
  assert.match(files.get('bgp.json') ?? '', /"left":\[\]/);
  next.stop();
});

test('5 beside a daemon that writes routes and loses them when it starts anew, the agent stands in, over the sessions', async () => {
  const frr = new FakeSpeaker({ fib: true, keepsRoutes: false });
  const { sim, loop, told } = await setup({ speakers: { frr } });
  loop.want(intentOf({ daemon: 'frr' }), false, []);
  assert.deepEqual(loop.following('frr'), { over: { 4: [], 6: [] }, standIn: true });
  await sim.run(5_000);
  const all = { 4: ['leaf1a', 'leaf1b'], 6: ['leaf1a', 'leaf1b'] };
  assert.deepEqual(loop.following('frr'), { over: all, standIn: true });
  frr.down.add('leaf1a');
  await sim.run(5_000);
  assert.deepEqual(loop.following('frr')?.over, { 4: ['leaf1b'], 6: ['leaf1b'] });
  frr.daemon = 'down';
  await sim.run(5_000);
  assert.deepEqual(loop.following('frr')?.over, { 4: ['leaf1b'], 6: ['leaf1b'] });
  assert.equal(told.follow, 2);
  loop.stop();
});

test('5 routes stay until a daemon that writes them itself has learned them, in both families', async () => {
  const [bird, gobgp] = [new FakeSpeaker({ fib: true }), new FakeSpeaker()];
  const { sim, loop, told } = await setup({ speakers: { bird, gobgp } });
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  bird.prefixesIn = 0;
  loop.want(intentOf({ daemon: 'bird' }), false, []);
  await sim.run(5_000);
  const over = { 4: ['leaf1a', 'leaf1b'], 6: ['leaf1a', 'leaf1b'] };
  assert.deepEqual(loop.following('bird'), { over, standIn: false });
  bird.prefixesIn = 2;
  for (const leaf of ['leaf1a', 'leaf1b']) bird.down.add(`${leaf}/6`);
  await sim.run(5_000);
  assert.deepEqual(loop.following('bird'), { over, standIn: false });
  bird.down.clear();
  const { follow } = told;
  await sim.run(5_000);
  assert.deepEqual([loop.following('bird'), told.follow], [null, follow + 1]);
  bird.down.add('leaf1a');
  await sim.run(5_000);
  assert.equal(loop.following('bird'), null);
  loop.stop();
});

test('4 a daemon that was restarted, or lost what it announced, is told again', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  speaker.daemon = 'down';
  await sim.run(10_000);
  assert.equal(loop.report?.up, false);
  speaker.forget();
  speaker.daemon = 'up';
  await sim.run(20_000);
  assert.equal(speaker.announced.length, 2);
  speaker.announced = [];
  await sim.run(20_000);
  assert.equal(speaker.announced.length, 2);
  loop.stop();
});

test('4 a daemon that is away is tried again, ever more slowly, never more slowly than half a minute', async () => {
  const { sim, speaker, loop } = await setup();
  speaker.daemon = 'down';
  loop.want(intentOf(), false, []);
  await sim.run(300_000);
  const tries = speaker.calls.filter((call) => call === 'apply').length;
  assert.ok(tries >= 10 && tries <= 20, `${tries}`);
  assert.deepEqual(
    loop.problems.map(({ code }) => code),
    ['speaker_unavailable'],
  );
  loop.stop();
});

for (const family of [4, 6] as const) {
  test(`5 routes follow the sessions of their family, and the last ones stay when none is left (IPv${family})`, async () => {
    const { sim, speaker, loop, told } = await setup();
    const other = family === 4 ? 6 : 4;
    loop.want(intentOf(), false, []);
    await sim.run(5_000);
    assert.deepEqual(loop.following('gobgp')?.over[family], ['leaf1a', 'leaf1b']);
    speaker.down.add(`leaf1a/${family}`);
    await sim.run(5_000);
    assert.deepEqual(loop.following('gobgp')?.over[family], ['leaf1b']);
    assert.deepEqual(loop.following('gobgp')?.over[other], ['leaf1a', 'leaf1b']);
    speaker.down.add(`leaf1b/${family}`);
    await sim.run(5_000);
    assert.deepEqual(loop.following('gobgp')?.over[family], ['leaf1b']);
    speaker.daemon = 'down';
    speaker.down.clear();
    await sim.run(5_000);
    assert.deepEqual(loop.following('gobgp')?.over[family], ['leaf1b']);
    speaker.daemon = 'up';
    await sim.run(5_000);
    assert.deepEqual(loop.following('gobgp')?.over[family], ['leaf1a', 'leaf1b']);
    assert.equal(told.follow, 3);
    loop.stop();
  });
}

test('5 a session over a link carries both families; one that brings no prefix leads nowhere', async () => {
  const { sim, speaker, loop } = await setup();
  const peers = [
    peerOf('leaf1a', { address: null, link: 'up1' }),
    peerOf('leaf1b', { address: null, link: 'up2' }),
  ];
  loop.want(intentOf({ peers }), false, []);
  speaker.down.add('leaf1b');
  await sim.run(5_000);
  assert.deepEqual(loop.following('gobgp')?.over, { 4: ['leaf1a'], 6: ['leaf1a'] });
  speaker.down.clear();
  speaker.down.add('leaf1a');
  speaker.prefixesIn = 0;
  await sim.run(5_000);
  assert.deepEqual(loop.following('gobgp')?.over, { 4: ['leaf1a'], 6: ['leaf1a'] });
  loop.stop();
});

test('5 what routes follow outlives the agent; a damaged file is as none', async () => {
  const { sim, speaker, loop, make, files } = await setup();
  loop.want(intentOf(), false, []);
  speaker.down.add('leaf1a');
  await sim.run(5_000);
  loop.stop();
  const next = make();
  await next.load();
  assert.deepEqual(next.following('gobgp')?.over, { 4: ['leaf1b'], 6: ['leaf1b'] });
  for (const damaged of ['', '{', '[]', 'null', '{"following":7}', '{"daemon":"x","following":{"4":[1]}}']) {
    files.set('bgp.json', damaged);
    const other = make();
    await other.load();
    assert.deepEqual(other.following('gobgp')?.over, { 4: [], 6: [] }, damaged);
  }
});

test('6 nobody has to say anything of a speaker before the first look at it, or for three seconds', async () => {
  const { sim, speaker, loop, make } = await setup();
  assert.equal(loop.undecided, false);
  let release: () => void = () => undefined;
  speaker.hold = new Promise((resolve) => (release = resolve));
  loop.want(intentOf(), false, []);
  await sim.run(2_000);
  assert.equal(loop.undecided, true);
  await sim.run(1_500);
  assert.equal(loop.undecided, false);
  speaker.hold = null;
  release();
  await sim.run(5_000);
  loop.stop();
  const next = make();
  await next.load();
  assert.deepEqual([next.undecided, next.report], [true, null]);
  next.want(intentOf(), false, []);
  await sim.run(1_000);
  assert.deepEqual([next.undecided, next.report?.up], [false, true]);
  next.want(null, false, []);
  await sim.run(1_000);
  const last = make();
  await last.load();
  assert.equal(last.undecided, false);
  next.stop();
  last.stop();
});

test('8 the end of the agent changes nothing, and sets no timer', async () => {
  const { sim, speaker, loop } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  loop.stop();
  const { length } = speaker.calls;
  await sim.run(120_000);
  assert.deepEqual([speaker.calls.length, speaker.announced.length], [length, 2]);
});

test('changes of sessions are told, the time that goes by in them is not', async () => {
  const { sim, speaker, loop, told } = await setup();
  loop.want(intentOf(), false, []);
  await sim.run(5_000);
  const before = told.change;
  await sim.run(60_000);
  assert.equal(told.change, before);
  speaker.down.add('leaf1a');
  await sim.run(5_000);
  assert.equal(told.change, before + 1);
  loop.stop();
});
