/** The objects that a lab begins with: networks, groups, switches, hosts, tenants and segments, made as a user makes them. */
import type { Client } from '#contract/client.ts';
import type { Host, NetworkInput } from '#contract/model.ts';
import { ownTopology, uplinksOf, withFabric } from './fabric.ts';
import { type HostPlan, type LabPlan, NETWORKS } from './plan.ts';
import { TENANTS, type Tenant } from './spread.ts';
import { type Addressing, groupsOfRacks } from './topology.ts';

export interface Furniture {
  readonly tenants?: readonly Tenant[];
  readonly networks?: readonly Pick<NetworkInput, 'name' | 'cidr' | 'layout'>[];
  /** Host ids reserved for each host. */
  readonly growth?: number;
  /** Hosts that are cabled and not made yet: they join later. */
  readonly absent?: readonly string[];
}

export async function furnish(
  client: Client,
  plan: LabPlan,
  addressing: Addressing,
  { tenants = TENANTS, networks = NETWORKS, growth = 1, absent = [] }: Furniture,
): Promise<void> {
  const { file } = addressing;
  if (file === null) {
    for (const { name, cidr, layout } of networks)
      await client.networkCreate({ body: { name, cidr, layout, quarantineSeconds: 5 } });
  }
  await client.topologyApply({ body: file ?? ownTopology(plan) });
  const present = plan.hosts.filter(({ name }) => !absent.includes(name));
  const hosts: Host[] = [];
  for (const host of present) hosts.push(await makeHost(client, host, addressing, growth, file === null));
  if (file !== null) {
    // Where labels place the hosts, only now it is known which group a switch serves.
    const racks = groupsOfRacks(present, hosts);
    await client.topologyApply({ body: withFabric(plan, file, racks) });
    for (const host of present) await cable(client, host);
  }
  for (const { name, isolation, segments } of tenants) {
    await client.tenantCreate({ body: { name, isolation } });
    for (const segment of segments)
      await client.segmentCreate({ params: { tenant: name }, body: { name: segment } });
  }
}

/** `cabled`: its switches are stated already. */
export async function makeHost(
  client: Client,
  host: HostPlan,
  { file, leaves }: Addressing,
  growth: number,
  cabled: boolean,
): Promise<Host> {
  const { name, address4, address6, rack, allocator } = host;
  const uplinks = cabled ? uplinksOf(host) : [];
  const body = {
    name,
    addresses: [address4, address6],
    group: file === null ? rack.name : (leaves.get(rack.name) ?? null),
    allocator,
    growth,
    labels: { rack: rack.name, host: name },
    ...(uplinks.length === 0 ? {} : { uplinks }),
  };
  return client.hostCreate({ body });
}

async function cable(client: Client, host: HostPlan): Promise<void> {
  const uplinks = uplinksOf(host);
  if (uplinks.length > 0) await client.hostUpdate({ params: { name: host.name }, body: { uplinks } });
}
