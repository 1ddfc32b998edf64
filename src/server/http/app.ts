/**
 * The control plane over HTTPS: routes of the operation table, the watch stream, health, metrics and the OpenAPI document.
 *
 * H1  Without valid credentials only `join`, `whoami`, health and the OpenAPI document answer; access is judged before the request
 *     is looked at any closer.
 * H2  A certificate is believed only when TLS verified it against our authority and authentication finds it on record; one that is
 *     not believed is a refusal, also when a token comes with it.
 * H3  Bodies and queries are strict, at most 1 MiB; every refusal is `{code, message, details}` with a code of the catalogue.
 * H4  An answer has the fields that the contract names and no other; a defect says nothing but `internal`.
 * H5  Every mutation, refused ones too, leaves an audit line: who, what, on which object, how it ended; never a body.
 * H6  Stopping: no new connection, watch streams end, running requests finish.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';
import { TLSSocket } from 'node:tls';
import Fastify, { type FastifyRequest } from 'fastify';
import { openApiDocument } from '#contract/generate/openapi.ts';
import { RomanaError } from '#core/errors.ts';
import type { Clock, Log } from '#core/ports.ts';
import type { Store } from '#store/port.ts';
import type { Auth, Credentials, Session } from '../auth/auth.ts';
import type { Pki } from '../pki/files.ts';
import type { Services } from '../services/types.ts';
import type { WatchSource } from '../watch/types.ts';
import { asRomanaError, errorBody } from './errors.ts';
import { createMetrics } from './metrics.ts';
import { addRoutes, authorize } from './routes.ts';
import { addWatchRoute } from './watch.ts';

export interface HttpDeps {
  readonly store: Store;
  readonly services: Services;
  readonly hub: WatchSource;
  readonly auth: Auth;
  readonly pki: Pki;
  readonly clock: Clock;
  readonly log: Log;
  readonly version: string;
  readonly reclaim?: { readonly candidates: number; readonly reclaimed: number };
}
export interface ListenAddress {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
}
export interface HttpServer {
  /** Where it listens, with the real ports. */
  readonly listening: readonly ListenAddress[];
  /** Takes no more connections, ends watch streams, lets running requests finish for up to `graceMs`. */
  stop(graceMs: number): Promise<void>;
}

const bodyLimit = 1024 * 1024;
type Handler = (request: IncomingMessage, response: ServerResponse) => void;

function credentialsOf(request: FastifyRequest): Credentials {
  const { socket } = request.raw;
  const value = socket instanceof TLSSocket ? socket.getPeerX509Certificate() : undefined;
  return {
    authorization: request.headers.authorization,
    certificate:
      value === undefined ? null : { value, trusted: socket instanceof TLSSocket && socket.authorized },
    address: request.ip,
  };
}

