import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { kinds } from '#contract/watch.ts';
import type { FollowedEvent } from '#net/watch.ts';
import { at, endpointOf, four, hostOf, objectsOf, snapshotOf, tenantOf } from './testing.ts';
import { View } from './view.ts';

const put = (value: ReturnType<typeof tenantOf>): FollowedEvent => ({
  type: 'object',
  kind: 'tenant',
  key: value.name,
  value,
});
const gone = (key: string): FollowedEvent => ({ type: 'gone', kind: 'tenant', key });

function full(): View {
  const view = new View();
  for (const event of snapshotOf(objectsOf(), at(10))) view.take(event);
  return view;
}

test('1 nothing is known until the first snapshot is whole', () => {
  const view = new View();
  for (const event of snapshotOf(objectsOf(), at(10))) {
    assert.equal(view.state, null);
    assert.equal(view.toText(), null);
    assert.equal(view.take(event), event.type === 'synced');
  }
  assert.deepEqual(view.state, { position: at(10), objects: objectsOf() });
});

test('1 a snapshot under way is seen by nobody, and one that never ends changes nothing', () => {
  const view = full();
  const before = view.toText();
  assert.equal(view.take({ type: 'snapshot' }), false);
  assert.equal(view.take(put(tenantOf('b', 2))), false);
  assert.equal(view.take(gone('a')), false);
  assert.equal(view.take({ type: 'position', position: at(99) }), false);
  assert.equal(view.toText(), before);
  // The stream broke there; the next one begins anew.
  view.take({ type: 'snapshot' });
  assert.equal(view.take({ type: 'synced', position: at(12) }), true);
  assert.deepEqual(view.state?.position, at(12));
  for (const kind of kinds) assert.equal(view.state?.objects[kind].size, 0, kind);
});

test('a snapshot leaves out what vanished while the stream was down', () => {
  const view = full();
  for (const event of snapshotOf(objectsOf({ hosts: [hostOf(2)] }), at(20))) view.take(event);
  assert.deepEqual([...(view.state?.objects.host.keys() ?? [])], ['h2']);
});

test('a position that says nothing new is no change', () => {
  const view = full();
  assert.equal(view.take({ type: 'position', position: at(10) }), false);
  assert.equal(view.take({ type: 'position', position: at(11) }), true);
  assert.equal(view.take({ type: 'position', position: at(11) }), false);
  assert.equal(view.take({ type: 'position', position: at(11, 'other') }), true);
});

test('2 the last word on a key decides, however often it is said', () => {
  const event = fc.oneof(
    fc
      .record({ name: fc.constantFrom('a', 'b', 'c'), id: fc.integer({ min: 1, max: 3 }) })
      .map(({ name, id }) => put(tenantOf(name, id))),
    fc.constantFrom('a', 'b', 'c').map(gone),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.integer({ min: 1, max: 3 }))), (said) => {
      const once = full();
      const often = full();
      for (const [each, times] of said) {
        once.take(each);
        for (let n = 0; n < times; n++) often.take(each);
      }
      const last = new Map<string, FollowedEvent>([['a', put(tenantOf('a', 1))]]);
      for (const [each] of said) if (each.type === 'object' || each.type === 'gone') last.set(each.key, each);
      const wanted = [...last].filter(([, { type }]) => type === 'object').map(([key]) => key);
      assert.deepEqual([...(once.state?.objects.tenant.keys() ?? [])].sort(), wanted.sort());
      assert.deepEqual(often.state?.objects, once.state?.objects);
      // Said again from the start, as after a resume from an older position.
      const before = once.state?.objects.tenant;
      const again = full();
      for (const [each] of [...said, ...said]) again.take(each);
      assert.deepEqual(again.state?.objects.tenant, before);
    }),
  );
});

test('what was written is read back', () => {
  const view = new View();
  const endpoints = [endpointOf('a/x/e', ['10.1.1.17', 'fd10:1:1:1::1'])];
  for (const event of snapshotOf(objectsOf({ endpoints }), at(7))) view.take(event);
  const again = new View();
  assert.equal(again.load(view.toText() ?? ''), true);
  assert.deepEqual(again.state, view.state);
});

test('a damaged file is refused and leaves nothing', () => {
  const text = full().toText() ?? '';
  const damaged = [
    '',
    'null',
    '[]',
    '"text"',
    text.slice(0, -1),
    text.slice(0, text.length / 2),
    text.replace('"version":1', '"version":2'),
    text.replace('"revision":10}', '"revision":"10"}'),
    text.replace('"incarnation":"inc"', '"incarnation":null'),
    text.replace('"endpoint":[', '"endpoints":['),
    JSON.stringify({ version: 1, position: at(1) }),
    JSON.stringify({ version: 1, position: null, objects: {} }),
  ];
  for (const each of damaged) {
    assert.notEqual(each, text);
    const view = new View();
    assert.equal(view.load(each), false, each.slice(0, 60));
    assert.equal(view.state, null);
  }
});

test('a file cut off at any byte is refused', () => {
  const text = full().toText() ?? '';
  fc.assert(
    fc.property(fc.integer({ min: 0, max: text.length - 1 }), (length) => {
      assert.equal(new View().load(text.slice(0, length)), false);
    }),
  );
});

test('after a load the stream goes on from there', () => {
  const view = new View();
  view.load(full().toText() ?? '');
  assert.equal(view.take(put(tenantOf('b', 2))), true);
  assert.equal(view.take({ type: 'position', position: at(11) }), true);
  assert.deepEqual([...(view.state?.objects.tenant.keys() ?? [])], ['a', 'b']);
});

test('a flat network is none of what a host knows, in a snapshot or after it, and its end changes nothing', () => {
  const flat = (name: string) =>
    ({ type: 'object', kind: 'network', key: name, value: { ...four, name, layout: null } }) as const;
  const view = new View();
  const names = () => [...(view.state?.objects.network.keys() ?? [])];
  view.take({ type: 'snapshot' });
  view.take({ type: 'object', kind: 'network', key: 'four', value: four });
  view.take(flat('outside'));
  view.take({ type: 'synced', position: at(1) });
  assert.deepEqual(names(), ['four']);
  assert.equal(view.take(flat('later')), false);
  view.take({ type: 'gone', kind: 'network', key: 'later' });
  assert.deepEqual(names(), ['four']);
});
