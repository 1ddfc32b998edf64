/**
 * One route for each row of the operation table, with the same steps for all: who is it, may they, is the request in shape, do it, and
 * hand out what the contract names and nothing else.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { type Operation, type OperationId, operationRows } from '#contract/operations.ts';
import { isRecord } from '#contract/shape.ts';
import { RomanaError } from '#core/errors.ts';
import type { Clock, Log } from '#core/ports.ts';
import type { Auth, Session } from '../auth/auth.ts';
import { actorOf } from '../caller.ts';
import type { ServedId, Services } from '../services/types.ts';
import { asRomanaError, inputError } from './errors.ts';
import type { Metrics } from './metrics.ts';

export interface RouteDeps {
  readonly services: Services;
  readonly auth: Pick<Auth, 'operations'>;
  readonly authenticate: (request: FastifyRequest) => Session;
  readonly log: Log;
  readonly clock: Pick<Clock, 'monotonic'>;
  readonly metrics: Pick<Metrics, 'request'>;
}

interface AnyInput {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}
type Handler = (session: Session, input: AnyInput) => Promise<unknown>;

/** The handler of an operation. The table ties its input, checked by the row's schemas, to the handler's types. */
function handlerOf(id: OperationId, deps: RouteDeps): Handler {
  if (Object.hasOwn(deps.auth.operations, id)) {
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked by the schemas of the same row
    const operation = deps.auth.operations[id as keyof Auth['operations']] as Handler;
    return operation;
  }
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- checked by the schemas of the same row
  const service = deps.services[id as ServedId] as unknown as (
    caller: Session['caller'],
    input: AnyInput,
  ) => Promise<unknown>;
  return ({ caller }, input) => service(caller, input);
}

/** Throws `unauthenticated` or `forbidden` unless the caller may use an operation of this access. `host` is the one in the path. */
export function authorize({ caller }: Session, access: Operation['access'], host: string | undefined): void {
  if (access === 'any') return;
  if (caller.kind === 'anonymous') {
    throw new RomanaError(
      'unauthenticated',
      'Send a token (Authorization: Bearer …) or a client certificate.',
    );
  }
  const allowed =
    access === 'agent'
      ? caller.role === 'agent' && caller.name === host
      : caller.role === 'admin' || (caller.role === 'viewer' && access === 'viewer');
  if (!allowed) {
    const who =
      access === 'agent'
        ? `the agent of host '${host ?? ''}'`
        : access === 'admin'
          ? 'an admin'
          : 'a viewer or admin';
    throw new RomanaError(
      'forbidden',
      `Only ${who} may do this; the caller is ${actorOf(caller)} (${caller.role}).`,
    );
  }
}

function hostParam(params: unknown): string | undefined {
  return isRecord(params) && typeof params['name'] === 'string' ? params['name'] : undefined;
}

function validate(operation: Operation, request: FastifyRequest): AnyInput {
  const params = operation.params.safeParse(request.params);
  if (!params.success) throw inputError(params.error);
  // strict: a misspelt filter must not silently answer everything
  const query = operation.query.strict().safeParse(request.query);
  if (!query.success) throw inputError(query.error);
  if (operation.body === null) {
    if (request.body !== undefined && request.body !== null)
      throw new RomanaError('input_invalid', 'This operation takes no body.');
    return { params: params.data, query: query.data, body: undefined };
  }
  const body = operation.body.safeParse(request.body);
  if (!body.success) throw inputError(body.error);
  return { params: params.data, query: query.data, body: body.data };
}

function answerOf(operation: Operation, answer: unknown): unknown {
  if (operation.response === null) return undefined;
  const checked = operation.response.safeParse(answer);
  if (!checked.success) throw new Error(`the answer is not what the contract says: ${checked.error.message}`);
  return checked.data;
}

export function addRoutes(app: FastifyInstance, deps: RouteDeps): void {
  const { log, clock, metrics } = deps;
  for (const [id, operation] of operationRows) {
    const handler = handlerOf(id, deps);
    const mutates = operation.method !== 'GET';
    const report = (session: Session | null, request: FastifyRequest, code: string): void => {
      if (!mutates) return;
      const { params, body } = request;
      // names only: bodies may hold secrets
      const object = isRecord(body) && typeof body['name'] === 'string' ? body['name'] : undefined;
      const fields = {
        audit: true,
        actor: session === null ? 'nobody' : actorOf(session.caller),
        address: request.ip,
        operation: id,
        object: { ...(isRecord(params) ? params : {}), ...(object === undefined ? {} : { name: object }) },
        outcome: code,
      };
      // agents report every few seconds
      if (id === 'hostReport' && code === 'ok') log.debug(fields, 'audit');
      else log.info(fields, 'audit');
    };
    const handle = async (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => {
      const began = clock.monotonic();
      let session: Session | null = null;
      let code = 'ok';
      try {
        session = deps.authenticate(request);
        authorize(session, operation.access, hostParam(request.params));
        const answer = answerOf(operation, await handler(session, validate(operation, request)));
        reply.code(operation.success);
        return answer === undefined ? reply.send() : reply.send(answer);
      } catch (error) {
        code = asRomanaError(error).code;
        throw error;
      } finally {
        report(session, request, code);
        metrics.request(id, code, (clock.monotonic() - began) / 1000);
      }
    };
    app.route({ method: operation.method, url: operation.path, handler: handle });
  }
}
