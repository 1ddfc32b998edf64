/** The addresses given out, as SQL: what decisions read (`IpamView`) and how their events are kept. Agrees with MemoryIpam. */
import type { Network } from '#contract/model.ts';
import {
  type Address,
  addressFromBytes,
  addressPlan,
  addressToBytes,
  type Cidr,
  firstAddress,
  lastAddress,
  parseCidr,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type {
  Allocation,
  Block,
  BlockCount,
  Held,
  IdRange,
  IpamEvent,
  IpamNetwork,
  IpamRecords,
  IpamView,
  Placed,
} from '#core/ipam/index.ts';
import { type Connection, numberOf, type SqlRow, textOf } from './connection.ts';

/** Networks as decisions want them, kept until their text changes: parsing them costs more than an allocation. */
export class NetworkCache {
  readonly #kept = new Map<string, { readonly text: string; readonly network: IpamNetwork }>();

  /** Undefined for flat ones: nothing is given out in them. */
  of(name: string, text: string): IpamNetwork | undefined {
    const kept = this.#kept.get(name);
    if (kept?.text === text) return kept.network;
    const value = JSON.parse(text) as Network;
    if (value.layout === null) return undefined;
    const network = {
      name,
      plan: addressPlan(parseCidr(value.cidr), value.layout),
      reserved: value.reserved.map(parseCidr),
      quarantineMs: value.quarantineSeconds * 1000,
    };
    this.#kept.set(name, { text, network });
    return network;
  }
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

const inBlock = 'network = ?1 AND host_id = ?2 AND tenant_id = ?3 AND segment_id = ?4';
const idsOf = (b: Block) => [b.network, b.hostId, b.tenantId, b.segmentId] as const;

export class SqlIpam implements IpamView {
  readonly #c: Connection;
  readonly #networks: NetworkCache;

  constructor(connection: Connection, networks: NetworkCache) {
    this.#c = connection;
    this.#networks = networks;
  }

  network(name: string): IpamNetwork | undefined {
    const row = this.#c.get("SELECT value FROM objects WHERE kind = 'network' AND key = ?1", name);
    return row === undefined ? undefined : this.#networks.of(name, textOf(row['value']));
  }

  byKey(key: string): Allocation | undefined {
    const lease = this.#c.get('SELECT uid, question, seq FROM leases WHERE key = ?1', key);
    if (lease === undefined) return undefined;
    const rows = this.#c.all('SELECT * FROM allocations WHERE key = ?1 ORDER BY ordinal', key);
    const { uid, question, seq } = lease;
    return {
      key,
      uid: textOf(uid),
      question: textOf(question),
      seq: numberOf(seq),
      addresses: rows.map(placedOf),
    };
  }

  ownerOf(network: string, address: Address): string | undefined {
    const row = this.#c.get(
      'SELECT key FROM allocations WHERE network = ?1 AND address = ?2',
      network,
      addressToBytes(address),
    );
    return row === undefined ? undefined : textOf(row['key']);
  }

  formerly(key: string): Placed[] {
    return this.#c.all('SELECT * FROM released WHERE key = ?1 ORDER BY position', key).map(placedOf);
  }

  nextFresh(block: Block, from: number): number {
    const row = this.#c.get(
      `SELECT last FROM runs WHERE ${inBlock} AND first <= ?5 ORDER BY first DESC LIMIT 1`,
      ...idsOf(block),
      from,
    );
    return Math.max(from, numberOf(row?.['last']) + 1);
  }

  oldestReleased(
    block: Block,
    without: readonly IdRange[],
  ): { endpointId: number; releasedAt: number } | undefined {
    const select = `SELECT endpoint_id, released_at FROM released WHERE ${inBlock}`;
    const order = 'ORDER BY released_at, position LIMIT 1';
    const row =
      without.length === 0
        ? this.#c.get(`${select} ${order}`, ...idsOf(block))
        : this.#c.get(
            `${select} AND NOT EXISTS (SELECT 1 FROM json_each(?5) w WHERE endpoint_id BETWEEN w.value ->> 'first' AND w.value ->> 'last') ${order}`,
            ...idsOf(block),
            JSON.stringify(without),
          );
    if (row === undefined) return undefined;
    return { endpointId: numberOf(row['endpoint_id']), releasedAt: numberOf(row['released_at']) };
  }

  releasedAt(network: string, address: Address): number | undefined {
    const row = this.#c.get(
      'SELECT released_at FROM released WHERE network = ?1 AND address = ?2',
      network,
      addressToBytes(address),
    );
    return row === undefined ? undefined : numberOf(row['released_at']);
  }

  blockUsage(block: Block): { used: number; quarantined: number } {
    const count = (table: 'allocations' | 'released') =>
      numberOf(this.#c.get(`SELECT count(*) AS n FROM ${table} WHERE ${inBlock}`, ...idsOf(block))?.['n']);
    return { used: count('allocations'), quarantined: count('released') };
  }

  nextSeq(): number {
    return numberOf(this.#c.get("SELECT value FROM meta WHERE name = 'seq'")?.['value']) + 1;
  }

  allocationsIn(
    network: string,
    first: Address,
    last: Address,
    limit: number,
  ): { address: Address; key: string }[] {
    const rows = this.#c.all(
      'SELECT address, key FROM allocations WHERE network = ?1 AND address BETWEEN ?2 AND ?3 ORDER BY address LIMIT ?4',
      network,
      addressToBytes(first),
      addressToBytes(last),
      limit,
    );
    return rows.map((row) => ({ address: addressOf(row), key: textOf(row['key']) }));
  }

  blockCounts(network: string, restingSince: number, reserved: readonly Cidr[]): BlockCount[] {
    const blocks = new Map<string, Writable<BlockCount>>();
    const add = (field: 'used' | 'usedReserved' | 'resting', sign: 1 | -1, rows: SqlRow[]): void => {
      for (const row of rows) {
        const hostId = numberOf(row['host_id']);
        const tenantId = numberOf(row['tenant_id']);
        const segmentId = numberOf(row['segment_id']);
        const key = `${hostId}/${tenantId}/${segmentId}`;
        const found = blocks.get(key) ?? {
          hostId,
          tenantId,
          segmentId,
          used: 0,
          usedReserved: 0,
          resting: 0,
        };
        found[field] += sign * numberOf(row['n']);
        blocks.set(key, found);
      }
    };
    const group = 'GROUP BY host_id, tenant_id, segment_id';
    const select = 'SELECT host_id, tenant_id, segment_id, count(*) AS n FROM';
    add('used', 1, this.#c.all(`${select} allocations WHERE network = ?1 ${group}`, network));
    const resting = `${select} released WHERE network = ?1 AND released_at > ?2`;
    add('resting', 1, this.#c.all(`${resting} ${group}`, network, restingSince));
    for (const range of reserved) {
      const first = addressToBytes(firstAddress(range));
      const last = addressToBytes(lastAddress(range));
      const live = `${select} allocations WHERE network = ?1 AND address BETWEEN ?2 AND ?3 ${group}`;
      add('usedReserved', 1, this.#c.all(live, network, first, last));
      const idle = `${resting} AND address BETWEEN ?3 AND ?4 ${group}`;
      add('resting', -1, this.#c.all(idle, network, restingSince, first, last));
    }
    return [...blocks.values()].filter(({ used, resting: idle }) => used > 0 || idle > 0);
  }

  records(): Pick<IpamRecords, 'leases' | 'strays' | 'released' | 'runs' | 'lastSeq'> {
    const owned = Map.groupBy(
      this.#c
        .all('SELECT * FROM allocations ORDER BY key, ordinal')
        .map((row) => ({ key: textOf(row['key']), placed: placedOf(row) })),
      ({ key }) => key,
    );
    const leases = this.#c.all('SELECT key, uid, seq FROM leases ORDER BY key').map((row) => {
      const key = textOf(row['key']);
      const addresses = (owned.get(key) ?? []).map(({ placed }) => placed);
      return { key, uid: textOf(row['uid']), seq: numberOf(row['seq']), addresses };
    });
    const known = new Set(leases.map(({ key }) => key));
    return {
      leases,
      strays: [...owned.values()].flat().filter(({ key }) => !known.has(key)),
      released: this.#c.all('SELECT * FROM released').map(placedOf),
      runs: this.#c.all('SELECT * FROM runs').map((row) => ({
        network: textOf(row['network']),
        hostId: numberOf(row['host_id']),
        tenantId: numberOf(row['tenant_id']),
        segmentId: numberOf(row['segment_id']),
        first: numberOf(row['first']),
        last: numberOf(row['last']),
      })),
      lastSeq: this.nextSeq() - 1,
    };
  }

  held(): (Held & { recorded: boolean })[] {
    const rows = this.#c.all(
      `SELECT l.key, l.uid, l.seq, coalesce(o.host, h.holder, '') AS host,
              coalesce(o.value ->> 'uid', '') = l.uid AS recorded,
              coalesce(o.value ->> '$.attachment.kind', '') = 'existing-link' AS machine
         FROM leases l
         LEFT JOIN allocations a ON a.key = l.key AND a.ordinal = 0
         LEFT JOIN objects o ON o.kind = 'endpoint' AND o.key = l.key
         LEFT JOIN holdings h ON h.space = 'host id/' || a.network AND h.value = a.host_id`,
    );
    return rows.map((row) => ({
      key: textOf(row['key']),
      uid: textOf(row['uid']),
      seq: numberOf(row['seq']),
      host: textOf(row['host']),
      recorded: row['recorded'] === 1,
      machine: row['machine'] === 1,
    }));
  }

  apply(event: IpamEvent): void {
    if (event.type === 'allocated') {
      this.register(event.allocation);
      for (const placed of event.allocation.addresses) {
        const bytes = addressToBytes(placed.address);
        this.#c.run('DELETE FROM released WHERE network = ?1 AND address = ?2', placed.network, bytes);
        this.#touch(placed);
      }
    } else {
      this.#released(event);
    }
  }

  /** The owners alone: ids stay as fresh as they were. */
  register(allocation: Allocation): void {
    const { key, uid, question, seq } = allocation;
    this.#c.run(
      'INSERT INTO leases (key, uid, question, seq) VALUES (?1, ?2, ?3, ?4)',
      key,
      uid,
      question,
      seq,
    );
    this.#c.run("UPDATE meta SET value = ?1 WHERE name = 'seq' AND value < ?1", seq);
    for (const [ordinal, placed] of allocation.addresses.entries()) {
      this.#c.run(
        `INSERT INTO allocations (network, host_id, tenant_id, segment_id, endpoint_id, address, key, ordinal)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
        ...idsOf(placed),
        placed.endpointId,
        addressToBytes(placed.address),
        key,
        ordinal,
      );
    }
  }

  forgetFormer(network: string, hostId: number): void {
    this.#c.run('UPDATE released SET key = NULL WHERE network = ?1 AND host_id = ?2', network, hostId);
  }

  forget(key: string): void {
    this.#c.run('DELETE FROM allocations WHERE key = ?1', key);
    this.#c.run('DELETE FROM leases WHERE key = ?1', key);
  }

  /** The network goes: what is known about its blocks would be wrong for another network of that name. */
  forgetNetwork(network: string): void {
    if (this.#c.get('SELECT 1 FROM allocations WHERE network = ?1 LIMIT 1', network) !== undefined) {
      throw new RomanaError(
        'in_use',
        `Network ${network} still has addresses in use; delete its endpoints first.`,
      );
    }
    this.#c.run('DELETE FROM released WHERE network = ?1', network);
    this.#c.run('DELETE FROM runs WHERE network = ?1', network);
  }

  #released(event: Extract<IpamEvent, { type: 'released' }>): void {
    const known = this.byKey(event.key);
    if (known !== undefined && known.seq !== event.seq) {
      throw new RomanaError(
        'internal',
        `${event.key} is released with sequence number ${event.seq}, not ${known.seq}.`,
      );
    }
    this.forget(event.key);
    for (const placed of known?.addresses ?? event.addresses) {
      this.#c.run(
        `INSERT INTO released (network, host_id, tenant_id, segment_id, endpoint_id, address, released_at, key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)`,
        ...idsOf(placed),
        placed.endpointId,
        addressToBytes(placed.address),
        event.at,
        event.key === '' ? null : event.key,
      );
      if (known === undefined) this.#touch(placed);
    }
  }

  /** Takes the id into the runs of ids that are not fresh, joining runs that then meet. */
  #touch(placed: Placed): void {
    const block = idsOf(placed);
    const id = placed.endpointId;
    const below = this.#c.get(
      `SELECT first, last FROM runs WHERE ${inBlock} AND first <= ?5 ORDER BY first DESC LIMIT 1`,
      ...block,
      id,
    );
    if (below !== undefined && numberOf(below['last']) >= id) return;
    const above = this.#c.get(`SELECT last FROM runs WHERE ${inBlock} AND first = ?5`, ...block, id + 1);
    const joins = below !== undefined && numberOf(below['last']) === id - 1;
    const last = above === undefined ? id : numberOf(above['last']);
    if (above !== undefined)
      this.#c.run(`DELETE FROM runs WHERE ${inBlock} AND first = ?5`, ...block, id + 1);
    this.#c.run(
      `INSERT INTO runs (network, host_id, tenant_id, segment_id, first, last) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
       ON CONFLICT DO UPDATE SET last = excluded.last`,
      ...block,
      joins ? numberOf(below['first']) : id,
      last,
    );
  }
}

function addressOf(row: SqlRow): Address {
  const bytes = row['address'];
  if (!(bytes instanceof Uint8Array))
    throw new RomanaError('store_corrupt', 'An address in the store is not bytes.');
  return addressFromBytes(bytes);
}

function placedOf(row: SqlRow): Placed {
  return {
    network: textOf(row['network']),
    address: addressOf(row),
    hostId: numberOf(row['host_id']),
    tenantId: numberOf(row['tenant_id']),
    segmentId: numberOf(row['segment_id']),
    endpointId: numberOf(row['endpoint_id']),
  };
}
