import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { Seeded, Simulator } from '../../test/simulation/simulator.ts';
import { noFabric, type Outcome } from './reconciler.ts';
import { Reporter, type ReportState } from './reporter.ts';
import { at, endpointOf, silent, viewOf, wiredOf } from './testing.ts';

const heartbeatMs = 10_000;
const mine = (name: string, more: Partial<m.Endpoint> = {}): m.Endpoint =>
  endpointOf(`a/x/${name}`, ['10.1.1.17'], { allocator: 'agent', uid: `uid-${name}`, ...more });

type Phase = 'pending' | 'ready' | 'failed';

function outcomeOf(
  position: m.Position,
  phases: Record<string, Phase> = {},
  more: Partial<Outcome> = {},
): Outcome {
  return {
    position,
    phases: new Map(
      Object.entries(phases).map(([name, phase]) => [
        `a/x/${name}`,
        {
          uid: `uid-${name}`,
          phase,
          problem: phase === 'failed' ? { code: 'attachment_invalid', message: 'no link' } : null,
        },
      ]),
    ),
    problems: [],
    changes: [],
    applied: true,
    milliseconds: 1,
    fabric: noFabric,
    ...more,
  };
}

function stateOf(
  shown: readonly m.Endpoint[],
  local: readonly m.Endpoint[],
  outcome: Outcome | null = outcomeOf(at(10)),
): ReportState {
  return {
    view: viewOf({ endpoints: shown }),
    local: local.map(wiredOf),
    outcome,
    problems: [],
    saved: outcome?.position ?? null,
    holdings: { holds: local.length, orphans: [] },
    wired: null,
    generation: { id: 'g', seq: 0 },
    wanted: [],
    empty: null,
    undisputed: true,
    bgp: null,
    unreachable: null,
  };
}

interface Setup {
  readonly sim: Simulator;
  readonly reporter: Reporter;
  readonly sent: m.HostReport[];
  /** What the next reports meet; empty: accepted. */
  readonly answers: (() => Promise<m.HostReportAnswer>)[];
  state: ReportState | null;
}

function setup(state: ReportState | null): Setup {
  const sim = new Simulator();
  const sent: m.HostReport[] = [];
  const answers: Setup['answers'] = [];
  const all: Setup = {
    sim,
    sent,
    answers,
    state,
    reporter: new Reporter({
      host: 'h1',
      version: 'test',
      clock: sim.clock({ ms: 0 }),
      timers: sim,
      random: new Seeded(1),
      log: silent,
      heartbeatMs,
      state: () => all.state,
      send: (report) => {
        sent.push(report);
        return (answers.shift() ?? (() => Promise.resolve({ rejected: [] })))();
      },
    }),
  };
  return all;
}

const named = (entries: readonly { name: string }[]): string[] => entries.map(({ name }) => name);
const lost = (): Promise<never> => Promise.reject(new RomanaError('timeout', 'No answer.'));

test('nothing is said while the own state is not known', async () => {
  const { sim, reporter, sent } = setup(null);
  reporter.wake();
  await sim.run(100_000);
  assert.deepEqual(sent, []);
  reporter.stop();
});

test('the difference: what the server does not show is registered, what it shows wrongly gets its phase', async () => {
  const shown = [mine('ready'), mine('same', { phase: 'ready' }), mine('failed')];
  const local = [...shown, mine('new')];
  const outcome = outcomeOf(at(10), { ready: 'ready', same: 'ready', failed: 'failed', new: 'ready' });
  const { sim, reporter, sent } = setup(stateOf(shown, local, outcome));
  reporter.wake();
  await sim.run(1);
  assert.equal(sent.length, 1);
  const [report] = sent;
  assert.deepEqual(named(report!.registered), ['new']);
  assert.deepEqual(report!.registered[0]!.addresses, [{ network: 'four', address: '10.1.1.17' }]);
  assert.deepEqual(
    report!.phases.map(({ name, phase, message }) => [name, phase, message]),
    [
      ['ready', 'ready', ''],
      ['failed', 'failed', 'no link'],
    ],
  );
  assert.deepEqual(report!.gone, []);
  assert.deepEqual(report!.applied, at(10));
  reporter.stop();
});

