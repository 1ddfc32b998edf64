/** `romana vpc`: the route tables of VPCs, as planned and as they are. */
import type { Command } from 'commander';
import type { VpcPlan, VpcStatus } from '#contract/vpc.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

type Plan = VpcPlan['items'][number];
type Status = VpcStatus['items'][number];
type Row = (string | number | null)[];

const planTitles = ['TABLE', 'DESTINATION', 'TARGET', 'HOST', 'ACTION', 'WHY'];
const tableTitles = ['TABLE', 'FAMILY', 'ROUTES', 'LIMIT', 'FOREIGN'];
const routerTitles = ['ROUTER', 'INSTANCE', 'ZONE', 'HEALTH', 'RANGE', 'HOSTS'];

function planRows({ tables }: Plan, changesOnly: boolean): Row[] {
  return tables.flatMap(({ table: id, routes, remove, foreign }) => [
    ...routes
      .filter(({ action }) => !changesOnly || action !== 'keep')
      .map(({ cidr, target, host, action, why }) => [id, cidr, target, host, action, why]),
    ...remove.map(({ cidr, target }) => [id, cidr, target, null, 'remove', 'nothing needs it any more']),
    ...(changesOnly ? [] : foreign).map(({ cidr, target }) => [
      id,
      cidr,
      target,
      null,
      'foreign',
      'of somebody else, never touched',
    ]),
  ]);
}

function useRows(tables: Plan['tables'] | Status['tables']): Row[] {
  return tables.flatMap(({ table: id, use }) =>
    use.map(({ family, limit, routes, foreign }) => [id, `IPv${family}`, routes, limit, foreign]),
  );
}

function routerRows(routers: Plan['routers']): Row[] {
  return routers.flatMap(({ host, instance, zone, health, ranges }) =>
    ranges.map(({ cidr, hosts }) => [host, instance, zone, health, cidr, hosts]),
  );
}

function section(headers: boolean, titles: readonly string[], rows: Row[]): string {
  return rows.length === 0 ? '' : `${headers ? '\n' : ''}${table(headers ? titles : undefined, rows)}`;
}

function problemsText(problems: Plan['problems']): string {
  return problems.map(({ code, message }) => `problem: ${code}: ${message}\n`).join('');
}

function planText(item: Plan, headers: boolean, changesOnly: boolean): string {
  const rows = planRows(item, changesOnly);
  const checks = item.checks.map(
    ({ host, interface: one }) =>
      `The source/destination check of ${one} (host ${host}) is to be switched off.\n`,
  );
  return [
    ...(headers ? [`VPC ${item.vpc} in ${item.region}\n`] : []),
    rows.length === 0
      ? headers
        ? changesOnly
          ? 'No change.\n'
          : 'No route.\n'
        : ''
      : table(headers ? planTitles : undefined, rows),
    ...(headers
      ? [
          section(true, tableTitles, useRows(item.tables)),
          section(true, routerTitles, routerRows(item.routers)),
        ]
      : []),
    ...(headers ? checks : []),
  ].join('');
}

function statusLine({ writer, drift, readAt, settledAt }: Status): string {
  if (!writer && readAt === null) return 'another server keeps the tables, or none has begun\n';
  if (drift === null) return 'not read yet\n';
  const state = drift === 0 ? 'as planned' : `${drift} ${drift === 1 ? 'change' : 'changes'} outstanding`;
  return `${state}; read ${readAt ?? 'never'}, last as planned ${settledAt ?? 'never'}\n`;
}

function statusText(item: Status, headers: boolean): string {
  const tables = table(headers ? tableTitles : undefined, useRows(item.tables));
  if (!headers) return tables;
  const { quota, calls, written, lastError } = item;
  return [
    `VPC ${item.vpc} in ${item.region}: ${statusLine(item)}`,
    `Quota: ${quota === null ? 'not known' : `${quota} routes of one family in a table`}. Calls: ${calls.made} made, ${calls.throttled} throttled, ${calls.failed} failed. Routes: ${written.created} created, ${written.replaced} replaced, ${written.deleted} deleted.\n`,
    item.tables.length === 0 ? '' : `\n${tables}`,
    section(true, routerTitles, routerRows(item.routers)),
    problemsText(item.problems),
    lastError === null
      ? ''
      : `last error: ${lastError.at} ${lastError.action}: ${lastError.code}: ${lastError.message}\n`,
  ].join('');
}

const noneText =
  'No VPC: no prefix group states one; state `fabric: {kind: vpc, …}` in the topology file (docs/vpc.md).\n';

export function addVpcCommands(program: Command, world: World): void {
  const vpc = group(program, 'vpc', 'Route tables of VPCs');
  const plan = vpc
    .command('plan')
    .summary('What would be written into the route tables, and why')
    .description(
      'Read the route tables of each VPC that the topology states and show what would be written into them, why, and how many routes there is room for. Writes nothing.',
    )
    .option('--changes', 'Only what differs from the tables as they are');
  withServer(plan).action(async (options: ClientOptions & { changes?: boolean }) => {
    const format = formatOf(options);
    const changesOnly = options.changes === true;
    const answer = await withClient(world, options, (client) => client.vpcPlan());
    const headers = options.headers !== false;
    if (options.quiet === true)
      world.out(
        answer.items.flatMap((item) => planRows(item, changesOnly).map((row) => `${row[1]}\n`)).join(''),
      );
    else if (format !== 'table') world.out(await dump(answer, format));
    else if (answer.items.length === 0) world.err(noneText);
    else {
      world.out(answer.items.map((item) => planText(item, headers, changesOnly)).join(headers ? '\n' : ''));
      for (const { problems } of answer.items) world.err(problemsText(problems));
    }
  });
  const status = vpc
    .command('status')
    .summary('Whether the route tables are as planned, who forwards, what failed')
    .description(
      'Show for each VPC whether its route tables are as planned, how full they are, which hosts forward for others and how they are, and what failed last. Asks nothing of AWS. The exit status is 0 whatever is found.',
    );
  withServer(status).action(async (options: ClientOptions) => {
    const format = formatOf(options);
    const answer = await withClient(world, options, (client) => client.vpcStatus());
    const headers = options.headers !== false;
    if (options.quiet === true) world.out(answer.items.map((item) => `${item.vpc}\n`).join(''));
    else if (format !== 'table') world.out(await dump(answer, format));
    else if (answer.items.length === 0) world.err(noneText);
    else world.out(answer.items.map((item) => statusText(item, headers)).join(headers ? '\n' : ''));
  });
}
