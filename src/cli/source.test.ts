/** Topology files as a user meets them: every mistake with file, line and column, and no file that takes long or fills the memory. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSource } from './source.ts';
import { invoke } from './testing.ts';

const check = (stdin: string, ...more: string[]) => invoke(['topology', 'check', '-', ...more], { stdin });

const start = `networks:
  - name: v4
    cidr: 10.0.0.0/8
    layout: 8/8/4/4
`;

/** What is wrong → where it is said, and how. */
const wrong: readonly (readonly [what: string, file: string, at: string, message: RegExp])[] = [
  ['an unknown key', `${start}    colour: red\n`, '5:5', /Unknown key "colour"/],
  ['a layout', 'networks:\n  - {name: a, cidr: 10.0.0.0/8, layout: 8/8/4/3}\n', '2:41', /1 unused/],
  [
    'an overlap',
    `${start}  - name: b\n    cidr: 10.9.0.0/16\n    layout: 4/4/4/4\n`,
    '6:11',
    /overlaps network v4/,
  ],
  ['a key twice', `${start}    cidr: 11.0.0.0/8\n`, '5:5', /unique/],
  ['a name twice', `${start}  - name: v4\n    cidr: 11.0.0.0/8\n    layout: 8/8/4/4\n`, '5:11', /twice/],
  [
    'a block mask',
    'networks:\n- name: a\n  cidr: 10.0.0.0/24\n  block_mask: 20\n',
    '4:15',
    /cannot be larger/,
  ],
  ['a whole blackout', `${start}    reserved:\n      - 10.0.0.0/8\n`, '6:7', /leave nothing/],
  [
    'a group twice',
    `${start}topologies:\n  - map:\n      - name: a\n      - name: a\n`,
    '8:9',
    /"a" is there twice/,
  ],
  [
    'labels that match no group',
    `${start}topologies:\n  - map:\n      - {name: a, assignment: {rack: "1"}}\nhosts:\n  - {name: h, ip: 192.0.2.1}\n`,
    '9:5',
    /match no group/,
  ],
  [
    'a group too small for its hosts',
    `${start}topologies:\n  - map:\n      - name: a\n        size: 2\n        hosts:\n          - {name: h, ip: 192.0.2.1}\n          - {name: i, ip: 192.0.2.2}\n`,
    '11:13',
    /no host id left for host i/,
  ],
  [
    'a network in two topologies',
    `${start}topologies:\n  - networks: [v4]\n  - networks: [v4]\n`,
    '7:16',
    /in topology topology1 already/,
  ],
  ['an anchor, at what it stands for', `x: &x {name: A}\nnetworks: [*x]\n`, '1:1', /Unknown key "x"/],
  [
    'JSON',
    '{"networks": [\n  {"name": "v4", "cidr": "10.0.0.1/8", "layout": "8/8/4/4"}\n]}',
    '2:26',
    /host bits/,
  ],
  ['nothing', '', '1:1', /Expected an object/],
];
for (const [what, file, at, message] of wrong) {
  test(`refused with its line and column: ${what}`, async () => {
    const { code, err, out } = await check(file);
    assert.equal(code, 2, out);
    assert.ok(err.startsWith(`error: standard input:${at}: `), err);
    assert.match(err, message);
  });
}

test('every mistake is a line of its own, and an object in JSON', async () => {
  const file = `${start}    a: 1\n    b: 2\n`;
  assert.match((await check(file)).err, /\n {2}standard input:5:5: .*\n {2}standard input:6:5: /);
  const json = JSON.parse((await check(file, '-o', 'json')).err) as { details: { issues: unknown[] } };
  assert.deepEqual(
    json.details.issues.map((issue) => {
      const { file: name, line, column, path } = issue as Record<string, unknown>;
      return [name, line, column, path];
    }),
    [
      ['standard input', 5, 5, 'networks.0.a'],
      ['standard input', 6, 5, 'networks.0.b'],
    ],
  );
});

test('bombs, cycles, deep nests, long files and huge numbers are refused', async () => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (const [from, to] of ['ab', 'bc', 'cd', 'de', 'ef'].map((pair) => pair.split(''))) {
    bomb.push(`${to}: &${to} [${Array.from({ length: 9 }, () => `*${from}`).join(', ')}]`);
  }
  const groups = (text: string) => `${start}topologies:\n  - map: ${text}\n`;
  for (const file of [
    bomb.join('\n'),
    groups('&m [{name: a, groups: *m}]'),
    '['.repeat(20_000),
    '{a: '.repeat(20_000),
    `# ${'x'.repeat(2 ** 20)}`,
    groups('[{name: a, size: 1e308}]'),
    groups(`[{name: a, slots: ${'9'.repeat(400)}}]`),
    groups(`[${'{name: a},'.repeat(20_000)}]`),
    '--- a\n--- b\n',
    '!!js/function "x"',
  ]) {
    const { code, err } = await check(file);
    assert.equal(code, 2, file.slice(0, 60));
    assert.match(err, /^error: standard input/);
    assert.ok(err.length < 30_000);
  }
});

test('the place of a path is that of the nearest thing there is', () => {
  const source = parseSource('a:\n  - b: 1\nc:\n', 'f');
  const at = (path: (string | number)[], key = false) => {
    const { line, column } = source.place(path, key);
    return `${line}:${column}`;
  };
  assert.equal(at(['a', 0, 'b']), '2:8');
  assert.equal(at(['a', 0, 'b'], true), '2:5');
  assert.equal(at(['a', 0, 'x']), '2:5');
  assert.equal(at(['a', 7]), '2:3');
  assert.equal(at(['c']), '3:1');
  assert.equal(at(['nowhere', 'at', 'all']), '1:1');
});

test('check and show ask no server', async () => {
  const file = `${start}topologies:
  - map:
      - {name: r1, routing: block-on-host, hosts: [{name: h1, ip: 192.0.2.1}]}
      - {name: r2}
`;
  const checked = await check(file);
  assert.equal(checked.out, 'standard input is valid: 1 network, 2 groups, 1 host\n');
  assert.match(checked.err, /^note: standard input:7:20: routing is not used/);
  const shown = await invoke(['topology', 'show', '-', '-o', 'json'], { stdin: file });
  assert.deepEqual((JSON.parse(shown.out) as { groups: unknown[] }).groups[0], {
    topology: 'default',
    path: 'r1',
    holds: 'hosts',
    fabric: null,
    devices: [],
    networks: [{ network: 'v4', cidr: '10.0.0.0/9' }],
    hosts: ['h1'],
    hostIds: [{ network: 'v4', host: 'h1', ids: [1] }],
  });
  const table = await invoke(['topology', 'show', '-'], { stdin: file });
  assert.match(
    table.out,
    /^GROUP +NETWORK +AGGREGATE +HOLDS +HOSTS \(HOST ID\)\nr1 +v4 +10\.0\.0\.0\/9 +hosts +h1 \(1\)\n/,
  );
  for (const { requests } of [checked, shown, table]) assert.deepEqual(requests, []);
});
