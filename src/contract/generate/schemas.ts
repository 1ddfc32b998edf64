/** zod schemas to JSON Schema (2020-12), with named components instead of copies. */
import { z } from 'zod';

export type Json = null | boolean | number | string | Json[] | { [field: string]: Json };
export type JsonObject = { [field: string]: Json };
export type Direction = 'input' | 'output';

/** A schema with its named parts beside it; references read `#/$defs/NAME`. */
export function jsonSchema(schema: z.ZodType, io: Direction): { schema: JsonObject; defs: JsonObject } {
  const whole = z.toJSONSchema(schema, {
    io,
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      const def = zodSchema._zod.def;
      // answers only ever gain fields: a reader must not refuse unknown ones
      if (def.type === 'object' && io === 'output' && def.catchall === undefined)
        delete jsonSchema.additionalProperties;
    },
  });
  // by way of text, because zod hands out objects with hidden fields
  const { $schema: _, $defs, ...rest } = JSON.parse(JSON.stringify(whole)) as JsonObject;
  return { schema: rest, defs: (($defs as JsonObject | undefined) ?? {}) satisfies JsonObject };
}

/** Follows one reference, when the schema is nothing but a reference. */
export function resolve(schema: JsonObject, defs: JsonObject): JsonObject {
  const ref = schema['$ref'];
  if (typeof ref !== 'string') return schema;
  const { $ref: _, ...beside } = schema;
  return { ...(defs[ref.slice('#/$defs/'.length)] as JsonObject), ...beside };
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
