/**
 * The operation table: every route of the control plane, once. Server routes, OpenAPI, the typed client and the commands of the
 * command line are derived from it (see `generate.ts`); to add a capability, add a row.
 *
 * `access` is who may call: `admin`, `viewer` (admin too), `agent` (the certificate of the host named in the path), `any` (nobody
 * in particular). `cli` names the command: `[noun, verb]`; path parameters become its arguments, body and query its options.
 */
import { z } from 'zod';
import * as ipam from './ipam.ts';
import * as m from './model.ts';
import * as routing from './routing-model.ts';
import * as topology from './topology.ts';
import * as vpc from './vpc.ts';

export type Access = 'admin' | 'viewer' | 'agent' | 'any';
export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface Operation {
  readonly method: Method;
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly params: z.ZodObject;
  readonly query: z.ZodObject;
  readonly body: z.ZodType | null;
  /** Null: answers 204 without a body. */
  readonly response: z.ZodType | null;
  readonly success: 200 | 201 | 202 | 204;
  readonly cli: readonly [noun: string, verb: string] | null;
}

const none = z.object({});
/** Given: the change is refused with `revision_conflict` unless the object still has this revision. */
const guarded = z.object({
  ifRevision: z.coerce
    .number()
    .int()
    .min(0)
    .optional()
    .describe('Refuse unless the object has this revision'),
});
const flag = z.enum(['true', 'false']).default('false');
/** As it stands in a query. */
function option(description: string) {
  return z
    .preprocess((value) => (value === 'true' ? true : value === 'false' ? false : value), z.boolean())
    .meta({ type: 'boolean', description })
    .optional();
}
const hostEnd = guarded.extend({
  drain: option(
    'Also while it holds endpoints: nothing new is placed there, and it is gone after the last one',
  ),
  dead: option(
    'The machine is lost: forget its endpoints and cut it off until it returns or is confirmed to be off',
  ),
});
const byName = z.object({ name: m.name });
const inTenant = z.object({ tenant: m.name });
const segmentKey = z.object({ tenant: m.name, name: m.name });
const inSegment = z.object({ tenant: m.name, segment: m.name });
const endpointKey = z.object({ tenant: m.name, segment: m.name, name: m.endpointName });

function list<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), revision: z.int() });
}

