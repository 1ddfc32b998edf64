/**
 * When a pending reservation of host ids becomes active: every device that needs its route has it. Level-triggered: looked at with
 * every report and before every grant, from what the hosts last said; nothing is lost with a message or a restart.
 *
 * 1. Every other host that ever joined must have applied the revision with the reservation: hosts of the same link route it, and the
 *    uplinks of all hosts let its sources in. A host that is away blocks, and `romana host show` names it.
 * 2. Where packets pass switches or routers, those that need the route have it, too: by the host's own BGP sessions, or because an
 *    operator said so (route-waits.ts).
 */
import type { Host, HostReservation } from '#contract/model.ts';
import { parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Position, ReadTx, Store, Tx } from '#store/port.ts';
import { activate, furtherHostId, type Granted, growingKind } from './host-ids.ts';
import type { HostStatuses } from './host-status.ts';
import { isUsable, keepIds } from './returning-ids.ts';
import { reached } from './reuse.ts';
import type { Planned, RoutingPlans } from './routing-plan.ts';
import { type Context, differing, must, networksOf } from './shared.ts';
import { networksAt } from './topology.ts';
import { isWaiting } from './waiting.ts';

type Wanted = readonly { readonly network: string; readonly ids: number }[];

/** How long a request waits for routes before it is refused with `id_pending`. */
const patienceMs = 5_000;
/** What the row of a host with something pending holds: the revision of its newest pending reservation. */
interface Growing {
  readonly revision?: number;
}
interface Waiting {
  readonly growing: Growing['revision'];
  /** For each pending reservation that waits for agents alone: those in its way. */
  readonly hosts: readonly { readonly revision: number; readonly names: Set<string> }[];
}

