/**
 * From intent to FRR configuration; pure.
 *
 * 1. Announced is exactly `announce`, accepted exactly what lies in `accept`, by prefix lists that end in "deny any" and so are never
 *    empty; the session of a family is activated behind its lists.
 * 2. FRR installs none of the announcements: `network` without a route behind it. The agent alone owns the blackholes.
 * 3. Each line is spelled as FRR shows it, so that the running configuration can be compared line by line.
 * 4. The Quagga dialect has no line that only FRR knows, and means the same to FRR.
 */
import { type Family, formatCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { birdRecoverySeconds, ofFamily } from '#core/routing/export/bird-text.ts';
import {
  frrBfdProfiles,
  frrNeighbour,
  frrPrefixList,
  frrSession,
  frrStalePaths,
  isLinkLocal,
  needsExtendedNextHop,
} from '#core/routing/export/frr-text.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import { type Passwords, passwordOf } from '../speaker-secret.ts';

export type FrrDialect = 'frr' | 'quagga';

const families: readonly Family[] = [4, 6];
const MAP = 'ROMANA-OUT';
const MAP_IN = 'ROMANA-IN';
const listIn = (family: Family): string => `ROMANA${family}-IN`;
const listOut = (family: Family): string => `ROMANA${family}-OUT`;

export function frrConfig(intent: BgpIntent, passwords: Passwords, dialect: FrrDialect): string {
  for (const peer of intent.peers) refuseUnfit(peer, dialect);
  const lines = [
    '! Written by Romana; changes by hand are lost.',
    ...(dialect === 'frr' ? ['frr defaults traditional'] : []),
    'log stdout',
    '!',
    ...families.flatMap((family) => [
      ...frrPrefixList(family, listIn(family), defaultOf(family, intent), ofFamily(family, intent.accept)),
      ...frrPrefixList(family, listOut(family), ofFamily(family, intent.announce), []),
    ]),
    '!',
    ...routeMap(intent.communities),
    ...(intent.peers.some((peer) => wantsGlobal(6, peer, dialect))
      ? [`route-map ${MAP_IN} permit 10`, ' set ipv6 next-hop prefer-global', '!']
      : []),
    ...frrBfdProfiles(intent.peers),
    '!',
    `router bgp ${intent.asn}`,
    ...routerLines(intent, dialect).map((line) => ` ${line}`),
    ...intent.peers
      .flatMap((peer) => sessionLines(peer, intent, passwords, dialect))
      .map((line) => ` ${line}`),
    ...families.flatMap((family) => familyLines(family, intent, dialect)),
    '',
  ];
  return lines.join('\n');
}

/** The text without its announcements; the sessions stay as they are. */
export function withoutAnnouncements(text: string): string {
  return text
    .split('\n')
    .filter(
      (line) => !/^ {2}network \S+$/.test(line) && !/ prefix-list ROMANA[46]-OUT seq \d+ permit /.test(line),
    )
    .join('\n');
}

function refuseUnfit(peer: BgpPeer, dialect: FrrDialect): void {
  if (peer.address === null && peer.link === null) {
    throw new RomanaError(
      'speaker_unfit',
      `The unnumbered session with ${peer.name} needs a link; name it at the host's uplink.`,
    );
  }
  if (dialect === 'frr') return;
  const what = peer.address === null ? 'unnumbered sessions' : peer.bfd === null ? null : 'BFD';
  if (what === null) return;
  throw new RomanaError('speaker_unfit', `Quagga has no ${what} (session with ${peer.name}); use frr.`);
}

function defaultOf(family: Family, intent: BgpIntent): BgpIntent['accept'] {
  if (!intent.acceptDefault) return [];
  const zero = { family, w0: 0, w1: 0, w2: 0, w3: 0 };
  return [{ address: zero, length: 0 }];
}

function routeMap(communities: readonly string[]): string[] {
  const parts = (count: number): string[] => communities.filter((text) => text.split(':').length === count);
  const wrong = communities.find((text) => !/^\d+:\d+(:\d+)?$/.test(text));
  if (wrong !== undefined) {
    throw new RomanaError(
      'input_invalid',
      `${JSON.stringify(wrong)} is not a BGP community; write 65001:100 or 65001:1:2.`,
    );
  }
  const [standard, large] = [parts(2), parts(3)];
  return [
    `route-map ${MAP} permit 10`,
    ...(standard.length === 0 ? [] : [` set community ${standard.join(' ')} additive`]),
    ...(large.length === 0 ? [] : [` set large-community ${large.join(' ')} additive`]),
    '!',
  ];
}

function routerLines(intent: BgpIntent, dialect: FrrDialect): string[] {
  const restart = intent.gracefulRestartSeconds;
  const recovery = birdRecoverySeconds(intent.connectRetrySeconds);
  const twice = families.every((family) => {
    const count = intent.peers.filter((peer) => peer.families.includes(family)).length;
    return count !== 1;
  });
  const frrOnly = [
    ...(restart === 120 ? [] : [`bgp graceful-restart restart-time ${restart}`]),
    ...(recovery === 360 ? [] : [`bgp graceful-restart select-defer-time ${recovery}`]),
    'bgp graceful-restart preserve-fw-state',
  ];
  return [
    `bgp router-id ${intent.routerId}`,
    'no bgp default ipv4-unicast',
    ...(restart === 0
      ? []
      : ['bgp graceful-restart', ...frrStalePaths(restart, twice), ...(dialect === 'frr' ? frrOnly : [])]),
    'bgp bestpath as-path multipath-relax',
    'no bgp network import-check',
  ];
}

function sessionLines(peer: BgpPeer, intent: BgpIntent, passwords: Passwords, dialect: FrrDialect): string[] {
  const who = `neighbor ${frrNeighbour(peer)}`;
  const password = passwordOf(passwords, peer);
  return [
    ...frrSession(
      peer,
      password === null ? [] : [`${who} password ${password}`],
      intent.holdSeconds,
      intent.connectRetrySeconds,
    ),
    ...(needsExtendedNextHop(peer.address, peer.families) ? [`${who} capability extended-nexthop`] : []),
    // Quagga waits half a minute between updates unless told not to.
    ...(dialect === 'quagga' ? [`${who} advertisement-interval 0`] : []),
  ];
}

/**
 * A device with an address of its own is routed to by that one. FRR prefers its link-local one, and guesses the link by the session's
 * local address, which a host may have on no uplink.
 */
function wantsGlobal(family: Family, { address }: BgpPeer, dialect: FrrDialect): boolean {
  return dialect === 'frr' && family === 6 && address?.family === 6 && !isLinkLocal(address);
}

function familyLines(family: Family, intent: BgpIntent, dialect: FrrDialect): string[] {
  const peers = intent.peers.filter(({ families }) => families.includes(family));
  return [
    ' !',
    ` address-family ipv${family} unicast`,
    ...ofFamily(family, intent.announce).map((cidr) => `  network ${formatCidr(cidr)}`),
    ...peers.flatMap((peer) => {
      const who = `  neighbor ${frrNeighbour(peer)}`;
      return [
        `${who} prefix-list ${listIn(family)} in`,
        `${who} prefix-list ${listOut(family)} out`,
        ...(wantsGlobal(family, peer, dialect) ? [`${who} route-map ${MAP_IN} in`] : []),
        `${who} route-map ${MAP} out`,
        ...(peer.maxPrefixes === null ? [] : [`${who} maximum-prefix ${peer.maxPrefixes}`]),
        `${who} activate`,
      ];
    }),
    `  maximum-paths ${intent.ecmp}`,
    `  maximum-paths ibgp ${intent.ecmp}`,
    ' exit-address-family',
  ];
}
