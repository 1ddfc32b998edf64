/**
 * What a BGP intent is in the words of GoBGP 3: the file of the daemon, and the program that starts it and gives it its routes. Pure.
 *
 * 1. Equal intents give equal texts: peers, families and prefixes are sorted.
 * 2. A session's description ends with a digest of its own definition, so that the daemon can be asked whether it has read it, and
 *    no session's text depends on another's: GoBGP resets the sessions whose text changes.
 * 3. Exported is what stands in the announcement sets and was originated here; imported what lies in the accept sets. The rest is
 *    rejected by default.
 * 4. GoBGP keeps no routes over a restart: the program that starts it adds them, while the daemon still defers its announcements
 *    (-r), so no peer sees it come back without routes.
 */
import { createHash } from 'node:crypto';
import { type Cidr, compareCidr, type Family, formatAddress, formatCidr } from '#core/address/index.ts';
import { keepaliveOf } from '#core/routing/fabric.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { SpeakerPlace } from '../../speaker.ts';
import { type Passwords, passwordOf } from '../speaker-secret.ts';

export const configFile = ({ dir }: SpeakerPlace): string => `${dir}/gobgpd.toml`;
export const startFile = ({ dir }: SpeakerPlace): string => `${dir}/gobgpd-start`;
export const targetOf = ({ control }: SpeakerPlace): string => `unix://${control}`;

/** Longer than reading the file and meeting the peers takes; a peer that is down delays the first announcements by so much. */
const DEFERRAL_SECONDS = 10;

/** Clients that run side by side: one after the other they would be late for the first announcement of a host with many ranges. */
const AT_ONCE = 16;

export interface Session {
  readonly peer: BgpPeer;
  readonly address: string;
  readonly description: string;
  readonly text: string;
}

export interface PrefixRange {
  readonly prefix: string;
  readonly min: number;
  readonly max: number;
}

