import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { type ErrorCode, isRomanaError, RomanaError } from '#core/errors.ts';
import { Seeded, Simulator } from '../../test/simulation/simulator.ts';
import { LocalAllocator } from './allocator.ts';
import {
  ipamNetwork,
  type LocalEndpointInput,
  LocalEndpoints,
  wiredFromHeld,
  wiredFromView,
} from './endpoints.ts';
import { FakeFs, PowerFailure } from './journal/fake-fs.ts';
import { questionOf } from './question.ts';
import { noFabric, type Outcome } from './reconciler.ts';
import {
  at,
  endpointOf,
  four,
  hostOf,
  type Objects,
  segmentOf,
  silent,
  six,
  tenantOf,
  viewOf,
} from './testing.ts';

type Verdict = 'ready' | 'failed' | 'pending' | 'not applied' | 'stopping';

interface Setup {
  readonly endpoints: LocalEndpoints;
  readonly allocator: LocalAllocator;
  readonly sim: Simulator;
  /** What was asked of the kernel, in order: the keys that were held at each pass. */
  readonly passes: string[];
  /** What passes come to; `ready` when none is left. */
  readonly verdicts: Verdict[];
  given: Objects;
  known: boolean;
}

async function setup(given: Objects = {}, fs = new FakeFs()): Promise<Setup> {
  const sim = new Simulator();
  const allocator = await LocalAllocator.open({
    dir: '/journal',
    fs,
    networks: [four, six].map(ipamNetwork),
    clock: sim.clock({ ms: 0 }),
    random: new Seeded(fs.syncs),
    log: silent,
  });
  const passes: string[] = [];
  const verdicts: Verdict[] = [];
  let last: Outcome | null = null;
  const all: Setup = {
    sim,
    allocator,
    passes,
    verdicts,
    given,
    known: true,
    endpoints: new LocalEndpoints({
      host: 'h1',
      allocator: () => allocator,
      view: () => {
        if (!all.known) throw new RomanaError('unavailable', 'Not yet.');
        return viewOf(all.given);
      },
      reconcile: async () => {
        const held = allocator.list().map(wiredFromHeld);
        await Promise.resolve();
        passes.push(held.map(({ key }) => key).join(' '));
        const verdict = verdicts.shift() ?? 'ready';
        if (verdict === 'stopping') return null;
        const applied = verdict !== 'not applied';
        const problem = { code: 'attachment_invalid', message: 'There is no such link.' };
        const phase = applied ? verdict : 'pending';
        last = {
          position: at(10),
          phases: new Map(
            held.map(({ key, uid, attachment }) => [
              key,
              attachment.kind === 'none'
                ? { uid, phase: 'pending', problem: null }
                : { uid, phase, problem: phase === 'failed' ? problem : null },
            ]),
          ),
          problems: applied ? [] : [{ code: 'kernel_refused', message: 'rules: No space left.' }],
          changes: [],
          applied,
          milliseconds: 0,
          fabric: noFabric,
        };
        return last;
      },
      last: () => last,
      now: () => '2026-01-01T00:00:00.000Z',
      growth: () => Promise.resolve(false),
    }),
  };
  return all;
}

const input = (name: string, more: Partial<LocalEndpointInput> = {}): LocalEndpointInput => ({
  tenant: 'a',
  segment: 'x',
  name,
  attachment: { kind: 'existing-link', link: `tap-${name}` },
  sourcePrefixes: [],
  ...more,
});
const addressesOf = ({ addresses }: m.Endpoint): string[] => addresses.map(({ address }) => address);
const code =
  (wanted: ErrorCode, text = /./) =>
  (error: unknown) => {
    assert.ok(isRomanaError(error), String(error));
    assert.equal(error.code, wanted, error.message);
    assert.match(error.message, text);
    return true;
  };

test('1 an answer is an endpoint with an address of each family, durable and wired', async () => {
  const fs = new FakeFs();
  const { endpoints, passes } = await setup({}, fs);
  const made = await endpoints.create(input('e', { sourcePrefixes: ['172.16.0.0/24'] }));
  assert.deepEqual(addressesOf(made), ['10.1.1.17', 'fd10:1:1:1::1']);
  assert.deepEqual(
    [made.phase, made.allocator, made.host, made.sourcePrefixes],
    ['ready', 'agent', 'h1', ['172.16.0.0/24']],
  );
  assert.deepEqual(passes, ['a/x/e']);
  const again = await setup({}, fs.afterPowerFailure(0));
  assert.deepEqual(again.endpoints.list(new Map()), [{ ...made, phase: 'pending' }]);
});

