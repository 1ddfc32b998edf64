/**
 * Shared identity: endpoints whose tenant or segment has no number in a network live under tenant id 0, and nothing in their address
 * says whose they are. What may talk is then said by *groups*: a segment that isolates itself, or a whole tenant that does not. A
 * group lists its shared addresses one by one, and its encoded members as masked values. Elements grow with shared endpoints, never
 * with pairs of them.
 */
import { type Address, compareAddress, segmentIdentity, tenantIdentity } from '../address/index.ts';
import {
  idsIn,
  type PolicyModel,
  type PolicyNetwork,
  type PolicySegment,
  type PolicyTenant,
} from './model.ts';

export interface EncodedMember {
  readonly network: PolicyNetwork;
  /** Under the network's `identityMask` in a segment's group, under its `tenantMask` in a tenant's. */
  readonly value: Address;
}

export interface SharedGroup {
  /** Unlike that of every other group, the same on every run; from 1 to 2^32 − 2. */
  readonly number: number;
  /** At least one. */
  readonly addresses: readonly Address[];
  readonly encoded: readonly EncodedMember[];
}

export interface SharedRules {
  readonly groups: readonly SharedGroup[];
  /** Shared addresses of open tenants, which talk to anybody. */
  readonly open: readonly Address[];
}

export function compileShared(model: PolicyModel, present: ReadonlySet<string>): SharedRules {
  const named = new Map<string, Omit<SharedGroup, 'number'>>();
  for (const tenant of model.tenants) {
    if (!present.has(tenant.name)) continue;
    if (tenant.isolation === 'tenant') {
      named.set(tenant.name, {
        addresses: sharedOf(tenant.segments),
        encoded: model.networks.flatMap((network) =>
          idsIn(tenant.ids, network).map((id) => ({ network, value: tenantIdentity(network.plan, id) })),
        ),
      });
    }
    if (tenant.isolation === 'segment') {
      for (const segment of tenant.segments)
        named.set(`${tenant.name}/${segment.name}`, segmentGroup(model, tenant, segment));
    }
  }
  const used = [...named]
    .filter(([, { addresses }]) => addresses.length > 0)
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const numbers = numberNames(used.map(([name]) => name));
  return {
    groups: used.map(([name, { addresses, encoded }]) => ({
      number: numbers.get(name)!,
      addresses,
      encoded: [...encoded].sort((a, b) =>
        a.network === b.network ? compareAddress(a.value, b.value) : a.network.name < b.network.name ? -1 : 1,
      ),
    })),
    open: sharedOf(
      model.tenants.filter(({ isolation }) => isolation === 'open').flatMap(({ segments }) => segments),
    ),
  };
}

function segmentGroup(
  model: PolicyModel,
  tenant: PolicyTenant,
  segment: PolicySegment,
): Omit<SharedGroup, 'number'> {
  return {
    addresses: sharedOf([segment]),
    encoded: model.networks.flatMap((network) =>
      idsIn(tenant.ids, network).flatMap((tenantId) =>
        idsIn(segment.ids, network).map((id) => ({
          network,
          value: segmentIdentity(network.plan, tenantId, id),
        })),
      ),
    ),
  };
}

function sharedOf(segments: readonly PolicySegment[]): Address[] {
  return segments.flatMap(({ shared }) => shared ?? []).sort(compareAddress);
}

/**
 * A number from the name, so that a group that comes or goes leaves the others' elements as they are. Two names that meet at one
 * number are rare, and then the later name moves on.
 */
export function numberNames(
  sorted: readonly string[],
  hash: (name: string) => number = fnv,
): ReadonlyMap<string, number> {
  const taken = new Set<number>();
  const numbers = new Map<string, number>();
  for (const name of sorted) {
    let number = hash(name);
    // 0 and 2^32 − 1 have meanings of their own in the kernel.
    while (number === 0 || number === 0xffffffff || taken.has(number)) number = (number + 1) >>> 0;
    taken.add(number);
    numbers.set(name, number);
  }
  return numbers;
}

/** FNV-1a of 32 bits; names are ASCII. */
function fnv(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
