/** The tests that every implementation of the port passes. `open` makes a store anew on the same state after `close`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Endpoint, Network, Tenant } from '#contract/model.ts';
import type { ErrorCode } from '#core/errors.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Store, Tx } from './port.ts';

export interface Subject {
  /** Opens the store on the state that the last one left. */
  open(options?: { keepChanges?: number }): Store;
  dispose(): void;
}

type Draft<T> = Omit<T, 'revision'>;
const common = { uid: 'u', createdAt: '2026-01-01T00:00:00.000Z' };

export function tenant(name: string, isolation: Tenant['isolation'] = 'segment'): Draft<Tenant> {
  return { name, isolation, ids: [], ...common };
}

export function network(name: string, cidr: string, layout: Network['layout']): Draft<Network> {
  const family = cidr.includes(':') ? 6 : 4;
  return {
    name,
    cidr,
    family,
    layout,
    infrastructure: 'deny',
    reserved: [],
    quarantineSeconds: 30,
    ...common,
  };
}

export function endpoint(tenantName: string, segment: string, name: string, host: string): Draft<Endpoint> {
  return {
    tenant: tenantName,
    segment,
    name,
    host,
    addresses: [],
    attachment: { kind: 'none' },
    sourcePrefixes: [],
    allocator: 'server',
    phase: 'pending',
    message: '',
    ...common,
  };
}

export function refusedWith(code: ErrorCode) {
  return (error: unknown) => {
    assert.ok(isRomanaError(error), String(error));
    assert.equal(error.code, code, error.message);
    return true;
  };
}

const write = (name: string) => (tx: Tx) => {
  tx.put('tenant', name, tenant(name));
};

