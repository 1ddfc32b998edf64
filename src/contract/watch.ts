/**
 * The watch stream, `GET /v1/watch?since=INCARNATION:REVISION` (server-sent events; `Last-Event-ID` means the same as `since`).
 *
 * The stream begins either where the caller stopped or with a whole snapshot: `snapshot` (begin), one `object` per object, then
 * `synced`. After that come changes in revision order: `object` (created or changed) and `gone`. Every event that ends a revision
 * carries `id: INCARNATION:REVISION`. `position` is the heartbeat: it moves the position past changes the caller may not see.
 * `behind` tells a slow consumer that the server drops it; it comes back with its last position.
 *
 * Existence is decided by `object` or `gone` alone; a consumer may see the same state twice, never an older after a newer one.
 */
import type * as m from './model.ts';

export const watchPath = '/v1/watch';

/** An endpoint elsewhere whose address says nothing of its tenant, told to a host that has endpoints of that tenant. */
export interface SharedPeer {
  /** The host that is told. */
  readonly host: string;
  readonly tenant: string;
  readonly segment: string;
  readonly addresses: readonly m.EndpointAddress[];
  readonly revision: number;
}

/** What agents and viewers may see; the agent of a host sees every kind but only its own endpoints. */
export interface WatchedObjects {
  network: m.Network;
  topology: m.Topology;
  host: m.Host;
  tenant: m.Tenant;
  segment: m.Segment;
  endpoint: m.Endpoint;
  /** Addresses under the shared identity that a host needs to know; only the agent of that host sees them. */
  sharedpeer: SharedPeer;
}
export type Kind = keyof WatchedObjects;
export const kinds = [
  'network',
  'topology',
  'host',
  'tenant',
  'segment',
  'endpoint',
  'sharedpeer',
] as const satisfies readonly Kind[];

/**
 * `key` is the name; `tenant/segment` for segments, `tenant/segment/endpoint` for endpoints, `` for the topology,
 * `host/tenant/segment/uid` for shared peers.
 */
export type WatchEvent =
  | { readonly type: 'snapshot' }
  | {
      readonly [K in Kind]: {
        readonly type: 'object';
        readonly kind: K;
        readonly key: string;
        readonly value: WatchedObjects[K];
      };
    }[Kind]
  | { readonly type: 'gone'; readonly kind: Kind; readonly key: string }
  | { readonly type: 'synced'; readonly position: m.Position }
  | { readonly type: 'position'; readonly position: m.Position }
  | { readonly type: 'behind' };
