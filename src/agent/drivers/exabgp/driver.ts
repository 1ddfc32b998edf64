/**
 * ExaBGP 4.2 as a speaker. It writes no kernel routes: the agent installs what the peers announce.
 *
 * 1. The file always holds everything, so that ExaBGP says the same after a restart. Only what ExaBGP's own parser takes gets its name.
 * 2. Routes change through the API, at once and without a reload; the file is read again only for another set of peers, and then
 *    ExaBGP keeps every session whose definition is the same.
 * 3. Whether ExaBGP has read a definition and announces a route is asked of ExaBGP, never remembered.
 * 4. ExaBGP lets a request to read its file again fall silently while a peer has not been up since it started. That is noticed and
 *    said: the file is right, and ExaBGP has to be started anew.
 * 5. Commands of the API are looked after: one that comes while a peer asks for everything again, or while its session ends, is lost. When
 *    the peer asked while there was nothing to send, all later ones are, until the file is read again.
 */
import { compareCidr, formatAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Timers } from '#core/ports.ts';
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
import { withLocals } from '../speaker-local.ts';
import { readPasswords } from '../speaker-secret.ts';
import { type Ask, askAt, parseConfiguration, parseEvents, parseRoutes, parseStates } from './api.ts';
import {
  configFile,
  configText,
  helperFile,
  type Neighbour,
  neighbours,
  routeText,
  withoutRoutes,
} from './config.ts';
import { helperText } from './helper.ts';

/** Address of the neighbour → prefix → attributes. */
type Routes = ReadonlyMap<string, ReadonlyMap<string, string>>;

export interface ExabgpOptions {
  readonly run: Runner;
  readonly files: SpeakerFiles;
  readonly timers: Timers;
  readonly place: SpeakerPlace;
  readonly ask?: Ask;
}

const capabilities: SpeakerCapabilities = {
  fib: false,
  keepsRoutes: false,
  bfd: false,
  unnumbered: false,
  passwords: true,
  ttlSecurity: true,
};

export function createExabgpSpeaker({ run, files, timers, place, ask }: ExabgpOptions): Speaker {
  requirePlainPaths(place);
  const oneAtATime = serially();
  const config = configFile(place);
  const question = ask ?? askAt(place.control);
  let intended: BgpIntent | null = null;
  let known: string | null = null;

  const writeFiles = async (text: string): Promise<Change[]> => {
    const changes: Change[] = [];
    const helper = helperFile(place);
    if ((await files.read(helper)) !== helperText) {
      await files.write(helper, helperText, 0o755);
      changes.push({ action: 'update', kind: 'speaker', object: helper });
    }
    if ((await files.read(config)) !== text) {
      const fresh = `${config}.new`;
      await files.write(fresh, text);
      await validate(fresh);
      await files.rename(fresh, config);
      changes.push({ action: 'update', kind: 'speaker', object: config });
    }
    return changes;
  };

  const validate = async (path: string): Promise<void> => {
    // Its own settings file must not have a say in how a file is judged.
    const { code, stdout, stderr } = await run(
      ['env', 'exabgp_api_cli=false', 'exabgp_tcp_bind=', 'exabgp', '--validate', path],
      { okCodes: 'any', timeoutMs: 30_000 },
    );
    if (code === 0) return;
    if (code === 127) throw missing();
    await files.remove(path);
    // Not the line that it quotes: it may be the one with the password.
    const complaint = `${stdout}\n${stderr}`
      .split('\n')
      .map((line) => /configuration\s+\| (.*)$/.exec(line)?.[1]?.trim() ?? '')
      .filter((line) => line !== '' && !/^line \d+:|performing reload|no change found/.test(line));
    throw new RomanaError(
      'speaker_refused',
      `ExaBGP refused the configuration that Romana wrote for it (${complaint.join('; ').slice(0, 300)}); the one before stays in force.`,
    );
  };

  const loaded = async (wanted: readonly Neighbour[]): Promise<boolean> => {
    const has = parseConfiguration(await question('show neighbor configuration'));
    return (
      has.size === wanted.length &&
      wanted.every(({ address, description }) => has.get(address) === description)
    );
  };

  const reload = async (wanted: readonly Neighbour[]): Promise<void> => {
    if ((await silence((address) => !wanted.some((one) => one.address === address))) > 0) {
      // It gives no sign when the withdrawals are sent, and a reload comes before what waits to be sent.
      await new Promise<void>((resolve) => timers.after(500, resolve));
    }
    await question('reload');
    for (let attempt = 0; attempt < 20; attempt++) {
      await new Promise<void>((resolve) => timers.after(100, resolve));
      if (await loaded(wanted)) return;
    }
    throw new RomanaError(
      'speaker_refused',
      'ExaBGP did not read its new configuration: it takes none while one of its peers has not been up since it started. Restart ExaBGP, or wait until every peer has been up once.',
    );
  };

  /** ExaBGP closes a session without a word, so the peer would keep the routes as after a crash. */
  const silence = async (whom: (address: string) => boolean): Promise<number> => {
    let count = 0;
    for (const [address, routes] of parseRoutes(await question('show adj-rib out extensive'))) {
      for (const prefix of whom(address) ? routes.keys() : []) {
        await question(`neighbor ${address} withdraw ${routeText(prefix, '')}`);
        count++;
      }
    }
    return count;
  };

  /** Tells every peer what it lacks and what it has too much; how many words that took. */
  const announce = async (wanted: Routes): Promise<Change[]> => {
    const has = parseRoutes(await question('show adj-rib out extensive'));
    const changes: Change[] = [];
    for (const address of new Set([...wanted.keys(), ...has.keys()])) {
      const routes = wanted.get(address) ?? new Map<string, string>();
      const now = has.get(address) ?? new Map<string, string>();
      for (const [prefix, attributes] of routes) {
        if (now.get(prefix) === attributes) continue;
        await question(`neighbor ${address} announce ${routeText(prefix, attributes)}`);
        changes.push({ action: 'create', kind: 'speaker', object: `${prefix} to ${address}` });
      }
      for (const prefix of now.keys()) {
        if (routes.has(prefix)) continue;
        await question(`neighbor ${address} withdraw ${routeText(prefix, '')}`);
        changes.push({ action: 'remove', kind: 'speaker', object: `${prefix} to ${address}` });
      }
    }
    return changes;
  };

  const announceSurely = async (wanted: Routes): Promise<Change[]> => {
    const changes = await announce(wanted);
    if (changes.length === 0) return [];
    for (let attempt = 0; attempt < 6; attempt++) {
      await new Promise<void>((resolve) => timers.after(150, resolve));
      if ((await announce(wanted)).length === 0) return changes;
      if (attempt >= 1) await question('reload');
    }
    throw new RomanaError(
      'speaker_refused',
      'ExaBGP does not take what is to be announced; its configuration is right, restart it.',
    );
  };

  const apply = async (wanted: BgpIntent): Promise<ApplyResult> => {
    requireFit('ExaBGP', capabilities, wanted);
    requirePlainIntent(wanted);
    const intent = await withLocals(run, wanted);
    const all = neighbours(intent, await readPasswords(files, intent));
    const changes = await writeFiles(configText(place, all));
    intended = intent;
    if (!(await loaded(all))) {
      await reload(all);
      changes.push({ action: 'update', kind: 'speaker', object: 'sessions' });
    }
    changes.push(...(await announceSurely(new Map(all.map(({ address, routes }) => [address, routes])))));
    return { changes, failures: new Map() };
  };

  const withdraw = async (): Promise<void> => {
    if (intended !== null) intended = { ...intended, announce: [] };
    const text = await files.read(config);
    if (text === null) return;
    const silent = withoutRoutes(text);
    if (silent !== text) await files.write(config, silent);
    await announceSurely(new Map());
  };

  return {
    capabilities,

    apply: (wanted) => oneAtATime(() => apply(wanted)),
    withdraw: () => oneAtATime(withdraw),

    async status() {
      try {
        known = /exabgp (\S+)/.exec((await question('version')).join(' '))?.[1] ?? null;
        if (known === null || !known.startsWith('4.')) return notUp('unfit', known, unknownVersion(known));
        return await statusOf(question, known, intended);
      } catch (error) {
        if (!isRomanaError(error)) throw error;
        return await absent(error.message);
      }
    },
  };

  /** Why it does not answer: not there at all, a version unknown, or not running. */
  async function absent(message: string): Promise<SpeakerStatus> {
    // Starting Python costs more than the answer is worth twice.
    if (known === null) {
      const { code, stdout } = await run(['env', 'exabgp', '--version'], {
        okCodes: 'any',
        timeoutMs: 20_000,
      });
      if (code === 127) return notUp('unfit', null, missing().message);
      known = /ExaBGP\s*:\s*(\S+)/.exec(stdout)?.[1] ?? null;
    }
    if (known === null || !known.startsWith('4.')) return notUp('unfit', known, unknownVersion(known));
    return notUp('down', known, message);
  }
}

