/** What the state of a host forbids. The states and how they end: host-end.ts. */
import type { Host } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { Tx } from '#store/port.ts';

/** Taking a host out of the store, and letting go on what waited for it. */
export interface HostEnds {
  remove(tx: Tx, host: Host): void;
  settle(tx: Tx): void;
}

export function isLeaving({ state }: Pick<Host, 'state'>): boolean {
  return state !== undefined && state !== 'active';
}

/** For everything that would give the host something new. */
export function demandStaying(host: Pick<Host, 'name' | 'state'>): void {
  if (!isLeaving(host)) return;
  const what =
    host.state === 'fenced'
      ? `is fenced: its old agent has to return and withdraw, or an admin confirms with \`romana host fence ${host.name} --confirm-off\` that it is off`
      : 'is draining: it is being deleted';
  throw new RomanaError('host_leaving', `Host ${host.name} ${what}; use another host.`, {
    details: { host: host.name, state: host.state },
  });
}
