/**
 * The typed client of the control plane: one method per operation, over any transport. Imports no zod and no node: module, so that
 * the command line and the agent start fast and the simulator can put its own transport underneath.
 *
 * 1. Every refusal is a RomanaError with the server's code; a code this version does not know becomes `internal`.
 * 2. Path parameters are escaped; a missing one is `input_invalid`, never the text "undefined" in a path.
 */
import { catalogue, type ErrorCode, RomanaError } from '#core/errors.ts';
import { routes } from './generated/routes.ts';
import type { AnswerOf, BodyOf, OperationId, ParamsOf, QueryOf } from './operations.ts';
import type { Route } from './route.ts';
import { isRecord } from './shape.ts';

export interface TransportRequest {
  readonly method: string;
  /** Path with query, already escaped. */
  readonly path: string;
  /** A JSON value; undefined: no body. */
  readonly body?: unknown;
}
export interface TransportAnswer {
  readonly status: number;
  /** The parsed JSON body; undefined when there is none. */
  readonly body: unknown;
}
/** Rejects with a RomanaError (`unavailable`, `timeout`) when no answer came. */
export type Transport = (request: TransportRequest) => Promise<TransportAnswer>;

// oxlint-disable-next-line typescript/no-empty-object-type -- the neutral element of an intersection
type None = {};
/** An object schema without fields has the type `Record<string, never>`. */
type Empty<T> = string extends keyof T ? true : keyof T extends never ? true : false;
type ParamsPart<K extends OperationId> = Empty<ParamsOf<K>> extends true ? None : { params: ParamsOf<K> };
type QueryPart<K extends OperationId> = Empty<QueryOf<K>> extends true ? None : { query?: QueryOf<K> };
type BodyPart<K extends OperationId> = BodyOf<K> extends undefined ? None : { body: BodyOf<K> };
/** What a method takes; parts that the operation does not have are left out. */
export type InputOf<K extends OperationId> = ParamsPart<K> & QueryPart<K> & BodyPart<K>;
export type Client = {
  readonly [K in OperationId]: None extends InputOf<K>
    ? (input?: InputOf<K>) => Promise<AnswerOf<K>>
    : (input: InputOf<K>) => Promise<AnswerOf<K>>;
};

interface AnyInput {
  readonly params?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

/** The path of a request: parameters filled in and escaped, query appended; undefined query fields are left out. */
export function requestPath(route: Route, input: AnyInput): string {
  const path = route.path.replace(/:([A-Za-z]+)/g, (_, field: string) => {
    const value = input.params?.[field];
    if (typeof value !== 'string' || value === '' || value === '.' || value === '..') {
      throw new RomanaError('input_invalid', `The path parameter '${field}' is missing or empty.`, {
        details: { path: field },
      });
    }
    return encodeURIComponent(value);
  });
  const query = new URLSearchParams();
  for (const [field, value] of Object.entries(input.query ?? {})) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') {
      query.set(field, String(value));
    }
  }
  const text = query.toString();
  return text === '' ? path : `${path}?${text}`;
}

function isCode(code: string): code is ErrorCode {
  return Object.hasOwn(catalogue, code);
}

/** The error that an answer means; `body` is whatever came over the wire. */
export function errorOfAnswer(status: number, body: unknown): RomanaError {
  const { code, message, details } = isRecord(body) ? body : {};
  if (typeof code === 'string' && typeof message === 'string') {
    return new RomanaError(
      isCode(code) ? code : 'internal',
      isCode(code) ? message : `${message} (code ${code})`,
      isRecord(details) ? { details } : {},
    );
  }
  return new RomanaError(
    status === 502 || status === 503 || status === 504 ? 'unavailable' : 'internal',
    `The server answered with status ${status} and no error of its own; check that the address is that of a Romana server.`,
  );
}

export function createClient(options: { transport: Transport }): Client {
  const call = async (route: Route, input: AnyInput): Promise<unknown> => {
    const answer = await options.transport({
      method: route.method,
      path: requestPath(route, input),
      ...(route.body ? { body: input.body ?? {} } : {}),
    });
    if (answer.status < 200 || answer.status > 299) throw errorOfAnswer(answer.status, answer.body);
    if (route.success === 204) return undefined;
    if (!isRecord(answer.body)) {
      throw new RomanaError(
        'internal',
        `The server answered ${route.method} ${route.path} without an object.`,
      );
    }
    return answer.body;
  };
  const methods = Object.entries(routes).map(([id, route]) => [
    id,
    (input: AnyInput = {}) => call(route, input),
  ]);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the route table is generated from the operation table
  return Object.fromEntries(methods) as Client;
}
