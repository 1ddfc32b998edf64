/** `romana route diff`: before a topology file is applied, or between a device's exported configuration and what it should have now. */
import type { Command } from 'commander';
import type { RouteDiff } from '#contract/routing-model.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { isRomanaError } from '#core/errors.ts';
import { readDocument } from '../document.ts';
import { exitCodes, usage } from '../exit.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withClient, withServer } from './common.ts';
import { hopText } from './route-text.ts';
import { ask } from './topology.ts';

type Node = Pick<RouteDiff['nodes'][number], 'name' | 'type' | 'added' | 'removed' | 'changed'>;
type Told = Node['added'][number];

export function addRouteDiff(route: Command, world: World, setExitCode: (code: number) => void): void {
  const diff = route
    .command('diff')
    .summary('Which routes of which devices and hosts a topology file would change')
    .description(
      'Which routes of which devices and hosts applying a topology file would add, remove or change, and which BGP sessions; changes nothing. With --device and --against: what changed for that device since it was exported with --format json. Exit status 1: something is in the way of the file, or a device has no room for its routes.',
    )
    .argument('[file]', 'Topology file, YAML or JSON; - is standard input')
    .option('--device <NAME>', 'Only this switch or router')
    .option('--against <FILE>', 'A document of `route export --format json`, in place of a topology file');
  withServer(diff).action(
    async (file: string | undefined, options: ClientOptions & { device?: string; against?: string }) => {
      if (options.against !== undefined) return sinceExport(world, file, options);
      if (file === undefined)
        throw usage('Name a topology file, or --device with --against and an exported document.');
      const { device } = options;
      const whole = await ask(world, file, options, (client, body: TopologyInput) =>
        client.routeDiff({ body }),
      );
      const answer = device === undefined ? whole : onlyOf(whole, device);
      await write(world, answer, options);
      if (answer.blocked !== null || answer.nodes.some(isOver)) setExitCode(exitCodes.failed);
    },
  );
}

function isOver({ budget, routes }: RouteDiff['nodes'][number]): boolean {
  return budget !== null && (routes ?? 0) > budget;
}

function onlyOf(diff: RouteDiff, device: string): RouteDiff {
  const nodes = diff.nodes.filter(({ type, name }) => type === 'device' && name === device);
  const sum = (field: 'added' | 'removed' | 'changed') =>
    nodes.reduce((n, node) => n + node[field].length, 0);
  return {
    ...diff,
    nodes,
    devices: nodes.length,
    hosts: 0,
    added: sum('added'),
    removed: sum('removed'),
    changed: sum('changed'),
    left: 0,
  };
}

async function write(world: World, diff: RouteDiff, options: ClientOptions): Promise<void> {
  const format = formatOf(options);
  if (format !== 'table') return world.out(await dump(diff, format));
  const { nodes, blocked, left } = diff;
  if (options.quiet === true) world.out(nodes.map(({ name }) => `${name}\n`).join(''));
  else {
    for (const node of nodes) world.out(nodeText(node) + sessionText(node) + roomText(node));
    if (nodes.length > 0) world.out(countText(diff));
    else if (blocked === null) world.err('No route changes.\n');
  }
  if (left > 0)
    world.err(
      `${left} hosts were not looked at: there are too many routes to compare all of them at once.\n`,
    );
  if (blocked === null) return;
  for (const { name, from, to } of blocked.hosts)
    world.err(`blocked host ${name}: its host ids would move (group ${from ?? '-'} to ${to ?? '-'})\n`);
  world.err('The file cannot be applied so; `romana topology apply FILE --drain` shows what to do first.\n');
}

function hops({ nextHops }: Told): string {
  return nextHops.length === 0 ? 'drop' : hopText(nextHops);
}

function nodeText({ name, type, added, removed, changed }: Node): string {
  const rows = [
    ...removed.map((route) => ['  -', route.cidr, hops(route), route.reason]),
    ...changed.map(({ before, after }) => [
      '  ~',
      after.cidr,
      `${hops(before)} -> ${hops(after)}`,
      after.reason,
    ]),
    ...added.map((route) => ['  +', route.cidr, hops(route), route.reason]),
  ];
  return `${type} ${name}\n${table(undefined, rows)}`;
}

function sessionText({ presence, sessions }: RouteDiff['nodes'][number]): string {
  const lines = (sign: string, names: readonly string[]) =>
    names.map((one) => `  ${sign} BGP session ${one}\n`);
  return [
    ...(presence === 'both' ? [] : [`  ${presence === 'new' ? 'comes' : 'goes'} with the change\n`]),
    ...lines('-', sessions.removed),
    ...lines('~', sessions.changed),
    ...lines('+', sessions.added),
  ].join('');
}

