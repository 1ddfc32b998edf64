import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http';
import { createServer as createTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import type { RomanaError } from '#core/errors.ts';
import { connectUnix, type Limits } from './https.ts';

/** A server on a unix socket, and a connection to it. What holds there holds over TLS: both are one code. */
async function start(t: TestContext, listener: RequestListener, limits: Limits = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'romana-net-'));
  const socketPath = join(folder, 's');
  const server: Server = createServer(listener);
  server.listen(socketPath);
  await once(server, 'listening');
  const connection = connectUnix({ socketPath, ...limits });
  t.after(() => {
    connection.close();
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return { connection, server, socketPath };
}
const get = { method: 'GET', path: '/x' };

async function bodyOf(request: IncomingMessage): Promise<string> {
  let text = '';
  for await (const chunk of request) text += String(chunk);
  return text;
}

test('a request goes out and its answer comes back, over one connection', async (t) => {
  const seen: unknown[] = [];
  const sockets = new Set<Socket>();
  const { connection } = await start(t, (request, response) => {
    sockets.add(request.socket);
    void bodyOf(request).then((body) => {
      seen.push([request.method, request.url, request.headers['content-type'], body]);
      response.writeHead(201, { 'content-type': 'application/json' }).end('{"a":"ü"}');
    });
  });
  assert.deepEqual(await connection.transport({ method: 'PUT', path: '/p?q=1', body: { b: 'ä' } }), {
    status: 201,
    body: { a: 'ü' },
  });
  await connection.transport({ method: 'DELETE', path: '/p' });
  assert.deepEqual(seen, [
    ['PUT', '/p?q=1', 'application/json', '{"b":"ä"}'],
    ['DELETE', '/p', undefined, ''],
  ]);
  assert.equal(sockets.size, 1);
});

test('an empty answer and one that is not JSON have no body', async (t) => {
  const answers = ['', '<html>'];
  const { connection } = await start(t, (_request, response) => response.end(answers.shift()));
  assert.deepEqual(await connection.transport(get), { status: 200, body: undefined });
  assert.deepEqual(await connection.transport(get), { status: 200, body: undefined });
});

test('every request ends: no answer, half an answer, a cut connection, an endless answer', async (t) => {
  const rejected = async (listener: RequestListener, code: string, limits: Limits) => {
    const { connection } = await start(t, listener, limits);
    await assert.rejects(connection.transport(get), { code });
  };
  await rejected(() => undefined, 'timeout', { totalMs: 30 });
  await rejected((_, response) => response.write('{"a":'), 'timeout', { totalMs: 30 });
  await rejected((request) => request.socket.destroy(), 'unavailable', {});
  await rejected(
    (request, response) => {
      response.writeHead(200, { 'content-length': '100' });
      response.write('x', () => request.socket.destroy());
    },
    'unavailable',
    {},
  );
  await rejected((_, response) => response.end('x'.repeat(1001)), 'internal', { maxBytes: 1000 });
});

test('a socket that is not there, is closed or is no socket is unavailable, with what to do', async (t) => {
  const { socketPath } = await start(t, () => undefined);
  const say = async (path: string, text: RegExp) => {
    const connection = connectUnix({ socketPath: path });
    await assert.rejects(connection.transport(get), (error: RomanaError) => {
      assert.equal(error.code, 'unavailable');
      assert.match(error.message, text);
      return true;
    });
  };
  await say(`${socketPath}.none`, /does not exist; is the agent running/);
  await say(import.meta.filename, /nothing listens|connection failed|ENOTSOCK|ECONNREFUSED/);
});

test('only a GET is sent again when the connection was closed while idle', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'romana-net-'));
  const socketPath = join(folder, 's');
  let received = 0;
  const sockets: Socket[] = [];
  // answers once on each connection, and cuts it on the next request without an answer
  const server = createTcp((socket) => {
    sockets.push(socket);
    let count = 0;
    socket.on('data', () => {
      received += 1;
      count += 1;
      if (count === 1) socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}');
      else socket.destroy();
    });
    socket.on('error', () => undefined);
  });
  server.listen(socketPath);
  await once(server, 'listening');
  const connection = connectUnix({ socketPath });
  t.after(() => {
    connection.close();
    for (const socket of sockets) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  await connection.transport(get);
  assert.equal((await connection.transport(get)).status, 200);
  assert.equal(received, 3);
  await assert.rejects(connection.transport({ method: 'POST', path: '/x', body: {} }), {
    code: 'unavailable',
  });
  assert.equal(received, 4);
});

test('a stream hands on what comes, in order, and ends once', async (t) => {
  const { connection } = await start(t, (request, response) => {
    if (request.url === '/no') {
      response.writeHead(403).end('{"code":"forbidden","message":"m"}');
      return;
    }
    response.writeHead(200);
    response.write('a');
    setImmediate(() => {
      response.write(Buffer.from('ü').subarray(0, 1));
      setImmediate(() => response.end(Buffer.from('ü').subarray(1)));
    });
  });
  const read = (path: string) =>
    new Promise<[string, string | null]>((resolve) => {
      let text = '';
      connection.openStream(path, {
        chunk: (part) => {
          text += part;
        },
        end: (error) => resolve([text, error === null ? null : error.code]),
      });
    });
  assert.deepEqual(await read('/yes'), ['aü', null]);
  assert.deepEqual(await read('/no'), ['', 'forbidden']);
});

test('a cancelled stream is silent', async (t) => {
  const { connection, server } = await start(t, (_request, response) => {
    response.writeHead(200);
    response.write('a');
  });
  const cancel = connection.openStream('/', { chunk: () => assert.fail(), end: () => assert.fail() });
  cancel();
  cancel();
  await new Promise((resolve) => setImmediate(resolve));
  assert.ok(server.listening);
});