async function statusOf(ask: Ask, version: string, intent: BgpIntent | null): Promise<SpeakerStatus> {
  const states = parseStates(await ask('show neighbor extensive'));
  const routesIn = parseRoutes(await ask('show adj-rib in extensive'));
  const routesOut = parseRoutes(await ask('show adj-rib out extensive'));
  const events = parseEvents(await ask('events'));
  const sessions = (intent?.peers ?? []).flatMap((peer): SpeakerSession[] => {
    if (peer.address === null) return [];
    const neighbour = formatAddress(peer.address);
    const seen = states.get(neighbour);
    const up = seen?.state === 'established';
    const event = events.get(neighbour);
    return [
      {
        peer: peer.name,
        neighbour,
        asn: peer.asn,
        state: seen?.state ?? 'idle',
        seconds: (up ? seen.seconds : null) ?? event?.seconds ?? null,
        prefixesIn: up ? (routesIn.get(neighbour)?.size ?? 0) : 0,
        prefixesOut: up ? (routesOut.get(neighbour)?.size ?? 0) : 0,
        lastError: up ? '' : (event?.reason ?? lastErrorOf(peer.local === null, seen === undefined)),
      },
    ];
  });
  const up = new Set(
    [...states].filter(([, { state }]) => state === 'established').map(([address]) => address),
  );
  const announced = [
    ...new Set([...routesOut].flatMap(([to, routes]) => (up.has(to) ? [...routes.keys()] : []))),
  ];
  return {
    daemon: 'up',
    version,
    sessions,
    announced: announced.map(parseCidr).toSorted(compareCidr),
    problem: sessions.some(({ neighbour }) => !states.has(neighbour))
      ? 'ExaBGP has not read its newest configuration; it takes none while one of its peers has not been up since it started. Restart it, or wait for that peer.'
      : null,
  };
}

function lastErrorOf(noLocal: boolean, unread: boolean): string {
  if (noLocal) return 'no route to the device, so no address to speak from';
  return unread
    ? 'not in the configuration that ExaBGP has read'
    : 'no TCP connection: the device is down, unreachable or has another password';
}

function unknownVersion(version: string | null): string {
  return `ExaBGP ${version ?? 'of an unknown version'} is not one that Romana knows (4.2); install the Debian package exabgp.`;
}

function missing(): RomanaError {
  return new RomanaError('speaker_unfit', 'ExaBGP is missing; install the Debian package exabgp.');
}
