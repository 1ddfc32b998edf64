/**
 * The objects of the control plane as zod schemas: the one description from which validation, OpenAPI, the typed client and the
 * command line come. Imports core only. Fields are only ever added.
 *
 * Text forms: addresses are strict dotted quads or RFC 5952; CIDRs have no host bits; times are ISO 8601 UTC; ids are decimal.
 */
import { z } from 'zod';
import { Attachment } from './attachment.ts';
import { Device, Fabric, HostUplink, hostAsn, uplinks } from './fabric.ts';
import { HostState, Position, RetiringId, Waiting } from './lifecycle.ts';
import { location } from './location.ts';
import { Problem } from './report.ts';
import { addressText, cidrText, endpointName, groupPath, id, labels, name, width } from './text.ts';

export * from './attachment.ts';
export * from './bgp.ts';
export * from './credentials.ts';
export * from './lifecycle.ts';
export * from './report.ts';
export { addressText, cidrText, endpointName, name } from './text.ts';

/** What every stored object carries. `revision` is the store's revision of its last change: hand it back to change safely. */
const stored = { uid: z.string(), revision: z.int().min(0), createdAt: z.string() };

export const Layout = z
  .strictObject({ host: width, tenant: width, segment: width, endpoint: width })
  .describe('Widths in bits of the four fields; with the prefix length they fill the address exactly')
  .meta({ id: 'Layout' });

export const Infrastructure = z
  .enum(['allow', 'deny'])
  .describe("Whether endpoints of this network may reach the hosts' own addresses");

const tenants = z.array(name).max(4096).describe('Tenants that the network is open to; empty: to all');
export const NetworkInput = z
  .strictObject({
    name,
    cidr: cidrText.describe('Range of the network, IPv4 or IPv6'),
    layout: Layout.nullable().describe('Widths in bits of the four fields; null: a flat network'),
    infrastructure: Infrastructure.default('deny'),
    reserved: z.array(cidrText).max(1024).default([]).describe('Ranges never given out'),
    quarantineSeconds: z
      .int()
      .min(0)
      .max(86400)
      .default(30)
      .describe('Seconds a released address rests before reuse'),
    tenants: tenants.optional(),
  })
  .meta({ id: 'NetworkInput' });
export const NetworkChange = NetworkInput.pick({
  infrastructure: true,
  reserved: true,
  quarantineSeconds: true,
})
  .extend({
    infrastructure: Infrastructure,
    reserved: z.array(cidrText).max(1024),
    quarantineSeconds: z.int().min(0).max(86400),
    tenants,
  })
  .partial()
  .meta({ id: 'NetworkChange' });
export const Network = z
  .object({
    name,
    cidr: z.string(),
    family: z.union([z.literal(4), z.literal(6)]),
    layout: Layout.nullable().describe('Null: flat, its addresses say nothing; agents are not told of it'),
    infrastructure: Infrastructure,
    reserved: z.array(z.string()),
    quarantineSeconds: z.int(),
    tenants: z.array(z.string()).optional().describe('Tenants that it is open to; absent: to all'),
    ...stored,
  })
  .meta({ id: 'Network' });

/** Groups may have upper-case letters: files of Romana 2 do. */
const groupName = z
  .string()
  .min(1)
  .max(63)
  .regex(/^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/);
export interface GroupTree {
  name: string;
  assignment?: Record<string, string> | undefined;
  size?: number | undefined;
  slots?: number | undefined;
  growth?: number | undefined;
  fabric?: Fabric | undefined;
  devices?: Device[] | undefined;
  groups?: GroupTree[] | undefined;
}
const group: z.ZodType<GroupTree> = z
  .lazy(() =>
    z.strictObject({
      name: groupName,
      assignment: labels.optional().describe('A host that labels place here has all of these labels'),
      size: z.int().min(1).max(4294967296).optional().describe('Host ids of the group, a power of two'),
      slots: z.int().min(1).optional().describe('Groups that it can ever hold; adding inside moves nothing'),
      growth: z
        .int()
        .min(1)
        .max(65536)
        .optional()
        .describe('Host ids to reserve for each new host in it or below it that states no growth'),
      fabric: Fabric.optional().describe('Of what is below; absent: as above'),
      devices: z.array(Device).optional().describe('Switches and routers that serve it'),
      groups: z.array(group).optional(),
    }),
  )
  .meta({ id: 'PrefixGroup' });
const tree = {
  groups: z.array(group),
  name: z.string().optional().describe('Name of the topology; absent: default'),
  networks: z.array(z.string()).nullable().optional().describe('Networks that it carves; null: all'),
  slots: z.int().optional().describe('Groups that it can ever hold at its top'),
  fabric: Fabric.optional(),
  devices: z.array(Device).optional(),
};
export const Topology = z
  .object({
    ...tree,
    further: z.array(z.object(tree)).optional().describe('The second topology and those after it'),
    aggregates: z.array(
      z.object({
        path: z.string(),
        network: z.string(),
        cidr: z.string(),
        leaf: z.boolean(),
        topology: z.string().optional().describe('Where there are several: the one that carves the network'),
      }),
    ),
    revision: z.int(),
  })
  .meta({ id: 'Topology' });
