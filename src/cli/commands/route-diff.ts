/** `romana route diff`: before a topology file is applied, or between a device's exported configuration and what it should have now. */
import type { Command } from 'commander';
import type { RouteDiff } from '#contract/routing-model.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { exitCodes, usage } from '../exit.ts';
import { dump, formatOf } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, withServer } from './common.ts';
import { sinceExport } from './route-against.ts';
import { countText, nodeText } from './route-text.ts';
import { ask } from './topology.ts';

type Node = RouteDiff['nodes'][number];

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
      if (options.against !== undefined)
        return sinceExport(world, file, { ...options, against: options.against });
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

function isOver({ budget, routes }: Node): boolean {
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
    for (const node of nodes) world.out(nodeText(node) + roomText(node));
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

function roomText(node: Node): string {
  const { budget, routes } = node;
  if (budget === null || routes === null) return '';
  return `  ${routes} routes of ${budget}${isOver(node) ? ': more than it has room for' : ''}\n`;
}
