/** The tree of commands. Loads nothing heavy: the actions do that. */
import { Command } from 'commander';
import { addAddressCommands } from './commands/address.ts';
import { addAgentCommands } from './commands/agent.ts';
import { addBgpCommands } from './commands/bgp.ts';
import { addCompletion } from './commands/completion.ts';
import { addIpamCommands } from './commands/ipam.ts';
import { addIpamCheck } from './commands/ipam-check.ts';
import { addLab } from './commands/lab.ts';
import { addObjectCommands } from './commands/objects.ts';
import { addPlanCommands } from './commands/plan.ts';
import { addReserve } from './commands/reserve.ts';
import { addRouteCommands } from './commands/route.ts';
import { addServer } from './commands/server.ts';
import { addStatusCommands } from './commands/status.ts';
import { addTopologyCommands } from './commands/topology.ts';
import { addVpcCommands } from './commands/vpc.ts';
import { exitMeanings } from './exit.ts';
import type { World } from './world.ts';

const closing = `
Configuration: --config FILE, ROMANA_CONFIG or ~/.config/romana/client.yaml with server, ca and token;
or --server, --token-file, --ca-file; or ROMANA_SERVER, ROMANA_TOKEN, ROMANA_CA_FILE.

Exit status:
${exitMeanings.map(([code, meaning]) => `  ${code}  ${meaning}`).join('\n')}`;

/** These look at every command, whatever noun comes after them. */
const needsAll = new Set(['help', '__complete']);

/** `first` is the first word of the command line. */
export function createProgram(world: World, setExitCode: (code: number) => void, first = 'help'): Command {
  const program = new Command('romana')
    .description('Multi-tenant layer-3 networks whose addresses say where an endpoint is and whose it is.')
    .enablePositionalOptions()
    .exitOverride()
    .showHelpAfterError(false)
    .configureOutput({
      writeOut: (text) => world.out(text),
      writeErr: (text) => world.err(text),
      getOutHelpWidth: () => world.columns,
      getErrHelpWidth: () => world.columns,
      outputError: () => undefined,
    })
    .configureHelp({ showGlobalOptions: false })
    .helpCommand('help [command]', 'Help on a command')
    .addHelpText('after', closing);
  program.commandsGroup('Objects:');
  addObjectCommands(program, world, (noun) => noun === first || needsAll.has(first));
  addReserve(program, world);
  addTopologyCommands(program, world, setExitCode);
  program.commandsGroup('Routes:');
  addRouteCommands(program, world, setExitCode);
  addBgpCommands(program, world);
  addVpcCommands(program, world);
  program.commandsGroup('Addresses and state:');
  addAddressCommands(program, world);
  addIpamCommands(program, world);
  addIpamCheck(program, world, setExitCode);
  addStatusCommands(program, world);
  addPlanCommands(program, world, setExitCode);
  program.commandsGroup('Programs:');
  addServer(program);
  addAgentCommands(program, world);
  addLab(program, world, setExitCode);
  program.commandsGroup('Shell:');
  addCompletion(program, world);
  return program;
}
