/** Which tenants a network is open to, and which networks an endpoint gets addresses of when nobody says: for server and agent alike. */

export interface Openness {
  /** Absent or empty: open to all. */
  readonly tenants?: readonly string[] | undefined;
}

export function isOpenTo({ tenants = [] }: Openness, tenant: string): boolean {
  return tenants.length === 0 || tenants.includes(tenant);
}

/** Of each family, the first network that names the tenant, else the first that is open to all. `networks`: the oldest first. */
export function networksByDefault<T extends Openness>(
  networks: readonly T[],
  familyOf: (network: T) => 4 | 6,
  tenant: string,
): T[] {
  return ([4, 6] as const).flatMap((family) => {
    const open = networks.filter((network) => familyOf(network) === family && isOpenTo(network, tenant));
    const [first] = open;
    const chosen = open.find(({ tenants = [] }) => tenants.length > 0) ?? first;
    return chosen === undefined ? [] : [chosen];
  });
}
