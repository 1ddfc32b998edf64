/** `romana ipam`: where the addresses are. */
import type { Command } from 'commander';
import type { IpamRow, IpamUsage } from '#contract/ipam.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

interface ShowOptions extends ClientOptions {
  readonly network?: string;
  readonly host?: string;
  readonly tenant?: string;
  readonly tree?: boolean;
  readonly tenants?: boolean;
  readonly blocks?: boolean;
}

/** What the row is about, with the blanks of its place in the tree. */
function scope(row: IpamRow): string {
  const depth = row.group === null ? 0 : row.group.split('/').length;
  if (row.level === 'network') return row.network;
  if (row.level === 'group') return `${'  '.repeat(depth)}${row.group ?? ''}`;
  if (row.level === 'host') return `${'  '.repeat(depth + 1)}host ${row.host ?? ''}`;
  if (row.level === 'tenant') return `  tenant ${row.tenant ?? ''}`;
  if (row.shared === true) return `  block ${row.host ?? '?'}/shared`;
  return `  block ${[row.host, row.tenant, row.segment].map((name) => name ?? '?').join('/')}`;
}

/** Up to 12 digits as they are, more as a power of two where it is one, else to three digits. */
export function shortAmount(text: string): string {
  if (text.length <= 12) return text;
  const value = BigInt(text);
  const bits = value.toString(2);
  if (/^10*$/.test(bits)) return `2^${bits.length - 1}`;
  return `${text[0]}.${text.slice(1, 3)}e${text.length - 1}`;
}

function usageText(usage: IpamUsage, headers: boolean): string {
  const titles = [
    'SCOPE',
    'NETWORK',
    'CIDR',
    'SIZE',
    'USED',
    'RESERVED',
    'QUARANTINED',
    'FREE',
    'STRANDED',
    'WHY',
  ];
  const rows = usage.rows.map((row) => [
    scope(row),
    row.network,
    row.cidr,
    ...[row.size, row.used, row.reserved, row.quarantined, row.free, row.stranded].map(shortAmount),
    row.why.map(({ reason, count }) => `${reason} ${shortAmount(count)}`).join(', '),
  ]);
  const named = new Set(usage.rows.flatMap(({ why }) => why.map(({ reason }) => reason)));
  const legend = Object.entries(usage.reasons).filter(([reason]) => named.has(reason));
  const text = table(headers ? titles : undefined, rows);
  if (!headers) return text;
  const stranded = legend.map(([reason, meaning]) => `  ${reason}: ${meaning}\n`);
  const blocked = (usage.blocked ?? []).map(
    ({ network, reason, what, hosts }) =>
      `  ${network} ${what}: ${reason}${hosts.length === 0 ? '' : `, waiting for ${hosts.join(', ')}`}\n`,
  );
  return [
    text,
    ...(stranded.length === 0 ? [] : ['\nStranded:\n', ...stranded]),
    ...(blocked.length === 0 ? [] : ['\nBlocked:\n', ...blocked]),
  ].join('');
}

export function addIpamCommands(program: Command, world: World): void {
  const ipam = group(program, 'ipam', 'Where the addresses are, and whether the records agree');
  const show = ipam
    .command('show')
    .summary('Count used, reserved, quarantined, free and stranded addresses')
    .description(
      'Count used, reserved, quarantined, free and stranded addresses; they add up to the size, exactly. Free is what a new endpoint of whoever the row names could get.',
    )
    .option('--network <NAME>', 'Only this network')
    .option('--tree', 'Prefix groups with the hosts in them')
    .option('--tenants', 'Every tenant, on the host ids that are held')
    .option('--blocks', 'Every block in use')
    .option('--host <NAME>', 'Only this host; with --blocks its blocks')
    .option('--tenant <NAME>', 'Only this tenant; with --blocks its blocks');
  withServer(show).action(async (options: ShowOptions) => {
    const format = formatOf(options);
    const { network, host, tenant } = options;
    const flag = (given: boolean | undefined): 'true' | 'false' => (given === true ? 'true' : 'false');
    const query = {
      network,
      host,
      tenant,
      tree: flag(options.tree),
      tenants: flag(options.tenants),
      blocks: flag(options.blocks),
    };
    const usage = await withClient(world, options, (client) => client.ipamShow({ query }));
    if (options.quiet === true) world.out(usage.rows.map((row) => `${scope(row).trim()}\n`).join(''));
    else if (format !== 'table') world.out(await dump(usage, format));
    else if (usage.rows.length === 0)
      world.err('No networks. Create one: romana network create NAME --cidr 10.0.0.0/8 --layout 8/8/4/4\n');
    else world.out(usageText(usage, options.headers !== false));
  });
}
