/** What core/ipam needs to count the addresses of a network, from the store. */
import type { Host } from '#contract/model.ts';
import { aggregate } from '#core/address/index.ts';
import {
  type Accountant,
  type AccountInput,
  accountant,
  type BlockCount,
  type HeldRange,
  numbersOf,
} from '#core/ipam/index.ts';
import type { CarvedGroup } from '#core/plan/index.ts';
import type { ReadTx } from '#store/port.ts';
import { retiringIds } from './reuse.ts';
import { type KnownNetwork, networksOf } from './shared.ts';
import { groupsOf, topologyOf } from './topology.ts';

export interface Books {
  readonly network: KnownNetwork;
  readonly accounts: Accountant;
  readonly groups: readonly CarvedGroup[];
  /** Host ids of each host, also those it may not use yet. */
  readonly ranges: ReadonlyMap<string, readonly HeldRange[]>;
  readonly blocks: readonly BlockCount[];
}

interface IdRow {
  readonly id: number;
  readonly retiring: boolean;
  readonly segments: { readonly id: number; readonly retiring: boolean }[];
}

/** Opens the books of every network. `now` in the time of releases. */
export function openBooks(tx: ReadTx, now: number): Books[] {
  const hosts = tx.list('host').map(({ value }) => value);
  const trees = topologyOf(tx);
  return networksOf(tx).map((network) => {
    const { reserved, quarantineMs } = tx.ipam.network(network.name)!;
    const ranges = new Map(hosts.map((host) => [host.name, rangesOf(host, network.name)]));
    const groups = groupsOf(network, trees);
    const blocks = tx.blockCounts(network.name, now - quarantineMs, aggregate(reserved));
    const input: AccountInput = {
      plan: network.plan,
      hosts: [...ranges.values()].flat().sort((a, b) => a.first - b.first),
      leaves: groups
        .filter(({ leaf }) => leaf)
        .map(({ firstHostId, lastHostId }) => ({ first: firstHostId, last: lastHostId })),
      tenants: tenantsOf(tx, network.name),
      reserved,
      blocks,
    };
    return { network, accounts: accountant(input), groups, ranges, blocks };
  });
}

/** The granted ids, and what is left of the ranges around them. */
function rangesOf(host: Host, network: string): HeldRange[] {
  const ids = host.ids.filter((entry) => entry.network === network).map(({ id }) => id);
  const out: HeldRange[] = ids.map((id) => ({ first: id, last: id, state: 'active' }));
  for (const { first, size, pending, network: where } of host.reservations ?? []) {
    if (where !== network) continue;
    const last = first + size - 1;
    const state = pending === null ? 'spare' : 'pending';
    let from = first;
    for (const id of ids.filter((one) => first <= one && one <= last).sort((a, b) => a - b)) {
      if (from < id) out.push({ first: from, last: id - 1, state });
      from = id + 1;
    }
    if (from <= last) out.push({ first: from, last, state });
  }
  return out.sort((a, b) => a.first - b.first);
}

function tenantsOf(tx: ReadTx, network: string): IdRow[] {
  // All ids of a tenant go with all ids of its segments.
  const byName = new Map<string, IdRow[]>();
  for (const { value } of tx.list('tenant')) {
    const ids = numbersOf(value.ids, network);
    byName.set(
      value.name,
      ids.map((id) => ({ id, retiring: false, segments: [] })),
    );
  }
  for (const { value } of tx.list('segment')) {
    for (const id of numbersOf(value.ids, network))
      for (const row of byName.get(value.tenant) ?? []) row.segments.push({ id, retiring: false });
  }
  const rows = new Map([...byName.values()].flat().map((row) => [row.id, row]));
  // Ids of deleted tenants and segments that nobody may have yet.
  for (const { network: where, field, id, owner } of retiringIds(tx)) {
    if (where !== network) continue;
    if (field === 'tenant' && !rows.has(id)) rows.set(id, { id, retiring: true, segments: [] });
    if (field === 'tenant') continue;
    for (const row of byName.get(owner.split('/')[0]!) ?? []) row.segments.push({ id, retiring: true });
  }
  return [...rows.values()];
}
