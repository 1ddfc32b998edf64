/** Transports over node's own HTTP client: HTTPS to a control plane, plain HTTP on a unix socket to an agent. See README.md. */
import { X509Certificate } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { isIP } from 'node:net';
import { createSecureContext, TLSSocket } from 'node:tls';
import {
  errorOfAnswer,
  type Transport,
  type TransportAnswer,
  type TransportRequest,
} from '#contract/client.ts';
import { codeOf } from '#contract/shape.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';
import { connectionError } from './errors.ts';
import type { OpenStream, StreamSink } from './watch.ts';

export interface Limits {
  /** Milliseconds until the connection stands, TLS included. */
  readonly connectMs?: number;
  /** Milliseconds from the call to the whole answer. */
  readonly totalMs?: number;
  /** Bytes of an answer's body. */
  readonly maxBytes?: number;
}
export interface HttpsOptions extends Limits {
  /** `https://name-or-address:port`. */
  readonly server: string;
  /** PEM of the authority that made the server's certificate. */
  readonly ca: string;
  readonly token?: string | undefined;
  /** PEM of a host's certificate and key. */
  readonly certificate?: { readonly cert: string; readonly key: string } | undefined;
}
export interface UnixOptions extends Limits {
  readonly socketPath: string;
}
/** A server as a client sees it. `close` drops idle connections and ends running requests. */
export interface Connection {
  readonly transport: Transport;
  readonly openStream: OpenStream;
  close(): void;
}

interface Dialer {
  readonly server: string;
  readonly limits: Required<Limits>;
  readonly agent: http.Agent;
  start(method: string, path: string, headers: http.OutgoingHttpHeaders): http.ClientRequest;
}

/** Runs `then` once the connection of `request` is ready to carry it. */
function onConnected(request: http.ClientRequest, then: () => void): void {
  request.once('socket', (socket) => {
    const tls = socket instanceof TLSSocket;
    if (!socket.connecting && (!tls || socket.getProtocol() !== null)) then();
    else socket.once(tls ? 'secureConnect' : 'connect', then);
  });
}

function limitConnect(request: http.ClientRequest, ms: number): void {
  const timer = setTimeout(() => {
    request.destroy(
      new RomanaError('unavailable', `No connection within ${ms} ms; check the address and firewalls.`),
    );
  }, ms);
  const stop = (): void => clearTimeout(timer);
  onConnected(request, stop);
  request.once('close', stop);
}

function parseBody(text: string): unknown {
  if (text === '') return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function readBody(response: http.IncomingMessage, maxBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    response.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > maxBytes) {
        const error = new RomanaError('internal', `The answer is longer than ${maxBytes} bytes.`);
        reject(error);
        response.destroy(error);
      } else chunks.push(chunk);
    });
    response.once('end', () => resolve(Buffer.concat(chunks).toString('utf8')));
    response.once('error', reject);
    response.once('close', () => reject(Object.assign(new Error('closed'), { code: 'ECONNRESET' })));
  });
}

