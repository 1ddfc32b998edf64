import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Finding } from '#agent/preflight.ts';
import { catalogue, type ErrorCode } from '#core/errors.ts';
import { report } from './commands/check.ts';
import { exitCodeOfCode } from './exit.ts';
import { invoke, type Setting } from './testing.ts';
import type { World } from './world.ts';

const folder = mkdtempSync(join(tmpdir(), 'romana-cli-'));
after(() => rmSync(folder, { recursive: true }));
const pem = '-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n';
let files = 0;
function file(text: string, mode = 0o600): string {
  const path = join(folder, `f${files++}`);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}
const client = file(
  `server: https://192.0.2.1:7443\ntoken: romana_a_secret\nca: |\n  ${pem.replaceAll('\n', '\n  ')}\n`,
);
const ask = (argv: string[], setting: Setting = {}) => invoke([...argv, '--config', client], setting);
const answering = (status: number, body: unknown): Setting => ({ answer: () => ({ status, body }) });

const tenants = {
  items: [
    {
      name: 'acme',
      isolation: 'segment',
      ids: [
        { network: 'v4', id: 1 },
        { network: 'v6', id: 1 },
      ],
      uid: 'u',
      revision: 1,
      createdAt: 't',
    },
    {
      name: 'globex-long',
      isolation: 'open',
      ids: [
        { network: 'v4', id: 2 },
        { network: 'v6', id: 3 },
      ],
      uid: 'u',
      revision: 2,
      createdAt: 't',
    },
  ],
  revision: 2,
};

test('a list is an aligned table whose lines do not end in blanks', async () => {
  const { out, err, code } = await ask(['tenant', 'list'], answering(200, tenants));
  assert.equal(
    out,
    'NAME         ISOLATION  IDS\nacme         segment    1\nglobex-long  open       v4:2, v6:3\n',
  );
  assert.equal(err, '');
  assert.equal(code, 0);
});

test('--no-headers leaves the titles out, -q leaves only names', async () => {
  assert.match((await ask(['tenant', 'list', '--no-headers'], answering(200, tenants))).out, /^acme /);
  assert.equal((await ask(['tenant', 'list', '-q'], answering(200, tenants))).out, 'acme\nglobex-long\n');
});

test('3 with -o json the answer is the object of the API as it is; with yaml the same object', async () => {
  const json = await ask(['tenant', 'list', '-o', 'json'], answering(200, tenants));
  assert.deepEqual(JSON.parse(json.out), tenants);
  const yaml = await ask(['tenant', 'list', '-oyaml'], answering(200, tenants));
  const { parse } = await import('yaml');
  assert.deepEqual(parse(yaml.out), tenants);
});

test('2 an empty list says so and what to do, not on standard output', async () => {
  const { out, err, code } = await ask(['tenant', 'list'], answering(200, { items: [], revision: 0 }));
  assert.equal(out, '');
  assert.match(err, /No tenants. Create one: romana tenant create NAME/);
  assert.equal(code, 0);
});

test('text of an object cannot move the cursor or begin a line', async () => {
  const item = { name: 'a\u001b[2J\nb', role: 'admin', expiresAt: null, createdAt: 't' };
  const { out } = await ask(['token', 'list', '--no-headers'], answering(200, { items: [item] }));
  assert.equal(out, 'a [2J b  admin  never  t\n');
});

test('an object is shown field by field; its name first', async () => {
  const endpoint = {
    tenant: 'acme',
    segment: 'web',
    name: 'a',
    host: 'h1',
    addresses: [{ network: 'v4', address: '10.1.1.27' }],
    attachment: { kind: 'veth-netns', netns: '/run/netns/a', ifname: 'eth0' },
    sourcePrefixes: [],
    phase: 'ready',
    message: '',
    createdAt: 't',
  };
  const { out } = await ask(['endpoint', 'show', 'acme/web/a'], answering(200, endpoint));
  assert.match(
    out,
    /^endpoint: +acme\/web\/a\nhost: +h1\naddresses: +10\.1\.1\.27 \(v4\)\nattachment: +veth-netns \/run\/netns\/a eth0\n/,
  );
  assert.match(out, /\ncreated at: +t\n$/);
  assert.match(out, /\nmessage: +-\n/);
});

