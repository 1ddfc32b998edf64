/** What authentication keeps in the store, under private kinds: never in the change log, never in the watch stream. */
import { z } from 'zod';
import { RomanaError } from '#core/errors.ts';
import type { PrivateKind, ReadTx } from '#store/port.ts';

/** Key: the token's id. */
export const TokenRecord = z.object({
  name: z.string(),
  role: z.enum(['admin', 'viewer']),
  hash: z.string(),
  createdAt: z.string(),
  expiresAt: z.string().nullable(),
});
/**
 * Key: the token's id. `used`: the token gave this certificate to this key. Asked again with the same key it answers the same, so that
 * an agent whose answer got lost is not shut out; with another key it is used up.
 */
export const JoinRecord = z.object({
  host: z.string(),
  hostUid: z.string(),
  hash: z.string(),
  takeOver: z.boolean(),
  expiresAt: z.string(),
  used: z
    .object({ key: z.string(), certificate: z.string(), fingerprint: z.string(), expiresAt: z.string() })
    .nullable(),
});
/**
 * Key: the host's uid. Only these certificates are believed: what take-over replaced is not among them. After a renewal the one it
 * was asked with stays, because the answer may get lost. `superseded`: what take-over replaced, the newest last; an agent that still
 * uses one has to withdraw.
 */
export const HostCertificates = z.object({
  host: z.string(),
  fingerprints: z.array(z.string()).max(2),
  superseded: z.array(z.string()).optional(),
});

export type TokenRecord = z.infer<typeof TokenRecord>;
export type JoinRecord = z.infer<typeof JoinRecord>;
export type HostCertificates = z.infer<typeof HostCertificates>;

export const kinds = { token: '_token', join: '_join-token', certificates: '_certificates' } as const;

function checked<T>(schema: z.ZodType<T>, kind: string, key: string, value: unknown): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new RomanaError('store_corrupt', `The record ${kind} ${key} is not readable.`);
}

export function getRecord<T>(
  tx: ReadTx,
  kind: PrivateKind,
  schema: z.ZodType<T>,
  key: string,
): T | undefined {
  const value = tx.get(kind, key);
  return value === undefined ? undefined : checked(schema, kind, key, value);
}

export function listRecords<T>(
  tx: ReadTx,
  kind: PrivateKind,
  schema: z.ZodType<T>,
): { key: string; value: T }[] {
  return tx.list(kind).map((row) => ({ key: row.key, value: checked(schema, kind, row.key, row.value) }));
}
