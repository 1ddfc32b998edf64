import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { parseAddress } from '#core/address/index.ts';
import { type ErrorCode, RomanaError } from '#core/errors.ts';
import type { Random } from '#core/ports.ts';
import { FakeFs, PowerFailure } from './fake-fs.ts';
import { Journal, type JournalRecord } from './index.ts';

const PATH = 'dir/allocations.journal';
let uuids = 0;
const random: Random = { bytes: (n) => new Uint8Array(n), uuid: () => `uuid-${++uuids}`, fraction: () => 0 };

function record(n: number, text = ''): JournalRecord {
  const addresses = ['10.1.1.27', 'fd10:1:1:1::b'].map((address, i) => ({
    network: `n${i}`,
    address: parseAddress(address),
    hostId: 1,
    tenantId: 1,
    segmentId: 1,
    endpointId: n,
  }));
  const event: JournalRecord['event'] =
    n % 3 === 0
      ? { type: 'released', key: `k${n}`, uid: 'u', seq: n, addresses, at: n }
      : {
          type: 'allocated',
          allocation: { key: `k${n}`, uid: 'u', question: 'q ü', seq: n, addresses },
          at: n,
        };
  return { event, payload: { text, n: [n, null] } };
}

const records = (from: number, to: number): JournalRecord[] =>
  [...Array(to - from + 1).keys()].map((i) => record(from + i));

const code =
  (wanted: ErrorCode, details: Record<string, unknown> = {}) =>
  (error: unknown): true => {
    assert.ok(error instanceof RomanaError, String(error));
    assert.equal(error.code, wanted);
    for (const [name, value] of Object.entries(details)) assert.equal(error.details?.[name], value);
    return true;
  };

async function written(...groups: JournalRecord[][]): Promise<FakeFs> {
  const fs = new FakeFs();
  const { journal } = await Journal.open('dir', { fs, random });
  for (const group of groups) await journal.append(group);
  await journal.close();
  return fs;
}

test('what was appended is read back, with the same generation', async () => {
  const fs = new FakeFs();
  const first = await Journal.open('dir', { fs, random });
  assert.equal(first.recovered, 'fresh');
  assert.deepEqual(first.records, []);
  await first.journal.append([record(1), record(2)]);
  await first.journal.append([record(3)]);
  await first.journal.append([]);
  await first.journal.close();
  const second = await Journal.open('dir', { fs, random });
  assert.equal(second.recovered, 'clean');
  assert.equal(second.journal.generation, first.journal.generation);
  assert.deepEqual(second.records, records(1, 3));
  await second.journal.append([record(4)]);
  await second.journal.close();
  assert.deepEqual((await Journal.open('dir', { fs, random })).records, records(1, 4));
});

test('appends made together share one write and one sync', async () => {
  const fs = new FakeFs();
  const { journal } = await Journal.open('dir', { fs, random });
  const before = fs.syncs;
  await Promise.all(records(1, 64).map((r) => journal.append([r])));
  assert.equal(fs.syncs - before, 2); // the first call, then all that came meanwhile
  await journal.close();
  assert.deepEqual((await Journal.open('dir', { fs, random })).records, records(1, 64));
});

test('short writes are continued', async () => {
  const fs = new FakeFs();
  fs.writeLimit = 7;
  const { journal } = await Journal.open('dir', { fs, random });
  await journal.append(records(1, 5));
  await journal.close();
  assert.deepEqual((await Journal.open('dir', { fs, random })).records, records(1, 5));
});

