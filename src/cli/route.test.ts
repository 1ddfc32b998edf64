/** `romana route`: what is asked, what is shown, where the secret goes, and the exit status. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type {
  RouteConfirmation,
  RouteDiff,
  RouteExplanation,
  RouteExport,
  RouteList,
  RouteTable,
} from '#contract/routing-model.ts';
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

const leaf: RouteTable = {
  name: 'leaf1',
  type: 'device',
  fabrics: ['l3-static'],
  topology: 'default',
  group: 'r1',
  routes: [
    {
      cidr: '10.0.0.0/10',
      kind: 'drop',
      nextHops: [],
      why: { kind: 'own' },
      reason: 'its own part: what nobody below has is dropped',
    },
    {
      cidr: '10.1.0.0/16',
      kind: 'static',
      nextHops: [
        { address: '192.168.1.11', to: 'h1', link: 'swp1' },
        { address: '192.168.2.11', to: 'h1', link: null },
      ],
      why: { kind: 'host', host: 'h1' },
      reason: 'range of host h1',
    },
  ],
  gateways: [{ address: '192.168.0.10', to: 'spine', link: null }],
  budget: 1,
  problems: [{ code: 'host_unreachable', message: 'No way to h9.', about: 'leaf1' }],
};
const host: RouteTable = { ...leaf, name: 'h1', type: 'host', gateways: [], budget: null, problems: [] };
const answer = (...items: RouteTable[]): RouteList => ({ revision: 7, items, left: 0 });

test('list: one table with next hops and reasons; the default route comes last; problems are told beside', async () => {
  const { code, out, err, requests } = await invoke(
    ['route', 'list', '--device', 'leaf1', ...access],
    answering(answer(leaf)),
  );
  assert.equal(code, 0);
  assert.deepEqual(requests, [{ method: 'GET', path: '/v1/routes?device=leaf1' }]);
  assert.deepEqual(out.split('\n'), [
    'PREFIX       VIA                                   LINK  KIND    WHY',
    '10.0.0.0/10  -                                     -     drop    its own part: what nobody below has is dropped',
    '10.1.0.0/16  192.168.1.11 (h1), 192.168.2.11 (h1)  swp1  static  range of host h1',
    'default      192.168.0.10 (spine)                  -     site    everything else',
    '',
  ]);
  assert.match(err, /^warning: leaf1: 2 routes of 1: more than it has room for/m);
  assert.match(err, /^problem: device leaf1: No way to h9\.$/m);
});

test('list: several tables name whose each route is; what is left out is said; json and -q', async () => {
  const body = { ...answer(leaf, host), left: 3 };
  const { out, err } = await invoke(['route', 'list', ...access], answering(body));
  assert.match(out, /^AT +PREFIX/);
  assert.match(out, /^h1 +10\.1\.0\.0\/16 /m);
  assert.match(err, /^3 more hosts or devices/m);
  const json = await invoke(['route', 'list', 'h1', '-o', 'json', ...access], answering(body));
  assert.deepEqual([JSON.parse(json.out), json.requests[0]?.path], [body, '/v1/routes?host=h1']);
  const quiet = await invoke(['route', 'list', 'h1', '-q', ...access], answering(answer(host)));
  assert.equal(quiet.out, '10.0.0.0/10\n10.1.0.0/16\n');
  const none = await invoke(['route', 'list', ...access], answering(answer()));
  assert.deepEqual([none.code, none.out], [0, '']);
});

const made: RouteExport = {
  device: 'leaf1',
  format: 'frr',
  revision: 7,
  routes: 2,
  budget: 64,
  over: false,
  problems: [],
  text: 'neighbor 192.0.2.1 password ROMANA-BGP-PASSWORD\n',
};
const exporting = ['route', 'export', '--device', 'leaf1'];

test('export: the configuration alone on standard output; how much room it takes, and how to confirm it, beside', async () => {
  const { code, out, err, requests } = await invoke(
    [...exporting, '--format', 'frr', ...access],
    answering(made),
  );
  assert.deepEqual([code, out], [0, made.text]);
  assert.deepEqual(requests, [{ method: 'GET', path: '/v1/devices/leaf1/routes?format=frr' }]);
  assert.match(err, /^leaf1: 2 routes of 64, revision 7$/m);
  assert.match(err, /--password-file/);
  assert.match(err, /romana route export --device leaf1 --confirm 7$/m);
  const quiet = await invoke([...exporting, '-q', ...access], answering(made));
  assert.deepEqual([quiet.out, quiet.err], [made.text, '']);
});

test('export: more routes than room is exit status 1, with the whole configuration all the same', async () => {
  const { code, out, err } = await invoke(
    [...exporting, ...access],
    answering({ ...made, routes: 65, over: true }),
  );
  assert.deepEqual([code, out], [1, made.text]);
  assert.match(err, /65 routes of 64: more than it has room for/);
});

test('export: the password comes from a file and is sent to nobody; one that would need quotes is not shown', async () => {
  const secret = join(folder, 'password');
  writeFileSync(secret, 's3cret$&x\n');
  const wrong = await invoke([...exporting, '--password-file', secret, ...access], answering(made));
  assert.deepEqual([wrong.code, wrong.requests], [2, []]);
  assert.doesNotMatch(wrong.err, /s3cret/);
  writeFileSync(secret, 's3cret%x\n');
  const { out, err, requests } = await invoke(
    [...exporting, '--password-file', secret, ...access],
    answering(made),
  );
  assert.equal(out, 'neighbor 192.0.2.1 password s3cret%x\n');
  assert.doesNotMatch(JSON.stringify(requests) + err, /s3cret|PASSWORD/);
  const json = await invoke(
    [...exporting, '--password-file', secret, '-o', 'json', ...access],
    answering(made),
  );
  assert.equal((JSON.parse(json.out) as RouteExport).text, out);
  const missing = await invoke(
    [...exporting, '--password-file', join(folder, 'none'), ...access],
    answering(made),
  );
  assert.deepEqual([missing.code, missing.requests], [2, []]);
});

test('confirm: tells the revision, and says what can be used now and what still waits', async () => {
  const body: RouteConfirmation = {
    device: 'leaf1',
    revision: 7,
    active: ['h1'],
    pending: [{ host: 'h2', cidr: '10.5.0.0/16', waitingFor: ['h3', 'switch spine'] }],
  };
  const { code, out, requests } = await invoke([...exporting, '--confirm', '7', ...access], answering(body));
  assert.equal(code, 0);
  assert.deepEqual(requests, [{ method: 'POST', path: '/v1/devices/leaf1/confirm', body: { revision: 7 } }]);
  assert.deepEqual(out.split('\n'), [
    'leaf1 has the routes of revision 7',
    'host h1: its further host ids can be used',
    'host h2: 10.5.0.0/16 waits for h3, switch spine',
    '',
  ]);
});

test('mistakes in the command line cost no request', async () => {
  for (const argv of [
    ['route', 'export'],
    [...exporting, '--format', 'nxos'],
    [...exporting, '--confirm', 'seven'],
    [...exporting, '--confirm'],
    [...exporting, '--confirm', '7', '--format', 'frr'],
  ]) {
    const { code, out, requests } = await invoke([...argv, ...access], answering(made));
    assert.deepEqual([code, out, requests], [2, '', []], argv.join(' '));
  }
});

// --- explain

const place = { address: '10.1.1.17', what: 'endpoint a/s/x', host: 'h1' };
const hop1 = { address: '192.168.1.1', to: 'leaf1', link: null };
const range = {
  cidr: '10.2.0.0/16',
  nextHops: [],
  why: { kind: 'own' as const },
  reason: 'its own range: what no endpoint has is dropped',
};

test('explain: a line for each hop, equal next hops beside the one that is followed, the end and the notes', async () => {
  const body: RouteExplanation = {
    revision: 7,
    source: place,
    destination: { ...place, address: '10.2.1.17', host: 'h2' },
    hops: [
      { at: 'h1', type: 'host', route: null, nextHops: [hop1, { ...hop1, to: 'leaf2' }] },
      { at: 'h2', type: 'host', route: range, nextHops: [] },
    ],
    end: { kind: 'delivered', at: 'h2', reason: 'It is there.' },
    notes: ['Not yet.'],
  };
  const { code, out, requests } = await invoke(
    ['route', 'explain', 'a/s/x', '10.2.1.17', ...access],
    answering(body),
  );
  assert.equal(code, 0);
  assert.equal(requests[0]?.path, '/v1/routes/explain?source=a%2Fs%2Fx&destination=10.2.1.17');
  assert.match(out, /^from 10\.1\.1\.17 \(endpoint a\/s\/x\)$/m);
  assert.match(
    out,
    /^1 +host h1 +default +192\.168\.1\.1 \(leaf1\), or 192\.168\.1\.1 \(leaf2\) +default route of the site$/m,
  );
  assert.match(out, /^2 +host h2 +10\.2\.0\.0\/16 +- +its own range/m);
  assert.match(out, /^delivered at h2: It is there\.\nnote: Not yet\.\n$/m);
  const json = await invoke(['route', 'explain', 'h1', 'h2', '-o', 'json', ...access], answering(body));
  assert.deepEqual(JSON.parse(json.out), body);
});

// --- diff

const topology = join(folder, 'topology.yaml');
writeFileSync(topology, 'groups:\n  - name: r1\n');
const counts = { devices: 1, hosts: 0, added: 1, removed: 1, changed: 2, left: 0, blocked: null };
const static1 = {
  ...range,
  cidr: '10.3.0.0/16',
  kind: 'static' as const,
  nextHops: [hop1],
  reason: 'range of host h3',
};
const node: RouteDiff['nodes'][number] = {
  name: 'leaf1',
  type: 'device',
  presence: 'both',
  added: [static1],
  removed: [{ ...static1, cidr: '10.4.0.0/16' }],
  changed: [
    { before: static1, after: { ...static1, kind: 'drop', nextHops: [] } },
    { before: { ...static1, cidr: '10.5.0.0/16', kind: 'bgp' }, after: { ...static1, cidr: '10.5.0.0/16' } },
  ],
  sessions: { added: ['h3 192.168.1.13'], removed: [], changed: [] },
  budget: 8,
  routes: 3,
};

test('diff: what comes, goes and changes on each device, with what it has room for; exit status 0', async () => {
  const body: RouteDiff = { revision: 7, nodes: [node], ...counts };
  const { code, out, requests } = await invoke(['route', 'diff', topology, ...access], answering(body));
  assert.equal(code, 0);
  assert.deepEqual(requests, [
    { method: 'POST', path: '/v1/routes/diff', body: { groups: [{ name: 'r1' }] } },
  ]);
  assert.deepEqual(out.split('\n'), [
    'device leaf1',
    '  -  10.4.0.0/16  192.168.1.1 (leaf1)                 range of host h3',
    '  ~  10.3.0.0/16  192.168.1.1 (leaf1) -> drop         range of host h3',
    '  ~  10.5.0.0/16  192.168.1.1 (leaf1): bgp -> static  range of host h3',
    '  +  10.3.0.0/16  192.168.1.1 (leaf1)                 range of host h3',
    '  + BGP session h3 192.168.1.13',
    '  3 routes of 8',
    '1 route added, 1 removed, 2 changed, on 1 device and 0 hosts',
    '',
  ]);
  const other = await invoke(['route', 'diff', topology, '--device', 'leaf2', ...access], answering(body));
  assert.deepEqual([other.code, other.out], [0, '']);
});

test('diff: no room on a device, or hosts in the way, is exit status 1', async () => {
  const full: RouteDiff = { revision: 7, nodes: [{ ...node, routes: 9 }], ...counts };
  const { code, out } = await invoke(['route', 'diff', topology, ...access], answering(full));
  assert.equal(code, 1);
  assert.match(out, /9 routes of 8: more than it has room for/);
  const blocked = {
    ...full,
    nodes: [],
    blocked: { hosts: [{ name: 'h1', from: 'r1', to: null }], endpoints: [], endpointCount: 0 },
  };
  const stopped = await invoke(['route', 'diff', topology, ...access], answering(blocked));
  assert.deepEqual([stopped.code, stopped.out], [1, '']);
  assert.match(stopped.err, /blocked host h1: its host ids would move \(group r1 to -\)/);
});

test('diff --against: what changed for a device since it was exported as json, sessions too', async () => {
  const exportedFile = join(folder, 'leaf1.json');
  const route = (prefix: string, ...hops: unknown[]) => ({ prefix, nextHops: hops, why: { kind: 'own' } });
  const neighbour = { name: 'h1', address: '192.168.1.11', link: null, asn: 64_900, password: false };
  const bgp = (statics: unknown[], neighbours: unknown[], asn = 65_111) => ({ asn, statics, neighbours });
  const [own, h1, h9] = [
    route('10.0.0.0/10'),
    route('10.1.0.0/16', hop1),
    { ...route('10.9.0.0/16', hop1), why: { kind: 'host', host: 'h9' } },
  ];
  const old = { device: 'leaf1', routes: [own, h1, h9], bgp: bgp([h1, h9], [neighbour]) };
  writeFileSync(exportedFile, JSON.stringify(old));
  const against = ['route', 'diff', '--against', exportedFile];
  const now = (document: object): Setting =>
    answering({ device: 'leaf1', format: 'json', revision: 9, text: JSON.stringify(document) });
  const other = { ...hop1, address: '192.168.1.12' };
  const { code, out, requests } = await invoke(
    [...against, ...access],
    now({ ...old, routes: [own, route('10.1.0.0/16', other)], bgp: null }),
  );
  assert.equal(code, 0);
  assert.deepEqual(requests, [{ method: 'GET', path: '/v1/devices/leaf1/routes?format=json' }]);
  assert.match(out, /^ {2}- +10\.9\.0\.0\/16 +192\.168\.1\.1 \(leaf1\) +range of host h9$/m);
  assert.match(out, /^ {2}~ +10\.1\.0\.0\/16 +192\.168\.1\.1 \(leaf1\) -> 192\.168\.1\.12 \(leaf1\)/m);
  assert.match(out, /^ {2}- BGP session h1 192\.168\.1\.11$/m);
  assert.match(out, /^ {2}~ BGP asn: 65111 -> -$/m);
  assert.match(out, /^0 routes added, 1 removed, 1 changed, on 1 device and 0 hosts$/m);

  // The routes stay, and the device has another AS number, a password, and learns what it was configured with.
  const secret = { ...neighbour, password: true };
  const told = await invoke([...against, ...access], now({ ...old, bgp: bgp([h9], [secret], 65_112) }));
  assert.match(told.out, /^ {2}~ +10\.1\.0\.0\/16 +192\.168\.1\.1 \(leaf1\): static -> bgp/m);
  assert.match(told.out, /^ {2}~ BGP session h1 192\.168\.1\.11$/m);
  assert.match(told.out, /^ {2}~ BGP asn: 65111 -> 65112$/m);

  const turned = {
    ...old,
    routes: old.routes.map((one) => ({ ...one, nextHops: one.nextHops.toReversed() })),
  };
  const same = await invoke(['route', 'diff', '--against', '-', ...access], {
    ...now(old),
    stdin: JSON.stringify({ format: 'json', text: JSON.stringify(turned) }),
  });
  assert.deepEqual([same.code, same.out], [0, '']);
  for (const wrong of [
    [...against, '--device', 'leaf2'],
    [...against.slice(0, 2), topology, ...against.slice(2)],
    ['route', 'diff', '--against', topology],
    ['route', 'diff'],
  ]) {
    const refused = await invoke([...wrong, ...access], now(old));
    assert.deepEqual([refused.code, refused.requests], [2, []], wrong.join(' '));
  }
});

test('completion knows hosts, devices of every topology and group, and formats', async () => {
  const device = (name: string) => ({ name, platform: 'frr' });
  const shown = {
    groups: [{ name: 'r1', devices: [device('leaf1')], groups: [{ name: 's', devices: [device('leaf2')] }] }],
    devices: [device('spine')],
    further: [{ groups: [], devices: [device('edge')] }],
    aggregates: [],
    revision: 1,
  };
  const hosts = { items: [{ name: 'h1' }, { name: 'x1' }], revision: 1 };
  const words = async (...line: string[]) => {
    const answer = ({ path }: { path: string }) => ({
      status: 200,
      body: path.startsWith('/v1/topology') ? shown : hosts,
    });
    const { out } = await invoke(['__complete', '--', ...line], { env: { ROMANA_CONFIG: config }, answer });
    return out.split('\n').flatMap((row) => (row === '' ? [] : [row.split('\t')[0]]));
  };
  assert.deepEqual(await words('route', 'list', 'h'), ['h1']);
  assert.deepEqual(await words('bgp', 'status', ''), ['h1', 'x1']);
  assert.deepEqual(await words('route', 'export', '--device', ''), ['spine', 'leaf1', 'leaf2', 'edge']);
  assert.deepEqual(await words('route', 'list', '--device', 'l'), ['leaf1', 'leaf2']);
  assert.deepEqual(await words('route', 'export', '--format', 'a'), ['arista-eos']);
});
