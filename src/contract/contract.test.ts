import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { RomanaError } from '#core/errors.ts';
import { createClient, type InputOf, type TransportAnswer, type TransportRequest } from './client.ts';
import { drift } from './generate.ts';
import { routes } from './generated/routes.ts';
import type * as m from './model.ts';
import { operationRows } from './operations.ts';

function clientOf(answer: TransportAnswer) {
  const sent: TransportRequest[] = [];
  const client = createClient({
    transport: async (request) => {
      sent.push(request);
      return answer;
    },
  });
  return { client, sent };
}

test('generated files are what the contract says', () => {
  assert.deepEqual(drift(), { changed: [], stale: [] });
});

test('the route table has every operation, and every option is read in a known way', () => {
  assert.deepEqual(
    Object.keys(routes),
    operationRows.map(([id]) => id),
  );
  for (const [id, route] of Object.entries(routes)) {
    const options = route.options.map((option) => option.option);
    assert.equal(new Set(options).size, options.length, `${id} has an option twice`);
    for (const option of route.options) assert.equal(option.kind === 'enum', option.choices.length > 0);
  }
  const kinds = Object.fromEntries(routes.networkCreate.options.map((option) => [option.field, option.kind]));
  assert.deepEqual(kinds, {
    name: 'string',
    cidr: 'string',
    layout: 'layout',
    infrastructure: 'enum',
    reserved: 'strings',
    tenants: 'strings',
    quarantineSeconds: 'integer',
  });
});

test('no two operations share method and path', () => {
  const seen = Object.values(routes).map((route) => `${route.method} ${route.path.replace(/:\w+/g, ':')}`);
  assert.equal(new Set(seen).size, seen.length);
});

test('every reference in the OpenAPI document leads somewhere, and every operation is in it', () => {
  const text = readFileSync(new URL('../../docs/openapi.json', import.meta.url), 'utf8');
  const document = JSON.parse(text) as {
    paths: Record<string, Record<string, { operationId: string }>>;
    components: { schemas: Record<string, unknown> };
  };
  for (const [, name] of text.matchAll(/"\$ref": "#\/components\/schemas\/([^"]+)"/g))
    assert.ok(name !== undefined && name in document.components.schemas, name);
  assert.ok(!text.includes('#/$defs/'));
  const ids = Object.values(document.paths).flatMap((item) =>
    Object.values(item).map((one) => one.operationId),
  );
  assert.deepEqual(ids.sort(), [...operationRows.map(([id]) => id), 'watch'].sort());
});

test('requests carry escaped parameters, query and body', async () => {
  const { client, sent } = clientOf({ status: 200, body: { items: [], revision: 1 } });
  await client.endpointList({ query: { tenant: 'a', host: undefined } });
  await client.addressExplain({ params: { address: '2001:db8::1' } });
  await client.networkUpdate({
    params: { name: 'n' },
    query: { ifRevision: 3 },
    body: { infrastructure: 'allow' },
  });
  assert.deepEqual(sent, [
    { method: 'GET', path: '/v1/endpoints?tenant=a' },
    { method: 'GET', path: '/v1/addresses/2001%3Adb8%3A%3A1' },
    { method: 'PATCH', path: '/v1/networks/n?ifRevision=3', body: { infrastructure: 'allow' } },
  ]);
});

test('a parameter that is missing, empty or a dot segment never becomes a path', async () => {
  const { client, sent } = clientOf({ status: 200, body: {} });
  for (const name of ['', '.', '..', undefined]) {
    await assert.rejects(client.hostShow({ params: { name: name as string } }), { code: 'input_invalid' });
  }
  await client.hostShow({ params: { name: '../tenants/t?x#y' } });
  assert.deepEqual(
    sent.map((request) => request.path),
    ['/v1/hosts/..%2Ftenants%2Ft%3Fx%23y'],
  );
});

test('refusals keep code, message and details; unknown codes and strange answers do not pass as success', async () => {
  const full = { code: 'in_use', message: 'm', details: { hosts: ['h'] } };
  await assert.rejects(clientOf({ status: 409, body: full }).client.status(), (error) => {
    assert.ok(error instanceof RomanaError);
    assert.deepEqual([error.code, error.message, error.details], ['in_use', 'm', { hosts: ['h'] }]);
    return true;
  });
  const rejected = async (answer: TransportAnswer, code: string) =>
    assert.rejects(clientOf(answer).client.status(), { code });
  await rejected({ status: 409, body: { code: 'tea', message: 'm' } }, 'internal');
  await rejected({ status: 409, body: { code: 'constructor', message: 'm' } }, 'internal');
  await rejected({ status: 502, body: undefined }, 'unavailable');
  await rejected({ status: 404, body: '<html>' }, 'internal');
  await rejected({ status: 302, body: undefined }, 'internal');
  await rejected({ status: 200, body: undefined }, 'internal');
  await rejected({ status: 200, body: [] }, 'internal');
});

test('204 answers undefined', async () => {
  assert.equal(
    await clientOf({ status: 204, body: undefined }).client.tenantDelete({ params: { name: 'h' } }),
    undefined,
  );
});

/** Type tests: they fail in the type checker. */
export function types(client: ReturnType<typeof createClient>): void {
  const created: Promise<m.Network> = client.networkCreate({
    body: { name: 'n', cidr: '10.0.0.0/8', layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 } },
  });
  const nothing: Promise<undefined> = client.tenantDelete({ params: { name: 'h' } });
  void [created, nothing, client.status(), client.hostList({})];
  // @ts-expect-error parameters are required
  void client.hostShow();
  // @ts-expect-error no such parameter
  void client.hostShow({ params: { host: 'h' } });
  // @ts-expect-error the body is required
  void client.tenantCreate({});
  // @ts-expect-error isolation is one of three
  void client.tenantCreate({ body: { name: 't', isolation: 'none' } });
  const input: InputOf<'hostShow'> = { params: { name: 'h' } };
  void input;
}
