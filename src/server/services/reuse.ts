/**
 * The reuse barrier: when the id of a deleted tenant or segment may go to another. Masks ignore hosts, so one host that was cut off
 * and still carries endpoints or table elements of the old owner would let them pass for the new one, everywhere.
 *
 * 1. An id is deleted only without recorded endpoints; from then on it is *retiring*: held by nobody, given to nobody.
 * 2. It begins to rest when every host that ever had an agent, and is not fenced, has acknowledged a position at or after the deletion
 *    and holds no endpoint with the id (endpoints that the host made while it was cut off are such). Then the network's quarantine runs.
 * 3. What hosts acknowledged is kept in memory: after a restart of the server nothing is free until they have said it again.
 *
 * An acknowledged position is in the kernel *and* on the disk of the host, so that no crash brings an older view back. A host that
 * never joined has no agent and no kernel state, and does not count.
 */
import type { Host, RetiringId } from '#contract/model.ts';
import { numbersOf } from '#core/ipam/index.ts';
import type { Position, ReadTx, Store, Tx } from '#store/port.ts';
import type { HostStatuses } from './host-status.ts';
import { idSpace, retiringHolder } from './ids.ts';
import { promote } from './promotion.ts';

const waitingKind = '_retiring';
const restingKind = '_resting';

interface Retiring {
  readonly space: string;
  readonly field: 'tenant' | 'segment';
  readonly network: string;
  readonly id: number;
  /** Ids of the tenant in this network; of a tenant that goes: this one. */
  readonly tenantIds: readonly number[];
  /** `tenant` or `tenant/segment`. */
  readonly owner: string;
  readonly since: string;
  /** Of the deletion. */
  readonly revision: number;
}
interface Resting extends Retiring {
  /** Steady time of the last acknowledgement. */
  readonly from: number;
}

export interface Leaving {
  readonly field: 'tenant' | 'segment';
  readonly owner: string;
  readonly ids: readonly { readonly network: string; readonly id: number }[];
  /** Of a segment: its tenant's ids. */
  readonly tenantIds?: readonly { readonly network: string; readonly id: number }[];
}

const rows = <T extends Retiring>(tx: ReadTx, kind: typeof waitingKind | typeof restingKind): T[] =>
  tx.list(kind).map(({ value }) => withAll(value as T));
/** Rows of a version in which a tenant had at most one id name that one. */
function withAll<T extends Retiring>(row: T & { readonly tenantId?: number }): T {
  return row.tenantId === undefined ? row : { ...row, tenantIds: [row.tenantId] };
}
const keyOf = ({ space, id }: Retiring): string => `${space}/${id}`;

/** In the transaction that deletes the owner. `nowText`: the time for people. */
export function retireIds(tx: Tx, leaving: Leaving, nowText: string): void {
  const { field, owner } = leaving;
  const [tenant = ''] = owner.split('/');
  if (field === 'tenant') forget(tx, (record) => record.owner.startsWith(`${tenant}/`));
  const anyAgent = tx.list('host').some(({ value }) => value.joined);
  for (const { network, id } of leaving.ids) {
    const space = idSpace(field, network, tenant);
    tx.letGo(space, id);
    // Nothing of it can be in any kernel.
    if (!anyAgent) continue;
    tx.hold(space, id, retiringHolder(owner));
    const tenantIds = field === 'tenant' ? [id] : numbersOf(leaving.tenantIds ?? [], network);
    const record: Retiring = {
      space,
      field,
      network,
      id,
      tenantIds,
      owner,
      since: nowText,
      revision: tx.revision,
    };
    tx.put(waitingKind, keyOf(record), record);
  }
  if (!anyAgent) promote(tx);
}

/** An id that addresses on some host have and nobody on record, or that rests although they do: a store was restored. */
export function retireUnknown(
  tx: Tx,
  found: {
    readonly network: string;
    readonly id: number;
    /** Of a segment id: who has its tenant's id. */
    readonly tenant?: string;
  },
  nowText: string,
): void {
  const { network, id, tenant } = found;
  const field = tenant === undefined ? 'tenant' : 'segment';
  const space = idSpace(field, network, tenant);
  const key = `${space}/${id}`;
  if (tx.row(waitingKind, key) !== undefined) return;
  const rested = tx.get(restingKind, key) as Resting | undefined;
  if (rested !== undefined) tx.delete(restingKind, key);
  const owner = rested?.owner ?? (tenant === undefined ? unknown : `${tenant}/${unknown}`);
  tx.hold(space, id, retiringHolder(owner));
  const record: Retiring = {
    space,
    field,
    network,
    id,
    tenantIds: tenant === undefined ? [id] : numbersOf(tx.get('tenant', tenant)?.ids ?? [], network),
    owner,
    since: nowText,
    // Nothing watched need change with it: the newest one that is there.
    revision: tx.revision - 1,
  };
  tx.put(waitingKind, key, record);
}
const unknown = '(unknown)';

/** Ids of a network that goes: its numbers mean nothing without it. */
export function forgetNetworkIds(tx: Tx, network: string): void {
  forget(tx, (record) => record.network === network);
}

