/** `romana status`, `version` and `errors`. */
import type { Command } from 'commander';
import type { Status } from '#contract/model.ts';
import { catalogue, type ErrorCode } from '#core/errors.ts';
import { version } from '#core/version.ts';
import { exitCodeOfCode, usage } from '../exit.ts';
import { dump, formatOf, type OutputOptions, pairs, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withClient, withOutput, withServer } from './common.ts';

function statusText(status: Status, headers: boolean): string {
  const { counts } = status;
  const head = pairs([
    ['server', `version ${status.version}, revision ${status.revision} of ${status.incarnation}`],
    [
      'objects',
      Object.entries(counts)
        .map(([kind, n]) => `${n} ${kind}`)
        .join(', '),
    ],
  ]);
  const waiting = `${beginningText(status.waiting)}${retiringText(status.retiring)}`;
  if (status.hosts.length === 0) return `${head}${waiting}`;
  const titles = ['HOST', 'JOINED', 'APPLIED', 'CURRENT', 'ENDPOINTS', 'SEEN', 'VERSION', 'PROBLEMS'];
  const rows = status.hosts.map((host) => [
    host.name,
    host.joined,
    host.applied?.revision,
    host.current,
    host.endpoints,
    host.seenAt,
    host.version,
    host.problems.map((problem) => `${problem.message} (${problem.code})`).join('; '),
  ]);
  return `${head}\n${table(headers ? titles : undefined, rows)}${waiting}`;
}

/** A restored control plane that does not know yet what was given out. */
function beginningText(waiting: Status['waiting']): string {
  if (waiting === undefined) return '';
  return `\nrestored, gives out nothing since ${waiting.since}: waits to hear from ${some(waiting.hosts)}\n`;
}

/** Ids that nobody can have yet, and who is the reason. An older server does not tell. */
function retiringText(retiring: Status['retiring'] | undefined): string {
  const lines = (retiring ?? []).map(({ field, id, network, owner, resting, waitingFor, heldBy }) => {
    const why = [
      ...(resting ? ['rests'] : []),
      ...(waitingFor.length === 0 ? [] : [`waits for ${some(waitingFor)}`]),
      ...(heldBy.length === 0 ? [] : [`endpoints left on ${some(heldBy)}`]),
    ];
    return `  ${field} id ${id} of network ${network}, once ${owner}: ${why.join('; ')}\n`;
  });
  return lines.length === 0 ? '' : `\nids of deleted owners, not free yet\n${lines.join('')}`;
}

function some(hosts: readonly string[]): string {
  const more = hosts.length - 10;
  return more > 0 ? `${hosts.slice(0, 10).join(', ')} and ${more} more` : hosts.join(', ');
}

export function addStatusCommands(program: Command, world: World): void {
  withServer(program.command('status').summary('Revision, counts, and what each host has applied')).action(
    async (options: ClientOptions) => {
      const format = formatOf(options);
      const status = await withClient(world, options, (client) => client.status());
      if (options.quiet === true) world.out(status.hosts.map((host) => `${host.name}\n`).join(''));
      else
        world.out(
          format === 'table' ? statusText(status, options.headers !== false) : await dump(status, format),
        );
    },
  );
  program
    .command('version')
    .summary('Version of this program')
    .action(() => world.out(`${version}\n`));
  const errors = program
    .command('errors')
    .summary('Error codes and what they mean')
    .argument('[code]', 'Only this code');
  withOutput(errors).action(async (code: string | undefined, options: OutputOptions) => {
    const format = formatOf(options);
    if (code !== undefined && !Object.hasOwn(catalogue, code)) {
      throw usage(`There is no error code ${JSON.stringify(code)}; romana errors lists them.`);
    }
    const codes = (Object.keys(catalogue) as ErrorCode[]).filter(
      (known) => code === undefined || known === code,
    );
    const rows = codes.map((known) => {
      const { status, summary } = catalogue[known];
      return { code: known, status, exit: exitCodeOfCode(known, status), summary };
    });
    if (options.quiet === true) world.out(rows.map((row) => `${row.code}\n`).join(''));
    else if (format !== 'table') world.out(await dump(rows, format));
    else {
      const cells = rows.map((row) => [row.code, row.status, row.exit, row.summary]);
      world.out(table(options.headers === false ? undefined : ['CODE', 'HTTP', 'EXIT', 'MEANING'], cells));
    }
  });
}