// biome-ignore format: one operation a line reads as the table that it is
export const operations = {
  networkCreate: { method: 'POST', path: '/v1/networks', summary: 'Create a network', access: 'admin', params: none, query: none, body: m.NetworkInput, response: m.Network, success: 201, cli: ['network', 'create'] },
  networkList: { method: 'GET', path: '/v1/networks', summary: 'List networks', access: 'viewer', params: none, query: none, body: null, response: list(m.Network), success: 200, cli: ['network', 'list'] },
  networkShow: { method: 'GET', path: '/v1/networks/:name', summary: 'Show one network', access: 'viewer', params: byName, query: none, body: null, response: m.Network, success: 200, cli: ['network', 'show'] },
  networkUpdate: { method: 'PATCH', path: '/v1/networks/:name', summary: 'Change a network', access: 'admin', params: byName, query: guarded, body: m.NetworkChange, response: m.Network, success: 200, cli: ['network', 'update'] },
  networkDelete: { method: 'DELETE', path: '/v1/networks/:name', summary: 'Delete a network that holds no endpoint', access: 'admin', params: byName, query: guarded, body: null, response: null, success: 204, cli: ['network', 'delete'] },

  networkReserve: { method: 'POST', path: '/v1/networks/:name/reservations', summary: 'Reserve a range of a network: it is never given out', access: 'admin', params: byName, query: guarded, body: ipam.ReservationInput, response: m.Network, success: 200, cli: null },
  networkUnreserve: { method: 'DELETE', path: '/v1/networks/:name/reservations/:cidr', summary: 'Give a reserved range back, exactly as it was reserved', access: 'admin', params: z.object({ name: m.name, cidr: m.cidrText }), query: guarded, body: null, response: m.Network, success: 200, cli: null },

  topologyShow: { method: 'GET', path: '/v1/topology', summary: 'Show the prefix groups and their aggregates', access: 'viewer', params: none, query: none, body: null, response: m.Topology, success: 200, cli: null },
  topologyApply: { method: 'PUT', path: '/v1/topology', summary: 'Apply a topology file as a whole; refused if a host would move', access: 'admin', params: none, query: guarded, body: topology.TopologyInput, response: m.Topology, success: 200, cli: null },
  topologyDiff: { method: 'POST', path: '/v1/topology/diff', summary: 'What applying a topology file would change, or what is in its way', access: 'admin', params: none, query: none, body: topology.TopologyInput, response: topology.TopologyDiff, success: 200, cli: null },
  topologyExport: { method: 'GET', path: '/v1/topology/export', summary: 'The topology file that describes what there is', access: 'viewer', params: none, query: none, body: null, response: topology.TopologyFile, success: 200, cli: null },

  hostCreate: { method: 'POST', path: '/v1/hosts', summary: 'Create a host and give it a host id in every network', access: 'admin', params: none, query: none, body: m.HostInput, response: m.Host, success: 201, cli: ['host', 'create'] },
  hostList: { method: 'GET', path: '/v1/hosts', summary: 'List hosts', access: 'viewer', params: none, query: none, body: null, response: list(m.Host), success: 200, cli: ['host', 'list'] },
  hostShow: { method: 'GET', path: '/v1/hosts/:name', summary: 'Show one host', access: 'viewer', params: byName, query: none, body: null, response: m.Host, success: 200, cli: ['host', 'show'] },
  hostUpdate: { method: 'PATCH', path: '/v1/hosts/:name', summary: 'Change underlay addresses, labels or links of a host', access: 'admin', params: byName, query: guarded, body: m.HostChange, response: m.Host, success: 200, cli: ['host', 'update'] },
  hostDelete: { method: 'DELETE', path: '/v1/hosts/:name', summary: 'Delete a host when its agent holds nothing any more', access: 'admin', params: byName, query: hostEnd, body: null, response: m.HostDeletion, success: 200, cli: ['host', 'delete'] },
  hostFence: { method: 'POST', path: '/v1/hosts/:name/fence', summary: 'Confirm that a fenced host is off, so that its ids are free', access: 'admin', params: byName, query: none, body: m.HostFenceInput, response: m.HostDeletion, success: 200, cli: ['host', 'fence'] },
  hostAddId: { method: 'POST', path: '/v1/hosts/:name/ids', summary: 'Give a host a further host id', access: 'admin', params: byName, query: none, body: m.HostIdInput, response: m.Host, success: 201, cli: ['host', 'add-id'] },
  hostConfirm: { method: 'POST', path: '/v1/hosts/:name/confirm', summary: 'Say that the switches have the routes of the host', access: 'admin', params: byName, query: none, body: null, response: m.Host, success: 200, cli: ['host', 'confirm'] },
  hostJoinToken: { method: 'POST', path: '/v1/hosts/:name/join-tokens', summary: 'Make a token with which the agent of this host joins', access: 'admin', params: byName, query: none, body: m.JoinTokenInput, response: m.JoinToken, success: 201, cli: ['host', 'join-token'] },
  hostReport: { method: 'PUT', path: '/v1/hosts/:name/report', summary: "An agent's report: applied position, problems, endpoints", access: 'agent', params: byName, query: none, body: m.HostReport, response: m.HostReportAnswer, success: 200, cli: null },

  tenantCreate: { method: 'POST', path: '/v1/tenants', summary: 'Create a tenant', access: 'admin', params: none, query: none, body: m.TenantInput, response: m.Tenant, success: 201, cli: ['tenant', 'create'] },
  tenantList: { method: 'GET', path: '/v1/tenants', summary: 'List tenants', access: 'viewer', params: none, query: none, body: null, response: list(m.Tenant), success: 200, cli: ['tenant', 'list'] },
  tenantShow: { method: 'GET', path: '/v1/tenants/:name', summary: 'Show one tenant', access: 'viewer', params: byName, query: none, body: null, response: m.Tenant, success: 200, cli: ['tenant', 'show'] },
  tenantUpdate: { method: 'PATCH', path: '/v1/tenants/:name', summary: 'Change the isolation of a tenant while it runs', access: 'admin', params: byName, query: guarded, body: m.TenantChange, response: m.Tenant, success: 200, cli: ['tenant', 'update'] },
  tenantDelete: { method: 'DELETE', path: '/v1/tenants/:name', summary: 'Delete a tenant that holds no segment', access: 'admin', params: byName, query: guarded, body: null, response: null, success: 204, cli: ['tenant', 'delete'] },
  tenantAddId: { method: 'POST', path: '/v1/tenants/:name/ids', summary: 'Give a tenant a further id: more room for each of its segments', access: 'admin', params: byName, query: none, body: m.NumberInput, response: m.Tenant, success: 201, cli: ['tenant', 'add-id'] },

  segmentCreate: { method: 'POST', path: '/v1/tenants/:tenant/segments', summary: 'Create a segment of a tenant', access: 'admin', params: inTenant, query: none, body: m.SegmentInput, response: m.Segment, success: 201, cli: ['segment', 'create'] },
  segmentList: { method: 'GET', path: '/v1/segments', summary: 'List segments', access: 'viewer', params: none, query: z.object({ tenant: m.name.optional() }), body: null, response: list(m.Segment), success: 200, cli: ['segment', 'list'] },
  segmentShow: { method: 'GET', path: '/v1/tenants/:tenant/segments/:name', summary: 'Show one segment', access: 'viewer', params: segmentKey, query: none, body: null, response: m.Segment, success: 200, cli: ['segment', 'show'] },
  segmentDelete: { method: 'DELETE', path: '/v1/tenants/:tenant/segments/:name', summary: 'Delete a segment that holds no endpoint', access: 'admin', params: segmentKey, query: guarded, body: null, response: null, success: 204, cli: ['segment', 'delete'] },
  segmentAddId: { method: 'POST', path: '/v1/tenants/:tenant/segments/:name/ids', summary: 'Give a segment a further id: more room for its endpoints on every host', access: 'admin', params: segmentKey, query: none, body: m.NumberInput, response: m.Segment, success: 201, cli: ['segment', 'add-id'] },

  endpointCreate: { method: 'POST', path: '/v1/tenants/:tenant/segments/:segment/endpoints', summary: 'Create an endpoint; the server gives its addresses', access: 'admin', params: inSegment, query: none, body: m.EndpointInput, response: m.Endpoint, success: 201, cli: ['endpoint', 'create'] },
  endpointList: { method: 'GET', path: '/v1/endpoints', summary: 'List endpoints', access: 'viewer', params: none, query: z.object({ tenant: m.name.optional(), segment: m.name.optional(), host: m.name.optional() }), body: null, response: list(m.Endpoint), success: 200, cli: ['endpoint', 'list'] },
  endpointShow: { method: 'GET', path: '/v1/tenants/:tenant/segments/:segment/endpoints/:name', summary: 'Show one endpoint', access: 'viewer', params: endpointKey, query: none, body: null, response: m.Endpoint, success: 200, cli: ['endpoint', 'show'] },
  endpointUpdate: { method: 'PATCH', path: '/v1/tenants/:tenant/segments/:segment/endpoints/:name', summary: 'Wire an endpoint, or change its source prefixes', access: 'admin', params: endpointKey, query: guarded, body: m.EndpointChange, response: m.Endpoint, success: 200, cli: ['endpoint', 'update'] },
  endpointDelete: { method: 'DELETE', path: '/v1/tenants/:tenant/segments/:segment/endpoints/:name', summary: 'Remove an endpoint; its address rests until the host confirms', access: 'admin', params: endpointKey, query: guarded, body: null, response: null, success: 204, cli: ['endpoint', 'delete'] },

  vpcPlan: { method: 'GET', path: '/v1/vpc/plan', summary: 'What would be written into the route tables of VPCs, and why', access: 'viewer', params: none, query: none, body: null, response: vpc.VpcPlan, success: 200, cli: null },
  vpcStatus: { method: 'GET', path: '/v1/vpc/status', summary: 'Whether the route tables of VPCs are as planned, who forwards, what failed', access: 'viewer', params: none, query: none, body: null, response: vpc.VpcStatus, success: 200, cli: null },

  addressExplain: { method: 'GET', path: '/v1/addresses/:address', summary: 'Decode an address and name what it belongs to', access: 'viewer', params: z.object({ address: m.addressText }), query: none, body: null, response: ipam.DecodedAddress, success: 200, cli: null },

  ipamShow: { method: 'GET', path: '/v1/ipam', summary: 'Count the addresses of networks, groups, hosts, tenants and blocks', access: 'viewer', params: none, query: z.object({ network: m.name.optional(), host: m.name.optional(), tenant: m.name.optional(), tree: flag, tenants: flag, blocks: flag }), body: null, response: ipam.IpamUsage, success: 200, cli: null },
  ipamCheck: { method: 'GET', path: '/v1/ipam/check', summary: 'Compare all records of addresses with each other, with agents and with kernels', access: 'viewer', params: none, query: none, body: null, response: ipam.IpamCheck, success: 200, cli: null },
  ipamRelease: { method: 'POST', path: '/v1/ipam/release', summary: 'Release leaked allocations of a report, unless they changed since', access: 'admin', params: none, query: none, body: ipam.IpamReleaseInput, response: ipam.IpamReleaseAnswer, success: 200, cli: null },

  routeList: { method: 'GET', path: '/v1/routes', summary: 'Routes of hosts and devices, and why each exists', access: 'viewer', params: none, query: z.object({ host: m.name.optional(), device: m.name.optional() }), body: null, response: routing.RouteList, success: 200, cli: null },
  routeExplain: { method: 'GET', path: '/v1/routes/explain', summary: 'The way of a packet, hop by hop, and why each route exists', access: 'viewer', params: none, query: z.object({ source: routing.place, destination: routing.place }), body: null, response: routing.RouteExplanation, success: 200, cli: null },
  routeDiff: { method: 'POST', path: '/v1/routes/diff', summary: 'Which routes applying a topology file would change', access: 'admin', params: none, query: none, body: topology.TopologyInput, response: routing.RouteDiff, success: 200, cli: null },
  routeExport: { method: 'GET', path: '/v1/devices/:device/routes', summary: 'Configuration that gives a device its routes', access: 'viewer', params: z.object({ device: m.name }), query: z.object({ format: routing.platform.optional() }), body: null, response: routing.RouteExport, success: 200, cli: null },
  routeConfirm: { method: 'POST', path: '/v1/devices/:device/confirm', summary: 'Say that a device has the routes of a revision', access: 'admin', params: z.object({ device: m.name }), query: none, body: routing.RouteConfirmInput, response: routing.RouteConfirmation, success: 200, cli: null },
  bgpStatus: { method: 'GET', path: '/v1/bgp', summary: "Sessions of the hosts' BGP speakers", access: 'viewer', params: none, query: z.object({ host: m.name.optional() }), body: null, response: routing.BgpStatus, success: 200, cli: null },

  tokenCreate: { method: 'POST', path: '/v1/tokens', summary: 'Make a token for a person or program', access: 'admin', params: none, query: none, body: m.TokenInput, response: m.IssuedToken, success: 201, cli: ['token', 'create'] },
  tokenList: { method: 'GET', path: '/v1/tokens', summary: 'List tokens, without their secrets', access: 'admin', params: none, query: none, body: null, response: list(m.Token), success: 200, cli: ['token', 'list'] },
  tokenDelete: { method: 'DELETE', path: '/v1/tokens/:name', summary: 'Revoke a token', access: 'admin', params: byName, query: none, body: null, response: null, success: 204, cli: ['token', 'delete'] },

  join: { method: 'POST', path: '/v1/join', summary: 'Turn a join token into the certificate of a host', access: 'any', params: none, query: none, body: m.JoinInput, response: m.Certificate, success: 201, cli: null },
  renew: { method: 'POST', path: '/v1/hosts/:name/certificate', summary: "Renew the certificate of the caller's host", access: 'agent', params: byName, query: none, body: m.RenewInput, response: m.Certificate, success: 201, cli: null },
  status: { method: 'GET', path: '/v1/status', summary: 'Revision, counts and what each host has applied', access: 'viewer', params: none, query: none, body: null, response: m.Status, success: 200, cli: null },
  whoami: { method: 'GET', path: '/v1/whoami', summary: 'Who the caller is taken for', access: 'any', params: none, query: none, body: null, response: m.Identity, success: 200, cli: null },
} as const satisfies Record<string, Operation>;

export type OperationId = keyof typeof operations;
function isOperationId(id: string): id is OperationId {
  return Object.hasOwn(operations, id);
}
/** The table as rows, widened to `Operation`. */
export const operationRows = Object.entries<Operation>(operations).flatMap(
  ([id, operation]): [OperationId, Operation][] => (isOperationId(id) ? [[id, operation]] : []),
);
type Op<K extends OperationId> = (typeof operations)[K];
/** What a caller hands in: defaults may be left out. */
export type ParamsOf<K extends OperationId> = z.input<Op<K>['params']>;
export type QueryOf<K extends OperationId> = z.input<Op<K>['query']>;
export type BodyOf<K extends OperationId> = Op<K>['body'] extends z.ZodType
  ? z.input<Op<K>['body']>
  : undefined;
export type AnswerOf<K extends OperationId> = Op<K>['response'] extends z.ZodType
  ? z.output<Op<K>['response']>
  : undefined;
