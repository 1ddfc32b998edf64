import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type TestContext, test } from 'node:test';
import { connect as connectTls, createServer as createTls } from 'node:tls';
import { pathParams } from '#contract/generate/openapi.ts';
import { operationRows } from '#contract/operations.ts';
import { connect } from '#net/https.ts';
import { createAuthority, issueServer, loadAuthority } from '../pki/certificates.ts';
import { furnish, startHarness } from './harness.ts';

async function start(t: TestContext) {
  const server = await startHarness(t);
  await furnish(server.admin);
  const admin = { authorization: `Bearer ${server.file.token}` };
  const post = (path: string, body: string, headers: Record<string, string> = {}) =>
    server.raw({
      method: 'POST',
      path,
      headers: { ...admin, 'content-type': 'application/json', ...headers },
      body,
    });
  const get = (path: string) => server.raw({ method: 'GET', path, headers: admin });
  return { server, admin, post, get };
}

test('what is not JSON, has unknown or wrong fields, or no body is refused with the path of each fault', async (t) => {
  const { server, post } = await start(t);
  const invalid = async (body: string, text: RegExp, headers: Record<string, string> = {}) => {
    const answer = await post('/v1/tenants', body, headers);
    assert.deepEqual([answer.status, answer.body.code], [400, 'input_invalid'], body);
    assert.match(answer.body.message ?? '', text);
  };
  await invalid('{', /not JSON/);
  await invalid('', /expected object/i);
  await invalid('null', /expected object/i);
  await invalid('[]', /expected object/i);
  await invalid('{"__proto__":{"isolation":"open"},"name":"x"}', /not JSON|malformed/);
  await invalid('{"name":"x","colour":"red"}', /unknown field colour/);
  await invalid('{"name":"X"}', /name: /);
  await invalid('{"name":"x","isolation":"none"}', /isolation: /);
  await invalid('name=x', /application\/json/, { 'content-type': 'application/x-www-form-urlencoded' });
  const network = { name: 'n', cidr: '10.0.0.1/8', layout: { host: -1, tenant: 8, segment: 4, endpoint: 4 } };
  const answer = await post('/v1/networks', JSON.stringify(network));
  assert.match(answer.body.message ?? '', /cidr: .*; layout\.host: /);
  assert.equal((await server.admin.tenantList()).items.length, 1);
});

test('a query field that does not exist is refused, not ignored', async (t) => {
  const { get } = await start(t);
  assert.equal((await get('/v1/endpoints?tenant=t1')).status, 200);
  for (const query of ['tennant=t1', 'tenant=t1&tenant=t2', 'tenant=', 'tenant=A'])
    assert.equal((await get(`/v1/endpoints?${query}`)).body.code, 'input_invalid', query);
  assert.equal((await get('/v1/watch?from=a:1')).body.code, 'input_invalid');
  assert.equal((await get('/v1/watch?since=x')).body.code, 'input_invalid');
});

