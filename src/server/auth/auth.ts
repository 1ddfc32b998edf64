/**
 * Who is calling, and the operations about credentials. Records live in the store; see records.ts.
 *
 * 1. A caller is a token, a host or nobody. Credentials that do not hold are refused, never ignored.
 * 2. A secret is kept as a hash only, is shown once, and is in no log.
 * 3. A host's certificate counts while its host exists under the same uid and its fingerprint is on record.
 * 4. A join token is for one host and one key. It takes over a host that has joined only if it was made for that.
 * 5. The last admin token cannot be revoked.
 */
import { createHash, type X509Certificate } from 'node:crypto';
import type * as m from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { Clock, Log, Random } from '#core/ports.ts';
import type { ReadTx, Store, Tx } from '#store/port.ts';
import { actorOf, type Caller } from '../caller.ts';
import { type Authority, hostUidOf, issueHost, keyOfCsr } from '../pki/certificates.ts';
import type { Input } from '../services/types.ts';
import { createAttempts } from './attempts.ts';
import { getRecord, HostCertificates, JoinRecord, kinds, listRecords, TokenRecord } from './records.ts';
import { makeToken, secretMatches, splitToken } from './tokens.ts';

export interface AuthDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly authority: Authority;
}

/** What a connection and a request bring along. */
export interface Credentials {
  readonly authorization: string | undefined;
  /** A certificate the peer presented, and whether TLS found it to chain to our authority, for client use. */
  readonly certificate: { readonly value: X509Certificate; readonly trusted: boolean } | null;
  /** Where the request comes from, for limits and the log. */
  readonly address: string;
}
export interface Session {
  readonly caller: Caller;
  readonly address: string;
  /** Of the certificate that proved a host. */
  readonly fingerprint: string | null;
}

/** Of the oldest ones their end, after which nothing can be believed of them anyway, has come long before. */
const supersededLimit = 256;

export type Auth = ReturnType<typeof createAuth>;

function refused(why: string): RomanaError {
  return new RomanaError('unauthenticated', why);
}

function withoutHash({ name, role, createdAt, expiresAt }: TokenRecord): m.Token {
  return { name, role, createdAt, expiresAt };
}

/** Not 401: the agent is known, and must hear that it is no longer the one of its host. */
function takenOver(host: string): RomanaError {
  return new RomanaError(
    'generation_stale',
    `Another agent has taken over host ${host}; this one must withdraw its endpoints.`,
    { details: { reason: 'superseded', host } },
  );
}

/** Another agent could say only of itself that it holds nothing, and the server would take it for the lost one. */
function demandNotFenced({ name, state }: m.Host): void {
  if (state !== 'fenced') return;
  throw new RomanaError(
    'host_leaving',
    `Host '${name}' is fenced: confirm with \`romana host fence ${name} --confirm-off\` that its old machine is off, then create it anew.`,
  );
}

