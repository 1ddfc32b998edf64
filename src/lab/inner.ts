/** The lab itself, inside the namespaces that `outer.ts` made. Everything here dies with the first process of them. */
import { spawnSync } from 'node:child_process';
import { Socket } from 'node:net';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { Lab } from './harness.ts';
import { observe, placeEndpoints } from './observe.ts';
import type { LabOptions } from './options.ts';
import { planLab } from './plan.ts';
import { failureOf } from './processes.ts';
import { planEndpoints, wholeMatrix } from './spread.ts';
import { hints, reportText, wrongLines } from './text.ts';
import { addressing, endpointsPerBlock } from './topology.ts';

export interface InnerTask {
  readonly options: LabOptions;
  readonly started: number;
  readonly command: readonly string[];
}

/** Resolves with the exit status. */
export async function runInner({ options, started, command }: InnerTask): Promise<number> {
  const say = (line: string): void => void process.stderr.write(`lab: ${line}\n`);
  let up = false;
  const interrupted = new Promise<number>((resolve) => {
    const leave = (): void => resolve(up ? 0 : 130);
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.removeAllListeners(signal);
      process.on(signal, leave);
    }
    // the outer process holds the other end: it ends when that one is told to stop, or is killed
    const line = new Socket({ fd: 3, readable: true, writable: false });
    line.on('error', leave).on('close', leave).resume();
    for (const stream of [process.stdout, process.stderr]) stream.on('error', leave);
  });
  const work = async (): Promise<number> => {
    try {
      const { lab, ok } = await show(options, started, command, say);
      if (options.once) return ok ? 0 : 1;
      up = true;
      watchProcesses(lab, say);
      return await interrupted;
    } catch (error) {
      complain(error, say);
      return 1;
    }
  };
  return Promise.race([work(), interrupted]);
}

async function show(
  options: LabOptions,
  started: number,
  command: readonly string[],
  say: (line: string) => void,
): Promise<{ lab: Lab; ok: boolean }> {
  const plan = planLab(options);
  const addresses = addressing(options.topology);
  const perBlock = endpointsPerBlock(addresses, options.growth);
  const endpoints = planEndpoints(options.endpoints, plan.hosts, perBlock);
  privateFolders();
  const lab = await Lab.start({ plan, command, say, topology: addresses, growth: options.growth });
  say(`${endpoints.length} endpoints`);
  const placed = await placeEndpoints(lab, endpoints);
  say(
    endpoints.length > wholeMatrix
      ? `probing a sample: more than ${wholeMatrix} endpoints have too many pairs for all of them`
      : 'probing every pair',
  );
  const observation = await observe(lab, placed, started);
  const { document } = observation;
  if (options.json) {
    for (const line of wrongLines(document)) say(line);
    await print(`${JSON.stringify(document)}\n`);
  } else await print(`${reportText(observation)}\n`);
  if (!options.once)
    (options.json ? process.stderr : process.stdout).write(`\n${hints(placed, options.fabric)}\n`);
  return { lab, ok: document.ok };
}

/** All names and files of the lab live on file systems that nobody else sees. FRR leaves folders in /var/tmp. */
function privateFolders(): void {
  for (const [path, mode] of [
    ['/run', 'mode=0755'],
    ['/var/tmp', 'mode=1777'],
  ] as const) {
    const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', mode, 'tmpfs', path], { encoding: 'utf8' });
    if (mount.status === 0) continue;
    throw new RomanaError(
      'kernel_refused',
      `The lab cannot mount a private ${path}: ${mount.error?.message ?? mount.stderr.trim()}`,
    );
  }
}

function watchProcesses(lab: Lab, say: (line: string) => void): void {
  for (const process of lab.processes) {
    void process.ended.then((how) => complain(failureOf(process, `ended (${how})`), say));
  }
}

function complain(error: unknown, say: (line: string) => void): void {
  if (!isRomanaError(error))
    return say(error instanceof Error ? (error.stack ?? error.message) : String(error));
  say(`${error.message} (${error.code})`);
  const log = error.details?.['log'];
  if (typeof log === 'string' && log !== '') say(`last lines of its log:\n${log}`);
}

function print(text: string): Promise<void> {
  return new Promise((resolve) => process.stdout.write(text, () => resolve()));
}
