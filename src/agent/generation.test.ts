import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addressPlan, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { IpamNetwork } from '#core/ipam/index.ts';
import { LocalAllocator } from './allocator.ts';
import { Generation, withdrawn } from './generation.ts';
import { FakeFs } from './journal/fake-fs.ts';
import { View, type ViewState } from './view.ts';

const layout = { host: 8, tenant: 8, segment: 4, endpoint: 4 };
const main: IpamNetwork = {
  name: 'main',
  plan: addressPlan(parseCidr('10.0.0.0/8'), layout),
  reserved: [],
  quarantineMs: 0,
};
const superseded = new RomanaError('generation_stale', 'no.', { details: { reason: 'superseded' } });
const behind = new RomanaError('generation_stale', 'no.', { details: { reason: 'behind' } });

/** What is left on the disk of a host, and agents that start on it. */
class Disk {
  readonly saved = new Map<string, string>();
  readonly fs = new FakeFs();
  #uuids = 0;

  async start() {
    const allocator = await LocalAllocator.open({
      dir: '/journal',
      fs: this.fs,
      networks: [main],
      clock: { now: () => 0, monotonic: () => 0 },
      random: { bytes: (n) => new Uint8Array(n), uuid: () => `uuid-${++this.#uuids}`, fraction: () => 0 },
      log: { debug() {}, info() {}, warn() {}, error() {} },
    });
    const files = {
      read: (name: string) => Promise.resolve(this.saved.get(name) ?? null),
      write: (name: string, text: string) => {
        this.saved.set(name, text);
        return Promise.resolve();
      },
    };
    return { allocator, generation: await Generation.load(files, allocator) };
  }
}

function view(names: readonly string[]): ViewState {
  const shown = new View();
  shown.take({ type: 'snapshot' });
  const say = (kind: string, key: string, value: object): void => {
    shown.take({ type: 'object', kind, key, value } as never);
  };
  for (const [index, name] of names.entries()) {
    say('endpoint', `a/s/${name}`, {
      uid: name,
      host: 'h1',
      allocator: 'agent',
      phase: 'ready',
      addresses: [{ network: 'main', address: `10.1.1.${17 + index}` }],
      attachment: { kind: 'none' },
      sourcePrefixes: [],
      createdAt: '2026-01-01T00:00:00.000Z',
    });
  }
  say('host', 'h1', { name: 'h1', state: 'active' });
  shown.take({ type: 'synced', position: { incarnation: 'i', revision: 1 } });
  return shown.state!;
}
const heard = () => Promise.resolve();
const keys = (allocator: LocalAllocator) => allocator.list().map(({ allocation }) => allocation.key);

test('a new journal takes over what is recorded, once: a restart goes on with it, also when it is empty', async () => {
  for (const names of [['x', 'y'], []]) {
    const disk = new Disk();
    const first = await disk.start();
    assert.equal(first.generation.mustAdopt, true);
    await first.generation.adopt(view(names), 'h1', heard);
    await first.allocator.close();
    const again = await disk.start();
    assert.equal(again.generation.mustAdopt, false);
    assert.deepEqual(
      keys(again.allocator),
      names.map((name) => `a/s/${name}`),
    );
    assert.equal(again.allocator.generation, first.allocator.generation);
  }
});

test('a crash before the taking over begins it anew', async () => {
  const disk = new Disk();
  await (await disk.start()).allocator.close();
  const again = await disk.start();
  assert.equal(again.allocator.recovered, 'clean');
  assert.equal(again.generation.mustAdopt, true);
});

test('a generation that could not be told answers nobody, and the next attempt holds the same', async () => {
  const { allocator, generation } = await new Disk().start();
  const away = () => Promise.reject(new Error('away'));
  await assert.rejects(generation.adopt(view(['x']), 'h1', away), /away/);
  assert.equal(generation.mustAdopt, true);
  await generation.adopt(view(['x']), 'h1', heard);
  assert.equal(generation.mustAdopt, false);
  assert.deepEqual(keys(allocator), ['a/s/x']);
});

