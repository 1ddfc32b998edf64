/** Where the server is and who we are: options, then environment, then the client file. */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { readDocument, readText } from './document.ts';
import { usage } from './exit.ts';
import type { World } from './world.ts';

export interface ConnectionOptions {
  readonly config?: string | undefined;
  readonly server?: string | undefined;
  readonly tokenFile?: string | undefined;
  readonly caFile?: string | undefined;
}

export interface ServerAccess {
  readonly server: string;
  /** PEM */
  readonly ca: string;
  readonly token: string;
}

interface ClientFile {
  readonly server?: string;
  readonly ca?: string;
  readonly token?: string;
}

export function defaultClientFile(world: Pick<World, 'env' | 'home'>): string {
  return join(world.env['XDG_CONFIG_HOME'] || join(world.home, '.config'), 'romana/client.yaml');
}

export async function loadAccess(
  options: ConnectionOptions,
  world: Pick<World, 'env' | 'home'>,
): Promise<ServerAccess> {
  const { env } = world;
  const named = options.config ?? (env['ROMANA_CONFIG'] || undefined);
  const file = await loadClientFile(named, world);
  const server = options.server ?? (env['ROMANA_SERVER'] || file.server);
  const caFile = options.caFile ?? (env['ROMANA_CA_FILE'] || undefined);
  const ca = caFile === undefined ? file.ca : readText(caFile);
  const token =
    options.tokenFile === undefined
      ? env['ROMANA_TOKEN'] || file.token
      : readSecret(options.tokenFile, 'token file').trim();
  if (server === undefined) {
    throw usage(
      `No server is configured: give --config FILE (the server writes one to client.yaml in its data directory), put it at ${defaultClientFile(world)}, or give --server, --token-file and --ca-file.`,
    );
  }
  if (ca === undefined)
    throw usage('The certificate of the authority is missing: give --ca-file, or `ca` in the client file.');
  if (!ca.includes('-----BEGIN CERTIFICATE-----')) {
    throw usage('The certificate of the authority is not PEM: it begins with -----BEGIN CERTIFICATE-----.');
  }
  if (token === undefined || token === '') {
    throw usage('The token is missing: give --token-file, ROMANA_TOKEN, or `token` in the client file.');
  }
  // A line break or another stray character would make a broken header, and node's message would show the token.
  if (!/^[\x21-\x7e]+$/.test(token))
    throw usage('The token holds characters that no token has; copy it again.');
  return { server: serverUrl(server), ca, token };
}

async function loadClientFile(
  named: string | undefined,
  world: Pick<World, 'env' | 'home'>,
): Promise<ClientFile> {
  const path = named ?? defaultClientFile(world);
  // Without a file of its own the command can still be told everything by options and environment.
  if (named === undefined && statSync(path, { throwIfNoEntry: false }) === undefined) return {};
  assertPrivate(path, 'client file');
  const document = await readDocument(path, () => Promise.resolve(''));
  for (const [field, value] of Object.entries(document)) {
    if (!['server', 'ca', 'token'].includes(field)) {
      throw usage(`${path}: unknown field ${JSON.stringify(field)}; a client file has server, ca and token.`);
    }
    if (typeof value !== 'string') throw usage(`${path}: the field ${field} must be text.`);
  }
  return document;
}

function readSecret(path: string, what: string): string {
  assertPrivate(path, what);
  return readText(path);
}

/** A token that other users of the machine can read is theirs too. */
function assertPrivate(path: string, what: string): void {
  const mode = statSync(path, { throwIfNoEntry: false })?.mode ?? 0;
  if ((mode & 0o077) !== 0 && (mode & 0o170000) === 0o100000) {
    throw usage(`The ${what} ${path} may be read by other users; it holds a secret: run chmod 600 ${path}.`);
  }
}

/** `host`, `host:port` or a whole URL; the scheme is always https. */
export function serverUrl(text: string): string {
  const url = URL.parse(/^[a-z]+:\/\//.test(text) ? text : `https://${text}`);
  if (url === null || url.hostname === '') {
    throw usage(`${JSON.stringify(text)} is no address of a server; write https://HOST:PORT.`);
  }
  if (url.protocol !== 'https:') throw usage(`The server speaks https only: write https://${url.host}.`);
  if (
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== '' ||
    url.pathname !== '/'
  ) {
    throw usage('The address of the server is https://HOST:PORT and nothing more.');
  }
  return `https://${url.hostname}:${url.port === '' ? (hasPort(text) ? 443 : 7443) : url.port}`;
}

/** URL drops :443 as the default of https. */
function hasPort(text: string): boolean {
  return /:443\/?$/.test(text);
}
