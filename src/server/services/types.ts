/** Shapes shared by all services. */
import type { z } from 'zod';
import type { AnswerOf, OperationId, operations } from '#contract/operations.ts';
import type { Clock, Log, Random, Timers } from '#core/ports.ts';
import type { Store } from '#store/port.ts';
import type { Caller } from '../caller.ts';
import type { VpcControl } from '../vpc.ts';
import type { Comparison } from './comparison.ts';
import type { FabricReports } from './fabric-reports.ts';

/** Operations about credentials belong to authentication, not to the services. */
type Credential = 'join' | 'renew' | 'whoami' | 'hostJoinToken' | 'tokenCreate' | 'tokenList' | 'tokenDelete';
export type ServedId = Exclude<OperationId, Credential>;

type Op<K extends OperationId> = (typeof operations)[K];
/** What validation hands on: defaults are filled in. */
export interface Input<K extends OperationId> {
  readonly params: z.output<Op<K>['params']>;
  readonly query: z.output<Op<K>['query']>;
  readonly body: Op<K>['body'] extends z.ZodType ? z.output<Op<K>['body']> : undefined;
}

export type Service<K extends OperationId> = (caller: Caller, input: Input<K>) => Promise<AnswerOf<K>>;
export type Services = { readonly [K in ServedId]: Service<K> };

export interface ServiceDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  /** Absent: requests never wait for hosts, they are refused at once. */
  readonly timers?: Timers;
  /** Absent: one of its own. */
  readonly comparison?: Comparison;
  /** Absent: one of its own. */
  readonly fabric?: FabricReports;
  /** Absent: nobody keeps route tables of VPCs. */
  readonly vpc?: Pick<VpcControl, 'plan' | 'status' | 'lead'>;
  /** Version of the server, shown in the status. */
  readonly version?: string;
}
