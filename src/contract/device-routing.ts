/** `romana route export --format json`: all that is planned for a device. Written by core/routing/export. */
import { z } from 'zod';
import { platforms } from '#core/routing/fabric.ts';

const hop = z.object({
  address: z.string(),
  to: z.string().describe('Host or device'),
  link: z.string().nullable().describe('Null: whatever leads to the address'),
});
const kinds = ['l2', 'l3-static', 'bgp', 'vpc'] as const;
const why = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('own') }),
    z.object({ kind: z.enum(['host', 'address', 'granted', 'withdrawn']), host: z.string() }),
    z.object({ kind: z.literal('group'), topology: z.string(), path: z.string() }),
    z.object({ kind: z.literal('network'), network: z.string() }),
  ])
  .describe('Why it exists; own: what nobody has is dropped here');
const route = z.object({
  prefix: z.string(),
  action: z.enum(['forward', 'drop']),
  nextHops: z.array(hop).describe('More than one: equal cost'),
  why,
});
const family = z.union([z.literal(4), z.literal(6)]);
const neighbour = z.object({
  name: z.string(),
  role: z.enum(['host', 'below', 'above']),
  address: z.string().nullable().describe('Null: unnumbered, over the link'),
  local: z.string().nullable(),
  link: z.string().nullable(),
  asn: z.int(),
  families: z.array(family),
  accept: z.array(z.string()).describe('Exactly these prefixes'),
  acceptWithin: z.array(z.string()).describe('These and everything inside them'),
  announce: z.array(z.string()),
  announceWithin: z.array(z.string()),
  password: z.boolean(),
  ttlSecurity: z.boolean(),
  bfd: z.object({ intervalMs: z.int(), multiplier: z.int() }).nullable(),
  maxPrefixes: z.int().nullable(),
  routeReflectorClient: z.boolean(),
});
export const DeviceRoutingDocument = z
  .object({
    device: z.string(),
    platform: z.enum(platforms),
    topology: z.string(),
    group: z.string().describe('Path of the group that it serves; empty: the whole topology'),
    fabric: z.enum(kinds),
    revision: z.int().nullable(),
    budget: z.object({ limit: z.int().nullable().describe('Null: unknown'), used: z.int() }),
    routes: z.array(route).describe('All of its table, whoever brings them: configuration or sessions'),
    gateways: z.array(hop).describe('Where its default route leads'),
    bgp: z
      .object({
        asn: z.int(),
        routerId: z.string(),
        originate: z.array(z.string()).describe('Announced from here, and dropped where nobody has more'),
        advertise: z.array(z.string()).describe('Announced from here and not dropped'),
        statics: z.array(route).describe('To be configured: no session brings them'),
        neighbours: z.array(neighbour),
        ecmp: z.int(),
        gracefulRestartSeconds: z.int(),
        holdSeconds: z.int(),
      })
      .nullable()
      .describe('Null: all routes are to be configured'),
    problems: z.array(z.object({ code: z.string(), about: z.string(), message: z.string() })),
  })
  .meta({ id: 'DeviceRoutingDocument' });
