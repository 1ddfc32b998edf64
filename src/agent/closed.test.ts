/** Which networks an agent takes addresses of: the same choice as the server's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type * as m from '#contract/model.ts';
import { wantedOf } from './endpoints.ts';
import { View } from './view.ts';

const stored = { uid: '', revision: 1, createdAt: '' };
const network = (name: string, cidr: string, tenants?: string[]): m.Network => ({
  name,
  cidr,
  family: 4,
  layout: { host: 6, tenant: 3, segment: 3, endpoint: 4 },
  infrastructure: 'deny',
  reserved: [],
  quarantineSeconds: 30,
  ...(tenants === undefined ? {} : { tenants }),
  ...stored,
});

function slots(tenant: string, networks: readonly m.Network[], wish?: string[]): string[] {
  const view = new View();
  view.take({ type: 'snapshot' });
  const put = (kind: string, key: string, value: unknown) =>
    view.take({ type: 'object', kind, key, value } as Parameters<View['take']>[0]);
  for (const one of networks) put('network', one.name, one);
  const ids = networks.map(({ name, cidr }) => ({ network: name, id: 1, allocator: 'agent' as const, cidr }));
  put('host', 'h1', { name: 'h1', addresses: [], group: null, labels: {}, ids, joined: true, ...stored });
  put('tenant', tenant, { name: tenant, isolation: 'segment', ids: [], ...stored });
  put('segment', `${tenant}/s`, { tenant, name: 's', ids: [], ...stored });
  view.take({ type: 'synced', position: { incarnation: 'x', revision: 1 } });
  const attachment = { kind: 'none' } as const;
  const input = {
    attachment,
    sourcePrefixes: [],
    tenant,
    segment: 's',
    name: 'e',
    ...(wish === undefined ? {} : { networks: wish }),
  };
  return wantedOf(view.state!.objects, 'h1', input).slots.map((slot) => slot.network);
}

const open = network('open', '10.240.0.0/16');
const closed = network('closed', '10.200.0.0/16', ['acme']);

test('a network that names the tenant goes before one that is open to all; a closed one is none', () => {
  assert.deepEqual(slots('acme', [open, closed]), ['closed']);
  assert.deepEqual(slots('other', [closed, open]), ['open']);
  assert.deepEqual(slots('acme', [open, closed], ['open']), ['open']);
});

test('a closed network is refused, by name and when there is no other; never the shared identity of it', () => {
  assert.throws(() => slots('other', [open, closed], ['closed']), { code: 'network_closed' });
  assert.throws(() => slots('other', [closed]), { code: 'network_closed' });
});
