/**
 * What the server needs of a program that keeps the route tables of VPCs, and what it gives it. The program itself is an integration,
 * above the server: whoever starts both puts them together.
 */
import type { Host } from '#contract/model.ts';
import type { VpcPlan, VpcStatus } from '#contract/vpc.ts';
import type { Address, Cidr } from '#core/address/index.ts';
import type { Clock, Log, Random, Timers } from '#core/ports.ts';
import type { VpcWhy } from '#core/routing/vpc/index.ts';
import type { Store } from '#store/port.ts';

export interface VpcControl {
  start(): void;
  /** Resolves when nothing is being written any more. */
  stop(): Promise<void>;
  /** Reads the tables and tells what would be written; writes nothing. */
  plan(): Promise<VpcPlan>;
  status(): VpcStatus;
  /** Where the table of this host's subnet leads, as read last. Undefined: nowhere, or it was not read. */
  lead(host: string, destination: Address): VpcLead | undefined;
}

export interface VpcLead {
  readonly table: string;
  readonly cidr: Cidr;
  /** Network interface or connection. */
  readonly target: string;
  /** Null: none of ours. */
  readonly host: string | null;
  /** Null: a route of somebody else. */
  readonly why: VpcWhy | null;
}

export interface VpcParts {
  readonly store: Store;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  /** When a host reported last since this server started; monotonic. */
  readonly heard: (host: Pick<Host, 'name' | 'uid'>) => { readonly at: number } | undefined;
  /** Who this server is to others on the same store; absent: somebody new at each start. */
  readonly holder?: string;
  /** The tables of a VPC were read and have every route of this revision. */
  readonly routed?: (vpc: string, revision: number) => Promise<void>;
}
