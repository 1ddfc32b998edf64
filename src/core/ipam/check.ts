/**
 * Do the records of addresses agree with each other? Everything is compared with everything, from scratch; nothing is repaired here.
 * Findings have stable codes, and a leak carries what a fenced release needs.
 */
import {
  type Address,
  type AddressPlan,
  type Cidr,
  containsCidr,
  formatAddress,
  formatCidr,
  overlaps,
} from '../address/index.ts';
import { cidrOfBlock, locate } from './block.ts';
import type { Block, Placed } from './types.ts';

export const findingCodes = {
  duplicate_owner: 'delete one of the endpoints; its address is free for the other then',
  allocation_without_endpoint: 'save this report as JSON and run `romana ipam release --from-report FILE`',
  allocation_without_lease: 'restore a backup of the store; no command writes such a record',
  endpoint_without_allocation: 'delete the endpoint and create it again, so that its address is its own',
  address_outside_block: 'delete the endpoint and create it again',
  host_id_not_held:
    'give the host this id with `romana host add-id`, or delete the endpoint and create it again',
  identity_mismatch: 'delete the endpoint and create it again: its address says it belongs to somebody else',
  owned_and_released:
    'delete the endpoint and create it again; until then the address may be given out a second time',
  owned_but_fresh:
    'delete the endpoint and create it again; until then the address may be given out a second time',
  runs_overlap: 'restore a backup of the store; no command writes such a record',
  sequence_behind: 'restore a backup of the store: numbers of later allocations would repeat',
  network_overlap: 'delete one of the networks: an address in both has two meanings',
  reserved_outside: 'take the range back with `romana network unreserve`',
  id_doubled: 'delete one of the holders; masks cannot tell them apart',
  holding_mismatch: 'delete the holder and create it again, so that its id is its own',
  host_id_outside_group:
    'the route of the group does not lead there: move the host by deleting and creating it',
  held_not_recorded:
    'see why in the problems of `romana host show`; on the host, `romana agent endpoint delete` gives the addresses back',
  recorded_not_held: 'delete the endpoint, and create it again on the host',
  wired_not_recorded:
    'restart the agent of the host: it makes its kernel anew from the records; should it stay, create the endpoint again and delete it',
  recorded_not_wired:
    'see `romana agent status` on the host, and restart its agent: it makes its kernel anew from the records',
} as const;
export type FindingCode = keyof typeof findingCodes;

export interface Leak {
  readonly key: string;
  readonly uid: string;
  readonly seq: number;
}
export interface Finding {
  readonly code: FindingCode;
  readonly message: string;
  /** Names of what it is about. */
  readonly objects: readonly string[];
  /** What to release, for leaks. */
  readonly leak: Leak | null;
}

export interface Lease extends Leak {
  readonly addresses: readonly Placed[];
}
export interface Run extends Block {
  readonly first: number;
  readonly last: number;
}
interface NetworkId {
  readonly network: string;
  readonly id: number;
}
/** The records, as they are. */
export interface IpamRecords {
  readonly networks: readonly {
    readonly name: string;
    readonly cidr: Cidr;
    readonly plan: AddressPlan;
    readonly reserved: readonly Cidr[];
  }[];
  /** Networks in which nobody holds anything. */
  readonly flat: readonly {
    readonly name: string;
    readonly cidr: Cidr;
    readonly reserved: readonly Cidr[];
  }[];
  readonly leases: readonly Lease[];
  /** Owned addresses whose key has no lease. */
  readonly strays: readonly { readonly key: string; readonly placed: Placed }[];
  readonly released: readonly Placed[];
  readonly runs: readonly Run[];
  readonly lastSeq: number;
  readonly hosts: readonly {
    readonly name: string;
    readonly ids: readonly (NetworkId & { readonly allocator: 'agent' | 'server' })[];
    /** By network: the host ids of its group; absent: the group is unknown. */
    readonly groups: ReadonlyMap<string, { readonly first: number; readonly last: number }>;
  }[];
  readonly tenants: readonly { readonly name: string; readonly ids: readonly NetworkId[] }[];
  readonly segments: readonly {
    readonly tenant: string;
    readonly name: string;
    readonly ids: readonly NetworkId[];
  }[];
  readonly endpoints: readonly {
    readonly key: string;
    readonly uid: string;
    readonly host: string;
    readonly addresses: readonly { readonly network: string; readonly address: Address }[];
  }[];
  /** Who holds an id according to the holdings. */
  readonly holder: (
    field: 'host' | 'tenant' | 'segment',
    network: string,
    id: number,
    tenant: string,
  ) => string | undefined;
}

