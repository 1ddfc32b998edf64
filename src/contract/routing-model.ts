/** What people and programs are told of routes and of the sessions that carry them. */
import { z } from 'zod';
import { platforms } from '#core/routing/fabric.ts';
import { BgpReport } from './bgp.ts';
import { name } from './text.ts';
import { TopologyDiff } from './topology.ts';

export const BgpHost = z
  .object({
    host: name,
    group: z.string().nullable(),
    daemon: z
      .enum(['bird', 'frr', 'exabgp', 'gobgp', 'quagga'])
      .nullable()
      .describe('As its group says; null: no group of it says that it runs one'),
    seenAt: z.string().nullable().describe('When its agent last told of it'),
    ageSeconds: z.int().nullable().describe('How long ago that is'),
    report: BgpReport.nullable().describe('Null: its agent has told nothing yet'),
  })
  .meta({ id: 'BgpHost' });
export const BgpStatus = z
  .object({ items: z.array(BgpHost).describe('Hosts that run a BGP speaker, or should') })
  .meta({ id: 'BgpStatus' });

export type BgpHost = z.infer<typeof BgpHost>;
export type BgpStatus = z.infer<typeof BgpStatus>;

const hop = z
  .object({
    address: z.string(),
    to: z.string().describe('Host or device'),
    link: z
      .string()
      .nullable()
      .describe('Link of the host that it is reached over, where its uplink names one'),
  })
  .meta({ id: 'RouteHop' });
export const RouteWhy = z
  .discriminatedUnion('kind', [
    z.object({ kind: z.literal('own') }),
    z.object({ kind: z.literal('host'), host: z.string() }),
    z.object({ kind: z.literal('granted'), host: z.string() }),
    z.object({ kind: z.literal('group'), topology: z.string(), path: z.string() }),
    z.object({ kind: z.literal('network'), network: z.string() }),
    z.object({ kind: z.literal('address'), host: z.string() }),
    z.object({ kind: z.literal('withdrawn'), host: z.string() }),
    z.object({ kind: z.literal('foreign') }),
  ])
  .meta({ id: 'RouteWhy' });
export const RouteEntry = z
  .object({
    cidr: z.string(),
    kind: z
      .enum(['direct', 'learned', 'static', 'bgp', 'drop', 'unreachable'])
      .describe(
        'direct: from host to host; learned: announced to the host by its devices; static, bgp: how the device comes by it; drop, unreachable: goes no further',
      ),
    nextHops: z.array(hop).describe('More than one: equal cost; empty: goes no further'),
    why: RouteWhy,
    reason: z.string().describe('The same in words'),
  })
  .meta({ id: 'RouteEntry' });
const routingProblem = z.object({ code: z.string(), message: z.string(), about: z.string() });
export const RouteTable = z
  .object({
    name: z.string(),
    type: z.enum(['host', 'device']),
    fabrics: z.array(z.enum(['l2', 'l3-static', 'bgp', 'vpc'])),
    topology: z.string().nullable().describe('Of a device: that lists it; null: a host'),
    group: z.string().nullable().describe('Of a device: the group that it serves'),
    routes: z.array(RouteEntry),
    gateways: z.array(hop).describe("Where the default route leads; it is the site's, not Romana's"),
    budget: z.int().nullable().describe('Routes that the device has room for; null: unknown'),
    problems: z.array(routingProblem),
  })
  .meta({ id: 'RouteTable' });
export const RouteList = z
  .object({
    revision: z.int(),
    items: z.array(RouteTable).describe('Devices, then hosts'),
    left: z.int().describe('Devices and hosts left out, because the answer would be too long: ask for them'),
  })
  .meta({ id: 'RouteList' });

export const platform = z.enum(platforms);
export const RouteExport = z
  .object({
    device: z.string(),
    format: platform,
    revision: z.int().describe('Confirm this one when the device has the routes'),
    routes: z.int(),
    budget: z.int().nullable(),
    over: z.boolean().describe('More routes than the device has room for'),
    problems: z.array(routingProblem),
    text: z.string().describe('The whole configuration; ROMANA-BGP-PASSWORD stands where a password belongs'),
  })
  .meta({ id: 'RouteExport' });
export const RouteConfirmInput = z
  .strictObject({ revision: z.int().min(0).describe('Of the export that the device was given') })
  .meta({ id: 'RouteConfirmInput' });
export const RouteConfirmation = z
  .object({
    device: z.string(),
    revision: z.int(),
    active: z.array(z.string()).describe('Hosts whose further host ids can be used from now on'),
    pending: z
      .array(z.object({ host: z.string(), cidr: z.string(), waitingFor: z.array(z.string()) }))
      .describe('What is still waited for on its way'),
  })
  .meta({ id: 'RouteConfirmation' });

const hopRoute = RouteEntry.omit({ kind: true }).meta({ id: 'RouteOfHop' });
export const RouteDiff = z
  .object({
    revision: z.int(),
    nodes: z
      .array(
        z.object({
          name: z.string(),
          type: z.enum(['host', 'device']),
          presence: z.enum(['new', 'gone', 'both']),
          added: z.array(RouteEntry),
          removed: z.array(RouteEntry),
          changed: z
            .array(z.object({ before: RouteEntry, after: RouteEntry }))
            .describe(
              'Led elsewhere, or on a device static where it was told over BGP, or the other way round',
            ),
          sessions: z
            .object({
              added: z.array(z.string()),
              removed: z.array(z.string()),
              changed: z.array(z.string()).describe('What is announced or accepted in them changes'),
            })
            .describe('BGP sessions, by neighbour and its address'),
          budget: z.int().nullable(),
          routes: z.int().nullable().describe('Routes after the change; null: the device or host is gone'),
        }),
      )
      .describe('Devices, then hosts, that have a difference'),
    devices: z.int(),
    hosts: z.int(),
    added: z.int(),
    removed: z.int(),
    changed: z.int(),
    left: z.int().describe('Hosts that were not looked at, because there are too many routes'),
    blocked: TopologyDiff.shape.blocked,
  })
  .meta({ id: 'RouteDiff' });

export const place = z
  .string()
  .min(1)
  .max(400)
  .describe('An address, an endpoint as TENANT/SEGMENT/NAME, or a host');
const explained = z.object({
  address: z.string(),
  what: z.string().describe('Whose address it is'),
  host: z.string().nullable().describe('Host that it belongs to'),
});
export const RouteExplanation = z
  .object({
    revision: z.int(),
    source: explained,
    destination: explained,
    hops: z.array(
      z.object({
        at: z.string().describe('Host, device or route table of a VPC'),
        type: z.enum(['host', 'device', 'table']),
        route: hopRoute.nullable().describe('Null: the default route, or the address is its own'),
        nextHops: z.array(hop).describe('The first is followed; the others have equal cost'),
      }),
    ),
    end: z.object({
      kind: z.enum(['delivered', 'dropped', 'leaves', 'loop']),
      at: z.string(),
      reason: z.string(),
    }),
    notes: z.array(z.string()).describe('What else stands in the way'),
  })
  .meta({ id: 'RouteExplanation' });

export type RouteDiff = z.infer<typeof RouteDiff>;
export type RouteExplanation = z.infer<typeof RouteExplanation>;
export type RouteEntry = z.infer<typeof RouteEntry>;
export type RouteTable = z.infer<typeof RouteTable>;
export type RouteList = z.infer<typeof RouteList>;
export type RouteExport = z.infer<typeof RouteExport>;
export type RouteConfirmation = z.infer<typeof RouteConfirmation>;
