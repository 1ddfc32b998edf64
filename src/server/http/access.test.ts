import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import { operationRows } from '#contract/operations.ts';
import { furnish, startHarness } from './harness.ts';

const values: Record<string, string> = {
  name: 'h1',
  tenant: 't1',
  segment: 's1',
  address: '10.1.1.17',
};
const pathOf = (template: string): string =>
  template.replace(/:([A-Za-z]+)/g, (_, field: string) => values[field] ?? 'x');

async function callers(t: TestContext) {
  const server = await startHarness(t);
  await furnish(server.admin);
  const viewer = await server.admin.tokenCreate({ body: { name: 'v', role: 'viewer' } });
  const h1 = await server.join('h1');
  const h2 = await server.join('h2');
  return { server, viewer: viewer.token, h1, h2 };
}

test('every operation answers 401 to nobody and to wrong credentials, before it looks at the request', async (t) => {
  const { server } = await callers(t);
  for (const [id, operation] of operationRows) {
    if (operation.access === 'any') continue;
    const path = pathOf(operation.path);
    const nobody = await server.raw({ method: operation.method, path });
    assert.deepEqual([nobody.status, nobody.body.code], [401, 'unauthenticated'], id);
  }
  for (const path of ['/v1/watch', '/metrics'])
    assert.equal((await server.raw({ method: 'GET', path })).status, 401, path);
  for (const authorization of [
    'Bearer',
    'Bearer x',
    'Basic YTpi',
    `Bearer ${server.file.token}x`,
    server.file.token,
  ]) {
    for (const path of ['/v1/hosts', '/v1/whoami', '/v1/watch', '/metrics']) {
      const wrong = await server.raw({ method: 'GET', path, headers: { authorization } });
      assert.deepEqual([wrong.status, wrong.body.code], [401, 'unauthenticated'], `${path} ${authorization}`);
    }
  }
});

test('every operation answers 403 to the wrong role', async (t) => {
  const { server, viewer, h2 } = await callers(t);
  const admin = { authorization: `Bearer ${server.file.token}` };
  for (const [id, operation] of operationRows) {
    const request = { method: operation.method, path: pathOf(operation.path) };
    const refused = async (
      who: string,
      extra: Parameters<typeof server.raw>[0] extends infer R ? Partial<R> : never,
    ) => {
      const answer = await server.raw({ ...request, ...extra });
      assert.deepEqual([answer.status, answer.body.code], [403, 'forbidden'], `${id} as ${who}`);
    };
    if (operation.access === 'admin')
      await refused('viewer', { headers: { authorization: `Bearer ${viewer}` } });
    // the agent of another host: neither its host's operations nor those of people
    if (operation.access !== 'any') await refused('agent of h2', { certificate: h2 });
    if (operation.access === 'agent') await refused('admin', { headers: admin });
  }
  assert.equal((await server.raw({ method: 'GET', path: '/metrics', certificate: h2 })).status, 403);
});

test('roles may do what the table says', async (t) => {
  const { server, viewer, h1 } = await callers(t);
  assert.deepEqual(await server.admin.whoami(), { kind: 'token', name: 'admin', role: 'admin' });
  assert.deepEqual(await server.client({ token: viewer }).whoami(), {
    kind: 'token',
    name: 'v',
    role: 'viewer',
  });
  assert.deepEqual(await server.client({ certificate: h1 }).whoami(), {
    kind: 'host',
    name: 'h1',
    role: 'agent',
  });
  assert.deepEqual(await server.client({}).whoami(), { kind: 'anonymous', name: 'anonymous', role: 'none' });
  assert.equal((await server.client({ token: viewer }).hostList()).items.length, 2);
  const report = { applied: null, version: '1' };
  assert.deepEqual(
    await server.client({ certificate: h1 }).hostReport({ params: { name: 'h1' }, body: report }),
    { rejected: [], live: 'digest' },
  );
});

test('a certificate decides, not a token sent beside it', async (t) => {
  const { server, h2 } = await callers(t);
  const both = server.client({ certificate: h2, token: server.file.token });
  await assert.rejects(both.hostCreate({ body: { name: 'x', addresses: ['192.0.2.9'] } }), {
    code: 'forbidden',
  });
});

test('every mutation leaves an audit line without secrets, refused ones too', async (t) => {
  const { server, viewer } = await callers(t);
  await assert.rejects(server.client({ token: viewer }).tenantDelete({ params: { name: 't1' } }));
  const issued = await server.admin.tokenCreate({ body: { name: 'x', role: 'viewer' } });
  const audit = server.log.filter((line) => line['audit'] === true);
  const find = (operation: string) => audit.findLast((line) => line['operation'] === operation);
  assert.deepEqual(
    [find('tenantDelete')?.['actor'], find('tenantDelete')?.['outcome'], find('tenantDelete')?.['object']],
    ['token:v', 'forbidden', { name: 't1' }],
  );
  assert.deepEqual([find('tokenCreate')?.['actor'], find('tokenCreate')?.['outcome']], ['token:admin', 'ok']);
  assert.equal(find('hostShow'), undefined);
  const text = JSON.stringify(server.log);
  for (const secret of [issued.token, viewer, server.file.token])
    assert.ok(!text.includes(secret.slice(-20)));
  assert.ok(!text.includes('PRIVATE KEY') && !text.includes('romanajoin_'));
});
