/**
 * Where endpoints are, as against where their addresses come from. The store finds endpoints by location; those whose home is another
 * host are kept here by home as well, because the ids of that host stay held for them.
 */
import { locationOf, locationSeqOf } from '#contract/location.ts';
import type { Endpoint } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { demandStaying, type HostEnds } from './host-state.ts';
import { must } from './shared.ts';
import { endpointAdded, endpointRemoved } from './sharing.ts';

/** By `home/tenant/segment/name`. */
const awayKind = '_away';

const awayKey = ({ host, tenant, segment, name }: Endpoint): string => `${host}/${tenant}/${segment}/${name}`;

/** As it is shown: where it is in any case. */
export function located(endpoint: Endpoint): Endpoint {
  const { tenant, segment, name, host, ...rest } = endpoint;
  const location = locationOf(endpoint);
  return { tenant, segment, name, host, location, locationSeq: locationSeqOf(endpoint), ...rest };
}

/** Keys of the endpoints elsewhere that have host ids of this host. */
export function awayFrom(tx: ReadTx, home: string): string[] {
  return tx.list(awayKind, { prefix: `${home}/` }).map(({ key }) => key.slice(home.length + 1));
}

/** On the host, or elsewhere with its host ids. */
export function holdsEndpoints(tx: ReadTx, host: string): boolean {
  return tx.count('endpoint', { host }) > 0 || tx.count(awayKind, { prefix: `${host}/` }) > 0;
}

/** After an endpoint was deleted or came home. */
export function forgetAway(tx: Tx, endpoint: Endpoint): void {
  if (tx.row(awayKind, awayKey(endpoint)) !== undefined) tx.delete(awayKind, awayKey(endpoint));
}

/** A draining host without an agent is gone with its last endpoint, and with the last one elsewhere that has its host ids. */
export function endDrained(tx: Tx, removed: Endpoint, ends: HostEnds): void {
  for (const name of new Set([locationOf(removed), removed.host])) {
    const host = tx.get('host', name);
    if (host?.state !== 'draining' || host.joined || holdsEndpoints(tx, name)) continue;
    ends.remove(tx, host);
    ends.settle(tx);
  }
}

/**
 * The endpoint is on another host from now on. `from`: the stay that the caller knows, so that a wish that comes late moves nothing.
 * For the control plane alone: agents and users cannot ask for it.
 */
export function relocate(
  tx: Tx,
  key: string,
  from: { readonly uid: string; readonly locationSeq: number },
  to: string,
): Endpoint {
  const old = must(tx, 'endpoint', key);
  if (old.uid !== from.uid || locationSeqOf(old) !== from.locationSeq) {
    throw new RomanaError(
      'conflict',
      `Endpoint ${key} is not where it was when this was decided; look again.`,
      { details: { key, location: locationOf(old), locationSeq: locationSeqOf(old) } },
    );
  }
  if (old.phase === 'removing') {
    throw new RomanaError('endpoint_removing', `Endpoint ${key} is being removed and goes nowhere.`, {
      details: { key },
    });
  }
  demandStaying(must(tx, 'host', to));
  if (locationOf(old) === to) return old;
  const moved = tx.put('endpoint', key, {
    ...old,
    location: to,
    locationSeq: from.locationSeq + 1,
    phase: 'pending',
    message: '',
  });
  if (to === moved.host) forgetAway(tx, moved);
  else tx.put(awayKind, awayKey(moved), {});
  endpointRemoved(tx, old);
  endpointAdded(tx, moved);
  return moved;
}