export function checkRecords(records: IpamRecords): Finding[] {
  const findings: Finding[] = [];
  const find = (code: FindingCode, message: string, objects: string[], leak: Leak | null = null): void => {
    findings.push({ code, message, objects, leak });
  };
  checkNetworks(records, find);
  checkIds(records, find);
  checkLeases(records, find);
  checkEndpoints(records, find);
  checkBlocks(records, find);
  return findings;
}

type Find = (code: FindingCode, message: string, objects: string[], leak?: Leak | null) => void;

function checkNetworks({ networks, flat }: IpamRecords, find: Find): void {
  const all = [...networks, ...flat];
  for (const [index, network] of all.entries()) {
    for (const other of all.slice(index + 1)) {
      if (!overlaps(network.cidr, other.cidr)) continue;
      find(
        'network_overlap',
        `Network ${network.name} (${formatCidr(network.cidr)}) overlaps network ${other.name} (${formatCidr(other.cidr)}).`,
        [network.name, other.name],
      );
    }
    for (const range of network.reserved) {
      if (containsCidr(network.cidr, range)) continue;
      find(
        'reserved_outside',
        `Reserved range ${formatCidr(range)} does not lie in network ${network.name}.`,
        [network.name],
      );
    }
  }
}

function checkIds({ hosts, tenants, segments, holder }: IpamRecords, find: Find): void {
  const seen = new Map<string, string>();
  const judge = (
    field: 'host' | 'tenant' | 'segment',
    name: string,
    ids: readonly NetworkId[],
    tenant = '',
  ): void => {
    const owner = tenant === '' ? name : `${tenant}/${name}`;
    for (const { network, id } of ids) {
      const key = `${field} ${network} ${tenant} ${id}`;
      const other = seen.get(key);
      if (other === undefined) seen.set(key, owner);
      else
        find('id_doubled', `The ${field} id ${id} of network ${network} is of ${other} and of ${owner}.`, [
          other,
          owner,
        ]);
      const held = holder(field, network, id, tenant);
      if (held !== name) {
        find(
          'holding_mismatch',
          `The ${field} id ${id} of network ${network} is written in ${owner}, but held by ${held ?? 'nobody'}.`,
          [owner],
        );
      }
    }
  };
  for (const { name, ids } of hosts) judge('host', name, ids);
  for (const { name, ids } of tenants) judge('tenant', name, ids);
  for (const { name, ids, tenant } of segments) judge('segment', name, ids, tenant);
  for (const { name, ids, groups } of hosts) {
    for (const { network, id } of ids) {
      const range = groups.get(network);
      if (range !== undefined && range.first <= id && id <= range.last) continue;
      const where =
        range === undefined ? 'its group is unknown' : `its group has ${range.first} to ${range.last}`;
      find('host_id_outside_group', `Host ${name} holds host id ${id} of network ${network}, but ${where}.`, [
        name,
      ]);
    }
  }
}

function checkLeases(records: IpamRecords, find: Find): void {
  const endpoints = new Map(records.endpoints.map((endpoint) => [endpoint.key, endpoint]));
  const networks = new Map(records.networks.map((network) => [network.name, network]));
  const owners = new Map<string, string>();
  const released = new Set(records.released.map(nameOf));
  for (const { key, placed } of records.strays) {
    find(
      'allocation_without_lease',
      `${formatAddress(placed.address)} is owned by ${key}, which has no lease.`,
      [key],
    );
  }
  for (const { key, uid, seq, addresses } of records.leases) {
    const texts = addresses.map(({ address }) => formatAddress(address)).join(', ');
    if (endpoints.get(key)?.uid !== uid) {
      find(
        'allocation_without_endpoint',
        `${texts || 'A lease'} is held for ${key}, but there is no such endpoint.`,
        [key],
        {
          key,
          uid,
          seq,
        },
      );
    }
    if (seq > records.lastSeq) {
      find(
        'sequence_behind',
        `${key} has sequence number ${seq}, above the last one given, ${records.lastSeq}.`,
        [key],
      );
    }
    for (const placed of addresses) {
      const text = formatAddress(placed.address);
      const other = owners.get(text);
      if (other === undefined) owners.set(text, key);
      else find('duplicate_owner', `${text} is owned by ${other} and by ${key}.`, [other, key]);
      if (released.has(nameOf(placed)))
        find('owned_and_released', `${text} is owned by ${key} and released at the same time.`, [key]);
      const network = networks.get(placed.network);
      const there = network && locate({ ...network, quarantineMs: 0 }, placed.address);
      if (there !== undefined && sameIds(there, placed)) continue;
      find('address_outside_block', `${text} of ${key} is not in the block that is recorded for it.`, [key]);
    }
  }
}

