/** `romana ipam check` and `release`: do the records of addresses agree, and giving back what leaked. */
import type { Command } from 'commander';
import type { IpamCheck } from '#contract/ipam.ts';
import { readDocument } from '../document.ts';
import { exitCodes, usage } from '../exit.ts';
import { dump, formatOf, table } from '../output.ts';
import type { World } from '../world.ts';
import { type ClientOptions, group, withClient, withServer } from './common.ts';

type Leak = NonNullable<IpamCheck['findings'][number]['leak']>;

/** Of hosts that could not be compared: not a finding, but no agreement either. */
function unknownText({ unknown = [] }: IpamCheck): string {
  return unknown.map(({ host, reason }) => `unknown: host ${host}: ${reason}\n`).join('');
}

function checkText({ checked, findings }: IpamCheck, headers: boolean): string {
  const counts = `${checked.allocations} allocations, ${checked.endpoints} endpoints, ${checked.hosts} hosts, ${checked.networks} networks`;
  if (findings.length === 0) return `All records agree: ${counts}.\n`;
  const rows = findings.map(({ code, message, remedy }) => [code, message, remedy]);
  const summary = `${findings.length} ${findings.length === 1 ? 'finding' : 'findings'} in ${counts}.\n`;
  return `${table(headers ? ['CODE', 'FINDING', 'WHAT TO DO'] : undefined, rows)}${headers ? summary : ''}`;
}

/** What a saved report lists as leaked, each name once. */
export function leaksOf(document: Readonly<Record<string, unknown>>): Leak[] {
  const { findings } = document;
  if (!Array.isArray(findings)) {
    throw usage('This is no report: save one with `romana ipam check -o json`.');
  }
  const leaks = (findings as Partial<IpamCheck['findings'][number]>[]).flatMap(({ leak }) =>
    leak === undefined || leak === null ? [] : [leak],
  );
  return [...new Map(leaks.map((leak) => [`${leak.key} ${leak.seq}`, leak])).values()];
}

/** As many as the server takes at once. */
const batch = 1000;

export function addIpamCheck(program: Command, world: World, setExitCode: (code: number) => void): void {
  const ipam = group(program, 'ipam', '');
  const check = ipam
    .command('check')
    .summary('Compare all records of addresses with each other, with agents and with kernels')
    .description(
      'Compare all records of addresses with each other (owners, endpoints, blocks, ids, ranges) and with what agents say that they hold and have in their kernels. Changes nothing. The exit status is 1 when something is found; a host that is away is unknown, not wrong.',
    );
  withServer(check).action(async (options: ClientOptions) => {
    const format = formatOf(options);
    const report = await withClient(world, options, (client) => client.ipamCheck());
    if (options.quiet === true) world.out(report.findings.map(({ code }) => `${code}\n`).join(''));
    else
      world.out(
        format === 'table'
          ? checkText(report, options.headers !== false) + unknownText(report)
          : await dump(report, format),
      );
    if (report.findings.length > 0) setExitCode(exitCodes.failed);
  });
  const release = ipam
    .command('release')
    .summary('Release what a saved report of `ipam check` lists as leaked')
    .description(
      'Release what a saved report of `ipam check -o json` lists as leaked. Each is released only if it is still the allocation that the report saw; what changed since is skipped.',
    )
    .requiredOption('--from-report <FILE>', 'The report; - is standard input');
  withServer(release).action(async (options: ClientOptions & { fromReport: string }) => {
    const format = formatOf(options);
    const leaks = leaksOf(await readDocument(options.fromReport, () => world.stdin()));
    const released: string[] = [];
    const skipped: { key: string; reason: string }[] = [];
    await withClient(world, options, async (client) => {
      for (let i = 0; i < leaks.length; i += batch) {
        const answer = await client.ipamRelease({ body: { leaks: leaks.slice(i, i + batch) } });
        released.push(...answer.released);
        skipped.push(...answer.skipped);
      }
    });
    if (options.quiet === true) world.out(released.map((key) => `${key}\n`).join(''));
    else if (format !== 'table') world.out(await dump({ released, skipped }, format));
    else {
      for (const key of released) world.out(`${key} released\n`);
      for (const { key, reason } of skipped) world.out(`${key} skipped: ${reason}\n`);
      if (leaks.length === 0) world.out('The report lists no leak.\n');
    }
  });
}