test('a token that was just made is what -q prints', async () => {
  const made = { host: 'h1', token: 'romana_j_x', expiresAt: 't' };
  assert.equal((await ask(['host', 'join-token', 'h1', '-q'], answering(201, made))).out, 'romana_j_x\n');
});

test('deletion says what happened; with -o json it says nothing', async () => {
  assert.equal(
    (await ask(['tenant', 'delete', 'acme'], answering(204, undefined))).out,
    'tenant acme deleted\n',
  );
  assert.equal((await ask(['tenant', 'delete', 'acme', '-o', 'json'], answering(204, undefined))).out, '');
});

for (const code of Object.keys(catalogue) as ErrorCode[]) {
  test(`5 the exit code of ${code} follows from the code`, async () => {
    const { status } = catalogue[code];
    const body = { code, message: 'What is wrong.', details: { path: 'x' } };
    const text = await ask(['tenant', 'show', 'acme'], answering(status, body));
    assert.equal(text.code, exitCodeOfCode(code, status));
    assert.notEqual(text.code, 0);
    assert.ok(text.err.startsWith(`error: What is wrong. (${code})\n`), text.err);
    assert.equal(text.out, '');
    const json = await ask(['tenant', 'show', 'acme', '-o', 'json'], answering(status, body));
    assert.deepEqual(JSON.parse(json.err), body);
  });
}

test('5 the documented exit codes', () => {
  const expected: [ErrorCode, number][] = [
    ['not_found', 3],
    ['already_exists', 4],
    ['revision_conflict', 4],
    ['unavailable', 5],
    ['timeout', 5],
    ['unauthenticated', 6],
    ['forbidden', 6],
    ['input_invalid', 1],
    ['block_full', 1],
    ['internal', 1],
  ];
  for (const [code, exit] of expected) assert.equal(exitCodeOfCode(code, catalogue[code].status), exit, code);
});

for (const argv of [
  ['tenant', 'frobnicate'],
  ['frobnicate'],
  ['tenant', 'list', '--frob'],
  ['tenant', 'list', 'extra'],
  ['tenant', 'show'],
  ['tenant', 'list', '-o', 'xml'],
  ['tenant', 'list', '-o'],
  ['tenant'],
  ['tenant', 'show', '..'],
]) {
  test(`5 a mistake in the command line is 2 and asks nothing: romana ${argv.join(' ')}`, async () => {
    const { code, out, err, requests } = await invoke(argv, { env: { ROMANA_CONFIG: client } });
    assert.equal(code, 2);
    assert.equal(out, '');
    assert.match(err, /^(error: .*\n|Usage: )/);
    assert.deepEqual(requests, []);
  });
}

test('options win over the environment, and that over the file; the token goes nowhere else', async () => {
  const tokenFile = file('from-file\n');
  const env = { ROMANA_CONFIG: client, ROMANA_SERVER: 'env-host', ROMANA_TOKEN: 'from-env' };
  const fromEnv = await invoke(['status', '-o', 'json'], { env });
  assert.equal(fromEnv.access?.server, 'https://env-host:7443');
  assert.equal(fromEnv.access.token, 'from-env');
  const fromOptions = await invoke(
    ['status', '-o', 'json', '--server', '[::1]:9', '--token-file', tokenFile],
    { env },
  );
  assert.equal(fromOptions.access?.server, 'https://[::1]:9');
  assert.equal(fromOptions.access.token, 'from-file');
  const fromFile = await invoke(['status', '-o', 'json'], { env: { ROMANA_CONFIG: client } });
  assert.equal(fromFile.access?.token, 'romana_a_secret');
  for (const { out, err } of [fromEnv, fromOptions, fromFile]) assert.doesNotMatch(out + err, /from-|secret/);
});

