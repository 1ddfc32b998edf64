/** Networks: ranges with a layout. A new one reaches every host, tenant and segment that exists, or is refused. */
import type { Network, NetworkChange } from '#contract/model.ts';
import {
  addressPlan,
  type Cidr,
  containsCidr,
  formatAddress,
  formatCidr,
  hostRoute,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { isOpenTo } from '#core/plan/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { allocatorOf, firstHostId, letGoHostIds } from './host-ids.ts';
import { devicesOf, ownAddresses } from './host-links.ts';
import { idSpace, takeIdIfAny } from './ids.ts';
import { noteNumbers } from './promotion.ts';
import { demandReserved, usersOf } from './reservations.ts';
import { forgetNetworkIds } from './reuse.ts';
import {
  answerList,
  born,
  byAge,
  type Context,
  demandSame,
  differing,
  insideNetwork,
  type KnownNetwork,
  must,
  nameSome,
  networksOf,
  rangesOf,
} from './shared.ts';
import { forgetCarved, pathOf, storeTopology, topologyOf } from './topology.ts';
import type { Input, Services } from './types.ts';

type NetworkBody = Input<'networkCreate'>['body'];

type Mine = 'networkCreate' | 'networkList' | 'networkShow' | 'networkUpdate' | 'networkDelete';

export function networkServices(ctx: Context): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    networkCreate: (caller, { body }) =>
      store.transaction(actorOf(caller), (tx) => createNetwork(tx, ctx, body)),
    networkList: async () => store.read((tx) => answerList(tx.list('network'), tx)),
    networkShow: async (_, { params }) => store.read((tx) => must(tx, 'network', params.name)),
    networkUpdate: (caller, { params, query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'network', params.name);
        checkGuard('network', params.name, old.revision, query);
        return changeNetwork(tx, old, body);
      }),
    networkDelete: (caller, { params, query }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'network', params.name);
        checkGuard('network', params.name, old.revision, query);
        const cidr = parseCidr(old.cidr);
        const users = usersOf(tx, params.name, cidr);
        if (users.length > 0) {
          throw new RomanaError(
            'in_use',
            `Network ${params.name} holds endpoints (${nameSome(users)}); delete them first.`,
            { details: { endpoints: users.slice(0, 10) } },
          );
        }
        forgetNetworkIds(tx, params.name);
        dismissEverybody(tx, params.name);
        tx.delete('network', params.name);
        forgetCarved(tx, params.name);
        return undefined;
      }),
  };
}

/** Creating what is there already answers it; under its name something else is a conflict. */
export function createNetwork(tx: Tx, ctx: Context, body: NetworkBody): Network {
  const { tenants = [], ...fields } = body;
  const existing = tx.get('network', body.name);
  if (existing !== undefined) {
    const have = { ...existing, tenants: existing.tenants ?? [] };
    demandSame('network', body.name, differing(have, body));
    return existing;
  }
  const cidr = parseCidr(body.cidr);
  const plan = body.layout === null ? null : addressPlan(cidr, body.layout);
  if (body.layout?.segment === 0) {
    throw new RomanaError(
      'layout_invalid',
      'The segment field needs at least one bit; take it from another field.',
      {
        details: { path: 'layout.segment' },
      },
    );
  }
  demandApart(tx, cidr);
  demandReserved(tx, body, body.reserved, []);
  const created = tx.put('network', body.name, {
    ...fields,
    ...(tenants.length === 0 ? {} : { tenants }),
    family: cidr.address.family,
    ...born(ctx),
  });
  if (plan !== null) admitEverybody(tx, { name: body.name, plan, tenants });
  storeTopology(tx);
  return created;
}

export function changeNetwork(tx: Tx, old: Network, change: NetworkChange): Network {
  if (change.reserved !== undefined) demandReserved(tx, old, change.reserved, old.reserved);
  const next: Network = {
    ...old,
    infrastructure: change.infrastructure ?? old.infrastructure,
    reserved: change.reserved ?? old.reserved,
    quarantineSeconds: change.quarantineSeconds ?? old.quarantineSeconds,
  };
  const changed =
    change.tenants === undefined ||
    differing({ tenants: [], ...old }, { tenants: change.tenants }).length === 0
      ? next
      : opened(tx, next, change.tenants);
  if (differing(old, changed).length === 0 && differing(changed, old).length === 0) return old;
  const kept = tx.put('network', old.name, changed);
  const known = networksOf(tx).find(({ name }) => name === old.name);
  if (changed !== next && known !== undefined) admitTenants(tx, known);
  return kept;
}

/** Nobody who is there loses a network: addresses and ids of it may be in use, on hosts that do not answer as well. */
function opened(tx: ReadTx, { tenants: before = [], ...network }: Network, tenants: string[]): Network {
  const lost = tx
    .list('tenant')
    .map(({ key }) => key)
    .filter((tenant) => isOpenTo({ tenants: before }, tenant) && !isOpenTo({ tenants }, tenant));
  if (lost.length > 0) {
    throw new RomanaError(
      'in_use',
      `Tenants ${nameSome(lost)} have ids in network ${network.name} and would lose it; name them too, or delete them first.`,
      { details: { tenants: lost.slice(0, 100) } },
    );
  }
  return tenants.length === 0 ? network : { ...network, tenants };
}

