import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { type CutInput, forbiddenFlows } from './cut.ts';
import { computeDesired } from './desired.ts';
import type { Flow } from './rules/ruleset.ts';
import { four, hostOf, machine, type Objects, objectsOf, segmentOf, six, tenantOf } from './testing.ts';

const flow = (source: string, destination: string): Flow => ({
  protocol: 'tcp',
  source,
  destination,
  sourcePort: 1024,
  destinationPort: 80,
});

/** Endpoints of segments a/x, a/y and b/x on this host and on host 2, by family. */
const places = {
  4: {
    ax: '10.1.1.17',
    ax2: '10.1.1.18',
    ay: '10.1.1.33',
    bx: '10.1.2.17',
    remoteAx: '10.2.1.17',
    remoteBx: '10.2.2.17',
    outside: '203.0.113.5',
    host: '192.168.0.1',
    other: '192.168.0.2',
    gateway: '169.254.1.1',
  },
  6: {
    ax: 'fd10:1:1:1::1',
    ax2: 'fd10:1:1:1::2',
    ay: 'fd10:1:1:2::1',
    bx: 'fd10:1:2:1::1',
    remoteAx: 'fd10:2:1:1::1',
    remoteBx: 'fd10:2:2:1::1',
    outside: '2001:db8::5',
    host: 'fd99::1',
    other: 'fd99::2',
    gateway: 'fe80::1',
  },
} as const;
type Place = keyof (typeof places)[4];

function inputOf(isolation: m.Tenant['isolation'], more: Objects = {}): CutInput {
  const objects = objectsOf({
    hosts: [hostOf(1), hostOf(2)],
    tenants: [tenantOf('a', 1, isolation), tenantOf('b', 2)],
    segments: [segmentOf('a', 'x', 1), segmentOf('a', 'y', 2), segmentOf('b', 'x', 1)],
    ...more,
  });
  const { rules } = computeDesired({
    host: 'h1',
    objects,
    endpoints: [],
    facts: machine().kernel.facts(),
    uplinks: [],
    endpointLinks: [],
    mtu: 0,
    guardOthers: { 4: false, 6: false },
  });
  const local = ([4, 6] as const).flatMap((family) =>
    (['ax', 'ax2', 'ay', 'bx'] as const).map((place) => places[family][place]),
  );
  return {
    model: rules.model,
    endpoints: new Set(local),
    own: new Set([places[4].host, places[6].host]),
    gateways: new Set([places[4].gateway, places[6].gateway]),
  };
}

for (const family of [4, 6] as const) {
  const at = (place: Place): string => places[family][place];
  const judged = (input: CutInput, pairs: readonly (readonly [Place, Place])[]): string[] =>
    pairs
      .filter(([from, to]) => forbiddenFlows(input, [flow(at(from), at(to))]).length > 0)
      .map(([from, to]) => `${from} ${to}`);

  const pairs = [
    ['ax', 'ax2'],
    ['ax', 'remoteAx'],
    ['remoteAx', 'ax'],
    ['ax', 'ay'],
    ['ay', 'ax'],
    ['ax', 'bx'],
    ['bx', 'ax'],
    ['ax', 'remoteBx'],
    ['remoteBx', 'ax'],
    ['ax', 'outside'],
    ['outside', 'ax'],
  ] as const;

  test(`IPv${family}: flows of each isolation are cut where the evaluator denies them, and nowhere else`, () => {
    assert.deepEqual(judged(inputOf('segment'), pairs), [
      'ax ay',
      'ay ax',
      'ax bx',
      'bx ax',
      'ax remoteBx',
      'remoteBx ax',
      'outside ax',
    ]);
    assert.deepEqual(judged(inputOf('tenant'), pairs), [
      'ax bx',
      'bx ax',
      'ax remoteBx',
      'remoteBx ax',
      'outside ax',
    ]);
    // b itself is not open: what concerns it needs its consent on this host.
    assert.deepEqual(judged(inputOf('open'), pairs), ['ax bx', 'bx ax']);
  });

  test(`IPv${family}: only passes that this host enforces are asked`, () => {
    const input = { ...inputOf('segment'), endpoints: new Set<string>() };
    assert.deepEqual(judged(input, pairs), []);
    // The destination's host judges what comes in; here only what goes out.
    assert.deepEqual(judged({ ...input, endpoints: new Set([at('ax')]) }, [['ay', 'ax2']]), []);
  });

  test(`IPv${family}: a host always reaches its endpoints, and they their gateway`, () => {
    assert.deepEqual(
      judged(inputOf('segment'), [
        ['host', 'ax'],
        ['host', 'bx'],
        ['ax', 'gateway'],
      ]),
      [],
    );
  });

  test(`IPv${family}: endpoints reach the host only where the infrastructure is allowed or the tenant is open`, () => {
    const pair = [['ax', 'host']] as const;
    assert.deepEqual(judged(inputOf('segment'), pair), ['ax host']);
    assert.deepEqual(judged(inputOf('open'), pair), []);
    const networks = [four, six].map((network) => ({ ...network, infrastructure: 'allow' as const }));
    assert.deepEqual(judged(inputOf('segment', { networks }), pair), []);
  });

  test(`IPv${family}: what has no side in Romana is nobody's business`, () => {
    assert.deepEqual(
      judged(inputOf('segment'), [
        ['outside', 'host'],
        ['outside', 'other'],
        ['other', 'outside'],
      ]),
      [],
    );
  });
}

test('flows are handed back as they came, in their order', () => {
  const denied = [flow('10.1.1.17', '10.1.2.17'), flow('fd10:1:1:1::1', 'fd10:1:2:1::1')];
  const icmp: Flow = {
    ...flow('10.1.2.17', '10.1.1.17'),
    protocol: 'icmp',
    sourcePort: null,
    destinationPort: null,
  };
  const all = [denied[0]!, flow('10.1.1.17', '10.1.1.18'), icmp, denied[1]!];
  assert.deepEqual(forbiddenFlows(inputOf('segment'), all), [denied[0], icmp, denied[1]]);
  assert.deepEqual(forbiddenFlows(inputOf('segment'), []), []);
});

test('without any network nothing is forbidden', () => {
  const input = inputOf('segment', { networks: [] });
  assert.deepEqual(forbiddenFlows({ ...input, endpoints: new Set() }, [flow('10.1.1.17', '10.1.2.17')]), []);
});
