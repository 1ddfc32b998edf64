/** `romana lab`: a real network of several hosts on this machine. */
import type { Command } from 'commander';
import type { TopologyInput } from '#contract/topology.ts';
import type { World } from '../world.ts';
import { readTopologyFile } from './topology.ts';

interface LabFlags {
  readonly once?: boolean;
  readonly json?: boolean;
  readonly hosts?: string;
  readonly racks?: string;
  readonly endpoints?: string;
  readonly growth?: string;
  readonly topology?: string;
  readonly fabric?: string;
  readonly daemon?: string;
  readonly tor?: string;
  readonly dualHomed?: boolean;
}

export function addLab(program: Command, world: World, setExitCode: (code: number) => void): void {
  const lab = program
    .command('lab')
    .summary('A real network of several hosts in namespaces of this machine')
    .description(
      'A real network of several hosts, racks and endpoints in network namespaces of this machine. Leaves nothing behind.',
    )
    .enablePositionalOptions()
    .option('--hosts <N>', 'Hosts (default: 4)')
    .option('--racks <N>', 'Racks (default: 2)')
    .option('--endpoints <N>', 'Endpoints (default: 12)')
    .option('--topology <FILE>', 'Networks and prefix groups of a topology file instead of its own')
    .option('--fabric <KIND>', 'How hosts meet: l2, l3-static or bgp (default: l2, one link to a rack)')
    .option('--daemon <NAME>', 'BGP daemon of the hosts: bird, frr, exabgp, gobgp or quagga (default: bird)')
    .option('--tor <NAME>', 'What the switches run: bird or frr (default: bird on bgp, else static routes)')
    .option('--dual-homed', 'Two switches to a rack, and two links to a host')
    .option('--growth <N>', 'Host ids reserved for each host (default: 1)')
    .option('--once', 'Probe every pair once, say what was found, and leave')
    .option('--json', 'Print one JSON document instead of text')
    .action(async (flags: LabFlags) => {
      const { runLab } = await import('#lab/index.ts');
      const { topology: file, ...sizes } = flags;
      const topology =
        file === undefined ? null : ((await readTopologyFile(world, file)).source.value as TopologyInput);
      setExitCode(await runLab({ ...sizes, topology }));
    });
  lab
    .command('shell')
    .summary('A shell, or a command, in a namespace of the running lab')
    .argument('<name>', 'Host, switch or endpoint, e.g. h1, leaf1, control or acme/web/acme-web-1')
    .argument('[command...]', 'Command and its arguments, after --')
    .option('--lab <PID>', 'Which lab, when several run')
    .passThroughOptions()
    .action(async (name: string, command: string[], options: { lab?: string }) => {
      const { labShell } = await import('#lab/index.ts');
      setExitCode(await labShell({ name, argv: command, ...options }));
    });
  lab
    .command('exec')
    .summary('Run a command inside the running lab')
    .argument('<command...>', 'Command and its arguments, after --')
    .option('--in <NAME>', 'Namespace to run it in (default: control)')
    .option('--lab <PID>', 'Which lab, when several run')
    .passThroughOptions()
    .action(async (command: string[], options: { in?: string; lab?: string }) => {
      const { labExec } = await import('#lab/index.ts');
      setExitCode(await labExec({ argv: command, ...options }));
    });
}