test('1 what could not be wired leaves nothing: released, and the kernel told so before the refusal', async () => {
  for (const [verdict, wanted, text] of [
    ['failed', 'attachment_invalid', /no such link/],
    ['not applied', 'kernel_refused', /No space left/],
  ] as const) {
    const { endpoints, allocator, passes, verdicts } = await setup();
    verdicts.push(verdict);
    await assert.rejects(endpoints.create(input('e')), code(wanted, text));
    assert.deepEqual(allocator.list(), []);
    assert.deepEqual(passes, ['a/x/e', '']);
  }
});

test('1 what was there before and cannot be wired now stays: the answer of before stands', async () => {
  const { endpoints, allocator, verdicts } = await setup();
  const made = await endpoints.create(input('e'));
  verdicts.push('failed');
  await assert.rejects(endpoints.create(input('e')), code('attachment_invalid'));
  assert.equal(allocator.get('a/x/e')?.allocation.uid, made.uid);
  assert.equal((await endpoints.create(input('e'))).uid, made.uid);
});

test('2 the same question gets the same endpoint, also twice at once and after a restart', async () => {
  const fs = new FakeFs();
  const { endpoints, allocator } = await setup({}, fs);
  const [one, two] = await Promise.all([endpoints.create(input('e')), endpoints.create(input('e'))]);
  assert.deepEqual(one, two);
  await allocator.close();
  const again = await setup({}, fs.afterPowerFailure(1));
  assert.deepEqual(await again.endpoints.create(input('e')), one);
  assert.equal(again.allocator.list().length, 1);
});

test('2 another question under the same name is a conflict', async () => {
  const { endpoints } = await setup();
  await endpoints.create(input('e'));
  const others: Partial<LocalEndpointInput>[] = [
    { attachment: { kind: 'none' } },
    { attachment: { kind: 'existing-link', link: 'tap-other' } },
    { networks: ['four'] },
    { endpointId: 5 },
    { addresses: ['10.1.1.20'] },
    { sourcePrefixes: ['172.16.0.0/24'] },
  ];
  for (const other of others)
    await assert.rejects(endpoints.create(input('e', other)), code('conflict'), JSON.stringify(other));
});

test('2 of a wrong question asked twice at once, both are refused and nothing is left', async () => {
  const { endpoints, allocator, verdicts } = await setup();
  verdicts.push('failed', 'ready', 'failed', 'ready');
  const answers = await Promise.allSettled([endpoints.create(input('e')), endpoints.create(input('e'))]);
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  assert.deepEqual(allocator.list(), []);
});

test('requests for one name are served one after the other, those for others are not held up', async () => {
  const { endpoints, allocator, passes } = await setup();
  await Promise.all([
    endpoints.create(input('e')),
    endpoints.remove('a/x/e'),
    endpoints.create(input('e', { attachment: { kind: 'none' } })),
    endpoints.create(input('f')),
  ]);
  assert.deepEqual(
    allocator
      .list()
      .map(({ allocation }) => allocation.key)
      .sort(),
    ['a/x/e', 'a/x/f'],
  );
  assert.equal(passes[0], 'a/x/e a/x/f');
});

test('3 removal is answered when the kernel holds nothing of it, however often it is asked', async () => {
  const { endpoints, allocator, passes } = await setup();
  await endpoints.create(input('e'));
  await endpoints.remove('a/x/e');
  assert.deepEqual(allocator.list(), []);
  assert.deepEqual(passes, ['a/x/e', '']);
  await endpoints.remove('a/x/e');
  await endpoints.remove('a/x/never');
  // The last pass has shown that it is not there.
  assert.equal(passes.length, 2);
});

test('3 removal while the kernel cannot be written is no success, and asked again it is', async () => {
  const { endpoints, verdicts } = await setup();
  await endpoints.create(input('e'));
  verdicts.push('not applied', 'stopping');
  await assert.rejects(endpoints.remove('a/x/e'), code('kernel_refused', /No space left/));
  await assert.rejects(endpoints.remove('a/x/e'), code('kernel_refused', /stopping/));
  await endpoints.remove('a/x/e');
});

