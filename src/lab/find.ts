/** Finds running labs and runs programs inside them. No file outside a lab says that it runs; the process table does. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { RomanaError } from '#core/errors.ts';
import { STATE_DIR } from './harness.ts';

/** In the environment of the first process inside a lab, and of nothing that it starts. */
export const MARK = 'ROMANA_LAB_INNER';

/** Process ids, as seen from here, of the first processes of running labs. */
export function findLabs(proc = '/proc'): number[] {
  return readdirSync(proc)
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const status = readFileSync(`${proc}/${pid}/status`, 'utf8');
        if (!/^NSpid:.*\s1$/m.test(status)) return false;
        return readFileSync(`${proc}/${pid}/environ`, 'utf8')
          .split('\0')
          .some((entry) => entry.startsWith(`${MARK}=`));
      } catch {
        return false; // gone meanwhile, or not ours to read
      }
    })
    .map(Number)
    .sort((a, b) => a - b);
}

export function chooseLab(labs: readonly number[], wanted: string | undefined): number {
  if (wanted !== undefined) {
    const pid = labs.find((pid) => String(pid) === wanted);
    if (pid !== undefined) return pid;
    const known = labs.length === 0 ? 'no lab runs' : `these run: ${labs.join(', ')}`;
    throw new RomanaError('not_found', `No lab has the process id ${wanted}; ${known}.`);
  }
  const [pid] = labs;
  if (pid === undefined) throw new RomanaError('not_found', 'No lab runs here; start one with: romana lab');
  if (labs.length === 1) return pid;
  throw new RomanaError(
    'input_invalid',
    `Several labs run; choose one with --lab ${labs.join(' or --lab ')}.`,
  );
}

/** Runs a program in a namespace of the lab, with the terminal of this process; resolves with its exit status. */
export function runInside(pid: number, namespace: string, argv: readonly string[]): Promise<number> {
  // /run is another one inside; any other directory is the same
  const cwd = /^\/run(\/|$)/.test(process.cwd()) ? '/' : process.cwd();
  const env = {
    ...process.env,
    PATH: `${STATE_DIR}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    ROMANA_CONFIG: `${STATE_DIR}/server/client.yaml`,
    ROMANA_AGENT_SOCKET: `${STATE_DIR}/hosts/${namespace}/run/agent.sock`,
  };
  const enter = [
    '-t',
    String(pid),
    '-m',
    '-p',
    `--wdns=${cwd}`,
    '--',
    'ip',
    'netns',
    'exec',
    namespace,
    ...argv,
  ];
  return new Promise((resolve, reject) => {
    const child = spawn('nsenter', enter, { env, stdio: 'inherit' });
    // the terminal sends Ctrl-C to the child as well: it decides
    for (const signal of ['SIGINT', 'SIGQUIT'] as const)
      process.removeAllListeners(signal).on(signal, () => undefined);
    child.once('error', (error) =>
      reject(
        new RomanaError('kernel_refused', `nsenter (Debian package util-linux): ${error.message}`, {
          cause: error,
        }),
      ),
    );
    child.once('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal ?? 'SIGKILL']));
  });
}

/** The namespace that a name means: endpoints go by `tenant/segment/name` too. */
export function namespaceOf(name: string): string {
  const last = name.split('/').at(-1) ?? '';
  if (!/^[a-z0-9][-a-z0-9_.]*$/.test(last)) {
    throw new RomanaError(
      'input_invalid',
      `'${name}' is no host, switch or endpoint; try h1, leaf1, spine or acme-web-1.`,
    );
  }
  return last;
}

/** Fails with a list when the lab has no such namespace. */
export function checkNamespace(pid: number, namespace: string, proc = '/proc'): void {
  const names = readdirSync(`${proc}/${pid}/root/run/netns`).sort();
  if (names.includes(namespace)) return;
  const list = names.length > 40 ? [...names.slice(0, 40), '…'] : names;
  throw new RomanaError('not_found', `The lab has no namespace ${namespace}; it has: ${list.join(' ')}.`);
}