test('when the view has followed, the difference is gone', async () => {
  const all = setup(stateOf([], [mine('e')], outcomeOf(at(10), { e: 'ready' })));
  all.reporter.wake();
  await all.sim.run(1);
  all.state = stateOf([mine('e', { phase: 'ready' })], [mine('e')], outcomeOf(at(10), { e: 'ready' }));
  all.reporter.wake();
  await all.sim.run(1);
  assert.deepEqual(named(all.sent.flatMap(({ registered }) => registered)), ['e']);
  assert.deepEqual(
    all.sent.flatMap(({ phases }) => phases),
    [],
  );
  all.reporter.stop();
});

test('1 a report that was lost is said again, at the latest when the server should have shown it', async () => {
  const all = setup(stateOf([], [mine('e')]));
  const { sim, reporter, sent, answers } = all;
  answers.push(lost, lost);
  reporter.wake();
  await sim.run(heartbeatMs);
  assert.deepEqual(
    sent.slice(0, 3).map(({ registered }) => named(registered)),
    [['e'], ['e'], ['e']],
  );
  // Answered, but the view never shows it: the server may have lost it.
  const before = sent.length;
  await sim.run(3 * heartbeatMs);
  assert.ok(sent.slice(before).some(({ registered }) => registered.length === 1));
  reporter.stop();
});

test('what was said is not repeated at every look', async () => {
  const { sim, reporter, sent } = setup(stateOf([], [mine('e')]));
  for (let n = 0; n < 50; n++) {
    reporter.wake();
    await sim.run(10);
  }
  assert.deepEqual(named(sent.flatMap(({ registered }) => registered)), ['e']);
  reporter.stop();
});

test('the heartbeat comes although somebody looks more often than it beats', async () => {
  const { sim, reporter, sent } = setup(stateOf([], []));
  for (let second = 0; second < 100; second++) {
    reporter.wake();
    await sim.run(1_000);
  }
  assert.equal(sent.length, 11);
  reporter.stop();
});

test('the heartbeat comes when nobody looks, also after reports that failed', async () => {
  const { sim, reporter, sent, answers } = setup(stateOf([], []));
  reporter.wake();
  await sim.run(5 * heartbeatMs + 1);
  assert.equal(sent.length, 6);
  answers.push(lost);
  await sim.run(heartbeatMs);
  const after = sent.length;
  await sim.run(5 * heartbeatMs);
  assert.ok(sent.length >= after + 4, `${sent.length - after} in five beats`);
  reporter.stop();
});

test('failures are retried ever more slowly, and never more slowly than the heartbeat', async () => {
  const { sim, reporter, sent, answers } = setup(stateOf([], []));
  for (let n = 0; n < 1_000; n++) answers.push(lost);
  reporter.wake();
  await sim.run(60_000);
  assert.ok(sent.length > 6 && sent.length < 30, `${sent.length} in a minute`);
  reporter.stop();
});

test('one report is under way at a time; what changed meanwhile follows', async () => {
  const all = setup(stateOf([], [mine('e')]));
  let answer = (): void => undefined;
  all.answers.push(
    () =>
      new Promise((resolve) => {
        answer = () => resolve({ rejected: [] });
      }),
  );
  all.reporter.wake();
  await all.sim.run(1);
  all.state = stateOf([], [mine('e'), mine('f')]);
  all.reporter.wake();
  all.reporter.wake();
  await all.sim.run(1);
  assert.equal(all.sent.length, 1);
  answer();
  await all.sim.run(1);
  assert.deepEqual(
    all.sent.map(({ registered }) => named(registered)),
    [['e'], ['f']],
  );
  all.reporter.stop();
});