function createApp(deps: HttpDeps) {
  const { store, services, hub, auth, clock, log } = deps;
  const app = Fastify({
    bodyLimit,
    logger: false,
    onProtoPoisoning: 'error',
    onConstructorPoisoning: 'error',
    return503OnClosing: false,
    routerOptions: { maxParamLength: 512 },
    frameworkErrors: (error, _request, reply) => {
      const refusal = asRomanaError(error);
      reply.hijack();
      reply.raw.writeHead(refusal.status, { 'content-type': 'application/json' });
      reply.raw.end(JSON.stringify(errorBody(refusal)));
    },
  });
  // An empty body with the type of JSON is no body: clients send the header on DELETE too.
  const parseJson = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, text, done) => {
    if (text === '') done(null, undefined);
    else void parseJson(request, String(text), done);
  });
  const scraper = { kind: 'token', name: 'metrics', role: 'viewer' } as const;
  const metrics = createMetrics({
    store,
    subscribers: () => hub.size,
    hostsBehind: async () => {
      const status = await services.status(scraper, { params: {}, query: {}, body: undefined });
      return status.hosts.filter((host) => host.joined && !host.current).length;
    },
    reclaim: () => deps.reclaim ?? { candidates: 0, reclaimed: 0 },
    addresses: async () => {
      const query = { tree: 'false', tenants: 'false', blocks: 'false' } as const;
      return (await services.ipamShow(scraper, { params: {}, query, body: undefined })).rows;
    },
    bgp: async () => (await services.bgpStatus(scraper, { params: {}, query: {}, body: undefined })).items,
    vpc: async () => (await services.vpcStatus(scraper, { params: {}, query: {}, body: undefined })).items,
  });
  const authenticate = (request: FastifyRequest): Session => auth.authenticate(credentialsOf(request));
  app.addHook('onRequest', async (_request, reply) => {
    reply.headers({ 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' });
  });
  app.setErrorHandler((error, request, reply) => {
    const refusal = asRomanaError(error);
    if (refusal.code === 'internal') log.error({ error, route: request.routeOptions.url }, 'defect');
    void reply.code(refusal.status).send(errorBody(refusal));
  });
  app.setNotFoundHandler((_request, reply) => {
    const refusal = new RomanaError('not_found', 'There is nothing at this path; see /openapi.json.');
    void reply.code(refusal.status).send(errorBody(refusal));
  });
  addRoutes(app, { services, auth, authenticate, log, clock, metrics });
  addWatchRoute(app, { hub, authenticate, clock });
  app.get('/livez', () => ({ status: 'ok' }));
  app.get('/readyz', () => {
    try {
      return { status: 'ok', revision: store.read((tx) => tx.revision) };
    } catch (error) {
      throw new RomanaError('unavailable', 'The store cannot be read; see the log of the server.', {
        cause: error,
      });
    }
  });
  app.get('/metrics', async (request, reply) => {
    authorize(authenticate(request), 'viewer', undefined);
    return reply.type('text/plain; version=0.0.4; charset=utf-8').send(await metrics.text());
  });
  const document = JSON.stringify(openApiDocument(deps.version));
  app.get('/openapi.json', (_request, reply) => reply.type('application/json').send(document));
  return app;
}

function listen(server: https.Server, { host, port }: ListenAddress): Promise<ListenAddress> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      reject(
        new RomanaError('unavailable', `Cannot listen on ${host} port ${port}: ${error.message}.`, {
          cause: error,
        }),
      );
    });
    server.listen({ host, port }, () => {
      const address = server.address() as AddressInfo;
      resolve({ host, port: address.port });
    });
  });
}

function makeServer(pki: Pki, handler: Handler): https.Server {
  const server = https.createServer(
    {
      cert: pki.server.cert,
      key: pki.server.key,
      ca: pki.authority.certificate,
      minVersion: 'TLSv1.2',
      // people come with tokens and without certificate; who comes with one is judged by authentication
      requestCert: true,
      rejectUnauthorized: false,
    },
    handler,
  );
  server.headersTimeout = 10_000;
  server.requestTimeout = 30_000;
  server.keepAliveTimeout = 65_000;
  // half a handshake is nobody's business
  server.on('tlsClientError', () => undefined);
  return server;
}

export async function startHttp(deps: HttpDeps, addresses: readonly ListenAddress[]): Promise<HttpServer> {
  const app = createApp(deps);
  await app.ready();
  let stopping = false;
  const running = new Set<ServerResponse>();
  const handler: Handler = (request, response) => {
    running.add(response);
    response.once('close', () => running.delete(response));
    if (stopping) response.setHeader('connection', 'close');
    app.routing(request, response);
  };
  const servers = addresses.map(() => makeServer(deps.pki, handler));
  const stop = async (graceMs: number): Promise<void> => {
    stopping = true;
    for (const response of running) if (!response.headersSent) response.setHeader('connection', 'close');
    const closed = servers
      .filter((server) => server.listening)
      .map((server) => new Promise<void>((resolve) => void server.close(() => resolve())));
    deps.hub.close();
    for (const server of servers) server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const server of servers) server.closeAllConnections();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(timer);
    await app.close();
  };
  const listening: ListenAddress[] = [];
  try {
    for (const [index, server] of servers.entries()) {
      const wanted = addresses[index];
      if (wanted !== undefined) listening.push(await listen(server, wanted));
    }
  } catch (error) {
    await stop(0);
    throw error;
  }
  return { listening, stop };
}
