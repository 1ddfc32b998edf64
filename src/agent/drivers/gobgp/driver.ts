/**
 * GoBGP 3 as a speaker. It writes no kernel routes: the agent installs what the peers announce.
 *
 * 1. Files first: they always hold everything, so that GoBGP says the same after a restart. Only what its own check takes gets its name.
 * 2. GoBGP reads its file again at SIGHUP; the process is found by its command line at that moment, never by a number kept.
 * 3. Sessions, policies and routes are compared with what the daemon says, so a restart, or somebody's hand, is mended by the next apply.
 * 4. A route that is to be announced no more goes before the policy that let it out; a new one comes after the policy that lets it out.
 *    GoBGP announces nothing anew because a policy changed: what a session lacks then is sent by a soft reset of that session.
 * 5. Of several sessions whose definitions change GoBGP 3.10 takes one and forgets the others. So it reads a file without them first,
 *    and then the whole.
 */
import { compareCidr, formatCidr, parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Clock, Timers } from '#core/ports.ts';
import type { BgpIntent } from '#core/routing/model.ts';
import type { Runner } from '../../exec.ts';
import type { ApplyResult, Change } from '../../ports.ts';
import {
  notUp,
  type Speaker,
  type SpeakerCapabilities,
  type SpeakerPlace,
  type SpeakerSession,
  type SpeakerStatus,
} from '../../speaker.ts';
import { serially } from '../iproute2/serially.ts';
import type { SpeakerFiles } from '../speaker-files.ts';
import { requireFit, requirePlainIntent, requirePlainPaths } from '../speaker-fit.ts';
import { readPasswords } from '../speaker-secret.ts';
import {
  addWords,
  configFile,
  configText,
  type PrefixRange,
  prefixSets,
  type Session,
  sessionsOf,
  silentConfig,
  silentStart,
  startFile,
  startText,
  targetOf,
} from './config.ts';
import { type Gobgp, gobgpAt, type LiveSession } from './live.ts';
import { type DaemonProcess, daemonProcess } from './processes.ts';

export interface GobgpOptions {
  readonly run: Runner;
  readonly files: SpeakerFiles;
  readonly timers: Timers;
  readonly clock: Clock;
  readonly place: SpeakerPlace;
  readonly daemon?: DaemonProcess;
}

const capabilities: SpeakerCapabilities = {
  fib: false,
  keepsRoutes: false,
  bfd: false,
  unnumbered: false,
  passwords: true,
  ttlSecurity: true,
};

