import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import fc from 'fast-check';
import { kinds } from '#contract/watch.ts';
import { endpoint, tenant } from '#store/conformance.ts';
import type { Store } from '#store/port.ts';
import { type TestStore, testStore } from '#store/testing.ts';
import { ManualTimers } from '../testing.ts';
import { Consumer } from './consumer.ts';
import { WatchHub } from './hub.ts';
import type { WatchFilter } from './types.ts';

const open: TestStore[] = [];
afterEach(() => {
  for (const base of open.splice(0)) base.dispose();
});

function setup(keepChanges = 10_000) {
  const base = testStore();
  open.push(base);
  const store = base.open({ keepChanges });
  const timers = new ManualTimers();
  const hub = new WatchHub({ store, clock: base.clock, timers });
  return { base, store, timers, hub };
}

const everything: WatchFilter = { host: null };

const putTenant = (store: Store, name: string) =>
  store.transaction('t', (tx) => tx.put('tenant', name, tenant(name)));
const putEndpoint = (store: Store, name: string, host: string) =>
  store.transaction('t', (tx) => tx.put('endpoint', `a/s/${name}`, endpoint('a', 's', name, host)));

const putPeer = (store: Store, host: string, uid: string) =>
  store.transaction('t', (tx) =>
    tx.put('sharedpeer', `${host}/a/s/${uid}`, { host, tenant: 'a', segment: 's', addresses: [] }),
  );

function putHost(store: Store, name: string) {
  return store.transaction('t', (tx) =>
    tx.put('host', name, {
      name,
      addresses: [],
      group: null,
      labels: { secret: name },
      ids: [],
      joined: false,
      uid: name,
      createdAt: '',
    }),
  );
}

/** What a subscriber should know. */
function expected(store: Store, { host }: WatchFilter): Map<string, unknown> {
  return store.read((tx) => {
    const all = new Map<string, unknown>();
    for (const kind of kinds) {
      for (const { key, value } of tx.list(kind)) {
        if (host === null && kind === 'sharedpeer') continue;
        const hosted = kind === 'endpoint' || kind === 'sharedpeer';
        if (host !== null && hosted && 'host' in value && value.host !== host) continue;
        all.set(
          `${kind} ${key}`,
          host !== null && kind === 'host' && key !== host ? { ...value, labels: {} } : value,
        );
      }
    }
    return all;
  });
}

test('W1 a stream begins with a snapshot that ends in synced, then changes follow in order', async () => {
  const { store, timers, hub } = setup();
  for (const name of ['a', 'b']) await putTenant(store, name);
  const consumer = new Consumer();
  hub.subscribe(everything, null, consumer);
  assert.equal(consumer.events.length, 0, 'nothing comes before subscribe returned');
  timers.advance(0);
  const types = () => consumer.events.splice(0).map((e) => e.type);
  assert.deepEqual(types(), ['snapshot', 'object', 'object', 'synced']);
  assert.deepEqual(consumer.position, store.position());
  await putTenant(store, 'c');
  await store.transaction('t', (tx) => tx.delete('tenant', 'a'));
  timers.advance(5);
  assert.deepEqual(types(), ['object', 'gone', 'position']);
  assert.deepEqual(consumer.position, store.position());
});

test('W2 resuming at every revision ends in the same state, without a snapshot', async () => {
  const { store, timers, hub } = setup();
  const states: { position: ReturnType<Store['position']>; state: Map<string, unknown> }[] = [];
  for (let i = 0; i < 25; i++) {
    states.push({ position: store.position(), state: expected(store, everything) });
    if (i % 5 === 4) await store.transaction('t', (tx) => tx.delete('tenant', `t${i % 3}`));
    else await putTenant(store, `t${i % 3}`);
  }
  for (const { position, state } of states) {
    const consumer = new Consumer();
    for (const [id, value] of state) consumer.state.set(id, value);
    consumer.position = position;
    hub.subscribe(everything, position, consumer);
    timers.advance(0);
    assert.ok(!consumer.events.some((e) => e.type === 'snapshot'));
    assert.deepEqual(consumer.state, expected(store, everything));
    assert.deepEqual(consumer.position, store.position());
  }
});

