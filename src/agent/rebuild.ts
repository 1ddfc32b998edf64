/**
 * The allocations of a journal that was lost, or is an old copy, from what the control plane has recorded of this host. Pure.
 * Imports core, agent.
 *
 * 1. What is recorded is taken over as it is, unless the old journal holds its release: then it only has not been heard yet.
 * 2. What the old copy holds and nobody has on record was released after the copy was made; its addresses rest from now on.
 * 3. What was given out since the copy was opened stands, unless it has a name or address of what is recorded.
 */
import { type Address, formatAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { type Allocation, type IpamNetwork, locate, MemoryIpam, type Placed } from '#core/ipam/index.ts';
import type { Json } from './journal/index.ts';

export interface Recorded {
  readonly key: string;
  readonly uid: string;
  readonly question: string;
  readonly addresses: readonly { readonly network: string; readonly address: Address }[];
  readonly payload: Json;
}

export interface OldJournal {
  readonly state: MemoryIpam;
  readonly payloads: ReadonlyMap<string, Json>;
  /** Endpoints whose release it holds. */
  readonly released: ReadonlySet<string>;
  /** The last allocation when it was opened. */
  readonly opened: number;
}

export function rebuild(
  old: OldJournal,
  recorded: readonly Recorded[],
  networks: ReadonlyMap<string, IpamNetwork>,
  now: number,
): { readonly state: MemoryIpam; readonly payloads: Map<string, Json> } {
  const state = new MemoryIpam(networks.values());
  for (const event of old.state.snapshot()) state.apply(event);
  const payloads = new Map(old.payloads);
  const wanted = recorded.filter(({ uid }) => !old.released.has(uid));
  const byKey = new Map(wanted.map((one) => [one.key, one]));
  const owners = new Map(
    wanted.flatMap(({ addresses, key }) =>
      addresses.map(({ network, address }) => [`${network} ${formatAddress(address)}`, key] as const),
    ),
  );
  const stands = ({ key, uid, seq, addresses }: Allocation): boolean =>
    byKey.has(key)
      ? byKey.get(key)?.uid === uid
      : seq > old.opened &&
        !addresses.some(({ network, address }) => owners.has(`${network} ${formatAddress(address)}`));
  for (const allocation of old.state.list()) {
    if (stands(allocation)) continue;
    const { key, uid, seq, addresses } = allocation;
    state.apply({ type: 'released', key, uid, seq, addresses, at: now });
    payloads.delete(key);
  }
  for (const { key, uid, question, addresses, payload } of wanted) {
    if (state.byKey(key) !== undefined) continue;
    const placed = addresses.map(({ network, address }): Placed => {
      const known = networks.get(network);
      const found = known === undefined ? undefined : locate(known, address);
      if (found !== undefined) return found;
      throw new RomanaError(
        'address_taken',
        `Address ${formatAddress(address)} of ${key} lies in no known network.`,
      );
    });
    const allocation: Allocation = { key, uid, question, seq: state.nextSeq(), addresses: placed };
    state.apply({ type: 'allocated', allocation, at: now });
    payloads.set(key, payload);
  }
  return { state, payloads };
}