function checkEndpoints(records: IpamRecords, find: Find): void {
  const leases = new Map(records.leases.map((lease) => [lease.key, lease]));
  const hosts = new Map(records.hosts.map((host) => [host.name, host]));
  const has = (ids: readonly NetworkId[] | undefined, network: string, id: number): boolean =>
    ids?.some((entry) => entry.network === network && entry.id === id) === true;
  const tenants = new Map(records.tenants.map(({ name, ids }) => [name, ids]));
  const segments = new Map(records.segments.map(({ tenant, name, ids }) => [`${tenant}/${name}`, ids]));
  for (const { key, uid, host, addresses } of records.endpoints) {
    const lease = leases.get(key);
    const [tenant = '', segment = ''] = key.split('/');
    for (const { network, address } of addresses) {
      const text = formatAddress(address);
      const placed = lease?.addresses.find(
        (one) => one.network === network && formatAddress(one.address) === text,
      );
      if (lease?.uid !== uid || placed === undefined) {
        find(
          'endpoint_without_allocation',
          `Endpoint ${key} has ${text}, which is not recorded as its own.`,
          [key],
        );
        continue;
      }
      const held = hosts.get(host)?.ids.some((one) => one.network === network && one.id === placed.hostId);
      if (held !== true) {
        find(
          'host_id_not_held',
          `${text} of endpoint ${key} has host id ${placed.hostId} of network ${network}, which host ${host} does not hold.`,
          [key, host],
        );
      }
      // Tenant id 0 is shared: it says nothing of the tenant.
      if (placed.tenantId === 0) continue;
      const right =
        has(tenants.get(tenant), network, placed.tenantId) &&
        has(segments.get(`${tenant}/${segment}`), network, placed.segmentId);
      if (!right)
        find('identity_mismatch', `${text} of endpoint ${key} has the ids of another tenant or segment.`, [
          key,
        ]);
    }
  }
}

/** Runs of ids that are not fresh: disjoint, and over every id that the server gave out. */
function checkBlocks({ runs, leases, released, hosts, networks }: IpamRecords, find: Find): void {
  const byBlock = Map.groupBy(runs, blockName);
  const named = new Map(networks.map((network) => [network.name, network]));
  const textOf = (block: Block): string => {
    const network = named.get(block.network);
    return network === undefined
      ? blockName(block)
      : formatCidr(cidrOfBlock({ ...network, quarantineMs: 0 }, block));
  };
  for (const list of byBlock.values()) {
    const sorted = [...list].sort((a, b) => a.first - b.first);
    for (const [index, run] of sorted.entries()) {
      const before = sorted[index - 1];
      if (run.first <= run.last && (before === undefined || before.last < run.first)) continue;
      find('runs_overlap', `The record of used ids of block ${textOf(run)} contradicts itself.`, [
        textOf(run),
      ]);
    }
  }
  const byServer = new Set(
    hosts.flatMap(({ ids }) =>
      ids.flatMap((one) => (one.allocator === 'server' ? [`${one.network}/${one.id}`] : [])),
    ),
  );
  const covered = (placed: Placed): boolean =>
    (byBlock.get(blockName(placed)) ?? []).some(
      ({ first, last }) => first <= placed.endpointId && placed.endpointId <= last,
    );
  const judge = (placed: Placed, whose: string): void => {
    if (!byServer.has(`${placed.network}/${placed.hostId}`) || covered(placed)) return;
    find('owned_but_fresh', `${formatAddress(placed.address)} (${whose}) is recorded as never given out.`, [
      whose,
    ]);
  };
  for (const { key, addresses } of leases) for (const placed of addresses) judge(placed, key);
  for (const placed of released) judge(placed, 'released');
}

const nameOf = ({ network, address }: Placed): string => `${network} ${formatAddress(address)}`;
const blockName = (b: Block): string => `${b.network}/${b.hostId}/${b.tenantId}/${b.segmentId}`;
function sameIds(a: Placed, b: Placed): boolean {
  return blockName(a) === blockName(b) && a.endpointId === b.endpointId;
}
