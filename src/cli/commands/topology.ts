/** `romana topology`: files that are judged here, without a server, and what the server has of them. */
import type { Command } from 'commander';
import type { TopologyInput } from '#contract/model.ts';
import type { Issue, ShownTopology } from '#core/plan/topology/index.ts';
import { readDocument } from '../document.ts';
import { dump, formatOf, type Item, type OutputOptions, table } from '../output.ts';
import type { PlacedFinding, Source } from '../source.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withOutput, withServer } from './common.ts';

interface Aggregate {
  readonly path: string;
  readonly network: string;
  readonly cidr: string;
  readonly leaf: boolean;
}

const fileHelp = 'YAML or JSON; - is standard input';

async function writeTopology(world: World, topology: Item, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  if (format !== 'table' && options.quiet !== true) return world.out(await dump(topology, format));
  const aggregates = Array.isArray(topology['aggregates']) ? (topology['aggregates'] as Aggregate[]) : [];
  if (options.quiet === true) {
    return world.out([...new Set(aggregates.map(({ path }) => `${path}\n`))].join(''));
  }
  if (aggregates.length === 0) {
    return world.err('No prefix groups: all hosts stand in one. Make some: romana topology apply FILE\n');
  }
  const titles = ['GROUP', 'NETWORK', 'AGGREGATE', 'HOLDS'];
  const rows = aggregates.map((a) => [a.path, a.network, a.cidr, a.leaf ? 'hosts' : 'groups']);
  world.out(table(options.headers === false ? undefined : titles, rows));
}

async function readFile(
  world: World,
  file: string,
): Promise<{ source: Source; shown: ShownTopology; hosts: number; notes: PlacedFinding[] }> {
  const [{ placeFindings, readSource, refusedFile }, { planTopology, readTopology, showTopology }] =
    await Promise.all([import('../source.ts'), import('#core/plan/topology/index.ts')]);
  const source = await readSource(file, () => world.stdin());
  const demand = (issues: readonly Issue[]): void => {
    if (issues[0] !== undefined) throw refusedFile(placeFindings(source, issues), issues[0].code);
  };
  const { file: read, issues, notes } = readTopology(source.value);
  demand(issues);
  const planned = planTopology(read);
  demand(planned.issues);
  const hosts = new Set(planned.plan.places.map(({ host }) => host.name)).size;
  return { source, shown: showTopology(planned.plan), hosts, notes: placeFindings(source, notes) };
}

function writeNotes(world: World, notes: readonly PlacedFinding[]): void {
  for (const { at, message } of notes) world.err(`note: ${at}: ${message}\n`);
}

async function check(world: World, file: string, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  const { source, shown, hosts, notes } = await readFile(world, file);
  const { networks, groups } = shown;
  if (format !== 'table') {
    const counts = { networks: networks.length, groups: groups.length, hosts };
    world.out(await dump({ valid: true, ...counts, notes }, format));
    return;
  }
  writeNotes(world, notes);
  if (options.quiet === true) return;
  const counted = [
    [networks.length, 'network'],
    [groups.filter(({ path }) => path !== '').length, 'group'],
    [hosts, 'host'],
  ] as const;
  const text = counted.map(([count, noun]) => `${count} ${noun}${count === 1 ? '' : 's'}`).join(', ');
  world.out(`${source.shownAs} is valid: ${text}\n`);
}

async function showFile(world: World, file: string, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  const { shown, notes } = await readFile(world, file);
  if (options.quiet === true) return world.out(shown.groups.map(({ path }) => `${path}\n`).join(''));
  if (format !== 'table') return world.out(await dump(shown, format));
  writeNotes(world, notes);
  const several = new Set(shown.groups.map(({ topology }) => topology)).size > 1;
  const titles = [
    ...(several ? ['TOPOLOGY'] : []),
    'GROUP',
    'NETWORK',
    'AGGREGATE',
    'HOLDS',
    'HOSTS (HOST ID)',
  ];
  const rows = shown.groups.flatMap(({ topology, path, holds, networks, hostIds }) =>
    networks.map(({ network, cidr }) => [
      ...(several ? [topology ?? '-'] : []),
      path === '' ? '-' : path,
      network,
      cidr,
      holds,
      someHosts(hostIds.filter((one) => one.network === network)),
    ]),
  );
  if (rows.length === 0) return world.err('The file has no network with a layout.\n');
  world.out(table(options.headers === false ? undefined : titles, rows));
}

function someHosts(hosts: readonly { readonly host: string; readonly ids: readonly number[] }[]): string {
  const most = 8;
  const texts = hosts.slice(0, most).map(({ host, ids }) => `${host} (${ids.join(', ')})`);
  return [...texts, ...(hosts.length > most ? [`and ${hosts.length - most} more`] : [])].join(', ') || '-';
}

export function addTopologyCommands(program: Command, world: World): void {
  const topology = group(program, 'topology', 'Networks and prefix groups in one file');
  withOutput(
    topology
      .command('check')
      .summary('Judge a topology file; asks no server')
      .description(
        'Judge a topology file without a server. Every mistake is shown with file, line and column; exit status 2: there are some.',
      )
      .argument('<file>', fileHelp),
  ).action((file: string, options: OutputOptions) => check(world, file, options));

  withServer(
    topology
      .command('show')
      .summary('Show the prefix groups and their aggregates, of a file or of the server')
      .description(
        'Show the prefix groups with the aggregate of each network: those of a file, without a server, or those that the server has.',
      )
      .argument('[file]', `${fileHelp}; left out: what the server has`),
  ).action(async (file: string | undefined, options: ClientOptions) => {
    if (file !== undefined) return showFile(world, file, options);
    formatOf(options);
    return writeTopology(world, await withClient(world, options, (client) => client.topologyShow()), options);
  });

  withServer(
    topology
      .command('apply')
      .summary('Replace the prefix groups; refused if a host would move')
      .description('Replace the prefix groups; refused if a host would move.')
      .argument('<file>', 'YAML or JSON with `groups`; - is standard input')
      .option('--if-revision <N>', 'Refuse unless the topology has this revision'),
  ).action(async (file: string, options: ClientOptions & { ifRevision?: string }) => {
    formatOf(options);
    const query =
      options.ifRevision === undefined
        ? {}
        : { ifRevision: readInteger('--if-revision', options.ifRevision) };
    const body = (await readDocument(file, () => world.stdin())) as TopologyInput;
    const answer = await withClient(world, options, (client) => client.topologyApply({ query, body }));
    await writeTopology(world, answer, options);
  });
}