export class Growth {
  readonly #ctx: Context;
  readonly #store: Store;
  readonly #statuses: HostStatuses;
  readonly #plans: RoutingPlans;
  /** By host; only a hint of when to look closely, kept so that a report costs no look at every host. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(ctx: Context, statuses: HostStatuses, plans: RoutingPlans) {
    this.#ctx = ctx;
    this.#store = ctx.store;
    this.#statuses = statuses;
    this.#plans = plans;
  }

  /** Hosts for whose reservations a report of this host may have been the last one that was waited for. `spoke`: its sessions changed. */
  due(tx: ReadTx, reporter: Host, spoke: boolean): string[] {
    const due: string[] = [];
    const joined = joinedHosts(tx);
    const { applied } = this.#statuses.of(tx, reporter, 0, this.#store.position());
    if (spoke) this.#waiting.delete(reporter.name);
    for (const { key, value } of tx.list(growingKind)) {
      const known = this.#waiting.get(key);
      const fresh = known === undefined || known.growing !== (value as Growing).revision;
      const { hosts } = fresh ? this.#look(tx, key, joined) : known;
      for (const { revision, names } of hosts)
        if (this.#reached(applied, revision)) names.delete(reporter.name);
      if (hosts.some(({ names }) => names.size === 0)) due.push(key);
    }
    return due;
  }

  /** Activates what waits for nobody: of one host, or of all. */
  settle(tx: Tx, only?: string): void {
    if (isWaiting(tx)) return;
    const growing = only === undefined ? tx.list(growingKind).map(({ key }) => key) : [only];
    const joined = joinedHosts(tx);
    let made: Planned | undefined;
    const plan = () => (made ??= this.#plans.of(tx));
    for (const name of growing) {
      if (tx.row(growingKind, name) === undefined) continue;
      const host = tx.get('host', name);
      const pending = pendingOf(tx, name);
      const ready = pending.filter(
        (one) =>
          this.#inTheWay(tx, name, one, joined()).length === 0 &&
          this.#routeWaits(tx, host, one, plan).length === 0,
      );
      if (host !== undefined && ready.length > 0) activate(tx, host, networksOf(tx), ready);
      else if (pending.length === 0) tx.delete(growingKind, name);
      this.#waiting.delete(name);
    }
  }

  /** Whether `give` would have something to do. */
  lacks(host: Host, wanted: Wanted): boolean {
    return wanted.some(
      ({ network, ids }) =>
        agentIds(host, network) < ids &&
        (host.ids.some((one) => one.network === network && one.retiring === true) ||
          host.reservations?.some((one) => one.network === network && one.pending !== null) !== true),
    );
  }

  /**
   * Grants the agent of a host what it asks for: what is on its way back stays, then inside its reservations at once, beyond them as one
   * pending reservation that at most doubles what the host has. When the group has nothing left it goes on with what it has.
   */
  give(tx: Tx, name: string, wanted: Wanted): void {
    const old = must(tx, 'host', name);
    let held: Pick<Host, 'ids' | 'reservations'> = old;
    for (const network of networksAt(tx, old)) {
      const ids = wanted.find((one) => one.network === network.name)?.ids ?? 0;
      const missing = ids - agentIds(held, network.name);
      if (missing > 0) {
        const kept = keepIds(tx, { name, ids: held.ids }, network.name, missing, this.#ctx.steadyNow());
        held = { ids: kept, reservations: held.reservations };
      }
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

  /** Hosts by name, then who else has to have the route (route-waits.ts). */
  waitingFor(tx: ReadTx, host: Host, reservation: HostReservation): string[] {
    if (reservation.pending === null) return [];
    return [
      ...this.#inTheWay(tx, host.name, reservation, joinedHosts(tx)()),
      ...this.#routeWaits(tx, host, reservation),
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
      try {
        const found = this.#store.read((tx) => tx.get('host', host));
        return found?.reservations?.some(({ pending }) => pending !== null) !== true;
      } catch {
        // The server is stopping; nobody stands behind a timer to catch that.
        return false;
      }
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

  #look(tx: ReadTx, name: string, joined: () => readonly Host[]): Waiting {
    const pending = pendingOf(tx, name);
    const host = tx.get('host', name);
    const hosts = pending.flatMap((one) =>
      one.pending !== null && this.#routeWaits(tx, host, one).length === 0
        ? [{ revision: one.pending.revision, names: new Set(this.#inTheWay(tx, name, one, joined())) }]
        : [],
    );
    const growing = (tx.get(growingKind, name) as Growing | undefined)?.revision;
    // What was pending may have gone with its network: nobody is waited for, and the row is to go.
    const seen = { growing, hosts: pending.length > 0 ? hosts : [{ revision: 0, names: new Set<string>() }] };
    this.#waiting.set(name, seen);
    return seen;
  }

  /** `switches` says that packets pass any, and that no operator has vouched for all of them. */
  #routeWaits(
    tx: ReadTx,
    host: Host | undefined,
    { cidr, pending }: HostReservation,
    plan?: () => Planned,
  ): string[] {
    if (host === undefined || pending?.switches !== true) return [];
    return this.#plans.waits(tx, host, { cidr: parseCidr(cidr), revision: pending.revision }, plan);
  }

  #inTheWay(tx: ReadTx, name: string, { pending }: HostReservation, joined: readonly Host[]): string[] {
    if (pending === null) return [];
    const now = this.#store.position();
    return joined
      .filter((other) => other.name !== name)
      .filter((other) => !this.#reached(this.#statuses.of(tx, other, 0, now).applied, pending.revision))
      .map((other) => other.name);
  }

  #reached(applied: Position | null, revision: number): boolean {
    return reached(applied, this.#store.position(), revision);
  }
}

/** Whose agents run, as far as is known. Read when somebody asks, and once. */
function joinedHosts(tx: ReadTx): () => readonly Host[] {
  let hosts: readonly Host[] | undefined;
  return () =>
    (hosts ??= tx
      .list('host')
      .flatMap(({ value }) => (value.joined && value.state !== 'fenced' ? [value] : [])));
}

function pendingOf(tx: ReadTx, name: string): HostReservation[] {
  return (tx.get('host', name)?.reservations ?? []).filter(({ pending }) => pending !== null);
}

function agentIds({ ids }: Pick<Host, 'ids'>, network: string): number {
  return ids.filter((one) => one.network === network && isUsable(one)).length;
}
