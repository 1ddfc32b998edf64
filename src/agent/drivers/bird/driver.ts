/**
 * BIRD 2 as a speaker. It writes what it learns into the kernel, and installs none of its announcements.
 *
 * 1. A text gets its name only when BIRD's own parser takes it. In `include` mode, where the site's part can clash with ours, a text
 *    that the running daemon refuses gives way to the one before.
 * 2. Which text the daemon runs is asked of the daemon (`eval romana_fingerprint`), never remembered: after a crash at any step the next
 *    apply finishes.
 * 3. The daemon is only ever told to read its configuration again; nothing restarts a session whose definition stays.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Clock } from '#core/ports.ts';
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
import { type BirdMode, birdConfig, fingerprintOf, withoutAnnouncements } from './config.ts';
import { birdConfigPath } from './processes.ts';
import {
  complaintOf,
  fingerprintAnswer,
  isKnownVersion,
  isPutOff,
  prefixesOf,
  serverTimeOf,
  sessionsOf,
  versionOf,
} from './status.ts';

export interface BirdOptions {
  readonly run: Runner;
  readonly files: SpeakerFiles;
  readonly clock: Pick<Clock, 'now'>;
  readonly place: SpeakerPlace;
  /** `include`: the agent writes romana.conf, which the site's own bird.conf includes. */
  readonly mode?: BirdMode;
}

const capabilities: SpeakerCapabilities = {
  fib: true,
  keepsRoutes: true,
  bfd: true,
  unnumbered: false,
  passwords: true,
  ttlSecurity: true,
};

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 32);

export function createBirdSpeaker({ run, files, clock, place, mode = 'complete' }: BirdOptions): Speaker {
  requirePlainPaths(place);
  const path = mode === 'complete' ? birdConfigPath(place) : join(place.dir, 'romana.conf');
  const oneAtATime = serially();

  /** Null: it does not answer. */
  const ask = async (...words: string[]): Promise<string | null> => {
    try {
      const { stdout } = await run(['birdc', '-s', place.control, ...words], { okCodes: 'any' });
      return versionOf(stdout) === null ? null : stdout;
    } catch (error) {
      if (!isRomanaError(error)) throw error;
      return null;
    }
  };

  /** Throws speaker_unfit. */
  const requireKnown = async (): Promise<string> => {
    let text: string;
    try {
      const { stdout, stderr } = await run(['bird', '--version'], { okCodes: 'any' });
      text = stdout + stderr;
    } catch (error) {
      throw new RomanaError('speaker_unfit', 'BIRD is missing; install the Debian package bird2.', {
        cause: error,
      });
    }
    return known(text);
  };

  const put = async (text: string): Promise<void> => {
    const fresh = `${path}.new`;
    await files.write(fresh, text);
    const probe = `${path}.check`;
    if (mode === 'include')
      await files.write(probe, `router id 192.0.2.1;\nprotocol device {\n}\ninclude "${fresh}";\n`);
    const { code, stdout, stderr } = await run(['bird', '-p', '-c', mode === 'include' ? probe : fresh], {
      okCodes: 'any',
    });
    if (mode === 'include') await files.remove(probe);
    if (code !== 0) {
      await files.remove(fresh);
      throw refused(`${stderr}${stdout}`.trim());
    }
    await files.rename(fresh, path);
  };

  /** The file first: a daemon that does not answer finds it when it starts. */
  const bring = async (text: string): Promise<Change[]> => {
    const before = await files.read(path);
    const running = await ask('eval', 'romana_fingerprint');
    const loaded = running !== null && fingerprintAnswer(running) === fingerprintOf(text);
    if (before === text && loaded) return [];
    if (running === null) await requireKnown();
    else known(running);
    if (before !== text) await put(text);
    const changes: Change[] = [];
    if (before !== text)
      changes.push({ action: before === null ? 'create' : 'update', kind: 'speaker', object: path });
    if (running === null) throw unavailable(place);
    if (loaded) return changes;
    const answer = await ask('configure');
    if (answer === null) throw unavailable(place);
    const complaint = complaintOf(answer);
    if (complaint !== null) {
      // It holds on to what it had; so does the file, or else it could not start again.
      if (mode === 'include' && before !== null && before !== text) await files.write(path, before);
      throw refused(complaint);
    }
    if (!isPutOff(answer) && !(await isLoaded(text))) {
      throw refused(
        `it read a configuration without ours; ${mode === 'include' ? `put this line into it: include "${path}";` : `start it with -c ${path}`}`,
      );
    }
    changes.push({ action: 'update', kind: 'speaker', object: 'sessions' });
    return changes;
  };

  const isLoaded = async (text: string): Promise<boolean> => {
    const answer = await ask('eval', 'romana_fingerprint');
    return answer !== null && fingerprintAnswer(answer) === fingerprintOf(text);
  };

  const status = async (): Promise<SpeakerStatus> => {
    const base = await ask('show', 'status');
    if (base === null) return await absent();
    const version = versionOf(base);
    if (version === null || !isKnownVersion(version)) return notUp('unfit', version, unknownVersion(version));
    const protocols = (await ask('show', 'protocols', 'all', '"romana_*"')) ?? '';
    const routes: string[] = [];
    for (const family of ['4', '6'])
      routes.push((await ask('show', 'route', 'protocol', `romana_announce${family}`)) ?? '');
    const fingerprint = fingerprintAnswer((await ask('eval', 'romana_fingerprint')) ?? '');
    const text = await files.read(path);
    const current = text !== null && fingerprint !== null && fingerprint === fingerprintOf(text);
    return {
      daemon: 'up',
      version,
      sessions: sessionsOf(protocols, Math.floor(clock.now() / 1000), serverTimeOf(base)),
      announced: prefixesOf(routes.join('\n')),
      problem: current
        ? null
        : 'BIRD runs another configuration than the one that Romana wrote; the next reconcile of the agent puts that right, or says why not.',
    };
  };

  const absent = (): Promise<SpeakerStatus> => absentStatus(requireKnown, unavailable(place).message);

  return {
    capabilities,
    apply: (intent) =>
      oneAtATime(async () => {
        requireFit('BIRD', capabilities, intent);
        const text = birdConfig(intent, await readPasswords(files, intent), mode, digest);
        return { changes: await bring(text), failures: new Map() };
      }),
    withdraw: () =>
      oneAtATime(async () => {
        const text = await files.read(path);
        if (text !== null) await bring(withoutAnnouncements(text, digest));
      }),
    status: () => oneAtATime(status),
  };
}

function known(text: string): string {
  const version = versionOf(text);
  if (version !== null && isKnownVersion(version)) return version;
  throw new RomanaError('speaker_unfit', unknownVersion(version), { details: { version } });
}

function unknownVersion(version: string | null): string {
  return `BIRD ${version ?? 'of an unknown version'} is not one that Romana knows (2.x); install the Debian package bird2.`;
}

function unavailable(place: SpeakerPlace): RomanaError {
  return new RomanaError(
    'speaker_unavailable',
    `BIRD does not answer at ${place.control}; its configuration is in place: start it, or restart it where only its socket is gone.`,
  );
}

function refused(words: string): RomanaError {
  return new RomanaError(
    'speaker_refused',
    `BIRD refused the configuration that Romana wrote for it (${words.slice(0, 300)}); the one before stays in force.`,
  );
}
