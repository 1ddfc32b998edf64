/**
 * When this host needs further host ids: before its blocks are full, and at once when one is. Imports contract, core, agent.
 *
 * 1. What is wished for is a number of ids to hold in all, worked out anew for every report: said twice it is granted once.
 * 2. Enough is what holds the endpoints of the fullest (tenant, segment), those that wait for an address, and a margin: a quarter of a
 *    block, or 16 addresses (half of a block that has fewer than 32).
 * 3. Ids that are on their way back do not count: asking for more is what keeps them.
 */
import { maxId } from '#core/address/index.ts';
import { type Block, type BlockUsage, idsFor } from '#core/ipam/index.ts';
import type { Timers } from '#core/ports.ts';
import { isUsable } from './holdings.ts';
import type { ViewObjects } from './view.ts';

/** How long a request waits for a host id before its full block is refused. */
const patienceMs = 5_000;

export type Wanted = readonly { readonly network: string; readonly ids: number }[];
type Share = Omit<Block, 'hostId'>;

/** Networks in which the agent of `host` should hold more ids than it does. `waiting`: endpoints that found their blocks full. */
export function wantedIds(
  objects: ViewObjects,
  host: string,
  usage: readonly BlockUsage[],
  waiting: readonly (Share & { readonly count: number })[],
): Wanted {
  const mine = (objects.host.get(host)?.ids ?? []).filter(isUsable);
  return [...objects.network.values()].flatMap((network) => {
    const held = new Set(mine.filter((one) => one.network === network.name).map(({ id }) => id));
    if (held.size === 0) return [];
    const load = new Map<string, number>();
    const add = ({ tenantId, segmentId }: Share, count: number): void => {
      const key = `${tenantId}/${segmentId}`;
      load.set(key, (load.get(key) ?? 0) + count);
    };
    for (const block of usage)
      if (block.network === network.name && held.has(block.hostId) && block.used > 0) add(block, block.used);
    let forWaiting = 0;
    for (const share of waiting) {
      if (share.network !== network.name) continue;
      add(share, share.count);
      // Blocks may also be full of addresses at rest, which are no load.
      forWaiting = Math.max(forWaiting, held.size + Math.ceil(share.count / maxId(network.layout.endpoint)));
    }
    const ids = Math.max(forWaiting, idsFor(network.layout.endpoint, Math.max(0, ...load.values())));
    return ids > held.size ? [{ network: network.name, ids: Math.min(ids, 65_536) }] : [];
  });
}

/** Requests that wait for a further host id. */
export class Waiting {
  readonly #timers: Timers;
  readonly #shares = new Map<string, Share & { readonly wakes: Set<(changed: boolean) => void> }>();

  constructor(timers: Timers) {
    this.#timers = timers;
  }

  list(): readonly (Share & { readonly count: number })[] {
    return [...this.#shares.values()].map(({ wakes, ...share }) => ({ ...share, count: wakes.size }));
  }

  /** The host holds other ids than before: nobody waits from this moment on, those who still lack one come again. */
  changed(): void {
    this.#wakeAll(true);
  }

  /** Nobody can grant ids at present. */
  away(): void {
    this.#wakeAll(false);
  }

  /** Whether the ids of the host have changed before patience was at its end. */
  forIds({ network, tenantId, segmentId }: Share): Promise<boolean> {
    const key = `${network}/${tenantId}/${segmentId}`;
    const share = this.#shares.get(key) ?? { network, tenantId, segmentId, wakes: new Set() };
    this.#shares.set(key, share);
    return new Promise((resolve) => {
      const wake = (changed: boolean): void => {
        cancel();
        share.wakes.delete(wake);
        if (share.wakes.size === 0) this.#shares.delete(key);
        resolve(changed);
      };
      const cancel = this.#timers.after(patienceMs, () => wake(false));
      share.wakes.add(wake);
    });
  }

  #wakeAll(changed: boolean): void {
    for (const { wakes } of this.#shares.values()) for (const wake of wakes) wake(changed);
  }
}
