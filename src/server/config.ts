/** Configuration of a server: a YAML file, defaults, and what the command line adds. */
import { parse } from 'yaml';
import { z } from 'zod';
import { RomanaError } from '#core/errors.ts';
import { logLevels } from '#runtime/index.ts';
import { inputError } from './http/errors.ts';

const ListenText = z.string().transform((text, context) => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]\s]+)):([0-9]{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65535) {
    context.addIssue({ code: 'custom', message: 'write ADDRESS:PORT, such as 192.0.2.1:7443 or [::1]:7443' });
    return z.NEVER;
  }
  return { host, port };
});
const Listen = z.union([
  ListenText,
  z.strictObject({ host: z.string().min(1).max(253), port: z.int().min(0).max(65535) }),
]);

export const ServerConfig = z.strictObject({
  dataDir: z.string().min(1).default('/var/lib/romana/server').describe('Store, keys and client file'),
  listen: z
    .array(Listen)
    .min(1)
    .max(16)
    .default([{ host: '127.0.0.1', port: 7443 }])
    .describe('Where to listen'),
  names: z
    .array(z.string().regex(/^[-0-9A-Za-z.:]{1,253}$/, 'a DNS name or an address'))
    .max(64)
    .default([])
    .describe('Names and addresses that clients reach this server by; the certificate is made for them'),
  logLevel: z.enum(logLevels).default('info'),
  vpc: z
    .strictObject({
      everySeconds: z.number().min(1).max(3600).default(10).describe('Between two looks at the route tables'),
      silentAfterSeconds: z
        .number()
        .min(5)
        .max(3600)
        .default(30)
        .describe(
          "Without a report for so long, a router's host is silent; dead only if AWS calls it impaired too",
        ),
    })
    .prefault({})
    .describe('Where the topology states a VPC'),
});
export type ServerConfig = z.output<typeof ServerConfig>;
export type ServerConfigInput = z.input<typeof ServerConfig>;

/** Throws `input_invalid` that names each field. */
export function checkConfig(input: unknown): ServerConfig {
  const result = ServerConfig.safeParse(input);
  if (!result.success) throw inputError(result.error);
  return result.data;
}

/** Reads the text of a configuration file; fields of `flags` that are not undefined win. */
export function readConfig(text: string, flags: Readonly<Record<string, unknown>> = {}): ServerConfig {
  let file: unknown;
  try {
    file = parse(text) ?? {};
  } catch (error) {
    throw new RomanaError('input_invalid', `The configuration is not YAML: ${(error as Error).message}`, {
      cause: error,
    });
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file))
    throw new RomanaError('input_invalid', 'The configuration is not a mapping of fields.');
  const given = Object.entries(flags).filter(([, value]) => value !== undefined);
  return checkConfig({ ...file, ...Object.fromEntries(given) });
}
