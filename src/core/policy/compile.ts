/**
 * Compiles the model to identity rules: masked address values that say the same on every host. A driver turns them into kernel
 * sets; the same values can be written as access lists with wildcard masks for a switch.
 *
 * Tenants that isolate segments become one pair per segment under `identityMask`; tenants that do not become one pair, and open
 * tenants one value, under `tenantMask`: their size does not grow with segments either.
 */
import { type Address, compareAddress, segmentIdentity, tenantIdentity } from '../address/index.ts';
import { idsIn, type NumberedIn, type PolicyModel, type PolicyNetwork, type PolicyTenant } from './model.ts';
import { compileShared, type SharedRules } from './shared.ts';

export interface IdentityPair {
  readonly source: Address;
  readonly destination: Address;
}

/** What may talk, from one network to another of the same family; each side is masked with its own network's mask. */
export interface PairTable {
  readonly from: PolicyNetwork;
  readonly to: PolicyNetwork;
  /** Values under `identityMask`. */
  readonly segments: readonly IdentityPair[];
  /** Values under `tenantMask`. */
  readonly tenants: readonly IdentityPair[];
}

export interface OpenTable {
  readonly network: PolicyNetwork;
  /** Values under `tenantMask`. */
  readonly tenants: readonly Address[];
}

export interface IdentityRules {
  readonly networks: readonly PolicyNetwork[];
  readonly pairs: readonly PairTable[];
  readonly open: readonly OpenTable[];
  readonly shared: SharedRules;
}

/**
 * `present` are the names of the tenants with endpoints on the host that the rules are for; pairs of others would never match
 * there. Open tenants are all listed: an open tenant's endpoint elsewhere may reach this host's own addresses.
 */
export function compileIdentityRules(model: PolicyModel, present: ReadonlySet<string>): IdentityRules {
  const networks = [...model.networks].sort((a, b) => (a.name < b.name ? -1 : 1));
  const here = model.tenants.filter((tenant) => present.has(tenant.name));
  const pairs: PairTable[] = networks.flatMap((from) =>
    networks
      .filter((to) => to.plan.family === from.plan.family)
      .map((to) => ({
        from,
        to,
        segments: here
          .filter((tenant) => tenant.isolation === 'segment')
          .flatMap((tenant) => segmentPairs(tenant, from, to))
          .sort(byPair),
        tenants: here
          .filter((tenant) => tenant.isolation === 'tenant')
          .flatMap((tenant) => product(tenantValues(tenant, from), tenantValues(tenant, to)))
          .sort(byPair),
      })),
  );
  const open = networks.map((network) => ({
    network,
    tenants: model.tenants
      .filter((tenant) => tenant.isolation === 'open')
      .flatMap((tenant) => tenantValues(tenant, network))
      .sort(compareAddress),
  }));
  return { networks, pairs, open, shared: compileShared(model, present) };
}

function segmentPairs(tenant: PolicyTenant, from: PolicyNetwork, to: PolicyNetwork): IdentityPair[] {
  const values = (ids: readonly NumberedIn[], network: PolicyNetwork): Address[] =>
    idsIn(tenant.ids, network).flatMap((tenantId) =>
      idsIn(ids, network).map((segmentId) => segmentIdentity(network.plan, tenantId, segmentId)),
    );
  return tenant.segments.flatMap((segment) => product(values(segment.ids, from), values(segment.ids, to)));
}

function tenantValues(tenant: PolicyTenant, network: PolicyNetwork): Address[] {
  return idsIn(tenant.ids, network).map((id) => tenantIdentity(network.plan, id));
}

function product(sources: readonly Address[], destinations: readonly Address[]): IdentityPair[] {
  return sources.flatMap((source) => destinations.map((destination) => ({ source, destination })));
}

function byPair(a: IdentityPair, b: IdentityPair): number {
  return compareAddress(a.source, b.source) || compareAddress(a.destination, b.destination);
}
