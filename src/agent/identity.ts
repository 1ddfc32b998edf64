/**
 * The certificate of this host: asked for once with a join token, renewed in good time. The key is made here and never leaves the
 * host. Imports contract, net, core.
 */
import { webcrypto } from 'node:crypto';
import * as x509 from '@peculiar/x509';
import { createClient } from '#contract/client.ts';
import type * as m from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { connect } from '#net/https.ts';
import type { StateFiles } from './agent.ts';

export interface Identity {
  readonly cert: string;
  readonly key: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const keyFile = 'host.key';
const certificateFile = 'host.crt';

export async function loadIdentity(files: StateFiles): Promise<Identity | null> {
  const [key, cert] = [await files.read(keyFile), await files.read(certificateFile)];
  return key === null || cert === null ? null : { key, cert };
}

/** Turns the join token into a certificate. The key is durable before it is used: a crash leaves a key without certificate, no more. */
export async function join(options: {
  readonly host: string;
  readonly server: string;
  readonly ca: string;
  readonly token: string;
  readonly files: StateFiles;
}): Promise<Identity> {
  const { host, server, ca, token, files } = options;
  const request = await certificateRequest(host);
  const connection = connect({ server, ca });
  try {
    await files.write(keyFile, request.key);
    const answer = await createClient(connection).join({ body: { host, token, csr: request.csr } });
    await files.write(certificateFile, answer.certificate);
    return { key: request.key, cert: answer.certificate };
  } finally {
    connection.close();
  }
}

/** A new key and certificate; the old pair works until its own end. Both go into place together, or neither. */
export async function renew(
  host: string,
  ask: (csr: string) => Promise<m.Certificate>,
  files: StateFiles,
): Promise<Identity> {
  const request = await certificateRequest(host);
  const answer = await ask(request.csr);
  await files.write(keyFile, request.key);
  await files.write(certificateFile, answer.certificate);
  return { key: request.key, cert: answer.certificate };
}

/** Milliseconds since the epoch: when two thirds of the certificate's time are over. */
export function renewalTime(certificate: string): number {
  const { notBefore, notAfter } = parseCertificate(certificate);
  return notBefore.getTime() + ((notAfter.getTime() - notBefore.getTime()) * 2) / 3;
}

function parseCertificate(text: string): x509.X509Certificate {
  try {
    return new x509.X509Certificate(text);
  } catch (cause) {
    throw new RomanaError(
      'certificate_invalid',
      'The saved host certificate is damaged; join anew with a token made with --take-over.',
      { cause },
    );
  }
}

async function certificateRequest(host: string): Promise<{ csr: string; key: string }> {
  x509.cryptoProvider.set(webcrypto);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  // The server ignores the subject: whose certificate it becomes is decided by the token or the present certificate.
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [host] }],
    keys,
    signingAlgorithm: algorithm,
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { csr: request.toString('pem'), key: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
}
