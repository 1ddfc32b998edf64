/** What an agent tells of its BGP speaker, and what is shown of it. Part of model.ts, which exports it. */
import { z } from 'zod';
import { cidrText } from './text.ts';

export const BgpSession = z
  .object({
    peer: z.string().max(63).describe('Device at the other end'),
    neighbour: z.string().max(64).describe('Its address, or the link of an unnumbered session'),
    asn: z.int().min(0).max(4294967295),
    state: z.enum(['idle', 'connect', 'active', 'opensent', 'openconfirm', 'established']),
    seconds: z.int().min(0).nullable().describe('In this state since so many seconds; null: unknown'),
    prefixesIn: z.int().min(0).nullable(),
    prefixesOut: z.int().min(0).nullable(),
    lastError: z.string().max(512).describe('Empty: none known'),
  })
  .meta({ id: 'BgpSession' });
export const BgpReport = z
  .object({
    daemon: z.enum(['bird', 'frr', 'exabgp', 'gobgp', 'quagga']),
    up: z.boolean().describe('Whether the daemon answers'),
    version: z.string().max(64).nullable(),
    sessions: z.array(BgpSession).max(256),
    announced: z
      .array(cidrText)
      .max(8192)
      .nullable()
      .describe('What the daemon announces in an established session of each device; null: unknown'),
    problem: z.string().max(1024).nullable().describe('What is wrong and what to do; null: nothing'),
  })
  .describe("What a host's BGP speaker does")
  .meta({ id: 'BgpReport' });

export type BgpSession = z.infer<typeof BgpSession>;
export type BgpReport = z.infer<typeof BgpReport>;
