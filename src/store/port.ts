/**
 * The one door to the control plane's state. Services say what they mean; SQL, locks and fsync stay behind it. See README.md for
 * the invariants that every implementation holds and `conformance.ts` for the tests that hold it to them.
 */
import type { Kind, WatchedObjects } from '#contract/watch.ts';
import type { Address, Cidr } from '#core/address/index.ts';
import type { Allocation, BlockCount, Held, IpamEvent, IpamRecords, IpamView } from '#core/ipam/index.ts';
import type { Cancel } from '#core/ports.ts';

/** Objects of private kinds (tokens, certificates, host status) are never in the change log and do not move the revision. */
export type PrivateKind = `_${string}`;
export type StoredKind = Kind | PrivateKind;
export type Stored<K extends StoredKind> = K extends Kind ? WatchedObjects[K] : unknown;
/** What is handed to `put`: the store stamps the revision. */
export type Writable<K extends StoredKind> = K extends Kind ? Omit<WatchedObjects[K], 'revision'> : unknown;

/** (incarnation, revision): a restored or imported store has a new incarnation, and positions of the old one mean nothing in it. */
export interface Position {
  readonly incarnation: string;
  readonly revision: number;
}

export interface Row<K extends StoredKind> {
  readonly key: string;
  readonly value: Stored<K>;
  /** Watched kinds: the store's revision of the last change. Private kinds: 1, 2, 3… counted by object. */
  readonly revision: number;
  /** Order of creation among all objects; a later object has a greater one. */
  readonly created: number;
}

/**
 * One object's change. `value` null: deleted. `host` is the endpoint's location or the shared peer's host, also for a
 * deleted one; null for other kinds. An endpoint that changed its location is two changes: deleted for the old one, and its new value.
 */
export interface Change {
  readonly revision: number;
  /** Order within the revision, from 0. */
  readonly ordinal: number;
  readonly kind: Kind;
  readonly key: string;
  readonly value: WatchedObjects[Kind] | null;
  readonly host: string | null;
}

export interface ListOptions {
  /** Only keys that begin with it, e.g. `tenant/segment/`. */
  readonly prefix?: string;
  /** Only keys after this one (paging). */
  readonly after?: string;
  readonly limit?: number;
  /** Only objects of this host (kinds endpoint, by location, and sharedpeer only). */
  readonly host?: string;
}

export interface ReadTx {
  /** In a transaction: the revision that it gets if it writes a watched object. In a read: the newest one. */
  readonly revision: number;
  /** A read view of the addresses given out by or registered with the server. */
  readonly ipam: IpamView;
  get<K extends StoredKind>(kind: K, key: string): Stored<K> | undefined;
  row<K extends StoredKind>(kind: K, key: string): Row<K> | undefined;
  /** In key order. */
  list<K extends StoredKind>(kind: K, options?: ListOptions): Row<K>[];
  count(kind: StoredKind, options?: { readonly prefix?: string; readonly host?: string }): number;
  /** Endpoints on each host that has any. */
  endpointCounts(): ReadonlyMap<string, number>;
  /** Locations of the endpoints whose keys begin with the prefix, each once. */
  hostsOf(prefix: string): string[];
  /** Live allocations inside the range, in address order. */
  allocationsIn(
    network: string,
    first: Address,
    last: Address,
    limit: number,
  ): { address: Address; key: string }[];
  /**
   * Counts of every block that has any: owned addresses, those of them in reserved ranges (disjoint), and released ones after
   * `restingSince` outside of these. Counted from scratch, at the cost of one step per address in an index.
   */
  blockCounts(network: string, restingSince: number, reserved: readonly Cidr[]): BlockCount[];
  /** Every allocation with the host it is on (empty: nobody holds its host id); `recorded`: its endpoint is there. */
  heldAllocations(): (Held & { readonly recorded: boolean })[];
  /** Every record of addresses, for the check of their consistency. */
  ipamRecords(): Pick<IpamRecords, 'leases' | 'strays' | 'released' | 'runs' | 'lastSeq'>;
  /** Who holds a value of a space in which each value has at most one holder (host ids of a network, underlay addresses…). */
  holderOf(space: string, value: number | string): string | undefined;
  /** Numbers in first..last that somebody holds, lowest first. */
  heldIn(space: string, first: number, last: number): { value: number; holder: string }[];
  /** The lowest value in first..last that nobody holds. */
  lowestFree(space: string, first: number, last: number): number | undefined;
}

export interface Guard {
  /** Throws revision_conflict unless the object has this revision; ignored when undefined. */
  readonly ifRevision?: number | undefined;
}

export interface Tx extends ReadTx {
  /** Stamps the revision into watched objects and answers what was stored. */
  put<K extends StoredKind>(kind: K, key: string, value: Writable<K>, guard?: Guard): Stored<K>;
  /** Throws not_found when there is no such object. */
  delete(kind: StoredKind, key: string, guard?: Guard): void;
  applyIpam(event: IpamEvent): void;
  /** Records addresses that an agent gave out. The bookkeeping of the block (fresh, released) stays the agent's. */
  registerAddresses(allocation: Allocation): void;
  /** Forgets addresses without quarantine: for those whose quarantine is kept by an agent. */
  forgetAddresses(key: string): void;
  /** Names no longer get back what they held in this host id: it goes to another host. */
  forgetFormer(network: string, hostId: number): void;
  /** Throws id_taken when somebody else holds the value; holding it twice is one holding. */
  hold(space: string, value: number | string, holder: string): void;
  letGo(space: string, value: number | string): void;
}

export interface Store {
  /**
   * Runs `work` synchronously and alone. All of it or, when it throws, nothing is kept; a transaction that wrote watched objects
   * gets one revision of its own. Resolves only when it is durable. `work` may run twice and must not touch anything but `tx`.
   */
  transaction<T>(actor: string, work: (tx: Tx) => T): Promise<T>;
  read<T>(work: (tx: ReadTx) => T): T;
  position(): Position;
  /** Changes after `revision` in order, whole revisions only; about `limit` of them. 'compacted': older ones were dropped. */
  changesSince(revision: number, limit: number): Change[] | 'compacted';
  /** Called after each durable commit that moved the revision, before those who wrote get their answers. */
  onCommit(listener: (revision: number) => void): Cancel;
  close(): void;
}