test('a body beyond 1 MiB is refused, announced or not', async (t) => {
  const { server, admin, post } = await start(t);
  const huge = JSON.stringify({ name: 'x'.repeat(1024 * 1024) });
  assert.deepEqual([(await post('/v1/tenants', huge)).status], [413]);
  const chunked = await server.raw({
    method: 'POST',
    path: '/v1/tenants',
    headers: { ...admin, 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
    body: huge,
  });
  assert.deepEqual([chunked.status, chunked.body.code], [413, 'request_too_large']);
  assert.equal((await server.admin.tenantList()).items.length, 1);
});

test('paths that lead nowhere answer in the same form', async (t) => {
  const { server, get } = await start(t);
  for (const path of ['/', '/v2/hosts', '/v1/hosts/h1/x', '/v1//hosts'])
    assert.deepEqual([(await get(path)).status, (await get(path)).body.code], [404, 'not_found'], path);
  assert.equal((await get('/v1/hosts/')).body.code, 'input_invalid', 'an empty name');
  assert.equal((await get('/v1/hosts/%zz')).body.code, 'input_invalid');
  assert.equal((await get(`/v1/hosts/${'x'.repeat(600)}`)).status, 404);
  assert.equal((await get('/v1/hosts/h1%2F..%2Fh2')).body.code, 'input_invalid');
  assert.equal((await server.raw({ method: 'DELETE', path: '/v1/hosts' })).status, 404);
});

test('endpoint names of full length work in paths', async (t) => {
  const { server } = await start(t);
  const name = 'e'.repeat(253);
  const params = { tenant: 't1', segment: 's1' };
  await server.admin.endpointCreate({ params, body: { name, host: 'h1' } });
  assert.equal(
    (await server.admin.endpointShow({ params: { ...params, name } })).addresses[0]?.address,
    '10.1.1.17',
  );
});

test('answers carry what the contract names and no field more', async (t) => {
  const { server, get } = await start(t);
  const { items } = (await get('/v1/tokens')).body as unknown as { items: object[] };
  assert.deepEqual(Object.keys(items[0] ?? {}).sort(), ['createdAt', 'expiresAt', 'name', 'role']);
  const headers = (await get('/v1/tokens')).headers;
  assert.deepEqual([headers['cache-control'], headers['x-content-type-options']], ['no-store', 'nosniff']);
  const deleted = await server.raw({
    method: 'DELETE',
    path: '/v1/tenants/t1/segments/s1',
    headers: { authorization: `Bearer ${server.file.token}`, 'content-type': 'application/json' },
  });
  assert.deepEqual([deleted.status, deleted.text], [204, '']);
});

test('health and the OpenAPI document need no credentials; the document has every route', async (t) => {
  const { server } = await start(t);
  const get = (path: string) => server.raw({ method: 'GET', path });
  assert.deepEqual([(await get('/livez')).status, (await get('/readyz')).status], [200, 200]);
  const document = (await get('/openapi.json')).body as unknown as { paths: Record<string, object> };
  for (const [id, operation] of operationRows) {
    const path = operation.path.replace(/:([A-Za-z]+)/g, '{$1}');
    assert.ok(operation.method.toLowerCase() in (document.paths[path] ?? {}), id);
    assert.deepEqual(pathParams(operation.path), Object.keys(operation.params.shape), id);
  }
});

test('metrics count requests, objects, phases and hosts that are behind', async (t) => {
  const { server, get } = await start(t);
  await server.join('h1');
  await server.admin.endpointCreate({
    params: { tenant: 't1', segment: 's1' },
    body: { name: 'e', host: 'h1' },
  });
  await assert.rejects(server.admin.hostShow({ params: { name: 'zz' } }));
  const { text } = await get('/metrics');
  for (const line of [
    'romana_server_objects{kind="host"} 2',
    'romana_server_endpoints{phase="pending"} 1',
    'romana_server_hosts_behind 1',
    'romana_ipam_addresses{network="net",group="",state="used"} 1',
    'romana_server_watch_subscribers 0',
    'romana_server_requests_total{operation="hostShow",code="not_found"} 1',
    'romana_server_requests_total{operation="endpointCreate",code="ok"} 1',
  ])
    assert.ok(text.includes(`${line}\n`), line);
  assert.match(text, /romana_server_store_revision [1-9]/);
  assert.match(text, /romana_server_process_cpu_seconds_total/);
});

test('TLS 1.1 is refused', async (t) => {
  const { server } = await start(t);
  const port = Number(new URL(server.file.server).port);
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    ca: server.file.ca,
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT:@SECLEVEL=0',
  });
  const [error] = (await once(socket, 'error')) as [Error];
  assert.match(error.message, /version|alert/i);
});

test('a client says what to do when a server is away, foreign, expired or called otherwise', async (t) => {
  const now = Date.now();
  const made = createAuthority(now);
  const authority = loadAuthority(made.certificate, made.key, now);
  const serve = async (names: string[], at: number): Promise<string> => {
    const issued = issueServer(authority, names, at);
    const server = createTls(issued);
    server.on('tlsClientError', () => undefined);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => server.close());
    const address = server.address();
    return `https://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
  };
  const refused = async (server: string, ca: string, text: RegExp) => {
    const connection = connect({ server, ca });
    await assert.rejects(
      connection.transport({ method: 'GET', path: '/' }),
      (error: Error & { code: string }) => {
        assert.equal(error.code, 'unavailable');
        assert.match(error.message, text);
        assert.ok(error.message.includes(server));
        return true;
      },
    );
    connection.close();
  };
  const good = await serve(['127.0.0.1'], now);
  await refused(await serve(['other.example'], now), made.certificate, /for other names/);
  await refused(await serve(['127.0.0.1'], now - 400 * 86_400_000), made.certificate, /has expired/);
  await refused(await serve(['127.0.0.1'], now + 86_400_000), made.certificate, /not valid yet/);
  await refused(good, createAuthority(now).certificate, /another authority/);
  await refused('https://127.0.0.1:1', made.certificate, /nothing listens/);
  for (const server of ['http://127.0.0.1', 'x', 'https://a/b', 'https://u:p@a', ''])
    assert.throws(() => connect({ server, ca: made.certificate }), { code: 'input_invalid' }, server);
  assert.throws(() => connect({ server: good, ca: 'x' }), { code: 'input_invalid' });
  assert.throws(() => connect({ server: good, ca: made.certificate, certificate: { cert: 'x', key: 'y' } }), {
    code: 'input_invalid',
  });
});