function forget(tx: Tx, which: (record: Retiring) => boolean): void {
  for (const kind of [waitingKind, restingKind] as const) {
    for (const record of rows(tx, kind).filter(which)) {
      tx.letGo(record.space, record.id);
      tx.delete(kind, keyOf(record));
    }
  }
}

/** Before ids are taken: those that have rested long enough are free, first for those who wait for one. `now` is steady time. */
export function freeRestedIds(tx: Tx, now: number): void {
  let freed = false;
  for (const record of rows<Resting>(tx, restingKind)) {
    const quarantineMs = (tx.get('network', record.network)?.quarantineSeconds ?? 0) * 1000;
    // A clock that was wrong before a restart would keep it for as long as that.
    if (record.from > now) tx.put(restingKind, keyOf(record), { ...record, from: now });
    if (now - Math.min(record.from, now) < quarantineMs) continue;
    tx.letGo(record.space, record.id);
    tx.delete(restingKind, keyOf(record));
    freed = true;
  }
  if (freed) promote(tx);
}

/** Ids that nobody may have yet. */
export function retiringIds(tx: ReadTx): readonly Pick<Retiring, 'field' | 'network' | 'id' | 'owner'>[] {
  return [...rows(tx, waitingKind), ...rows(tx, restingKind)];
}

/** Whether an id has rested long enough. */
export function anyRested(tx: ReadTx, now: number): boolean {
  return rows<Resting>(tx, restingKind).some((record) => restedAt(tx, record) <= now);
}

/** A clock that was wrong before a restart would keep it for as long as that; freeRestedIds puts it right. */
function restedAt(tx: ReadTx, { network, from }: Resting): number {
  return from + (tx.get('network', network)?.quarantineSeconds ?? 0) * 1000;
}

export class ReuseBarrier {
  readonly #store: Store;
  readonly #statuses: HostStatuses;
  /** Retiring id and revision → hosts still in the way. Only a hint of when to look closely. */
  #waiting = new Map<string, Set<string>>();

  constructor(store: Store, statuses: HostStatuses) {
    this.#store = store;
    this.#statuses = statuses;
  }

  /** Whether a report of this host may have been the last one that an id waited for. Cheap: thousands of hosts report. */
  due(tx: ReadTx, host: Host): boolean {
    const waiting = new Map<string, Set<string>>();
    let due = false;
    for (const record of rows(tx, waitingKind)) {
      const key = `${keyOf(record)}@${record.revision}`;
      const hosts = this.#waiting.get(key) ?? this.#inTheWay(tx, record);
      if (this.#passes(record, host)) hosts.delete(host.name);
      else hosts.add(host.name);
      waiting.set(key, hosts);
      if (hosts.size === 0) due = true;
    }
    this.#waiting = waiting;
    return due;
  }

  /** Lets the ids rest that wait for nobody any more: after a report that is due, and when a host goes. */
  settle(tx: Tx, now: number): void {
    this.#waiting = new Map();
    for (const record of rows(tx, waitingKind)) {
      if (this.#inTheWay(tx, record).size > 0) continue;
      const resting: Resting = { ...record, from: now };
      tx.delete(waitingKind, keyOf(record));
      tx.put(restingKind, keyOf(record), resting);
    }
  }

  /** Ids that are not free yet, and which hosts are the reason. */
  blockers(tx: ReadTx): RetiringId[] {
    const told = ({ field, network, id, owner, since }: Retiring) => ({ field, network, id, owner, since });
    const hosts = counted(tx);
    return [
      ...rows(tx, waitingKind).map((record) => ({
        ...told(record),
        resting: false,
        waitingFor: names(hosts.filter((host) => !this.#hasSeen(record, host))),
        heldBy: names(hosts.filter((host) => this.#holds(record, host))),
      })),
      ...rows<Resting>(tx, restingKind).map((record) => ({
        ...told(record),
        resting: true,
        waitingFor: [],
        heldBy: [],
      })),
    ];
  }

  #inTheWay(tx: ReadTx, record: Retiring): Set<string> {
    return new Set(names(counted(tx).filter((host) => !this.#passes(record, host))));
  }

  #passes(record: Retiring, host: Host): boolean {
    return !counts(host) || (this.#hasSeen(record, host) && !this.#holds(record, host));
  }

  #hasSeen({ revision }: Retiring, host: Host): boolean {
    return reached(this.#statuses.said(host)?.acknowledged ?? null, this.#store.position(), revision);
  }

  #holds({ field, network, id, tenantIds }: Retiring, host: Host): boolean {
    const orphans = this.#statuses.said(host)?.orphans ?? [];
    return orphans.some(
      (orphan) =>
        orphan.network === network &&
        tenantIds.includes(orphan.tenant) &&
        (field === 'tenant' || orphan.segment === id),
    );
  }
}

/** Whether an acknowledged position is at or after a revision of this store. */
export function reached(acknowledged: Position | null, now: Position, revision: number): boolean {
  return (
    acknowledged !== null && acknowledged.incarnation === now.incarnation && acknowledged.revision >= revision
  );
}

function counts(host: Host): boolean {
  return host.joined && host.state !== 'fenced';
}

function counted(tx: ReadTx): Host[] {
  return tx.list('host').flatMap(({ value }) => (counts(value) ? [value] : []));
}

function names(hosts: readonly Host[]): string[] {
  return hosts.map(({ name }) => name);
}
