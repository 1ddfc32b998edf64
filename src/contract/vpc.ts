/** What people and programs are told of the route tables of VPCs. */
import { z } from 'zod';

const family = z.union([z.literal(4), z.literal(6)]);
export const VpcProblem = z
  .object({
    code: z.string(),
    message: z.string(),
    about: z.string().describe('Host, table, group or permission'),
  })
  .meta({ id: 'VpcProblem' });
export const VpcTableUse = z
  .object({
    family,
    limit: z.int().describe('Routes of ours that it may have'),
    routes: z.int().describe('Routes of ours in the plan'),
    foreign: z.int().describe('Routes of others, which count against the quota'),
  })
  .meta({ id: 'VpcTableUse' });
export const VpcRoute = z
  .object({
    cidr: z.string(),
    target: z.string().describe('A network interface, or a connection'),
    host: z.string().nullable().describe('That it leads to; null: a connection'),
    kind: z
      .enum(['host', 'granted', 'router', 'remote'])
      .describe('router: the host forwards for others of its subnet; remote: reached over a connection'),
    why: z.string(),
    action: z.enum(['keep', 'create', 'replace']),
    from: z.string().nullable().describe('What it leads to now; null: nothing'),
  })
  .meta({ id: 'VpcRoute' });
const otherRoute = z.object({ cidr: z.string(), target: z.string() });
export const VpcTable = z
  .object({
    table: z.string(),
    use: z.array(VpcTableUse),
    routes: z.array(VpcRoute),
    remove: z.array(otherRoute).describe('Routes of ours that nothing needs any more'),
    foreign: z.array(otherRoute).describe('Routes of others inside Romana networks: never touched'),
  })
  .meta({ id: 'VpcTable' });
export const VpcRouter = z
  .object({
    host: z.string(),
    instance: z.string(),
    zone: z.string(),
    health: z
      .enum(['fit', 'suspect', 'dead'])
      .describe('suspect: one observer says that it is not well; dead: two do, or the instance does not run'),
    ranges: z.array(z.object({ cidr: z.string(), hosts: z.int() })),
  })
  .meta({ id: 'VpcRouter' });
const place = { region: z.string(), vpc: z.string() };
export const VpcPlan = z
  .object({
    items: z.array(
      z.object({
        ...place,
        at: z.string(),
        tables: z.array(VpcTable),
        routers: z.array(VpcRouter),
        checks: z
          .array(z.object({ host: z.string(), instance: z.string(), interface: z.string() }))
          .describe('Network interfaces whose source/destination check is to be switched off'),
        problems: z.array(VpcProblem),
      }),
    ),
  })
  .meta({ id: 'VpcPlan' });
export const VpcStatus = z
  .object({
    items: z.array(
      z.object({
        ...place,
        writer: z.boolean().describe('Whether this server is the one that writes'),
        readAt: z.string().nullable().describe('When the tables were read last'),
        settledAt: z.string().nullable().describe('When they were last found as planned'),
        drift: z
          .int()
          .nullable()
          .describe('Changes outstanding after the last round; null: none was made yet'),
        quota: z.int().nullable().describe('Routes of one family in a table; null: could not be read'),
        tables: z.array(z.object({ table: z.string(), use: z.array(VpcTableUse), drift: z.int() })),
        routers: z.array(VpcRouter),
        problems: z.array(VpcProblem),
        lastError: z
          .object({ at: z.string(), action: z.string(), code: z.string(), message: z.string() })
          .nullable(),
        calls: z.object({ made: z.int(), throttled: z.int(), failed: z.int() }).describe('Since the start'),
        written: z
          .object({ created: z.int(), replaced: z.int(), deleted: z.int() })
          .describe('Since the start'),
      }),
    ),
  })
  .meta({ id: 'VpcStatus' });

export type VpcPlan = z.infer<typeof VpcPlan>;
export type VpcStatus = z.infer<typeof VpcStatus>;
