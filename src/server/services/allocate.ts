/** The addresses of a new endpoint, and the host ids that they need, in one transaction. */
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { type Allocation, decideAllocate, type IpamEvent, type Slot } from '#core/ipam/index.ts';
import type { Tx } from '#store/port.ts';
import { furtherHostId } from './host-ids.ts';
import { must, networksOf } from './shared.ts';

export interface Wish {
  readonly key: string;
  readonly question: string;
  readonly uid: string;
  readonly host: string;
  /** Read again after every change of the host. */
  readonly slots: () => readonly Slot[];
  readonly now: number;
}

/**
 * Where the host has no id for the server it gets one. Where blocks are full, what costs least comes first: a further host id inside the
 * reservations of the host; blocks of further tenant and segment ids; a further reservation, which is a change of routes. Undefined: such a
 * one was made, but its route is not everywhere yet; nothing else was written. Throws what the decision throws.
 */
export function allocateGrowing(
  tx: Tx,
  { key, question, uid, host, slots, now }: Wish,
): { allocation: Allocation; events: readonly IpamEvent[] } | undefined {
  // Networks where blocks of further tenant and segment ids are in use: no host id could be had for nothing.
  const spilled = new Set<string>();
  // Each turn grants an id, spills a network, or ends; there are no more ids than the host field holds.
  for (;;) {
    const wanted = {
      key,
      question,
      slots: slots().map((slot) => ({ ...slot, firstOnly: !spilled.has(slot.network) })),
    };
    const without = wanted.slots.filter(({ hostIds }) => hostIds.length === 0);
    if (without.length > 0) {
      // All networks ask in one go: two families wait for one route change, not for two.
      const granted = without.map(({ network }) => grantTo(tx, host, network));
      if (granted.includes(false)) return undefined;
      continue;
    }
    try {
      return decideAllocate(tx.ipam, wanted, uid, now);
    } catch (error) {
      const network = isRomanaError(error) && error.code === 'block_full' ? error.details?.['network'] : null;
      if (typeof network !== 'string') throw error;
      const slot = wanted.slots.find((one) => one.network === network);
      if (slot?.firstOnly === true && slot.further !== undefined) {
        if (!grantTo(tx, host, network, true)) spilled.add(network);
        continue;
      }
      if (!growOr(tx, host, network, error)) return undefined;
    }
  }
}

/** When there is no further id either, the full block is what the caller has to hear of. */
function growOr(tx: Tx, host: string, network: string, full: unknown): boolean {
  try {
    return grantTo(tx, host, network);
  } catch (error) {
    throw isRomanaError(error) && error.code === 'ids_exhausted' ? full : error;
  }
}

function grantTo(tx: Tx, name: string, networkName: string, inside = false): boolean {
  const host = must(tx, 'host', name);
  const network = networksOf(tx).find((one) => one.name === networkName);
  if (network === undefined) throw new RomanaError('not_found', `There is no network ${networkName}.`);
  const { ids, reservations, granted } = furtherHostId(tx, host, network, {
    allocator: 'server',
    grown: true,
    ...(inside ? { inside } : {}),
  });
  const changed = granted !== undefined || reservations.length !== host.reservations?.length;
  if (changed) tx.put('host', name, { ...host, ids, reservations });
  return granted !== undefined;
}
