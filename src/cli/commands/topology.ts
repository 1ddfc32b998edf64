/** `romana topology`: files that are judged here, without a server, and what the server has of them. */
import { writeFileSync } from 'node:fs';
import type { Command } from 'commander';
import type { Client } from '#contract/client.ts';
import type { TopologyDiff, TopologyInput } from '#contract/topology.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Issue, ShownTopology } from '#core/plan/topology/index.ts';
import { exitCodes, usage } from '../exit.ts';
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
  readonly topology?: string;
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
  const several = aggregates.some((a) => a.topology !== undefined);
  const fabrics = fabricsOf(topology);
  const titles = [
    ...(several ? ['TOPOLOGY'] : []),
    'GROUP',
    'NETWORK',
    'AGGREGATE',
    'HOLDS',
    ...(fabrics.size === 0 ? [] : ['FABRIC', 'DEVICES']),
  ];
  const rows = aggregates.map((a) => [
    ...(several ? [a.topology ?? '-'] : []),
    several && a.path === '' ? '-' : a.path,
    a.network,
    a.cidr,
    a.leaf ? 'hosts' : 'groups',
    ...(fabrics.size === 0 ? [] : (fabrics.get(`${a.topology ?? ''} ${a.path}`) ?? ['-', ''])),
  ]);
  const tops = [...fabrics].flatMap(([key, [fabric, devices]]) =>
    key.endsWith(' ') && devices !== '' && !aggregates.some((a) => `${a.topology ?? ''} ${a.path}` === key)
      ? [[...(several ? [key.trimEnd()] : []), '-', '-', '-', 'groups', fabric, devices]]
      : [],
  );
  world.out(table(options.headers === false ? undefined : titles, [...tops, ...rows]));
}

/** Fabric and devices by topology and path; empty: nothing is stated. A newer server may send more than is known here. */
function fabricsOf(topology: Item): Map<string, readonly [string, string]> {
  const all = new Map<string, readonly [string, string]>();
  let stated = false;
  const look = (name: string, path: string, at: Item, above: string): void => {
    const { fabric, devices, groups } = at;
    const kind = isItem(fabric) ? String(fabric['kind']) : above;
    const names = itemsOf(devices).map((device) => String(device['name']));
    stated ||= kind !== '-' || names.length > 0;
    all.set(`${name} ${path}`, [kind, names.join(', ')]);
    for (const group of itemsOf(groups)) {
      const own = String(group['name']);
      look(name, path === '' ? own : `${path}/${own}`, group, kind);
    }
  };
  const further = itemsOf(topology['further']);
  // Aggregates name their topology only where there are several.
  for (const tree of [topology, ...further]) {
    const { name } = tree;
    look(further.length === 0 ? '' : typeof name === 'string' ? name : 'default', '', tree, '-');
  }
  return stated ? all : new Map();
}

