/** The state of all events applied so far, in memory: the agent's view, and the model that other views are tested against. */

import type { Address } from '../address/index.ts';
import { locate } from './block.ts';
import { segmentOf } from './numbers.ts';
import { addId, type IdRange, rangeOf } from './ranges.ts';
import { ReleaseQueue } from './release-queue.ts';
import type { Allocation, BarredId, Block, IpamEvent, IpamNetwork, IpamView, Placed } from './types.ts';

interface BlockState {
  readonly block: Block;
  /** Endpoint id → key. */
  readonly owners: Map<number, string>;
  readonly released: ReleaseQueue;
  /** Ids that are not fresh. */
  readonly touched: IdRange[];
}

export interface BlockUsage extends Block {
  readonly used: number;
  /** Released, whether their rest is over or not. */
  readonly quarantined: number;
}

/** Thrown for events that contradict the state: whoever kept them lost or repeated some. */
export class ImpossibleEvent extends Error {}

export class MemoryIpam implements IpamView {
  readonly #networks = new Map<string, IpamNetwork>();
  readonly #byKey = new Map<string, Allocation>();
  readonly #blocks = new Map<string, BlockState>();
  /** Key of the last owner → what it released and nobody got since. */
  readonly #former = new Map<string, readonly Placed[]>();
  #lastSeq = 0;

  constructor(networks: Iterable<IpamNetwork> = []) {
    for (const network of networks) this.setNetwork(network);
  }

  /** Adds a network or replaces its reserved ranges and quarantine. Its plan must stay the same while addresses of it are in use. */
  setNetwork(network: IpamNetwork): void {
    this.#networks.set(network.name, network);
  }

  removeNetwork(name: string): void {
    this.#networks.delete(name);
  }

  network(name: string): IpamNetwork | undefined {
    return this.#networks.get(name);
  }

  byKey(key: string): Allocation | undefined {
    return this.#byKey.get(key);
  }

  ownerOf(network: string, address: Address): string | undefined {
    const placed = this.#locate(network, address);
    return placed && this.#blocks.get(blockKey(placed))?.owners.get(placed.endpointId);
  }

  releasedAt(network: string, address: Address): number | undefined {
    const placed = this.#locate(network, address);
    return placed && this.#blocks.get(blockKey(placed))?.released.get(placed.endpointId)?.releasedAt;
  }

  formerly(key: string): readonly Placed[] {
    return this.#former.get(key) ?? [];
  }

  nextFresh(block: Block, from: number): number {
    const state = this.#blocks.get(blockKey(block));
    const run = state && rangeOf(state.touched, from);
    return run === undefined ? from : run.last + 1;
  }

  oldestReleased(
    block: Block,
    without: readonly IdRange[],
  ): { endpointId: number; releasedAt: number } | undefined {
    return this.#blocks.get(blockKey(block))?.released.oldest(without);
  }

