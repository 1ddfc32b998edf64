/** Routes and sessions over the wire: what a client gets is what the contract says, and who may ask and confirm. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startHarness } from './harness.ts';

const leaf = (n: number) => ({
  name: `leaf${n}`,
  platform: 'frr',
  addresses: [`192.168.${n}.1`, `fd00:${n}::1`],
  asn: 65000 + n,
  uplinks: [
    {
      device: 'spine',
      local: [`192.168.0.${n}1`, `fd00::${n}1`],
      remote: [`192.168.0.${n}0`, `fd00::${n}0`],
    },
  ],
});

test('a BGP site: tables, the way between two hosts, exports of every format, sessions, metrics', async (t) => {
  const server = await startHarness(t);
  const { admin } = server;
  await admin.topologyApply({
    body: {
      networks: [
        { name: 'v4', cidr: '10.0.0.0/8', layout: '8/8/4/4' },
        { name: 'v6', cidr: 'fd10::/16', layout: '16/16/16/64' },
      ],
      topologies: [
        {
          fabric: { kind: 'bgp', hostAsn: 65100, passwordFile: '/etc/romana/bgp-password' },
          devices: [
            {
              name: 'spine',
              platform: 'bird',
              addresses: ['192.168.9.1', 'fd00:9::1'],
              asn: 64999,
              budget: 1,
            },
          ],
          map: [1, 2].map((n) => ({ name: `r${n}`, devices: [leaf(n)] })),
        },
      ],
    },
  });
  for (const n of [1, 2]) {
    const addresses = [`192.168.${n}.11`, `fd00:${n}::11`];
    await admin.hostCreate({ body: { name: `h${n}`, addresses, group: `r${n}` } });
  }
  const identity = await server.join('h1');

  const { items, left } = await admin.routeList({ query: {} });
  assert.deepEqual(
    [items.map(({ name, type, fabrics }) => [name, type, ...fabrics].join(' ')), left],
    [['leaf1 device bgp', 'leaf2 device bgp', 'spine device bgp', 'h1 host bgp', 'h2 host bgp'], 0],
  );
  const learned = items.find(({ name }) => name === 'h1')?.routes.filter(({ kind }) => kind === 'learned');
  assert.deepEqual(
    learned?.map(({ cidr, reason }) => `${cidr} ${reason}`),
    ['10.0.0.0/8 network v4', 'fd10::/16 network v6'],
  );

  for (const [source, destination] of [
    ['10.1.1.17', '10.128.1.17'],
    ['fd10:1:1:1::1', 'fd10:8000:1:1::1'],
  ] as const) {
    const way = await admin.routeExplain({ query: { source, destination } });
    // No endpoint has it.
    assert.deepEqual(
      [...way.hops.map(({ at }) => at), way.end.kind],
      ['h1', 'leaf1', 'spine', 'leaf2', 'h2', 'dropped'],
      source,
    );
  }

  for (const format of [
    'iproute2',
    'frr',
    'bird',
    'arista-eos',
    'cisco-ios',
    'juniper-junos',
    'json',
  ] as const) {
    const made = await admin.routeExport({ params: { device: 'leaf1' }, query: { format } });
    assert.equal(made.format, format);
    assert.ok(made.text.length > 100, format);
    if (format !== 'json' && format !== 'iproute2') assert.match(made.text, /ROMANA-BGP-PASSWORD/, format);
    if (format !== 'json') assert.ok(made.text.includes(`revision ${made.revision}`), format);
  }
  assert.equal((await admin.routeExport({ params: { device: 'spine' }, query: {} })).over, true);

  const body = { topologies: [], hosts: [], networks: [] };
  assert.deepEqual((await admin.routeDiff({ body: { networks: [] } })).nodes, []);
  const gone = await admin.routeDiff({
    body: { ...body, topologies: [{ map: [{ name: 'r1' }, { name: 'r2' }] }] },
  });
  assert.deepEqual(
    gone.nodes.filter(({ type }) => type === 'device').map(({ name, presence }) => `${name} ${presence}`),
    ['leaf1 gone', 'leaf2 gone', 'spine gone'],
  );

  const session = {
    peer: 'leaf1',
    neighbour: '192.168.1.1',
    asn: 65001,
    state: 'established' as const,
    seconds: 5,
    prefixesIn: 1,
    prefixesOut: 1,
    lastError: '',
  };
  const bgp = {
    daemon: 'bird' as const,
    up: true,
    version: '2',
    sessions: [session],
    announced: ['10.1.0.0/16'],
    problem: null,
  };
  const report = {
    applied: null,
    acknowledged: null,
    problems: [],
    version: '1',
    holds: 0,
    orphans: [],
    bgp,
  };
  await server.client({ certificate: identity }).hostReport({ params: { name: 'h1' }, body: report });
  const status = await admin.bgpStatus({ query: {} });
  assert.deepEqual(
    status.items.map(({ host, daemon, report: told }) => [host, daemon, told]),
    [
      ['h1', 'bird', bgp],
      ['h2', 'bird', null],
    ],
  );
  const headers = { authorization: `Bearer ${server.file.token}` };
  const { text } = await server.raw({ method: 'GET', path: '/metrics', headers });
  assert.match(text, /^romana_server_bgp_sessions\{host="h1",state="established"\} 1$/m);
  assert.match(text, /^romana_server_bgp_daemon_up\{host="h2",daemon="bird"\} 0$/m);
  assert.match(text, /^romana_server_hosts_lost 0$/m);

  const { token } = await admin.tokenCreate({ body: { name: 'reader', role: 'viewer' } });
  const viewer = server.client({ token });
  const { revision } = await viewer.routeExport({ params: { device: 'leaf1' }, query: {} });
  await assert.rejects(viewer.routeConfirm({ params: { device: 'leaf1' }, body: { revision } }), {
    code: 'forbidden',
  });
  assert.deepEqual(await admin.routeConfirm({ params: { device: 'leaf1' }, body: { revision } }), {
    device: 'leaf1',
    revision,
    active: [],
    pending: [],
  });
});