/** Unnumbered peers are left out: refused before. */
export function sessionsOf(intent: BgpIntent, passwords: Passwords): readonly Session[] {
  return intent.peers
    .flatMap((peer): Session[] => {
      if (peer.address === null) return [];
      const address = formatAddress(peer.address);
      const text = sessionText(intent, peer, address, passwordOf(passwords, peer));
      const description = `${peer.name} ${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
      return [{ peer, address, description, text: text.replace('@description@', description) }];
    })
    .toSorted((a, b) => (a.address < b.address ? -1 : 1));
}

function sessionText(intent: BgpIntent, peer: BgpPeer, address: string, password: string | null): string {
  const restart = intent.gracefulRestartSeconds;
  return [
    '[[neighbors]]',
    '  [neighbors.config]',
    `    neighbor-address = "${address}"`,
    `    peer-as = ${peer.asn}`,
    '    description = "@description@"',
    ...(password === null ? [] : [`    auth-password = "${password}"`]),
    '  [neighbors.timers.config]',
    `    connect-retry = ${intent.connectRetrySeconds}`,
    `    hold-time = ${intent.holdSeconds}`,
    `    keepalive-interval = ${keepaliveOf(intent.holdSeconds)}`,
    ...(peer.local === null
      ? []
      : ['  [neighbors.transport.config]', `    local-address = "${formatAddress(peer.local)}"`]),
    ...(peer.ttlSecurity
      ? ['  [neighbors.ttl-security.config]', '    enabled = true', '    ttl-min = 255']
      : []),
    ...(restart === 0
      ? []
      : [
          '  [neighbors.graceful-restart.config]',
          '    enabled = true',
          `    restart-time = ${restart}`,
          `    deferral-time = ${Math.min(DEFERRAL_SECONDS, restart)}`,
        ]),
    ...peer.families
      .toSorted((a, b) => a - b)
      .flatMap((family) => [
        '  [[neighbors.afi-safis]]',
        '    [neighbors.afi-safis.config]',
        `      afi-safi-name = "ipv${family}-unicast"`,
        ...(restart === 0
          ? []
          : ['    [neighbors.afi-safis.mp-graceful-restart.config]', '      enabled = true']),
        ...(peer.maxPrefixes === null
          ? []
          : ['    [neighbors.afi-safis.prefix-limit.config]', `      max-prefixes = ${peer.maxPrefixes}`]),
      ]),
    '',
  ].join('\n');
}

/** Name → what is in it, both policies' sets; empty ones are left out, since GoBGP takes an empty set for "any". */
export function prefixSets(intent: BgpIntent): ReadonlyMap<string, readonly PrefixRange[]> {
  const families: readonly Family[] = [4, 6];
  return new Map(
    families
      .flatMap((family): [string, PrefixRange[]][] => {
        const width = family === 4 ? 32 : 128;
        const of = (cidrs: readonly Cidr[]): Cidr[] =>
          cidrs.filter(({ address }) => address.family === family).toSorted(compareCidr);
        return [
          [`romana-announce-${family}`, of(intent.announce).map((cidr) => rangeOf(cidr, cidr.length))],
          [
            `romana-accept-${family}`,
            [
              ...of(intent.accept).map((cidr) => rangeOf(cidr, width)),
              ...(intent.acceptDefault
                ? [{ prefix: family === 4 ? '0.0.0.0/0' : '::/0', min: 0, max: 0 }]
                : []),
            ],
          ],
        ];
      })
      .filter(([, ranges]) => ranges.length > 0),
  );
}

function rangeOf(cidr: Cidr, max: number): PrefixRange {
  return { prefix: formatCidr(cidr), min: cidr.length, max };
}

export function configText(intent: BgpIntent, sessions: readonly Session[]): string {
  const sets = prefixSets(intent);
  const named = (kind: string): string[] => [...sets.keys()].filter((name) => name.startsWith(kind)).sort();
  return [
    '# Written by Romana; what is changed here is overwritten.',
    '[global.config]',
    `  as = ${intent.asn}`,
    `  router-id = "${intent.routerId}"`,
    '[global.apply-policy.config]',
    '  import-policy-list = ["romana-import"]',
    '  default-import-policy = "reject-route"',
    '  export-policy-list = ["romana-export"]',
    '  default-export-policy = "reject-route"',
    '',
    ...[...sets].flatMap(([name, ranges]) => [
      '[[defined-sets.prefix-sets]]',
      `  prefix-set-name = "${name}"`,
      ...ranges.flatMap(({ prefix, min, max }) => [
        '  [[defined-sets.prefix-sets.prefix-list]]',
        `    ip-prefix = "${prefix}"`,
        `    masklength-range = "${min}..${max}"`,
      ]),
    ]),
    '',
    // Routes that are added here pass the import policy too.
    ...policy('romana-import', [
      statement('romana-import-own', { local: true }),
      ...named('romana-accept-').map((set) => statement(set, { set })),
    ]),
    '',
    ...policy(
      'romana-export',
      named('romana-announce-').map((set) => statement(set, { set, local: true })),
    ),
    '',
    ...sessions.map(({ text }) => text),
  ].join('\n');
}

function policy(name: string, statements: readonly string[][]): string[] {
  return ['[[policy-definitions]]', `  name = "${name}"`, ...statements.flat()];
}

function statement(name: string, { set, local }: { set?: string; local?: boolean }): string[] {
  return [
    '  [[policy-definitions.statements]]',
    `    name = "${name}"`,
    ...(set === undefined
      ? []
      : [
          '    [policy-definitions.statements.conditions.match-prefix-set]',
          `      prefix-set = "${set}"`,
          '      match-set-options = "any"',
        ]),
    ...(local === true
      ? ['    [policy-definitions.statements.conditions.bgp-conditions]', '      route-type = "local"']
      : []),
    '    [policy-definitions.statements.actions]',
    '      route-disposition = "accept-route"',
  ];
}

/** Words after `gobgp global rib`. */
export function addWords(cidr: Cidr, communities: readonly string[]): string[] {
  const of = (parts: number): string[] => communities.filter((text) => text.split(':').length === parts);
  return [
    'add',
    formatCidr(cidr),
    '-a',
    `ipv${cidr.address.family}`,
    'origin',
    'igp',
    ...(of(2).length === 0 ? [] : ['community', of(2).join(',')]),
    ...(of(3).length === 0 ? [] : ['large-community', of(3).join(',')]),
  ];
}

/**
 * Becomes the daemon, so that who starts it has the daemon itself as its child; the routes are added by a process that is nobody's
 * child and ends by itself.
 */
export function startText(place: SpeakerPlace, intent: BgpIntent): string {
  const target = targetOf(place);
  const adds = intent.announce
    .toSorted(compareCidr)
    .flatMap((cidr, index) => [
      `  gobgp --target ${target} global rib ${addWords(cidr, intent.communities).join(' ')} &`,
      ...((index + 1) % AT_ONCE === 0 || index + 1 === intent.announce.length ? ['  wait'] : []),
    ]);
  const restart = intent.gracefulRestartSeconds === 0 ? '' : ' -r';
  return [
    '#!/bin/sh',
    '# Written by Romana; what is changed here is overwritten.',
    'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
    'export PATH',
    'give_routes() {',
    '  left=300',
    `  until gobgp --target ${target} global > /dev/null 2>&1; do`,
    '    left=$((left - 1))',
    '    [ "$left" -gt 0 ] || return 0',
    '    sleep 0.1',
    '  done',
    ...adds,
    '}',
    '(give_routes > /dev/null 2>&1 &)',
    `exec gobgpd${restart} -f ${configFile(place)} -t toml --api-hosts ${target} --pprof-disable`,
    '',
  ].join('\n');
}

/** The same files with nothing to announce, for when nobody knows the intent any more. */
export function silentConfig(text: string): string {
  return text.replace(/^(\s*export-policy-list = ).*$/m, '$1[]');
}
export function silentStart(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^ {2}(gobgp .* global rib add .*|wait)$/.test(line))
    .join('\n');
}
