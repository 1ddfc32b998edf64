/**
 * How hosts come by host ids: on creation, with a new network, on request, and when blocks run full. Each host has reservations, aligned
 * ranges of host ids that are routed as a whole (core/plan/buddy.ts); ids are granted inside those that are active.
 *
 * 1. Whoever holds an id holds the reservation around it. Reservations of one network overlap in nothing and lie in the host's group.
 * 2. What a host gets on its creation, or with a new network, is active at once, unless it was taken from another host.
 * 3. Any other reservation is *pending* while some device may lack its route (growth.ts): no id is granted in it, so no address of it
 *    is given out. A host has at most one pending reservation in a network.
 * 4. Ids that no host has reserved go first. Only a full group takes from reservations, pending or not: core's `reclaim` says from whose.
 */
import type { Host, HostId, HostReservation } from '#contract/model.ts';
import { formatCidr, hostCidr, splitCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import {
  type CarvedGroup,
  grow,
  holdsId,
  joined,
  place,
  powerOfTwo,
  type Reservation,
  reclaim,
  type Standing,
} from '#core/plan/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { passesSwitches } from './fabric.ts';
import { idSpace, takeId } from './ids.ts';
import { type KnownNetwork, nameSome } from './shared.ts';
import { carverOf, leavesOf, nameOf, partOf, pathOf, topologyOf, treesOf } from './topology.ts';

type Allocator = HostId['allocator'];

/** Kept beside the host: what it was created with, for networks that come later. */
interface HostRecord {
  readonly allocator: Allocator;
  /** Size of its first reservation in a network; absent: 1. */
  readonly growth?: number;
  /** Labels chose its group, so other labels may choose another. */
  readonly byLabels?: true;
  /** Topologies in which it was put into its group all the same. */
  readonly pinned?: readonly string[];
}

export function rememberHost(tx: Tx, host: string, record: HostRecord): void {
  tx.put('_host', host, record);
}

export function allocatorOf(tx: ReadTx, host: string): Allocator {
  return recordOf(tx, host)?.allocator ?? 'agent';
}

export function growthOf(tx: ReadTx, host: string): number {
  return recordOf(tx, host)?.growth ?? 1;
}

export function recordOf(tx: ReadTx, host: string): HostRecord | undefined {
  return tx.get('_host', host) as HostRecord | undefined;
}

export interface Holdings {
  readonly ids: readonly HostId[];
  readonly reservations?: readonly HostReservation[] | undefined;
}

export interface Granted {
  readonly ids: HostId[];
  readonly reservations: HostReservation[];
  /** Undefined: the reservation that it will be in is pending. */
  readonly granted: HostId | undefined;
}

type Grantee = Holdings & Standing & { readonly name: string };

interface Wish {
  readonly allocator: Allocator;
  /** Exactly this one. */
  readonly id?: number | undefined;
  /** Inside the active reservations or not at all: no route changes. */
  readonly inside?: true;
  /** How many are needed soon: how far to grow if there is no room. */
  readonly count?: number | undefined;
  /** Because blocks are full: it goes back when it is empty (empty-ids.ts). */
  readonly grown?: true;
}

/** The first id of a new host, or of any host in a new network. The caller puts what is answered into the host. */
export function firstHostId(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  wish: { readonly allocator: Allocator; readonly id?: number | undefined },
): Granted {
  const group = groupOf(tx, host, network);
  const size = growthOf(tx, host.name);
  const preferred = firstNumber(host);
  const find = (taken: readonly Reservation[]): Reservation | undefined => {
    if (wish.id !== undefined) return place(group, taken, size, wish.id);
    const same = preferred === undefined ? undefined : place(group, taken, size, preferred);
    return same?.size === size ? same : place(group, taken, size);
  };
  const { reservation, takenBack } = reserve(tx, host, network, group, wish.id, find);
  const inside =
    wish.id ?? (preferred !== undefined && holdsId(reservation, preferred) ? preferred : undefined);
  return enter(tx, host, network, reservation, { ...wish, id: inside }, takenBack);
}

/** One number in all networks where possible; the first may wait for its route. */
function firstNumber({ ids, reservations = [] }: Holdings): number | undefined {
  const [first] = reservations;
  const waits = first?.pending !== null && !ids.some(({ network }) => network === first?.network);
  return waits ? first?.pending?.id : ids[0]?.id;
}

/** A further id: inside the active reservations, else in a new one. The caller puts what is answered into the host. */
export function furtherHostId(tx: Tx, host: Grantee, network: KnownNetwork, wish: Wish): Granted {
  const group = groupOf(tx, host, network);
  const mine = (host.reservations ?? []).filter((one) => one.network === network.name);
  const active = mine.filter(({ pending }) => pending === null).sort((a, b) => a.first - b.first);
  const free =
    wish.id === undefined
      ? freeIdIn(tx, network, active)
      : active.some((one) => holdsId(one, wish.id!))
        ? wish.id
        : undefined;
  if (free !== undefined) return grant(tx, host, network, free, wish);
  if (wish.inside === true || mine.some(({ pending }) => pending !== null)) return unchanged(host);
  const { reservation } = reserve(tx, host, network, group, wish.id, (taken) =>
    wish.id === undefined
      ? grow(group, taken, active, wish.count ?? 1)
      : place(group, taken, powerOfTwo(wish.count ?? 1), wish.id),
  );
  return enter(tx, host, network, reservation, wish, true);
}

/** An id whose addresses the host's agent holds already, and nobody on record: its route was everywhere. Throws what `demandFree` does. */
export function relearnedHostId(tx: Tx, host: Grantee, network: KnownNetwork, id: number): Granted {
  const wish = { allocator: 'agent', id, grown: true } as const;
  const within = (host.reservations ?? []).find(
    (one) => one.network === network.name && one.pending === null && holdsId(one, id),
  );
  if (within !== undefined) return grant(tx, host, network, id, wish);
  const group = groupOf(tx, host, network);
  const { reservation } = reserve(tx, host, network, group, id, (taken) => place(group, taken, 1, id));
  return enter(tx, host, network, reservation, wish, false);
}

function unchanged(host: Grantee): Granted {
  return { ids: [...host.ids], reservations: [...(host.reservations ?? [])], granted: undefined };
}

function freeIdIn(tx: ReadTx, network: KnownNetwork, active: readonly Reservation[]): number | undefined {
  for (const { first, size } of active) {
    const id = tx.lowestFree(idSpace('host', network.name), first, first + size - 1);
    if (id !== undefined) return id;
  }
  return undefined;
}

function grant(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  id: number,
  { allocator, grown }: { readonly allocator: Allocator; readonly grown?: boolean | undefined },
): Granted {
  takeId(tx, { field: 'host', network, holder: host.name, id });
  const granted: HostId = {
    network: network.name,
    id,
    allocator,
    cidr: formatCidr(hostCidr(network.plan, id)),
    ...(grown === true ? { grown } : {}),
  };
  return { ids: [...host.ids, granted], reservations: [...(host.reservations ?? [])], granted };
}

/** Adds a reservation to the host: pending when somebody has to hear of its route first, else with its first id. */
function enter(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  reservation: Reservation,
  wish: Wish,
  routed: boolean,
): Granted {
  const switches =
    routed &&
    passesSwitches(
      topologyOf(tx),
      host,
      network.name,
      tx.list('host').map(({ value }) => value),
    );
  const id = wish.id ?? reservation.first;
  const waits = switches || (routed && anotherJoined(tx, host.name));
  const pending = waits
    ? {
        revision: tx.revision,
        id,
        allocator: wish.allocator,
        ...(wish.grown === true ? { grown: true } : {}),
        switches,
        waitingFor: [],
      }
    : null;
  const entry = { ...described(network, reservation), pending };
  const next = withReservations(tx, host, network, [...(host.reservations ?? []), entry]);
  if (!waits) return grant(tx, { ...host, reservations: next }, network, id, wish);
  tx.put(growingKind, host.name, { revision: tx.revision });
  return { ids: [...host.ids], reservations: next, granted: undefined };
}

/** Hosts with a pending reservation, and the revision of the newest; read on every report, so kept apart. */
export const growingKind = '_growing';

function anotherJoined(tx: ReadTx, name: string): boolean {
  return tx.list('host').some(({ value }) => value.joined && value.state !== 'fenced' && value.name !== name);
}

/** Every device has the routes of these pending reservations: they are active, and the ids that they were made for are granted. */
export function activate(
  tx: Tx,
  host: Host,
  networks: readonly KnownNetwork[],
  ready: readonly HostReservation[],
): Host {
  let { ids } = host;
  let reservations = host.reservations ?? [];
  for (const { network: name, first, pending } of ready) {
    const network = networks.find((one) => one.name === name);
    if (network === undefined || pending === null) continue;
    const entries = reservations.map((one) =>
      one.network === name && one.first === first ? { ...one, pending: null } : one,
    );
    reservations = withReservations(tx, { ...host, reservations }, network, entries);
    if (tx.holderOf(idSpace('host', name), pending.id) === undefined)
      ids = grant(tx, { ...host, ids, reservations }, network, pending.id, pending).ids;
  }
  const kept = tx.put('host', host.name, { ...host, ids, reservations });
  if ((kept.reservations ?? []).every(({ pending }) => pending === null)) tx.delete(growingKind, host.name);
  return kept;
}

/** Gives up the ids and reservations of a host, in one network or in all of them. */
export function letGoHostIds(tx: Tx, host: Holdings, network?: string): void {
  const gone = <T extends { network: string }>(list: readonly T[]): T[] =>
    list.filter((one) => network === undefined || one.network === network);
  for (const one of gone(host.ids)) tx.letGo(idSpace('host', one.network), one.id);
  for (const one of gone(host.reservations ?? [])) tx.letGo(reservationSpace(one.network), one.first);
}

// --- reservations as the store keeps them: by their first id, with size and holder

function reservationSpace(network: string): string {
  return `host reservation/${network}`;
}

function takenIn(
  tx: ReadTx,
  network: KnownNetwork,
  group: CarvedGroup,
): (Reservation & { holder: string })[] {
  return tx
    .heldIn(reservationSpace(network.name), group.firstHostId, group.lastHostId)
    .map(({ value, holder }) => {
      const space = holder.indexOf(' ');
      return { first: value, size: Number(holder.slice(0, space)), holder: holder.slice(space + 1) };
    });
}

/** The host whose reservation an id lies in. */
export function reservedFor(
  tx: ReadTx,
  network: KnownNetwork,
  group: CarvedGroup,
  id: number,
): string | undefined {
  return takenIn(tx, network, group).find((one) => holdsId(one, id))?.holder;
}

/** Joins buddies that are both active, and makes the store's holdings of this network those of `entries`. */
function withReservations(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  entries: readonly HostReservation[],
): HostReservation[] {
  const space = reservationSpace(network.name);
  const mine = entries.filter((one) => one.network === network.name);
  const active = joined(mine.filter(({ pending }) => pending === null)).map((one) => ({
    ...described(network, one),
    pending: null,
  }));
  const next = [...active, ...mine.filter(({ pending }) => pending !== null)];
  for (const one of host.reservations ?? []) if (one.network === network.name) tx.letGo(space, one.first);
  for (const { first, size } of next) tx.hold(space, first, `${size} ${host.name}`);
  return [...entries.filter((one) => one.network !== network.name), ...next];
}

function described(network: KnownNetwork, { first, size }: Reservation): Omit<HostReservation, 'pending'> {
  const { plan, name } = network;
  const cidr = splitCidr(plan.cidr, plan.layout.host - Math.log2(size), first / size);
  return { network: name, first, size, cidr: formatCidr(cidr) };
}

function reserve(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  group: CarvedGroup,
  exact: number | undefined,
  find: (taken: readonly Reservation[]) => Reservation | undefined,
): { reservation: Reservation; takenBack: boolean } {
  const taken = takenIn(tx, network, group);
  if (exact !== undefined) demandFree(tx, host, network, group, taken, exact);
  const reservation = find(taken);
  if (reservation !== undefined) return { reservation, takenBack: false };
  takeBack(tx, host, network, group);
  const after = find(takenIn(tx, network, group));
  if (after === undefined) throw exhausted(tx, host, network, group);
  return { reservation: after, takenBack: true };
}

/** From whoever has reserved in the same part of the network, whatever groups it has elsewhere. */
function takeBack(tx: Tx, host: Grantee, network: KnownNetwork, group: CarvedGroup): void {
  const occupied = tx
    .list('host')
    .map(({ value }) => value)
    .filter((other) => other.name !== host.name)
    .flatMap((holder) =>
      (holder.reservations ?? [])
        .filter((one) => one.network === network.name)
        .filter(({ first }) => first >= group.firstHostId && first <= group.lastHostId)
        .map(({ first, size, pending }) => ({
          holder,
          first,
          size,
          pending,
          used: [
            ...(pending === null ? [] : [pending.id]),
            ...holder.ids.flatMap(({ network: name, id }) =>
              name === network.name && holdsId({ first, size }, id) ? [id] : [],
            ),
          ],
        })),
    );
  const found = reclaim(occupied);
  if (found === undefined) return;
  const { from, keep } = found;
  const entries = (from.holder.reservations ?? []).filter(
    (one) => one.network !== network.name || one.first !== from.first,
  );
  const kept = keep === null ? [] : [{ ...described(network, keep), pending: from.pending }];
  const reservations = withReservations(tx, from.holder, network, [...entries, ...kept]);
  tx.put('host', from.holder.name, { ...from.holder, reservations });
}

/** Throws what an exact id deserves that cannot be had. */
function demandFree(
  tx: Tx,
  host: Grantee,
  network: KnownNetwork,
  group: CarvedGroup,
  taken: readonly (Reservation & { holder: string })[],
  id: number,
): void {
  const first = Math.max(1, group.firstHostId);
  const last = group.lastHostId;
  if (id < first || id > last) {
    throw new RomanaError(
      'id_out_of_range',
      `The host ids of ${placeText(tx, host, network)} are ${first} to ${last}, not ${id}.`,
      { details: { field: 'host', network: network.name, id, min: first, max: last } },
    );
  }
  const owner = tx.holderOf(idSpace('host', network.name), id);
  const holder = owner ?? taken.find((one) => holdsId(one, id))?.holder;
  if (holder === undefined) return;
  throw new RomanaError(
    'id_taken',
    `The host id ${id} of network ${network.name} ${owner === undefined ? 'is reserved for' : 'belongs to'} host ${holder}.`,
    { details: { field: 'host', network: network.name, id, holder } },
  );
}

function exhausted(tx: ReadTx, host: Grantee, network: KnownNetwork, group: CarvedGroup): RomanaError {
  const first = Math.max(1, group.firstHostId);
  const last = group.lastHostId;
  return new RomanaError(
    'ids_exhausted',
    `Every host id of ${placeText(tx, host, network)} is taken (${first} to ${last}); delete some, or use a network with a wider host field.`,
    { details: { field: 'host', network: network.name, first, last } },
  );
}

function placeText(tx: ReadTx, host: Grantee, network: KnownNetwork): string {
  const where = `network ${network.name}`;
  const path = host.groups === undefined ? host.group : (pathOf(topologyOf(tx), host, network.name) ?? '');
  return path === null || path === '' ? where : `group ${path} in ${where}`;
}

// --- the place in the topology

function groupOf(tx: ReadTx, host: Grantee, network: KnownNetwork): CarvedGroup {
  const group = partOf(tx, host, network);
  if (group !== undefined) return group;
  const carver = host.groups === undefined ? null : carverOf(topologyOf(tx), network.name);
  if (carver === null) throw groupUnknown(tx, host.group);
  throw new RomanaError(
    'group_unknown',
    `Host ${host.name} stands in no group of topology ${nameOf(carver)}, which carves network ${network.name}; label it, or list it in a group there.`,
    { details: { host: host.name, topology: nameOf(carver), network: network.name } },
  );
}

export function demandLeaf(tx: ReadTx, group: string | null): void {
  const trees = treesOf(topologyOf(tx));
  if (!trees.some((tree) => leavesOf(tree).includes(group ?? ''))) throw groupUnknown(tx, group);
}

export function groupUnknown(tx: ReadTx, group: string | null): RomanaError {
  const leaves = treesOf(topologyOf(tx))
    .flatMap(leavesOf)
    .filter((path) => path !== '');
  const choices =
    leaves.length === 0
      ? 'the topology has none, so leave the group out'
      : `choose one of ${nameSome(leaves)}`;
  const what =
    group === null
      ? 'The labels of the host match no prefix group with room'
      : `No prefix group ${group} holds hosts`;
  return new RomanaError('group_unknown', `${what}; ${choices}.`, {
    details: { group, leaves: leaves.slice(0, 100) },
  });
}
