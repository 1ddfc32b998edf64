/** What the work of one transaction (or one read) sees. */
import { locationOf } from '#contract/location.ts';
import type { Kind, WatchedObjects } from '#contract/watch.ts';
import type { Address, Cidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Allocation, BlockCount, IpamEvent, IpamView } from '#core/ipam/index.ts';
import { checkGuard } from '../guard.ts';
import type { Guard, ListOptions, ReadTx, Row, Stored, StoredKind, Tx, Writable } from '../port.ts';
import { type Connection, numberOf, type SqlRow, textOf } from './connection.ts';
import { type NetworkCache, SqlIpam } from './ipam.ts';

const isPrivate = (kind: StoredKind) => kind.startsWith('_');

/** The first text after all texts that begin with `prefix` (keys are ASCII). */
function after(prefix: string): string {
  return prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1);
}

export class SqlReadTx implements ReadTx {
  readonly revision: number;
  protected readonly c: Connection;
  protected readonly addresses: SqlIpam;
  #open = true;

  constructor(connection: Connection, networks: NetworkCache, revision: number) {
    this.c = connection;
    this.addresses = new SqlIpam(connection, networks);
    this.revision = revision;
  }

  get ipam(): IpamView {
    this.live();
    return this.addresses;
  }

  get<K extends StoredKind>(kind: K, key: string): Stored<K> | undefined {
    return this.row(kind, key)?.value;
  }

  row<K extends StoredKind>(kind: K, key: string): Row<K> | undefined {
    this.live();
    const row = this.c.get(
      'SELECT key, value, revision, created FROM objects WHERE kind = ?1 AND key = ?2',
      kind,
      key,
    );
    return row === undefined ? undefined : rowOf<K>(row);
  }

  list<K extends StoredKind>(kind: K, options: ListOptions = {}): Row<K>[] {
    this.live();
    const { from, to } = range(options);
    const limit = options.limit ?? -1;
    const columns =
      'SELECT key, value, revision, created FROM objects WHERE kind = ?1 AND key >= ?2 AND key < ?3';
    const rows =
      options.host === undefined
        ? this.c.all(`${columns} ORDER BY key LIMIT ?4`, kind, from, to, limit)
        : this.c.all(`${columns} AND host = ?5 ORDER BY key LIMIT ?4`, kind, from, to, limit, options.host);
    return rows.map((row) => rowOf<K>(row));
  }

  count(kind: StoredKind, options: { readonly prefix?: string; readonly host?: string } = {}): number {
    this.live();
    const { from, to } = range(options);
    const sql = 'SELECT count(*) AS n FROM objects WHERE kind = ?1 AND key >= ?2 AND key < ?3';
    const row =
      options.host === undefined
        ? this.c.get(sql, kind, from, to)
        : this.c.get(`${sql} AND host = ?4`, kind, from, to, options.host);
    return numberOf(row?.['n']);
  }

  endpointCounts(): ReadonlyMap<string, number> {
    this.live();
    const rows = this.c.all(
      "SELECT host, count(*) AS n FROM objects WHERE kind = 'endpoint' AND host IS NOT NULL GROUP BY host",
    );
    return new Map(rows.map((row) => [textOf(row['host']), numberOf(row['n'])]));
  }

  hostsOf(prefix: string): string[] {
    this.live();
    const { from, to } = range({ prefix });
    const rows = this.c.all(
      "SELECT DISTINCT host FROM objects WHERE kind = 'endpoint' AND key >= ?1 AND key < ?2 ORDER BY host",
      from,
      to,
    );
    return rows.map((row) => textOf(row['host']));
  }

  allocationsIn(
    network: string,
    first: Address,
    last: Address,
    limit: number,
  ): { address: Address; key: string }[] {
    this.live();
    return this.addresses.allocationsIn(network, first, last, limit);
  }

  blockCounts(network: string, restingSince: number, reserved: readonly Cidr[]): BlockCount[] {
    this.live();
    return this.addresses.blockCounts(network, restingSince, reserved);
  }

  heldAllocations(): ReturnType<ReadTx['heldAllocations']> {
    this.live();
    return this.addresses.held();
  }

  ipamRecords(): ReturnType<ReadTx['ipamRecords']> {
    this.live();
    return this.addresses.records();
  }

  holderOf(space: string, value: number | string): string | undefined {
    this.live();
    const row = this.c.get('SELECT holder FROM holdings WHERE space = ?1 AND value = ?2', space, value);
    return row === undefined ? undefined : textOf(row['holder']);
  }

  heldIn(space: string, first: number, last: number): { value: number; holder: string }[] {
    this.live();
    const rows = this.c.all(
      'SELECT value, holder FROM holdings WHERE space = ?1 AND value BETWEEN ?2 AND ?3 ORDER BY value',
      space,
      first,
      last,
    );
    return rows.map((row) => ({ value: numberOf(row['value']), holder: textOf(row['holder']) }));
  }

  lowestFree(space: string, first: number, last: number): number | undefined {
    this.live();
    if (first > last) return undefined;
    if (this.holderOf(space, first) === undefined) return first;
    const row = this.c.get(
      `SELECT h.value + 1 AS free FROM holdings h
        WHERE h.space = ?1 AND h.value >= ?2 AND h.value < ?3
          AND NOT EXISTS (SELECT 1 FROM holdings n WHERE n.space = h.space AND n.value = h.value + 1)
        ORDER BY h.value LIMIT 1`,
      space,
      first,
      last,
    );
    return row === undefined ? undefined : numberOf(row['free']);
  }

