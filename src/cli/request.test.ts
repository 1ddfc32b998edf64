import assert from 'node:assert/strict';
import { test } from 'node:test';
import { requestPath } from '#contract/client.ts';
import { routes } from '#contract/generated/routes.ts';
import { operations } from '#contract/operations.ts';
import { UsageError } from './exit.ts';
import { buildRequest } from './request.ts';
import { specs } from './spec.ts';

function parse(line: string, document?: Record<string, unknown>) {
  const [noun = '', verb = '', ...words] = line.split(' ');
  const spec = specs.find((known) => known.noun === noun && known.verb === verb);
  assert.ok(spec, line);
  const options = new Map<string, string[]>();
  let name: string | undefined;
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? '';
    const option = spec.options.find((known) => known.flag === word);
    if (option === undefined) {
      assert.ok(!word.startsWith('--'), `${line}: no option ${word}`);
      name = word;
    } else {
      const value = option.placeholder === null ? 'true' : (words[++i] ?? '');
      options.set(word, [...(options.get(word) ?? []), value]);
    }
  }
  return { spec, parts: buildRequest(spec, { name, options, document }) };
}

/** Command line → request line and body. One row at least for each command of the route table. */
const table: readonly (readonly [string, string, unknown?])[] = [
  [
    'network create v4 --cidr 10.0.0.0/8 --layout 8/8/4/4',
    'POST /v1/networks',
    { name: 'v4', cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
  ],
  [
    'network create out --cidr 203.0.113.0/24 --flat',
    'POST /v1/networks',
    { name: 'out', cidr: '203.0.113.0/24', layout: null },
  ],
  [
    'network create v6 --cidr fd10::/16 --layout 16/16/16/64 --reserved fd10::/32 --reserved fd10:1::/32,fd10:2::/32 --quarantine-seconds 0 --infrastructure allow',
    'POST /v1/networks',
    {
      name: 'v6',
      cidr: 'fd10::/16',
      layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
      reserved: ['fd10::/32', 'fd10:1::/32', 'fd10:2::/32'],
      quarantineSeconds: 0,
      infrastructure: 'allow',
    },
  ],
  ['network list', 'GET /v1/networks'],
  ['network show v4', 'GET /v1/networks/v4'],
  ['network update v4 --reserved  --if-revision 7', 'PATCH /v1/networks/v4?ifRevision=7', { reserved: [] }],
  ['network delete v4 --if-revision 0', 'DELETE /v1/networks/v4?ifRevision=0'],
  [
    'host create h1 --address 192.0.2.1 --address 2001:db8::1 --group rack1 --id 3 --allocator server --label zone=a --label k=v=w',
    'POST /v1/hosts',
    {
      name: 'h1',
      addresses: ['192.0.2.1', '2001:db8::1'],
      group: 'rack1',
      id: 3,
      allocator: 'server',
      labels: { zone: 'a', k: 'v=w' },
    },
  ],
  [
    'host create h1 --address 192.0.2.1 --group ',
    'POST /v1/hosts',
    { name: 'h1', addresses: ['192.0.2.1'], group: null },
  ],
  ['host list', 'GET /v1/hosts'],
  ['host show h1', 'GET /v1/hosts/h1'],
  ['host update h1 --label ', 'PATCH /v1/hosts/h1', { labels: {} }],
  [
    'host update h1 --uplink leaf1=192.0.2.1,2001:db8::1 --uplink leaf2@eth1 --uplink leaf3=192.0.2.3@eth2 --asn 65100',
    'PATCH /v1/hosts/h1',
    {
      uplinks: [
        { device: 'leaf1', addresses: ['192.0.2.1', '2001:db8::1'] },
        { device: 'leaf2', addresses: [], link: 'eth1' },
        { device: 'leaf3', addresses: ['192.0.2.3'], link: 'eth2' },
      ],
      asn: 65100,
    },
  ],
  ['host update h1 --uplink  --asn ', 'PATCH /v1/hosts/h1', { uplinks: [], asn: null }],
  ['host delete h1', 'DELETE /v1/hosts/h1'],
  ['host delete h1 --drain', 'DELETE /v1/hosts/h1?drain=true'],
  ['host delete h1 --dead --if-revision 3', 'DELETE /v1/hosts/h1?ifRevision=3&dead=true'],
  ['host fence h1 --confirm-off', 'POST /v1/hosts/h1/fence', { confirmOff: true }],
  [
    'host add-id h1 --allocator agent --network v4',
    'POST /v1/hosts/h1/ids',
    { allocator: 'agent', network: 'v4' },
  ],
  ['host confirm h1', 'POST /v1/hosts/h1/confirm'],
  [
    'host create h1 --address 192.0.2.1 --growth 128',
    'POST /v1/hosts',
    { name: 'h1', addresses: ['192.0.2.1'], growth: 128 },
  ],
  [
    'host join-token h1 --expires-in-seconds 60 --take-over',
    'POST /v1/hosts/h1/join-tokens',
    { expiresInSeconds: 60, takeOver: true },
  ],
  ['tenant create acme --isolation tenant', 'POST /v1/tenants', { name: 'acme', isolation: 'tenant' }],
  ['tenant list', 'GET /v1/tenants'],
  ['tenant show acme', 'GET /v1/tenants/acme'],
  ['tenant update acme --isolation open', 'PATCH /v1/tenants/acme', { isolation: 'open' }],
  ['tenant add-id acme', 'POST /v1/tenants/acme/ids', {}],
  ['tenant add-id acme --network v4 --id 9', 'POST /v1/tenants/acme/ids', { network: 'v4', id: 9 }],
  ['segment add-id acme/web --id 3', 'POST /v1/tenants/acme/segments/web/ids', { id: 3 }],
  ['tenant delete acme', 'DELETE /v1/tenants/acme'],
  ['segment create web --tenant acme --id 2', 'POST /v1/tenants/acme/segments', { name: 'web', id: 2 }],
  ['segment create acme/web', 'POST /v1/tenants/acme/segments', { name: 'web' }],
  ['segment list --tenant acme', 'GET /v1/segments?tenant=acme'],
  ['segment show acme/web', 'GET /v1/tenants/acme/segments/web'],
  ['segment delete web --tenant acme', 'DELETE /v1/tenants/acme/segments/web'],
  [
    'endpoint create a --tenant acme --segment web --host h1',
    'POST /v1/tenants/acme/segments/web/endpoints',
    { name: 'a', host: 'h1' },
  ],
  [
    'endpoint create acme/web/a --host h1 --address 10.1.1.27 --endpoint-id 11 --network v4 --netns /run/netns/a --source-prefix 10.9.0.0/16',
    'POST /v1/tenants/acme/segments/web/endpoints',
    {
      name: 'a',
      host: 'h1',
      addresses: ['10.1.1.27'],
      endpointId: 11,
      networks: ['v4'],
      attachment: { kind: 'veth-netns', netns: '/run/netns/a' },
      sourcePrefixes: ['10.9.0.0/16'],
    },
  ],
  [
    'endpoint create acme/web/a --host h1 --link tap0',
    'POST /v1/tenants/acme/segments/web/endpoints',
    { name: 'a', host: 'h1', attachment: { kind: 'existing-link', link: 'tap0' } },
  ],
  [
    'endpoint create acme/web/a --host h1 --link v0 --netns /run/netns/a --ifname net1',
    'POST /v1/tenants/acme/segments/web/endpoints',
    {
      name: 'a',
      host: 'h1',
      attachment: { kind: 'existing-netns-peer', link: 'v0', netns: '/run/netns/a', ifname: 'net1' },
    },
  ],
  [
    'endpoint list --tenant acme --segment web --host h1',
    'GET /v1/endpoints?tenant=acme&segment=web&host=h1',
  ],
  ['endpoint show web/a --tenant acme', 'GET /v1/tenants/acme/segments/web/endpoints/a'],
  [
    'endpoint update acme/web/a --detach --source-prefix ',
    'PATCH /v1/tenants/acme/segments/web/endpoints/a',
    { attachment: { kind: 'none' }, sourcePrefixes: [] },
  ],
  ['endpoint delete acme/web/a', 'DELETE /v1/tenants/acme/segments/web/endpoints/a'],
  [
    'token create ci --role viewer --expires-in-seconds 60',
    'POST /v1/tokens',
    { name: 'ci', role: 'viewer', expiresInSeconds: 60 },
  ],
  ['token list', 'GET /v1/tokens'],
  ['token delete ci', 'DELETE /v1/tokens/ci'],
];

for (const [line, wanted, body] of table) {
  test(`romana ${line}`, () => {
    const { spec, parts } = parse(line);
    assert.equal(`${spec.route.method} ${requestPath(spec.route, parts)}`, wanted);
    assert.deepEqual(parts.body, body);
    // And the contract takes it.
    const operation = operations[spec.id];
    if (operation.body !== null) operation.body.parse(parts.body);
    operation.params.parse(parts.params);
    operation.query.parse(parts.query);
  });
}

test('4 every operation with a command stands in the table above', () => {
  const tried = new Set(table.map(([line]) => line.split(' ').slice(0, 2).join(' ')));
  const wanted = Object.values(routes).flatMap((route) => (route.cli === null ? [] : [route.cli.join(' ')]));
  assert.deepEqual(
    wanted.filter((command) => !tried.has(command)),
    [],
  );
});

test('4 no command has two options of one name, nor one that clashes with the common ones', () => {
  const common = [
    '--file',
    '--output',
    '--no-headers',
    '--quiet',
    '--config',
    '--server',
    '--token-file',
    '--ca-file',
    '--help',
  ];
  for (const spec of specs) {
    const flags = [...spec.options.map((option) => option.flag), ...common];
    assert.equal(new Set(flags).size, flags.length, `${spec.noun} ${spec.verb}: ${flags.join(' ')}`);
  }
});

const mistakes: readonly (readonly [string, RegExp])[] = [
  ['tenant show', /name of the tenant is missing/],
  ['tenant show a/b', /not of the form NAME/],
  ['segment create web', /tenant is missing/],
  ['segment create /web', /not of the form TENANT\/NAME/],
  ['segment create acme/web --tenant globex', /acme in the argument, but globex in --tenant/],
  ['endpoint create acme/web/a/b --host h', /not of the form/],
  ['endpoint create acme/web/a', /Missing: --host NAME/],
  ['endpoint create acme/web/a --host h --ifname eth0', /give --netns too/],
  ['endpoint create acme/web/a --host h --endpoint-id x', /not a whole number/],
  ['endpoint create acme/web/a --host h --endpoint-id -1', /not a whole number/],
  ['endpoint create acme/web/a --host h --endpoint-id 9999999999999999999', /not a whole number/],
  ['endpoint update acme/web/a', /Nothing to change: give at least one of --netns/],
  ['endpoint update acme/web/a --detach --link tap0', /cannot go together/],
  ['network create v4 --cidr 10.0.0.0/8 --layout 8/8/4', /not a layout/],
  ['network create v4 --cidr 10.0.0.0/8', /Missing: --layout/],
  ['network create v4 --cidr 10.0.0.0/8 --layout 8/8/4/4 --flat', /--flat cannot go together with --layout/],
  ['network create v4 --cidr 10.0.0.0/8 --layout 8/8/4/4 --infrastructure perhaps', /none of allow, deny/],
  ['host create h --address 192.0.2.1 --label novalue', /not of the form key=value/],
  ['host create h --address 192.0.2.1 --label a=1,a=2', /given twice/],
  ['host create h --address 192.0.2.1 --uplink =192.0.2.1', /not of the form DEVICE/],
  ['host create h --address 192.0.2.1 --uplink leaf1@', /not of the form DEVICE/],
];
for (const [line, message] of mistakes) {
  test(`5 a mistake costs no request: romana ${line}`, () => {
    assert.throws(
      () => parse(line),
      (error) => error instanceof UsageError && message.test(error.message),
    );
  });
}

test('a document gives fields and the parts of the name; options win over it', () => {
  const document = { tenant: 'acme', segment: 'web', name: 'a', host: 'h1', endpointId: 4 };
  const { parts } = parse('endpoint create --host h2', document);
  assert.deepEqual(parts.params, { tenant: 'acme', segment: 'web' });
  assert.deepEqual(parts.body, { name: 'a', host: 'h2', endpointId: 4 });
  assert.equal(document.tenant, 'acme', 'the document itself is not changed');
});

test('a label called __proto__ is a label', () => {
  const { parts } = parse('host update h --label __proto__=x');
  assert.equal(JSON.stringify(parts.body), '{"labels":{"__proto__":"x"}}');
});
