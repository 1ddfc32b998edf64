/**
 * Host ids that the server took because blocks were full go back when they are empty: their room in the reservation is free for the next
 * need. No route changes, because reservations stay.
 *
 * 1. Only ids that growth took, never one that an operator gave, never the first of the server in a network (I7).
 * 2. An id goes after two looks: empty at both, nothing given out in between, and the quarantine of the network between them, so that every
 *    address of it has rested.
 *
 * Ids of agents stay: only the agent knows what it holds.
 */
import type { Host, HostId } from '#contract/model.ts';
import { firstAddress, lastAddress, parseCidr } from '#core/address/index.ts';
import type { Placed } from '#core/ipam/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { idSpace } from './ids.ts';

const emptyKind = '_empty';

/** Steady time of the first look, by `network/id`. */
type Seen = Readonly<Record<string, number>>;

const keyOf = ({ network, id }: Pick<HostId, 'network' | 'id'>): string => `${network}/${id}`;

function seenOf(tx: ReadTx, host: string): Seen {
  return (tx.get(emptyKind, host) as Seen | undefined) ?? {};
}

function emptyIds(tx: ReadTx, host: Host): HostId[] {
  const grown = host.ids.filter(({ grown: taken, allocator }) => taken === true && allocator === 'server');
  const firstOf = (network: string) =>
    host.ids.find((one) => one.network === network && one.allocator === 'server');
  return grown.filter((one) => {
    const range = parseCidr(one.cidr);
    return (
      firstOf(one.network) !== one &&
      tx.allocationsIn(one.network, firstAddress(range), lastAddress(range), 1).length === 0
    );
  });
}

function restsOver(tx: ReadTx, { network }: HostId, since: number, now: number): boolean {
  return now - since >= (tx.get('network', network)?.quarantineSeconds ?? 0) * 1000;
}

/** Whether `returnEmptyIds` would write anything. */
export function anyEmptyIds(tx: ReadTx, host: Host, now: number): boolean {
  const seen = seenOf(tx, host.name);
  const empty = emptyIds(tx, host);
  const due = empty.some((one) => {
    const since = seen[keyOf(one)];
    return since === undefined || restsOver(tx, one, since, now);
  });
  return due || Object.keys(seen).length > empty.length;
}

export function returnEmptyIds(tx: Tx, host: Host, now: number): void {
  const seen = seenOf(tx, host.name);
  const next: Record<string, number> = {};
  const gone = new Set<HostId>();
  for (const one of emptyIds(tx, host)) {
    // A clock that was wrong before a restart would keep it for as long as that.
    const since = Math.min(seen[keyOf(one)] ?? now, now);
    if (seen[keyOf(one)] !== undefined && restsOver(tx, one, since, now)) gone.add(one);
    else next[keyOf(one)] = since;
  }
  remember(tx, host.name, next);
  if (gone.size === 0) return;
  for (const { network, id } of gone) tx.letGo(idSpace('host', network), id);
  tx.put('host', host.name, { ...host, ids: host.ids.filter((one) => !gone.has(one)) });
}

/** Addresses were given out: the looks at their host ids begin anew. */
export function noLongerEmpty(tx: Tx, host: string, placed: readonly Placed[]): void {
  const seen = seenOf(tx, host);
  const used = new Set(placed.map(({ network, hostId }) => keyOf({ network, id: hostId })));
  const left = Object.entries(seen).filter(([key]) => !used.has(key));
  if (left.length < Object.keys(seen).length) remember(tx, host, Object.fromEntries(left));
}

export function forgetEmptyIds(tx: Tx, host: string): void {
  remember(tx, host, {});
}

function remember(tx: Tx, host: string, seen: Seen): void {
  if (Object.keys(seen).length > 0) tx.put(emptyKind, host, seen);
  else if (tx.row(emptyKind, host) !== undefined) tx.delete(emptyKind, host);
}
