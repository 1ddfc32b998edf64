/** Asks ExaBGP through the socket of helper.ts, and reads its answers. */
import { connect } from 'node:net';
import { RomanaError } from '#core/errors.ts';
import type { SpeakerSession } from '../../speaker.ts';
import { communities } from './config.ts';

/** Lines of the answer without the last, `done`. Throws speaker_unavailable, or speaker_refused where ExaBGP answers `error`. */
export type Ask = (command: string) => Promise<readonly string[]>;

export function askAt(path: string, { timeoutMs = 8_000 }: { timeoutMs?: number } = {}): Ask {
  return (command) =>
    new Promise((resolve, reject) => {
      const socket = connect({ path });
      let text = '';
      const fail = (why: string): void => {
        socket.destroy();
        reject(unavailable(path, why));
      };
      const timer = setTimeout(() => fail('it does not answer'), timeoutMs);
      socket.setEncoding('utf8');
      socket.on('connect', () => void socket.write(`${command}\n`));
      socket.on('data', (chunk: string) => void (text += chunk));
      socket.on('error', (error) => {
        clearTimeout(timer);
        fail((error as NodeJS.ErrnoException).code ?? error.message);
      });
      socket.on('close', () => {
        clearTimeout(timer);
        const lines = text.trimEnd().split('\n');
        const verdict = lines.pop();
        if (verdict === 'done') resolve(lines);
        else if (verdict === 'error') {
          reject(
            new RomanaError('speaker_refused', `ExaBGP refused the command "${command.slice(0, 200)}".`),
          );
        } else reject(unavailable(path, 'it ended or was too busy to answer'));
      });
    });
}

function unavailable(path: string, why: string): RomanaError {
  return new RomanaError(
    'speaker_unavailable',
    `ExaBGP does not answer at ${path} (${why}); start it, its configuration is in place.`,
    { details: { path } },
  );
}

/** Description of each neighbour whose definition ExaBGP has read, by address. */
export function parseConfiguration(lines: readonly string[]): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  let current = '';
  for (const line of lines) {
    current = /^neighbor (\S+) \{/.exec(line)?.[1] ?? current;
    const description = /^\s+description "(.*)";/.exec(line)?.[1];
    if (description !== undefined) found.set(current, description);
  }
  return found;
}

/** `show adj-rib in|out extensive`: prefix → attributes in the form of config.ts, by address of the neighbour. */
export function parseRoutes(lines: readonly string[]): ReadonlyMap<string, ReadonlyMap<string, string>> {
  const found = new Map<string, Map<string, string>>();
  for (const line of lines) {
    const match = /^neighbor (\S+) .*?ipv[46] unicast (\S+) next-hop \S+(.*)$/.exec(line);
    if (match === null) continue;
    const [, neighbour = '', prefix = '', rest = ''] = match;
    const routes = found.get(neighbour) ?? new Map<string, string>();
    routes.set(prefix, communitiesIn(rest));
    found.set(neighbour, routes);
  }
  return found;
}

function communitiesIn(text: string): string {
  const values = ['community', 'large-community'].flatMap((word) => {
    const match = new RegExp(`(?:^|\\s)${word} (?:\\[([^\\]]*)\\]|(\\S+))`).exec(text);
    return (match?.[1] ?? match?.[2] ?? '').split(/\s+/).filter((value) => value !== '');
  });
  return communities(values);
}

export interface SeenState {
  readonly state: SpeakerSession['state'];
  readonly seconds: number | null;
}

const states: Readonly<Record<string, SpeakerSession['state']>> = {
  IDLE: 'idle',
  ACTIVE: 'active',
  CONNECT: 'connect',
  OPENSENT: 'opensent',
  OPENCONFIRM: 'openconfirm',
  ESTABLISHED: 'established',
};

/** `show neighbor extensive`, by address. */
export function parseStates(lines: readonly string[]): ReadonlyMap<string, SeenState> {
  const found = new Map<string, SeenState>();
  let current = '';
  for (const line of lines) {
    current = /^Neighbor (\S+)$/.exec(line)?.[1] ?? current;
    const state = /^\s+state\s+(\S+)/.exec(line)?.[1];
    if (state !== undefined) found.set(current, { state: states[state] ?? 'idle', seconds: null });
    const up = /^\s+up for\s+(?:(\d+) days?, )?(\d+):(\d+):(\d+)/.exec(line);
    const seen = found.get(current);
    if (up !== null && seen !== undefined) {
      const [days = 0, hours = 0, minutes = 0, seconds = 0] = up.slice(1).map((part) => Number(part ?? 0));
      found.set(current, { ...seen, seconds: ((days * 24 + hours) * 60 + minutes) * 60 + seconds });
    }
  }
  return found;
}

export interface SeenEvent {
  readonly seconds: number;
  readonly reason: string;
}

/** What the helper remembers, by address. */
export function parseEvents(lines: readonly string[]): ReadonlyMap<string, SeenEvent> {
  const told = JSON.parse(lines[0] ?? '{}') as Record<string, { since: number; reason: string }>;
  return new Map(
    Object.entries(told).map(([address, { since, reason }]) => [
      address,
      { seconds: Math.max(0, Math.floor(since)), reason: plainReason(reason) },
    ]),
  );
}

/** `peer reset, message (closing connection) error(Broken TCP connection)` → `Broken TCP connection`. */
function plainReason(text: string): string {
  const inner = /error\((.*)\)$/.exec(text)?.[1] ?? text;
  return (inner === '' ? (/message \((.*?)\)/.exec(text)?.[1] ?? text) : inner).slice(0, 512);
}
