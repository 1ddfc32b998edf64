/**
 * Pieces of FRR configuration that hosts and devices share, in the spelling in which FRR shows them.
 *
 * No line says `exit`: one file serves all daemons of FRR, and to one that does not know the block before it, `exit` ends the file.
 */
import {
  type Address,
  type Cidr,
  type Family,
  formatAddress,
  formatCidr,
  widthOf,
} from '../../address/index.ts';
import { keepaliveOf } from '../fabric.ts';
import { ofFamily } from './bird-text.ts';

/** The last entry: a list is never empty, which FRR would read as "permit everything". */
export const LAST_ENTRY = 4294967295;

/** `exact` prefixes, and everything inside `within`; all else is refused. */
export function frrPrefixList(
  family: Family,
  name: string,
  exact: readonly Cidr[],
  within: readonly Cidr[],
): string[] {
  const start = `${family === 4 ? 'ip' : 'ipv6'} prefix-list ${name} seq`;
  const entries = [
    ...ofFamily(family, exact).map(formatCidr),
    ...ofFamily(family, within).map((cidr) =>
      cidr.length === widthOf(family) ? formatCidr(cidr) : `${formatCidr(cidr)} le ${widthOf(family)}`,
    ),
  ];
  return [
    ...[...new Set(entries)].map((entry, i) => `${start} ${(i + 1) * 5} permit ${entry}`),
    `${start} ${LAST_ENTRY} deny any`,
  ];
}

export function isLinkLocal({ family, w0 }: Address): boolean {
  return family === 6 && w0 >>> 22 === 0xfe80 >>> 6;
}

/** What a session is to FRR: the words behind `neighbor`. */
export function frrNeighbour(peer: {
  readonly address: Address | null;
  readonly link: string | null;
}): string {
  return peer.address === null ? (peer.link ?? '') : formatAddress(peer.address);
}

export interface FrrSession {
  readonly name: string;
  readonly address: Address | null;
  readonly local: Address | null;
  readonly link: string | null;
  readonly asn: number;
  readonly ttlSecurity: boolean;
  readonly bfd: { readonly intervalMs: number; readonly multiplier: number } | null;
}

/** Lines of the session itself, under `router bgp`. */
export function frrSession(
  session: FrrSession,
  password: readonly string[],
  holdSeconds: number,
  connectRetrySeconds: number,
): string[] {
  const { address, link } = session;
  const who = `neighbor ${frrNeighbour(session)}`;
  return [
    ...(address === null
      ? [`${who} interface remote-as ${session.asn}`]
      : [
          `${who} remote-as ${session.asn}`,
          ...(link !== null && isLinkLocal(address) ? [`${who} interface ${link}`] : []),
        ]),
    `${who} description ${frrWord(session.name)}`,
    ...(session.bfd === null ? [] : [`${who} bfd`, `${who} bfd profile ${frrBfdProfile(session.bfd)}`]),
    ...password,
    ...(session.ttlSecurity ? [`${who} ttl-security hops 1`] : []),
    ...(session.local === null ? [] : [`${who} update-source ${formatAddress(session.local)}`]),
    `${who} timers ${keepaliveOf(holdSeconds)} ${holdSeconds}`,
    `${who} timers connect ${connectRetrySeconds}`,
    ...(address === null ? [`${who} capability extended-nexthop`] : []),
  ];
}

/** Whether the session carries routes of a family other than its own. */
export function needsExtendedNextHop(address: Address | null, families: readonly Family[]): boolean {
  return address !== null && address.family === 6 && families.includes(4);
}

export function frrBfdProfile({
  intervalMs,
  multiplier,
}: {
  intervalMs: number;
  multiplier: number;
}): string {
  return `romana-${multiplier}x${intervalMs}`;
}

export function frrBfdProfiles(sessions: readonly Pick<FrrSession, 'bfd'>[]): string[] {
  const profiles = new Map(
    sessions.flatMap(({ bfd }) => (bfd === null ? [] : [[frrBfdProfile(bfd), bfd] as const])),
  );
  if (profiles.size === 0) return [];
  return [
    'bfd',
    ...[...profiles].flatMap(([name, { intervalMs, multiplier }]) => [
      ` profile ${name}`,
      `  detect-multiplier ${multiplier}`,
      `  transmit-interval ${intervalMs}`,
      `  receive-interval ${intervalMs}`,
    ]),
  ];
}

/** One word, or one line of words, that FRR reads as it stands. */
export function frrWord(text: string): string {
  return text.replace(/[^\x21-\x7e]|[!#?|]/g, '_');
}

/**
 * How long what a neighbour told is kept when its session is gone. FRR takes a neighbour that fell silent for one that restarts, so this
 * bounds how long packets go to a dead one, on top of the hold time. Where there is another way at once nothing needs to be kept;
 * elsewhere a daemon that restarts has to be back by then.
 */
export function frrStalePaths(restartSeconds: number, otherWay: boolean): string[] {
  return [`bgp graceful-restart stalepath-time ${otherWay ? 1 : Math.min(30, restartSeconds)}`];
}
