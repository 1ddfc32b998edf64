/** For tests only: a real server on loopback in a directory of its own, and callers of every kind. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import https from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import { type Client, createClient } from '#contract/client.ts';
import type { Clock } from '#core/ports.ts';
import { createCsr, createKey } from '#net/csr.ts';
import { type Connection, connect } from '#net/https.ts';
import { systemClock } from '#runtime/index.ts';
import { checkConfig } from '../config.ts';
import { type RunningServer, runServer } from '../main.ts';

export interface ClientFile {
  readonly server: string;
  readonly ca: string;
  readonly token: string;
}
export interface HostIdentity {
  readonly cert: string;
  readonly key: string;
}
export interface RawAnswer {
  readonly status: number;
  readonly headers: NodeJS.Dict<string | string[]>;
  readonly text: string;
  readonly body: { readonly code?: string; readonly message?: string } & Record<string, unknown>;
}

export function readClientFile(path: string): ClientFile {
  return parse(readFileSync(path, 'utf8')) as ClientFile;
}

export function temporary(t: { after(fn: () => void): void }, prefix: string): string {
  const path = mkdtempSync(join(tmpdir(), prefix));
  t.after(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

/** A clock whose wall time can be moved. */
export function movableClock(): Clock & { offset: number } {
  const clock = {
    offset: 0,
    now: () => systemClock.now() + clock.offset,
    monotonic: () => systemClock.monotonic() + clock.offset,
  };
  return clock;
}

export interface Harness {
  readonly dataDir: string;
  readonly clock: ReturnType<typeof movableClock>;
  /** Lines of the log. */
  readonly log: Record<string, unknown>[];
  readonly running: RunningServer;
  readonly file: ClientFile;
  readonly admin: Client;
  connection(identity: { token?: string; certificate?: HostIdentity }): Connection;
  client(identity: { token?: string; certificate?: HostIdentity }): Client;
  join(host: string, takeOver?: boolean): Promise<HostIdentity>;
  raw(options: {
    method: string;
    path: string;
    headers?: Record<string, string>;
    body?: string;
    certificate?: HostIdentity;
  }): Promise<RawAnswer>;
  /** Stops, and starts again on the same data and port. */
  restart(): Promise<void>;
}

interface Context {
  after(fn: () => void | Promise<void>): void;
}

function rawRequest(file: ClientFile, options: Parameters<Harness['raw']>[0]): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const url = new URL(file.server);
    const request = https.request(
      {
        host: url.hostname,
        port: url.port,
        method: options.method,
        path: options.path,
        headers: options.headers ?? {},
        ca: file.ca,
        agent: false,
        ...options.certificate,
      },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => {
          text += chunk;
        });
        response.once('end', () => {
          let body: unknown;
          try {
            body = JSON.parse(text);
          } catch {
            body = {};
          }
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            body: body as RawAnswer['body'],
          });
        });
        response.once('error', reject);
      },
    );
    request.once('error', reject);
    request.end(options.body);
  });
}

export async function startHarness(t: Context): Promise<Harness> {
  const dataDir = temporary(t, 'romana-server-');
  const clock = movableClock();
  const log: Record<string, unknown>[] = [];
  const record = (level: string) => (fields: Record<string, unknown>, msg: string) => {
    log.push({ level, msg, ...fields });
  };
  const surroundings = {
    clock,
    log: { debug: record('debug'), info: record('info'), warn: record('warn'), error: record('error') },
  };
  const start = (port: number) =>
    runServer(checkConfig({ dataDir, listen: [{ host: '127.0.0.1', port }] }), surroundings);
  let running = await start(0);
  const file = readClientFile(running.clientFile);
  const open: Connection[] = [];
  const connection: Harness['connection'] = (identity) => {
    const made = connect({ ...identity, server: file.server, ca: file.ca });
    open.push(made);
    return made;
  };
  const client: Harness['client'] = (identity) => createClient(connection(identity));
  const admin = client({ token: file.token });
  t.after(async () => {
    for (const one of open) one.close();
    await running.stop();
  });
  return {
    dataDir,
    clock,
    log,
    file,
    admin,
    connection,
    client,
    get running() {
      return running;
    },
    async join(host, takeOver = false) {
      const { token } = await admin.hostJoinToken({ params: { name: host }, body: { takeOver } });
      const key = createKey();
      const { certificate } = await client({}).join({ body: { host, token, csr: createCsr(key, host) } });
      return { cert: certificate, key };
    },
    raw: (options) => rawRequest(file, options),
    async restart() {
      const port = running.listening[0]?.port ?? 0;
      await running.stop();
      // a request on a connection that the old server closed would fail, as it should
      for (const one of open) one.close();
      running = await start(port);
    },
  };
}

/** A network, two hosts, a tenant and a segment to work with. */
export async function furnish(
  admin: Client,
  layout = { host: 8, tenant: 8, segment: 4, endpoint: 4 },
): Promise<void> {
  await admin.networkCreate({ body: { name: 'net', cidr: '10.0.0.0/8', layout } });
  for (const [index, name] of ['h1', 'h2'].entries())
    await admin.hostCreate({ body: { name, addresses: [`192.0.2.${index + 1}`], allocator: 'server' } });
  await admin.tenantCreate({ body: { name: 't1' } });
  await admin.segmentCreate({ params: { tenant: 't1' }, body: { name: 's1' } });
}
