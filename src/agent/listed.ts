/**
 * Whether what this host holds agrees with whose the ids are. A restored control plane waits for that before it gives anything out.
 * Imports contract, core, agent.
 */
import type * as m from '#contract/model.ts';
import { addressPlan, decode, parseCidr } from '#core/address/index.ts';
import type { LocalAllocator } from './allocator.ts';
import type { WiredEndpoint } from './desired.ts';
import type { ViewObjects } from './view.ts';

/** Whether all that the journal holds or is about to hold is in `local`, and nothing of it has an id of another. */
export function isUndisputed(
  allocator: Pick<LocalAllocator, 'claims'>,
  local: readonly WiredEndpoint[],
  objects: ViewObjects,
  host: string,
): boolean {
  const listed = new Set(local.map(({ uid }) => uid));
  return allocator.claims().every(({ uid }) => listed.has(uid)) && !holdsOthers(local, objects, host);
}

/**
 * Whether some endpoint of this host that is not on record has an id that the view gives to another: a host id that is not this host's,
 * the tenant id or segment id of another. Ids that nobody has are no such: the control plane keeps them from everybody.
 */
export function holdsOthers(local: readonly WiredEndpoint[], objects: ViewObjects, host: string): boolean {
  const unknown = local.filter(({ key, uid }) => objects.endpoint.get(key)?.uid !== uid);
  if (unknown.length === 0) return false;
  const plans = new Map(
    [...objects.network].map(([name, { cidr, layout }]) => [name, addressPlan(parseCidr(cidr), layout)]),
  );
  const owners = ownersOf(objects);
  const mine = hostIdsOf(objects.host.get(host));
  return unknown.some(({ key, placed }) => {
    const [tenant = '', segment = ''] = key.split('/');
    return placed.some(({ network, address }) => {
      const plan = plans.get(network);
      const ids = plan && decode(plan, address);
      if (ids === undefined) return false;
      const ofTenant = owners.get(`${network}/${ids.tenant}`) ?? tenant;
      const ofSegment = owners.get(`${network}/${ids.tenant}/${ids.segment}`) ?? segment;
      return !mine.has(`${network}/${ids.host}`) || ofTenant !== tenant || ofSegment !== segment;
    });
  });
}

function ownersOf(objects: ViewObjects): ReadonlyMap<string, string> {
  const owners = new Map<string, string>();
  for (const tenant of objects.tenant.values())
    for (const { network, id } of tenant.ids) owners.set(`${network}/${id}`, tenant.name);
  for (const segment of objects.segment.values()) {
    const tenantIds = objects.tenant.get(segment.tenant)?.ids ?? [];
    for (const { network, id } of segment.ids)
      for (const one of tenantIds)
        if (one.network === network) owners.set(`${network}/${one.id}/${id}`, segment.name);
  }
  return owners;
}

/** Those that wait for their route too: nobody else gets them. */
function hostIdsOf(host: m.Host | undefined): ReadonlySet<string> {
  const pending = (host?.reservations ?? []).flatMap(({ network, pending: waits }) =>
    waits === null ? [] : [`${network}/${waits.id}`],
  );
  return new Set([...(host?.ids ?? []).map(({ network, id }) => `${network}/${id}`), ...pending]);
}
