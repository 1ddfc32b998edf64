/** `romana agent`: the agent itself, and its local API on a unix socket. */
import { type Command, Option } from 'commander';
import type { BgpReport } from '#contract/bgp.ts';
import { errorOfAnswer, type TransportRequest } from '#contract/client.ts';
import { readDocument } from '../document.ts';
import { usage } from '../exit.ts';
import {
  dump,
  formatOf,
  type Item,
  type OutputOptions,
  pairs,
  table,
  writeList,
  writeObject,
} from '../output.ts';
import { buildRequest } from '../request.ts';
import { stopSignal } from '../signals.ts';
import { type CommandSpec, specs } from '../spec.ts';
import type { World } from '../world.ts';
import { sessionCells, sessionTitles } from './bgp.ts';
import { addCheck } from './check.ts';
import { withOutput } from './common.ts';
import { addOptions, occurrences } from './options.ts';

interface AgentOptions extends OutputOptions {
  readonly socket?: string;
}

const defaultSocket = '/run/romana/agent.sock';

function withSocket(command: Command): Command {
  const option = new Option('--socket <PATH>', `Local socket of the agent (default: ${defaultSocket})`);
  return withOutput(command).addOption(option.helpGroup('Agent:'));
}

async function ask(world: World, options: AgentOptions, request: TransportRequest): Promise<Item> {
  const connection = await world.connectAgent(
    options.socket ?? (world.env['ROMANA_AGENT_SOCKET'] || defaultSocket),
  );
  try {
    const { status, body } = await connection.transport(request);
    if (status < 200 || status > 299) throw errorOfAnswer(status, body);
    return typeof body === 'object' && body !== null ? (body as Item) : {};
  } finally {
    connection.close();
  }
}

/** The agent's endpoints are the API's, but for the host: that is always its own. */
function localSpec(verb: 'create' | 'delete'): CommandSpec {
  const spec = specs.find((known) => known.noun === 'endpoint' && known.verb === verb);
  if (spec === undefined) throw new Error(`no operation endpoint ${verb}`);
  const options = spec.options.filter((option) => option.field !== 'host' && option.in !== 'query');
  return { ...spec, options };
}

function addEndpointCommands(agent: Command, world: World): void {
  const endpoint = agent.command('endpoint').summary("Endpoints of this host, by the agent's local socket");
  const create = localSpec('create');
  const creation = endpoint
    .command('create')
    .summary('Create an endpoint here; answers once it is wired and enforced');
  creation.argument('[name]', 'TENANT/SEGMENT/NAME, or NAME and the options below');
  creation.option('-f, --file <FILE>', 'YAML or JSON file with the fields; - is standard input');
  addOptions(creation, create);
  withSocket(creation).action(
    async (name: string | undefined, options: AgentOptions & Record<string, unknown>) => {
      formatOf(options);
      const file = options['file'];
      const document = typeof file === 'string' ? await readDocument(file, () => world.stdin()) : undefined;
      const { params, body } = buildRequest(create, {
        name,
        options: occurrences(create, options),
        document,
      });
      if (body?.['host'] !== undefined) throw usage('The host is the one of this agent: leave `host` out.');
      const answer = await ask(world, options, {
        method: 'POST',
        path: '/v1/endpoints',
        body: { ...params, ...body },
      });
      await writeObject(world, 'endpoint', answer, options);
    },
  );

  const removal = localSpec('delete');
  const deletion = endpoint.command('delete').summary('Remove an endpoint of this host');
  deletion.argument('<name>', 'TENANT/SEGMENT/NAME, or NAME and the options below');
  addOptions(deletion, removal);
  withSocket(deletion).action(async (name: string, options: AgentOptions & Record<string, unknown>) => {
    const { params } = buildRequest(removal, { name, options: occurrences(removal, options) });
    const parts = removal.key.map((part) => params[part] ?? '');
    await ask(world, options, {
      method: 'DELETE',
      path: `/v1/endpoints/${parts.map(encodeURIComponent).join('/')}`,
    });
    if (formatOf(options) === 'table' && options.quiet !== true)
      world.out(`endpoint ${parts.join('/')} deleted\n`);
  });

  withSocket(endpoint.command('list').summary('List the endpoints of this host')).action(
    async (options: AgentOptions) => {
      await writeList(
        world,
        'endpoint',
        await ask(world, options, { method: 'GET', path: '/v1/endpoints' }),
        options,
      );
    },
  );
}

