/** Options that many commands share, and the way from a command to the server and back. */
import { Command, Option } from 'commander';
import { type Client, createClient } from '#contract/client.ts';
import { loadAccess } from '../config.ts';
import { formats, type OutputOptions } from '../output.ts';
import type { World } from '../world.ts';

export interface ClientOptions extends OutputOptions {
  readonly config?: string;
  readonly server?: string;
  readonly tokenFile?: string;
  readonly caFile?: string;
}

const outputGroup = 'Output:';
const serverGroup = 'Server:';

export function withOutput(command: Command): Command {
  return command
    .addOption(
      new Option('-o, --output <FORMAT>', 'table, json or yaml (default: table)')
        .argParser(oneFormat)
        .helpGroup(outputGroup),
    )
    .addOption(new Option('--no-headers', 'No titles above a table').helpGroup(outputGroup))
    .addOption(new Option('-q, --quiet', 'Names only').helpGroup(outputGroup));
}

/** Refused by the output itself, so that the message is one for every command. */
function oneFormat(text: string): string {
  return formats.find((format) => format === text) ?? text;
}

export function withServer(command: Command): Command {
  return withOutput(command)
    .addOption(new Option('--config <FILE>', 'Client file with server, ca and token').helpGroup(serverGroup))
    .addOption(new Option('--server <URL>', 'https://HOST:PORT of the server').helpGroup(serverGroup))
    .addOption(new Option('--token-file <FILE>', 'File that holds the token').helpGroup(serverGroup))
    .addOption(new Option('--ca-file <FILE>', "PEM of the server's authority").helpGroup(serverGroup));
}

/** Runs `use` with a client of the server; the connection ends whatever happens. */
export async function withClient<T>(
  world: World,
  options: ClientOptions,
  use: (client: Client) => Promise<T>,
): Promise<T> {
  const connection = await world.connect(await loadAccess(options, world));
  try {
    return await use(createClient({ transport: connection.transport }));
  } finally {
    connection.close();
  }
}

/** A sub-command tree of one noun, which shows its help when the verb is missing. */
export function group(program: Command, name: string, summary: string): Command {
  const known = program.commands.find((command) => command.name() === name);
  return known ?? program.command(name).summary(summary).description(`${summary}.`);
}
