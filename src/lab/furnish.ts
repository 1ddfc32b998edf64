/** The objects that a lab begins with: networks, groups, hosts, tenants and segments, made as a user makes them. */
import type { Client } from '#contract/client.ts';
import type { Host, NetworkInput, Topology } from '#contract/model.ts';
import { type LabPlan, NETWORKS } from './plan.ts';
import { TENANTS, type Tenant } from './spread.ts';
import type { Addressing } from './topology.ts';

export interface Furniture {
  readonly tenants?: readonly Tenant[];
  readonly networks?: readonly Pick<NetworkInput, 'name' | 'cidr' | 'layout'>[];
  /** Host ids reserved for each host. */
  readonly growth?: number;
}

export async function furnish(
  client: Client,
  plan: LabPlan,
  { file, leaves }: Addressing,
  { tenants = TENANTS, networks = NETWORKS, growth = 1 }: Furniture,
): Promise<{ hosts: Host[]; topology: Topology }> {
  if (file === null) {
    for (const { name, cidr, layout } of networks)
      await client.networkCreate({ body: { name, cidr, layout, quarantineSeconds: 5 } });
  }
  const body = file ?? { groups: plan.racks.map(({ name }) => ({ name })) };
  const topology = await client.topologyApply({ body });
  const hosts: Host[] = [];
  for (const { name, address4, address6, rack, allocator } of plan.hosts) {
    const addresses = [address4, address6];
    const group = file === null ? rack.name : (leaves.get(rack.name) ?? null);
    const labels = { rack: rack.name, host: name };
    hosts.push(await client.hostCreate({ body: { name, addresses, group, allocator, growth, labels } }));
  }
  for (const { name, isolation, segments } of tenants) {
    await client.tenantCreate({ body: { name, isolation } });
    for (const segment of segments)
      await client.segmentCreate({ params: { tenant: name }, body: { name: segment } });
  }
  return { hosts, topology };
}
