/** What agents say that lives on their hosts against the records: what differs for good is named, what is on its way is not. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { IpamCheck } from '#contract/ipam.ts';
import type { Live } from '#contract/live.ts';
import { ReclaimLoop, recordedEndpoints, reportedEndpoints } from '../reclaim.ts';
import { admin, ManualTimers, silentLog, type World, world } from '../testing.ts';
import { Comparison, digestOf } from './comparison.ts';
import { agentReport, byKey, endpoint, host, network, segment, six, tenant } from './fixtures.ts';
import { releaseLeak } from './ipam-check.ts';
import type { Input } from './types.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

type Body = Input<'hostReport'>['body'];
type Entry = NonNullable<Live['list']>[number];
type One = Pick<Entry, 'key' | 'uid' | 'addresses'>;

async function cluster(): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main');
  await network(w.services, 'six', six);
  for (const name of ['h1', 'h2']) {
    await host(w.services, name);
    await w.join(name);
  }
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  return w;
}

/** As an agent that has applied everything and answers what it was asked. */
function agent(w: World, name = 'h1') {
  let question: 'digest' | 'list' | undefined;
  const held: One[] = [];
  const wired: One[] = [];
  const report = async (more: Partial<Body> = {}) => {
    const list = [
      ...held.map((one): Entry => ({ ...one, held: true, wired: wired.includes(one) })),
      ...wired
        .filter((one) => !held.includes(one))
        .map((one): Entry => ({ ...one, held: false, wired: true })),
    ];
    const live: Live = {
      held: digestOf(held),
      wired: digestOf(wired),
      ...(question === 'list' ? { list } : {}),
    };
    const answer = await agentReport(w.services, name, {
      applied: w.store.position(),
      holds: held.length,
      ...(question === undefined ? {} : { live }),
      ...more,
    });
    question = answer.live;
    return answer;
  };
  return { held, wired, report };
}

const check = async (w: World): Promise<IpamCheck & { unknown: NonNullable<IpamCheck['unknown']> }> => {
  const { unknown: away = [], ...report } = await w.services.ipamCheck(admin, {
    params: {},
    query: {},
    body: undefined,
  });
  return { ...report, unknown: away };
};
const found = async (w: World): Promise<string[]> =>
  (await check(w)).findings.map(({ code, objects }) => `${code} ${objects.join(' ')}`).sort();
const unknown = async (w: World): Promise<string[]> => (await check(w)).unknown.map(({ host: name }) => name);

const registered = (n: number): Body['registered'][number] => ({
  tenant: 'a',
  segment: 's',
  name: `p${n}`,
  uid: `u${n}`,
  addresses: [
    { network: 'main', address: `10.1.1.${16 + n}` },
    { network: 'six', address: `fd10:1:1:1::${n}` },
  ],
  attachment: { kind: 'none' },
  sourcePrefixes: [],
});
const ready = (n: number) => ({
  tenant: 'a',
  segment: 's',
  name: `p${n}`,
  uid: `u${n}`,
  phase: 'ready' as const,
  message: '',
});
const one = (n: number, uid = `u${n}`): One => ({
  key: `a/s/p${n}`,
  uid,
  addresses: [`fd10:1:1:1::${n}`, `10.1.1.${16 + n}`],
});

/** Two endpoints, registered and ready, and the host agrees. */
async function agreed() {
  const w = await cluster();
  const h1 = agent(w);
  const h2 = agent(w, 'h2');
  await h1.report();
  const both = [one(1), one(2)];
  h1.held.push(...both);
  h1.wired.push(...both);
  await h1.report({ registered: [registered(1), registered(2)], phases: [ready(1), ready(2)] });
  await h2.report();
  await h2.report();
  return { w, h1, h2 };
}

test('hosts that agree are neither found nor unknown, in whatever order addresses are told', async () => {
  const { w } = await agreed();
  const { findings, unknown: away } = await check(w);
  assert.deepEqual([findings, away], [[], []]);
});

const damages: readonly (readonly [
  name: string,
  damage: (h1: ReturnType<typeof agent>) => unknown,
  found: readonly string[],
])[] = [
  ['lost from the kernel', (h1) => h1.wired.pop(), ['recorded_not_wired a/s/p2 h1']],
  ['lost from the journal', (h1) => h1.held.pop(), ['recorded_not_held a/s/p2 h1']],
  ['in the kernel alone', (h1) => h1.wired.push(one(3)), ['wired_not_recorded a/s/p3 h1']],
  ['in the journal alone', (h1) => h1.held.push(one(3)), ['held_not_recorded a/s/p3 h1']],
  [
    'of another uid',
    (h1) => h1.held.splice(1, 1, one(2, 'other')),
    ['held_not_recorded a/s/p2 h1', 'recorded_not_held a/s/p2 h1'],
  ],
];
for (const [name, damage, codes] of damages) {
  test(`an endpoint ${name} is named once it has outlived two reports, and no more when it is mended`, async () => {
    const { w, h1 } = await agreed();
    const before = [[...h1.held], [...h1.wired]] as const;
    damage(h1);
    await h1.report();
    assert.deepEqual([await found(w), await unknown(w)], [[], ['h1']]);
    for (let i = 0; i < 3; i++) await h1.report();
    assert.deepEqual(await found(w), codes);
    assert.deepEqual(await unknown(w), []);
    h1.held.splice(0, 9, ...before[0]);
    h1.wired.splice(0, 9, ...before[1]);
    await h1.report();
    assert.deepEqual([await found(w), await unknown(w)], [[], []]);
  });
}

