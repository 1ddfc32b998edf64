import assert from 'node:assert/strict';
import { createPrivateKey, createPublicKey, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { RomanaError } from '#core/errors.ts';
import { createCsr, createKey } from '#net/csr.ts';
import {
  bitString,
  commonName,
  der,
  fromPem,
  integer,
  oid,
  oids,
  readDer,
  sequence,
  toPem,
} from '#net/der.ts';
import {
  createAuthority,
  hostUidOf,
  issueHost,
  issueServer,
  keyOfCsr,
  lifetimes,
  loadAuthority,
  serverIsCurrent,
} from './certificates.ts';

const now = Date.UTC(2026, 5, 1, 12);
const day = 86_400_000;
const made = createAuthority(now);
const authority = loadAuthority(made.certificate, made.key, now);

test('a host certificate says what the control plane knows, whatever the request asks for', () => {
  const key = createKey();
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  // a request that asks for another identity: subject, and extensionRequest with a forged URI SAN
  const forged = sequence(
    oid('2.5.29.17'),
    der(4, sequence(der(0x86, new TextEncoder().encode('spiffe://romana/host/victim')))),
  );
  const attribute = sequence(oid('1.2.840.113549.1.9.14'), der(0x31, sequence(forged)));
  const info = sequence(integer(Uint8Array.of(0)), commonName('victim'), spki, der(0xa0, attribute));
  const signature = sign('sha256', info, { key, dsaEncoding: 'der' });
  const csr = toPem(
    'CERTIFICATE REQUEST',
    sequence(info, sequence(oid(oids.ecdsaWithSha256)), bitString(signature)),
  );
  const certificate = new X509Certificate(issueHost(authority, csr, 'uid-1', now).certificate);
  assert.equal(certificate.subjectAltName, 'URI:spiffe://romana/host/uid-1');
  assert.equal(hostUidOf(certificate), 'uid-1');
  assert.ok(!certificate.subject.includes('victim'));
  assert.ok(certificate.checkPrivateKey(createPrivateKey(key)));
  assert.deepEqual(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2']);
});

test('certificates chain to their authority and to no other', () => {
  const other = createAuthority(now);
  const host = new X509Certificate(issueHost(authority, createCsr(createKey(), 'h'), 'u', now).certificate);
  const root = new X509Certificate(made.certificate);
  assert.ok(host.verify(createPublicKey(made.certificate)) && host.checkIssued(root));
  assert.ok(!host.verify(createPublicKey(other.certificate)));
  assert.ok(root.ca && !host.ca);
  assert.equal(host.validToDate.getTime(), now + lifetimes.host);
  assert.ok(host.validFromDate.getTime() < now, 'a host whose clock is a little behind can use it at once');
});

test('times past 2049 are written so that they are read back the same', () => {
  const late = Date.UTC(2049, 11, 31, 23, 59, 58);
  const { certificate } = createAuthority(late);
  assert.equal(new X509Certificate(certificate).validToDate.getTime(), late + lifetimes.authority);
});

test('a server certificate is replaced when names changed, it ends soon, or another authority made it', () => {
  const names = ['romana.example', '127.0.0.1', '::1'];
  const issued = issueServer(authority, names, now);
  assert.ok(new X509Certificate(issued.cert).checkHost('romana.example'));
  assert.ok(new X509Certificate(issued.cert).checkIP('::1'));
  assert.ok(serverIsCurrent(authority, issued, names, now));
  assert.ok(!serverIsCurrent(authority, issued, [...names, '192.0.2.1'], now));
  assert.ok(!serverIsCurrent(authority, issued, names, now + lifetimes.server - 90 * day));
  assert.ok(serverIsCurrent(authority, issued, names, now + lifetimes.server - 91 * day));
  const foreign = createAuthority(now);
  const later = loadAuthority(foreign.certificate, foreign.key, now);
  assert.ok(!serverIsCurrent(later, issued, names, now));
});

test('an authority is not loaded with a key of another, as a leaf, or when it has expired', () => {
  const other = createAuthority(now);
  assert.throws(() => loadAuthority(made.certificate, other.key, now));
  assert.throws(() => loadAuthority(made.certificate, made.key, now + lifetimes.authority));
  const leaf = issueServer(authority, ['x'], now);
  assert.throws(() => loadAuthority(leaf.cert, leaf.key, now));
});

const refusal = (why: RegExp) => (error: unknown) =>
  error instanceof RomanaError && error.code === 'input_invalid' && why.test(error.message);

test('a request is refused unless its own P-256 key signed it', () => {
  const csr = createCsr(createKey(), 'h');
  const bytes = fromPem('CERTIFICATE REQUEST', csr);
  assert.ok(bytes !== null);
  assert.equal(keyOfCsr(csr).asymmetricKeyType, 'ec');
  const [info] = readDer(readDer(bytes)?.[0]?.contents ?? new Uint8Array()) ?? [];
  assert.ok(info !== undefined);
  const stranger = createKey();
  const signature = sign('sha256', info.whole, { key: stranger, dsaEncoding: 'der' });
  const stolen = sequence(info.whole, sequence(oid(oids.ecdsaWithSha256)), bitString(signature));
  assert.throws(() => keyOfCsr(toPem('CERTIFICATE REQUEST', stolen)), refusal(/signature is wrong/));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-384' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  assert.throws(() => keyOfCsr(createCsr(pem, 'h')), refusal(/not ECDSA P-256/));
  for (const text of [
    '',
    'x',
    csr + csr,
    csr.replace('CERTIFICATE REQUEST', 'CERTIFICATE'),
    made.certificate,
  ])
    assert.throws(() => keyOfCsr(text), refusal(/PKCS #10/));
});

test('no damage to a request leads to anything but a refusal or the very same key', () => {
  const csr = createCsr(createKey(), 'h');
  const bytes = fromPem('CERTIFICATE REQUEST', csr);
  assert.ok(bytes !== null);
  const key = keyOfCsr(csr).export({ type: 'spki', format: 'pem' });
  fc.assert(
    fc.property(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, bit, cut) => {
      const damaged = Uint8Array.from(cut ? bytes.subarray(0, at) : bytes);
      if (!cut) damaged[at] = (damaged[at] ?? 0) ^ bit;
      try {
        assert.equal(
          keyOfCsr(toPem('CERTIFICATE REQUEST', damaged)).export({ type: 'spki', format: 'pem' }),
          key,
        );
      } catch (error) {
        assert.ok(error instanceof RomanaError && error.code === 'input_invalid', String(error));
      }
    }),
    { numRuns: 300 },
  );
});
