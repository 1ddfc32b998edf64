/**
 * Shared identity: who has no number of its own, and which hosts are told of whose shared addresses.
 *
 * 1. A tenant without an id in a network, and a segment without one, has its endpoints there under tenant id 0. Nothing fails for lack
 *    of ids.
 * 2. A host is told the shared addresses (object kind `sharedpeer`) of the tenants that have endpoints on it, and of open tenants, since
 *    their endpoints may reach any host's own addresses. Of its own endpoints it knows by itself. All in the transaction that
 *    changes the need: the first endpoint of a tenant on a host and the addresses that it needs have one revision.
 * 3. An address under the shared identity goes to another segment only when every host with an agent has acknowledged the revision at
 *    which it was taken from its last owner; to the same segment at any time. Quarantine comes on top.
 */
import { locationOf } from '#contract/location.ts';
import type { Endpoint, Host, Tenant } from '#contract/model.ts';
import type { SharedPeer } from '#contract/watch.ts';
import { parseAddress } from '#core/address/index.ts';
import { type BarredId, locate, type Placed } from '#core/ipam/index.ts';
import type { ReadTx, Store, Tx } from '#store/port.ts';
import type { HostStatuses } from './host-status.ts';
import { reached } from './reuse.ts';

/** Endpoints with shared addresses, by `tenant/segment/name`. */
const sharedKind = '_shared';
/** Shared addresses that were taken from an owner, by `network/host id/endpoint id`. */
const formerKind = '_sharedformer';

interface SharedRecord extends SharedPeer {
  readonly uid: string;
}
interface Former {
  /** `tenant/segment` */
  readonly owner: string;
  readonly revision: number;
}
type Whose = Pick<Endpoint, 'tenant' | 'segment' | 'name'>;

const keyOf = ({ tenant, segment, name }: Whose): string => `${tenant}/${segment}/${name}`;
const peerKey = (
  host: string,
  { tenant, segment, uid }: Pick<SharedRecord, 'tenant' | 'segment' | 'uid'>,
): string => `${host}/${tenant}/${segment}/${uid}`;
const formerKey = ({ network, hostId, endpointId }: Placed): string => `${network}/${hostId}/${endpointId}`;

/** After an endpoint was put, new or at another location. */
export function endpointAdded(tx: Tx, endpoint: Endpoint): void {
  const tenant = tx.get('tenant', endpoint.tenant);
  if (tenant === undefined) return;
  const placed = sharedAddresses(tx, endpoint);
  const host = locationOf(endpoint);
  if (placed.length > 0) {
    for (const one of placed)
      if (tx.row(formerKind, formerKey(one)) !== undefined) tx.delete(formerKind, formerKey(one));
    const { segment, uid } = endpoint;
    const networks = new Set(placed.map(({ network }) => network));
    const addresses = endpoint.addresses.filter(({ network }) => networks.has(network));
    const record: Omit<SharedRecord, 'revision'> = { host, tenant: tenant.name, segment, addresses, uid };
    tx.put(sharedKind, keyOf(endpoint), record);
    for (const other of hostsInNeed(tx, tenant)) if (other !== host) tellOne(tx, other, record);
  }
  if (tenant.isolation !== 'open' && countOn(tx, endpoint, 2) === 1) tell(tx, host, tenant.name);
}

/** After an endpoint (as it was) was deleted or put at another location, or before another incarnation of it is put. */
export function endpointRemoved(tx: Tx, endpoint: Endpoint): void {
  const key = keyOf(endpoint);
  const record = tx.get(sharedKind, key) as SharedRecord | undefined;
  if (record !== undefined) {
    tx.delete(sharedKind, key);
    // Those who were told, whoever needs it now.
    for (const { key: host } of tx.list('host')) {
      if (tx.row('sharedpeer', peerKey(host, record)) !== undefined)
        tx.delete('sharedpeer', peerKey(host, record));
    }
    for (const one of sharedAddresses(tx, endpoint)) {
      const former: Former = { owner: `${endpoint.tenant}/${endpoint.segment}`, revision: tx.revision };
      tx.put(formerKind, formerKey(one), former);
    }
  }
  const isolation = tx.get('tenant', endpoint.tenant)?.isolation;
  if (isolation !== 'open' && countOn(tx, endpoint, 1) === 0)
    untell(tx, `${locationOf(endpoint)}/${endpoint.tenant}/`);
}

