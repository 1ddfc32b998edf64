/**
 * When a pending reservation of host ids becomes active: every device that needs its route has it. Level-triggered: looked at with
 * every report and before every grant, from what the hosts last said; nothing is lost with a message or a restart.
 *
 * 1. Every other host that ever joined must have applied the revision with the reservation: hosts of the same link route it, and the
 *    uplinks of all hosts let its sources in. A host that is away blocks, and `romana host show` names it.
 * 2. With hosts in other prefix groups, packets pass switches: an operator says that they have the route (`romana host confirm`).
 */
import type { Host, HostReservation } from '#contract/model.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { ReadTx, Store, Tx } from '#store/port.ts';
import { activate, furtherHostId, type Granted, growingKind } from './host-ids.ts';
import type { HostStatuses } from './host-status.ts';
import { type Context, differing, must, networksOf } from './shared.ts';

type Wanted = readonly { readonly network: string; readonly ids: number }[];

/** How long a request waits for routes before it is refused with `id_pending`. */
const patienceMs = 5_000;
/** More than so many hosts in the way are not looked at one by one on every report. */
const fewHosts = 16;

export class Growth {
  readonly #ctx: Context;
  readonly #store: Store;
  readonly #statuses: HostStatuses;
  /** Host and revision → hosts in the way; only a hint of when to look closely. */
  #waiting = new Map<string, Set<string>>();

  constructor(ctx: Context, statuses: HostStatuses) {
    this.#ctx = ctx;
    this.#store = ctx.store;
    this.#statuses = statuses;
  }

