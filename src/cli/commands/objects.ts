/** One command for each operation that has one. */
import type { Command } from 'commander';
import { type Client, requestPath } from '#contract/client.ts';
import { readDocument } from '../document.ts';
import { asUsage } from '../exit.ts';
import { formatOf, type Item, writeList, writeObject } from '../output.ts';
import { buildRequest, type RequestParts } from '../request.ts';
import { type CommandSpec, specs } from '../spec.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';
import { addOptions, occurrences } from './options.ts';

const nouns: Readonly<Record<string, string>> = {
  network: 'IP ranges with a layout',
  host: 'Hosts and their host ids',
  tenant: 'Tenants and their isolation',
  segment: 'Segments of tenants',
  endpoint: 'Endpoints and their addresses',
  token: 'Tokens of people and programs',
};

/** `wanted`: whether the commands of a noun are needed; making all of them takes a fifth of the time of a short command. */
export function addObjectCommands(program: Command, world: World, wanted: (noun: string) => boolean): void {
  for (const spec of specs) {
    const parent = group(program, spec.noun, nouns[spec.noun] ?? spec.noun);
    if (!wanted(spec.noun)) continue;
    const command = parent.command(spec.verb);
    command.summary(spec.route.summary).description(`${spec.route.summary}.`);
    if (spec.key.length > 0)
      command.argument(spec.verb === 'create' ? '[name]' : '<name>', argumentText(spec));
    if (spec.route.body)
      command.option('-f, --file <FILE>', 'YAML or JSON file with the fields; - is standard input');
    addOptions(command, spec);
    withServer(command).action(async (...args: unknown[]) => {
      const name = spec.key.length > 0 ? (args[0] as string | undefined) : undefined;
      await run(spec, world, name, command.opts());
    });
  }
}

function argumentText(spec: CommandSpec): string {
  const full = spec.key.map((part) => part.toUpperCase()).join('/');
  return spec.key.length === 1 ? `Name of the ${spec.noun}` : `${full}, or NAME and the options below`;
}

async function run(
  spec: CommandSpec,
  world: World,
  name: string | undefined,
  options: ClientOptions & Record<string, unknown>,
): Promise<void> {
  formatOf(options);
  const file = options['file'];
  const document = typeof file === 'string' ? await readDocument(file, () => world.stdin()) : undefined;
  const parts = buildRequest(spec, { name, options: occurrences(spec, options), document });
  // Names that cannot stand in a path are refused before there is a connection.
  asUsage(() => requestPath(spec.route, parts));
  const answer = await withClient(world, options, (client) => call(client, spec, parts));
  if (answer === undefined) {
    if (formatOf(options) === 'table' && options.quiet !== true) world.out(`${doneText(spec, parts)}\n`);
  } else if ((spec.id === 'hostDelete' || spec.id === 'hostFence') && formatOf(options) === 'table') {
    if (options.quiet !== true) world.out(`${endedText(answer)}\n`);
  } else if (spec.verb === 'list') await writeList(world, spec.noun, answer, options);
  else await writeObject(world, spec.noun, answer, options);
}

/** The typed client has one signature per operation; what goes in was built from the same table. */
async function call(client: Client, spec: CommandSpec, parts: RequestParts): Promise<Item | undefined> {
  const method = client[spec.id] as (input: RequestParts) => Promise<unknown>;
  return (await method(parts)) as Item | undefined;
}

function endedText({ name, state, endpoints }: Item): string {
  const host = String(name);
  const left = Number(endpoints);
  const them = `${left} ${left === 1 ? 'endpoint' : 'endpoints'}`;
  if (state === 'draining') {
    const after = left === 0 ? '' : `${them} are gone and `;
    return `host ${host} is draining; it is deleted when ${after}its agent has acknowledged that it holds nothing`;
  }
  if (state === 'fenced')
    return `host ${host} is fenced and ${them} forgotten; its ids are free when its agent has come back and withdrawn, or with romana host fence ${host} --confirm-off`;
  return `host ${host} deleted`;
}

function doneText(spec: CommandSpec, parts: RequestParts): string {
  const name = spec.key.map((part) => parts.params[part]).join('/');
  return spec.id === 'endpointDelete'
    ? `endpoint ${name} is being removed; its address is free once the host confirms`
    : `${spec.noun} ${name} deleted`;
}