describe('damage', () => {
  test('a file cut at any byte is a prefix of whole writes, and takes appends again', async () => {
    const fs = await written([record(1)], [record(2), record(3)], [record(4)]);
    const whole = fs.contents(PATH)!;
    const ends = [...whole.keys()].filter((i) => whole[i] === 10).map((i) => i + 1);
    for (let cut = 0; cut <= whole.length; cut++) {
      const copy = new FakeFs();
      copy.put(PATH, whole.subarray(0, cut));
      const lines = ends.filter((end) => end <= cut).length;
      if (lines === 0) {
        await assert.rejects(Journal.open('dir', { fs: copy, random }), code('store_corrupt', { offset: 0 }));
        continue;
      }
      const expected = [0, 1, 3, 4][lines - 1]!;
      const opened = await Journal.open('dir', { fs: copy, random });
      assert.deepEqual(opened.records, records(1, expected));
      assert.equal(opened.recovered, ends.includes(cut) ? 'clean' : 'truncated-tail');
      await opened.journal.append([record(9)]);
      await opened.journal.close();
      const again = await Journal.open('dir', { fs: copy, random });
      assert.deepEqual(again.records, [...records(1, expected), record(9)]);
      assert.equal(again.recovered, 'clean');
    }
  });

  test('a single flipped bit anywhere is store_corrupt with the offset of its line', async () => {
    const fs = await written([record(1)], [record(2)]);
    const whole = fs.contents(PATH)!;
    for (let at = 0; at < whole.length; at++) {
      const start = at === 0 ? 0 : whole.lastIndexOf(10, at - 1) + 1;
      for (let bit = 0; bit < 8; bit++) {
        const bytes = whole.slice();
        bytes[at]! ^= 1 << bit;
        const copy = new FakeFs();
        copy.put(PATH, bytes);
        await assert.rejects(
          Journal.open('dir', { fs: copy, random }),
          code('store_corrupt', { offset: start }),
        );
      }
    }
  });

  test('a missing, repeated or swapped line is store_corrupt', async () => {
    const fs = await written([record(1)], [record(2), record(3)], [record(4)], [record(5)]);
    const text = Buffer.from(fs.contents(PATH)!).toString();
    const [header, a, b, c, d] = text.split('\n') as [string, string, string, string, string];
    const wrong = [
      [header, b, c, d],
      [header, a, c, d],
      [header, a, b, b, c, d],
      [header, a, b, d, c],
      [header, a, b, c, header, d],
      [a, b, c, d],
      [header, a, '', b, c, d],
    ];
    for (const lines of wrong) {
      const copy = new FakeFs();
      copy.put(PATH, Buffer.from(`${lines.join('\n')}\n`));
      await assert.rejects(Journal.open('dir', { fs: copy, random }), code('store_corrupt'));
    }
  });

  test('a refused journal does not stay locked', async () => {
    const fs = new FakeFs();
    fs.put(PATH, Buffer.from('nonsense\n'));
    await assert.rejects(Journal.open('dir', { fs, random }), code('store_corrupt'));
    await assert.rejects(Journal.open('dir', { fs, random }), code('store_corrupt'));
  });
});

describe('a power failure', () => {
  test('at any byte and call, with any part of the unsynced on the disk: every answered record is there, and only a prefix', async () => {
    let answered = 0;
    const run = async (fs: FakeFs): Promise<void> => {
      answered = 0;
      const { journal } = await Journal.open('dir', { fs, random });
      for (const group of [records(1, 1), records(2, 4), records(5, 12), records(13, 13)]) {
        await journal.append(group);
        answered += group.length;
        if (answered === 4) await journal.compact(records(1, 4));
      }
    };
    const measure = new FakeFs();
    measure.fuel = 1e9;
    await run(measure);
    const total = 1e9 - measure.fuel;
    for (let fuel = 1; fuel <= total; fuel += 3) {
      const fs = new FakeFs();
      fs.fuel = fuel;
      await assert.rejects(
        run(fs),
        (error: unknown) => error instanceof PowerFailure || error instanceof RomanaError,
      );
      for (const [luck, shuffle] of [
        [0, false],
        [0.3, false],
        [0.7, false],
        [1, false],
        [1, true],
      ] as const) {
        const disk = fs.afterPowerFailure(luck, shuffle);
        const opened = await Journal.open('dir', { fs: disk, random });
        assert.ok(opened.records.length >= answered, `fuel ${fuel}: ${opened.records.length} < ${answered}`);
        assert.deepEqual(opened.records, records(1, opened.records.length));
      }
    }
  });
});

