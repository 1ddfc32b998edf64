/** Tokens of people and programs, join tokens of hosts, and the certificates that come of them. */
import { z } from 'zod';
import { name } from './text.ts';

export const Role = z.enum(['admin', 'viewer']).describe('admin changes everything; viewer reads');
export const TokenInput = z
  .strictObject({ name, role: Role, expiresInSeconds: z.int().min(1).max(315360000).optional() })
  .meta({ id: 'TokenInput' });
export const Token = z
  .object({ name, role: Role, expiresAt: z.string().nullable(), createdAt: z.string() })
  .meta({ id: 'Token' });
export const IssuedToken = Token.extend({
  token: z.string().describe('Shown once, stored only as a hash'),
}).meta({
  id: 'IssuedToken',
});
export const JoinTokenInput = z
  .strictObject({
    expiresInSeconds: z.int().min(1).max(2592000).default(3600),
    takeOver: z.boolean().default(false).describe('Allow a host that already joined to join anew'),
  })
  .meta({ id: 'JoinTokenInput' });
export const JoinToken = z
  .object({ host: name, token: z.string(), expiresAt: z.string() })
  .meta({ id: 'JoinToken' });
export const JoinInput = z
  .strictObject({
    host: name,
    token: z.string().max(256),
    csr: z.string().max(16384).describe('PKCS #10, PEM'),
  })
  .meta({ id: 'JoinInput' });
export const RenewInput = z.strictObject({ csr: z.string().max(16384) }).meta({ id: 'RenewInput' });
export const Certificate = z
  .object({ certificate: z.string(), authority: z.string(), expiresAt: z.string() })
  .meta({ id: 'Certificate' });

export type Token = z.infer<typeof Token>;
export type IssuedToken = z.infer<typeof IssuedToken>;
export type JoinToken = z.infer<typeof JoinToken>;
export type Certificate = z.infer<typeof Certificate>;
