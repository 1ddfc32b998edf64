/** What a failed connection means to an operator: node's error codes as RomanaErrors that say what to do. */
import { codeOf } from '#contract/shape.ts';
import { RomanaError } from '#core/errors.ts';

const hints: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'nothing listens there; start the server, or correct the address',
  ENOTFOUND: 'the name cannot be resolved; correct the address or the name service',
  EAI_AGAIN: 'the name service does not answer; try again or use an address',
  EHOSTUNREACH: 'no route leads there; check routes and firewalls',
  ENETUNREACH: 'no route leads there; check routes and firewalls',
  ECONNRESET: 'the connection was cut; try again',
  EPIPE: 'the connection was cut; try again',
  ENOENT: 'the socket does not exist; is the agent running?',
  EACCES: 'no permission to use the socket; run as root or as a member of its group',
  ERR_TLS_CERT_ALTNAME_INVALID:
    'its certificate is for other names; use one of them, or add this one to `names` of the server and restart it',
  CERT_HAS_EXPIRED: 'its certificate has expired; restart the server to renew it, and check the clocks',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet; check the clocks of both machines',
};
const wrongAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'CERT_SIGNATURE_FAILURE',
  'ERR_SSL_CERTIFICATE_VERIFY_FAILED',
]);

/** `unavailable`, whatever happened below HTTP: the caller may try again. */
export function connectionError(error: unknown, server: string): RomanaError {
  if (error instanceof RomanaError) return error;
  const inner = error instanceof AggregateError ? error.errors[0] : error;
  const code = codeOf(error) || codeOf(inner);
  const hint = wrongAuthority.has(code)
    ? 'its certificate was made by another authority; take `ca` from the client file of this very server'
    : (hints[code] ?? (inner instanceof Error ? inner.message : 'the connection failed'));
  return new RomanaError('unavailable', `Cannot reach ${server}: ${hint}.`, {
    cause: error,
    details: { reason: code || 'unknown' },
  });
}
