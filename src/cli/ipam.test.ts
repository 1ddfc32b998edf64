/** `romana ipam` and `romana network reserve`: what is asked, what is shown, and the exit status. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { shortAmount } from './commands/ipam.ts';
import { leaksOf } from './commands/ipam-check.ts';
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
const leak = { key: 'a/s/x', uid: 'u', seq: 3 };
const finding = {
  code: 'allocation_without_endpoint',
  message: 'Lost.',
  remedy: 'do',
  objects: ['a/s/x'],
  leak,
};
const report = {
  incarnation: 'i',
  revision: 1,
  at: 't',
  checked: { networks: 1, hosts: 1, endpoints: 0, allocations: 1 },
  findings: [finding],
};

test('check: exit status 1 when something is found, 0 when nothing is; the report is on standard output', async () => {
  const found = await invoke(['ipam', 'check', ...access], answering(report));
  assert.equal(found.code, 1);
  assert.match(found.out, /^allocation_without_endpoint +Lost\. +do$/m);
  const none = await invoke(['ipam', 'check', ...access], answering({ ...report, findings: [] }));
  assert.equal(none.code, 0);
  assert.match(none.out, /^All records agree: 1 allocations/);
  const unknown = [{ host: 'h1', reason: 'it is away' }];
  const away = await invoke(['ipam', 'check', ...access], answering({ ...report, findings: [], unknown }));
  assert.equal(away.code, 0);
  assert.match(away.out, /^unknown: host h1: it is away$/m);
  const json = await invoke(['ipam', 'check', '-o', 'json', ...access], answering(report));
  assert.deepEqual([json.code, JSON.parse(json.out)], [1, report]);
});

test('release: sends each leak of the report once, and says what was skipped', async () => {
  const stdin = JSON.stringify({ ...report, findings: [finding, finding, { ...finding, leak: null }] });
  const answer = { released: [], skipped: [{ key: 'a/s/x', reason: 'the endpoint exists' }] };
  const { code, out, requests } = await invoke(['ipam', 'release', '--from-report', '-', ...access], {
    ...answering(answer),
    stdin,
  });
  assert.deepEqual([code, out], [0, 'a/s/x skipped: the endpoint exists\n']);
  assert.deepEqual(requests, [{ method: 'POST', path: '/v1/ipam/release', body: { leaks: [leak] } }]);
});

test('release: nothing is sent for a file that is no report, or lists no leak', async () => {
  const wrong = await invoke(['ipam', 'release', '--from-report', '-', ...access], {
    ...answering({}),
    stdin: '{}',
  });
  assert.deepEqual([wrong.code, wrong.requests], [2, []]);
  const stdin = JSON.stringify({ ...report, findings: [] });
  const none = await invoke(['ipam', 'release', '--from-report', '-', ...access], {
    ...answering({}),
    stdin,
  });
  assert.deepEqual([none.code, none.out, none.requests], [0, 'The report lists no leak.\n', []]);
  assert.deepEqual(leaksOf({ findings: [finding, { ...finding, leak: { ...leak, seq: 4 } }] }).length, 2);
});

test('show: rows with the blanks of their place, and what the reasons mean', async () => {
  const counts = { size: '16', used: '1', reserved: '0', quarantined: '0', free: '10', stranded: '5' };
  const row = {
    network: 'n',
    group: null,
    host: null,
    tenant: null,
    segment: null,
    cidr: null,
    why: [],
    ...counts,
  };
  const rows = [
    { ...row, level: 'network', why: [{ reason: 'never', count: '5' }] },
    { ...row, level: 'group', group: 'z/r' },
    { ...row, level: 'host', group: 'z/r', host: 'h1' },
    { ...row, level: 'block', host: 'h1', shared: true },
    { ...row, level: 'block', host: 'h1' },
  ];
  const body = { revision: 1, at: 't', reasons: { never: 'an id is 0', spare: 'unseen' }, rows };
  const { out, requests } = await invoke(['ipam', 'show', '--tree', ...access], answering(body));
  assert.match(out, /^n +n +- +16 +1 +0 +0 +10 +5 +never 5$/m);
  assert.match(out, /^ {4}z\/r +n/m);
  assert.match(out, /^ {6}host h1 +n/m);
  assert.match(out, /^ {2}block h1\/shared +n/m);
  assert.match(out, /^ {2}block h1\/\?\/\? +n/m);
  assert.match(out, /never: an id is 0\n$/);
  assert.equal(requests[0]?.path, '/v1/ipam?tree=true&tenants=false&blocks=false');
});

test('large amounts are powers of two, or three digits; small ones are exact', () => {
  assert.deepEqual(['0', '999999999999', String(2n ** 112n), String(2n ** 64n - 1n)].map(shortAmount), [
    '0',
    '999999999999',
    '2^112',
    '1.84e19',
  ]);
});

test('reserve and unreserve send the range in canonical text; a wrong one is refused before', async () => {
  const network = { name: 'n', reserved: ['fd10::/64'] };
  const made = await invoke(
    ['network', 'reserve', 'n', 'fd10:0::/64', '--keep-live', ...access],
    answering(network),
  );
  assert.deepEqual(made.requests, [
    { method: 'POST', path: '/v1/networks/n/reservations', body: { cidr: 'fd10::/64', keepLive: true } },
  ]);
  const back = await invoke(
    ['network', 'unreserve', 'n', '10.0.0.0/24', '--if-revision', '7', ...access],
    answering(network),
  );
  assert.deepEqual(back.requests, [
    { method: 'DELETE', path: '/v1/networks/n/reservations/10.0.0.0%2F24?ifRevision=7' },
  ]);
  const wrong = await invoke(['network', 'reserve', 'n', '10.0.0.1/24', ...access], answering(network));
  assert.deepEqual([wrong.code, wrong.requests], [2, []]);
});
