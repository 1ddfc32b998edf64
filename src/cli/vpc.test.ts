/** `romana vpc`: what is asked, what is shown. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { VpcPlan, VpcStatus } from '#contract/vpc.ts';
import { invoke, type Setting } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'romana-cli-'));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, 'client.yaml');
const pem = '-----BEGIN CERTIFICATE-----\n  MA==\n  -----END CERTIFICATE-----\n';
writeFileSync(config, `server: https://192.0.2.1:7443\ntoken: romana_a_secret\nca: |\n  ${pem}`, {
  mode: 0o600,
});
const access = ['--config', config];
const answering = (body: unknown): Setting => ({ answer: () => ({ status: 200, body }) });

const use = [{ family: 4 as const, limit: 49, routes: 2, foreign: 1 }];
const routers = [
  {
    host: 'h2',
    instance: 'i-2',
    zone: 'eu-test-1a',
    health: 'fit' as const,
    ranges: [{ cidr: '10.64.0.0/10', hosts: 9 }],
  },
];
const problem = { code: 'no_instance', message: 'No instance has an address of host h9.', about: 'h9' };
const plan: VpcPlan = {
  items: [
    {
      region: 'eu-test-1',
      vpc: 'vpc-1',
      at: '2026-01-01T00:00:00.000Z',
      tables: [
        {
          table: 'rtb-a',
          use,
          routes: [
            {
              cidr: '10.1.0.0/16',
              target: 'eni-1',
              host: 'h1',
              kind: 'host',
              why: 'the range of host h1',
              action: 'keep',
              from: 'eni-1',
            },
            {
              cidr: '10.64.0.0/10',
              target: 'eni-2',
              host: 'h2',
              kind: 'router',
              why: '9 hosts',
              action: 'replace',
              from: 'eni-3',
            },
          ],
          remove: [{ cidr: '10.7.0.0/16', target: 'eni-7' }],
          foreign: [{ cidr: '10.8.0.0/16', target: 'nat-1' }],
        },
      ],
      routers,
      checks: [{ host: 'h1', instance: 'i-1', interface: 'eni-1' }],
      problems: [problem],
    },
  ],
};

test('plan: every route with its reason, what goes, what others have, room, routers and problems', async () => {
  const { code, out, err, requests } = await invoke(['vpc', 'plan', ...access], answering(plan));
  assert.equal(code, 0);
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    ['GET /v1/vpc/plan'],
  );
  assert.equal(
    out.replaceAll(/ +\n/g, '\n'),
    `VPC vpc-1 in eu-test-1
TABLE  DESTINATION   TARGET  HOST  ACTION   WHY
rtb-a  10.1.0.0/16   eni-1   h1    keep     the range of host h1
rtb-a  10.64.0.0/10  eni-2   h2    replace  9 hosts
rtb-a  10.7.0.0/16   eni-7   -     remove   nothing needs it any more
rtb-a  10.8.0.0/16   nat-1   -     foreign  of somebody else, never touched

TABLE  FAMILY  ROUTES  LIMIT  FOREIGN
rtb-a  IPv4    2       49     1

ROUTER  INSTANCE  ZONE        HEALTH  RANGE         HOSTS
h2      i-2       eu-test-1a  fit     10.64.0.0/10  9
The source/destination check of eni-1 (host h1) is to be switched off.
`,
  );
  assert.equal(err, 'problem: no_instance: No instance has an address of host h9.\n');
});

test('plan --changes: only what differs; -q: destinations; --no-headers: rows; json: all', async () => {
  const changes = await invoke(['vpc', 'plan', '--changes', '--no-headers', ...access], answering(plan));
  assert.deepEqual(
    changes.out.split('\n').map((line) => line.split(/ +/)[4]),
    ['replace', 'remove', undefined],
  );
  const quiet = await invoke(['vpc', 'plan', '-q', ...access], answering(plan));
  assert.equal(quiet.out, '10.1.0.0/16\n10.64.0.0/10\n10.7.0.0/16\n10.8.0.0/16\n');
  const json = await invoke(['vpc', 'plan', '-o', 'json', ...access], answering(plan));
  assert.deepEqual(JSON.parse(json.out), plan);
});

const status: VpcStatus = {
  items: [
    {
      region: 'eu-test-1',
      vpc: 'vpc-1',
      writer: true,
      readAt: '2026-01-01T00:00:10.000Z',
      settledAt: '2026-01-01T00:00:00.000Z',
      drift: 1,
      quota: null,
      tables: [{ table: 'rtb-a', use, drift: 1 }],
      routers,
      problems: [problem],
      lastError: {
        at: '2026-01-01T00:00:10.000Z',
        action: 'CreateRoute',
        code: 'RouteLimitExceeded',
        message: 'Full',
      },
      calls: { made: 20, throttled: 2, failed: 1 },
      written: { created: 5, replaced: 1, deleted: 0 },
    },
  ],
};

test('status: how it stands, room, routers, problems and the last error', async () => {
  const { code, out, requests } = await invoke(['vpc', 'status', ...access], answering(status));
  assert.equal(code, 0);
  assert.deepEqual(
    requests.map(({ method, path }) => `${method} ${path}`),
    ['GET /v1/vpc/status'],
  );
  for (const line of [
    /^VPC vpc-1 in eu-test-1: 1 change outstanding; read 2026-01-01T00:00:10.000Z, last as planned 2026-01-01T00:00:00.000Z$/m,
    /^Quota: not known\. Calls: 20 made, 2 throttled, 1 failed\. Routes: 5 created, 1 replaced, 0 deleted\.$/m,
    /^rtb-a +IPv4 +2 +49 +1 *$/m,
    /^h2 +i-2 +eu-test-1a +fit +10\.64\.0\.0\/10 +9 *$/m,
    /^problem: no_instance: /m,
    /^last error: 2026-01-01T00:00:10.000Z CreateRoute: RouteLimitExceeded: Full$/m,
  ])
    assert.match(out, line);
});

test('status of a server that does not write, and of one that has not looked yet', async () => {
  const [item] = status.items;
  const shown = async (more: object) =>
    (await invoke(['vpc', 'status', ...access], answering({ items: [{ ...item, ...more }] }))).out;
  const unread = {
    readAt: null,
    settledAt: null,
    drift: null,
    tables: [],
    routers: [],
    problems: [],
    lastError: null,
  };
  assert.match(
    await shown({ ...unread, writer: false }),
    /vpc-1 in eu-test-1: another server keeps the tables, or none has begun\n/,
  );
  assert.match(await shown(unread), /vpc-1 in eu-test-1: not read yet\n/);
  assert.match(await shown({ drift: 0 }), /as planned; read /);
});

test('without a VPC it says how to state one', async () => {
  for (const verb of ['plan', 'status']) {
    const { code, out, err } = await invoke(['vpc', verb, ...access], answering({ items: [] }));
    assert.deepEqual([code, out], [0, '']);
    assert.match(err, /^No VPC: .*docs\/vpc\.md/);
  }
});
