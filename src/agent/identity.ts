/**
 * The certificate of this host: asked for once with a join token, renewed in good time. The key is made here and never leaves the
 * host. Imports contract, net, core.
 */
import { X509Certificate } from 'node:crypto';
import { createClient } from '#contract/client.ts';
import type * as m from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { createCsr, createKey } from '#net/csr.ts';
import { connect } from '#net/https.ts';
import type { StateFiles } from './saved-view.ts';

export interface Identity {
  readonly cert: string;
  readonly key: string;
}

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
  const request = certificateRequest(host);
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
  const request = certificateRequest(host);
  const answer = await ask(request.csr);
  await files.write(keyFile, request.key);
  await files.write(certificateFile, answer.certificate);
  return { key: request.key, cert: answer.certificate };
}

/** Milliseconds since the epoch: when two thirds of the certificate's time are over. */
export function renewalTime(certificate: string): number {
  const { validFromDate, validToDate } = parseCertificate(certificate);
  return validFromDate.getTime() + ((validToDate.getTime() - validFromDate.getTime()) * 2) / 3;
}

function parseCertificate(text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw new RomanaError(
      'certificate_invalid',
      'The saved host certificate is damaged; join anew with a token made with --take-over.',
      { cause },
    );
  }
}

/** The server ignores the name in it: whose certificate it becomes is decided by the token or the present certificate. */
function certificateRequest(host: string): { csr: string; key: string } {
  const key = createKey();
  return { csr: createCsr(key, host), key };
}
