/** `romana server`: the control plane. */
import type { Command } from 'commander';
import { readText } from '../document.ts';
import { asUsage } from '../exit.ts';
import { stopSignal } from '../signals.ts';

interface ServerFlags {
  readonly config?: string;
  readonly dataDir?: string;
  readonly listen?: readonly string[];
  readonly name?: readonly string[];
  readonly logLevel?: string;
  readonly newIncarnation?: boolean;
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

export function addServer(program: Command): void {
  program
    .command('server')
    .summary('Run the control plane')
    .description(
      'Run the control plane. The first start makes its authority, an admin token and DIR/client.yaml.',
    )
    .option('--config <FILE>', 'YAML file with dataDir, listen, names, logLevel and vpc; options win over it')
    .option('--data-dir <DIR>', 'Where everything is kept (default: /var/lib/romana/server)')
    .option('--listen <ADDRESS:PORT>', 'Where to listen; may be repeated (default: 127.0.0.1:7443)', collect)
    .option('--name <NAME>', 'Name or address under which clients reach it; may be repeated', collect)
    .option('--log-level <LEVEL>', 'debug, info, warn, error or silent')
    .option(
      '--new-incarnation',
      'The data were restored from a copy: give out nothing until every host has said what it holds (for one start)',
    )
    .action(async (flags: ServerFlags) => {
      const text = flags.config === undefined ? '' : readText(flags.config);
      const { dataDir, listen, name: names, logLevel, newIncarnation = false } = flags;
      const [{ readConfig }, { runServer }, { vpcOfServer }] = await Promise.all([
        import('#server/config.ts'),
        import('#server/main.ts'),
        import('#integrations/aws/index.ts'),
      ]);
      const config = asUsage(() => readConfig(text, { dataDir, listen, names, logLevel }));
      const running = await runServer(config, { newIncarnation, vpc: vpcOfServer });
      await stopSignal();
      await running.stop();
    });
}