test('an address is free for others only after its quarantine, whether released or rolled back', async () => {
  const { endpoints, sim, verdicts } = await setup();
  const first = await endpoints.create(input('e'));
  await endpoints.remove('a/x/e');
  verdicts.push('failed');
  await assert.rejects(endpoints.create(input('f')), code('attachment_invalid'));
  const second = await endpoints.create(input('g'));
  assert.deepEqual(
    [...addressesOf(first), ...addressesOf(second)],
    ['10.1.1.17', 'fd10:1:1:1::1', '10.1.1.19', 'fd10:1:1:1::3'],
  );
  await sim.run(31_000);
  assert.equal((await endpoints.create(input('h'))).addresses.length, 2);
});

test('an endpoint without wiring needs no kernel to be ready', async () => {
  const { endpoints } = await setup();
  const made = await endpoints.create(input('e', { attachment: { kind: 'none' } }));
  assert.deepEqual([made.phase, addressesOf(made)], ['pending', ['10.1.1.17', 'fd10:1:1:1::1']]);
});

test('fixed addresses and ids are kept, of either family', async () => {
  const { endpoints } = await setup();
  const ask = async (name: string, more: Partial<LocalEndpointInput>) =>
    addressesOf(await endpoints.create(input(name, more)));
  assert.deepEqual(await ask('e', { endpointId: 11 }), ['10.1.1.27', 'fd10:1:1:1::b']);
  assert.deepEqual(await ask('f', { networks: ['six'], addresses: ['fd10:1:1:1::ffff'] }), [
    'fd10:1:1:1::ffff',
  ]);
  assert.deepEqual(await ask('g', { addresses: ['10.1.1.30'] }), ['10.1.1.30', 'fd10:1:1:1::1']);
});

test('questions that cannot be served are refused with the reason, and leave nothing', async () => {
  const served = endpointOf('a/x/served', ['10.1.1.17']);
  const { endpoints, allocator, passes } = await setup({ endpoints: [served] });
  const cases: readonly (readonly [Partial<LocalEndpointInput>, ErrorCode, RegExp])[] = [
    [{ tenant: 'z' }, 'not_found', /no tenant z/],
    [{ segment: 'z' }, 'not_found', /no segment z/],
    [{ networks: ['z'] }, 'not_found', /no network z/],
    [{ name: 'served' }, 'already_exists', /10\.1\.1\.17/],
    [{ addresses: ['192.0.2.1'] }, 'address_mismatch', /192\.0\.2\.1/],
    [{ addresses: ['10.1.1.18', '10.1.1.19'] }, 'address_mismatch', /10\.1\.1\.19/],
    [{ networks: ['six'], addresses: ['10.1.1.18'] }, 'address_mismatch', /six/],
    [{ addresses: ['10.2.1.17'] }, 'address_mismatch', /10\.2\.1\.17/],
    [{ addresses: ['10.1.2.17'] }, 'address_mismatch', /10\.1\.2\.17/],
    [{ sourcePrefixes: ['10.9.0.0/16'] }, 'input_invalid', /overlaps network four/],
    [{ sourcePrefixes: ['::/0'] }, 'input_invalid', /overlaps network six/],
  ];
  for (const [more, wanted, text] of cases)
    await assert.rejects(endpoints.create(input('e', more)), code(wanted, text), JSON.stringify(more));
  assert.deepEqual([allocator.list(), passes], [[], []]);
});

test('without networks, or without an id of its own, the host gives out nothing', async () => {
  const all = await setup({ networks: [] });
  await assert.rejects(all.endpoints.create(input('e')), code('host_without_id', /network create/));
  const ids = hostOf(1).ids.map((held) => ({ ...held, allocator: 'server' as const }));
  for (const hosts of [[], [hostOf(2)], [hostOf(1, { ids: [] })], [hostOf(1, { ids })]]) {
    all.given = { hosts };
    await assert.rejects(all.endpoints.create(input('e')), code('host_without_id', /add-id h1/));
  }
  assert.deepEqual([all.allocator.list(), all.passes], [[], []]);
});