test('2 gone is said of what a finished pass left out, and of nothing else', async () => {
  const removing = endpointOf('a/x/served', ['10.1.1.18'], { phase: 'removing', revision: 9 });
  const cases: readonly (readonly [string, readonly string[], ReportState])[] = [
    ['an own one that is held no more', ['e'], stateOf([mine('e')], [])],
    ['one that the control plane removes', ['served'], stateOf([removing], [])],
    ['an own one that is held', [], stateOf([mine('e')], [mine('e')])],
    [
      'an own one that the control plane removes and that is held yet',
      [],
      stateOf([mine('e', { phase: 'removing' })], [mine('e')]),
    ],
    ['one of the server that is wanted', [], stateOf([endpointOf('a/x/served', [])], [])],
    ['before the first pass', [], stateOf([mine('e')], [], null)],
    ['a pass that failed', [], stateOf([mine('e')], [], outcomeOf(at(10), {}, { applied: false }))],
    ['a pass that wired it', [], stateOf([mine('e')], [], outcomeOf(at(10), { e: 'ready' }))],
    ['a pass older than the endpoint', [], stateOf([mine('e', { revision: 9 })], [], outcomeOf(at(8)))],
    ['a pass of another incarnation', [], stateOf([mine('e')], [], outcomeOf(at(10, 'old')))],
    ['one of another host', [], stateOf([mine('e', { host: 'h2' })], [])],
  ];
  for (const [what, wanted, state] of cases) {
    const { sim, reporter, sent } = setup(state);
    reporter.wake();
    await sim.run(1);
    assert.deepEqual(named(sent.flatMap(({ gone }) => gone)), wanted, what);
    reporter.stop();
  }
});

test('a name made again is a new endpoint: registered, and nothing is said of the old one', async () => {
  const state = stateOf([mine('e', { uid: 'old' })], [mine('e')], outcomeOf(at(10), { e: 'ready' }));
  const { sim, reporter, sent } = setup(state);
  reporter.wake();
  await sim.run(1);
  assert.deepEqual(
    sent[0]?.registered.map(({ uid }) => uid),
    ['uid-e'],
  );
  assert.deepEqual([sent[0]?.gone, sent[0]?.phases], [[], []]);
  reporter.stop();
});

test('what the server refuses is a problem until it is gone or shown', async () => {
  const all = setup(stateOf([], [mine('e'), mine('f')]));
  const refusal = {
    tenant: 'a',
    segment: 'x',
    name: 'e',
    error: { code: 'address_taken', message: 'Taken.' },
  };
  all.answers.push(() => Promise.resolve({ rejected: [refusal] }));
  all.reporter.wake();
  await all.sim.run(1);
  assert.deepEqual(all.reporter.problems, [{ code: 'address_taken', message: 'a/x/e: Taken.' }]);
  all.reporter.wake();
  await all.sim.run(1);
  assert.deepEqual(all.sent.at(-1)?.problems, all.reporter.problems);
  all.state = stateOf([], [mine('f')]);
  all.reporter.wake();
  await all.sim.run(1);
  assert.deepEqual(all.reporter.problems, []);
  assert.deepEqual(all.sent.at(-1)?.problems, []);
  all.reporter.stop();
});

test('3 the applied position is that of a pass that reached the kernel whole', async () => {
  const failed = outcomeOf(at(11), {}, { applied: false });
  for (const [outcome, applied] of [
    [null, null],
    [failed, null],
    [outcomeOf(at(9)), at(9)],
  ] as const) {
    const { sim, reporter, sent } = setup(stateOf([], [], outcome));
    reporter.wake();
    await sim.run(1);
    assert.deepEqual(sent[0]?.applied, applied);
    reporter.stop();
  }
});