function roomText(node: RouteDiff['nodes'][number]): string {
  const { budget, routes } = node;
  if (budget === null || routes === null) return '';
  return `  ${routes} routes of ${budget}${isOver(node) ? ': more than it has room for' : ''}\n`;
}

function countText({
  added,
  removed,
  changed,
  devices,
  hosts,
}: Omit<RouteDiff, 'nodes' | 'left' | 'blocked'>): string {
  const many = (count: number, noun: string) => `${count} ${noun}${count === 1 ? '' : 's'}`;
  return `${many(added, 'route')} added, ${removed} removed, ${changed} changed, on ${many(devices, 'device')} and ${many(hosts, 'host')}\n`;
}

// --- since an export

interface Exported {
  readonly device: string;
  readonly routes: readonly Told[];
}

/** What `route export --format json` wrote, or the whole answer of `-o json` around it. */
export function readExport(document: Readonly<Record<string, unknown>>, file: string): Exported {
  const { text, format } = document;
  if (typeof text === 'string' && format === 'json') {
    try {
      return readExport(JSON.parse(text) as Record<string, unknown>, file);
    } catch (error) {
      if (isRomanaError(error)) throw error;
    }
  }
  const { device, routes } = document;
  if (typeof device !== 'string' || !Array.isArray(routes)) throw noExport(file);
  return { device, routes: routes.map((route: unknown) => readRoute(route, file)) };
}

function readRoute(value: unknown, file: string): Told {
  if (typeof value !== 'object' || value === null) throw noExport(file);
  const { prefix, nextHops } = value as Record<string, unknown>;
  if (typeof prefix !== 'string' || !Array.isArray(nextHops)) throw noExport(file);
  const hopOf = (one: unknown): Told['nextHops'][number] => {
    const { address, to, link } = (one ?? {}) as Record<string, unknown>;
    if (typeof address !== 'string' || typeof to !== 'string') throw noExport(file);
    return { address, to, link: typeof link === 'string' ? link : null };
  };
  return { cidr: prefix, nextHops: nextHops.map(hopOf), why: { kind: 'own' }, reason: '' };
}

function noExport(file: string): Error {
  return usage(`${file} is no document of \`romana route export --device NAME --format json\`.`);
}

async function sinceExport(
  world: World,
  file: string | undefined,
  options: ClientOptions & { device?: string; against?: string },
): Promise<void> {
  const { against = '-' } = options;
  const format = formatOf(options);
  if (file !== undefined) throw usage('Name a topology file or --against, not both.');
  const before = readExport(await readDocument(against, () => world.stdin()), against);
  const { device = before.device } = options;
  if (device !== before.device) throw usage(`${against} is of device ${before.device}, not of ${device}.`);
  const list = await withClient(world, options, (client) => client.routeList({ query: { device } }));
  const after = (list.items[0]?.routes ?? []).map(
    ({ cidr, nextHops, why, reason }): Told => ({ cidr, nextHops, why, reason }),
  );
  const node: Node = { name: device, type: 'device', ...compare(before.routes, after) };
  const counts = {
    added: node.added.length,
    removed: node.removed.length,
    changed: node.changed.length,
  };
  if (format !== 'table') return world.out(await dump({ ...node, revision: list.revision }, format));
  const total = counts.added + counts.removed + counts.changed;
  if (options.quiet === true) world.out(total === 0 ? '' : `${device}\n`);
  else if (total === 0) world.err('No route changes.\n');
  else world.out(nodeText(node) + countText({ ...counts, devices: 1, hosts: 0, revision: list.revision }));
}

function compare(
  before: readonly Told[],
  after: readonly Told[],
): Pick<Node, 'added' | 'removed' | 'changed'> {
  const known = new Map(before.map((route) => [route.cidr, route]));
  const added = after.filter(({ cidr }) => !known.has(cidr));
  const changed = after.flatMap((route) => {
    const was = known.get(route.cidr);
    const same = was !== undefined && leads(was) === leads(route);
    return was === undefined || same ? [] : [{ before: was, after: route }];
  });
  const now = new Set(after.map(({ cidr }) => cidr));
  return { added, changed, removed: before.filter(({ cidr }) => !now.has(cidr)) };
}

function leads({ nextHops }: Told): string {
  return nextHops
    .map(({ address, link }) => `${address} ${link ?? ''}`)
    .sort()
    .join();
}
