/**
 * FRR as a speaker, and Quagga's dialect of it. It writes what it learns into the kernel, and installs none of its announcements.
 *
 * 1. A text gets its name only when FRR's own shell takes it. The file is what the daemons read when they start; a running bgpd is
 *    changed line by line, so that sessions stay.
 * 2. What bgpd runs is asked of bgpd and compared, never remembered: after a crash at any step, or a change by hand in the shell, the
 *    next apply finishes.
 * 3. Passwords reach the shell by a file that only the owner reads, never by arguments; what the shell says is repeated without them.
 * 4. Only Romana's lines are changed: the BGP router, and lists, maps and profiles of its names.
 */
import { join } from 'node:path';
import { compareCidr, parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { Change } from '../../ports.ts';
import {
  notUp,
  type Speaker,
  type SpeakerCapabilities,
  type SpeakerPlace,
  type SpeakerStatus,
} from '../../speaker.ts';
import { serially } from '../iproute2/serially.ts';
import type { SpeakerFiles } from '../speaker-files.ts';
import { absentStatus, requireFit, requirePlainPaths } from '../speaker-fit.ts';
import { readPasswords } from '../speaker-secret.ts';
import { type FrrDialect, frrConfig, withoutAnnouncements } from './config.ts';
import { difference, networksOf } from './difference.ts';
import { frrConfigPath } from './processes.ts';
import { complaintOf, isKnownVersion, sessionsOf, versionOf } from './status.ts';

export interface FrrOptions {
  readonly run: Runner;
  readonly files: SpeakerFiles;
  /** `control` is the folder of the daemons' sockets. */
  readonly place: SpeakerPlace;
  readonly dialect?: FrrDialect;
}

const able: SpeakerCapabilities = {
  fib: true,
  keepsRoutes: false,
  bfd: true,
  unnumbered: true,
  passwords: true,
  ttlSecurity: true,
};

export function createFrrSpeaker({ run, files, place, dialect = 'frr' }: FrrOptions): Speaker {
  requirePlainPaths(place);
  const capabilities = dialect === 'frr' ? able : { ...able, bfd: false, unnumbered: false };
  const path = frrConfigPath(place);
  const program = dialect === 'frr' ? 'FRR' : 'Quagga';
  const oneAtATime = serially();
  /** Lines that this version of FRR spells otherwise than we write them: found once, then overlooked. */
  let overlooked: ReadonlySet<string> = new Set();

  const shell = async (...argv: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
    const base = ['vtysh', '--vty_socket', place.control, '--config_dir', place.dir];
    return await run([...base, ...argv], { okCodes: 'any', timeoutMs: 30_000 });
  };

  /** Null: bgpd does not answer. */
  const readRunning = async (daemon: 'bgpd' | 'bfdd'): Promise<string | null> => {
    try {
      const answer = await shell('-d', daemon, '-c', 'show version', '-c', 'show running-config');
      return answer.code === 0 ? answer.stdout : null;
    } catch (error) {
      if (!isRomanaError(error)) throw error;
      return null;
    }
  };

  const readAll = async (wanted: string): Promise<string | null> => {
    const bgp = await readRunning('bgpd');
    if (bgp === null || !/^ profile romana-/m.test(wanted)) return bgp;
    const bfd = await readRunning('bfdd');
    // Lists are shown by both; only bgpd's count.
    return bfd === null ? null : `${bgp}\n${/^bfd\n( .*\n)*/m.exec(bfd)?.[0] ?? ''}`;
  };

  /** The daemon's own program, asked or checking, never started. Throws speaker_unfit. */
  const askProgram = async (...argv: string[]): Promise<string> => {
    const folders = dialect === 'frr' ? ['/usr/lib/frr'] : ['/usr/lib/frr', '/usr/lib/quagga', '/usr/sbin'];
    for (const folder of folders) {
      try {
        const { stdout, stderr } = await run([`${folder}/bgpd`, ...argv], { okCodes: 'any' });
        return `${stdout}\n${stderr}`;
      } catch (error) {
        if (!isRomanaError(error)) throw error;
      }
    }
    throw new RomanaError('speaker_unfit', `${program} is missing; install the Debian package frr.`);
  };
  const requireKnown = async (): Promise<string> => known(await askProgram('--version'), dialect);

  const put = async (text: string, secrets: readonly string[]): Promise<void> => {
    const fresh = `${path}.new`;
    await files.write(fresh, text);
    const { code, stdout, stderr } = await shell('-C', '-f', fresh);
    // The shell knows what a line looks like, bgpd what it means.
    const complaint = code === 0 ? complaintOf(await askProgram('-C', '-f', fresh)) : `${stderr}${stdout}`;
    if (complaint !== '') {
      await files.remove(fresh);
      throw refused(complaint, secrets);
    }
    await files.rename(fresh, path);
  };

  const bring = async (text: string, secrets: readonly string[]): Promise<Change[]> => {
    const before = await files.read(path);
    const running = await readAll(text);
    if (running === null) await requireKnown();
    else known(running, dialect);
    const changes: Change[] = [];
    if (before !== text) {
      await put(text, secrets);
      changes.push({ action: before === null ? 'create' : 'update', kind: 'speaker', object: path });
    }
    if (running === null) throw unavailable();
    const step = difference(running, text, overlooked);
    if (step === null) return changes;
    try {
      await change(step.commands, secrets);
    } catch (error) {
      if (before !== null && before !== text && isRomanaError(error)) await goBack(before, secrets);
      throw error;
    }
    const after = await readAll(text);
    if (after === null) throw unavailable();
    overlooked = new Set([...overlooked, ...(difference(after, text, overlooked)?.keys ?? [])]);
    changes.push({ action: 'update', kind: 'speaker', object: 'sessions' });
    return changes;
  };

  /** Half a change is none: what was in force is put back, in the file and, as far as bgpd takes it, in bgpd. */
  const goBack = async (before: string, secrets: readonly string[]): Promise<void> => {
    await files.write(path, before);
    const running = await readAll(before);
    const back = running === null ? null : difference(running, before, overlooked);
    if (back !== null) await change(back.commands, secrets).catch(() => {});
  };

  const change = async (commands: string, secrets: readonly string[]): Promise<void> => {
    const file = join(place.dir, 'change.conf');
    await files.write(file, commands);
    try {
      const { code, stdout, stderr } = await shell('-f', file);
      if (code !== 0) throw refused(`${stderr}${stdout}`, secrets);
    } finally {
      await files.remove(file);
    }
  };

  const unavailable = (): RomanaError =>
    new RomanaError(
      'speaker_unavailable',
      `${program} does not answer in ${place.control}; its configuration is in place: start zebra and bgpd (and bfdd where BFD is on), or restart them where only a socket is gone.`,
    );

  const refused = (words: string, secrets: readonly string[]): RomanaError =>
    new RomanaError(
      'speaker_refused',
      `${program} refused what Romana wrote for it (${redacted(words, secrets)}); what it had before stays in force.`,
    );

  const status = async (): Promise<SpeakerStatus> => {
    const running = await readRunning('bgpd');
    if (running === null) return await absent();
    const version = versionOf(running);
    if (version === null || !isKnownVersion(version, dialect))
      return notUp('unfit', version, unknownVersion(version));
    const { code, stdout } = await shell('-d', 'bgpd', '-c', 'show bgp neighbors json');
    const text = await files.read(path);
    const other = text === null || difference(running, withoutBfd(text), overlooked) !== null;
    return {
      daemon: 'up',
      version,
      sessions: code === 0 ? sessionsOf(stdout) : [],
      announced: networksOf(running).map(parseCidr).sort(compareCidr),
      problem: other
        ? `${program} runs another configuration than the one that Romana wrote; the next reconcile of the agent puts that right, or says why not.`
        : null,
    };
  };

  const absent = (): Promise<SpeakerStatus> => absentStatus(requireKnown, unavailable().message);

  return {
    capabilities,
    apply: (intent) =>
      oneAtATime(async () => {
        requireFit(program, capabilities, intent);
        const passwords = await readPasswords(files, intent);
        const text = frrConfig(intent, passwords, dialect);
        return { changes: await bring(text, [...passwords.values()]), failures: new Map() };
      }),
    withdraw: () =>
      oneAtATime(async () => {
        const text = await files.read(path);
        if (text !== null) await bring(withoutAnnouncements(text), passwordsIn(text));
      }),
    status: () => oneAtATime(status),
  };
}

function known(text: string, dialect: FrrDialect): string {
  const version = versionOf(text);
  if (version !== null && isKnownVersion(version, dialect)) return version;
  throw new RomanaError('speaker_unfit', unknownVersion(version), { details: { version } });
}

function unknownVersion(version: string | null): string {
  return `FRR ${version ?? 'of an unknown version'} is not one that Romana knows (8 to 10); install the Debian package frr.`;
}

/** bgpd knows nothing of profiles. */
function withoutBfd(text: string): string {
  return text.replace(/^bfd\n( .*\n)*/m, '');
}

function passwordsIn(text: string): string[] {
  return [...text.matchAll(/^ neighbor \S+ password (\S+)$/gm)].map(([, password = '']) => password);
}

/** The shell repeats a line that it does not take, whatever that holds. */
function redacted(words: string, secrets: readonly string[]): string {
  const lines = words.split('\n').filter((line) => line.trim() !== '');
  const plain = lines.map((line) => line.replace(/( password ).*/, '$1…').trim()).join('; ');
  return secrets.reduce((text, secret) => text.replaceAll(secret, '…'), plain).slice(0, 300);
}
