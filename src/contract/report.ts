/** What agents tell the control plane of their hosts. Part of model.ts, which exports it. */
import { z } from 'zod';
import { Attachment } from './attachment.ts';
import { BgpReport } from './bgp.ts';
import { Generation, ownership, Position } from './lifecycle.ts';
import { Live, LiveQuestion } from './live.ts';
import { locationSeq } from './location.ts';
import { addressText, cidrText, endpointName, id, name } from './text.ts';

export const Problem = z.object({ code: z.string(), message: z.string() }).meta({ id: 'Problem' });

/** What an agent tells the control plane: whole for `applied` and `problems`, differences for endpoints, all in one transaction. */
const endpointRef = { tenant: name, segment: name, name: endpointName, uid: z.string().max(64) };
/** Which stay of the endpoint on the host is spoken of; absent: the first. */
const stay = { locationSeq: locationSeq.optional() };
export const HostReport = z
  .strictObject({
    applied: Position.nullable().describe('Position up to which the kernel agrees with the control plane'),
    problems: z.array(Problem).max(256).default([]),
    version: z.string().max(64),
    registered: z
      .array(
        z.strictObject({
          ...endpointRef,
          addresses: z
            .array(z.strictObject({ network: name, address: addressText }))
            .min(1)
            .max(16),
          attachment: Attachment,
          sourcePrefixes: z.array(cidrText).max(64),
        }),
      )
      .max(1000)
      .default([])
      .describe('Endpoints that the agent allocated by itself'),
    phases: z
      .array(
        z.strictObject({
          ...endpointRef,
          ...stay,
          phase: z.enum(['pending', 'ready', 'failed']),
          message: z.string().max(1024),
        }),
      )
      .max(1000)
      .default([]),
    gone: z
      .array(z.strictObject({ ...endpointRef, ...stay }))
      .max(1000)
      .default([])
      .describe('Endpoints removed from the kernel'),
    ...ownership,
    generation: Generation.optional().describe('Absent: an older agent'),
    wanted: z
      .array(z.strictObject({ network: name, ids: z.int().min(1).max(65536) }))
      .max(1024)
      .optional()
      .describe('Host ids that the agent should hold in all, because its blocks run full'),
    empty: z
      .array(z.strictObject({ network: name, id }))
      .max(1024)
      .optional()
      .describe(
        'Retiring host ids of which journal and kernel hold nothing; absent: the agent knows of none',
      ),
    live: Live.optional(),
    bgp: BgpReport.optional().describe('Absent: the fabric of the host needs no speaker'),
    unreachable: z.array(name).max(1024).optional().describe('Hosts of its link that do not answer on it'),
  })
  .meta({ id: 'HostReport' });
export const HostReportAnswer = z
  .object({
    rejected: z.array(
      z.object({ tenant: z.string(), segment: z.string(), name: z.string(), error: Problem }),
    ),
    live: LiveQuestion.optional(),
  })
  .meta({ id: 'HostReportAnswer' });

export type Problem = z.infer<typeof Problem>;
export type HostReport = z.infer<typeof HostReport>;
export type HostReportAnswer = z.infer<typeof HostReportAnswer>;
