import { type Address, type AddressPlan, containsAddress, decode, equalAddress } from '../address/index.ts';

export type Isolation = 'segment' | 'tenant' | 'open';

export interface PolicyNetwork {
  readonly name: string;
  readonly plan: AddressPlan;
  /** Whether its endpoints may reach the hosts' own addresses. */
  readonly infrastructure: 'allow' | 'deny';
}

export interface NumberedIn {
  readonly network: string;
  readonly id: number;
}

export interface PolicySegment {
  readonly name: string;
  readonly ids: readonly NumberedIn[];
  /** Addresses of its endpoints under the shared identity (tenant id 0), which say nothing of tenant and segment. */
  readonly shared?: readonly Address[];
}

export interface PolicyTenant {
  readonly name: string;
  readonly isolation: Isolation;
  readonly ids: readonly NumberedIn[];
  readonly segments: readonly PolicySegment[];
}

export interface PolicyModel {
  readonly networks: readonly PolicyNetwork[];
  readonly tenants: readonly PolicyTenant[];
}

/** Whose address it is: `inside` says whether any Romana network holds it; tenant and segment are null when nobody is known. */
export interface Identity {
  readonly inside: boolean;
  readonly network: PolicyNetwork | null;
  readonly tenant: PolicyTenant | null;
  readonly segment: PolicySegment | null;
}

const outside: Identity = { inside: false, network: null, tenant: null, segment: null };

/** Reads tenant and segment out of an address, slowly and obviously. */
export function identify(model: PolicyModel, address: Address): Identity {
  const network = model.networks.find((candidate) => containsAddress(candidate.plan.cidr, address));
  if (network === undefined) return outside;
  const ids = decode(network.plan, address);
  if (ids?.tenant === 0) return { inside: true, network, ...sharedOwner(model, address) };
  const has = (numbers: readonly NumberedIn[], id: number): boolean =>
    numbers.some((number) => number.network === network.name && number.id === id);
  const tenant =
    ids === undefined ? undefined : model.tenants.find((candidate) => has(candidate.ids, ids.tenant));
  const segment = tenant?.segments.find((candidate) => ids !== undefined && has(candidate.ids, ids.segment));
  return { inside: true, network, tenant: tenant ?? null, segment: segment ?? null };
}

function sharedOwner(model: PolicyModel, address: Address): Pick<Identity, 'tenant' | 'segment'> {
  for (const tenant of model.tenants) {
    for (const segment of tenant.segments) {
      if (segment.shared?.some((shared) => equalAddress(shared, address)) === true)
        return { tenant, segment };
    }
  }
  return { tenant: null, segment: null };
}

/** The numbers held in one network. */
export function idsIn(numbers: readonly NumberedIn[], network: PolicyNetwork): number[] {
  return numbers.filter((number) => number.network === network.name).map((number) => number.id);
}
