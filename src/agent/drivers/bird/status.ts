/** What birdc prints, read; pure. The texts are those of BIRD 2.0.12. */
import { type Cidr, compareCidr, tryParseCidr } from '#core/address/index.ts';
import type { SpeakerSession } from '../../speaker.ts';

/** From `bird --version` or the first line of any answer; null: it says something else. */
export function versionOf(text: string): string | null {
  return /\bBIRD (?:version )?v?(\d+\.\d+(?:\.\d+)*[\w.+-]*)/.exec(text)?.[1] ?? null;
}

/** BIRD 3 has another configuration language in places; 1 and below have one process for each family. */
export function isKnownVersion(version: string): boolean {
  return /^2\.\d+/.test(version);
}

/** The answer of `eval romana_fingerprint`; null: the daemon runs a configuration without one. */
export function fingerprintAnswer(text: string): string | null {
  return /^"?([0-9a-f]{16,})"?$/m.exec(text)?.[1] ?? null;
}

/** It takes the configuration later: protocols of the one before are still going. */
export function isPutOff(text: string): boolean {
  return /^Reconfiguration (already )?in progress/m.test(text);
}

/** What it says of a configuration that it does not take, without the line that says where it read; null: it took it. */
export function complaintOf(text: string): string | null {
  if (
    /^(Reconfigured|Reconfiguration in progress|Reconfiguration already in progress.*|Configuration OK)$/m.test(
      text,
    )
  )
    return null;
  const words = text
    .split('\n')
    .filter((line) => line.trim() !== '' && !/^BIRD .* ready\.$|^Reading configuration from /.test(line));
  return words.join('; ').slice(0, 300) || 'no answer';
}

/** `show route …`: each prefix once, sorted. */
export function prefixesOf(text: string): Cidr[] {
  const found = new Map<string, Cidr>();
  for (const line of text.split('\n')) {
    const word = /^(\S+\/\d+)\s/.exec(line)?.[1];
    const cidr = word === undefined ? undefined : tryParseCidr(word);
    if (word !== undefined && cidr !== undefined) found.set(word, cidr);
  }
  return [...found.values()].sort(compareCidr);
}

/**
 * `show protocols all "romana_*"`, the BGP sessions of it. `now`: seconds since the epoch; `serverTime`: the time of day that `show
 * status` says, where times are shown in BIRD's own way.
 */
export function sessionsOf(text: string, now: number, serverTime: string | null = null): SpeakerSession[] {
  const blocks = text.split('\n').reduce<string[][]>((blocks, line) => {
    if (/^\S/.test(line)) blocks.push([]);
    blocks.at(-1)?.push(line);
    return blocks;
  }, []);
  return blocks.flatMap(([head = '', ...lines]) => {
    const found = /^\S+\s+BGP\s+\S+\s+(\S+)\s+(\S+)/.exec(head);
    return found === null ? [] : [sessionOf(found[1] ?? '', ageOf(found[2] ?? '', now, serverTime), lines)];
  });
}

/** Our own configuration has it in seconds; BIRD's default is the time of day, and after most of a day the date: too coarse. */
function ageOf(since: string, now: number, serverTime: string | null): number | null {
  if (/^\d{9,}$/.test(since)) return Math.max(0, now - Number(since));
  const [from, to] = [secondOfDay(since), secondOfDay(serverTime ?? '')];
  return from === null || to === null ? null : (to - from + 86_400) % 86_400;
}

function secondOfDay(text: string): number | null {
  const [, hours, minutes, seconds] = /^(\d\d):(\d\d):(\d\d)(?:\.\d+)?$/.exec(text) ?? [];
  return hours === undefined ? null : Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
}

/** From `show status`. */
export function serverTimeOf(text: string): string | null {
  return /^Current server time is \S+ (\S+)$/m.exec(text)?.[1] ?? null;
}

function sessionOf(protocolState: string, seconds: number | null, lines: readonly string[]): SpeakerSession {
  const field = (name: string): string | undefined => {
    const line = lines.find((line) => line.trimStart().startsWith(`${name}:`));
    return line?.slice(line.indexOf(':') + 1).trim();
  };
  const state = stateOf(field('BGP state') ?? 'Down');
  const up = state === 'established';
  const routes = lines.flatMap((line) => {
    const found = /^\s+Routes:\s+(.*)$/.exec(line)?.[1];
    return found === undefined ? [] : [found];
  });
  const sum = (word: string): number =>
    routes.reduce((sum, text) => sum + Number(new RegExp(`(\\d+) ${word}`).exec(text)?.[1] ?? 0), 0);
  return {
    peer: field('Description') ?? '',
    neighbour: (field('Neighbor address') ?? '').replace(/%.*$/, ''),
    asn: Number(field('Neighbor AS') ?? 0),
    state,
    seconds,
    prefixesIn: up ? sum('imported') : 0,
    prefixesOut: up ? sum('exported') : 0,
    lastError: up ? '' : errorOf(field('Last error') ?? '', state, protocolState),
  };
}

function stateOf(text: string): SpeakerSession['state'] {
  switch (text.toLowerCase()) {
    case 'established':
      return 'established';
    case 'opensent':
      return 'opensent';
    case 'openconfirm':
      return 'openconfirm';
    case 'connect':
      return 'connect';
    case 'active':
    case 'passive':
      return 'active';
    default:
      return 'idle';
  }
}

/** BIRD's own words, and what they mean where they do not say. */
function errorOf(words: string, state: SpeakerSession['state'], protocolState: string): string {
  if (/limit/i.test(words) && protocolState === 'down')
    return `${words}: closed because the device sent more prefixes than the limit; put that right, then: birdc enable`;
  if (words !== '') return words;
  if (protocolState === 'down') return 'The session was taken down by hand; birdc enable brings it back.';
  return state === 'connect' || state === 'active'
    ? 'No TCP connection: the device is down or unreachable, or its password is another one.'
    : '';
}
