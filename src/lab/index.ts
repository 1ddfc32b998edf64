/** `romana lab`. See README.md. */
import { checkNamespace, chooseLab, findLabs, MARK, namespaceOf, runInside } from './find.ts';
import { type InnerTask, runInner } from './inner.ts';
import { type LabInput, labOptions } from './options.ts';
import { runOuter } from './outer.ts';
import { planLab } from './plan.ts';
import { planEndpoints } from './spread.ts';
import { addressing, endpointsPerBlock } from './topology.ts';

export { LabDocument } from './document.ts';
export type { LabInput } from './options.ts';

/** Runs a lab until it is told to stop (`once`: until it has looked at everything). Resolves with the exit status. */
export async function runLab(input: LabInput = {}): Promise<number> {
  const inherited = process.env[MARK];
  if (inherited !== undefined) {
    // what is started in here is not the lab
    delete process.env[MARK];
    process.exit(await runInner(JSON.parse(inherited) as InnerTask));
  }
  const options = labOptions(input);
  const perBlock = endpointsPerBlock(addressing(options.topology), options.growth);
  planEndpoints(options.endpoints, planLab(options).hosts, perBlock);
  const started = performance.timeOrigin;
  return runOuter({
    options,
    started,
    command: [process.execPath, ...process.execArgv, process.argv[1] ?? ''],
  });
}

/** A shell, or a command, in a namespace of a running lab. */
export async function labShell(input: {
  readonly name: string;
  readonly argv?: readonly string[] | undefined;
  readonly lab?: string | undefined;
}): Promise<number> {
  const namespace = namespaceOf(input.name);
  const argv = withoutDashes(input.argv ?? []);
  return enter(namespace, argv.length === 0 ? [process.env['SHELL'] || '/bin/sh'] : argv, input.lab);
}

/** A command in the control plane's namespace, or another. */
export async function labExec(input: {
  readonly argv: readonly string[];
  readonly in?: string | undefined;
  readonly lab?: string | undefined;
}): Promise<number> {
  return enter(namespaceOf(input.in ?? 'control'), withoutDashes(input.argv), input.lab);
}

/** The `--` before the command may have survived the parsing of the command line. */
function withoutDashes(argv: readonly string[]): readonly string[] {
  return argv[0] === '--' ? argv.slice(1) : argv;
}

async function enter(namespace: string, argv: readonly string[], lab: string | undefined): Promise<number> {
  const pid = chooseLab(findLabs(), lab);
  checkNamespace(pid, namespace);
  return runInside(pid, namespace, argv);
}
