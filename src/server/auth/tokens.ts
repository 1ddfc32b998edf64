/** Secrets that callers carry: `<prefix>_<id>_<secret>`. The id finds the record, the secret proves the right to it. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { Random } from '#core/ports.ts';

export type TokenPrefix = 'romana' | 'romanajoin';

/** What is compared when no record is found, so that a wrong id takes as long as a wrong secret. */
const nobody = Buffer.alloc(32).toString('hex');

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

export function makeToken(
  prefix: TokenPrefix,
  random: Random,
): { readonly id: string; readonly text: string; readonly hash: string } {
  const id = Buffer.from(random.bytes(8)).toString('hex');
  const secret = Buffer.from(random.bytes(32)).toString('base64url');
  return { id, text: `${prefix}_${id}_${secret}`, hash: hashSecret(secret) };
}

export function splitToken(prefix: TokenPrefix, text: string): { id: string; secret: string } {
  const match = /^([a-z]+)_([0-9a-f]{16})_([-_A-Za-z0-9]{43})$/.exec(text);
  return match?.[1] === prefix ? { id: match[2] ?? '', secret: match[3] ?? '' } : { id: '', secret: text };
}

export function secretMatches(secret: string, hash: string | undefined): boolean {
  const equal = timingSafeEqual(Buffer.from(hashSecret(secret), 'hex'), Buffer.from(hash ?? nobody, 'hex'));
  return equal && hash !== undefined;
}
