import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { diffPlans } from './diff.ts';
import { planRouting } from './plan.ts';
import * as t from './testing.ts';
import { build, shapes } from './testing-sites.ts';

const networks = [t.network('n4', '10.0.0.0/8'), t.network('n6', 'fd10::/16')];
const site = (
  hosts: Parameters<typeof t.input>[2],
  fabric: Parameters<typeof t.group>[2] = {},
): ReturnType<typeof planRouting> =>
  planRouting(
    t.input(
      networks,
      t.group(
        '',
        { n4: '10.0.0.0/8', n6: 'fd10::/16' },
        {
          devices: [t.device('spine', ['172.16.0.1', 'fd01::1'], { asn: 65_000 })],
          ...fabric,
        },
      ),
      hosts,
    ),
  );
const host = (n: number, more = {}): ReturnType<typeof t.host> =>
  t.host(`h${n}`, '', [`172.18.0.${n}`, `fd03::${n}`], { n4: `10.${n}.0.0/16`, n6: `fd10:${n}::/32` }, more);

describe('the difference of two plans', () => {
  it('of a plan to itself is none', () => {
    fc.assert(
      fc.property(shapes(['l2', 'l3-static', 'bgp'], true, 0), (shape) => {
        const diff = diffPlans(planRouting(build(shape)), planRouting(build(shape)));
        assert.deepEqual(diff, { nodes: [], devices: 0, hosts: 0, added: 0, removed: 0, changed: 0 });
      }),
      { numRuns: 30 },
    );
  });

  it('names what is added, removed and led elsewhere, devices first; the way back is its mirror', () => {
    const before = site([host(1), host(2)]);
    const moved = { ...host(2), addresses: host(9).addresses };
    const after = site([host(1), moved, host(4)]);
    const diff = diffPlans(before, after);
    assert.deepEqual(
      diff.nodes.map(({ name, kind, presence }) => [name, kind, presence]),
      [
        ['spine', 'device', 'both'],
        ['h1', 'host', 'both'],
        ['h2', 'host', 'both'],
        ['h4', 'host', 'new'],
      ],
    );
    const [spine] = diff.nodes;
    assert.deepEqual(t.show(spine!.added), ['10.4.0.0/16 via h4@172.18.0.4', 'fd10:4::/32 via h4@fd03::4']);
    assert.deepEqual(t.show(spine!.changed.map((each) => each.after)), [
      '10.2.0.0/16 via h2@172.18.0.9',
      'fd10:2::/32 via h2@fd03::9',
    ]);
    assert.deepEqual([diff.devices, diff.hosts], [1, 3]);
    const back = diffPlans(after, before);
    assert.deepEqual([back.added, back.removed, back.changed], [diff.removed, diff.added, diff.changed]);
    assert.equal(back.nodes.at(-1)?.presence, 'gone');
    assert.deepEqual(
      diffPlans(before, after, new Set(['h1'])).nodes.map(({ name }) => name),
      ['h1'],
    );
  });

  it('names the sessions that come, go, and are told something else', () => {
    const bgp = { fabric: t.bgp() };
    const diff = diffPlans(site([host(1), host(2)], bgp), site([host(2, { granted: [] }), host(3)], bgp));
    const spine = diff.nodes.find(({ name }) => name === 'spine')!;
    assert.deepEqual(spine.sessions, {
      added: ['h3 172.18.0.3', 'h3 fd03::3'],
      removed: ['h1 172.18.0.1', 'h1 fd03::1'],
      changed: [],
    });
    const wider = { ...host(2), ranges: [...host(2).ranges, ...host(7).ranges] };
    const grown = diffPlans(site([host(2)], bgp), site([wider], bgp));
    assert.deepEqual(
      grown.nodes.map(({ name, sessions }) => [name, sessions.changed]),
      [
        ['spine', ['h2 172.18.0.2', 'h2 fd03::2']],
        ['h2', ['spine 172.16.0.1', 'spine fd01::1']],
      ],
    );
  });

  it('tells what has to be configured from now on where it was told over BGP, though every packet goes as before', () => {
    const before = site([host(1)], { fabric: t.bgp() });
    const after = site([host(1)], { fabric: t.l3Static });
    const spine = diffPlans(before, after).nodes.find(({ name }) => name === 'spine');
    assert.deepEqual(t.show(spine!.changed.map((each) => each.after)), [
      '10.1.0.0/16 via h1@172.18.0.1',
      'fd10:1::/32 via h1@fd03::1',
    ]);
    assert.deepEqual([spine!.added, spine!.removed], [[], []]);
  });
});
