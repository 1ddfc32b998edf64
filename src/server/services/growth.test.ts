/** What reports cost while reservations are pending: thousands of hosts report, and many may be pending at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReadTx, Store } from '#store/port.ts';
import { admin, silentLog, world } from '../testing.ts';
import { agentReport, endpoint, host, network, segment, tenant } from './fixtures.ts';
import { createServices } from './index.ts';

/** Counts reads of hosts, one by one and as a list. */
function counting(store: Store): { readonly store: Store; readonly reads: { hosts: number; lists: number } } {
  const reads = { hosts: 0, lists: 0 };
  const counted = (tx: ReadTx): ReadTx =>
    new Proxy(tx, {
      get: (target, name) => {
        const found: unknown = Reflect.get(target, name, target);
        if (typeof found !== 'function') return found;
        return (...args: unknown[]): unknown => {
          if (args[0] === 'host' && name === 'get') reads.hosts++;
          if (args[0] === 'host' && name === 'list') reads.lists++;
          return Reflect.apply(found, target, args);
        };
      },
    });
  return {
    reads,
    store: {
      transaction: (actor, work) => store.transaction(actor, work),
      read: (work) => store.read((tx) => work(counted(tx))),
      position: () => store.position(),
      changesSince: (revision, limit) => store.changesSince(revision, limit),
      onCommit: (listener) => store.onCommit(listener),
      close: () => store.close(),
    },
  };
}

test('a report looks at no other host unless it may be the last one that a reservation waits for', async () => {
  const w = world();
  try {
    const { store, reads } = counting(w.store);
    const services = createServices({
      store,
      clock: w.clock,
      random: w.random,
      log: silentLog,
      version: 'test',
    });
    await network(services, 'main');
    await tenant(services, 'a');
    await segment(services, 'a', 's');
    const names = Array.from({ length: 20 }, (_, n) => `h${n + 1}`);
    for (const name of names) await host(services, name);
    for (const name of names) await w.join(name);
    const report = (name: string, applied = store.position()): Promise<unknown> =>
      agentReport(services, name, { applied });
    const before = store.position();
    for (const name of names) await assert.rejects(endpoint(services, `a/s/${name}`, { host: name }));
    // The first report after a change finds out who is waited for.
    await report('h2', before);
    for (const name of names) await report(name, before);
    Object.assign(reads, { hosts: 0, lists: 0 });
    await report('h3', before);
    await report('h4');
    await report('h4');
    assert.deepEqual(reads, { hosts: 3, lists: 0 });
    for (const name of names) await report(name);
    for (const name of names)
      assert.equal((await endpoint(services, `a/s/${name}`, { host: name })).host, name);
    const shown = await services.hostShow(admin, { params: { name: 'h1' }, query: {}, body: undefined });
    assert.equal(shown.ids.length, 2);
  } finally {
    w.dispose();
  }
});