test('W3 a position of another incarnation, of the future or before compaction gets a snapshot', async () => {
  const { store, timers, hub } = setup(16);
  for (let i = 0; i < 60; i++) await putTenant(store, `t${i % 5}`);
  const now = store.position();
  for (const since of [
    { incarnation: 'other', revision: now.revision },
    { ...now, revision: now.revision + 1 },
    { ...now, revision: 1 },
  ]) {
    const consumer = new Consumer();
    hub.subscribe(everything, since, consumer);
    timers.advance(0);
    assert.equal(consumer.events[0]?.type, 'snapshot');
    assert.deepEqual(consumer.state, expected(store, everything));
  }
});

test('W3 resuming after a restart of the server continues where it stopped', async () => {
  const { base, store, timers, hub } = setup();
  await putTenant(store, 'a');
  const consumer = new Consumer();
  hub.subscribe(everything, null, consumer);
  timers.advance(0);
  await putTenant(store, 'b');
  hub.close();
  assert.ok(consumer.closed);
  store.close();
  const again = base.open();
  const second = new WatchHub({ store: again, clock: base.clock, timers });
  consumer.reconnect();
  consumer.events.length = 0;
  second.subscribe(everything, consumer.position, consumer);
  timers.advance(0);
  assert.deepEqual(
    consumer.events.map((e) => e.type),
    ['object', 'position'],
  );
  assert.deepEqual(consumer.state, expected(again, everything));
});

test('W4 an agent sees endpoints of its own host only and no labels of other hosts, also when one goes', async () => {
  const { store, timers, hub } = setup();
  const consumer = new Consumer();
  for (const host of ['h1', 'h2']) await putHost(store, host);
  await putEndpoint(store, 'before', 'h2');
  hub.subscribe({ host: 'h1' }, null, consumer);
  timers.advance(0);
  for (const host of ['h1', 'h2']) await putHost(store, host);
  for (const host of ['h1', 'h2']) await putEndpoint(store, `on-${host}`, host);
  timers.advance(5);
  await store.transaction('t', (tx) => tx.delete('endpoint', 'a/s/on-h2'));
  timers.advance(5);
  const text = JSON.stringify(consumer.events);
  assert.ok(text.includes('on-h1'));
  assert.ok(!text.includes('on-h2'));
  assert.ok(!text.includes('before'));
  assert.ok(!text.includes('"secret":"h2"'));
  assert.ok(text.includes('"secret":"h1"'));
  assert.deepEqual(consumer.position, store.position(), 'what it may not see still moves its position');
});

test('W4 a name that moves to another host by removal and creation is gone for the first', async () => {
  const { store, timers, hub } = setup();
  await putEndpoint(store, 'x', 'h1');
  const consumers = ['h1', 'h2'].map((host) => {
    const consumer = new Consumer();
    hub.subscribe({ host }, null, consumer);
    return consumer;
  });
  timers.advance(0);
  await store.transaction('t', (tx) => tx.delete('endpoint', 'a/s/x'));
  await putEndpoint(store, 'x', 'h2');
  timers.advance(5);
  assert.deepEqual(
    consumers.map((c) => c.state.has('endpoint a/s/x')),
    [false, true],
  );
});

test('W5 heartbeats carry the position and only come where nothing else is under way', async () => {
  const { store, timers, hub } = setup();
  await putTenant(store, 'a');
  const idle = new Consumer();
  const stuck = new Consumer(1);
  hub.subscribe(everything, null, idle);
  hub.subscribe(everything, null, stuck);
  timers.advance(0);
  idle.events.length = 0;
  timers.advance(20_000);
  assert.deepEqual(
    idle.events.map((e) => e.type),
    ['position', 'position'],
  );
  assert.deepEqual(idle.position, store.position());
  assert.deepEqual(
    stuck.events.map((e) => e.type),
    ['snapshot'],
  );
});

