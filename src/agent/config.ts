/** The agent's configuration file (YAML or JSON): checked whole, every fault named with its place. */
import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { z } from 'zod';
import { name } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';

const linkPattern = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,15}\*?$/, 'a link name, or a beginning of one followed by *, such as tap*');
const absolute = z.string().regex(/^\//, 'an absolute path');

export const AgentConfig = z.strictObject({
  host: name.describe('Name of this host at the control plane'),
  server: z.string().describe('https://ADDRESS:PORT of the control plane'),
  ca: z.string().optional().describe('Certificate authority of the control plane, PEM'),
  caFile: absolute.optional(),
  joinToken: z.string().optional().describe('Needed once, until the host has its certificate'),
  joinTokenFile: absolute.optional(),
  stateDir: absolute.default('/var/lib/romana/agent'),
  runDir: absolute.default('/run/romana'),
  uplinks: z
    .array(linkPattern)
    .max(64)
    .default([])
    .describe('Links to other hosts; default: found by address and default route'),
  endpointLinks: z
    .array(linkPattern)
    .min(1)
    .max(16)
    .default(['rom*'])
    .refine((patterns) => patterns.includes('rom*'), 'must contain rom*, the links that the agent makes')
    .describe('Patterns of endpoint links; whatever matches and is no known endpoint is dropped'),
  mtu: z
    .int()
    .min(1280)
    .max(65535)
    .optional()
    .describe('MTU of endpoint links; default: the smallest of the uplinks'),
  speaker: z
    .strictObject({
      dir: absolute
        .default('/etc/romana/bgp')
        .describe('Folder of the BGP daemon that the agent writes into, owned by the user of the daemon'),
      control: absolute
        .optional()
        .describe('Control socket of the daemon, or folder of its sockets; default: in the folder'),
      mode: z
        .enum(['own', 'include'])
        .default('own')
        .describe(
          'own: the whole configuration; include: a part that the configuration of the site includes',
        ),
    })
    .prefault({})
    .describe('BGP daemon of the host, where the fabric is bgp'),
  resyncSeconds: z.number().min(1).max(3600).default(30),
  heartbeatSeconds: z.number().min(1).max(3600).default(10),
  logLevel: z.enum(['debug', 'info', 'warn', 'error', 'silent']).default('info'),
});
export type AgentConfig = z.infer<typeof AgentConfig>;

export function readAgentConfig(file: string): AgentConfig {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    throw new RomanaError(
      'input_invalid',
      `The agent's configuration ${file} cannot be read: ${message(cause)}.`,
      { cause },
    );
  }
  return parseAgentConfig(text, file);
}

export function parseAgentConfig(text: string, file: string): AgentConfig {
  let document: unknown;
  try {
    document = parse(text, { maxAliasCount: 16 });
  } catch (cause) {
    throw new RomanaError('input_invalid', `${file}: ${message(cause)}`, { cause });
  }
  const result = AgentConfig.safeParse(document);
  if (!result.success) {
    const faults = result.error.issues.map(
      (issue) => `${issue.path.join('.') || 'document'}: ${issue.message}`,
    );
    throw new RomanaError('input_invalid', `${file}: ${faults.join('; ')}.`, { details: { faults } });
  }
  return result.data;
}

/** Reads what is given directly or in a file. Secrets: the value never enters a message. */
export function inlineOrFile(
  value: string | undefined,
  file: string | undefined,
  what: string,
): string | null {
  if (value !== undefined) return value;
  if (file === undefined) return null;
  try {
    return readFileSync(file, 'utf8').trim();
  } catch (cause) {
    throw new RomanaError('input_invalid', `The ${what} ${file} cannot be read: ${message(cause)}.`, {
      cause,
    });
  }
}

function message(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
