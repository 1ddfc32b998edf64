/** What FRR's shell prints, read; pure. The texts are those of FRR 8.4.4. */
import type { SpeakerSession } from '../../speaker.ts';
import type { FrrDialect } from './config.ts';

/** From `show version`, `bgpd --version` or the head of a configuration. */
export function versionOf(text: string): string | null {
  const found = /^(?:FRRouting (\S+)|(Quagga \S+)|bgpd version (\S+)|frr version (\S+))/m.exec(text);
  return found === null ? null : (found[1] ?? found[2] ?? found[3] ?? found[4] ?? null);
}

/** FRR takes the Quagga dialect too. */
export function isKnownVersion(version: string, dialect: FrrDialect): boolean {
  return /^(8|9|10)\./.test(version) || (dialect === 'quagga' && /^(Quagga 1\.|1\.)/.test(version));
}

/** What `bgpd -C` says of lines that it knows and does not take; '' when it takes all. Lines of other daemons it does not know. */
export function complaintOf(text: string): string {
  return text
    .split('\n')
    .flatMap((line) => {
      const found = /Command returned (?!Success).* on config line \d+: *(.*)$/.exec(line);
      return found === null ? (line.startsWith('% ') ? [line.slice(2)] : []) : [found[1] ?? ''];
    })
    .join('\n');
}

interface Neighbour {
  readonly nbrDesc?: string;
  readonly remoteAs?: number;
  readonly bgpState?: string;
  readonly bgpTimerUpMsec?: number;
  readonly lastResetTimerMsecs?: number;
  readonly lastResetDueTo?: string;
  readonly lastNotificationReason?: string;
  readonly lastShutdownDescription?: string;
  readonly prefixesConfigExceedMax?: boolean;
  readonly prefixMaxExceeded?: boolean;
  readonly reducePrefixNumFrom?: number;
  readonly connectionsEstablished?: number;
  readonly addressFamilyInfo?: Readonly<
    Record<string, { readonly acceptedPrefixCounter?: number; readonly sentPrefixCounter?: number }>
  >;
}

/** `show bgp neighbors json` */
export function sessionsOf(text: string): SpeakerSession[] {
  const all = JSON.parse(text.trim() === '' ? '{}' : text) as Record<string, Neighbour>;
  return Object.entries(all).flatMap(([neighbour, seen]) =>
    typeof seen === 'object' && seen.bgpState !== undefined ? [sessionOf(neighbour, seen)] : [],
  );
}

function sessionOf(neighbour: string, seen: Neighbour): SpeakerSession {
  const state = stateOf(seen.bgpState ?? '');
  const up = state === 'established';
  const families = Object.values(seen.addressFamilyInfo ?? {});
  const ms = up ? seen.bgpTimerUpMsec : seen.lastResetTimerMsecs;
  return {
    peer: seen.nbrDesc ?? '',
    neighbour,
    asn: seen.remoteAs ?? 0,
    state,
    seconds: ms === undefined ? null : Math.floor(ms / 1000),
    prefixesIn: up
      ? families.reduce((sum, { acceptedPrefixCounter = 0 }) => sum + acceptedPrefixCounter, 0)
      : 0,
    prefixesOut: up ? families.reduce((sum, { sentPrefixCounter = 0 }) => sum + sentPrefixCounter, 0) : 0,
    lastError: up ? '' : errorOf(seen, state),
  };
}

function stateOf(text: string): SpeakerSession['state'] {
  switch (text) {
    case 'Established':
      return 'established';
    case 'OpenSent':
      return 'opensent';
    case 'OpenConfirm':
      return 'openconfirm';
    case 'Connect':
      return 'connect';
    case 'Active':
      return 'active';
    default:
      return 'idle';
  }
}

/** FRR's own words, and what they mean where they do not say. */
function errorOf(seen: Neighbour, state: SpeakerSession['state']): string {
  const words = [seen.lastResetDueTo, seen.lastNotificationReason, seen.lastShutdownDescription]
    .filter((text) => text !== undefined && text !== '' && text !== 'No AFI/SAFI activated for peer')
    .join(': ');
  if (/Maximum Number of Prefixes|Exceeded/i.test(words))
    return `${words}: closed because the device sent more prefixes than the limit; put that right, then: clear bgp ${seen.nbrDesc ?? ''}`;
  const connected = (seen.connectionsEstablished ?? 0) > 0;
  if (words !== '' && !(/Waiting for/i.test(words) && !connected)) return words;
  return state === 'connect' || state === 'active'
    ? 'No TCP connection: the device is down or unreachable, or its password is another one.'
    : words;
}