interface AgentStatus {
  readonly ready?: boolean;
  readonly applied?: { readonly revision: number } | null;
  readonly problems?: readonly { readonly code: string; readonly message: string }[];
  readonly objects?: readonly {
    readonly kind: string;
    readonly object: string;
    readonly desired: string | null;
    readonly actual: string | null;
    readonly ok: boolean;
  }[];
  readonly counts?: Readonly<Record<string, number>>;
  readonly bgp?: BgpReport | null;
  readonly unreachable?: readonly string[] | null;
}

export function statusText(status: AgentStatus, all: boolean): string {
  const { problems = [], objects = [], counts = {}, bgp = null, unreachable = null } = status;
  const wrong = objects.filter((object) => !object.ok);
  const head = pairs([
    ['ready', status.ready ?? false],
    ['applied revision', status.applied?.revision],
    [
      'owned',
      Object.entries(counts)
        .map(([kind, n]) => `${n} ${kind}`)
        .join(', '),
    ],
    ['objects', `${objects.length}, ${wrong.length} not as desired`],
    ...(bgp === null ? [] : [['BGP daemon', daemonText(bgp)] as const]),
    ...(unreachable === null || unreachable.length === 0
      ? []
      : [['do not answer', unreachable.join(' ')] as const]),
  ]);
  const problemLines = problems.map((problem) => `problem: ${problem.message} (${problem.code})\n`).join('');
  const rows = (all ? objects : wrong).map((o) => [
    o.ok ? 'ok' : 'DRIFT',
    o.kind,
    o.object,
    o.desired,
    o.actual,
  ]);
  const list = rows.length === 0 ? '' : `\n${table(['STATE', 'KIND', 'OBJECT', 'DESIRED', 'ACTUAL'], rows)}`;
  const sessions =
    bgp === null || bgp.sessions.length === 0
      ? ''
      : `\n${table(sessionTitles, bgp.sessions.map(sessionCells))}`;
  return `${head}${problemLines}${sessions}${list}`;
}

function daemonText({ daemon, version, up, problem }: BgpReport): string {
  const name = version === null ? daemon : `${daemon} ${version}`;
  return `${name}, ${up ? 'up' : 'down'}${problem === null ? '' : `: ${problem}`}`;
}

export function addAgentCommands(program: Command, world: World): void {
  const agent = program
    .command('agent')
    .summary('Run the agent of this host, or talk to the one that runs')
    .description('Run the agent of this host, or talk to the one that runs. Without a command: run.');
  agent
    .command('run', { isDefault: true })
    .summary('Run the agent of this host')
    .requiredOption('--config <FILE>', 'YAML file of the agent')
    .action(async (options: { config: string }) => {
      const { runAgent } = await import('#agent/main.ts');
      const running = await runAgent(options.config);
      await stopSignal();
      await running.stop();
    });
  withSocket(
    agent
      .command('status')
      .summary('What the agent wants and what the kernel has')
      .option('-a, --all', 'Show objects that are as desired, too'),
  ).action(async (options: AgentOptions & { all?: boolean }) => {
    const format = formatOf(options);
    const status = await ask(world, options, { method: 'GET', path: '/v1/status' });
    world.out(format === 'table' ? statusText(status, options.all === true) : await dump(status, format));
  });
  addCheck(agent, world);
  addEndpointCommands(agent, world);
}