/** Neither another network, nor a host's own address, nor a foreign source prefix of an endpoint may lie in the range. */
function demandApart(tx: ReadTx, cidr: Cidr): void {
  const refuse = (what: string, details: Record<string, unknown>): never => {
    throw new RomanaError('network_overlap', `${formatCidr(cidr)} overlaps ${what}; choose another range.`, {
      details,
    });
  };
  const other = insideNetwork(rangesOf(tx), cidr);
  if (other !== undefined) {
    refuse(`network ${other.name} (${formatCidr(other.cidr)})`, { network: other.name });
  }
  for (const { value: host } of tx.list('host')) {
    const address = ownAddresses(host).find((text) => containsCidr(cidr, hostRoute(parseAddress(text))));
    if (address !== undefined)
      refuse(`the address ${address} of host ${host.name}`, { host: host.name, address });
  }
  for (const { device } of devicesOf(topologyOf(tx)).values()) {
    const address = device.addresses.find((own) => containsCidr(cidr, hostRoute(own)));
    if (address !== undefined)
      refuse(`the address ${formatAddress(address)} of device ${device.name}`, { device: device.name });
  }
  // All endpoints: slow with very many, but networks are made rarely and a missed one would be a hole in the isolation.
  for (const { key, value } of tx.list('endpoint')) {
    const prefix = value.sourcePrefixes.find((text) => {
      const source = parseCidr(text);
      return containsCidr(cidr, source) || containsCidr(source, cidr);
    });
    if (prefix !== undefined) refuse(`source prefix ${prefix} of endpoint ${key}`, { endpoint: key, prefix });
  }
}

/** Ids in the new network for all that exists, oldest first. Fails as a whole when the host field is too narrow. */
function admitEverybody(tx: Tx, network: KnownNetwork): void {
  const trees = topologyOf(tx);
  for (const { name } of byAge(tx.list('host'))) {
    // Read again: an id for one host may have come out of the reservation of another.
    const host = must(tx, 'host', name);
    if (pathOf(trees, host, network.name) === undefined) continue;
    const { ids, reservations } = firstHostId(tx, host, network, { allocator: allocatorOf(tx, name) });
    tx.put('host', name, { ...host, ids, reservations });
  }
  admitTenants(tx, network);
}

/** Ids of the network for all that it is open to and that have none. */
function admitTenants(tx: Tx, network: KnownNetwork): void {
  for (const tenant of byAge(tx.list('tenant'))) {
    if (!isOpenTo(network, tenant.name) || holdsIn(tenant, network)) continue;
    const ids = takeIdIfAny(tx, {
      field: 'tenant',
      network,
      holder: tenant.name,
      preferred: tenant.ids[0]?.id,
    });
    if (ids.length > 0) tx.put('tenant', tenant.name, { ...tenant, ids: [...tenant.ids, ...ids] });
    noteNumbers(tx, 'tenant', tenant.name);
  }
  for (const segment of byAge(tx.list('segment'))) {
    const { tenant, name } = segment;
    if (!isOpenTo(network, segment.tenant) || holdsIn(segment, network)) continue;
    const ids = takeIdIfAny(tx, {
      field: 'segment',
      network,
      tenant,
      holder: name,
      preferred: segment.ids[0]?.id,
    });
    if (ids.length > 0) tx.put('segment', `${tenant}/${name}`, { ...segment, ids: [...segment.ids, ...ids] });
    noteNumbers(tx, 'segment', `${tenant}/${name}`);
  }
}

function holdsIn({ ids }: { ids: readonly { network: string }[] }, { name }: KnownNetwork): boolean {
  return ids.some(({ network }) => network === name);
}

function dismissEverybody(tx: Tx, network: string): void {
  const split = <T extends { network: string; id: number }>(ids: readonly T[], space: string): T[] => {
    for (const entry of ids) if (entry.network === network) tx.letGo(space, entry.id);
    return ids.filter((entry) => entry.network !== network);
  };
  for (const { key, value } of tx.list('host')) {
    letGoHostIds(tx, value, network);
    const elsewhere = <T extends { network: string }>(list: readonly T[]): T[] =>
      list.filter((one) => one.network !== network);
    tx.put('host', key, {
      ...value,
      ids: elsewhere(value.ids),
      reservations: elsewhere(value.reservations ?? []),
    });
  }
  for (const { key, value } of tx.list('tenant')) {
    tx.put('tenant', key, { ...value, ids: split(value.ids, idSpace('tenant', network)) });
  }
  for (const { key, value } of tx.list('segment')) {
    tx.put('segment', key, { ...value, ids: split(value.ids, idSpace('segment', network, value.tenant)) });
  }
}
