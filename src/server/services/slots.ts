/** From which networks, host ids and blocks a new endpoint gets its addresses. */
import type { Host } from '#contract/model.ts';
import { type Address, containsAddress, decode, hostRoute, parseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { numbersIn, type Slot } from '#core/ipam/index.ts';
import { isOpenTo, networksByDefault } from '#core/plan/index.ts';
import type { ReadTx } from '#store/port.ts';
import { demandStaying } from './host-state.ts';
import { idSpace } from './ids.ts';
import {
  demandLayout,
  insideNetwork,
  type KnownNetwork,
  must,
  networkClosed,
  networksOf,
  rangesOf,
} from './shared.ts';
import type { SharedBarrier } from './sharing.ts';
import { networksAt } from './topology.ts';
import type { Input } from './types.ts';

type Body = Input<'endpointCreate'>['body'];

/** Throws what a refused wish deserves. A slot without host ids: the host holds none there that the server gives addresses of. */
export function slotsFor(
  tx: ReadTx,
  where: { readonly tenant: string; readonly segment: string },
  body: Body,
  barrier: SharedBarrier,
): Slot[] {
  const tenant = must(tx, 'tenant', where.tenant);
  const segment = must(tx, 'segment', `${where.tenant}/${where.segment}`);
  const host = must(tx, 'host', body.host);
  demandStaying(host);
  const asked = (body.addresses ?? []).map((text) =>
    insideNetwork(rangesOf(tx), hostRoute(parseAddress(text))),
  );
  for (const name of [...(body.networks ?? []), ...asked.map((range) => range?.name ?? '')])
    demandLayout(tx, name);
  const all = networksOf(tx);
  const fixed = fixedAddresses(all, body);
  const networks = chosenNetworks(all, networksAt(tx, host), body, fixed, where.tenant);
  for (const network of networks)
    if (!isOpenTo(network, tenant.name)) throw networkClosed(network.name, tenant.name);
  const slots: Slot[] = [];
  for (const network of networks) {
    const hostIds = serverIds(host, network.name);
    const address = fixed.get(network.name);
    if (address !== undefined) demandNotAgents(tx, host, network, address);
    const numbers = numbersIn(network.name, tenant, segment);
    const owner = `${where.tenant}/${where.segment}`;
    const barred = numbers.tenantId === 0 ? barrier.barred(tx, network.name, hostIds, owner) : [];
    slots.push({
      network: network.name,
      hostIds,
      ...numbers,
      ...(barred.length === 0 ? {} : { barred }),
      ...(address === undefined ? {} : { address }),
      ...(body.endpointId === undefined ? {} : { endpointId: body.endpointId }),
    });
  }
  return slots;
}

function serverIds(host: Host, network: string): number[] {
  return host.ids.flatMap((entry) =>
    entry.network === network && entry.allocator === 'server' ? [entry.id] : [],
  );
}

/** By network name. */
function fixedAddresses(all: readonly KnownNetwork[], body: Body): Map<string, Address> {
  const fixed = new Map<string, Address>();
  for (const [index, text] of (body.addresses ?? []).entries()) {
    const address = parseAddress(text);
    const network = all.find(({ plan }) => containsAddress(plan.cidr, address));
    const path = `addresses.${index}`;
    if (network === undefined) {
      throw new RomanaError(
        'address_mismatch',
        `${text} lies in no network; choose an address of the host's ranges.`,
        {
          details: { path },
        },
      );
    }
    if (body.networks !== undefined && !body.networks.includes(network.name)) {
      throw new RomanaError(
        'address_mismatch',
        `${text} lies in network ${network.name}, which is not among the networks asked for.`,
        { details: { path, network: network.name } },
      );
    }
    if (fixed.has(network.name)) {
      throw new RomanaError(
        'input_invalid',
        `Two addresses of network ${network.name} are asked for; give one.`,
        {
          details: { path },
        },
      );
    }
    fixed.set(network.name, address);
  }
  return fixed;
}

/** Those asked for; else of each family the first network that names the tenant or is open to all, or the networks of that family's fixed addresses where there are any. */
function chosenNetworks(
  all: readonly KnownNetwork[],
  here: readonly KnownNetwork[],
  { networks: names }: Body,
  fixed: ReadonlyMap<string, Address>,
  tenant: string,
): KnownNetwork[] {
  if (names !== undefined) {
    if (new Set(names).size !== names.length) {
      throw new RomanaError('input_invalid', 'A network is asked for twice; name each one once.', {
        details: { path: 'networks' },
      });
    }
    return names.map((name) => {
      const network = all.find((candidate) => candidate.name === name);
      if (network !== undefined) return network;
      throw new RomanaError('not_found', `There is no network ${name}.`, {
        details: { kind: 'network', key: name },
      });
    });
  }
  const chosen = ([4, 6] as const).flatMap((family) => {
    const ofFamily = all.filter(({ plan }) => plan.family === family);
    const named = ofFamily.filter(({ name }) => fixed.has(name));
    const usual = here.filter(({ plan }) => plan.family === family);
    return named.length > 0 ? named : networksByDefault(usual, ({ plan }) => plan.family, tenant);
  });
  if (chosen.length === 0 && all.length > 0) {
    throw new RomanaError(
      'network_closed',
      `No network is open to tenant ${tenant}; create one, or add the tenant to one.`,
      { details: { tenant } },
    );
  }
  if (chosen.length === 0) {
    throw new RomanaError('not_found', 'There is no network yet; create one with `romana network create`.');
  }
  return chosen;
}

/** An address of a host id whose agent gives out the addresses: two allocators of one block would collide. */
function demandNotAgents(tx: ReadTx, host: Host, network: KnownNetwork, address: Address): void {
  const id = decode(network.plan, address)?.host;
  const entry = host.ids.find((candidate) => candidate.network === network.name && candidate.id === id);
  if (entry?.allocator === 'agent') {
    throw new RomanaError(
      'allocator_mismatch',
      `Host id ${entry.id} of network ${network.name} is allocated by the agent of host ${host.name}; ask for an address of a host id of the server.`,
      { details: { network: network.name, id: entry.id, allocator: 'agent' } },
    );
  }
  const holder = id === undefined ? undefined : tx.holderOf(idSpace('host', network.name), id);
  if (holder !== host.name) {
    throw new RomanaError(
      'address_mismatch',
      holder === undefined
        ? `The address has host id ${id ?? '?'} of network ${network.name}, which host ${host.name} does not hold.`
        : `The address belongs to host ${holder}, not to host ${host.name}.`,
      { details: { network: network.name, id, holder } },
    );
  }
}
