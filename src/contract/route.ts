/** The shape of the generated route table: what a client and a command line need of the operations, as plain data without zod. */
import type { Access, Method } from './operations.ts';

/**
 * How a command-line option is read. `strings` is a list (comma-separated or repeated), `keyvalues` a record of strings
 * (`--labels rack=2,zone=1`), `layout` the four widths `host/tenant/segment/endpoint`, `uplinks` a list of
 * `DEVICE[=ADDRESS,ADDRESS][@LINK]`, `json` everything nested.
 */
export type OptionKind =
  | 'string'
  | 'integer'
  | 'boolean'
  | 'strings'
  | 'enum'
  | 'keyvalues'
  | 'layout'
  | 'uplinks'
  | 'json';

export interface RouteOption {
  /** Name of the field in the body or query. */
  readonly field: string;
  readonly in: 'body' | 'query';
  /** Long option, e.g. `--quarantine-seconds`. */
  readonly option: string;
  readonly kind: OptionKind;
  readonly required: boolean;
  /** Null is a value of its own (not the same as leaving the option out). */
  readonly nullable: boolean;
  /** Only for `enum`, else empty. */
  readonly choices: readonly string[];
  /** What the server assumes when the option is left out; undefined: nothing. */
  readonly default?: unknown;
  readonly description: string;
}

export interface Route {
  readonly method: Method;
  /** Template with `:name` parameters. */
  readonly path: string;
  readonly summary: string;
  readonly access: Access;
  readonly success: 200 | 201 | 202 | 204;
  readonly cli: readonly [noun: string, verb: string] | null;
  /** Path parameters in path order. */
  readonly params: readonly string[];
  readonly options: readonly RouteOption[];
  /** Whether the request carries a body. */
  readonly body: boolean;
}
