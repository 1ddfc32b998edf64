/** `romana agent check`: is this host fit to run an agent? Changes nothing, and needs neither agent nor server. */
import type { Command } from 'commander';
import type { Finding } from '#agent/preflight.ts';
import { parseAddress, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { asUsage } from '../exit.ts';
import { dump, formatOf, type OutputOptions, table } from '../output.ts';
import type { World } from '../world.ts';
import { withOutput } from './common.ts';

interface CheckOptions extends OutputOptions {
  readonly network?: readonly string[];
  readonly address?: readonly string[];
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

async function findings(options: CheckOptions): Promise<Finding[]> {
  const subject = asUsage(() => ({
    networks: (options.network ?? []).map((text) => ({ name: text, cidr: parseCidr(text) })),
    nodeAddresses: (options.address ?? []).map((text) => parseAddress(text)),
    now: Date.now(),
  }));
  const [{ preflight }, { collectPreflight }, { createRunner }, { kernelFiles }] = await Promise.all([
    import('#agent/preflight.ts'),
    import('#agent/preflight-collect.ts'),
    import('#agent/exec.ts'),
    import('#agent/files.ts'),
  ]);
  return [...preflight(await collectPreflight(createRunner(), kernelFiles, subject))];
}

/** The findings are the answer; that one of them refuses is the failure. */
export async function report(world: World, found: readonly Finding[], options: OutputOptions): Promise<void> {
  const format = formatOf(options);
  if (options.quiet === true) world.out(found.map(({ code }) => `${code}\n`).join(''));
  else if (format !== 'table') world.out(await dump(found, format));
  else if (found.length === 0) world.out('This host is fit to run an agent.\n');
  else {
    const rows = found.map(({ severity, code, message, remedy }) => [severity, code, message, remedy]);
    world.out(table(options.headers === false ? undefined : ['SEVERITY', 'CODE', 'FINDING', 'REMEDY'], rows));
  }
  const refused = found.filter(({ severity }) => severity === 'refuse').map(({ code }) => code);
  if (refused.length > 0) {
    throw new RomanaError(
      'preflight_failed',
      `This host cannot run an agent: ${refused.join(', ')}; the findings say what to do.`,
      { details: { findings: refused } },
    );
  }
}

export function addCheck(agent: Command, world: World): void {
  const command = agent
    .command('check')
    .summary('Whether this host is fit to run an agent, reason by reason')
    .option('--network <CIDR>', 'Range of a Romana network to check for clashes; may be repeated', collect)
    .option('--address <ADDRESS>', 'Underlay address that this host must have; may be repeated', collect);
  withOutput(command).action(async (options: CheckOptions) => {
    formatOf(options);
    await report(world, await findings(options), options);
  });
}