export function createAuth(deps: AuthDeps) {
  const { store, clock, random, log, authority } = deps;
  const attempts = createAttempts(clock);
  const iso = (ms: number): string => new Date(ms).toISOString();
  const expired = (at: string | null): boolean => at !== null && Date.parse(at) <= clock.now();

  const callerOfToken = (tx: ReadTx, text: string): Caller => {
    const { id, secret } = splitToken('romana', text);
    const record = id === '' ? undefined : getRecord(tx, kinds.token, TokenRecord, id);
    if (!secretMatches(secret, record?.hash) || record === undefined)
      throw refused('The token is wrong or was revoked.');
    if (expired(record.expiresAt)) throw refused('The token has expired; ask an admin for a new one.');
    return { kind: 'token', name: record.name, role: record.role };
  };

  const callerOfCertificate = (
    tx: ReadTx,
    { value, trusted }: { value: X509Certificate; trusted: boolean },
  ): Caller => {
    const refuse = (why: string) =>
      new RomanaError('certificate_invalid', `The client certificate ${why}; let the host join again.`);
    if (value.validToDate.getTime() <= clock.now()) throw refuse('has expired');
    if (!trusted) throw refuse('was not made for a host by this control plane');
    const uid = hostUidOf(value);
    const record = uid === null ? undefined : getRecord(tx, kinds.certificates, HostCertificates, uid);
    if (record === undefined) throw refuse('names no known host');
    const { fingerprints, superseded = [] } = record;
    if (superseded.includes(value.fingerprint256)) throw takenOver(record.host);
    if (!fingerprints.includes(value.fingerprint256)) throw refuse('was replaced by another');
    if (tx.get('host', record.host)?.uid !== uid) throw refuse('belongs to a host that was deleted');
    return { kind: 'host', name: record.host, role: 'agent' };
  };

  const callerOf = (tx: ReadTx, credentials: Credentials): Caller => {
    if (credentials.certificate !== null) return callerOfCertificate(tx, credentials.certificate);
    const bearer = /^Bearer +(\S{1,256})$/i.exec(credentials.authorization ?? '');
    if (bearer?.[1] === undefined) throw refused('The authorization header is not a bearer token.');
    return callerOfToken(tx, bearer[1]);
  };

  const limited = <T>(address: string, work: () => T): T => {
    if (!attempts.allowed(address)) {
      throw new RomanaError(
        'too_many_attempts',
        'Too many wrong credentials came from this address; wait a minute.',
      );
    }
    try {
      return work();
    } catch (error) {
      if (error instanceof RomanaError && error.status === 401) {
        attempts.failed(address);
        log.warn({ address, code: error.code, reason: error.message }, 'credentials refused');
      }
      throw error;
    }
  };

  /** Throws `unauthenticated`, `certificate_invalid` or `too_many_attempts`. No credentials at all: anonymous. */
  const authenticate = (credentials: Credentials): Session => {
    const { address, certificate } = credentials;
    const caller: Caller =
      certificate === null && credentials.authorization === undefined
        ? { kind: 'anonymous', name: 'anonymous', role: 'none' }
        : limited(address, () => store.read((tx) => callerOf(tx, credentials)));
    return {
      caller,
      address,
      fingerprint: caller.kind === 'host' ? (certificate?.value.fingerprint256 ?? null) : null,
    };
  };

  const tokens = (tx: ReadTx) => listRecords(tx, kinds.token, TokenRecord);

  const tokenCreate = async ({ caller }: Session, { body }: Input<'tokenCreate'>): Promise<m.IssuedToken> => {
    const made = makeToken('romana', random);
    const record: TokenRecord = {
      name: body.name,
      role: body.role,
      hash: made.hash,
      createdAt: iso(clock.now()),
      expiresAt: body.expiresInSeconds === undefined ? null : iso(clock.now() + body.expiresInSeconds * 1000),
    };
    await store.transaction(actorOf(caller), (tx) => {
      if (tokens(tx).some(({ value }) => value.name === body.name)) {
        throw new RomanaError(
          'already_exists',
          `A token called '${body.name}' exists; its secret cannot be shown again, so revoke it or take another name.`,
        );
      }
      tx.put(kinds.token, made.id, record);
    });
    return { ...withoutHash(record), token: made.text };
  };

  const tokenList = async () =>
    store.read((tx) => ({
      items: tokens(tx)
        .map(({ value }) => withoutHash(value))
        .sort((a, b) => (a.name < b.name ? -1 : 1)),
      revision: tx.revision,
    }));

  const tokenDelete = async ({ caller }: Session, { params }: Input<'tokenDelete'>): Promise<undefined> => {
    await store.transaction(actorOf(caller), (tx) => {
      const all = tokens(tx);
      const found = all.find(({ value }) => value.name === params.name);
      if (found === undefined)
        throw new RomanaError('not_found', `There is no token called '${params.name}'.`);
      const others = all.filter(
        ({ key, value }) => key !== found.key && value.role === 'admin' && !expired(value.expiresAt),
      );
      if (found.value.role === 'admin' && others.length === 0) {
        throw new RomanaError(
          'in_use',
          `'${params.name}' is the last admin token; make another admin token first.`,
        );
      }
      tx.delete(kinds.token, found.key);
    });
    return undefined;
  };

  const hostJoinToken = async (
    { caller }: Session,
    { params, body }: Input<'hostJoinToken'>,
  ): Promise<m.JoinToken> => {
    const made = makeToken('romanajoin', random);
    const expiresAt = iso(clock.now() + body.expiresInSeconds * 1000);
    await store.transaction(actorOf(caller), (tx) => {
      const host = tx.get('host', params.name);
      if (host === undefined) throw new RomanaError('not_found', `There is no host called '${params.name}'.`);
      demandNotFenced(host);
      if (host.joined && !body.takeOver) {
        throw new RomanaError(
          'host_joined',
          `Host '${params.name}' has joined already; ask for a token with takeOver to replace its agent.`,
        );
      }
      const record: JoinRecord = {
        host: host.name,
        hostUid: host.uid,
        hash: made.hash,
        takeOver: body.takeOver,
        expiresAt,
        used: null,
      };
      tx.put(kinds.join, made.id, record);
    });
    return { host: params.name, token: made.text, expiresAt };
  };

  const joinRecord = (
    tx: ReadTx,
    body: Input<'join'>['body'],
  ): { id: string; record: JoinRecord; host: m.Host } => {
    const refuse = (why: string) =>
      new RomanaError('join_token_invalid', `The join token ${why}; ask an admin for a new one.`);
    const { id, secret } = splitToken('romanajoin', body.token);
    const record = id === '' ? undefined : getRecord(tx, kinds.join, JoinRecord, id);
    if (!secretMatches(secret, record?.hash) || record === undefined) throw refuse('is wrong or used up');
    if (record.host !== body.host) throw refuse('is for another host');
    if (expired(record.expiresAt)) throw refuse('has expired');
    const host = tx.get('host', record.host);
    if (host?.uid !== record.hostUid) throw refuse('is for a host that was deleted');
    demandNotFenced(host);
    return { id, record, host };
  };

  const join = async ({ address }: Session, { body }: Input<'join'>): Promise<m.Certificate> => {
    const answer = (issued: { certificate: string; expiresAt: string }): m.Certificate => ({
      certificate: issued.certificate,
      authority: authority.certificate,
      expiresAt: issued.expiresAt,
    });
    const first = limited(address, () => store.read((tx) => joinRecord(tx, body)));
    const key = createHash('sha256')
      .update(keyOfCsr(body.csr).export({ type: 'spki', format: 'der' }))
      .digest('hex');
    const issued = issueHost(authority, body.csr, first.host.uid, clock.now());
    return store.transaction(`join:${body.host}`, (tx) => {
      const { id, record, host } = joinRecord(tx, body);
      if (record.used !== null) {
        const now = getRecord(tx, kinds.certificates, HostCertificates, host.uid);
        if (record.used.key === key && now?.fingerprints.includes(record.used.fingerprint))
          return answer(record.used);
        throw new RomanaError('join_token_invalid', 'The join token is used up; ask an admin for a new one.');
      }
      if (host.joined && !record.takeOver) {
        throw new RomanaError('host_joined', `Host '${host.name}' has joined already by another token.`);
      }
      const before = getRecord(tx, kinds.certificates, HostCertificates, host.uid);
      const superseded = [...(before?.superseded ?? []), ...(before?.fingerprints ?? [])].slice(
        -supersededLimit,
      );
      const certificates: HostCertificates = {
        host: host.name,
        fingerprints: [issued.fingerprint],
        superseded,
      };
      tx.put(kinds.certificates, host.uid, certificates);
      const { certificate, fingerprint, expiresAt } = issued;
      const used: JoinRecord = { ...record, used: { key, certificate, fingerprint, expiresAt } };
      tx.put(kinds.join, id, used);
      if (!host.joined) {
        const { revision: _, ...rest } = host;
        tx.put('host', host.name, { ...rest, joined: true });
      }
      return answer(issued);
    });
  };

  const renew = async (
    { caller, fingerprint }: Session,
    { params, body }: Input<'renew'>,
  ): Promise<m.Certificate> => {
    if (caller.kind !== 'host' || caller.name !== params.name || fingerprint === null)
      throw new RomanaError('forbidden', 'Only the agent of a host may renew its certificate.');
    const uid = store.read((tx) => tx.get('host', params.name)?.uid);
    if (uid === undefined) throw new RomanaError('not_found', `There is no host called '${params.name}'.`);
    const issued = issueHost(authority, body.csr, uid, clock.now());
    await store.transaction(actorOf(caller), (tx) => {
      const now = getRecord(tx, kinds.certificates, HostCertificates, uid);
      if (now?.fingerprints.includes(fingerprint) !== true)
        throw new RomanaError('certificate_invalid', 'The client certificate was replaced meanwhile.');
      const next: HostCertificates = { ...now, fingerprints: [fingerprint, issued.fingerprint] };
      tx.put(kinds.certificates, uid, next);
    });
    return {
      certificate: issued.certificate,
      authority: authority.certificate,
      expiresAt: issued.expiresAt,
    };
  };

  const whoami = async ({ caller }: Session): Promise<m.Identity> => caller;

  /** The admin token of the first start, or of a start after the client file was lost: the older one of this name is revoked. */
  const issueAdminToken = async (): Promise<string> => {
    const made = makeToken('romana', random);
    const record: TokenRecord = {
      name: 'admin',
      role: 'admin',
      hash: made.hash,
      createdAt: iso(clock.now()),
      expiresAt: null,
    };
    await store.transaction('server', (tx) => {
      for (const { key, value } of tokens(tx)) if (value.name === record.name) tx.delete(kinds.token, key);
      tx.put(kinds.token, made.id, record);
    });
    return made.text;
  };

  /** Forgets what can never be used again: expired join tokens, certificates of deleted hosts. */
  const prune = async (): Promise<void> => {
    await store.transaction('server', (tx: Tx) => {
      for (const { key, value } of listRecords(tx, kinds.join, JoinRecord))
        if (expired(value.expiresAt)) tx.delete(kinds.join, key);
      for (const { key, value } of listRecords(tx, kinds.certificates, HostCertificates))
        if (tx.get('host', value.host)?.uid !== key) tx.delete(kinds.certificates, key);
    });
  };

  return {
    authenticate,
    issueAdminToken,
    prune,
    operations: { join, renew, whoami, hostJoinToken, tokenCreate, tokenList, tokenDelete },
  };
}
