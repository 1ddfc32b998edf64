/**
 * What of this host others must wait for before ids change owner. Imports contract, core, agent. See the reuse barrier of the server.
 *
 * 1. An endpoint counts from before its allocation is durable until it is released *and* a whole pass has left it out of the kernel.
 * 2. Of a host id that is on its way back nothing is given out any more; it is empty when no endpoint that counts has an address of it.
 * 3. A position is acknowledged when it is applied and the view on disk is not older: no crash brings back what came before.
 */
import type * as m from '#contract/model.ts';
import { addressPlan, containsAddress, decode, formatAddress, parseCidr } from '#core/address/index.ts';
import type { WiredEndpoint } from './desired.ts';
import type { ViewObjects } from './view.ts';

/** Of an endpoint: what says whose addresses it has. */
export type Claim = Pick<WiredEndpoint, 'key' | 'placed'>;

/** Endpoints that the kernel may hold: those of passes that began since the last whole one, and of that one. */
export class MaybeWired {
  #claims = new Map<string, Claim>();
  #latest: readonly Claim[] = [];

  began(endpoints: readonly Claim[]): void {
    this.#latest = endpoints;
    for (const claim of endpoints) this.#claims.set(identityOf(claim), claim);
  }

  /** Passes do not overlap: it is the one that began last. */
  ended(whole: boolean): void {
    if (whole) this.#claims = new Map(this.#latest.map((claim) => [identityOf(claim), claim]));
  }

  list(): readonly Claim[] {
    return [...this.#claims.values()];
  }
}

export interface Holdings {
  readonly holds: number;
  readonly orphans: m.HostReport['orphans'];
}

export function holdingsOf(claims: readonly Claim[], objects: ViewObjects): Holdings {
  const distinct = new Map(claims.map((claim) => [identityOf(claim), claim]));
  const orphans = new Map<string, m.HostReport['orphans'][number]>();
  for (const claim of distinct.values()) {
    for (const orphan of orphansOf(claim, objects))
      orphans.set(`${orphan.network}/${orphan.tenant}/${orphan.segment}`, orphan);
  }
  return { holds: distinct.size, orphans: [...orphans.values()] };
}

/** Whether this agent gives out addresses of a host id. */
export function isUsable({ allocator, retiring }: m.HostId): boolean {
  return allocator === 'agent' && retiring !== true;
}

export type EmptyIds = NonNullable<m.HostReport['empty']>;

/** Those of the retiring ids of `host` that nothing has an address of; null when none is retiring. */
export function emptyIds(claims: readonly Claim[], objects: ViewObjects, host: string): EmptyIds | null {
  const retiring = (objects.host.get(host)?.ids ?? []).filter((one) => one.retiring === true);
  if (retiring.length === 0) return null;
  const used = new Set<string>();
  for (const { network: name, address } of claims.flatMap(({ placed }) => placed)) {
    const network = objects.network.get(name);
    const plan = network === undefined ? undefined : addressPlan(parseCidr(network.cidr), network.layout);
    const inside = plan !== undefined && containsAddress(plan.cidr, address);
    const id = inside ? decode(plan, address)?.host : undefined;
    // An address of another network of this name: nobody can say which id that is now.
    used.add(id === undefined ? name : `${name}/${id}`);
  }
  return retiring.flatMap(({ network, id }) =>
    used.has(network) || used.has(`${network}/${id}`) ? [] : [{ network, id }],
  );
}

/** Ids in its addresses that its tenant or segment does not have as far as the view says. */
function orphansOf({ key, placed }: Claim, objects: ViewObjects): m.HostReport['orphans'] {
  const [tenantName = '', segmentName = ''] = key.split('/');
  const tenant = objects.tenant.get(tenantName);
  const segment = objects.segment.get(`${tenantName}/${segmentName}`);
  return placed.flatMap(({ network: name, address }) => {
    const network = objects.network.get(name);
    const plan = network === undefined ? undefined : addressPlan(parseCidr(network.cidr), network.layout);
    const ids =
      plan === undefined || !containsAddress(plan.cidr, address) ? undefined : decode(plan, address);
    if (ids === undefined) return [{ network: name, tenant: 0, segment: 0 }];
    return has(tenant?.ids, name, ids.tenant) && has(segment?.ids, name, ids.segment)
      ? []
      : [{ network: name, tenant: ids.tenant, segment: ids.segment }];
  });
}

function has(ids: m.Tenant['ids'] | undefined, network: string, id: number): boolean {
  return ids?.some((entry) => entry.network === network && entry.id === id) === true;
}

function identityOf({ key, placed }: Claim): string {
  return [
    key,
    ...placed.map(({ network, address }) => `${network} ${formatAddress(address)}`).toSorted(),
  ].join(' ');
}

/** The older one; null when one is unknown or they are of different stores. */
export function olderOf(a: m.Position | null, b: m.Position | null): m.Position | null {
  if (a === null || b === null || a.incarnation !== b.incarnation) return null;
  return a.revision <= b.revision ? a : b;
}
