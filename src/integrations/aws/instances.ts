/** Which instance a host is: the one with its underlay address, or the one that its label names. */
import { formatAddress } from '#core/address/index.ts';
import type { RoutingHost } from '#core/routing/model.ts';
import type { VpcInstance } from '#core/routing/vpc/index.ts';
import type { CloudInstance, CloudInterface } from './api.ts';

/** Label of a host whose underlay addresses are not those of its instance. */
export const instanceLabel = 'aws/instance';

export function matchInstances(
  hosts: readonly RoutingHost[],
  labels: ReadonlyMap<string, string>,
  found: readonly CloudInstance[],
  impaired: ReadonlySet<string>,
): Map<string, VpcInstance> {
  const byId = new Map(found.map((instance) => [instance.id, instance]));
  const byAddress = new Map<string, [CloudInstance, CloudInterface]>();
  for (const instance of found)
    for (const one of instance.interfaces)
      for (const address of one.addresses) byAddress.set(address, [instance, one]);
  const matched = new Map<string, VpcInstance>();
  for (const host of hosts) {
    const texts = host.addresses.map(formatAddress);
    const label = labels.get(host.name);
    const pair = label === undefined ? addressed(texts, byAddress) : labelled(byId.get(label), texts);
    if (pair === undefined) continue;
    const [{ id, zone, state }, { id: networkInterface, subnet, forwards }] = pair;
    matched.set(host.name, {
      id,
      interface: networkInterface,
      subnet,
      zone,
      state,
      impaired: impaired.has(id),
      forwards,
    });
  }
  return matched;
}

function addressed(
  texts: readonly string[],
  byAddress: ReadonlyMap<string, [CloudInstance, CloudInterface]>,
): [CloudInstance, CloudInterface] | undefined {
  for (const text of texts) {
    const found = byAddress.get(text);
    if (found !== undefined) return found;
  }
  return undefined;
}

function labelled(
  instance: CloudInstance | undefined,
  texts: readonly string[],
): [CloudInstance, CloudInterface] | undefined {
  if (instance === undefined) return undefined;
  const one =
    instance.interfaces.find(({ addresses }) => addresses.some((address) => texts.includes(address))) ??
    instance.interfaces.find(({ first }) => first);
  return one === undefined ? undefined : [instance, one];
}