test('without a number of its tenant or segment an endpoint is under the shared identity, in both families', async () => {
  for (const given of [
    { tenants: [{ ...tenantOf('a', 1), ids: [] }] },
    { segments: [{ ...segmentOf('a', 'x', 1), ids: [] }] },
  ]) {
    const { endpoints } = await setup(given);
    assert.deepEqual(addressesOf(await endpoints.create(input('e'))), ['10.1.0.1', 'fd10:1::1']);
    assert.deepEqual(addressesOf(await endpoints.create(input('f'))), ['10.1.0.2', 'fd10:1::2']);
  }
});

test('what the control plane is removing is not given again under the same uid', async () => {
  const all = await setup();
  const made = await all.endpoints.create(input('e'));
  all.given = { endpoints: [{ ...made, phase: 'removing' }] };
  await assert.rejects(all.endpoints.create(input('e')), code('endpoint_removing'));
  await all.endpoints.remove('a/x/e');
  const again = await all.endpoints.create(input('e'));
  assert.notEqual(again.uid, made.uid);
});

test('nothing is answered before the view is known', async () => {
  const all = await setup();
  all.known = false;
  await assert.rejects(all.endpoints.create(input('e')), code('unavailable'));
  await assert.rejects(all.endpoints.remove('a/x/e'), code('unavailable'));
  assert.deepEqual(all.passes, []);
});

test('a crash at any write: what was answered is there afterwards, and asked again it is the same', async () => {
  const dry = new FakeFs();
  dry.fuel = 1_000_000;
  const whole = await setup({}, dry);
  for (const name of ['e', 'f', 'g']) await whole.endpoints.create(input(name));
  await whole.endpoints.remove('a/x/f');
  const used = 1_000_000 - dry.fuel;
  for (let fuel = 1; fuel <= used; fuel += 1 + Math.floor(used / 150)) {
    const fs = new FakeFs();
    fs.fuel = fuel;
    const answered = new Map<string, string>();
    try {
      const { endpoints } = await setup({}, fs);
      for (const name of ['e', 'f', 'g']) answered.set(name, (await endpoints.create(input(name))).uid);
      await endpoints.remove('a/x/f');
      answered.delete('f');
    } catch (error) {
      assert.ok(
        error instanceof PowerFailure || (isRomanaError(error) && error.cause instanceof PowerFailure),
        String(error),
      );
    }
    for (const luck of [0, 0.5, 1]) {
      const { endpoints, allocator } = await setup({}, fs.afterPowerFailure(luck));
      const held = new Map(allocator.list().map(({ allocation }) => [allocation.key, allocation.uid]));
      for (const [name, uid] of answered) {
        // Its removal may have become durable without an answer.
        if (name === 'f' && answered.has('g') && !held.has('a/x/f')) continue;
        assert.equal(held.get(`a/x/${name}`), uid, `fuel ${fuel}, luck ${luck}: ${name}`);
        assert.equal((await endpoints.create(input(name))).uid, uid);
      }
      await endpoints.remove('a/x/f');
      assert.equal(allocator.get('a/x/f'), undefined);
    }
  }
});

test('the server alone decides what of its endpoints is wired here', () => {
  const { objects } = viewOf({
    endpoints: [
      endpointOf('a/x/mine', ['10.1.1.17', 'fd10:1:1:1::1'], { sourcePrefixes: ['172.16.0.0/24'] }),
      endpointOf('a/x/agents', ['10.1.1.18'], { allocator: 'agent' }),
      endpointOf('a/x/leaving', ['10.1.1.19'], { phase: 'removing' }),
      endpointOf('a/x/failed', ['10.1.1.20'], { phase: 'failed' }),
      endpointOf('a/x/elsewhere', ['10.2.1.17'], { host: 'h2' }),
    ],
  });
  assert.deepEqual(
    wiredFromView(objects, 'h1').map(({ key }) => key),
    ['a/x/mine', 'a/x/failed'],
  );
});

test('a question is the same however it is written', () => {
  const attachment = { kind: 'none' } as const;
  const one = questionOf({
    attachment,
    sourcePrefixes: ['172.16.0.0/24', '2001:db8::/32'],
    addresses: ['fd10:0:0::1', '10.1.1.1'],
  });
  const two = questionOf({
    attachment,
    sourcePrefixes: ['2001:0db8::/32', '172.16.0.0/24'],
    addresses: ['10.1.1.1', 'fd10::1'],
  });
  assert.equal(one, two);
  assert.notEqual(one, questionOf({ attachment, sourcePrefixes: [] }));
});
