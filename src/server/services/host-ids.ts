/** How hosts come by host ids: on creation, with a new network, on request, and when the server first gives out addresses there. */
import type { Host, HostId } from '#contract/model.ts';
import { formatCidr, hostCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { takeId } from './ids.ts';
import { type KnownNetwork, nameSome } from './shared.ts';
import { groupsOf, leavesOf, topologyOf } from './topology.ts';

type Allocator = HostId['allocator'];

/** Kept beside the host: what it was created with, for networks that come later. */
interface HostRecord {
  readonly allocator: Allocator;
}

export function rememberAllocator(tx: Tx, host: string, allocator: Allocator): void {
  const record: HostRecord = { allocator };
  tx.put('_host', host, record);
}

export function allocatorOf(tx: ReadTx, host: string): Allocator {
  const record = tx.get('_host', host) as HostRecord | undefined;
  return record?.allocator ?? 'agent';
}

export interface Preference {
  readonly allocator: Allocator;
  readonly preferred: number | undefined;
}

export function preferenceOf(tx: ReadTx, host: Host): Preference {
  return { allocator: allocatorOf(tx, host.name), preferred: host.ids[0]?.id };
}

/** Takes a host id in the range of the host's group; the caller puts it into the host. */
export function grantHostId(
  tx: Tx,
  host: { readonly name: string; readonly group: string | null },
  network: KnownNetwork,
  preference: { readonly allocator: Allocator; readonly preferred?: number | undefined },
  exact: { readonly id?: number | undefined },
): HostId {
  const path = host.group ?? '';
  const group = groupsOf(tx, network).find((candidate) => candidate.path === path);
  if (group === undefined || !group.leaf) throw groupUnknown(tx, host.group);
  const id = takeId(tx, {
    field: 'host',
    network,
    holder: host.name,
    id: exact.id,
    preferred: preference.preferred,
    ...(path === ''
      ? {}
      : { range: { first: group.firstHostId, last: group.lastHostId, name: `group ${path}` } }),
  });
  return {
    network: network.name,
    id,
    allocator: preference.allocator,
    cidr: formatCidr(hostCidr(network.plan, id)),
  };
}

export function demandLeaf(tx: ReadTx, group: string | null): void {
  if (!leavesOf(topologyOf(tx).groups).includes(group ?? '')) throw groupUnknown(tx, group);
}

function groupUnknown(tx: ReadTx, group: string | null): RomanaError {
  const leaves = leavesOf(topologyOf(tx).groups).filter((path) => path !== '');
  const choices =
    leaves.length === 0
      ? 'the topology has none, so leave the group out'
      : `choose one of ${nameSome(leaves)}`;
  const what = group === null ? 'A host needs a prefix group' : `No prefix group ${group} holds hosts`;
  return new RomanaError('group_unknown', `${what}; ${choices}.`, {
    details: { group, leaves: leaves.slice(0, 100) },
  });
}
