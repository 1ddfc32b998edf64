/** zod schemas to JSON Schema (2020-12), with named components instead of copies. */
import { z } from 'zod';

export type Json = null | boolean | number | string | Json[] | { [field: string]: Json };
export type JsonObject = { [field: string]: Json };
export type Direction = 'input' | 'output';

export function objectOf(value: unknown): JsonObject {
  if (!isObject(value)) throw new Error(`an object was expected: ${JSON.stringify(value)}`);
  return value;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The strings of an array; none when it is missing. */
export function stringsOf(value: Json | undefined): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}

/** The properties of an object schema. */
export function propertiesOf(schema: JsonObject): [string, JsonObject][] {
  return Object.entries(objectOf(schema['properties'] ?? {})).map(([name, part]) => [name, objectOf(part)]);
}

/** A schema with its named parts beside it; references read `#/$defs/NAME`. */
export function jsonSchema(schema: z.ZodType, io: Direction): { schema: JsonObject; defs: JsonObject } {
  const whole = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // answers only ever gain fields: a reader must not refuse unknown ones
      if (io === 'output' && zodSchema instanceof z.ZodObject && zodSchema.def.catchall === undefined)
        delete jsonSchema.additionalProperties;
    },
  });
  // by way of text, because zod hands out objects with hidden fields
  const { $schema: _, $defs, ...rest } = objectOf(JSON.parse(JSON.stringify(whole)));
  return { schema: rest, defs: objectOf($defs ?? {}) };
}

/** Follows one reference, when the schema is nothing but a reference. */
export function resolve(schema: JsonObject, defs: JsonObject): JsonObject {
  const ref = schema['$ref'];
  if (typeof ref !== 'string') return schema;
  const { $ref: _, ...beside } = schema;
  return { ...objectOf(defs[ref.slice('#/$defs/'.length)]), ...beside };
}

/** The same schema with every reference renamed. */
export function rewriteReferences(value: Json, rename: (name: string) => string): Json {
  if (Array.isArray(value)) return value.map((item) => rewriteReferences(item, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([field, item]) => [
      field,
      field === '$ref' && typeof item === 'string'
        ? rename(item.slice('#/$defs/'.length))
        : rewriteReferences(item, rename),
    ]),
  );
}
