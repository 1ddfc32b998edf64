/**
 * The daemons of a lab: BGP speakers of hosts, which their agents configure, and what switches run.
 * They live by themselves: agents and server may come and go.
 */
import { chmodSync, chownSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { SpeakerPlace, SpeakerProcess } from '#agent/speaker.ts';
import { RomanaError } from '#core/errors.ts';
import type { Daemon } from '#core/routing/fabric.ts';
import { type Daemon as Supervised, supervised } from './supervisor.ts';

export class Daemons {
  readonly #dir: string;
  readonly #logs: string;
  readonly #all = new Map<string, readonly Supervised[]>();

  constructor(stateDir: string) {
    this.#dir = join(stateDir, 'daemons');
    this.#logs = join(stateDir, 'log');
    mkdirSync(this.#dir, { recursive: true });
  }

  /** Of a host or a switch. */
  place(namespace: string, daemon: Daemon): SpeakerPlace {
    const dir = join(this.#dir, namespace);
    mkdirSync(dir, { recursive: true });
    chmodSync(dir, 0o755);
    if (daemon !== 'frr' && daemon !== 'quagga') return { dir, control: join(dir, 'control') };
    // FRR gives up root and must own the folder of its sockets
    const { uid, gid } = userOf('frr');
    chownSync(dir, uid, gid);
    return { dir, control: dir };
  }

  of(namespace: string): readonly Supervised[] {
    return this.#all.get(namespace) ?? [];
  }

  start(namespace: string, processes: readonly SpeakerProcess[]): void {
    const daemons = supervised(
      processes.map((process) => ({
        ...process,
        namespace,
        logFile: join(this.#logs, `${process.name}-of-${namespace}.log`),
      })),
    );
    this.#all.set(namespace, daemons);
    for (const daemon of daemons) daemon.start();
  }

  async end(): Promise<void> {
    await Promise.all([...this.#all.values()].flat().map((daemon) => daemon.destroy()));
  }
}

function userOf(name: string): { uid: number; gid: number } {
  for (const line of readFileSync('/etc/passwd', 'utf8').split('\n')) {
    const [user, , uid, gid] = line.split(':');
    if (user === name) return { uid: Number(uid), gid: Number(gid) };
  }
  throw new RomanaError('kernel_refused', `There is no user ${name}; install the Debian package ${name}.`);
}