  /** Ids of a host id's shared identity that another segment than this one (tenant/segment) released last. */
  releasedByOthers(network: string, hostId: number, owner: string): BarredId[] {
    const block = { network, hostId, tenantId: 0, segmentId: 0 };
    return (this.#blocks.get(blockKey(block))?.released.list() ?? [])
      .filter(({ key }) => segmentOf(key) !== owner)
      .map(({ placed }) => ({ hostId, endpointId: placed.endpointId }));
  }

  blockUsage(block: Block): { used: number; quarantined: number } {
    const state = this.#blocks.get(blockKey(block));
    return { used: state?.owners.size ?? 0, quarantined: state?.released.size ?? 0 };
  }

  nextSeq(): number {
    return this.#lastSeq + 1;
  }

  /** Live allocations, oldest first. */
  list(): Allocation[] {
    return [...this.#byKey.values()];
  }

  get size(): number {
    return this.#byKey.size;
  }

  /** Every block that has been used, sorted by network and ids. */
  usage(): BlockUsage[] {
    return [...this.#blocks.values()]
      .map(({ block, owners, released }) => ({
        network: block.network,
        hostId: block.hostId,
        tenantId: block.tenantId,
        segmentId: block.segmentId,
        used: owners.size,
        quarantined: released.size,
      }))
      .sort(
        (a, b) =>
          (a.network < b.network ? -1 : Number(a.network > b.network)) ||
          a.hostId - b.hostId ||
          a.tenantId - b.tenantId ||
          a.segmentId - b.segmentId,
      );
  }

  /** Throws ImpossibleEvent, having changed nothing, when the event contradicts the state. */
  apply(event: IpamEvent): void {
    if (event.type === 'allocated') this.#allocated(event.allocation);
    else this.#released(event);
  }

  #allocated(allocation: Allocation): void {
    if (this.#byKey.has(allocation.key)) {
      throw new ImpossibleEvent(`${allocation.key} is allocated twice`);
    }
    this.#demandFree(allocation.addresses, allocation.key);
    for (const placed of allocation.addresses) {
      const state = this.#stateOf(placed);
      state.owners.set(placed.endpointId, allocation.key);
      this.#unrelease(state, placed.endpointId);
      addId(state.touched, placed.endpointId);
    }
    this.#byKey.set(allocation.key, allocation);
    this.#lastSeq = Math.max(this.#lastSeq, allocation.seq);
  }

  /**
   * Of a key that is not live, the event stands for itself: that is how a snapshot tells of ids released long ago. Of a live key it
   * must be the same allocation.
   */
  #released(event: Extract<IpamEvent, { type: 'released' }>): void {
    const known = this.#byKey.get(event.key);
    if (known === undefined) {
      this.#demandFree(event.addresses, event.key);
    } else {
      if (known.seq !== event.seq) {
        throw new ImpossibleEvent(
          `${event.key} is released with sequence number ${event.seq}, not ${known.seq}`,
        );
      }
      this.#byKey.delete(event.key);
    }
    for (const placed of known?.addresses ?? event.addresses) {
      const state = this.#stateOf(placed);
      state.owners.delete(placed.endpointId);
      addId(state.touched, placed.endpointId);
      this.#unrelease(state, placed.endpointId);
      const { key, seq } = event;
      state.released.add({ placed, releasedAt: event.at, seq, key });
      if (key !== '') this.#former.set(key, [...this.formerly(key), placed]);
    }
    this.#lastSeq = Math.max(this.#lastSeq, event.seq);
  }

  #unrelease(state: BlockState, endpointId: number): void {
    const entry = state.released.get(endpointId);
    if (entry === undefined) return;
    state.released.delete(endpointId);
    const rest = this.formerly(entry.key).filter((placed) => placed !== entry.placed);
    if (rest.length === 0) this.#former.delete(entry.key);
    else this.#former.set(entry.key, rest);
  }

  #demandFree(addresses: readonly Placed[], key: string): void {
    const seen = new Set<string>();
    for (const placed of addresses) {
      const owner = this.#blocks.get(blockKey(placed))?.owners.get(placed.endpointId);
      const name = `${blockKey(placed)}/${placed.endpointId}`;
      if (owner !== undefined || seen.has(name)) {
        throw new ImpossibleEvent(`${name} is given to ${key} but belongs to ${owner ?? key}`);
      }
      seen.add(name);
    }
  }

  /**
   * Events that lead an empty MemoryIpam to this state: the released ids, longest idle first, then the live allocations (in this order,
   * because a key may hold other addresses now than those it released).
   */
  snapshot(): IpamEvent[] {
    const events: IpamEvent[] = [];
    for (const state of this.#blocks.values()) {
      for (const { placed, releasedAt, seq, key } of state.released.list()) {
        events.push({ type: 'released', key, uid: '', seq, addresses: [placed], at: releasedAt });
      }
    }
    for (const allocation of this.list()) events.push({ type: 'allocated', allocation, at: 0 });
    return events;
  }

  /** Releases that seem to lie in the future (the wall clock was wrong then or is now) count from `now`. */
  clampReleases(now: number): void {
    for (const state of this.#blocks.values()) state.released.clamp(now);
  }

  #locate(name: string, address: Address): Placed | undefined {
    const network = this.#networks.get(name);
    return network && locate(network, address);
  }

  #stateOf(block: Block): BlockState {
    const key = blockKey(block);
    let state = this.#blocks.get(key);
    if (state === undefined) {
      const { network, hostId, tenantId, segmentId } = block;
      state = {
        block: { network, hostId, tenantId, segmentId },
        owners: new Map(),
        released: new ReleaseQueue(),
        touched: [],
      };
      this.#blocks.set(key, state);
    }
    return state;
  }
}

function blockKey(block: Block): string {
  return `${block.network}/${block.hostId}/${block.tenantId}/${block.segmentId}`;
}