const badConfigs: readonly (readonly [string, string, number, RegExp])[] = [
  ['read by others', 'server: x\n', 0o644, /may be read by other users.*chmod 600/],
  ['unknown field', 'servr: x\n', 0o600, /unknown field "servr"/],
  ['not text', 'server: 7\n', 0o600, /server must be text/],
  ['not an object', '- a\n', 0o600, /expected an object/],
  ['broken YAML', 'server: "x\n', 0o600, /:\d+:\d+: /],
  ['no server', `token: t\n`, 0o600, /No server is configured/],
  ['no token', `server: x\nca: |\n  ${pem.replaceAll('\n', '\n  ')}\n`, 0o600, /token is missing/],
  ['no authority', 'server: x\ntoken: t\n', 0o600, /authority is missing/],
  ['authority not PEM', 'server: x\ntoken: t\nca: abc\n', 0o600, /not PEM/],
  [
    'plain http',
    `server: http://x\ntoken: t\nca: |\n  ${pem.replaceAll('\n', '\n  ')}\n`,
    0o600,
    /https only/,
  ],
  [
    'token of two lines',
    `server: x\ntoken: "top-secret\\nX-Evil: 1"\nca: |\n  ${pem.replaceAll('\n', '\n  ')}\n`,
    0o600,
    /characters that no token has/,
  ],
];
for (const [title, text, mode, message] of badConfigs) {
  test(`6 a client file is refused, without showing secrets: ${title}`, async () => {
    const { code, err, access } = await invoke(['status', '--config', file(text, mode)]);
    assert.equal(code, 2);
    assert.match(err, message);
    assert.doesNotMatch(err, /top-secret/);
    assert.equal(access, undefined);
  });
}

test('a client file that was named must be there; the usual one need not', async () => {
  assert.match((await invoke(['status', '--config', join(folder, 'none')])).err, /no such file/);
  assert.match((await invoke(['status'])).err, /No server is configured/);
});

test('documents come from files and standard input; mistakes have line and column', async () => {
  const yaml = 'tenant: acme\nname: web\nid: 3\n';
  const made = await ask(['segment', 'create', '-f', '-'], { stdin: yaml });
  assert.deepEqual(made.requests, [
    { method: 'POST', path: '/v1/tenants/acme/segments', body: { name: 'web', id: 3 } },
  ]);
  const json = await ask(['topology', 'apply', file('{"groups": [{"name": "rack1"}]}')]);
  assert.deepEqual(json.requests[0]?.body, { groups: [{ name: 'rack1' }] });
  assert.match((await ask(['topology', 'apply', file('groups:\n  - name: [a\n')])).err, /f\d+:\d+:\d+: /);
  assert.match((await ask(['topology', 'apply', file('a: 1\na: 2\n')])).err, /:2:1: /);
  assert.match((await ask(['topology', 'apply', join(folder, 'none')])).err, /no such file/);
  assert.match((await ask(['topology', 'apply', folder])).err, /directory|object/);
});

test('a document that would blow up by aliases is refused', async () => {
  const rows = ['a: &a [x, x, x, x, x, x, x, x, x]'];
  for (const [from, to] of [
    ['a', 'b'],
    ['b', 'c'],
    ['c', 'd'],
    ['d', 'e'],
    ['e', 'f'],
  ]) {
    rows.push(`${to}: &${to} [${Array.from({ length: 9 }, () => `*${from}`).join(', ')}]`);
  }
  const { code, err, requests } = await ask(['topology', 'apply', '-'], { stdin: rows.join('\n') });
  assert.equal(code, 2);
  assert.match(err, /alias/i);
  assert.deepEqual(requests, []);
});

test('address decode and encode work without a server, both families', async () => {
  const v4 = ['--network', '10.0.0.0/8', '--layout', '8/8/4/4'];
  const v6 = ['--network', 'fd10::/16', '--layout', '16/16/16/64'];
  const decoded = await invoke(['address', 'decode', '10.1.1.27', ...v4, '-o', 'json']);
  assert.deepEqual((JSON.parse(decoded.out) as { ids: unknown }).ids, {
    host: 1,
    tenant: 1,
    segment: 1,
    endpoint: 11,
  });
  const ids = ['--host', '2', '--tenant', '1', '--segment', '1', '--endpoint', '11'];
  assert.equal((await invoke(['address', 'encode', ...v4, ...ids, '-q'])).out, '10.2.1.27\n');
  assert.equal((await invoke(['address', 'encode', ...v6, ...ids, '-q'])).out, 'fd10:2:1:1::b\n');
  assert.equal((await invoke(['address', 'decode', '10.1.1.300', ...v4])).code, 2);
  assert.equal((await invoke(['address', 'decode', '10.1.1.27', '--layout', '8/8/4/4'])).code, 2);
  assert.equal((await invoke(['address', 'decode', '192.0.2.1', ...v4])).code, 3);
});

