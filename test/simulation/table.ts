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
  return !inside || paired(table, networks, packet) || open(table, networks, packet.source);
}

export function letsIn(table: KernelTable, networks: readonly PolicyNetwork[], packet: Packet): boolean {
  return paired(table, networks, packet) || open(table, networks, packet.destination);
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

function open(table: KernelTable, networks: readonly PolicyNetwork[], address: Address): boolean {
  return networks
    .filter(({ plan }) => plan.family === address.family)
    .some(({ name, plan }) => has(table, `open/${name}`, masked(address, plan.tenantMask)));
}

function has(table: KernelTable, set: string, element: string): boolean {
  return table.sets.get(set)?.elements.has(element) === true;
}

function masked(address: Address, mask: Address): string {
  return formatAddress(andAddress(address, mask));
}
