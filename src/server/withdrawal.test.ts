/** When routes to a silent host are withdrawn from its link, and when they come back. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import * as fc from 'fast-check';
import { agentReport, host, network, segment, tenant } from './services/fixtures.ts';
import { admin, ManualTimers, silentLog, type World, world } from './testing.ts';
import { lostMembers, type Member, WithdrawalLoop } from './withdrawal.ts';

const second = 1000;
const terms = { withdrawAfterMs: 60 * second, observers: 2 };
const hour = 3600 * second;
const speaks = (name: string, ...unreachable: string[]): Member => ({ name, silentMs: second, unreachable });
const silent = (name: string, ...unreachable: string[]): Member => ({
  name,
  silentMs: 90 * second,
  unreachable,
});
const lost = (members: readonly Member[], more: Partial<typeof terms> = {}, upMs = hour) => {
  const found = lostMembers(members, { ...terms, ...more }, upMs);
  return found === undefined ? undefined : [...found].sort();
};

test('1 a silent host is lost once as many others as stated miss it, and not on the word of one', () => {
  assert.deepEqual(lost([silent('a'), speaks('b', 'a'), speaks('c', 'a')]), ['a']);
  assert.deepEqual(lost([silent('a'), speaks('b', 'a'), speaks('c')]), []);
  assert.deepEqual(lost([silent('a'), speaks('b', 'a', 'a', 'a'), speaks('c')]), []);
  assert.deepEqual(lost([speaks('a'), speaks('b', 'a'), speaks('c', 'a')]), [], 'it speaks');
});

test('1 fewer others than stated: all of them; alone on the link: nobody is lost', () => {
  assert.deepEqual(lost([silent('a'), speaks('b', 'a')]), ['a']);
  assert.deepEqual(lost([silent('a'), speaks('b')]), []);
  assert.deepEqual(lost([silent('a')]), []);
  assert.deepEqual(lost([silent('a', 'a')]), [], 'its own word counts for nothing');
  assert.deepEqual(
    lost([silent('a'), speaks('b', 'a'), speaks('c', 'a'), speaks('d')], { observers: 3 }),
    [],
  );
});

test('1 a server cut off from half of the link withdraws nobody: the other half reaches them', () => {
  const here = ['a', 'b', 'c'].map((name) => speaks(name));
  const there = ['x', 'y', 'z'].map((name) => silent(name, 'a', 'b', 'c'));
  assert.deepEqual(lost([...here, ...there]), []);
  // The link itself is cut, too: those here reach nobody there, whatever those there said last of those here.
  const cut = ['a', 'b', 'c'].map((name) => speaks(name, 'x', 'y', 'z'));
  assert.deepEqual(lost([...cut, ...there]), ['x', 'y', 'z']);
});

test('1 what silent hosts said last counts no more, but a missed heartbeat is not silence', () => {
  const late = (name: string, silentMs: number): Member => ({ name, silentMs, unreachable: ['a'] });
  const members = (silentMs: number) => [silent('a'), late('b', silentMs), late('c', silentMs)];
  assert.deepEqual(lost(members(60 * second)), []);
  assert.deepEqual(lost(members(60 * second - 1)), ['a']);
  assert.deepEqual(lost(members(29 * second), { withdrawAfterMs: 5 * second }), ['a']);
  assert.deepEqual(lost(members(30 * second), { withdrawAfterMs: 5 * second }), []);
});

test('3 a server that just started judges nobody', () => {
  const members: Member[] = [
    { name: 'a', silentMs: null, unreachable: [] },
    speaks('b', 'a'),
    speaks('c', 'a'),
  ];
  assert.equal(lost(members, {}, 60 * second - 1), undefined);
  assert.deepEqual(lost(members, {}, 60 * second), ['a']);
});

test('1 whatever is said: who is lost is silent, and enough others that speak miss it; the order of hosts is nothing', () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const member = fc.record({
    silentMs: fc.option(fc.constantFrom(0, 29_999, 30_000, 59_999, 60_000, 90_000)),
    unreachable: fc.array(fc.constantFrom(...names), { maxLength: 5 }),
  });
  fc.assert(
    fc.property(
      fc.array(member, { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 6 }),
      (all, observers) => {
        const members = all.map((one, i) => ({ name: names[i] ?? '', ...one }));
        const found = lost(members, { observers });
        assert.deepEqual(lost(members.toReversed(), { observers }), found);
        for (const { name, silentMs } of members) {
          const witnesses = members.filter(
            (other) =>
              other.name !== name &&
              other.silentMs !== null &&
              other.silentMs < 60_000 &&
              other.unreachable.includes(name),
          );
          const enough = witnesses.length > 0 && witnesses.length >= Math.min(observers, members.length - 1);
          assert.equal(found?.includes(name), enough && (silentMs ?? hour) >= 60_000);
        }
      },
    ),
  );
});

// --- the loop, over a store

const fabric = (withdrawAfterSeconds: number) => ({
  kind: 'l2' as const,
  withdrawAfterSeconds,
  observers: 2,
});

async function cluster(t: TestContext, groups = false, after = 60): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  const racks = groups ? ['r1', 'r2'].map((name) => ({ name })) : [];
  await w.store.transaction('test', (tx) =>
    tx.put('topology', '', { groups: racks, aggregates: [], fabric: fabric(after) }),
  );
  for (const name of ['h1', 'h2', 'h3']) {
    await host(w.services, name, { group: groups ? (name === 'h1' ? 'r1' : 'r2') : null });
    await w.join(name);
  }
  return w;
}

function loop(w: World) {
  const timers = new ManualTimers();
  const made = new WithdrawalLoop({
    store: w.store,
    clock: w.clock,
    timers,
    log: silentLog,
    reports: w.fabric,
  });
  return { made, timers };
}

const isLost = (w: World, name: string) => w.store.read((tx) => tx.get('host', name))?.lost === true;
const missing = async (w: World, ...names: string[]) => {
  for (const name of names) await agentReport(w.services, name, { unreachable: ['h1'] });
};

test('a vanished host is marked once, in one revision, and back with its first report', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w);
  await agentReport(w.services, 'h1');
  w.clock.time += 60 * second;
  await missing(w, 'h2');
  await agentReport(w.services, 'h3');
  assert.deepEqual(await made.round(), []);
  await missing(w, 'h3');
  const { revision } = w.store.position();
  assert.deepEqual(await made.round(), ['h1']);
  assert.deepEqual(await made.round(), []);
  assert.equal(w.store.position().revision, revision + 1);
  assert.deepEqual(
    ['h1', 'h2'].map((name) => isLost(w, name)),
    [true, false],
  );
  await agentReport(w.services, 'h1');
  assert.equal(isLost(w, 'h1'), false);
  assert.deepEqual(await made.round(), [], 'it speaks, although others still miss it');
});

test('2 it is routed to again when those who missed it reach it, or fall silent themselves', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w);
  w.clock.time += 60 * second;
  await missing(w, 'h2', 'h3');
  assert.deepEqual(await made.round(), ['h1']);
  await agentReport(w.services, 'h3');
  assert.deepEqual(await made.round(), ['h1']);
  assert.equal(isLost(w, 'h1'), false);
  await missing(w, 'h3');
  assert.deepEqual(await made.round(), ['h1']);
  w.clock.time += 60 * second;
  assert.deepEqual(await made.round(), ['h1']);
  assert.equal(isLost(w, 'h1'), false);
});

test('3 a restarted server keeps what was withdrawn until it can know better', async (t) => {
  let w = await cluster(t);
  w.clock.time += 60 * second;
  const first = loop(w);
  w.clock.time += 60 * second;
  await missing(w, 'h2', 'h3');
  assert.deepEqual(await first.made.round(), ['h1']);
  w = w.restart();
  const { made } = loop(w);
  assert.deepEqual(await made.round(), []);
  assert.equal(isLost(w, 'h1'), true);
  w.clock.time += 60 * second;
  await missing(w, 'h2', 'h3');
  assert.deepEqual(await made.round(), []);
  await agentReport(w.services, 'h2');
  assert.deepEqual(await made.round(), ['h1']);
});

test('a host that is fenced, or whose fabric says so no more, is not lost', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w);
  w.clock.time += 60 * second;
  await missing(w, 'h2', 'h3');
  await made.round();
  await w.store.transaction('test', (tx) =>
    tx.put('topology', '', { groups: [], aggregates: [], fabric: fabric(0) }),
  );
  assert.deepEqual(await made.round(), ['h1']);
  assert.equal(isLost(w, 'h1'), false);
});

test('a link reaches as far as the group that states it; hosts that never joined do not count', async (t) => {
  const w = await cluster(t, true);
  const { made } = loop(w);
  await host(w.services, 'h4', { group: 'r1' });
  w.clock.time += 60 * second;
  await missing(w, 'h2', 'h3');
  assert.deepEqual(await made.round(), ['h1']);
  // Stated in each rack instead: h1 is alone on its link.
  await w.store.transaction('test', (tx) =>
    tx.put('topology', '', {
      groups: ['r1', 'r2'].map((name) => ({ name, fabric: fabric(60) })),
      aggregates: [],
    }),
  );
  assert.deepEqual(await made.round(), ['h1']);
  assert.equal(isLost(w, 'h1'), false);
});

test('a look after changes of others sees the hosts that changed between', async (t) => {
  const w = await cluster(t);
  const { made } = loop(w);
  w.clock.time += 60 * second;
  await network(w.services, 'main');
  assert.deepEqual(await made.round(), []);
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  await missing(w, 'h2', 'h3');
  assert.deepEqual(await made.round(), ['h1']);
  await tenant(w.services, 'b');
  assert.deepEqual(await made.round(), [], 'the mark that was made just now is known');
  await w.services.hostDelete(admin, { params: { name: 'h1' }, query: { dead: true }, body: undefined });
  assert.deepEqual(await made.round(), ['h1'], 'fenced is not lost');
});

test('rounds follow each other, and stop', async (t) => {
  const w = await cluster(t);
  const { made, timers } = loop(w);
  made.start();
  assert.equal(timers.size, 1);
  made.stop();
  assert.equal(timers.size, 0);
  made.start();
  assert.equal(timers.size, 0);
});