function isItem(value: unknown): value is Item {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function itemsOf(value: unknown): Item[] {
  return Array.isArray(value) ? value.filter(isItem) : [];
}

/** Read, judged and planned; every mistake is told with its place. */
export async function readTopologyFile(
  world: World,
  file: string,
): Promise<{ source: Source; shown: ShownTopology; hosts: number; notes: PlacedFinding[] }> {
  const [{ placeFindings, readSource }, { planTopology, readTopology, showTopology }] = await Promise.all([
    import('../source.ts'),
    import('#core/plan/topology/index.ts'),
  ]);
  const source = await readSource(file, () => world.stdin());
  const { file: read, issues, notes } = readTopology(source.value);
  await demand(source, issues);
  const planned = planTopology(read);
  await demand(source, planned.issues);
  const hosts = new Set(planned.plan.places.map(({ host }) => host.name)).size;
  const all = placeFindings(source, [...notes, ...planned.notes]);
  return { source, shown: showTopology(planned.plan), hosts, notes: all };
}

function writeNotes(world: World, notes: readonly PlacedFinding[]): void {
  for (const { at, message } of notes) world.err(`note: ${at}: ${message}\n`);
}

async function check(world: World, file: string, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  const { source, shown, hosts, notes } = await readTopologyFile(world, file);
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
  const { shown, notes } = await readTopologyFile(world, file);
  if (options.quiet === true) return world.out(shown.groups.map(({ path }) => `${path}\n`).join(''));
  if (format !== 'table') return world.out(await dump(shown, format));
  writeNotes(world, notes);
  const several = new Set(shown.groups.map(({ topology }) => topology)).size > 1;
  const stated = [...shown.topologies, ...shown.groups].some(
    ({ fabric, devices }) => fabric !== null || devices.length > 0,
  );
  const tops = shown.topologies
    .filter(({ name, devices }) => {
      const whole = shown.groups.some(({ topology, path }) => topology === name && path === '');
      return devices.length > 0 && !whole;
    })
    .map(({ name, fabric, devices }) => [
      ...(several ? [name] : []),
      '-',
      '-',
      '-',
      'groups',
      fabric ?? '-',
      devices.join(', '),
      '-',
    ]);
  const titles = [
    ...(several ? ['TOPOLOGY'] : []),
    'GROUP',
    'NETWORK',
    'AGGREGATE',
    'HOLDS',
    ...(stated ? ['FABRIC', 'DEVICES'] : []),
    'HOSTS (HOST ID)',
  ];
  const rows = shown.groups.flatMap(({ topology, path, holds, networks, hostIds, fabric, devices }) =>
    networks.map(({ network, cidr }) => [
      ...(several ? [topology ?? '-'] : []),
      path === '' ? '-' : path,
      network,
      cidr,
      holds,
      ...(stated ? [fabric ?? '-', devices.join(', ')] : []),
      someHosts(hostIds.filter((one) => one.network === network)),
    ]),
  );
  if (rows.length === 0) return world.err('The file has no network with a layout.\n');
  world.out(table(options.headers === false ? undefined : titles, [...tops, ...rows]));
}

function someHosts(hosts: readonly { readonly host: string; readonly ids: readonly number[] }[]): string {
  const most = 8;
  const texts = hosts.slice(0, most).map(({ host, ids }) => `${host} (${ids.join(', ')})`);
  return [...texts, ...(hosts.length > most ? [`and ${hosts.length - most} more`] : [])].join(', ') || '-';
}

export function addTopologyCommands(
  program: Command,
  world: World,
  setExitCode: (code: number) => void,
): void {
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
      .command('diff')
      .summary('What applying a file would change, or what is in its way')
      .description(
        'What applying a file would change, or what is in its way. Exit status 1: something is in its way. Changes nothing.',
      )
      .argument('<file>', fileHelp),
  ).action(async (file: string, options: ClientOptions) => {
    const answer = await ask(world, file, options, (client, body) => client.topologyDiff({ body }));
    await writeDiff(world, answer, options);
    if (answer.blocked !== null) setExitCode(exitCodes.failed);
  });

  withServer(
    topology
      .command('apply')
      .summary('Make networks, prefix groups and hosts what a file says; refused if a host would move')
      .description(
        'Create and change networks, prefix groups and hosts as a file says, all or nothing. What the file does not name stays. Refused if the host ids of a host would move: `--drain` shows what to do first.',
      )
      .argument('<file>', fileHelp)
      .option('--if-revision <N>', 'Refuse unless the topology has this revision')
      .option('--drain', 'Apply nothing: show the steps, in order, after which the file can be applied'),
  ).action(async (file: string, options: ClientOptions & { ifRevision?: string; drain?: boolean }) => {
    if (options.drain === true) {
      const answer = await ask(world, file, options, (client, body) => client.topologyDiff({ body }));
      return writeSteps(world, answer, file, options);
    }
    const query =
      options.ifRevision === undefined
        ? {}
        : { ifRevision: readInteger('--if-revision', options.ifRevision) };
    const answer = await ask(world, file, options, (client, body) => client.topologyApply({ query, body }));
    await writeTopology(world, answer, options);
  });

  withServer(
    topology
      .command('export')
      .summary('Print the file that describes what the server has')
      .description(
        'Print the topology file of what the server has: networks, prefix groups and hosts. Applied to the same server it changes nothing; applied to an empty one it makes the same.',
      )
      .argument('[file]', 'Where to write it, a file that is not there yet; - or left out: standard output'),
  ).action(async (file: string | undefined, options: ClientOptions) => {
    const format = formatOf(options);
    const answer = await withClient(world, options, (client) => client.topologyExport());
    const text = await dump(answer, format === 'json' || file?.endsWith('.json') === true ? 'json' : 'yaml');
    if (file === undefined || file === '-') world.out(text);
    else writeNew(file, text);
  });
}