test('W6 a sink that stays full is told behind and let go; others do not notice', async () => {
  const { store, timers, hub } = setup();
  await putTenant(store, 'a');
  const slow = new Consumer(2);
  const quick = new Consumer();
  hub.subscribe(everything, null, slow);
  hub.subscribe(everything, null, quick);
  timers.advance(0);
  await putTenant(store, 'b');
  timers.advance(29_999);
  assert.ok(!slow.closed);
  assert.deepEqual(quick.state, expected(store, everything));
  timers.advance(1);
  assert.ok(slow.closed);
  assert.equal(slow.events.at(-1)?.type, 'behind');
  assert.equal(hub.size, 1);
  slow.drain();
  assert.ok(!quick.closed);
});

test('W6 a sink that drains in time goes on exactly where it stopped', async () => {
  const { store, timers, hub } = setup();
  for (let i = 0; i < 5; i++) await putTenant(store, `t${i}`);
  const slow = new Consumer(1);
  hub.subscribe(everything, null, slow);
  timers.advance(0);
  for (let i = 0; i < 50 && slow.position === null; i++) {
    await putTenant(store, `t${i % 7}`);
    timers.advance(1000);
    slow.drain(1);
  }
  slow.drain();
  timers.advance(5);
  assert.deepEqual(slow.state, expected(store, everything));
});

test('W6 a subscriber slower than compaction is told behind and comes back with a snapshot', async () => {
  const { store, timers, hub } = setup(16);
  await putTenant(store, 'a');
  const slow = new Consumer();
  hub.subscribe(everything, null, slow);
  timers.advance(0);
  slow.room = 1;
  for (let i = 0; i < 9000; i += 300) {
    await store.transaction('t', (tx) => {
      for (let k = 0; k < 300; k++) tx.put('tenant', `t${k}`, tenant(`t${k}`));
    });
    timers.advance(5);
  }
  slow.drain();
  assert.equal(slow.events.at(-1)?.type, 'behind');
  assert.ok(slow.closed);
  slow.reconnect();
  hub.subscribe(everything, slow.position, slow);
  timers.advance(0);
  assert.deepEqual(slow.state, expected(store, everything));
});

test('W1 what changed while a snapshot was under way never follows in an older state', async () => {
  const { store, timers, hub } = setup();
  await putTenant(store, 'a');
  await putEndpoint(store, 'x', 'h1');
  const slow = new Consumer(2);
  hub.subscribe(everything, null, slow);
  timers.advance(0);
  await putEndpoint(store, 'x', 'h1');
  // More than one batch, so that the two changes of the endpoint are told apart.
  await store.transaction('t', (tx) => {
    for (let i = 0; i < 1200; i++) tx.put('tenant', `t${i}`, tenant(`t${i}`));
  });
  await putEndpoint(store, 'x', 'h1');
  slow.drain();
  timers.advance(0);
  timers.advance(0);
  assert.deepEqual(slow.state, expected(store, everything));
  assert.deepEqual(slow.position, store.position());
});

test('W7 a cancelled subscription hears nothing more, and a closed hub leaves no timer', async () => {
  const { store, timers, hub } = setup();
  const consumer = new Consumer();
  const cancel = hub.subscribe(everything, null, consumer);
  const never = new Consumer();
  hub.subscribe(everything, null, never)();
  timers.advance(0);
  cancel();
  cancel();
  const { length } = consumer.events;
  await putTenant(store, 'a');
  timers.advance(20_000);
  assert.equal(consumer.events.length, length);
  assert.equal(never.events.length, 0);
  assert.ok(!consumer.closed);
  hub.subscribe(everything, null, new Consumer(1));
  timers.advance(0);
  await putTenant(store, 'b');
  hub.close();
  assert.equal(timers.size, 0);
  assert.equal(hub.size, 0);
});

