/** `romana route`: what hosts and devices forward where, and the configuration of devices. */
import { type Command, Option } from 'commander';
import type { RouteConfirmation, RouteExport, RouteList, RouteTable } from '#contract/routing-model.ts';
import { platforms } from '#core/routing/fabric.ts';
import { exitCodes, usage } from '../exit.ts';
import { dump, formatOf, table } from '../output.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';
import { addRouteDiff } from './route-diff.ts';
import { addRouteExplain } from './route-explain.ts';
import { passwordFrom, withPassword } from './route-password.ts';
import { hopText } from './route-text.ts';

export function addRouteCommands(program: Command, world: World, setExitCode: (code: number) => void): void {
  const route = group(program, 'route', 'Routes of hosts, switches and routers');
  addList(route, world);
  addRouteExplain(route, world);
  addExport(route, world, setExitCode);
  addRouteDiff(route, world, setExitCode);
}

function addList(route: Command, world: World): void {
  const list = route
    .command('list')
    .summary('Routes of a host or device, or of all, and why each exists')
    .description(
      'The routes that each host and device has because of Romana, with the reason of each; `default` is where the site leads everything else. Learned routes are those that the devices announce to a host over BGP.',
    )
    .argument('[host]', 'Only this host')
    .option('--device <NAME>', 'Only this switch or router');
  withServer(list).action(async (host: string | undefined, options: ClientOptions & { device?: string }) => {
    const format = formatOf(options);
    const query = { host, device: options.device };
    const answer = await withClient(world, options, (client) => client.routeList({ query }));
    if (options.quiet === true) world.out(namesOf(answer).join(''));
    else if (format !== 'table') world.out(await dump(answer, format));
    else writeList(world, answer, options.headers !== false);
    if (answer.left > 0)
      world.err(`${answer.left} more hosts or devices: name one, \`romana route list HOST\`.\n`);
  });
}

function namesOf({ items }: RouteList): string[] {
  return items.flatMap(({ routes }) => routes.map(({ cidr }) => `${cidr}\n`));
}

function writeList(world: World, { items }: RouteList, headers: boolean): void {
  if (items.length === 0) {
    return world.err('No hosts and no devices. Create a host: romana host create NAME --address ADDRESS\n');
  }
  const several = items.length > 1;
  const titles = [...(several ? ['AT'] : []), 'PREFIX', 'VIA', 'LINK', 'KIND', 'WHY'];
  const rows = items.flatMap((one) => rowsOf(one).map((row) => (several ? [one.name, ...row] : row)));
  world.out(table(headers ? titles : undefined, rows));
  for (const { name, type, routes, budget, problems } of items) {
    if (budget !== null && routes.length > budget)
      world.err(`warning: ${name}: ${amount(routes.length, budget)}\n`);
    for (const { message } of problems) world.err(`problem: ${type} ${name}: ${message}\n`);
  }
}

function rowsOf({ routes, gateways }: RouteTable): (string | null)[][] {
  const rows = routes.map(({ cidr, kind, nextHops, reason }) => [
    cidr,
    hopText(nextHops),
    linkText(nextHops),
    kind,
    reason,
  ]);
  return gateways.length === 0
    ? rows
    : [...rows, ['default', hopText(gateways), linkText(gateways), 'site', 'everything else']];
}

function linkText(hops: RouteTable['gateways']): string | null {
  return [...new Set(hops.flatMap(({ link }) => (link === null ? [] : [link])))].join(', ') || null;
}

function amount(routes: number, budget: number | null): string {
  const count = `${routes} route${routes === 1 ? '' : 's'}`;
  if (budget === null) return count;
  return `${count} of ${budget}${routes > budget ? ': more than it has room for; widen its budget or divide its group' : ''}`;
}

interface ExportOptions extends ClientOptions {
  readonly device: string;
  readonly format?: (typeof platforms)[number];
  readonly passwordFile?: string;
  readonly confirm?: string;
}

function addExport(route: Command, world: World, setExitCode: (code: number) => void): void {
  const made = route
    .command('export')
    .summary('Configuration of a switch or router: complete, minimal, in a steady order')
    .description(
      'Print the configuration that gives a switch or router its routes: complete, minimal and in a steady order, so that two of them can be compared. When the device has it, say so with --confirm and the revision that the configuration names: further host ids that waited for it can then be used. The exit status is 1 when the device has no room for all routes.',
    )
    .requiredOption('--device <NAME>', 'The switch or router')
    .addOption(
      new Option(
        '--format <FORMAT>',
        'How it is written; left out: as the topology says of the device',
      ).choices([...platforms]),
    )
    .option('--password-file <FILE>', 'Password of the BGP sessions, put in here; the server never sees it')
    .option('--confirm <REVISION>', 'Print nothing: the device has the configuration of this revision');
  withServer(made).action(async (options: ExportOptions) => {
    const { device, format, confirm } = options;
    const shape = formatOf(options);
    if (confirm !== undefined) {
      if (format !== undefined || options.passwordFile !== undefined)
        throw usage('--confirm prints no configuration; leave --format and --password-file out.');
      const body = { revision: readInteger('--confirm', confirm) };
      const answer = await withClient(world, options, (client) =>
        client.routeConfirm({ params: { device }, body }),
      );
      if (shape !== 'table') world.out(await dump(answer, shape));
      else world.out(confirmedText(answer, options.quiet === true));
      return;
    }
    const password = options.passwordFile === undefined ? undefined : passwordFrom(options.passwordFile);
    const answer = await withClient(world, options, (client) =>
      client.routeExport({ params: { device }, query: { format } }),
    );
    const text = password === undefined ? answer.text : withPassword(answer.text, password);
    world.out(shape === 'table' ? text : await dump({ ...answer, text }, shape));
    if (options.quiet !== true) world.err(summary({ ...answer, text }));
    if (answer.over) setExitCode(exitCodes.failed);
  });
}

function summary({ device, routes, budget, revision, problems, text }: RouteExport): string {
  return [
    `${device}: ${amount(routes, budget)}, revision ${revision}\n`,
    ...problems.map(({ message }) => `problem: ${message}\n`),
    ...(text.includes('ROMANA-BGP-PASSWORD')
      ? ['ROMANA-BGP-PASSWORD stands where the password belongs; --password-file FILE puts it in.\n']
      : []),
    `When the device has it: romana route export --device ${device} --confirm ${revision}\n`,
  ].join('');
}

function confirmedText({ device, revision, active, pending }: RouteConfirmation, quiet: boolean): string {
  if (quiet) return active.map((host) => `${host}\n`).join('');
  return [
    `${device} has the routes of revision ${revision}\n`,
    ...active.map((host) => `host ${host}: its further host ids can be used\n`),
    ...pending.map(
      ({ host, cidr, waitingFor }) =>
        `host ${host}: ${cidr} waits for ${waitingFor.join(', ') || 'nobody'}\n`,
    ),
  ].join('');
}
