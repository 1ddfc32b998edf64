/** How hosts end and ids change owner. Part of model.ts, which exports it. */
import { z } from 'zod';
import { name } from './text.ts';

export const HostState = z
  .enum(['active', 'draining', 'fenced'])
  .describe(
    'draining: nothing new is placed there, and it is gone when its agent holds nothing; fenced: declared dead, cut off by the others. Absent: active',
  );
/** A position in the stream of changes. A restored or imported store has a new incarnation. */
export const Position = z
  .object({ incarnation: z.string().max(64), revision: z.int().min(0) })
  .meta({ id: 'Position' });
/** What of a report the ownership of ids rests on. */
export const ownership = {
  acknowledged: Position.nullable()
    .default(null)
    .describe(
      'Position that is applied and kept on disk: nothing older comes back, whatever happens to the agent',
    ),
  listed: Position.nullable()
    .optional()
    .describe(
      'Position against which the whole journal has been told; null: more is to come, or some of it has ids of others',
    ),
  holds: z.int().min(0).default(0).describe('Endpoints that journal or kernel of the host may hold'),
  orphans: z
    .array(z.strictObject({ network: name, tenant: z.int().min(0), segment: z.int().min(0) }))
    .max(4096)
    .default([])
    .describe('Ids in held addresses that the tenant or segment of the endpoint does not have (any more)'),
};
/** Names the history that an agent's journal is. */
export const Generation = z
  .strictObject({
    id: z.string().min(1).max(64).describe('Another one when the journal was lost or rebuilt'),
    seq: z.int().min(0).describe('The last allocation in it'),
    follows: z
      .string()
      .max(64)
      .nullable()
      .optional()
      .describe('Of one that is not known yet: the generation that it takes over from; null or absent: none'),
  })
  .meta({ id: 'Generation' });
export const HostFenceInput = z
  .strictObject({
    confirmOff: z
      .boolean()
      .describe('The machine is off and will not come back with its old state: its ids are free at once'),
  })
  .meta({ id: 'HostFenceInput' });
export const HostDeletion = z
  .object({
    name,
    state: z.enum(['gone', 'draining', 'fenced']).describe('What has become of the host'),
    endpoints: z.int().describe('Endpoints left on a draining host, or forgotten with a fenced one'),
  })
  .meta({ id: 'HostDeletion' });

/** A deleted tenant or segment keeps its id from others until nothing of it can be left anywhere. */
export const RetiringId = z
  .object({
    field: z.enum(['tenant', 'segment']),
    network: z.string(),
    id: z.int(),
    owner: z.string().describe('Tenant, or tenant/segment, that had the id'),
    since: z.string(),
    resting: z.boolean().describe('Every host has acknowledged; the quarantine of the network runs'),
    waitingFor: z.array(z.string()).describe('Hosts that have not acknowledged the deletion yet'),
    heldBy: z.array(z.string()).describe('Hosts whose journal or kernel still holds endpoints with the id'),
  })
  .meta({ id: 'RetiringId' });

/** A restored control plane does not know what was given out after the copy was made. */
export const Waiting = z
  .object({
    since: z.string(),
    hosts: z.array(z.string()).describe('Hosts that have not said yet what they hold'),
  })
  .describe('Nothing is given out until these hosts are heard, gone or fenced')
  .meta({ id: 'Waiting' });

export type HostDeletion = z.infer<typeof HostDeletion>;
export type Position = z.infer<typeof Position>;
export type RetiringId = z.infer<typeof RetiringId>;
