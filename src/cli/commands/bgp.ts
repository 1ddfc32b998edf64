/** `romana bgp status`: the sessions of all hosts. */
import type { Command } from 'commander';
import type { BgpSession } from '#contract/bgp.ts';
import type { BgpHost } from '#contract/routing-model.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

const titles = ['HOST', 'DAEMON', 'PEER', 'NEIGHBOUR', 'AS', 'STATE', 'SINCE', 'IN', 'OUT', 'LAST ERROR'];
/** Agents speak every 10 s. */
const lateSeconds = 60;
type Row = (string | number | null)[];

function rowsOf({ host, daemon, report }: BgpHost): Row[] {
  if (report === null) return [[host, daemon, null, null, null, 'never reported']];
  const program = [report.daemon, report.version].filter((text) => text !== null).join(' ');
  if (!report.up) {
    return [[host, program, null, null, null, 'daemon down', null, null, null, report.problem]];
  }
  if (report.sessions.length === 0) return [[host, program, null, null, null, 'no session']];
  return report.sessions.map((one) => [host, program, ...sessionCells(one)]);
}

export const sessionTitles = titles.slice(2);
export function sessionCells(one: BgpSession): Row {
  const { peer, neighbour, asn, state, seconds, prefixesIn, prefixesOut, lastError } = one;
  const since = seconds === null ? null : span(seconds);
  return [peer, neighbour, asn, state, since, prefixesIn, prefixesOut, lastError];
}

/** The two largest units: `3d4h`, `2m5s`. */
export function span(seconds: number): string {
  const units = [
    [86400, 'd'],
    [3600, 'h'],
    [60, 'm'],
    [1, 's'],
  ] as const;
  const first = units.findIndex(([length]) => seconds >= length);
  if (first === -1) return '0s';
  let left = seconds;
  const parts = units.slice(first, first + 2).map(([length, unit]) => {
    const count = Math.floor(left / length);
    left -= count * length;
    return count === 0 ? '' : `${count}${unit}`;
  });
  return parts.join('');
}

/** What the table has no column for: why a daemon that answers is not as it should be, and who has said nothing. */
function remarks(items: readonly BgpHost[]): string {
  const problems = items.flatMap(({ host, report, ageSeconds }) => [
    ...(report?.up === true && report.problem !== null ? [`host ${host}: ${report.problem}\n`] : []),
    ...(report !== null && (ageSeconds ?? 0) > lateSeconds
      ? [`host ${host}: told ${span(ageSeconds ?? 0)} ago; its agent has been silent since.\n`]
      : []),
  ]);
  return problems.length === 0 ? '' : `\n${problems.join('')}`;
}

export function addBgpCommands(program: Command, world: World): void {
  const bgp = group(program, 'bgp', "Sessions of the hosts' BGP speakers");
  const status = bgp
    .command('status')
    .summary('Peers, states, uptimes, prefixes in and out, last errors')
    .description(
      'The sessions of every host that runs a BGP speaker, as its agent last told: peer, state and how long it has lasted, prefixes in and out, last error. Hosts whose daemon does not answer, or whose agent never told of it, are listed too. The exit status is 0 whatever the states are.',
    )
    .argument('[host]', 'Only this host');
  withServer(status).action(async (host: string | undefined, options: ClientOptions) => {
    const format = formatOf(options);
    const answer = await withClient(world, options, (client) => client.bgpStatus({ query: { host } }));
    const { items } = answer;
    if (options.quiet === true) world.out(items.map((one) => `${one.host}\n`).join(''));
    else if (format !== 'table') world.out(await dump(answer, format));
    else if (items.length === 0) world.err(`No BGP: ${noneText(host)}\n`);
    else {
      const headers = options.headers !== false;
      world.out(table(headers ? titles : undefined, items.flatMap(rowsOf)) + (headers ? remarks(items) : ''));
    }
  });
}

function noneText(host: string | undefined): string {
  const how = 'state `fabric: {kind: bgp, …}` in the topology file (docs/topology.md)';
  return host === undefined
    ? `no prefix group says that its hosts speak it; ${how}.`
    : `the groups of host ${host} do not say that it speaks it; ${how}.`;
}
