/** What is asked of the provider, and how it can fail. */
import type { Cidr } from '#core/address/index.ts';

export interface CloudInterface {
  readonly id: string;
  readonly subnet: string;
  /** Texts of its addresses of both families. */
  readonly addresses: readonly string[];
  /** Its source/destination check is off. */
  readonly forwards: boolean;
  readonly first: boolean;
}
export interface CloudInstance {
  readonly id: string;
  readonly zone: string;
  readonly state: 'running' | 'pending' | 'stopped' | 'terminated';
  readonly interfaces: readonly CloudInterface[];
}
export interface CloudRoute {
  readonly cidr: Cidr | null;
  readonly target: string;
  readonly counted: boolean;
}
export interface CloudTable {
  readonly id: string;
  readonly subnets: readonly string[];
  /** Of all subnets that no table names. */
  readonly main: boolean;
  readonly routes: readonly CloudRoute[];
}

/** `target`: a network interface, or a connection by its identifier. */
export interface CloudApi {
  tables(vpc: string): Promise<CloudTable[]>;
  instances(vpc: string): Promise<CloudInstance[]>;
  /** Instances of the region whose status checks fail. */
  impaired(): Promise<ReadonlySet<string>>;
  /** Routes of one family that a table has room for. */
  quota(): Promise<number>;
  createRoute(table: string, cidr: Cidr, target: string): Promise<void>;
  replaceRoute(table: string, cidr: Cidr, target: string): Promise<void>;
  deleteRoute(table: string, cidr: Cidr): Promise<void>;
  /** Switches the source/destination check off. */
  letForward(networkInterface: string): Promise<void>;
  close(): void;
}

/**
 * `exists`, `missing`: the route. `gone`: what it leads to, or its table. `full`: the table. `denied`: this permission. The last three
 * concern every call: `throttled`, `unreachable` and `credentials`.
 */
export type FailureKind =
  | 'exists'
  | 'missing'
  | 'gone'
  | 'full'
  | 'denied'
  | 'refused'
  | 'throttled'
  | 'unreachable'
  | 'credentials';

export class CloudFailure extends Error {
  readonly kind: FailureKind;
  /** Of the provider's API, such as CreateRoute. */
  readonly action: string;
  /** The provider's own name of the error. */
  readonly code: string;

  constructor(kind: FailureKind, action: string, code: string, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CloudFailure';
    this.kind = kind;
    this.action = action;
    this.code = code;
  }

  /** No use in asking anything else now. */
  get general(): boolean {
    return this.kind === 'throttled' || this.kind === 'unreachable' || this.kind === 'credentials';
  }
}