function exchange(dialer: Dialer, wanted: TransportRequest, again: boolean): Promise<TransportAnswer> {
  const { limits } = dialer;
  return new Promise((resolve, reject) => {
    const text = wanted.body === undefined ? undefined : JSON.stringify(wanted.body);
    const request = dialer.start(wanted.method, wanted.path, {
      accept: 'application/json',
      ...(text === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
    });
    limitConnect(request, limits.connectMs);
    const timer = setTimeout(() => {
      request.destroy(
        new RomanaError('timeout', `${dialer.server} did not answer within ${limits.totalMs} ms.`),
      );
    }, limits.totalMs);
    request.once('close', () => clearTimeout(timer));
    let answered = false;
    const fail = (error: unknown): void => {
      const stale = request.reusedSocket && codeOf(error) === 'ECONNRESET';
      if (stale && !answered && again && wanted.method === 'GET') {
        exchange(dialer, wanted, false).then(resolve, reject);
      } else reject(connectionError(error, dialer.server));
    };
    request.once('error', fail);
    request.once('response', (response) => {
      answered = true;
      // a time-out after the head arrived destroys the request and reaches us as the response's error
      readBody(response, limits.maxBytes).then(
        (body) => resolve({ status: response.statusCode ?? 0, body: parseBody(body) }),
        fail,
      );
    });
    request.end(text);
  });
}

function openStream(dialer: Dialer, path: string, sink: StreamSink): Cancel {
  let over = false;
  const end = (error: RomanaError | null): void => {
    if (over) return;
    over = true;
    request.destroy();
    sink.end(error);
  };
  const request = dialer.start('GET', path, { accept: 'text/event-stream' });
  limitConnect(request, dialer.limits.connectMs);
  const head = setTimeout(() => {
    end(new RomanaError('timeout', `${dialer.server} did not answer within ${dialer.limits.totalMs} ms.`));
  }, dialer.limits.totalMs);
  request.once('close', () => clearTimeout(head));
  request.on('error', (error) => end(connectionError(error, dialer.server)));
  request.once('response', (response) => {
    clearTimeout(head);
    if (response.statusCode !== 200) {
      readBody(response, dialer.limits.maxBytes).then(
        (body) => end(errorOfAnswer(response.statusCode ?? 0, parseBody(body))),
        (error: unknown) => end(connectionError(error, dialer.server)),
      );
      return;
    }
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => {
      if (!over) sink.chunk(chunk);
    });
    response.once('end', () => end(null));
    response.once('close', () => end(null));
    response.on('error', (error) => end(connectionError(error, dialer.server)));
  });
  request.end();
  return () => {
    over = true;
    request.destroy();
  };
}

function connection(dialer: Dialer): Connection {
  return {
    transport: (request) => exchange(dialer, request, true),
    openStream: (path, sink) => openStream(dialer, path, sink),
    close: () => dialer.agent.destroy(),
  };
}

const defaults = { connectMs: 5_000, totalMs: 30_000, maxBytes: 64 * 1024 * 1024 };

function limitsOf(options: Limits): Required<Limits> {
  const { connectMs, totalMs, maxBytes } = { ...defaults, ...options };
  return { connectMs, totalMs, maxBytes };
}

function parseServer(text: string): { host: string; port: number; origin: string } {
  const url = URL.parse(text);
  if (url?.protocol !== 'https:' || url.pathname !== '/' || url.search !== '' || url.username !== '') {
    throw new RomanaError(
      'input_invalid',
      `'${text}' is not the address of a server; write https://NAME-OR-ADDRESS:PORT.`,
      { details: { path: 'server' } },
    );
  }
  const host = url.hostname.startsWith('[') ? url.hostname.slice(1, -1) : url.hostname;
  return { host, port: url.port === '' ? 443 : Number(url.port), origin: url.origin };
}

/** HTTPS to a control plane. Throws `input_invalid` for an address, authority, certificate or key that cannot be used. */
export function connect(options: HttpsOptions): Connection {
  const { host, port, origin } = parseServer(options.server);
  let agent: https.Agent;
  try {
    agent = new https.Agent({
      keepAlive: true,
      maxFreeSockets: 4,
      minVersion: 'TLSv1.2',
      ca: options.ca,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      ...(options.certificate === undefined
        ? {}
        : { cert: options.certificate.cert, key: options.certificate.key }),
    });
    // fails here, with a clear text, instead of at every request
    void new X509Certificate(options.ca);
    createSecureContext({ ca: options.ca, ...options.certificate });
  } catch (error) {
    throw new RomanaError('input_invalid', 'The authority, certificate or key is not usable PEM.', {
      cause: error,
    });
  }
  const authorization = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` };
  return connection({
    server: origin,
    limits: limitsOf(options),
    agent,
    start: (method, path, headers) =>
      https.request({ agent, host, port, method, path, headers: { ...headers, ...authorization } }),
  });
}

/** Plain HTTP on a unix socket: an agent's own API, guarded by the permissions of the socket. */
export function connectUnix(options: UnixOptions): Connection {
  const { socketPath } = options;
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 2 });
  return connection({
    server: socketPath,
    limits: limitsOf(options),
    agent,
    start: (method, path, headers) =>
      http.request({ agent, socketPath, method, path, headers: { host: 'romana', ...headers } }),
  });
}
