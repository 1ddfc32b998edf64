/** `romana network reserve` and `unreserve`: ranges that are never given out. */
import type { Command } from 'commander';
import { formatCidr, parseCidr } from '#core/address/index.ts';
import { asUsage } from '../exit.ts';
import { formatOf, writeObject } from '../output.ts';
import { readInteger } from '../values.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

interface Guarded extends ClientOptions {
  readonly ifRevision?: string;
}

function guard({ ifRevision }: Guarded): { ifRevision?: number } {
  return ifRevision === undefined ? {} : { ifRevision: readInteger('--if-revision', ifRevision) };
}

const canonical = (text: string): string => asUsage(() => formatCidr(parseCidr(text)));

function command(program: Command, verb: string, summary: string): Command {
  return group(program, 'network', '')
    .command(verb)
    .summary(summary)
    .argument('<name>', 'Name of the network')
    .argument('<cidr>', 'Range inside the network, e.g. 10.1.0.0/24; one address is a /32 or /128')
    .option('--if-revision <N>', 'Refuse unless the network has this revision');
}

export function addReserve(program: Command, world: World): void {
  const reserve = command(program, 'reserve', 'Reserve a range of a network: it is never given out')
    .description(
      'Reserve a range of a network: it is never given out. A wider range swallows narrower ones; something must be left of the network.',
    )
    .option('--keep-live', 'Although endpoints hold addresses in it; they keep them until they go');
  withServer(reserve).action(
    async (name: string, cidr: string, options: Guarded & { keepLive?: boolean }) => {
      formatOf(options);
      const body = { cidr: canonical(cidr), keepLive: options.keepLive === true };
      const answer = await withClient(world, options, (client) =>
        client.networkReserve({ params: { name }, query: guard(options), body }),
      );
      await writeObject(world, 'network', answer, options);
    },
  );
  const unreserve = command(program, 'unreserve', 'Give a reserved range back, exactly as it was reserved');
  unreserve.description('Give a reserved range back, exactly as it was reserved.');
  withServer(unreserve).action(async (name: string, cidr: string, options: Guarded) => {
    formatOf(options);
    const params = { name, cidr: canonical(cidr) };
    const answer = await withClient(world, options, (client) =>
      client.networkUnreserve({ params, query: guard(options) }),
    );
    await writeObject(world, 'network', answer, options);
  });
}
