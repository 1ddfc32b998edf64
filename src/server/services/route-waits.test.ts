/** When the route of a new range is everywhere. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BgpReport } from '#contract/model.ts';
import { parseCidr } from '#core/address/index.ts';
import { type Carrier, type NewRange, routeWaits } from './route-waits.ts';

const session = (
  peer: string,
  state: 'established' | 'active' = 'established',
  neighbour = '192.0.2.254',
): BgpReport['sessions'][number] => ({
  peer,
  neighbour,
  asn: 65001,
  state,
  seconds: null,
  prefixesIn: null,
  prefixesOut: null,
  lastError: '',
});
const report = (more: Partial<BgpReport> = {}): BgpReport => ({
  daemon: 'bird',
  up: true,
  version: null,
  sessions: [session('leaf1'), session('leaf2', 'active')],
  announced: ['10.1.0.0/16', '10.4.0.0/16'],
  problem: null,
  ...more,
});
const device = (name: string, kind: Carrier['kind'], confirmed: number | null): Carrier => ({
  what: kind === 'vpc' ? 'vpc' : 'switch',
  name,
  kind,
  confirmed,
});
const waits = (more: Partial<NewRange>): string[] =>
  routeWaits({ cidr: parseCidr('10.4.0.0/16'), revision: 20, carriers: [], bgp: null, ...more });
const bgp = (more: Partial<BgpReport> = {}) => ({ peers: ['leaf1', 'leaf2'], report: report(more) });

test('3 without devices on record an operator speaks for all switches', () => {
  assert.deepEqual(waits({}), ['switches']);
});

test('1 every device that carries the range has to be confirmed, at a revision that has it', () => {
  const carriers = [
    device('leaf1', 'l3-static', null),
    device('leaf2', 'l3-static', 19),
    device('leaf3', 'l2', 20),
    device('spine', 'l3-static', 21),
  ];
  assert.deepEqual(waits({ carriers }), ['switch leaf1', 'switch leaf2']);
  assert.deepEqual(waits({ carriers: carriers.slice(2) }), []);
});

test('1 the tables of a VPC have it once they were found to have that revision', () => {
  assert.deepEqual(waits({ carriers: [device('vpc-1', 'vpc', 19)] }), ['vpc vpc-1']);
  assert.deepEqual(waits({ carriers: [device('vpc-1', 'vpc', 20)] }), []);
});

test('2 a host that speaks BGP confirms by announcing: one established session is enough, the others are down', () => {
  assert.deepEqual(waits({ bgp: bgp() }), []);
  assert.deepEqual(waits({ bgp: bgp({ announced: ['10.4.0.0/15'] }) }), [], 'inside a wider one');
  for (const wrong of [
    { announced: ['10.1.0.0/16'] },
    { announced: ['10.4.0.0/17'] },
    { announced: [] },
    { announced: null },
    { up: false },
    { sessions: [session('leaf1', 'active')] },
    { sessions: [] },
    { sessions: [session('elsewhere')] },
  ])
    assert.deepEqual(waits({ bgp: bgp(wrong) }), ['bgp'], JSON.stringify(wrong));
  assert.deepEqual(waits({ bgp: { peers: ['leaf1'], report: undefined } }), ['bgp']);
});

test('2 a session carries its own family; an unnumbered one both', () => {
  const cidr = parseCidr('fd10:4::/32');
  const over = (neighbour: string) =>
    waits({
      cidr,
      bgp: bgp({
        announced: ['10.4.0.0/16', 'fd10:4::/32'],
        sessions: [session('leaf1', 'established', neighbour)],
      }),
    });
  assert.deepEqual(over('192.0.2.254'), ['bgp']);
  assert.deepEqual(over('fd00::1'), []);
  assert.deepEqual(over('up1'), []);
});

test('2 a BGP device is waited for only where it has an exact configuration of ours', () => {
  const carriers = (confirmed: number | null) => [device('leaf1', 'bgp', confirmed)];
  assert.deepEqual(waits({ bgp: bgp(), carriers: carriers(null) }), []);
  assert.deepEqual(waits({ bgp: bgp(), carriers: carriers(19) }), ['switch leaf1']);
  assert.deepEqual(waits({ bgp: bgp(), carriers: carriers(20) }), []);
});

test('mixed: a BGP host below a static spine waits for both', () => {
  const carriers = [device('leaf1', 'bgp', null), device('spine', 'l3-static', null)];
  assert.deepEqual(waits({ bgp: bgp({ announced: [] }), carriers }), ['bgp', 'switch spine']);
  // A host that speaks no BGP behind a device that does: the device has to be told.
  assert.deepEqual(waits({ carriers }), ['switch leaf1', 'switch spine']);
});