describe('a disk that fails', () => {
  test('full: the append is refused as store_full, nothing of it is kept, and later ones are right', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 0, max: 2000 }),
        fc.integer({ min: 1, max: 600 }),
        async (space, limit) => {
          const fs = await written([record(1)]);
          const opened = await Journal.open('dir', { fs, random });
          fs.space = space;
          fs.writeLimit = limit;
          const kept = [record(1)];
          for (let n = 2; n <= 8; n++) {
            try {
              await opened.journal.append([record(n)]);
              kept.push(record(n));
            } catch (error) {
              code('store_full')(error);
            }
          }
          fs.space = Number.POSITIVE_INFINITY;
          await opened.journal.append([record(9)]);
          await opened.journal.close();
          const again = await Journal.open('dir', { fs, random });
          assert.equal(again.recovered, 'clean');
          assert.deepEqual(again.records, [...kept, record(9)]);
        },
      ),
      { numRuns: 50 },
    );
  });

  for (const fault of ['datasync', 'write'] as const) {
    test(`${fault} with EIO: every later append is refused until the journal is opened again`, async () => {
      const fs = await written([record(1)]);
      const opened = await Journal.open('dir', { fs, random });
      fs.fault = fault;
      const two = opened.journal.append([record(2)]);
      const three = opened.journal.append([record(3)]); // waits behind the failing one
      await assert.rejects(two, code('unavailable'));
      await assert.rejects(three, code('unavailable'));
      fs.fault = undefined;
      await assert.rejects(opened.journal.append([record(4)]), code('unavailable'));
      await assert.rejects(opened.journal.compact([]), code('unavailable'));
      await opened.journal.close();
      const again = await Journal.open('dir', { fs, random });
      assert.deepEqual(again.records, records(1, fault === 'datasync' ? 2 : 1));
      await again.journal.append([record(5)]);
    });
  }

  test('full, and then the file cannot be cut back: no later append', async () => {
    const fs = await written([record(1)]);
    const { journal } = await Journal.open('dir', { fs, random });
    fs.space = 20;
    fs.fault = 'truncate';
    await assert.rejects(journal.append([record(2)]), code('unavailable'));
    fs.space = 1e6;
    await assert.rejects(journal.append([record(2)]), code('unavailable'));
    fs.fault = undefined;
    await journal.close();
    assert.equal((await Journal.open('dir', { fs, random })).recovered, 'truncated-tail');
  });

  test('full while compacting: the old file still counts', async () => {
    const fs = await written(records(1, 10));
    const { journal } = await Journal.open('dir', { fs, random });
    fs.space = 100;
    await assert.rejects(journal.compact(records(1, 4)), code('store_full'));
    fs.space = 1e6;
    await journal.append([record(11)]);
    await journal.close();
    assert.deepEqual((await Journal.open('dir', { fs, random })).records, records(1, 11));
  });

  test('the directory cannot be synced after compacting: no later append', async () => {
    const fs = await written(records(1, 3));
    const { journal } = await Journal.open('dir', { fs, random });
    fs.fault = 'syncDir';
    await assert.rejects(journal.compact(records(1, 3)), code('unavailable'));
    fs.fault = undefined;
    await assert.rejects(journal.append([record(4)]), code('unavailable'));
  });
});

describe('compaction', () => {
  test('is offered when the file has grown, makes it small, and appends made meanwhile are kept', async () => {
    const fs = new FakeFs();
    const { journal } = await Journal.open('dir', { fs, random });
    assert.equal(journal.shouldCompact, false);
    for (let n = 1; n <= 100; n++) await journal.append([record(n, 'x'.repeat(4000))]);
    assert.equal(journal.shouldCompact, true);
    const { generation, size } = journal;
    const live = records(1, 600); // more than one line
    const work = journal.compact(live);
    const meanwhile = journal.append([record(601)]);
    await Promise.all([work, meanwhile]);
    assert.equal(journal.shouldCompact, false);
    assert.ok(journal.size < size);
    await journal.close();
    const again = await Journal.open('dir', { fs, random });
    assert.deepEqual(again.records, records(1, 601));
    assert.equal(again.journal.generation, generation);
  });

  test('is refused while an append is under way, whose record it would lose', async () => {
    const { journal } = await Journal.open('dir', { fs: new FakeFs(), random });
    const append = journal.append([record(1)]);
    await assert.rejects(journal.compact([]), TypeError);
    await append;
  });
});

describe('on a real disk', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'romana-journal-'));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  test('only the owner may read, in directories made on the way', async () => {
    const deep = join(dir, 'a', 'b');
    const { journal } = await Journal.open(deep, { random });
    await journal.append(records(1, 3));
    await journal.compact(records(1, 3));
    await journal.append([record(4)]);
    assert.equal((await stat(deep)).mode & 0o777, 0o700);
    for (const name of await readdir(deep)) assert.equal((await stat(join(deep, name))).mode & 0o777, 0o600);
    await journal.close();
    const again = await Journal.open(deep, { random });
    assert.deepEqual(again.records, records(1, 4));
    await again.journal.close();
  });

  test('a directory has one journal at a time, in one process', async () => {
    const { journal } = await Journal.open(dir, { random });
    await assert.rejects(Journal.open(dir, { random }), code('store_busy'));
    await journal.append([record(1)]);
    await assert.rejects(Journal.open(dir, { random }), code('store_busy'));
    await journal.close();
    const again = await Journal.open(dir, { random });
    await again.journal.close();
  });

  test('a directory has one journal at a time, between processes; a killed one leaves nothing in the way', async () => {
    const script = `
      import { Journal } from ${JSON.stringify(new URL('./index.ts', import.meta.url).href)};
      await Journal.open(process.argv[1], { random: { uuid: () => 'other' } });
      console.log('held');
      setInterval(() => {}, 1000);`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, dir], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    try {
      await once(child.stdout, 'data');
      await assert.rejects(Journal.open(dir, { random }), code('store_busy'));
    } finally {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    const { journal } = await Journal.open(dir, { random });
    assert.equal(journal.generation, 'other');
    await journal.close();
  });

  test('a closed journal takes nothing', async () => {
    const { journal } = await Journal.open(dir, { random });
    const last = journal.append([record(1)]);
    await journal.close();
    await last;
    await assert.rejects(journal.append([record(2)]), code('unavailable'));
    await journal.close();
  });
});