export function storeConformance(title: string, make: () => Subject): void {
  const check = (name: string, work: (subject: Subject) => Promise<void>): void => {
    void test(`${title}: ${name}`, async () => {
      const subject = make();
      try {
        await work(subject);
      } finally {
        subject.dispose();
      }
    });
  };

  check('S1 a transaction that throws keeps nothing and takes no revision', async (subject) => {
    const store = subject.open();
    const before = store.position();
    await assert.rejects(
      store.transaction('me', (tx) => {
        tx.put('tenant', 'a', tenant('a'));
        tx.put('_secret', 'a', 1);
        tx.hold('space', 1, 'a');
        throw new Error('no');
      }),
      /^Error: no$/,
    );
    assert.deepEqual(store.position(), before);
    store.read((tx) => {
      assert.equal(tx.get('tenant', 'a'), undefined);
      assert.equal(tx.get('_secret', 'a'), undefined);
      assert.equal(tx.holderOf('space', 1), undefined);
    });
    assert.deepEqual(store.changesSince(0, 10), []);
    store.close();
  });

  check(
    'S1 S2 of concurrent transactions a failing one takes nothing from the others, each has its own revision',
    async (subject) => {
      const store = subject.open();
      const results = await Promise.allSettled(
        Array.from({ length: 40 }, (_, i) =>
          store.transaction('me', (tx) => {
            write(`t${i}`)(tx);
            if (i % 4 === 3) throw new Error('odd one out');
            return tx.revision;
          }),
        ),
      );
      const revisions = results.flatMap((r) => (r.status === 'fulfilled' ? [r.value] : []));
      assert.deepEqual(
        revisions,
        Array.from({ length: 30 }, (_, i) => i + 1),
      );
      assert.equal(store.position().revision, 30);
      assert.equal(
        store.read((tx) => tx.count('tenant')),
        30,
      );
      const changes = store.changesSince(0, 1000);
      assert.ok(changes !== 'compacted');
      assert.deepEqual(
        changes.map((c) => c.revision),
        revisions,
      );
      store.close();
    },
  );

  check('S2 the revision is stamped into the object and its change', async (subject) => {
    const store = subject.open();
    await store.transaction('me', write('a'));
    const stored = await store.transaction('me', (tx) => tx.put('tenant', 'b', tenant('b')));
    assert.equal(stored.revision, 2);
    assert.equal(store.read((tx) => tx.get('tenant', 'b'))?.revision, 2);
    const changes = store.changesSince(1, 10);
    assert.deepEqual(changes, [
      { revision: 2, ordinal: 0, kind: 'tenant', key: 'b', value: stored, host: null },
    ]);
    store.close();
  });

  check('S3 private kinds are in no change, move no revision, and count their own', async (subject) => {
    const store = subject.open();
    await store.transaction('me', (tx) => tx.put('_token', 'a', { hash: 'x' }));
    await store.transaction('me', (tx) => tx.put('_token', 'a', { hash: 'y' }, { ifRevision: 1 }));
    await assert.rejects(
      store.transaction('me', (tx) => tx.put('_token', 'a', { hash: 'z' }, { ifRevision: 1 })),
      refusedWith('revision_conflict'),
    );
    assert.equal(store.position().revision, 0);
    assert.deepEqual(store.changesSince(0, 10), []);
    assert.deepEqual(
      store.read((tx) => tx.row('_token', 'a')?.value),
      { hash: 'y' },
    );
    store.close();
  });

  check(
    'S4 a guard refuses an object that changed or went; a delete of nothing is not_found',
    async (subject) => {
      const store = subject.open();
      await store.transaction('me', write('a'));
      await store.transaction('me', (tx) => tx.put('tenant', 'a', tenant('a', 'open'), { ifRevision: 1 }));
      await assert.rejects(
        store.transaction('me', (tx) => tx.put('tenant', 'a', tenant('a'), { ifRevision: 1 })),
        (error) =>
          refusedWith('revision_conflict')(error) &&
          isRomanaError(error) &&
          error.details?.['revision'] === 2,
      );
      await assert.rejects(
        store.transaction('me', (tx) => tx.delete('tenant', 'a', { ifRevision: 1 })),
        refusedWith('revision_conflict'),
      );
      await store.transaction('me', (tx) => tx.delete('tenant', 'a', { ifRevision: 2 }));
      await assert.rejects(
        store.transaction('me', (tx) => tx.delete('tenant', 'a')),
        refusedWith('not_found'),
      );
      await assert.rejects(
        store.transaction('me', (tx) => tx.put('tenant', 'a', tenant('a'), { ifRevision: 2 })),
        refusedWith('revision_conflict'),
      );
      store.close();
    },
  );

  check('S5 a restart keeps objects, revision, order of creation and incarnation', async (subject) => {
    const first = subject.open();
    for (const name of ['b', 'a', 'c']) await first.transaction('me', write(name));
    await first.transaction('me', (tx) => tx.put('tenant', 'b', tenant('b', 'open')));
    const position = first.position();
    first.close();
    const second = subject.open();
    assert.deepEqual(second.position(), position);
    const rows = second.read((tx) => tx.list('tenant'));
    assert.deepEqual(
      rows.map((r) => r.key),
      ['a', 'b', 'c'],
    );
    assert.deepEqual(
      [...rows].sort((x, y) => x.created - y.created).map((r) => r.key),
      ['b', 'a', 'c'],
    );
    await second.transaction('me', write('d'));
    assert.equal(second.position().revision, position.revision + 1);
    second.close();
  });

  check('S6 changes come in whole revisions; those that were dropped are said to be', async (subject) => {
    const store = subject.open({ keepChanges: 20 });
    await store.transaction('me', (tx) => {
      for (let i = 0; i < 5; i++) write(`x${i}`)(tx);
    });
    assert.equal((store.changesSince(0, 2) as unknown[]).length, 5);
    for (let i = 0; i < 100; i++) await store.transaction('me', write(`t${i % 7}`));
    assert.equal(store.changesSince(0, 10), 'compacted');
    const tail = store.changesSince(90, 1000);
    assert.ok(tail !== 'compacted');
    assert.deepEqual(
      tail.map((c) => c.revision),
      Array.from({ length: 11 }, (_, i) => 91 + i),
    );
    assert.deepEqual(store.changesSince(101, 10), []);
    store.close();
    const again = subject.open({ keepChanges: 20 });
    assert.equal(again.changesSince(0, 10), 'compacted');
    assert.equal((again.changesSince(90, 1000) as unknown[]).length, 11);
    again.close();
  });

  check('S6 a change log never lacks a revision: what is kept and what is dropped meet', async (subject) => {
    const store = subject.open({ keepChanges: 8 });
    for (let i = 1; i <= 60; i++) {
      await store.transaction('me', (tx) => {
        for (let k = 0; k < i % 4; k++) write(`t${k}`)(tx);
        if (i % 4 === 0) write('t9')(tx);
      });
      for (let since = 0; since <= i; since++) {
        const changes = store.changesSince(since, 1000);
        if (changes === 'compacted') continue;
        assert.deepEqual(
          [...new Set(changes.map((c) => c.revision))],
          Array.from({ length: i - since }, (_, n) => since + 1 + n),
        );
      }
    }
    store.close();
  });

  check('S7 listeners hear of commits that moved the revision, after they can be read', async (subject) => {
    const store = subject.open();
    const heard: number[] = [];
    const cancel = store.onCommit((revision) => {
      assert.equal(store.position().revision, revision);
      heard.push(revision);
    });
    await store.transaction('me', write('a'));
    await store.transaction('me', (tx) => tx.put('_x', 'a', 1));
    await store.transaction('me', (tx) => tx.get('tenant', 'a'));
    await store.transaction('me', write('b'));
    cancel();
    await store.transaction('me', write('c'));
    assert.deepEqual(heard, [1, 2]);
    store.close();
  });

  check(
    'S8 a value has one holder; the lowest free one is found around holes and at both ends',
    async (subject) => {
      const store = subject.open();
      await store.transaction('me', (tx) => {
        assert.equal(tx.lowestFree('ids', 3, 2), undefined);
        assert.equal(tx.lowestFree('ids', 1, 4), 1);
        for (const id of [1, 2, 4]) tx.hold('ids', id, `h${id}`);
        tx.hold('ids', 2, 'h2');
        tx.hold('other', 3, 'h');
        assert.equal(tx.lowestFree('ids', 1, 4), 3);
        tx.hold('ids', 3, 'h3');
        assert.equal(tx.lowestFree('ids', 1, 4), undefined);
        assert.equal(tx.lowestFree('ids', 1, 5), 5);
        tx.letGo('ids', 1);
        assert.equal(tx.lowestFree('ids', 1, 4), 1);
        assert.equal(tx.lowestFree('ids', 2, 4), undefined);
        tx.hold('ids', 4294967295, 'last');
        assert.equal(tx.lowestFree('ids', 4294967295, 4294967295), undefined);
        tx.hold('text', '10.0.0.1', 'h1');
        assert.deepEqual(tx.heldIn('ids', 2, 4), [
          { value: 2, holder: 'h2' },
          { value: 3, holder: 'h3' },
          { value: 4, holder: 'h4' },
        ]);
        assert.deepEqual(tx.heldIn('ids', 5, 4294967295), [{ value: 4294967295, holder: 'last' }]);
        assert.deepEqual(tx.heldIn('nobody', 0, 4294967295), []);
        assert.equal(tx.holderOf('text', '10.0.0.1'), 'h1');
      });
      await assert.rejects(
        store.transaction('me', (tx) => tx.hold('ids', 2, 'x')),
        refusedWith('id_taken'),
      );
      store.close();
    },
  );

  check(
    'S9 lists are in key order, by prefix, page and host, and never reach into a neighbour',
    async (subject) => {
      const store = subject.open();
      await store.transaction('me', (tx) => {
        for (const [t, s, n, h] of [
          ['a', 's', 'x', 'h1'],
          ['a', 's', 'y', 'h2'],
          ['a', 's-2', 'x', 'h1'],
          ['a-b', 's', 'x', 'h1'],
          ['b', 's', 'x', 'h2'],
        ] as const) {
          tx.put('endpoint', `${t}/${s}/${n}`, endpoint(t, s, n, h));
        }
        tx.put('topology', '', { groups: [], aggregates: [] });
      });
      store.read((tx) => {
        const keys = (options: Parameters<typeof tx.list>[1]) =>
          tx.list('endpoint', options).map((r) => r.key);
        assert.deepEqual(keys({ prefix: 'a/' }), ['a/s-2/x', 'a/s/x', 'a/s/y']);
        assert.deepEqual(keys({ prefix: 'a/s/' }), ['a/s/x', 'a/s/y']);
        assert.deepEqual(keys({ host: 'h1' }), ['a-b/s/x', 'a/s-2/x', 'a/s/x']);
        assert.deepEqual(keys({ host: 'h1', prefix: 'a/s/' }), ['a/s/x']);
        assert.deepEqual(keys({ limit: 2 }), ['a-b/s/x', 'a/s-2/x']);
        assert.deepEqual(keys({ limit: 2, after: 'a/s-2/x' }), ['a/s/x', 'a/s/y']);
        assert.deepEqual(keys({ prefix: 'a/', after: 'b/s/x' }), []);
        assert.equal(tx.count('endpoint', { prefix: 'a/' }), 3);
        assert.equal(tx.count('endpoint', { host: 'h2' }), 2);
        assert.deepEqual(
          [...tx.endpointCounts()].sort(([a], [b]) => (a < b ? -1 : 1)),
          [
            ['h1', 3],
            ['h2', 2],
          ],
        );
        assert.equal(tx.list('topology').length, 1);
      });
      await store.transaction('me', (tx) => tx.delete('endpoint', 'a/s/y'));
      const [gone] = store.changesSince(1, 10) as { value: unknown; host: unknown }[];
      assert.equal(gone?.value, null);
      assert.equal(gone?.host, 'h2');
      store.close();
    },
  );

  check('S10 a transaction ends with its work', async (subject) => {
    const store = subject.open();
    const escaped = await store.transaction('me', (tx) => tx);
    assert.throws(() => escaped.put('tenant', 'a', tenant('a')), refusedWith('internal'));
    assert.throws(() => escaped.get('tenant', 'a'), refusedWith('internal'));
    assert.throws(() => escaped.ipam, refusedWith('internal'));
    await assert.rejects(
      store.transaction('me', async (tx) => write('a')(tx)),
      refusedWith('internal'),
    );
    assert.equal(
      store.read((tx) => tx.count('tenant')),
      0,
    );
    const late = store.transaction('me', write('a'));
    store.close();
    await assert.rejects(late, refusedWith('unavailable'));
    await assert.rejects(store.transaction('me', write('b')), refusedWith('unavailable'));
    assert.throws(() => store.read((tx) => tx.count('tenant')), refusedWith('unavailable'));
  });
}
