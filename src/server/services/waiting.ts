/**
 * A store that begins a new incarnation was restored: it does not know what was given out after the copy was made. It gives out nothing
 * until every host has said what it holds. Re-learning from what they say: incarnation.ts.
 */
import { RomanaError } from '#core/errors.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { nameSome } from './shared.ts';

const beginningKind = '_incarnation';
const beginningKey = 'beginning';
/** By host name: those that have not been heard. */
export const unheardKind = '_unheard';

export interface Beginning {
  /** The incarnation before: while the store still has it, the new one is yet to be given (a crash came between). */
  readonly from: string;
  readonly since: string;
}
export interface Unheard {
  readonly uid: string;
}

export function beginningOf(tx: ReadTx): Beginning | undefined {
  return tx.get(beginningKind, beginningKey) as Beginning | undefined;
}

/** Before the store gets its new incarnation. Hosts that had not joined count too: they may have, after the copy was made. */
export function begin(tx: Tx, beginning: Beginning): void {
  tx.put(beginningKind, beginningKey, beginning);
  for (const { key } of tx.list(unheardKind)) tx.delete(unheardKind, key);
  for (const { key, value } of tx.list('host')) {
    const unheard: Unheard = { uid: value.uid };
    if (value.state !== 'fenced') tx.put(unheardKind, key, unheard);
  }
}

export function end(tx: Tx): void {
  tx.delete(beginningKind, beginningKey);
}

export function isWaiting(tx: ReadTx): boolean {
  return tx.row(beginningKind, beginningKey) !== undefined;
}

export function unheardHosts(tx: ReadTx): string[] {
  return tx.list(unheardKind).map(({ key }) => key);
}

/** For everything that would give out ids or addresses. */
export function demandHeard(tx: ReadTx): void {
  if (!isWaiting(tx)) return;
  const hosts = unheardHosts(tx);
  throw new RomanaError(
    'unavailable',
    `The control plane was restored and gives out nothing until it has heard what every host holds; waiting for ${nameSome(hosts)}. Try again, or see \`romana status\`.`,
    { details: { waitingFor: hosts.slice(0, 100) } },
  );
}