export const Allocator = z.enum(['agent', 'server']).describe('Who gives out the addresses of a host id');
export const HostId = z
  .object({
    network: z.string(),
    id,
    allocator: Allocator,
    cidr: z.string(),
    grown: z.boolean().optional().describe('Taken because blocks ran full; goes back when it is empty'),
    retiring: z
      .boolean()
      .optional()
      .describe('On its way back: its agent gives out no more addresses of it; present only when true'),
  })
  .describe('A value of the host field held by a host')
  .meta({ id: 'HostId' });
export const HostReservation = z
  .object({
    network: z.string(),
    first: id.describe('First of its host ids; a multiple of size'),
    size: z.int().describe('Number of host ids, a power of two'),
    cidr: z.string(),
    pending: z
      .object({
        revision: z.int().describe('Every agent that joined has to apply this one'),
        id: id.describe('Host id granted as soon as it is active'),
        allocator: Allocator,
        grown: z.boolean().optional(),
        switches: z.boolean().describe('An operator has to confirm that the switches have the route'),
        waitingFor: z
          .array(z.string())
          .describe(
            'Hosts; "switch NAME": a device whose new routes an operator has to confirm; "switches": all of them; "bgp": the host has not announced it yet; "vpc ID": the route tables of a VPC; told by show and list alone',
          ),
      })
      .nullable()
      .describe(
        'Null: active. Else no address of it is given out, because not every device has its route yet',
      ),
  })
  .describe('Host ids kept for one host, routed as one range; its ids are granted inside them')
  .meta({ id: 'HostReservation' });
export const HostInput = z
  .strictObject({
    name,
    addresses: z
      .array(addressText)
      .min(1)
      .max(2)
      .describe("The host's own (underlay) addresses, at most one per family"),
    group: groupPath
      .nullable()
      .default(null)
      .describe('Prefix group (rack) that the host stands in; default: where its labels put it'),
    id: id.optional().describe('Host id to take in every network; default: the lowest free one of its group'),
    allocator: Allocator.default('agent'),
    growth: z
      .int()
      .min(1)
      .max(65536)
      .optional()
      .describe(
        'Host ids to reserve in each network, rounded up to a power of two (default 1): up to there it grows without a change of any route',
      ),
    labels: labels.default({}),
    uplinks: uplinks
      .optional()
      .describe('Its links to devices; default: its addresses on every device of its group'),
    asn: hostAsn.optional().describe('AS number of its BGP speaker; default: as its group says'),
  })
  .meta({ id: 'HostInput' });
export const HostChange = z
  .strictObject({
    addresses: z.array(addressText).min(1).max(2),
    labels,
    uplinks: uplinks.describe('Its links to devices; none: its addresses on every device of its group'),
    asn: hostAsn.nullable().describe('AS number of its BGP speaker; null: as its group says'),
  })
  .partial()
  .meta({ id: 'HostChange' });
export const HostIdInput = z
  .strictObject({
    network: name.optional().describe('Only in this network; default: in every network'),
    id: id.optional(),
    allocator: Allocator,
  })
  .meta({ id: 'HostIdInput' });
export const Host = z
  .object({
    name,
    addresses: z.array(z.string()),
    group: z.string().nullable().describe('Prefix group, in the first topology that has the host'),
    groups: z
      .array(z.object({ topology: z.string(), path: z.string() }))
      .optional()
      .describe('Where there are several topologies: its group in each that has it'),
    labels: z.record(z.string(), z.string()),
    ids: z.array(HostId),
    reservations: z.array(HostReservation).optional().describe('Absent when written by an older version'),
    joined: z.boolean().describe('Whether an agent holds a certificate for this host'),
    state: HostState.optional(),
    uplinks: z.array(HostUplink).optional().describe('Absent: its addresses on every device of its group'),
    asn: hostAsn.optional(),
    granted: z.array(z.string()).optional().describe('More-specific routes that it may announce'),
    lost: z.boolean().optional().describe('Nobody reaches it: routes to it are withdrawn on its link'),
    ...stored,
  })
  .meta({ id: 'Host' });

export const Isolation = z
  .enum(['segment', 'tenant', 'open'])
  .describe(
    'segment: only the same segment talks; tenant: the whole tenant; open: anybody, until a policy selects',
  );
export const TenantId = z.object({ network: z.string(), id }).meta({ id: 'TenantId' });
export const NumberInput = z
  .strictObject({
    network: name.optional().describe('Only in this network; default: in every network open to the tenant'),
    id: id.optional().describe('Exactly this one; default: the lowest free one'),
  })
  .meta({ id: 'NumberInput' });
export const TenantInput = z
  .strictObject({
    name,
    isolation: Isolation.default('segment'),
    id: id.optional().describe('Tenant id to take in every network; default: the lowest free one'),
  })
  .meta({ id: 'TenantInput' });
