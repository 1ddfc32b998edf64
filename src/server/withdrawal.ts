/**
 * Hosts of a shared link that nobody reaches any more: routes to them are withdrawn (`lost`) where the fabric states so
 * (`withdrawAfterSeconds`), and come back with them.
 *
 * 1. Never on the word of one: a host is lost only while the control plane has not heard it for as long as the fabric states, and
 *    at least `observers` other hosts of its link (all, where there are fewer; never none) say lately that it does not answer them.
 * 2. A host that reports is not lost, from its report on (services/reports.ts); one that too few miss is not either, from the next look on.
 * 3. A server that has not run for as long as the fabric states judges nobody: it heard nobody because it was away.
 */
import type { Host } from '#contract/model.ts';
import type { Kind } from '#contract/watch.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import type { ReadTx, Store } from '#store/port.ts';
import { fabricsOf } from './services/fabric.ts';
import type { FabricReports } from './services/fabric-reports.ts';
import { hasMoved } from './services/moved.ts';
import { topologyOf } from './services/topology.ts';

export interface Member {
  readonly name: string;
  /** Since its last report; null: it has not reported since the server started. */
  readonly silentMs: number | null;
  /** Whom it did not reach when it reported last. */
  readonly unreachable: readonly string[];
}

export interface LinkTerms {
  readonly withdrawAfterMs: number;
  readonly observers: number;
}

/** What a host said of others is believed for so long at least: agents speak every 10 s when nothing happens. */
const believedMs = 30_000;
const placing: ReadonlySet<Kind> = new Set(['host', 'topology']);

/** Those of one link that nobody reaches. Undefined: the server has not run for long enough to say. */
export function lostMembers(
  members: readonly Member[],
  { withdrawAfterMs, observers }: LinkTerms,
  upMs: number,
): Set<string> | undefined {
  if (upMs < withdrawAfterMs) return undefined;
  const witnesses = new Map<string, Set<string>>();
  for (const { name, silentMs, unreachable } of members) {
    if (silentMs === null || silentMs >= Math.max(withdrawAfterMs, believedMs)) continue;
    for (const other of unreachable) {
      const known = witnesses.get(other);
      if (known === undefined) witnesses.set(other, new Set([name]));
      else known.add(name);
    }
  }
  const needed = Math.max(1, Math.min(observers, members.length - 1));
  const lost = members.filter(({ name, silentMs }) => {
    const seenBy = witnesses.get(name);
    seenBy?.delete(name);
    return (silentMs ?? upMs) >= withdrawAfterMs && (seenBy?.size ?? 0) >= needed;
  });
  return new Set(lost.map(({ name }) => name));
}

export interface WithdrawalOptions {
  readonly store: Store;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly timers: Timers;
  readonly log: Log;
  readonly reports: Pick<FabricReports, 'heard'>;
  readonly everyMs?: number;
}

export class WithdrawalLoop {
  readonly #options: Required<WithdrawalOptions>;
  readonly #startedAt: number;
  #known: (Standings & { readonly revision: number }) | undefined;
  #stopped = false;
  #cancel: Cancel = () => undefined;

  constructor(options: WithdrawalOptions) {
    this.#options = { everyMs: 2_000, ...options };
    this.#startedAt = options.clock.monotonic();
  }

  start(): void {
    if (this.#stopped) return;
    const { timers, everyMs, log } = this.#options;
    this.#cancel = timers.after(everyMs, () => {
      this.round()
        .catch((error: unknown) => log.error({ error }, 'silent hosts could not be looked for'))
        .finally(() => this.start());
    });
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel();
  }

  /** One look at all links; answers the hosts whose routes are withdrawn or back since. */
  async round(): Promise<string[]> {
    const { store, log } = this.#options;
    const idle = store.read((tx) => {
      const known = this.#known;
      const same = known !== undefined && !hasMoved(store, known.revision, placing);
      this.#known = { ...(same ? known : standings(tx)), revision: tx.revision };
      return this.#changes(tx, this.#known).length === 0;
    });
    if (idle || this.#stopped) return [];
    const changed = await store.transaction('withdrawal', (tx) => {
      // Looked at again: a report may have come while this one waited.
      const changes = this.#changes(tx);
      for (const { host, lost } of changes)
        tx.put('host', host.name, { ...host, lost: lost ? true : undefined });
      return changes;
    });
    for (const { host, lost } of changed) {
      if (lost) log.warn({ host: host.name }, 'nobody reaches the host any more; routes to it are withdrawn');
      else log.info({ host: host.name }, 'the host is routed to again');
    }
    return changed.map(({ host }) => host.name);
  }

  #changes(tx: ReadTx, { links, marked }: Standings = standings(tx)): { host: Host; lost: boolean }[] {
    const now = this.#options.clock.monotonic();
    // On several links: lost where all of them say so. Undefined: not known yet.
    const verdicts = new Map<string, boolean | undefined>();
    for (const { hosts, terms } of links) {
      const members = hosts.map((host): Member => {
        const said = this.#options.reports.heard(host);
        const { at, unreachable } = said ?? { at: null, unreachable: [] };
        return { name: host.name, silentMs: at === null ? null : now - at, unreachable };
      });
      const lost = lostMembers(members, terms, now - this.#startedAt);
      for (const { name } of members) {
        const verdict = lost?.has(name);
        const known = verdicts.has(name) ? verdicts.get(name) : true;
        verdicts.set(name, known === false || verdict === false ? false : verdict && known);
      }
    }
    const missed = [...verdicts].flatMap(([name, lost]) => (lost === true ? [name] : []));
    return [...new Set([...marked, ...missed])].sort().flatMap((name) => {
      const host = tx.get('host', name);
      if (host === undefined) return [];
      // One that stands on no such link any more, or is fenced, is not lost.
      const lost = verdicts.has(name) ? verdicts.get(name) : false;
      return lost === undefined || lost === (host.lost === true) ? [] : [{ host, lost }];
    });
  }
}

interface Standings {
  /** Those that state that silent hosts are withdrawn, with the hosts whose agents run as far as is known. */
  readonly links: readonly { readonly hosts: Pick<Host, 'name' | 'uid'>[]; readonly terms: LinkTerms }[];
  readonly marked: readonly string[];
}

function standings(tx: ReadTx): Standings {
  const topology = topologyOf(tx);
  const links = new Map<string, Standings['links'][number]>();
  const marked: string[] = [];
  for (const { value: host } of tx.list('host')) {
    const { name, uid } = host;
    if (host.lost === true) marked.push(name);
    if (!host.joined || host.state === 'fenced') continue;
    for (const { topology: tree, statedAt, fabric } of fabricsOf(topology, host)) {
      if (fabric?.kind !== 'l2' || fabric.withdrawAfterSeconds === 0) continue;
      const key = `${tree} ${statedAt}`;
      const { withdrawAfterSeconds, observers } = fabric;
      const terms = { withdrawAfterMs: withdrawAfterSeconds * 1000, observers };
      const link = links.get(key) ?? { hosts: [], terms };
      link.hosts.push({ name, uid });
      links.set(key, link);
    }
  }
  return { links: [...links.values()], marked };
}
