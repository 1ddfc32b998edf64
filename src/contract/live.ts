/** What an agent says lives on its host, so that the control plane can compare it with its records. */
import { z } from 'zod';
import { addressText } from './text.ts';

const digest = z.strictObject({
  count: z.int().min(0),
  hash: z.string().max(64).describe('SHA-256 in hexadecimal of the sorted lines "key uid address address…"'),
});
const entry = z.strictObject({
  key: z.string().max(400).describe('tenant/segment/name'),
  uid: z.string().max(64),
  addresses: z.array(addressText).max(16),
  held: z.boolean().describe('In the journal of the agent: it gave out the addresses itself'),
  wired: z.boolean().describe('In the kernel, with its links, routes and rules'),
});
/** More are not listed: the report would not fit into a request. */
export const liveLimit = 4096;
export const Live = z
  .strictObject({
    held: digest,
    wired: digest.nullable().describe('Null: the last pass over the kernel failed, or there was none'),
    list: z.array(entry).max(liveLimit).optional().describe('Everything, when the server asked for it'),
  })
  .meta({ id: 'Live' });
/** An older server asks for nothing, and is told nothing that it would refuse. */
export const LiveQuestion = z
  .enum(['digest', 'list'])
  .describe('What the next report should say of the endpoints that live on the host');

export type Live = z.infer<typeof Live>;
export type LiveQuestion = z.infer<typeof LiveQuestion>;
