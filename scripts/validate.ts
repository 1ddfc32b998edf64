/** `validate.ts SCHEMA DOCUMENT`: whether a JSON document is what its published schema says. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';

const [schemaPath = '', documentPath = ''] = process.argv.slice(2);
const schema = z.fromJSONSchema(
  JSON.parse(readFileSync(schemaPath, 'utf8')) as Parameters<typeof z.fromJSONSchema>[0],
);
const result = schema.safeParse(JSON.parse(readFileSync(documentPath, 'utf8')));
if (!result.success) {
  console.error(`${documentPath} is not what ${schemaPath} says:\n${z.prettifyError(result.error)}`);
  process.exitCode = 1;
}
