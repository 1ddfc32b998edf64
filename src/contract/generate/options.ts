/** Command-line options of an operation, derived from the JSON Schemas of its body and query. */
import type { z } from 'zod';
import type { Operation } from '../operations.ts';
import type { OptionKind, RouteOption } from '../route.ts';
import { type JsonObject, jsonSchema, objectOf, propertiesOf, resolve, stringsOf } from './schemas.ts';

function kindOf(schema: JsonObject, defs: JsonObject, reference: unknown): OptionKind {
  if (reference === '#/$defs/Layout') return 'layout';
  if (Array.isArray(schema['enum'])) return 'enum';
  const { type } = schema;
  if (type === 'string' || type === 'boolean' || type === 'integer') return type;
  if (type === 'array') {
    if (objectOf(schema['items'])['$ref'] === '#/$defs/HostUplink') return 'uplinks';
    const item = resolve(objectOf(schema['items']), defs);
    return item['type'] === 'string' ? 'strings' : 'json';
  }
  if (type === 'object' && schema['properties'] === undefined) {
    const value = schema['additionalProperties'];
    if (typeof value === 'object' && value !== null && !Array.isArray(value) && value['type'] === 'string')
      return 'keyvalues';
  }
  return 'json';
}

/** `anyOf [X, null]` is X that may be null. */
function withoutNull(schema: JsonObject): { schema: JsonObject; nullable: boolean } {
  const { anyOf, ...beside } = schema;
  if (!Array.isArray(anyOf)) return { schema, nullable: false };
  const rest = anyOf.map(objectOf).filter((part) => part['type'] !== 'null');
  const [only] = rest;
  if (rest.length !== 1 || only === undefined) return { schema, nullable: rest.length !== anyOf.length };
  return { schema: { ...only, ...beside }, nullable: rest.length !== anyOf.length };
}

function optionsOf(part: z.ZodType, where: 'body' | 'query'): RouteOption[] {
  const { schema, defs } = jsonSchema(part, 'input');
  const object = resolve(schema, defs);
  const required = stringsOf(object['required']);
  return propertiesOf(object).map(([field, value]) => {
    const { schema: own, nullable } = withoutNull(value);
    const resolved = resolve(own, defs);
    const { description } = resolved;
    const kind = kindOf(resolved, defs, own['$ref']);
    return {
      field,
      in: where,
      option: `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`,
      kind,
      required: required.includes(field),
      nullable,
      choices: kind === 'enum' ? stringsOf(resolved['enum']) : [],
      default: resolved['default'],
      description: typeof description === 'string' ? description : '',
    };
  });
}

export function routeOptions(operation: Operation): RouteOption[] {
  return [
    ...(operation.body === null ? [] : optionsOf(operation.body, 'body')),
    ...optionsOf(operation.query, 'query'),
  ];
}
