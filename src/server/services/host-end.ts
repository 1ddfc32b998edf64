/**
 * How a host ends. Its ids may go to another host only when nothing answers to their addresses any more.
 *
 * 1. A host that never had an agent is gone at once.
 * 2. `draining`: nothing new is placed there; the agent acknowledges, from its kernel and disk, that it holds nothing, and the host is gone.
 * 3. `fenced`: declared dead. Its endpoints are forgotten, the other hosts drop what carries its sources and route nothing to it, and its
 *    ids are nobody's until its old agent returns and acknowledges that it holds nothing, or an admin confirms that the machine is off.
 *    No other agent may join in its name meanwhile: it could acknowledge only for itself.
 * 4. Its ids are held while an endpoint with one of them is located elsewhere. An endpoint located here with the id of another host
 *    keeps its address until this host is gone: fencing does not cut that address off, so it may still be answered to.
 */
import type { Host, HostDeletion, HostReport } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { Position, ReadTx, Tx } from '#store/port.ts';
import { finishRemoval } from './endpoints.ts';
import { demandStaying, isLeaving } from './host-state.ts';
import { awayFrom, holdsEndpoints } from './locations.ts';
import { reached } from './reuse.ts';
import { nameSome } from './shared.ts';

export interface EndWish {
  readonly drain?: boolean | undefined;
  readonly dead?: boolean | undefined;
}

/** What a wish to delete the host comes to. `remove` takes the host and its ids out of the store. */
export function endHost(tx: Tx, host: Host, wish: EndWish, now: number, remove: () => void): HostDeletion {
  const { name } = host;
  const here = tx.list('endpoint', { host: name });
  const endpoints = [...here.map(({ key }) => key), ...awayFrom(tx, name)];
  const ended = (state: HostDeletion['state']): HostDeletion => ({
    name,
    state,
    endpoints: endpoints.length,
  });
  if (wish.drain === true && wish.dead === true) {
    throw new RomanaError('input_invalid', 'A host is drained or dead, not both; give one of them.', {
      details: { path: 'dead' },
    });
  }
  if (host.state === 'fenced') {
    if (wish.dead === true) return ended('fenced');
    demandStaying(host);
  }
  if (wish.dead === true && host.joined) {
    for (const { key, value } of here) {
      if (value.host === name) finishRemoval(tx, value, now);
      else tx.put('endpoint', key, { ...value, phase: 'removing', message: '' });
    }
    tx.put('host', name, { ...host, state: 'fenced' });
    return ended('fenced');
  }
  if (endpoints.length > 0 && wish.drain !== true) {
    throw new RomanaError(
      'in_use',
      `Host ${name} holds endpoints (${nameSome(endpoints)}); delete them first, or drain it with --drain.`,
      { details: { endpoints: endpoints.slice(0, 10) } },
    );
  }
  if (!host.joined && endpoints.length === 0) {
    remove();
    return ended('gone');
  }
  if (host.state !== 'draining') tx.put('host', name, { ...host, state: 'draining' });
  return ended('draining');
}

/** Whether this report is the acknowledgement that a leaving host holds nothing. */
export function hasLeft(
  tx: ReadTx,
  host: Host,
  { acknowledged, holds }: Pick<HostReport, 'acknowledged' | 'holds'>,
  now: Position,
): boolean {
  return (
    isLeaving(host) &&
    holds === 0 &&
    reached(acknowledged, now, host.revision) &&
    // Of a fenced host only endpoints of other homes are left on record, and it holds them no more.
    (host.state === 'fenced' ? awayFrom(tx, host.name).length === 0 : !holdsEndpoints(tx, host.name))
  );
}

/** Before the host goes: its endpoints that have the ids of other hosts are gone with it. Throws in_use while its own ids are elsewhere. */
export function endForeign(tx: Tx, { name }: Host, now: number): void {
  const away = awayFrom(tx, name);
  if (away.length > 0) {
    throw new RomanaError(
      'in_use',
      `Endpoints on other hosts have host ids of host ${name} (${nameSome(away)}); delete them first.`,
      { details: { endpoints: away.slice(0, 10) } },
    );
  }
  for (const { value } of tx.list('endpoint', { host: name })) finishRemoval(tx, value, now);
}
