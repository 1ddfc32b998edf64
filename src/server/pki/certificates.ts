/**
 * The control plane's own certificate authority. Everything it signs is ECDSA P-256 with SHA-256.
 *
 * 1. A host's certificate says what the control plane knows, never what the request asks for: one URI SAN
 *    `spiffe://romana/host/<uid>`, client use only. Of the request only the public key is taken, and only when it signed the request.
 * 2. A server's certificate cannot be used as a client's, nor the other way round.
 */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto';
import { addressToBytes, tryParseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import {
  bitString,
  commonName,
  der,
  fromPem,
  integer,
  octetString,
  oid,
  oids,
  readDer,
  sequence,
  tags,
  time,
  toPem,
} from '#net/der.ts';

const day = 86_400_000;
/** Clocks of hosts may be behind ours by this much. */
const skew = 5 * 60_000;
export const lifetimes = { authority: 3650 * day, server: 365 * day, host: 365 * day } as const;
/** A server certificate with less than this left is replaced at start. */
const renewBefore = 90 * day;

export interface Authority {
  readonly certificate: string;
  readonly key: KeyObject;
}
export interface IssuedServer {
  readonly cert: string;
  readonly key: string;
}
export interface IssuedHost {
  readonly certificate: string;
  /** SHA-256 of the certificate, as node writes it. */
  readonly fingerprint: string;
  readonly expiresAt: string;
}

const authorityName = 'Romana authority';

function spkiOf(key: KeyObject): Uint8Array {
  return key.export({ type: 'spki', format: 'der' });
}

function keyId(spki: Uint8Array): Uint8Array {
  return createHash('sha256').update(spki).digest().subarray(0, 20);
}

function extension(id: string, critical: boolean, value: Uint8Array): Uint8Array {
  const flag = critical ? [der(tags.boolean, Uint8Array.of(0xff))] : [];
  return sequence(oid(id), ...flag, octetString(value));
}

interface Wanted {
  readonly subject: string;
  readonly spki: Uint8Array;
  readonly issuerSpki: Uint8Array;
  readonly now: number;
  readonly lifetime: number;
  readonly extensions: readonly Uint8Array[];
}

function makeCertificate(wanted: Wanted, key: KeyObject): string {
  const algorithm = sequence(oid(oids.ecdsaWithSha256));
  const serial = randomBytes(16);
  serial[0] = ((serial[0] ?? 0) & 0x7f) | 0x40; // positive, and always the same length
  const body = sequence(
    der(0xa0, integer(Uint8Array.of(2))),
    integer(serial),
    algorithm,
    commonName(authorityName),
    sequence(time(wanted.now - skew), time(wanted.now + wanted.lifetime)),
    commonName(wanted.subject),
    wanted.spki,
    der(
      0xa3,
      sequence(
        ...wanted.extensions,
        extension(oids.subjectKeyIdentifier, false, octetString(keyId(wanted.spki))),
        extension(oids.authorityKeyIdentifier, false, sequence(der(0x80, keyId(wanted.issuerSpki)))),
      ),
    ),
  );
  const signature = sign('sha256', body, { key, dsaEncoding: 'der' });
  return toPem('CERTIFICATE', sequence(body, algorithm, bitString(signature)));
}

const bit = { digitalSignature: [7, 0x80], certSign: [1, 0x06] } as const;

function keyUsage([unused, bits]: readonly [number, number]): Uint8Array {
  return extension(oids.keyUsage, true, der(tags.bitString, Uint8Array.of(unused, bits)));
}

function leafExtensions(use: string, names: readonly Uint8Array[]): Uint8Array[] {
  return [
    extension(oids.basicConstraints, true, sequence()),
    keyUsage(bit.digitalSignature),
    extension(oids.extendedKeyUsage, false, sequence(oid(use))),
    extension(oids.subjectAltName, false, sequence(...names)),
  ];
}

export function createAuthority(now: number): { certificate: string; key: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = spkiOf(publicKey);
  const certificate = makeCertificate(
    {
      subject: authorityName,
      spki,
      issuerSpki: spki,
      now,
      lifetime: lifetimes.authority,
      extensions: [
        extension(
          oids.basicConstraints,
          true,
          sequence(der(tags.boolean, Uint8Array.of(0xff)), integer(Uint8Array.of(0))),
        ),
        keyUsage(bit.certSign),
      ],
    },
    privateKey,
  );
  return { certificate, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** Throws when the texts are no certificate and key, or do not belong together, or the certificate has expired. */
export function loadAuthority(certificatePem: string, keyPem: string, now: number): Authority {
  const certificate = new X509Certificate(certificatePem);
  const key = createPrivateKey(keyPem);
  if (!certificate.checkPrivateKey(key) || !certificate.ca)
    throw new Error('certificate and key do not belong together');
  if (certificate.validToDate.getTime() <= now) throw new Error(`expired on ${certificate.validTo}`);
  return { certificate: certificatePem, key };
}

function generalName(name: string): Uint8Array {
  const address = tryParseAddress(name);
  return address === undefined
    ? der(0x82, new TextEncoder().encode(name))
    : der(0x87, addressToBytes(address));
}

export function issueServer(authority: Authority, names: readonly string[], now: number): IssuedServer {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = makeCertificate(
    {
      subject: 'Romana server',
      spki: spkiOf(publicKey),
      issuerSpki: spkiOf(createPublicKey(authority.certificate)),
      now,
      lifetime: lifetimes.server,
      extensions: leafExtensions(oids.serverAuth, names.map(generalName)),
    },
    authority.key,
  );
  return { cert, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** Whether a server certificate is still good: ours, for exactly these names, for a while. Throws when it is no certificate. */
export function serverIsCurrent(
  authority: Authority,
  issued: IssuedServer,
  names: readonly string[],
  now: number,
): boolean {
  const certificate = new X509Certificate(issued.cert);
  const wanted = new X509Certificate(issueServer(authority, names, now).cert);
  return (
    certificate.checkPrivateKey(createPrivateKey(issued.key)) &&
    certificate.verify(createPublicKey(authority.certificate)) &&
    certificate.subjectAltName === wanted.subjectAltName &&
    certificate.validFromDate.getTime() <= now &&
    certificate.validToDate.getTime() - now > renewBefore
  );
}

function refuseCsr(why: string): RomanaError {
  return new RomanaError('input_invalid', `The certificate request cannot be used: ${why}.`, {
    details: { path: 'csr' },
  });
}

/** The public key of a request, proved by its signature. Subject, attributes and extensions are not even looked at. */
export function keyOfCsr(pem: string): KeyObject {
  const bytes = fromPem('CERTIFICATE REQUEST', pem);
  const [outer, more] = (bytes && readDer(bytes)) ?? [];
  if (outer?.tag !== tags.sequence || more !== undefined) throw refuseCsr('it is not PKCS #10 in PEM');
  const [info, algorithm, signature] = readDer(outer.contents) ?? [];
  const [version, , spki] = (info?.tag === tags.sequence && readDer(info.contents)) || [];
  if (info === undefined || version?.tag !== tags.integer || spki?.tag !== tags.sequence)
    throw refuseCsr('it is not PKCS #10 in PEM');
  const expected = sequence(oid(oids.ecdsaWithSha256));
  if (algorithm === undefined || Buffer.compare(algorithm.whole, expected) !== 0)
    throw refuseCsr('it is not signed by ECDSA with SHA-256');
  if (signature?.tag !== tags.bitString || signature.contents[0] !== 0)
    throw refuseCsr('it has no signature');
  let key: KeyObject;
  try {
    key = createPublicKey({ key: Buffer.from(spki.whole), format: 'der', type: 'spki' });
  } catch {
    throw refuseCsr('its public key is malformed');
  }
  if (key.asymmetricKeyType !== 'ec' || key.asymmetricKeyDetails?.namedCurve !== 'prime256v1')
    throw refuseCsr('its key is not ECDSA P-256');
  if (!verify('sha256', info.whole, { key, dsaEncoding: 'der' }, signature.contents.subarray(1)))
    throw refuseCsr('its signature is wrong');
  return key;
}

const hostUri = 'spiffe://romana/host/';

export function issueHost(authority: Authority, csr: string, hostUid: string, now: number): IssuedHost {
  const pem = makeCertificate(
    {
      subject: 'Romana host',
      spki: spkiOf(keyOfCsr(csr)),
      issuerSpki: spkiOf(createPublicKey(authority.certificate)),
      now,
      lifetime: lifetimes.host,
      extensions: leafExtensions(oids.clientAuth, [
        der(0x86, new TextEncoder().encode(`${hostUri}${hostUid}`)),
      ]),
    },
    authority.key,
  );
  const certificate = new X509Certificate(pem);
  return {
    certificate: pem,
    fingerprint: certificate.fingerprint256,
    expiresAt: certificate.validToDate.toISOString(),
  };
}

/** The uid that a host's certificate is for; null when it is not exactly one identity of ours. */
export function hostUidOf(certificate: X509Certificate): string | null {
  const match = /^URI:spiffe:\/\/romana\/host\/([-0-9a-zA-Z]{1,64})$/.exec(certificate.subjectAltName ?? '');
  return match?.[1] ?? null;
}