test('address encode resolves names at the server', async () => {
  const objects: Record<string, unknown> = {
    '/v1/networks/v4': { cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
    '/v1/hosts/h2': {
      ids: [
        { network: 'v6', id: 9 },
        { network: 'v4', id: 2 },
      ],
    },
    '/v1/tenants/acme': { ids: [{ network: 'v4', id: 1 }] },
    '/v1/tenants/acme/segments/web': { ids: [{ network: 'v4', id: 1 }] },
    '/v1/addresses/10.2.1.27': { address: '10.2.1.27' },
  };
  const argv = [
    'address',
    'encode',
    '--network',
    'v4',
    '--host',
    'h2',
    '--tenant',
    'acme',
    '--segment',
    'web',
    '--endpoint',
    '11',
    '-q',
  ];
  const { out } = await ask(argv, {
    answer: ({ path }) => ({ status: path in objects ? 200 : 404, body: objects[path] }),
  });
  assert.equal(out, '10.2.1.27\n');
});

test('the agent is asked on its own socket, never the server', async () => {
  const made = await invoke(['agent', 'endpoint', 'create', 'acme/web/a', '--netns', '/run/netns/a']);
  assert.deepEqual(made.requests, [
    {
      method: 'POST',
      path: '/v1/endpoints',
      body: {
        tenant: 'acme',
        segment: 'web',
        name: 'a',
        attachment: { kind: 'veth-netns', netns: '/run/netns/a' },
      },
    },
  ]);
  const gone = await invoke(['agent', 'endpoint', 'delete', 'acme/web/a'], answering(204, undefined));
  assert.deepEqual(gone.requests, [{ method: 'DELETE', path: '/v1/endpoints/acme/web/a' }]);
  assert.equal(made.access, undefined);
});

test('completion knows commands, options, choices and names', async () => {
  const words = async (...line: string[]) =>
    (
      await invoke(['__complete', '--', ...line], {
        env: { ROMANA_CONFIG: client },
        ...answering(200, tenants),
      })
    ).out
      .split('\n')
      .map((row) => row.split('\t')[0])
      .filter((word) => word !== '');
  assert.deepEqual(await words('ten'), ['tenant']);
  assert.deepEqual(await words('tenant', 's'), ['show']);
  assert.deepEqual(await words('tenant', 'show', ''), ['acme', 'globex-long']);
  assert.deepEqual(await words('endpoint', 'list', '--tenant', 'g'), ['globex-long']);
  assert.deepEqual(await words('tenant', 'create', 'x', '--isolation', 'o'), ['open']);
  assert.deepEqual(await words('tenant', 'create', '--iso'), ['--isolation']);
  assert.deepEqual(await words('tenant', 'list', '-o', 'j'), ['json']);
  assert.deepEqual(await words('__com'), []);
});

test('completion is silent when the server fails or nothing is configured', async () => {
  for (const setting of [{}, { env: { ROMANA_CONFIG: client }, ...answering(500, 'broken') }]) {
    const { out, err, code } = await invoke(['__complete', '--', 'tenant', 'show', ''], setting);
    assert.deepEqual({ out, err, code }, { out: '', err: '', code: 0 });
  }
});

test('agent check shows every finding, and fails only when one refuses', async () => {
  const warn: Finding = { severity: 'warn', code: 'rp_filter', message: 'm', remedy: 'r' };
  const shown: string[] = [];
  const world = { out: (text: string) => void shown.push(text) } as unknown as World;
  await report(world, [warn], {});
  const refusal = report(world, [warn, { ...warn, severity: 'refuse', code: 'no_nft' }], { quiet: true });
  await assert.rejects(refusal, { code: 'preflight_failed', message: /no_nft/ });
  assert.deepEqual(shown, [
    'SEVERITY  CODE       FINDING  REMEDY\nwarn      rp_filter  m        r\n',
    'rp_filter\nno_nft\n',
  ]);
});