  /** From now on every call fails: work that goes on after its transaction would see and write other people's. */
  end(): void {
    this.#open = false;
  }

  protected live(): void {
    if (!this.#open) throw new RomanaError('internal', 'A transaction was used after its end.');
  }
}

export interface TxContext {
  readonly actor: string;
  readonly now: number;
  /** A number greater than that of any object so far. */
  readonly nextCreated: () => number;
}

export class SqlTx extends SqlReadTx implements Tx {
  readonly #context: TxContext;
  #ordinal = 0;

  constructor(connection: Connection, networks: NetworkCache, revision: number, context: TxContext) {
    super(connection, networks, revision);
    this.#context = context;
  }

  /** How many changes of watched objects there are; 0: the transaction takes no revision. */
  get changes(): number {
    return this.#ordinal;
  }

  put<K extends StoredKind>(kind: K, key: string, value: Writable<K>, guard: Guard = {}): Stored<K> {
    this.live();
    const old = this.#head(kind, key);
    checkGuard(kind, key, numberOf(old?.['revision']), guard);
    const hidden = isPrivate(kind);
    const revision = hidden ? numberOf(old?.['revision']) + 1 : this.revision;
    const kept = (hidden ? value : { ...(value as object), revision }) as Stored<K>;
    const text = JSON.stringify(kept);
    const host = hostOf(kind, kept);
    this.c.run(
      `INSERT INTO objects (kind, key, revision, created, host, value) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT (kind, key) DO UPDATE SET revision = excluded.revision, host = excluded.host, value = excluded.value`,
      kind,
      key,
      revision,
      old === undefined ? this.#context.nextCreated() : numberOf(old['created']),
      host,
      text,
    );
    // The host that it was on hears that it is there no more.
    const left = old === undefined || old['host'] === null ? null : textOf(old['host']);
    if (left !== null && left !== host) this.#log(kind as Kind, key, null, left);
    if (!hidden) this.#log(kind as Kind, key, text, host);
    return kept;
  }

  delete(kind: StoredKind, key: string, guard: Guard = {}): void {
    this.live();
    const old = this.#head(kind, key);
    if (old === undefined)
      throw new RomanaError('not_found', `There is no ${kind} ${key}.`, { details: { kind, key } });
    checkGuard(kind, key, numberOf(old['revision']), guard);
    if (kind === 'network') this.addresses.forgetNetwork(key);
    this.c.run('DELETE FROM objects WHERE kind = ?1 AND key = ?2', kind, key);
    if (!isPrivate(kind))
      this.#log(kind as Kind, key, null, old['host'] === null ? null : textOf(old['host']));
  }

  applyIpam(event: IpamEvent): void {
    this.live();
    this.addresses.apply(event);
  }

  registerAddresses(allocation: Allocation): void {
    this.live();
    this.addresses.register(allocation);
  }

  forgetAddresses(key: string): void {
    this.live();
    this.addresses.forget(key);
  }

  forgetFormer(network: string, hostId: number): void {
    this.live();
    this.addresses.forgetFormer(network, hostId);
  }

  hold(space: string, value: number | string, holder: string): void {
    const current = this.holderOf(space, value);
    if (current === holder) return;
    if (current !== undefined) {
      throw new RomanaError('id_taken', `${space} ${value} belongs to ${current}.`, {
        details: { space, value, holder: current },
      });
    }
    this.c.run('INSERT INTO holdings (space, value, holder) VALUES (?1, ?2, ?3)', space, value, holder);
  }

  letGo(space: string, value: number | string): void {
    this.live();
    this.c.run('DELETE FROM holdings WHERE space = ?1 AND value = ?2', space, value);
  }

  #head(kind: StoredKind, key: string): SqlRow | undefined {
    return this.c.get('SELECT revision, created, host FROM objects WHERE kind = ?1 AND key = ?2', kind, key);
  }

  #log(kind: Kind, key: string, value: string | null, host: string | null): void {
    const { actor, now } = this.#context;
    this.c.run(
      'INSERT INTO changes (revision, ordinal, kind, key, value, host, actor, at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)',
      this.revision,
      this.#ordinal++,
      kind,
      key,
      value,
      host,
      actor,
      now,
    );
  }
}

/** Who is told of it. */
function hostOf(kind: StoredKind, value: unknown): string | null {
  if (kind === 'endpoint') return locationOf(value as WatchedObjects['endpoint']);
  return kind === 'sharedpeer' ? (value as WatchedObjects['sharedpeer']).host : null;
}

function range(options: { readonly prefix?: string; readonly after?: string }): { from: string; to: string } {
  const prefix = options.prefix ?? '';
  const next = options.after === undefined ? '' : `${options.after}\0`;
  const from = next > prefix ? next : prefix;
  return { from, to: prefix === '' ? '\u{10ffff}' : after(prefix) };
}

function rowOf<K extends StoredKind>(row: SqlRow): Row<K> {
  return {
    key: textOf(row['key']),
    value: JSON.parse(textOf(row['value'])) as Stored<K>,
    revision: numberOf(row['revision']),
    created: numberOf(row['created']),
  };
}