test('more differences than fit one report follow at once in the next, each once', async () => {
  const many = Array.from({ length: 1_201 }, (_, n) => mine(`e${n}`));
  const { sim, reporter, sent } = setup(stateOf([], many));
  reporter.wake();
  await sim.run(1);
  assert.deepEqual(named(sent.flatMap(({ registered }) => registered)), named(many));
  for (const { registered } of sent) assert.ok(registered.length <= 500);
  reporter.stop();
});

test('long messages and many problems are cut to what the contract takes', async () => {
  const problems = Array.from({ length: 300 }, (_, n) => ({ code: `c${n}`, message: 'x'.repeat(2_000) }));
  const { sim, reporter, sent } = setup({ ...stateOf([], []), problems });
  reporter.wake();
  await sim.run(1);
  assert.equal(sent[0]?.problems.length, 256);
  assert.equal(sent[0]?.problems[0]?.message.length, 1_024);
  reporter.stop();
});

test('a stopped reporter says nothing more', async () => {
  const { sim, reporter, sent } = setup(stateOf([], [], outcomeOf(at(10))));
  reporter.wake();
  await sim.run(1);
  reporter.stop();
  reporter.wake();
  await sim.run(100_000);
  assert.equal(sent.length, 1);
});

test('a server that asks for nothing is told no more, and after a failure nothing is taken for granted', async () => {
  const { sim, reporter, sent, answers } = setup(stateOf([], []));
  const asks = (): Promise<m.HostReportAnswer> => Promise.resolve({ rejected: [], live: 'digest' });
  const told = async (): Promise<boolean> => {
    await sim.run(heartbeatMs);
    return sent.at(-1)?.live !== undefined;
  };
  reporter.wake();
  await sim.run(heartbeatMs / 2);
  assert.equal(await told(), false);
  answers.push(asks, asks);
  assert.deepEqual([await told(), await told()], [false, true]);
  // The one that is tried again asks for nothing; then it is asked once more, and no longer.
  answers.push(lost, asks);
  assert.deepEqual([await told(), await told(), await told()], [false, true, false]);
  reporter.stop();
});

test('what the lost state was told is told again to a restored one; all is listed when all was told, and none of it disputed', async () => {
  const all = setup(stateOf([], [mine('e')]));
  const say = async (): Promise<m.HostReport> => {
    all.reporter.wake();
    await all.sim.run(1);
    return all.sent.at(-1)!;
  };
  assert.deepEqual((await say()).listed, at(10));
  const restored = { ...all.state!, view: { ...all.state!.view, position: at(3, 'restored') } };
  all.state = restored;
  const again = await say();
  assert.deepEqual(named(again.registered), ['e']);
  assert.deepEqual(again.listed, at(3, 'restored'));
  all.state = { ...restored, undisputed: false };
  assert.equal((await say()).listed, null);
  all.reporter.stop();
});

test('a journal that does not fit into one report is listed with the last of them', async () => {
  const many = Array.from({ length: 501 }, (_, n) => mine(`e${n}`));
  const { sim, reporter, sent } = setup(stateOf([], many));
  reporter.wake();
  await sim.run(1);
  assert.deepEqual(
    sent.map(({ registered, listed }) => [registered.length, listed]),
    [
      [500, null],
      [1, at(10)],
    ],
  );
  reporter.stop();
});

test('ids that are empty are told when some are retiring, and the report after a failure is one that an older server takes', async () => {
  const empty = [{ network: 'four', id: 2 }];
  const { sim, reporter, sent, answers } = setup({ ...stateOf([], []), empty });
  answers.push(lost);
  reporter.wake();
  for (let beat = 0; beat < 3; beat++) await sim.run(heartbeatMs);
  assert.deepEqual(
    sent.slice(0, 3).map((report) => report.empty),
    [empty, undefined, empty],
  );
  reporter.stop();
  const none = setup({ ...stateOf([], []), empty: [] });
  none.reporter.wake();
  await none.sim.run(1);
  assert.deepEqual(none.sent[0]?.empty, []);
  none.reporter.stop();
});
