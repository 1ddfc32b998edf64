/** What people and programs are told of routes and of the sessions that carry them. */
import { z } from 'zod';
import { BgpReport } from './bgp.ts';
import { name } from './text.ts';

export const BgpHost = z
  .object({
    host: name,
    group: z.string().nullable(),
    daemon: z
      .enum(['bird', 'frr', 'exabgp', 'gobgp', 'quagga'])
      .nullable()
      .describe('As its group says; null: no group of it says that it runs one'),
    seenAt: z.string().nullable().describe('When its agent last told of it'),
    report: BgpReport.nullable().describe('Null: its agent has told nothing yet'),
  })
  .meta({ id: 'BgpHost' });
export const BgpStatus = z
  .object({ items: z.array(BgpHost).describe('Hosts that run a BGP speaker, or should') })
  .meta({ id: 'BgpStatus' });

export type BgpHost = z.infer<typeof BgpHost>;
export type BgpStatus = z.infer<typeof BgpStatus>;