test('what the records changed and the host has not applied yet is on its way, not wrong', async () => {
  const { w, h1 } = await agreed();
  const behind = w.store.position();
  await w.services.endpointDelete(admin, byKey('a/s/p2'));
  for (let i = 0; i < 6; i++) await h1.report({ applied: behind });
  assert.deepEqual([await found(w), await unknown(w)], [[], ['h1']]);
  h1.held.pop();
  h1.wired.pop();
  await h1.report({ gone: [{ tenant: 'a', segment: 's', name: 'p2', uid: 'u2' }] });
  assert.deepEqual([await found(w), await unknown(w)], [[], []]);
});

test('a finding that the records have overtaken is not told again', async () => {
  const { w, h1 } = await agreed();
  h1.held.pop();
  for (let i = 0; i < 4; i++) await h1.report();
  assert.deepEqual(await found(w), ['recorded_not_held a/s/p2 h1']);
  await h1.report({ gone: [{ tenant: 'a', segment: 's', name: 'p2', uid: 'u2' }] });
  assert.ok(!(await found(w)).includes('recorded_not_held a/s/p2 h1'));
});

test('a host that is away, failing, older or fenced is unknown, never wrong', async () => {
  const { w, h1 } = await agreed();
  h1.wired.pop();
  for (let i = 0; i < 4; i++) await h1.report();
  assert.equal((await found(w)).length, 1);
  await h1.report({ live: { held: digestOf(h1.held), wired: null } });
  assert.deepEqual([await found(w), await unknown(w)], [[], ['h1']]);
  for (let i = 0; i < 4; i++) await h1.report();
  w.clock.time += 61_000;
  assert.deepEqual([await found(w), await unknown(w)], [[], ['h1', 'h2']]);
  const old = agent(w);
  await old.report();
  assert.match((await check(w)).unknown[0]?.reason ?? '', /older version/);
  await h1.report();
  await w.services.hostDelete(admin, { params: { name: 'h1' }, query: { dead: true }, body: undefined });
  assert.match((await check(w)).unknown.find((entry) => entry.host === 'h1')?.reason ?? '', /fenced/);
  const again = w.restart();
  worlds.splice(0, 9, again);
  assert.match((await check(again)).unknown[1]?.reason ?? '', /not reported since/);
});

test('a host that no agent has joined is unknown only when endpoints are on record there', async () => {
  const w = await cluster();
  await host(w.services, 'h3', { allocator: 'server' });
  assert.deepEqual(await unknown(w), ['h1', 'h2']);
});

test('I2 a leak that its host still holds is kept; without a word of the host the records alone decide', async () => {
  const w = await cluster();
  const comparison = new Comparison(() => w.clock.monotonic());
  const position = () => w.store.position();
  await host(w.services, 'h3', { allocator: 'server' });
  await w.join('h3');
  const made = await endpoint(w.services, 'a/s/x', { host: 'h3' });
  const leak: One = {
    key: 'a/s/x',
    uid: made.uid,
    addresses: made.addresses.map(({ address }) => address),
  };
  const loop = new ReclaimLoop({
    store: w.store,
    clock: w.clock,
    timers: new ManualTimers(),
    log: silentLog,
    sources: [recordedEndpoints(w.store), reportedEndpoints(w.store, comparison)],
    release: (tx, one_) => releaseLeak(tx, one_, w.clock.now()),
  });
  const says = (wired: readonly One[], list: boolean): void => {
    const entries = wired.map((entry) => ({ ...entry, held: false, wired: true }));
    const live = { held: digestOf([]), wired: digestOf(wired), ...(list ? { list: entries } : {}) };
    w.store.read((tx) =>
      comparison.heard(
        tx,
        tx.get('host', 'h3')!,
        {
          applied: position(),
          problems: [],
          version: '1',
          registered: [],
          phases: [],
          gone: [],
          acknowledged: null,
          holds: 0,
          orphans: [],
          live,
        },
        position(),
      ),
    );
  };
  await w.store.transaction('test', (tx) => tx.delete('endpoint', 'a/s/x'));
  const rounds = async (say: () => void): Promise<string[]> => {
    const released: string[] = [];
    for (let i = 0; i < 3; i++) {
      say();
      released.push(...(await loop.round()));
      w.clock.time += 5 * 60_000;
    }
    return released;
  };
  assert.deepEqual(await rounds(() => says([leak], false)), [], 'it differs, and has not said in what');
  assert.deepEqual(await rounds(() => says([leak], true)), [], 'it is in the kernel');
  assert.deepEqual(await rounds(() => says([], false)), ['a/s/x']);
});