test('until it was heard, a report says how far the journal was when it was opened', async () => {
  const disk = new Disk();
  const first = await disk.start();
  await first.generation.adopt(view(['x']), 'h1', heard);
  await first.allocator.close();
  const { allocator, generation } = await disk.start();
  const slots = [{ network: 'main', tenantId: 1, segmentId: 1, hostIds: [1] }];
  await allocator.allocate({ key: 'a/s/new', question: '', slots }, null);
  assert.deepEqual([generation.said.seq, allocator.seq], [1, 2]);
  generation.accepted({ id: 'another', seq: 1 });
  assert.equal(generation.said.seq, 1);
  generation.accepted(generation.said);
  assert.equal(generation.said.seq, 2);
});

test('an old copy has to be rebuilt, and has another generation then', async () => {
  const { allocator, generation } = await new Disk().start();
  await generation.adopt(view(['x']), 'h1', heard);
  const before = allocator.generation;
  assert.equal(generation.refused(behind), true);
  assert.deepEqual([generation.mustAdopt, generation.superseded], [true, false]);
  assert.equal(generation.refused(behind), false, 'known already');
  await generation.adopt(view(['x', 'y']), 'h1', heard);
  assert.deepEqual(keys(allocator), ['a/s/x', 'a/s/y']);
  assert.notEqual(allocator.generation, before);
});

test('a journal that another one has followed stays so over a restart; a new journal in its place does not', async () => {
  const disk = new Disk();
  const first = await disk.start();
  await first.generation.adopt(view(['x']), 'h1', heard);
  assert.equal(first.generation.refused(superseded), true);
  assert.equal(first.generation.refused(superseded), false);
  assert.throws(() => first.generation.demandCurrent(), { code: 'generation_stale' });
  assert.deepEqual(
    first.generation.problems.map(({ code }) => code),
    ['generation_stale'],
  );
  await first.generation.save();
  await first.allocator.close();
  const again = await disk.start();
  assert.equal(again.generation.superseded, true);
  await again.allocator.close();
  const emptied = new Disk();
  for (const [name, text] of disk.saved) emptied.saved.set(name, text);
  const anew = await emptied.start();
  // The fake uuids begin again: what counts is that the journal is new.
  assert.equal(anew.generation.mustAdopt, true);
});

test('other errors say nothing of the generation', async () => {
  const { generation } = await new Disk().start();
  for (const error of [new Error('x'), new RomanaError('unavailable', 'x.'), undefined])
    assert.equal(generation.refused(error), false);
});

test('a damaged file is as none', async () => {
  const disk = new Disk();
  for (const text of ['', '{', '[]', '1', 'null']) {
    disk.saved.set('generation.json', text);
    const { allocator, generation } = await disk.start();
    assert.deepEqual([generation.mustAdopt, generation.superseded], [true, false]);
    await allocator.close();
  }
});

test('the view of a host that another agent has taken over is that of a fenced one; others are as they were', () => {
  const before = view(['x']);
  const after = withdrawn(before, 'h1');
  assert.equal(after.objects.host.get('h1')?.state, 'fenced');
  assert.equal(before.objects.host.get('h1')?.state, 'active');
  assert.equal(withdrawn(before, 'h2'), before);
});

test('an agent whose generation is not known says which one it follows, until it is accepted', async () => {
  const disk = new Disk();
  const { generation, allocator } = await disk.start();
  await generation.adopt(view([]), 'h1', heard);
  assert.equal(generation.said.follows, undefined);
  for (const current of ['before', null]) {
    const unknown = new RomanaError('generation_stale', 'no.', { details: { reason: 'unknown', current } });
    // Nobody else has taken over: it neither withdraws nor begins anew.
    assert.equal(generation.refused(unknown), false);
    assert.deepEqual([generation.superseded, generation.mustAdopt], [false, false]);
    assert.equal(generation.said.follows, current);
  }
  generation.accepted({ id: 'another', seq: 0 });
  assert.equal(generation.said.follows, null);
  generation.accepted(generation.said);
  assert.equal(generation.said.follows, undefined);
  await allocator.close();
});
