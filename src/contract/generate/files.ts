/** Every generated file: path below the root → text. */
import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import { DeviceRoutingDocument } from '../device-routing.ts';
import { DecodedAddress } from '../ipam.ts';
import { LabDocument } from '../lab.ts';
import * as m from '../model.ts';
import { operationRows } from '../operations.ts';
import type { Route } from '../route.ts';
import { TopologyInput } from '../topology.ts';
import { openApiDocument, pathParams } from './openapi.ts';
import { routeOptions } from './options.ts';
import { jsonSchema, objectOf } from './schemas.ts';

/** The documents that programs outside this repository read (answers) or write (inputs). */
const documents: Readonly<Record<string, { schema: z.ZodType; io: 'input' | 'output' }>> = {
  'network-input': { schema: m.NetworkInput, io: 'input' },
  network: { schema: m.Network, io: 'output' },
  'topology-input': { schema: TopologyInput, io: 'input' },
  topology: { schema: m.Topology, io: 'output' },
  'host-input': { schema: m.HostInput, io: 'input' },
  host: { schema: m.Host, io: 'output' },
  'tenant-input': { schema: m.TenantInput, io: 'input' },
  tenant: { schema: m.Tenant, io: 'output' },
  'segment-input': { schema: m.SegmentInput, io: 'input' },
  segment: { schema: m.Segment, io: 'output' },
  'endpoint-input': { schema: m.EndpointInput, io: 'input' },
  endpoint: { schema: m.Endpoint, io: 'output' },
  'host-report': { schema: m.HostReport, io: 'input' },
  status: { schema: m.Status, io: 'output' },
  'decoded-address': { schema: DecodedAddress, io: 'output' },
  error: { schema: m.ErrorBody, io: 'output' },
  'device-routing': { schema: DeviceRoutingDocument, io: 'output' },
  lab: { schema: LabDocument, io: 'output' },
};

function text(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function routeTable(): string {
  const rows = operationRows.map(([id, operation]) => {
    const route: Route = {
      method: operation.method,
      path: operation.path,
      summary: operation.summary,
      access: operation.access,
      success: operation.success,
      cli: operation.cli,
      params: pathParams(operation.path),
      options: routeOptions(operation),
      body: operation.body !== null,
    };
    return `  ${id}: ${JSON.stringify(route)},`;
  });
  return [
    '// Made by src/contract/generate.ts from the operation table. Do not edit: change the contract, then run: npm run generate',
    '// biome-ignore-all format: generated, one operation a line',
    "import type { OperationId } from '../operations.ts';",
    "import type { Route } from '../route.ts';",
    '',
    'export const routes: Readonly<Record<OperationId, Route>> = {',
    ...rows,
    '};',
    '',
  ].join('\n');
}

export function generateFiles(): Map<string, string> {
  const { version } = objectOf(
    JSON.parse(readFileSync(new URL('../../../package.json', import.meta.url), 'utf8')),
  );
  const files = new Map([
    ['src/contract/generated/routes.ts', routeTable()],
    ['docs/openapi.json', text(openApiDocument(typeof version === 'string' ? version : '0'))],
  ]);
  for (const [name, { schema, io }] of Object.entries(documents)) {
    const { schema: own, defs } = jsonSchema(schema, io);
    files.set(
      `docs/schemas/${name}.json`,
      text({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...own, $defs: defs }),
    );
  }
  return files;
}
