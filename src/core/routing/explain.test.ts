import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { containsAddress, firstAddress, formatCidr, parseAddress, parseCidr } from '../address/index.ts';
import { type Explanation, explainRoute } from './explain.ts';
import type { RoutingInput } from './model.ts';
import { planRouting } from './plan.ts';
import * as t from './testing.ts';
import { ends, planned } from './testing-forward.ts';
import { build, shapes } from './testing-sites.ts';

const networks = [t.network('n4', '10.0.0.0/8'), t.network('n6', 'fd10::/16')];
const root = t.group(
  '',
  { n4: '10.0.0.0/8', n6: 'fd10::/16' },
  {
    devices: [t.device('spine', ['172.16.0.1', 'fd01::1'])],
    groups: [
      t.group(
        'rack1',
        { n4: '10.0.0.0/9', n6: 'fd10::/17' },
        {
          devices: [
            t.device('leaf1a', ['172.17.1.1', 'fd02:1::1']),
            t.device('leaf1b', ['172.17.2.1', 'fd02:2::1']),
          ],
        },
      ),
      t.group(
        'rack2',
        { n4: '10.128.0.0/9', n6: 'fd10:8000::/17' },
        { devices: [t.device('leaf2', ['172.17.3.1', 'fd02:3::1'])] },
      ),
    ],
  },
);
const hosts = [
  t.host('a', 'rack1', ['172.18.0.1', 'fd03::1'], { n4: '10.1.0.0/16', n6: 'fd10:1::/32' }),
  t.host('b', 'rack1', ['172.18.0.2', 'fd03::2'], { n4: '10.2.0.0/16', n6: 'fd10:2::/32' }),
  t.host('c', 'rack2', ['172.18.0.3', 'fd03::3'], { n4: '10.129.0.0/16', n6: 'fd10:8001::/32' }),
  t.host(
    'd',
    'rack2',
    ['172.18.0.4', 'fd03::4'],
    { n4: '10.130.0.0/16', n6: 'fd10:8002::/32' },
    { state: 'fenced' },
  ),
  t.host(
    'e',
    'rack1',
    ['172.18.0.5', 'fd03::5'],
    { n4: '10.3.0.0/16', n6: 'fd10:3::/32' },
    { state: 'lost' },
  ),
];
const input: RoutingInput = t.input(networks, root, hosts);
const explain = (source: string, destination: string, from = input): Explanation =>
  explainRoute(planRouting(from), from, parseAddress(source), parseAddress(destination));
const path = ({ hops }: Explanation): string[] =>
  hops.map(({ at, route, nextHops }) =>
    [at, route === null ? 'default' : formatCidr(route.cidr), ...nextHops.map(({ to }) => to)].join(' '),
  );

describe('the way of a packet', () => {
  it('on one link goes directly, both families', () => {
    for (const [source, destination, cidr] of [
      ['10.1.0.5', '10.2.0.9', '10.2.0.0/16'],
      ['fd10:1::5', 'fd10:2::9', 'fd10:2::/32'],
    ] as const) {
      const way = explain(source, destination);
      assert.deepEqual(path(way), [`a ${cidr} b`, `b ${cidr}`]);
      assert.deepEqual(way.end, { kind: 'delivered', at: 'b', why: { kind: 'own' } });
      assert.deepEqual(way.hops[0]!.route!.why, { kind: 'host', host: 'b' });
    }
  });

  it('between links goes over the devices; of equal ones all are listed and the first is followed', () => {
    const way = explain('10.129.0.1', '10.1.0.1');
    assert.deepEqual(path(way), [
      'c default leaf2',
      'leaf2 default spine',
      'spine 10.0.0.0/9 leaf1a leaf1b',
      'leaf1a 10.1.0.0/16 a',
      'a 10.1.0.0/16',
    ]);
    assert.deepEqual(way.hops[2]!.route!.why, { kind: 'group', topology: 'default', path: 'rack1' });
  });

  it('to what nobody has, or a fenced host, ends at the device that answers for it', () => {
    for (const [destination, at] of [
      ['10.77.0.1', 'leaf1a'],
      ['fd10:77::1', 'leaf1a'],
      ['10.130.0.1', 'leaf2'],
      ['fd10:8002::1', 'leaf2'],
    ] as const) {
      const source = at === 'leaf1a' ? '10.129.0.1' : '10.1.0.1';
      const { end } = explain(source, destination);
      assert.equal(end.kind === 'dropped' && end.at, at);
    }
  });

  it('to a lost host ends at the hosts of its link', () => {
    const { end } = explain('10.1.0.1', '10.3.0.1');
    assert.ok(end.kind === 'dropped' && end.at === 'a' && end.reason.includes('Host e is lost'));
  });

  it('to a foreign address leaves by the default routes; from one it is not described', () => {
    const way = explain('10.1.0.1', '203.0.113.9');
    assert.deepEqual(path(way), ['a default leaf1a leaf1b', 'leaf1a default spine', 'spine default']);
    assert.equal(way.end.kind === 'leaves' && way.end.at, 'spine');
    const foreign = explain('203.0.113.9', '10.1.0.1');
    assert.deepEqual([foreign.from, foreign.hops, foreign.end.kind], [null, [], 'leaves']);
  });

  it('to underlay addresses of hosts and devices ends there', () => {
    const linked = explain('172.18.0.1', '172.18.0.1');
    assert.deepEqual(linked.end, { kind: 'delivered', at: 'a', why: null });
    const { end } = explain('10.1.0.1', '172.16.0.1');
    assert.deepEqual(end, { kind: 'delivered', at: 'spine', why: null });
  });

  it('to a granted route ends at its holder, a single address too', () => {
    for (const granted of ['10.1.1.16/28', '10.1.1.16/32', 'fd10:1:1::/64', 'fd10:1:1::/128']) {
      const moved = {
        ...input,
        hosts: hosts.map((host) => (host.name === 'c' ? { ...host, granted: [parseCidr(granted)] } : host)),
      };
      for (const source of ['10.1.0.1', '10.2.0.1']) {
        const { end } = explain(source, granted.slice(0, granted.indexOf('/')), moved);
        assert.equal(end.kind === 'delivered' && end.at, 'c', granted);
      }
    }
  });

  it('is the one that packets take', () => {
    fc.assert(
      fc.property(shapes(['l2', 'l3-static', 'bgp'], true, 0), fc.nat(), (shape, pick) => {
        const site = build(shape);
        fc.pre(site.hosts.length > 0);
        const plan = planRouting(site);
        const network = planned(site, plan);
        const source = site.hosts[pick % site.hosts.length]!;
        for (const { cidr } of site.hosts.flatMap(({ ranges }) => ranges)) {
          const from = firstAddress(source.ranges[0]!.cidr);
          if (site.hosts.some(({ granted }) => granted.some((each) => containsAddress(each, from)))) continue;
          const { end } = explainRoute(plan, site, from, firstAddress(cidr));
          const said = `${end.kind} ${end.at}`;
          assert.ok(
            ends(network, source.name, firstAddress(cidr)).has(said),
            `${said} ${JSON.stringify(shape)}`,
          );
        }
      }),
      { numRuns: 40 },
    );
  });
});
