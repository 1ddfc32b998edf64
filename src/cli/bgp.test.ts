/** `romana bgp status`: what is asked, and what is shown of hosts that are well and of those that are not. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { BgpHost, BgpStatus } from '#contract/routing-model.ts';
import { span } from './commands/bgp.ts';
import { invoke, type Setting } from './testing.ts';

const folder = mkdtempSync(join(tmpdir(), 'romana-cli-'));
after(() => rmSync(folder, { recursive: true }));
const config = join(folder, 'client.yaml');
const pem = '-----BEGIN CERTIFICATE-----\n  MA==\n  -----END CERTIFICATE-----\n';
writeFileSync(config, `server: https://192.0.2.1:7443\ntoken: romana_a_secret\nca: |\n  ${pem}`, {
  mode: 0o600,
});
const access = ['--config', config];
const answering = (body: BgpStatus): Setting => ({ answer: () => ({ status: 200, body }) });

const session = {
  peer: 'leaf1',
  neighbour: '192.0.2.254',
  asn: 65001,
  state: 'established' as const,
  seconds: 3725,
  prefixesIn: 3,
  prefixesOut: 1,
  lastError: '',
};
const report = {
  daemon: 'bird' as const,
  up: true,
  version: '2.17',
  sessions: [session],
  announced: null,
  problem: null,
};
const item = (host: string, more: Partial<BgpHost> = {}): BgpHost => ({
  host,
  group: null,
  daemon: 'bird',
  seenAt: 't',
  ageSeconds: 9,
  report,
  ...more,
});

test('a line for each session; hosts that are silent, or whose daemon is, have theirs; the exit status is 0', async () => {
  const down = { ...report, up: false, sessions: [], problem: 'BIRD does not answer; start it.' };
  const held = {
    ...report,
    sessions: [{ ...session, state: 'active' as const, seconds: null, lastError: 'refused\n' }],
    problem: 'Old.',
  };
  const items = [
    item('h1'),
    item('h2', { report: down }),
    item('h3', { report: null, daemon: 'frr' }),
    item('h4', { report: held }),
    item('h5', { report: { ...report, sessions: [] } }),
  ];
  const { code, out, requests } = await invoke(['bgp', 'status', ...access], answering({ items }));
  assert.equal(code, 0);
  assert.deepEqual(requests, [{ method: 'GET', path: '/v1/bgp' }]);
  assert.match(out, /^HOST +DAEMON +PEER +NEIGHBOUR +AS +STATE +SINCE +IN +OUT +LAST ERROR$/m);
  assert.match(out, /^h1 +bird 2\.17 +leaf1 +192\.0\.2\.254 +65001 +established +1h2m +3 +1 +-$/m);
  assert.match(out, /^h2 +bird 2\.17 +- +- +- +daemon down .*BIRD does not answer; start it\.$/m);
  assert.match(out, /^h3 +frr +- +- +- +never reported$/m);
  assert.match(out, /^h4 .* active +- +3 +1 +refused$/m);
  assert.match(out, /^h5 +bird 2\.17 +- +- +- +no session$/m);
  assert.match(out, /\n\nhost h4: Old\.\n$/);
  const late = await invoke(
    ['bgp', 'status', ...access],
    answering({ items: [item('h1', { ageSeconds: 125 })] }),
  );
  assert.match(late.out, /^host h1: told 2m5s ago; its agent has been silent since\.$/m);
});

test('one host: asked for by name; json is the answer as it is; -q names hosts', async () => {
  const body = { items: [item('h1')] };
  const json = await invoke(['bgp', 'status', 'h1', '-o', 'json', ...access], answering(body));
  assert.deepEqual([JSON.parse(json.out), json.requests[0]?.path], [body, '/v1/bgp?host=h1']);
  assert.equal((await invoke(['bgp', 'status', '-q', ...access], answering(body))).out, 'h1\n');
});

test('nobody speaks BGP: nothing on standard output, and how to begin', async () => {
  const none = await invoke(['bgp', 'status', ...access], answering({ items: [] }));
  assert.deepEqual([none.code, none.out], [0, '']);
  assert.match(none.err, /topology file/);
});

test('spans have two units at most', () => {
  assert.deepEqual([0, 59, 60, 125, 3600, 90061, 864000].map(span), [
    '0s',
    '59s',
    '1m',
    '2m5s',
    '1h',
    '1d1h',
    '10d',
  ]);
});
