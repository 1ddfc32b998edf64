/** Topology files over the wire. The format itself is judged by core/plan/topology, with and without a server alike. */
import { z } from 'zod';

const filePart = z.record(z.string(), z.unknown());
export const TopologyInput = z
  .strictObject({
    networks: z.array(filePart).max(1024).describe('Networks to create or to change'),
    topologies: z.array(filePart).max(1024).describe('The prefix groups; left out: they stay as they are'),
    hosts: z.array(filePart).max(65536).describe('Hosts that labels place'),
    groups: z
      .array(filePart)
      .max(65536)
      .describe('Prefix groups in carving order; short for one topology of all networks'),
  })
  .partial()
  .describe('A topology file (docs/topology.md)')
  .meta({ id: 'TopologyInput' });
export const TopologyFile = z
  .object({ networks: z.array(filePart), topologies: z.array(filePart), hosts: z.array(filePart) })
  .meta({ id: 'TopologyFile' });
export const TopologyDiff = z
  .object({
    revision: z.int().describe('Revision of the topology that was compared'),
    changes: z
      .array(
        z.object({
          action: z.enum(['create', 'change']),
          kind: z.enum(['network', 'topology', 'host']),
          name: z.string(),
          fields: z.array(z.string()).describe('What changes; empty for what is new'),
        }),
      )
      .describe('What applying the file does'),
    blocked: z
      .object({
        hosts: z
          .array(z.object({ name: z.string(), from: z.string().nullable(), to: z.string().nullable() }))
          .describe('Hosts whose host ids would move, and the groups they stand in before and after'),
        endpoints: z.array(z.string()).describe('The first 20 of the endpoints on them'),
        endpointCount: z.int(),
      })
      .nullable()
      .describe('Null: the file can be applied'),
    steps: z.array(z.string()).describe('What to do, in order, so that a blocked file can be applied'),
  })
  .meta({ id: 'TopologyDiff' });

export type TopologyInput = z.infer<typeof TopologyInput>;
export type TopologyFile = z.infer<typeof TopologyFile>;
export type TopologyDiff = z.infer<typeof TopologyDiff>;