export const TenantChange = z.strictObject({ isolation: Isolation }).partial().meta({ id: 'TenantChange' });
export const Tenant = z
  .object({ name, isolation: Isolation, ids: z.array(TenantId), ...stored })
  .meta({ id: 'Tenant' });

export const SegmentInput = z
  .strictObject({ name, id: id.optional().describe('Segment id to take in every network') })
  .meta({ id: 'SegmentInput' });
export const Segment = z
  .object({ tenant: name, name, ids: z.array(TenantId), ...stored })
  .meta({ id: 'Segment' });

export const EndpointAddress = z
  .object({ network: z.string(), address: z.string() })
  .meta({ id: 'EndpointAddress' });
const endpointSpec = {
  host: name.describe('Host that the endpoint runs on'),
  networks: z
    .array(name)
    .min(1)
    .max(16)
    .optional()
    .describe('Networks to take an address of; default: the first network of each family'),
  addresses: z.array(addressText).max(16).optional().describe('Fixed addresses, at most one per network'),
  endpointId: id.optional().describe('Endpoint id to take in every network'),
  attachment: Attachment.default({ kind: 'none' }),
  sourcePrefixes: z
    .array(cidrText)
    .max(64)
    .default([])
    .describe('Further source prefixes the endpoint may send from (a router or NAT appliance)'),
};
export const EndpointInput = z
  .strictObject({ name: endpointName, ...endpointSpec })
  .meta({ id: 'EndpointInput' });
export const EndpointChange = z
  .strictObject({ attachment: Attachment, sourcePrefixes: z.array(cidrText).max(64) })
  .partial()
  .meta({ id: 'EndpointChange' });
export const Phase = z
  .enum(['pending', 'ready', 'failed', 'removing'])
  .describe('ready: addressed, wired and enforced in the kernel of its host');
export const Endpoint = z
  .object({
    tenant: name,
    segment: name,
    name: endpointName,
    host: z.string(),
    ...location,
    addresses: z.array(EndpointAddress),
    attachment: Attachment,
    sourcePrefixes: z.array(z.string()),
    allocator: Allocator,
    phase: Phase,
    message: z.string().describe('Why the phase is failed, else empty'),
    ...stored,
  })
  .meta({ id: 'Endpoint' });

export const HostStatus = z
  .object({
    name,
    joined: z.boolean(),
    applied: Position.nullable(),
    current: z.boolean().describe('Whether the host has applied the newest revision'),
    seenAt: z.string().nullable(),
    version: z.string().nullable(),
    problems: z.array(Problem),
    endpoints: z.int(),
  })
  .meta({ id: 'HostStatus' });
export const Status = z
  .object({
    incarnation: z.string(),
    revision: z.int(),
    version: z.string(),
    counts: z.object({
      networks: z.int(),
      hosts: z.int(),
      tenants: z.int(),
      segments: z.int(),
      endpoints: z.int(),
    }),
    hosts: z.array(HostStatus),
    retiring: z.array(RetiringId).default([]).describe('Ids of deleted tenants and segments not free yet'),
    waiting: Waiting.optional().describe('Absent: ids and addresses are given out'),
  })
  .meta({ id: 'Status' });
export const Identity = z
  .object({
    kind: z.enum(['token', 'host', 'anonymous']),
    name: z.string(),
    role: z.enum(['admin', 'viewer', 'agent', 'none']),
  })
  .meta({ id: 'Identity' });
export const ErrorBody = z
  .object({ code: z.string(), message: z.string(), details: z.record(z.string(), z.unknown()).optional() })
  .meta({ id: 'Error' });

export type Network = z.infer<typeof Network>;
/** Its addresses carry ids. */
export type LaidOut = Network & { layout: NonNullable<Network['layout']> };
export type NetworkInput = z.infer<typeof NetworkInput>;
export type NetworkChange = z.infer<typeof NetworkChange>;
export type Topology = z.infer<typeof Topology>;
export type Host = z.infer<typeof Host>;
export type HostInput = z.infer<typeof HostInput>;
export type HostChange = z.infer<typeof HostChange>;
export type HostId = z.infer<typeof HostId>;
export type HostReservation = z.infer<typeof HostReservation>;
export type HostIdInput = z.infer<typeof HostIdInput>;
export type HostStatus = z.infer<typeof HostStatus>;
export type Tenant = z.infer<typeof Tenant>;
export type TenantInput = z.infer<typeof TenantInput>;
export type TenantChange = z.infer<typeof TenantChange>;
export type Segment = z.infer<typeof Segment>;
export type SegmentInput = z.infer<typeof SegmentInput>;
export type Endpoint = z.infer<typeof Endpoint>;
export type EndpointInput = z.infer<typeof EndpointInput>;
export type EndpointChange = z.infer<typeof EndpointChange>;
export type EndpointAddress = z.infer<typeof EndpointAddress>;
export type Status = z.infer<typeof Status>;
export type Identity = z.infer<typeof Identity>;
