/** What a host makes before it joins: a key that never leaves it, and the request (PKCS #10) that proves it holds the key. */
import { createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { bitString, commonName, der, integer, oid, oids, sequence, toPem } from './der.ts';

/** A new ECDSA P-256 key, PKCS #8 PEM. Keep it in a file of mode 0600. */
export function createKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
}

/** The name is for people who read logs: the control plane ignores it and takes the identity from the join token. */
export function createCsr(keyPem: string, name: string): string {
  const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
  const info = sequence(integer(Uint8Array.of(0)), commonName(name), spki, der(0xa0));
  const signature = sign('sha256', info, { key: keyPem, dsaEncoding: 'der' });
  return toPem(
    'CERTIFICATE REQUEST',
    sequence(info, sequence(oid(oids.ecdsaWithSha256)), bitString(signature)),
  );
}
