import type { Client } from '#contract/client.ts';
import { routingInput } from '#contract/routing.ts';
import { exportDevice as exportText } from '#core/routing/export/index.ts';
import { planRouting } from '#core/routing/index.ts';
import type { SwitchFormat } from './switches.ts';

export async function exportDevice(client: Client, device: string, format: SwitchFormat): Promise<string> {
  const [topology, networks, hosts] = await Promise.all([
    client.topologyShow(),
    client.networkList(),
    client.hostList(),
  ]);
  const routing = planRouting(
    routingInput({ topology, networks: networks.items, hosts: hosts.items }),
  ).device(device);
  if (routing === undefined) throw new Error(`no device ${device}`);
  return exportText(routing, format, {});
}