test('W4 shared peers go to the host that they are meant for, to no other and to nobody who sees all endpoints', async () => {
  const { store, timers, hub } = setup();
  await putPeer(store, 'h1', 'before');
  const consumers = ['h1', 'h2', null].map((host) => {
    const consumer = new Consumer();
    hub.subscribe({ host }, null, consumer);
    return consumer;
  });
  timers.advance(0);
  const seen = () => consumers.map(({ state }) => [...state.keys()].map((key) => key.split('/').at(-1)));
  assert.deepEqual(seen(), [['before'], [], []]);
  await putPeer(store, 'h1', 'one');
  await putPeer(store, 'h2', 'other');
  await store.transaction('t', (tx) => tx.delete('sharedpeer', 'h1/a/s/before'));
  timers.advance(10);
  assert.deepEqual(seen(), [['one'], ['other'], []]);
  for (const { position } of consumers) assert.deepEqual(position, store.position());
});

test('W2 a hundred subscribers of all kinds of speed all arrive', async () => {
  const { store, timers, hub } = setup();
  const all = Array.from({ length: 100 }, (_, i) => {
    const filter = { host: i % 3 === 0 ? null : `h${i % 3}` };
    const consumer = new Consumer(1 + (i % 5));
    hub.subscribe(filter, null, consumer);
    return { filter, consumer };
  });
  for (let i = 0; i < 60; i++) {
    await putEndpoint(store, `e${i % 11}`, `h${(i % 11) % 3}`);
    timers.advance(5);
    for (const { consumer } of all) consumer.drain(1 + (i % 4));
  }
  for (const { consumer } of all) consumer.drain();
  timers.advance(5);
  for (const { filter, consumer } of all) {
    assert.deepEqual(consumer.state, expected(store, filter));
    assert.deepEqual(consumer.position, store.position());
  }
});

type Step =
  | { readonly do: 'put' | 'delete' | 'host'; readonly n: number }
  | { readonly do: 'time' | 'drain' | 'cut'; readonly n: number };

test('W2 W4 after any history every subscriber ends with what it may see, and never saw anything else', async () => {
  const step: fc.Arbitrary<Step> = fc.record({
    do: fc.constantFrom('put', 'put', 'delete', 'host', 'time', 'drain', 'cut'),
    n: fc.nat(7),
  });
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { maxLength: 60 }),
      fc.integer({ min: 4, max: 40 }),
      async (steps, keep) => {
        const { base, store, timers, hub } = setup(keep);
        const all = [null, 'h0', 'h1'].map((host) => ({
          filter: { host },
          consumer: new Consumer(2),
          cancel: () => {},
        }));
        const connect = (one: (typeof all)[number], room: number) => {
          one.cancel();
          one.consumer.reconnect(room);
          one.cancel = hub.subscribe(one.filter, one.consumer.position, one.consumer);
        };
        for (const one of all) connect(one, 2);
        for (const { do: what, n } of steps) {
          const one = all[n % all.length]!;
          // Even names live on h0, odd ones on h1: an endpoint never changes its host.
          if (what === 'put') await putEndpoint(store, `e${n}`, `h${n % 2}`);
          if (what === 'put') await putPeer(store, `h${n % 2}`, `${n}`);
          else if (what === 'host') await putHost(store, `h${n % 2}`);
          else if (what === 'delete') {
            await store.transaction('t', (tx) => {
              if (tx.get('endpoint', `a/s/e${n}`) !== undefined) tx.delete('endpoint', `a/s/e${n}`);
            });
          } else if (what === 'time') timers.advance(n * 1000);
          else if (what === 'drain') one.consumer.drain(n + 1);
          else if (!one.consumer.closed) connect(one, n + 1);
        }
        for (const one of all) {
          one.consumer.drain();
          timers.advance(5);
          if (one.consumer.closed) connect(one, Infinity);
          timers.advance(5);
        }
        for (const { filter, consumer } of all) {
          assert.deepEqual(consumer.state, expected(store, filter));
          assert.deepEqual(consumer.position, store.position());
          if (filter.host === null) continue;
          for (const event of consumer.events) {
            if (!('kind' in event) || event.kind !== 'endpoint') continue;
            assert.equal(
              Number(event.key.slice(-1)) % 2,
              Number(filter.host.slice(1)),
              'an endpoint of another host',
            );
          }
        }
        base.dispose();
      },
    ),
    { numRuns: 40 },
  );
});