export function createGobgpSpeaker(options: GobgpOptions): Speaker {
  const { run, files, timers, clock, place, daemon = daemonProcess } = options;
  requirePlainPaths(place);
  const oneAtATime = serially();
  const config = configFile(place);
  const start = startFile(place);
  const gobgp = gobgpAt(run, targetOf(place));
  let intended: BgpIntent | null = null;
  let known: string | null = null;

  const writeFiles = async (text: string, startProgram: string): Promise<Change[]> => {
    const changes: Change[] = [];
    if ((await files.read(config)) !== text) {
      const fresh = `${config}.new`;
      await files.write(fresh, text);
      await check(run, files, fresh);
      await files.rename(fresh, config);
      changes.push({ action: 'update', kind: 'speaker', object: config });
    }
    if ((await files.read(start)) !== startProgram) {
      await files.write(start, startProgram, 0o700);
      changes.push({ action: 'update', kind: 'speaker', object: start });
    }
    return changes;
  };

  const readAgain = async (isRead: () => Promise<boolean>): Promise<void> => {
    const pid = daemon.find(config);
    if (pid === null) {
      throw new RomanaError(
        'speaker_unavailable',
        `No gobgpd runs with ${config}; start it with ${start}, which is in place.`,
      );
    }
    daemon.hangUp(pid);
    for (let attempt = 0; attempt < 30; attempt++) {
      await new Promise<void>((resolve) => timers.after(100, resolve));
      if (await isRead()) return;
    }
    throw new RomanaError(
      'speaker_refused',
      `GoBGP did not take its new configuration ${config}; its log says why.`,
    );
  };

  const dropChanged = async (intent: BgpIntent, sessions: readonly Session[]): Promise<void> => {
    const live = await gobgp.sessions();
    const changed = new Set(
      sessions
        .filter(({ address, description }) => (live.get(address)?.description ?? description) !== description)
        .map(({ address }) => address),
    );
    if (changed.size === 0) return;
    const kept = sessions.filter(({ address }) => !changed.has(address));
    await files.write(config, configText(intent, kept));
    await readAgain(async () => {
      const now = await gobgp.sessions();
      return [...changed].every((address) => !now.has(address));
    });
    await files.write(config, configText(intent, sessions));
  };

  const apply = async (intent: BgpIntent): Promise<ApplyResult> => {
    requireFit('GoBGP', capabilities, intent);
    requirePlainIntent(intent);
    const sessions = sessionsOf(intent, await readPasswords(files, intent));
    const changes = await writeFiles(configText(intent, sessions), startText(place, intent));
    intended = intent;
    const self = await gobgp.global();
    if (self.asn !== intent.asn || self.routerId !== intent.routerId) {
      throw new RomanaError(
        'speaker_refused',
        `GoBGP runs as AS ${self.asn}, router id ${self.routerId}, and takes another only when it starts; restart it to become AS ${intent.asn}, ${intent.routerId}.`,
      );
    }
    changes.push(...(await removeRoutes(gobgp, intent)));
    const isRead = async (): Promise<boolean> =>
      sameSessions(await gobgp.sessions(), sessions) &&
      sameSets(await gobgp.sets(), prefixSets(intent)) &&
      (await gobgp.policies()).join() === 'romana-import,romana-export';
    if (!(await isRead())) {
      await dropChanged(intent, sessions);
      await readAgain(isRead);
      changes.push({ action: 'update', kind: 'speaker', object: 'sessions and policies' });
    }
    changes.push(...(await addRoutes(gobgp, intent)), ...(await sendAgain(gobgp, intent, sessions)));
    return { changes, failures: new Map() };
  };

  const withdraw = async (): Promise<void> => {
    if (intended !== null) intended = { ...intended, announce: [] };
    if ((await files.read(config)) === null) return;
    for (const [path, silent, mode] of [
      [config, silentConfig, 0o600],
      [start, silentStart, 0o700],
    ] as const) {
      const text = await files.read(path);
      if (text !== null && silent(text) !== text) await files.write(path, silent(text), mode);
    }
    for (const { cidr } of (await gobgp.originated()).values()) await gobgp.change(removal(formatCidr(cidr)));
  };

  return {
    capabilities,

    apply: (intent) => oneAtATime(() => apply(intent)),
    withdraw: () => oneAtATime(withdraw),

    async status() {
      try {
        if (known === null) {
          const { stdout } = await run(['env', 'gobgpd', '--version'], { okCodes: 'any' });
          known = /version (\d+\.\S+)/.exec(stdout)?.[1] ?? null;
        }
        if (known === null || !known.startsWith('3.')) {
          const problem =
            known === null
              ? 'GoBGP is missing; install the Debian package gobgpd.'
              : `GoBGP ${known} is not one that Romana knows (3.x); install the Debian package gobgpd.`;
          return notUp('unfit', known, problem);
        }
        return await statusOf(gobgp, known, intended, Math.floor(clock.now() / 1000));
      } catch (error) {
        if (!isRomanaError(error)) throw error;
        return notUp('down', known, error.message);
      }
    },
  };
}

/** Its own check reads the file and says where it fails; the line may be the one with a password, so its words stay here. */
async function check(run: Runner, files: SpeakerFiles, path: string): Promise<void> {
  const { code } = await run(['env', 'gobgpd', '-d', '-f', path, '-t', 'toml'], { okCodes: 'any' });
  if (code === 0) return;
  await files.remove(path);
  if (code === 127)
    throw new RomanaError('speaker_unfit', 'GoBGP is missing; install the Debian package gobgpd.');
  throw new RomanaError(
    'speaker_refused',
    'GoBGP refused the configuration that Romana wrote for it; the one before stays in force.',
  );
}

function sameSessions(live: ReadonlyMap<string, LiveSession>, wanted: readonly Session[]): boolean {
  return (
    live.size === wanted.length &&
    wanted.every(({ address, description }) => live.get(address)?.description === description)
  );
}

function sameSets(
  live: ReadonlyMap<string, readonly PrefixRange[]>,
  wanted: ReadonlyMap<string, readonly PrefixRange[]>,
): boolean {
  const text = (ranges: readonly PrefixRange[]): string =>
    ranges
      .map(({ prefix, min, max }) => `${prefix} ${min} ${max}`)
      .sort()
      .join();
  const ours = [...live].filter(([, ranges]) => ranges.length > 0);
  return (
    ours.length === wanted.size &&
    ours.every(([name, ranges]) => text(ranges) === text(wanted.get(name) ?? []))
  );
}

