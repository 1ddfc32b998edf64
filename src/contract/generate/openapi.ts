/** The operation table as an OpenAPI 3.1 document. */
import { catalogue } from '#core/errors.ts';
import * as m from '../model.ts';
import { type Operation, operationRows } from '../operations.ts';
import { watchPath } from '../watch.ts';
import {
  type Direction,
  type Json,
  type JsonObject,
  jsonSchema,
  objectOf,
  propertiesOf,
  resolve,
  rewriteReferences,
  stringsOf,
} from './schemas.ts';

/**
 * Named components. A model that reads differently as input (defaults may be left out) and as output gets two names, X and XInput;
 * all others have one.
 */
function createComponents() {
  const collected = new Map<string, { input?: JsonObject; output?: JsonObject }>();
  const same = (a: JsonObject | undefined, b: JsonObject | undefined) =>
    a === undefined || b === undefined || JSON.stringify(a) === JSON.stringify(b);
  const nameOf = (name: string, io: Direction): string => {
    const entry = collected.get(name);
    return io === 'input' && !same(entry?.input, entry?.output) ? `${name}Input` : name;
  };
  const point = (schema: Json, io: Direction) =>
    rewriteReferences(schema, (name) => `#/components/schemas/${nameOf(name, io)}`);
  return {
    collect(schema: Parameters<typeof jsonSchema>[0], io: Direction): JsonObject {
      const { schema: own, defs } = jsonSchema(schema, io);
      for (const [name, def] of Object.entries(defs)) {
        collected.set(name, { ...collected.get(name), [io]: objectOf(def) });
      }
      return own;
    },
    /** Only once everything is collected: until then a name may still split in two. */
    point,
    all(): JsonObject {
      const result = new Map<string, Json>();
      for (const [name, entry] of collected) {
        for (const io of ['input', 'output'] as const) {
          const schema = entry[io];
          if (schema !== undefined) result.set(nameOf(name, io), point(schema, io));
        }
      }
      return Object.fromEntries([...result].sort(([a], [b]) => (a < b ? -1 : 1)));
    },
  };
}

function parameters(
  schema: JsonObject,
  defs: JsonObject,
  where: 'path' | 'query',
  order: readonly string[],
): JsonObject[] {
  const object = resolve(schema, defs);
  const properties = new Map(propertiesOf(object));
  const required = stringsOf(object['required']);
  const names = [...order, ...[...properties.keys()].filter((name) => !order.includes(name))];
  return names.map((name) => {
    const schema = objectOf(properties.get(name));
    return {
      name,
      in: where,
      required: where === 'path' || required.includes(name),
      schema,
    };
  });
}

/** Names of the `:param`s of a path, in order. */
export function pathParams(path: string): string[] {
  return [...path.matchAll(/:([A-Za-z]+)/g)].map((match) => match[1] ?? '');
}

function security(access: Operation['access']): Json[] {
  if (access === 'any') return [{}, { bearer: [] }, { certificate: [] }];
  return access === 'agent' ? [{ certificate: [] }] : [{ bearer: [] }];
}

export function openApiDocument(version: string): JsonObject {
  const components = createComponents();
  const error = components.collect(m.ErrorBody, 'output');
  const raw = operationRows.map(([id, operation]) => ({
    id,
    operation,
    body: operation.body === null ? null : components.collect(operation.body, 'input'),
    answer: operation.response === null ? null : components.collect(operation.response, 'output'),
  }));
  const json = (schema: JsonObject, io: Direction) => ({
    content: { 'application/json': { schema: components.point(schema, io) } },
  });
  const errorAnswer = { description: 'Refused; see the code', ...json(error, 'output') };
  const paths: Record<string, JsonObject> = {};
  for (const { id, operation, body, answer } of raw) {
    const path = operation.path.replace(/:([A-Za-z]+)/g, '{$1}');
    const params = jsonSchema(operation.params, 'input');
    const query = jsonSchema(operation.query, 'input');
    const item = paths[path] ?? {};
    item[operation.method.toLowerCase()] = {
      operationId: id,
      summary: operation.summary,
      description: `Access: ${operation.access}`,
      security: security(operation.access),
      parameters: [
        ...parameters(params.schema, params.defs, 'path', pathParams(operation.path)),
        ...parameters(query.schema, query.defs, 'query', []),
      ],
      ...(body === null ? {} : { requestBody: { required: true, ...json(body, 'input') } }),
      responses: {
        [String(operation.success)]: {
          description: 'Done',
          ...(answer === null ? {} : json(answer, 'output')),
        },
        default: errorAnswer,
      },
    };
    paths[path] = item;
  }
  paths[watchPath] = {
    get: {
      operationId: 'watch',
      summary: 'Stream of changes: a snapshot or the changes since a position, then live changes',
      description:
        'Access: viewer or agent. Server-sent events `snapshot`, `object`, `gone`, `synced`, `position`, `behind`; the `id` of an event is the position to come back with.',
      security: [{ bearer: [] }, { certificate: [] }],
      parameters: [
        {
          name: 'since',
          in: 'query',
          required: false,
          description: 'INCARNATION:REVISION; the header Last-Event-ID means the same',
          schema: { type: 'string' },
        },
      ],
      responses: {
        '200': {
          description: 'The stream',
          content: { 'text/event-stream': { schema: { type: 'string' } } },
        },
        default: errorAnswer,
      },
    },
  };
  return {
    openapi: '3.1.0',
    info: {
      title: 'Romana control plane',
      version,
      description: `Codes of errors: ${Object.entries(catalogue)
        .map(([code, { status, summary }]) => `\`${code}\` (${status}): ${summary}`)
        .join(' ')}`,
    },
    paths,
    components: {
      schemas: components.all(),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A token made by `romana token create`' },
        certificate: { type: 'mutualTLS', description: 'The certificate of a host' },
      },
    },
  };
}