/** After the isolation of a tenant changed: open ones are told everywhere. */
export function isolationChanged(tx: Tx, tenant: Tenant): void {
  if (tx.count(sharedKind, { prefix: `${tenant.name}/` }) === 0) return;
  const needed = new Set(hostsInNeed(tx, tenant));
  for (const { key: host } of tx.list('host')) {
    if (needed.has(host)) tell(tx, host, tenant.name);
    else untell(tx, `${host}/${tenant.name}/`);
  }
}

export function hostAdded(tx: Tx, host: string): void {
  const told = new Set(tx.list(sharedKind).map(({ value }) => (value as SharedRecord).tenant));
  for (const tenant of told) if (tx.get('tenant', tenant)?.isolation === 'open') tell(tx, host, tenant);
}

export function hostRemoved(tx: Tx, host: string): void {
  untell(tx, `${host}/`);
}

function hostsInNeed(tx: ReadTx, { name, isolation }: Tenant): string[] {
  return isolation === 'open' ? tx.list('host').map(({ key }) => key) : tx.hostsOf(`${name}/`);
}

/** How many endpoints of the tenant are on the host, counted to `most`: there may be thousands, and this is asked for each. */
function countOn(tx: ReadTx, endpoint: Endpoint, most: number): number {
  const { tenant } = endpoint;
  return tx.list('endpoint', { prefix: `${tenant}/`, host: locationOf(endpoint), limit: most }).length;
}

function tell(tx: Tx, host: string, tenant: string): void {
  for (const { value } of tx.list(sharedKind, { prefix: `${tenant}/` })) {
    const record = value as SharedRecord;
    if (record.host !== host && tx.row('sharedpeer', peerKey(host, record)) === undefined)
      tellOne(tx, host, record);
  }
}

function tellOne(tx: Tx, host: string, record: Omit<SharedRecord, 'revision'>): void {
  const { tenant, segment, addresses } = record;
  tx.put('sharedpeer', peerKey(host, record), { host, tenant, segment, addresses });
}

function untell(tx: Tx, prefix: string): void {
  for (const { key } of tx.list('sharedpeer', { prefix })) tx.delete('sharedpeer', key);
}

function sharedAddresses(tx: ReadTx, { addresses }: Endpoint): Placed[] {
  return addresses.flatMap(({ network: name, address }) => {
    const network = tx.ipam.network(name);
    const placed = network === undefined ? undefined : locate(network, parseAddress(address));
    return placed?.tenantId === 0 ? [placed] : [];
  });
}

/** Which shared addresses may not change owner yet. */
export class SharedBarrier {
  readonly #store: Store;
  readonly #statuses: HostStatuses;

  constructor(store: Store, statuses: HostStatuses) {
    this.#store = store;
    this.#statuses = statuses;
  }

  /** Ids in the shared blocks of these host ids that `owner` (tenant/segment) may not have. */
  barred(tx: ReadTx, network: string, hostIds: readonly number[], owner: string): BarredId[] {
    const others = hostIds.flatMap((hostId) =>
      tx
        .list(formerKind, { prefix: `${network}/${hostId}/` })
        .map(({ key, value }) => ({ hostId, endpointId: Number(key.split('/')[2]), former: value as Former }))
        .filter(({ former }) => former.owner !== owner),
    );
    if (others.length === 0) return [];
    const agents = tx
      .list('host')
      .flatMap(({ value }) => (value.joined && value.state !== 'fenced' ? [value] : []));
    return others.filter(({ former }) => !agents.every((host) => this.#hasSeen(host, former)));
  }

  #hasSeen(host: Host, { revision }: Former): boolean {
    return reached(this.#statuses.said(host)?.acknowledged ?? null, this.#store.position(), revision);
  }
}
