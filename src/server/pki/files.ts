/**
 * The authority and the server's certificate on disk. Certificate and key share one file, so that a crash leaves both or neither.
 *
 * 1. An authority that exists is never replaced: every agent and client trusts it. Damage is an error that names the file.
 * 2. The server's certificate is replaced at start when its names changed or it expires soon.
 */
import { join } from 'node:path';
import { RomanaError } from '#core/errors.ts';
import { privateDirectory, readPrivateFile, writePrivateFile } from '../files.ts';
import {
  type Authority,
  createAuthority,
  type IssuedServer,
  issueServer,
  loadAuthority,
  serverIsCurrent,
} from './certificates.ts';

export interface Pki {
  readonly authority: Authority;
  readonly server: IssuedServer;
}

function split(text: string): { cert: string; key: string } {
  const cert = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/.exec(text)?.[0] ?? '';
  const key = /-----BEGIN PRIVATE KEY-----[^-]+-----END PRIVATE KEY-----\n/.exec(text)?.[0] ?? '';
  return { cert, key };
}

function damaged(path: string, error: unknown, advice: string): RomanaError {
  const why = error instanceof Error ? error.message : 'unreadable';
  return new RomanaError('store_corrupt', `The file ${path} cannot be used: ${why}; ${advice}.`, {
    cause: error,
  });
}

function authorityIn(directory: string, now: number): Authority {
  const path = join(directory, 'authority.pem');
  let text = readPrivateFile(path);
  if (text === null) {
    const made = createAuthority(now);
    text = made.certificate + made.key;
    writePrivateFile(path, text);
  }
  try {
    const { cert, key } = split(text);
    return loadAuthority(cert, key, now);
  } catch (error) {
    throw damaged(path, error, 'restore it from a backup, or remove it and let every host join anew');
  }
}

/** `names`: DNS names and addresses that the server's certificate must be good for. */
export function openPki(directory: string, names: readonly string[], now: number): Pki {
  privateDirectory(directory);
  const authority = authorityIn(directory, now);
  const path = join(directory, 'server.pem');
  const text = readPrivateFile(path);
  if (text !== null) {
    const server = split(text);
    try {
      if (serverIsCurrent(authority, server, names, now)) return { authority, server };
    } catch (error) {
      throw damaged(path, error, 'remove it and start again to get a new one');
    }
  }
  const server = issueServer(authority, names, now);
  writePrivateFile(path, server.cert + server.key);
  return { authority, server };
}
