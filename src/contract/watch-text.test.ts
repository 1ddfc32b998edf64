import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { RomanaError } from '#core/errors.ts';
import { kinds, type WatchEvent } from './watch.ts';
import { createWatchParser, encodeWatchEvent, formatPosition, parsePosition } from './watch-text.ts';

const position = fc.record(
  {
    incarnation: fc.stringMatching(/^[-A-Za-z0-9_.]{1,64}$/),
    revision: fc.maxSafeNat(),
  },
  { noNullPrototype: true },
);
const event = fc.oneof(
  fc.constantFrom({ type: 'snapshot' }, { type: 'behind' }),
  fc.record({ type: fc.constantFrom('synced', 'position'), position }),
  fc.record({
    type: fc.constant('gone'),
    kind: fc.constantFrom(...kinds),
    key: fc.string({ unit: 'binary' }),
  }),
  fc.record({
    type: fc.constant('object'),
    kind: fc.constantFrom(...kinds),
    key: fc.string(),
    value: fc.dictionary(fc.string(), fc.string({ unit: 'binary' }), { noNullPrototype: true }),
  }),
) as fc.Arbitrary<WatchEvent>;

test('what is encoded is read back, however the text is cut', () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 8 }),
      fc.array(fc.nat(400), { maxLength: 20 }),
      (events, cuts) => {
        const text = `:comment\n\n${events.map(encodeWatchEvent).join('')}`;
        const got: WatchEvent[] = [];
        const push = createWatchParser(10_000, (one) => got.push(one));
        const ends = [...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
        let from = 0;
        for (const end of ends) {
          push(text.slice(from, end));
          from = end;
        }
        // -0 and the like do not survive JSON
        assert.deepEqual(got, JSON.parse(JSON.stringify(events)));
      },
    ),
    { numRuns: 200 },
  );
});

test('positions survive their text form; anything else is refused', () => {
  fc.assert(
    fc.property(position, (p) => assert.deepEqual(parsePosition(formatPosition(p)), p)),
    { numRuns: 200 },
  );
  for (const text of [
    '',
    ':',
    'a',
    'a:',
    ':1',
    'a:-1',
    'a:01',
    'a:1e3',
    'a:1 ',
    'a b:1',
    'a:9999999999999999',
    'a:1:2',
  ])
    assert.throws(() => parsePosition(text), RomanaError, text);
});

test('events and kinds of a later version are skipped, malformed ones are errors', () => {
  const read = (data: string): WatchEvent[] => {
    const got: WatchEvent[] = [];
    createWatchParser(1000, (one) => got.push(one))(`data: ${data}\r\n\r\n`);
    return got;
  };
  assert.deepEqual(read('{"type":"weather"}'), []);
  assert.deepEqual(read('{"type":"object","kind":"policy","key":"p","value":{}}'), []);
  assert.deepEqual(read('{"type":"gone","kind":"constructor","key":"p"}'), []);
  for (const data of [
    '{',
    '1',
    'null',
    '[]',
    '{}',
    '{"type":1}',
    '{"type":"synced"}',
    '{"type":"position","position":{"incarnation":"a","revision":-1}}',
    '{"type":"position","position":{"incarnation":"a","revision":1.5}}',
    '{"type":"object","kind":"host","key":"h"}',
    '{"type":"object","kind":"host","key":"h","value":null}',
    '{"type":"object","kind":"host","value":{}}',
    '{"type":"gone","key":"h"}',
  ])
    assert.throws(() => read(data), RomanaError, data);
});

test('a frame beyond the limit is an error before it is memory, with and without line ends', () => {
  const endless = createWatchParser(1000, () => assert.fail());
  assert.throws(() => {
    for (let i = 0; i < 100; i += 1) endless('x'.repeat(100));
  }, RomanaError);
  const many = createWatchParser(1000, () => assert.fail());
  assert.throws(() => {
    for (let i = 0; i < 100; i += 1) many(`data: ${'x'.repeat(100)}\n`);
  }, RomanaError);
});