  /** Whether a report of this host may have been the last that a reservation waited for. */
  due(tx: ReadTx, reporter: Host): boolean {
    const waiting = new Map<string, Set<string>>();
    let due = false;
    for (const { host, reservation, revision } of pendingOf(tx)) {
      const key = `${host.name}@${revision}`;
      const known = this.#waiting.get(key);
      const names = known ?? new Set(this.#hostsInTheWay(tx, host, reservation));
      if (this.#passed(tx, reporter, revision)) names.delete(reporter.name);
      if (known !== undefined && names.size <= fewHosts) {
        for (const name of names) if (tx.get('host', name)?.joined !== true) names.delete(name);
      }
      waiting.set(key, names);
      if (names.size === 0 && reservation.pending?.switches === false) due = true;
    }
    this.#waiting = waiting;
    return due;
  }

  /** Activates what waits for nobody. */
  settle(tx: Tx): void {
    for (const { key } of tx.list(growingKind)) {
      const host = tx.get('host', key);
      if (host === undefined) {
        tx.delete(growingKind, key);
        continue;
      }
      const pending = (host.reservations ?? []).filter((one) => one.pending !== null);
      const ready = pending.filter((one) => this.waitingFor(tx, host, one).length === 0);
      if (ready.length > 0) activate(tx, host, networksOf(tx), ready);
      else if (pending.length === 0) tx.delete(growingKind, key);
    }
  }

  /** Whether `give` would have something to do. */
  lacks(host: Host, wanted: Wanted): boolean {
    return wanted.some(
      ({ network, ids }) =>
        agentIds(host, network) < ids &&
        host.reservations?.some((one) => one.network === network && one.pending !== null) !== true,
    );
  }

  /**
   * Grants the agent of a host what it asks for: inside its reservations at once, beyond them as one pending reservation that at most
   * doubles what the host has. When the group has nothing left it goes on with what it has.
   */
  give(tx: Tx, name: string, wanted: Wanted): void {
    const old = must(tx, 'host', name);
    let held: Pick<Host, 'ids' | 'reservations'> = old;
    for (const network of networksOf(tx)) {
      const ids = wanted.find((one) => one.network === network.name)?.ids ?? 0;
      while (agentIds(held, network.name) < ids) {
        const room = (held.reservations ?? [])
          .filter((one) => one.network === network.name)
          .reduce((sum, { size }) => sum + size, 0);
        const count = Math.min(ids - agentIds(held, network.name), Math.max(1, room));
        let next: Granted;
        try {
          next = furtherHostId(tx, { ...old, ...held }, network, {
            allocator: 'agent',
            count,
            grown: true,
          });
        } catch (error) {
          if (!isRomanaError(error) || error.code !== 'ids_exhausted') throw error;
          break;
        }
        held = next;
        if (next.granted === undefined) break;
      }
    }
    const { ids, reservations = [] } = held;
    if (differing(old, { ids, reservations }).length > 0) tx.put('host', name, { ...old, ids, reservations });
  }

  /** Hosts by name, then `switches`. */
  waitingFor(tx: ReadTx, host: Host, reservation: HostReservation): string[] {
    if (reservation.pending === null) return [];
    return [
      ...this.#hostsInTheWay(tx, host, reservation),
      ...(reservation.pending.switches ? ['switches'] : []),
    ];
  }

  /** The host as it is shown: with what its pending reservations wait for. */
  shown(tx: ReadTx, host: Host): Host {
    if (host.reservations?.some(({ pending }) => pending !== null) !== true) return host;
    const reservations = host.reservations.map((one) =>
      one.pending === null
        ? one
        : { ...one, pending: { ...one.pending, waitingFor: this.waitingFor(tx, host, one) } },
    );
    return { ...host, reservations };
  }

  /** Waits until the host has nothing pending, for some seconds at most; answers whether that came true. */
  settled(host: string): Promise<boolean> {
    const open = (): boolean => {
      const found = this.#store.read((tx) => tx.get('host', host));
      return found?.reservations?.some(({ pending }) => pending !== null) !== true;
    };
    const { timers } = this.#ctx;
    if (timers === undefined || open()) return Promise.resolve(open());
    return new Promise((resolve) => {
      const finish = (value: boolean): void => {
        stopTimer();
        stopListening();
        resolve(value);
      };
      const stopListening = this.#store.onCommit(() => open() && finish(true));
      const stopTimer = timers.after(patienceMs, () => finish(open()));
    });
  }

  refusal(tx: ReadTx, name: string): RomanaError {
    const host = tx.get('host', name);
    const blockers = new Set(
      (host?.reservations ?? []).flatMap((one) => (host === undefined ? [] : this.waitingFor(tx, host, one))),
    );
    const list = [...blockers];
    const what = list.length === 0 ? 'every device has its route' : list.slice(0, 10).join(', ');
    return new RomanaError(
      'id_pending',
      `Host ${name} needs a further host id, whose route is not everywhere yet; waiting for ${what}. Try again, or see \`romana host show ${name}\`.`,
      { details: { host: name, waitingFor: list.slice(0, 100) } },
    );
  }

  #hostsInTheWay(tx: ReadTx, host: Host, { pending }: HostReservation): string[] {
    if (pending === null) return [];
    return tx
      .list('host')
      .flatMap(({ value }) =>
        value.joined &&
        value.state !== 'fenced' &&
        value.name !== host.name &&
        !this.#passed(tx, value, pending.revision)
          ? [value.name]
          : [],
      );
  }

  #passed(tx: ReadTx, host: Host, revision: number): boolean {
    const now = this.#store.position();
    const { applied } = this.#statuses.of(tx, host, 0, now);
    return applied !== null && applied.incarnation === now.incarnation && applied.revision >= revision;
  }
}

function pendingOf(tx: ReadTx): { host: Host; reservation: HostReservation; revision: number }[] {
  return tx.list(growingKind).flatMap(({ key }) => {
    const host = tx.get('host', key);
    return (host?.reservations ?? []).flatMap((reservation) =>
      host === undefined || reservation.pending === null
        ? []
        : [{ host, reservation, revision: reservation.pending.revision }],
    );
  });
}

function agentIds({ ids }: Pick<Host, 'ids'>, network: string): number {
  return ids.filter((one) => one.network === network && one.allocator === 'agent').length;
}
