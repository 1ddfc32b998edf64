/**
 * A new incarnation of the store: learns from the reports what was given out after the copy was made, then gives out again.
 *
 * 1. Nothing is given out before every host has been heard in this incarnation, is gone or is fenced (waiting.ts).
 * 2. A host is heard when it has applied and saved a view of this incarnation, everything in its journal has been told against that
 *    view, and none of it has an id that is another's on record.
 * 3. Host ids in held addresses that nobody holds are the host's again. Tenant and segment ids in them that nobody holds are retiring:
 *    nobody knows whose they were, so they go to nobody before every host is rid of them.
 */
import type { Host, HostReport } from '#contract/model.ts';
import { parseAddress } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { locate } from '#core/ipam/block.ts';
import type { Position, ReadTx, Tx } from '#store/port.ts';
import { type Granted, relearnedHostId } from './host-ids.ts';
import type { HostEnds } from './host-state.ts';
import { idSpace, ownerOfId } from './ids.ts';
import { promote } from './promotion.ts';
import { retireUnknown } from './reuse.ts';
import { type KnownNetwork, must, networksOf } from './shared.ts';
import { end, isWaiting, type Unheard, unheardKind } from './waiting.ts';

type Told = Pick<HostReport, 'acknowledged' | 'listed' | 'registered' | 'orphans'>;

/** Whether this report is what the host was waited for. */
export function hears(tx: ReadTx, host: Host, { acknowledged, listed }: Told, now: Position): boolean {
  if ((tx.get(unheardKind, host.name) as Unheard | undefined)?.uid !== host.uid) return false;
  return acknowledged?.incarnation === now.incarnation && listed?.incarnation === now.incarnation;
}

/** Before what is registered is judged. */
export function learnHostIds(tx: Tx, name: string, { registered }: Pick<Told, 'registered'>): void {
  const networks = new Map(networksOf(tx).map((network) => [network.name, network]));
  for (const { network: networkName, address } of registered.flatMap(({ addresses }) => addresses)) {
    const known = tx.ipam.network(networkName);
    const network = networks.get(networkName);
    const id = known && locate(known, parseAddress(address))?.hostId;
    if (network === undefined || id === undefined) continue;
    if (tx.holderOf(idSpace('host', networkName), id) === undefined) learnHostId(tx, name, network, id);
  }
}

/** One that cannot be had is reserved for another host: this host stays unheard until it holds nothing with it. */
function learnHostId(tx: Tx, name: string, network: KnownNetwork, id: number): void {
  const host = must(tx, 'host', name);
  let next: Granted;
  try {
    next = relearnedHostId(tx, host, network, id);
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    return;
  }
  tx.put('host', name, { ...host, ids: next.ids, reservations: next.reservations });
}

/** Ids that nobody holds, or that would soon be free. */
export function learnRetired(tx: Tx, { orphans }: Pick<Told, 'orphans'>, nowText: string): void {
  for (const { network, tenant, segment } of orphans) {
    // 0 is the shared identity, or what could not be read.
    if (tenant === 0 || tx.get('network', network) === undefined) continue;
    const owner = ownerOfId(tx, idSpace('tenant', network), tenant);
    if (owner === undefined) retireUnknown(tx, { network, id: tenant }, nowText);
    else if (segment !== 0 && ownerOfId(tx, idSpace('segment', network, owner), segment) === undefined)
      retireUnknown(tx, { network, id: segment, tenant: owner }, nowText);
  }
}

export function heard(tx: Tx, host: Host, ends: Pick<HostEnds, 'settle'>): void {
  tx.delete(unheardKind, host.name);
  if (tx.count(unheardKind) === 0) ends.settle(tx);
}

/** Ends the wait when nobody is waited for: with a report that is heard, and when a host goes or is fenced. */
export function settleWait(tx: Tx): void {
  if (!isWaiting(tx)) return;
  for (const { key, value } of tx.list(unheardKind)) {
    const host = tx.get('host', key);
    if (host === undefined || host.state === 'fenced' || host.uid !== (value as Unheard).uid)
      tx.delete(unheardKind, key);
  }
  if (tx.count(unheardKind) > 0) return;
  end(tx);
  promote(tx);
}