/** Never over a file that is there: it may hold what somebody edited. */
function writeNew(file: string, text: string): void {
  try {
    writeFileSync(file, text, { flag: 'wx' });
  } catch (error) {
    const exists = error instanceof Error && 'code' in error && error.code === 'EEXIST';
    const reason = exists ? 'it is there already; name another' : String(error);
    throw usage(`Cannot write ${file}: ${reason}.`);
  }
}

/** Asks the server about a file that was found valid here; what the server refuses in it has its place in the file, too. */
export async function ask<T>(
  world: World,
  file: string,
  options: ClientOptions,
  question: (client: Client, body: TopologyInput) => Promise<T>,
): Promise<T> {
  formatOf(options);
  const [{ placeFindings, readSource }, { readTopology }] = await Promise.all([
    import('../source.ts'),
    import('#core/plan/topology/index.ts'),
  ]);
  const source = await readSource(file, () => world.stdin());
  const { issues, notes } = readTopology(source.value);
  await demand(source, issues);
  if (options.quiet !== true && formatOf(options) === 'table')
    writeNotes(world, placeFindings(source, notes));
  try {
    return await withClient(world, options, (client) => question(client, source.value as TopologyInput));
  } catch (error) {
    throw isRomanaError(error) ? await placed(source, error) : error;
  }
}

async function placed(source: Source, error: RomanaError): Promise<RomanaError> {
  const found = error.details?.['issues'];
  if (!Array.isArray(found)) return error;
  const findings = found.flatMap((one: unknown) => {
    if (typeof one !== 'object' || one === null) return [];
    const { at, key, code, message } = one as Record<string, unknown>;
    if (!Array.isArray(at) || typeof code !== 'string' || typeof message !== 'string') return [];
    return [{ path: at as (string | number)[], ...(key === true ? { key } : {}), code, message }];
  });
  const { placeFindings } = await import('../source.ts');
  const issues = placeFindings(source, findings);
  const [first] = issues;
  return first === undefined
    ? error
    : new RomanaError(error.code, `${first.at}: ${error.message}`, {
        details: { ...error.details, issues },
        cause: error,
      });
}

async function demand(source: Source, issues: readonly Issue[]): Promise<void> {
  const [first] = issues;
  if (first === undefined) return;
  const { placeFindings, refusedFile } = await import('../source.ts');
  throw refusedFile(placeFindings(source, issues), first.code);
}

async function writeDiff(world: World, diff: TopologyDiff, options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  if (format !== 'table') return world.out(await dump(diff, format));
  if (options.quiet !== true && diff.changes.length === 0 && diff.blocked === null)
    world.err('Nothing changes.\n');
  for (const { action, kind, name, fields } of diff.changes) {
    const what = fields.length === 0 ? '' : `: ${fields.join(', ')}`;
    world.out(`${action} ${kind} ${name}${options.quiet === true ? '' : what}\n`);
  }
  const { blocked } = diff;
  if (blocked === null) return;
  for (const { name, from, to } of blocked.hosts)
    world.out(`blocked host ${name}: its host ids would move (group ${from ?? '-'} to ${to ?? '-'})\n`);
  if (blocked.endpointCount > 0) world.out(`blocked by ${blocked.endpointCount} endpoints on these hosts\n`);
  world.err('Nothing can be applied so; `romana topology apply FILE --drain` shows what to do first.\n');
}

async function writeSteps(
  world: World,
  diff: TopologyDiff,
  file: string,
  options: OutputOptions,
): Promise<void> {
  const format = formatOf(options);
  const steps = diff.steps.map((step) => step.replace('topology apply FILE', `topology apply ${file}`));
  if (format !== 'table') return world.out(await dump({ ...diff, steps }, format));
  if (steps.length === 0) return world.err('Nothing is in the way; apply the file without --drain.\n');
  world.out(steps.map((step, i) => `${i + 1}. ${step}\n`).join(''));
}
