/** What a rules table lets pass, read from its elements as the rules of `agent/rules/build.ts` use them. */
import type { KernelTable } from '#agent/drivers/nftables/table.ts';
import { type Address, andAddress, containsAddress, formatAddress } from '#core/address/index.ts';
import type { PolicyNetwork } from '#core/policy/index.ts';

export interface Packet {
  readonly source: Address;
  readonly destination: Address;
}

export function letsOut(table: KernelTable, networks: readonly PolicyNetwork[], packet: Packet): boolean {
  const inside = networks.some(({ plan }) => containsAddress(plan.cidr, packet.destination));
  return (
    !inside ||
    paired(table, networks, packet) ||
    grouped(table, networks, packet) ||
    open(table, networks, packet.source)
  );
}

export function letsIn(table: KernelTable, networks: readonly PolicyNetwork[], packet: Packet): boolean {
  return (
    paired(table, networks, packet) ||
    grouped(table, networks, packet) ||
    open(table, networks, packet.destination)
  );
}

function paired(table: KernelTable, networks: readonly PolicyNetwork[], packet: Packet): boolean {
  const { source, destination } = packet;
  return networks.some((from) =>
    networks
      .filter((to) => to.plan.family === from.plan.family && from.plan.family === source.family)
      .some((to) =>
        (['identityMask', 'tenantMask'] as const).some((mask) => {
          const set = `${mask === 'identityMask' ? 'segments' : 'tenants'}/${from.name}/${to.name}`;
          return has(
            table,
            set,
            `${masked(source, from.plan[mask])} . ${masked(destination, to.plan[mask])}`,
          );
        }),
      ),
  );
}

/** One side is under the shared identity, and the other in its group: by its address, or masked as that of an encoded one. */
function grouped(table: KernelTable, networks: readonly PolicyNetwork[], packet: Packet): boolean {
  const { source, destination } = packet;
  const group = (address: Address): string | undefined => {
    const prefix = `${formatAddress(address)} : `;
    return [...(table.sets.get(`shared${address.family}`)?.elements ?? [])]
      .find((element) => element.startsWith(prefix))
      ?.slice(prefix.length);
  };
  const holds = (of: Address, other: Address): boolean => {
    const found = group(of);
    return (
      found !== undefined &&
      (has(table, `shared_members${other.family}`, `${found} . ${formatAddress(other)}`) ||
        networks
          .filter(({ plan }) => plan.family === other.family)
          .some(({ name, plan }) =>
            (['identityMask', 'tenantMask'] as const).some((mask) =>
              has(table, `shared_encoded/${name}`, `${found} . ${masked(other, plan[mask])}`),
            ),
          ))
    );
  };
  return source.family === destination.family && (holds(source, destination) || holds(destination, source));
}

function open(table: KernelTable, networks: readonly PolicyNetwork[], address: Address): boolean {
  return (
    has(table, `shared_open${address.family}`, formatAddress(address)) ||
    networks
      .filter(({ plan }) => plan.family === address.family)
      .some(({ name, plan }) => has(table, `open/${name}`, masked(address, plan.tenantMask)))
  );
}

function has(table: KernelTable, set: string, element: string): boolean {
  return table.sets.get(set)?.elements.has(element) === true;
}

function masked(address: Address, mask: Address): string {
  return formatAddress(andAddress(address, mask));
}
