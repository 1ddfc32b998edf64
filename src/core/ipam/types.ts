/** What the allocation decisions speak of: what is wanted, what was given, what a decision reads and what it answers. */

import type { Address, AddressPlan, Cidr } from '../address/index.ts';
import type { IdRange } from './ranges.ts';

export interface IpamNetwork {
  readonly name: string;
  readonly plan: AddressPlan;
  /** Ranges never given out. They may overlap each other, hold whole blocks, and change while addresses in them are in use. */
  readonly reserved: readonly Cidr[];
  /** How long a released address rests before it is given out again. */
  readonly quarantineMs: number;
}

export interface NumberPair {
  readonly tenantId: number;
  readonly segmentId: number;
}

/** The addresses of one (host id, tenant, segment). Tenant 0 with segment 0 is the shared identity of the host id. */
export interface Block extends NumberPair {
  readonly network: string;
  readonly hostId: number;
}

export interface BarredId {
  readonly hostId: number;
  readonly endpointId: number;
}

/** One address wanted from one network: from the blocks of the given host ids, in order. */
export interface Slot extends NumberPair {
  readonly network: string;
  readonly hostIds: readonly number[];
  /** Where tenant or segment hold several numbers: the other pairs, whose blocks come after those of the first on all host ids. */
  readonly further?: readonly NumberPair[];
  /** What is freely chosen comes from blocks of the first pair. What is asked for, or was had before, may lie in any. */
  readonly firstOnly?: boolean;
  /** Exactly this address. */
  readonly address?: Address;
  /** Ids of the shared identity that were another segment's until a short time ago. */
  readonly barred?: readonly BarredId[];
  /** Exactly this endpoint id, in the first of the blocks where it is free. */
  readonly endpointId?: number;
}

export interface Wanted {
  /** tenant/segment/name */
  readonly key: string;
  /** Canonical text of what was asked: same key and same question = same answer; same key and another question = conflict. */
  readonly question: string;
  readonly slots: readonly Slot[];
}

/** An address with the place it was taken from, so that whoever keeps events never needs the plan to read them. */
export interface Placed extends Block {
  readonly address: Address;
  readonly endpointId: number;
}

export interface Allocation {
  readonly key: string;
  /** This incarnation of the endpoint; a name used again has another one. */
  readonly uid: string;
  readonly question: string;
  /** Grows with every allocation of a view; a release names it. */
  readonly seq: number;
  /** In the order of the slots. */
  readonly addresses: readonly Placed[];
}

export interface Allocated {
  readonly type: 'allocated';
  readonly allocation: Allocation;
  readonly at: number;
}

export interface Released {
  readonly type: 'released';
  readonly key: string;
  readonly uid: string;
  readonly seq: number;
  readonly addresses: readonly Placed[];
  readonly at: number;
}

export type IpamEvent = Allocated | Released;

/**
 * What a decision may read. In memory on an agent, SQL on the server; synchronous. Every call must be O(log n) or better.
 * An endpoint id of a block is in one of three states: *fresh* (never given out), *owned*, or *released*. It never becomes fresh
 * again.
 */
export interface IpamView {
  network(name: string): IpamNetwork | undefined;
  byKey(key: string): Allocation | undefined;
  /** Key of the live owner. */
  ownerOf(network: string, address: Address): string | undefined;
  /**
   * The lowest fresh id that is ≥ `from` (at least 1); it may lie past the end of the block. To stay O(log n), keep for each block the
   * runs (first, last) of ids that are not fresh: usually one row. See README.md.
   */
  nextFresh(block: Block, from: number): number;
  /**
   * The released id that has been idle longest (earliest `at`; among equals the one released first), ignoring ids in `without`
   * (sorted, disjoint); undefined if there is none.
   */
  oldestReleased(
    block: Block,
    without: readonly IdRange[],
  ): { readonly endpointId: number; readonly releasedAt: number } | undefined;
  /**
   * The released addresses whose last owner had this key, as long as nobody else got them: a name that comes back on its host gets its
   * addresses back.
   */
  formerly(key: string): readonly Placed[];
  /** When the address was released; undefined when it is fresh or owned. */
  releasedAt(network: string, address: Address): number | undefined;
  /** Owned and released ids. Only called to word a refusal, so it may be slower. */
  blockUsage(block: Block): { readonly used: number; readonly quarantined: number };
  /** The `seq` for the allocation being decided: above every one before. Called at most once per decision, last of all. */
  nextSeq(): number;
}
