/**
 * From intent to BIRD 2 configuration; pure.
 *
 * 1. Announced is exactly `announce`; accepted exactly what lies in `accept`, and a default route where the intent says so.
 * 2. Announcements live in a table that no kernel protocol installs: the agent alone owns the blackholes.
 * 3. The name of a session depends on its peer alone, so that BIRD recognises it and leaves it up.
 * 4. The text names its own fingerprint, so that a running daemon can be asked which text it has.
 */
import { type Address, type Family, formatAddress, formatCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import {
  birdBfd,
  birdDefault,
  birdGracefulRestart,
  birdMatch,
  birdQuote,
  birdRecoverySeconds,
  birdSymbol,
  birdTimers,
  indent,
  ofFamily,
} from '#core/routing/export/bird-text.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import { type Passwords, passwordOf } from '../speaker-secret.ts';

/** `complete`: the daemon is Romana's alone. `include`: a part that the site's own configuration includes; the site's kernel protocol installs. */
export type BirdMode = 'complete' | 'include';

const families: readonly Family[] = [4, 6];
const PREFIX = 'romana_';

export function birdConfig(
  intent: BgpIntent,
  passwords: Passwords,
  mode: BirdMode,
  digest: (text: string) => string,
): string {
  const sessions = sessionNames(intent.peers);
  const lines = [
    '# Written by Romana; changes by hand are lost.',
    ...(mode === 'complete' ? daemonLines(intent) : []),
    'ipv4 table romana4;',
    'ipv6 table romana6;',
    ...families.flatMap((family) => [
      ...(mode === 'complete' ? kernelLines(family, intent) : pipeLines(family)),
      ...announceLines(family, intent),
      ...filterLines(family, intent),
    ]),
    ...(mode === 'complete' && intent.peers.some(({ bfd }) => bfd !== null)
      ? [`protocol bfd ${PREFIX}bfd {`, '}']
      : []),
    ...intent.peers.flatMap((peer, i) => sessionLines(peer, sessions[i] ?? '', intent, passwords)),
    '',
  ];
  return withFingerprint(lines.join('\n'), digest);
}

/** The text without its announcements; the sessions stay as they are. */
export function withoutAnnouncements(text: string, digest: (text: string) => string): string {
  const kept = text
    .split('\n')
    .filter((line) => !/^ {2}route \S+ blackhole;$/.test(line) && !line.startsWith(FINGERPRINT));
  return withFingerprint(kept.join('\n'), digest);
}

const FINGERPRINT = `define ${PREFIX}fingerprint = `;

function withFingerprint(text: string, digest: (text: string) => string): string {
  return `${text}${FINGERPRINT}"${digest(text)}";\n`;
}

export function fingerprintOf(text: string): string | null {
  return new RegExp(`^${FINGERPRINT}"([0-9a-f]+)";$`, 'm').exec(text)?.[1] ?? null;
}

function daemonLines(intent: BgpIntent): string[] {
  const recovery = birdRecoverySeconds(intent.connectRetrySeconds);
  return [
    'log stderr { info, remote, warning, error, auth, fatal, bug };',
    `router id ${intent.routerId};`,
    'timeformat protocol "%s";',
    `graceful restart wait ${recovery};`,
    `protocol device ${PREFIX}device {`,
    '}',
  ];
}

function kernelLines(family: Family, intent: BgpIntent): string[] {
  return [
    `protocol kernel ${PREFIX}kernel${family} {`,
    `  merge paths on limit ${intent.ecmp};`,
    '  persist;',
    ...(intent.gracefulRestartSeconds === 0 ? [] : ['  graceful restart;']),
    `  ipv${family} { table romana${family}; import none; export where source = RTS_BGP; };`,
    '}',
  ];
}

function pipeLines(family: Family): string[] {
  return [
    `protocol pipe ${PREFIX}pipe${family} {`,
    `  table master${family};`,
    `  peer table romana${family};`,
    '  import where source = RTS_BGP;',
    '  export none;',
    '}',
  ];
}

function announceLines(family: Family, intent: BgpIntent): string[] {
  return [
    `protocol static ${PREFIX}announce${family} {`,
    `  ipv${family} { table romana${family}; };`,
    ...ofFamily(family, intent.announce).map((cidr) => `  route ${formatCidr(cidr)} blackhole;`),
    '}',
  ];
}

function filterLines(family: Family, intent: BgpIntent): string[] {
  const accepted = birdMatch(family, [], intent.accept);
  return [
    `filter ${PREFIX}import${family} {`,
    `  if ${accepted} then accept;`,
    ...(intent.acceptDefault ? [`  if ${birdDefault(family)} then accept;`] : []),
    '  reject;',
    '}',
    `filter ${PREFIX}export${family} {`,
    `  if proto != "${PREFIX}announce${family}" then reject;`,
    ...intent.communities.map((community) => `  ${communityStatement(community)}`),
    '  accept;',
    '}',
  ];
}

function communityStatement(community: string): string {
  const parts = community.split(':');
  if (!parts.every((part) => /^\d+$/.test(part)) || (parts.length !== 2 && parts.length !== 3)) {
    throw new RomanaError(
      'input_invalid',
      `${JSON.stringify(community)} is not a BGP community; write 65001:100 or 65001:1:2.`,
    );
  }
  const attribute = parts.length === 2 ? 'bgp_community' : 'bgp_large_community';
  return `${attribute}.add((${parts.join(', ')}));`;
}

function sessionLines(peer: BgpPeer, name: string, intent: BgpIntent, passwords: Passwords): string[] {
  const { address } = peer;
  if (address === null) {
    throw new RomanaError(
      'speaker_unfit',
      `BIRD cannot hold an unnumbered session (with ${peer.name}); give the device an address, or use frr.`,
    );
  }
  const password = passwordOf(passwords, peer);
  return [
    `protocol bgp ${name} {`,
    ...indent([
      `description ${birdQuote(peer.name)};`,
      `router id ${intent.routerId};`,
      `local ${peer.local === null ? '' : `${formatAddress(peer.local)} `}as ${intent.asn};`,
      `neighbor ${formatAddress(address)} as ${peer.asn};`,
      ...(peer.link === null ? [] : [`interface ${birdQuote(peer.link)};`]),
      'direct;',
      ...(peer.ttlSecurity ? ['ttl security on;'] : []),
      ...(password === null ? [] : [`password ${birdQuote(password)};`]),
      ...birdBfd(peer.bfd),
      ...birdTimers(intent.holdSeconds, intent.connectRetrySeconds),
      ...birdGracefulRestart(intent.gracefulRestartSeconds),
      ...peer.families.flatMap((family) => channelLines(family, peer, address)),
    ]),
    '}',
  ];
}

function channelLines(family: Family, peer: BgpPeer, address: Address): string[] {
  return [
    `ipv${family} {`,
    ...indent([
      `table romana${family};`,
      `import filter ${PREFIX}import${family};`,
      `export filter ${PREFIX}export${family};`,
      'next hop self;',
      ...(family === address.family ? [] : ['extended next hop on;']),
      ...(peer.maxPrefixes === null ? [] : [`import limit ${peer.maxPrefixes} action disable;`]),
    ]),
    '};',
  ];
}

/** One for each peer, in their order. Several sessions with one device over one family are told apart by address. */
function sessionNames(peers: readonly BgpPeer[]): string[] {
  const kind = (peer: BgpPeer): string => `${peer.name} ${peer.families.join('')}`;
  const seen = new Map<string, number>();
  for (const peer of peers) seen.set(kind(peer), (seen.get(kind(peer)) ?? 0) + 1);
  return peers.map((peer) => {
    const alone = seen.get(kind(peer)) === 1;
    const where = alone || peer.address === null ? '' : `.${formatAddress(peer.address)}`;
    return birdSymbol(PREFIX, `${peer.name}${where}`, `_${peer.families.join('')}`);
  });
}
