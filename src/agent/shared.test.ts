/** What an agent makes of the shared identity: knowledge in, policy model out. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import type { SharedPeer } from '#contract/watch.ts';
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { computeDesired, type WiredEndpoint } from './desired.ts';
import { FakeKernel } from './drivers/iproute2/fake-kernel.ts';
import { View } from './view.ts';

const stored = { uid: '', revision: 1, createdAt: '' };
const network = (name: string, cidr: string, layout: m.Network['layout']): m.Network => ({
  name,
  cidr,
  family: cidr.includes(':') ? 6 : 4,
  layout,
  infrastructure: 'deny',
  reserved: [],
  quarantineSeconds: 30,
  ...stored,
});
const v4 = network('v4', '10.0.0.0/8', { host: 8, tenant: 8, segment: 4, endpoint: 4 });
const v6 = network('v6', 'fd10::/16', { host: 16, tenant: 16, segment: 16, endpoint: 64 });
const host: m.Host = {
  name: 'h1',
  addresses: ['192.0.2.1'],
  group: null,
  labels: {},
  ids: [
    { network: 'v4', id: 1, allocator: 'agent', cidr: '10.1.0.0/16' },
    { network: 'v6', id: 1, allocator: 'agent', cidr: 'fd10:1::/32' },
  ],
  joined: true,
  ...stored,
};
const peer = (segment: string, ...addresses: string[]): SharedPeer => ({
  host: 'h1',
  tenant: 'acme',
  segment,
  addresses: addresses.map((address) => ({ network: address.includes(':') ? 'v6' : 'v4', address })),
  revision: 1,
});
const wired = (key: string, ...addresses: string[]): WiredEndpoint => ({
  key,
  uid: key,
  tenant: key.split('/')[0]!,
  placed: addresses.map((address) => ({
    network: address.includes(':') ? 'v6' : 'v4',
    address: parseAddress(address),
  })),
  attachment: { kind: 'none' },
  sourcePrefixes: [],
});

/** Shared addresses of acme's segments, as the policy model has them. */
function sharedOf(peers: readonly SharedPeer[], endpoints: readonly WiredEndpoint[], networks = [v4, v6]) {
  const view = new View();
  view.take({ type: 'snapshot' });
  const put = (kind: string, key: string, value: unknown) =>
    view.take({ type: 'object', kind, key, value } as Parameters<View['take']>[0]);
  for (const one of networks) put('network', one.name, one);
  put('host', 'h1', host);
  put('tenant', 'acme', { name: 'acme', isolation: 'segment', ids: [], ...stored });
  for (const name of ['web', 'db'])
    put('segment', `acme/${name}`, { tenant: 'acme', name, ids: [], ...stored });
  for (const [n, one] of peers.entries()) put('sharedpeer', `h1/acme/${one.segment}/${n}`, one);
  view.take({ type: 'synced', position: { incarnation: 'x', revision: 1 } });
  const kernel = new FakeKernel();
  kernel.addAddress('lo', '192.0.2.1/32');
  const { rules, problems } = computeDesired({
    host: 'h1',
    objects: view.state!.objects,
    endpoints,
    facts: kernel.facts(),
    uplinks: ['eth0'],
    endpointLinks: ['rom*'],
    mtu: 1500,
    guardOthers: { 4: false, 6: false },
  });
  assert.deepEqual(problems, []);
  assert.deepEqual(
    rules.model.networks.map(({ name }) => name),
    networks.map(({ name }) => name),
  );
  return Object.fromEntries(
    rules.model.tenants[0]!.segments.map(({ name, shared = [] }) => [name, shared.map(formatAddress)]),
  );
}

test("own endpoints are known before the control plane tells of them, others' as it tells; encoded addresses are no part of it", () => {
  assert.deepEqual(
    sharedOf(
      [peer('web', '10.2.0.7', 'fd10:2::7'), peer('db', '10.3.0.1')],
      [wired('acme/web/1', '10.1.0.5', 'fd10:1::5'), wired('acme/db/1', '10.1.1.17')],
    ),
    { web: ['10.1.0.5', '10.2.0.7', 'fd10:1::5', 'fd10:2::7'], db: ['10.3.0.1'] },
  );
});

test("of its own ranges the host believes itself: an address that changed hands here is its new owner's alone", () => {
  assert.deepEqual(sharedOf([peer('web', '10.1.0.5')], [wired('acme/db/1', '10.1.0.5')]), {
    web: [],
    db: ['10.1.0.5'],
  });
  assert.deepEqual(sharedOf([peer('web', '10.1.0.6')], []), { web: [], db: [] });
});

test('one family alone is enough', () => {
  assert.deepEqual(sharedOf([peer('web', '10.2.0.7')], [wired('acme/web/1', '10.1.0.5')], [v4])['web'], [
    '10.1.0.5',
    '10.2.0.7',
  ]);
  assert.deepEqual(sharedOf([peer('web', 'fd10:2::7')], [wired('acme/web/1', 'fd10:1::5')], [v6])['web'], [
    'fd10:1::5',
    'fd10:2::7',
  ]);
});