const removal = (prefix: string): string[] => [
  'global',
  'rib',
  'del',
  prefix,
  '-a',
  prefix.includes(':') ? 'ipv6' : 'ipv4',
];

async function removeRoutes(gobgp: Gobgp, intent: BgpIntent): Promise<Change[]> {
  const wanted = new Set(intent.announce.map(formatCidr));
  const surplus = [...(await gobgp.originated()).keys()].filter((prefix) => !wanted.has(prefix));
  for (const prefix of surplus) await gobgp.change(removal(prefix));
  return surplus.map((object) => ({ action: 'remove', kind: 'speaker', object }));
}

async function addRoutes(gobgp: Gobgp, intent: BgpIntent): Promise<Change[]> {
  const live = await gobgp.originated();
  const attributes = intent.communities.toSorted().join();
  const lacking = intent.announce.filter(
    (cidr) => live.get(formatCidr(cidr))?.communities.join() !== attributes,
  );
  for (const cidr of lacking) await gobgp.change(['global', 'rib', ...addWords(cidr, intent.communities)]);
  return lacking.map((cidr) => ({ action: 'create', kind: 'speaker', object: formatCidr(cidr) }));
}

/** Only where an established session tells its peer something else. A daemon that still defers its announcements is left alone. */
async function sendAgain(gobgp: Gobgp, intent: BgpIntent, sessions: readonly Session[]): Promise<Change[]> {
  const changes: Change[] = [];
  const live = await gobgp.sessions();
  for (const { address, peer } of sessions) {
    if (live.get(address)?.state !== 'established') continue;
    for (const family of peer.families) {
      const wanted = intent.announce
        .filter((cidr) => cidr.address.family === family)
        .map(formatCidr)
        .sort();
      const told = (await gobgp.told(address, family)).toSorted();
      if (told.length === 0 || told.join() === wanted.join()) continue;
      await gobgp.change(['neighbor', address, 'softresetout', '-a', `ipv${family}`]);
      changes.push({ action: 'update', kind: 'speaker', object: `announcements to ${address}` });
    }
  }
  return changes;
}

async function statusOf(
  gobgp: Gobgp,
  version: string,
  intent: BgpIntent | null,
  now: number,
): Promise<SpeakerStatus> {
  const live = await gobgp.sessions();
  const announced = new Set<string>();
  const sessions: SpeakerSession[] = [];
  for (const { peer, address } of intent === null ? [] : addressed(intent)) {
    const seen = live.get(address);
    const up = seen?.state === 'established';
    let out = 0;
    for (const family of up ? peer.families : []) {
      const told = await gobgp.told(address, family);
      out += told.length;
      for (const prefix of told) announced.add(prefix);
    }
    sessions.push({
      peer: peer.name,
      neighbour: address,
      asn: peer.asn,
      state: seen?.state ?? 'idle',
      seconds: seen === undefined || seen.since === null ? null : Math.max(0, now - seen.since),
      prefixesIn: up ? seen.accepted : 0,
      prefixesOut: out,
      lastError: up ? '' : errorOf(seen, peer.asn),
    });
  }
  return {
    daemon: 'up',
    version,
    sessions,
    announced: [...announced].map(parseCidr).toSorted(compareCidr),
    problem: sessions.some(({ neighbour }) => !live.has(neighbour))
      ? 'GoBGP has not read its newest configuration; restart it if this lasts.'
      : null,
  };
}

function addressed(intent: BgpIntent): { peer: BgpIntent['peers'][number]; address: string }[] {
  return sessionsOf(
    { ...intent, peers: intent.peers.map((peer) => ({ ...peer, passwordFile: null })) },
    new Map(),
  ).map(({ peer, address }) => ({ peer, address }));
}

/** Its client tells no reasons; how many errors went which way says enough to know where to look. */
function errorOf(seen: LiveSession | undefined, asn: number): string {
  if (seen === undefined) return 'not in the configuration that GoBGP has read';
  if (seen.sentErrors > 0)
    return `this side closed it ${seen.sentErrors} times: often a peer that is not AS ${asn}; the log of GoBGP says more`;
  if (seen.receivedErrors > 0)
    return `the device closed it ${seen.receivedErrors} times: often another AS number there; its log says more`;
  return 'no TCP connection: the device is down, unreachable or has another password';
}
