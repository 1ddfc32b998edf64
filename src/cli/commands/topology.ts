/** `romana topology apply`, and how a topology is shown. */
import type { Command } from 'commander';
import type { TopologyInput } from '#contract/model.ts';
import { readDocument } from '../document.ts';
import { dump, formatOf, type Item, type OutputOptions, table } from '../output.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

interface Aggregate {
  readonly path: string;
  readonly network: string;
  readonly cidr: string;
  readonly leaf: boolean;
}

export async function writeTopology(world: World, topology: Item, options: OutputOptions): Promise<void> {
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

export function addTopologyApply(program: Command, world: World): void {
  const command = group(program, 'topology', '')
    .command('apply')
    .summary('Replace the prefix groups; refused if a host would move')
    .description('Replace the prefix groups; refused if a host would move.')
    .argument('<file>', 'YAML or JSON with `groups`; - is standard input')
    .option('--if-revision <N>', 'Refuse unless the topology has this revision');
  withServer(command).action(async (file: string, options: ClientOptions & { ifRevision?: string }) => {
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
