/**
 * What a BGP intent is in the words of ExaBGP 4.2: one neighbour with its static routes for each session. Pure.
 *
 * 1. Equal intents give equal texts: peers, families and prefixes are sorted.
 * 2. The description of a neighbour ends with a digest of its definition without routes; so the daemon itself can be asked whether it
 *    has read this definition.
 * 3. A route stands on a line of its own, so that all of them can be taken out of a file whose intent nobody knows any more.
 */
import { createHash } from 'node:crypto';
import { compareCidr, formatAddress, formatCidr } from '#core/address/index.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { SpeakerPlace } from '../../speaker.ts';
import { type Passwords, passwordOf } from '../speaker-secret.ts';

export const configFile = ({ dir }: SpeakerPlace): string => `${dir}/exabgp.conf`;
export const helperFile = ({ dir }: SpeakerPlace): string => `${dir}/exabgp-api`;

/** One session as the file has it. */
export interface Neighbour {
  readonly peer: BgpPeer;
  readonly address: string;
  readonly description: string;
  /** Without routes and without the closing brace. */
  readonly definition: string;
  /** Prefix → attributes, both as ExaBGP prints them. */
  readonly routes: ReadonlyMap<string, string>;
}

/** Peers without an own address, or unnumbered, are left out: ExaBGP has no session without. */
export function neighbours(intent: BgpIntent, passwords: Passwords): readonly Neighbour[] {
  return intent.peers
    .flatMap((peer) => {
      if (peer.address === null || peer.local === null) return [];
      const address = formatAddress(peer.address);
      const lines = [
        `  router-id ${intent.routerId};`,
        `  local-address ${formatAddress(peer.local)};`,
        `  local-as ${intent.asn};`,
        `  peer-as ${peer.asn};`,
        `  hold-time ${intent.holdSeconds};`,
        ...password(passwordOf(passwords, peer)),
        ...(peer.ttlSecurity ? ['  outgoing-ttl 255;', '  incoming-ttl 255;'] : []),
        '  capability {',
        '    asn4 enable;',
        '    route-refresh enable;',
        ...(intent.gracefulRestartSeconds === 0
          ? []
          : [`    graceful-restart ${intent.gracefulRestartSeconds};`]),
        '  }',
        '  family {',
        ...peer.families.toSorted((a, b) => a - b).map((family) => `    ipv${family} unicast;`),
        '  }',
        '  api {',
        '    processes [ romana ];',
        '    neighbor-changes;',
        '  }',
      ];
      const digest = createHash('sha256').update(lines.join('\n')).digest('hex').slice(0, 16);
      const description = `${peer.name} ${digest}`;
      const definition = [`neighbor ${address} {`, `  description "${description}";`, ...lines].join('\n');
      const attributes = communities(intent.communities);
      const routes = new Map(
        intent.announce
          .filter((cidr) => peer.families.includes(cidr.address.family))
          .toSorted(compareCidr)
          .map((cidr) => [formatCidr(cidr), attributes]),
      );
      return [{ peer, address, description, definition, routes }];
    })
    .toSorted((a, b) => (a.address < b.address ? -1 : 1));
}

export function configText(place: SpeakerPlace, all: readonly Neighbour[]): string {
  return [
    '# Written by Romana; what is changed here is overwritten.',
    `process romana { run ${helperFile(place)} ${place.control}; encoder json; }`,
    ...all.map(({ definition, routes }) =>
      [
        definition,
        '  static {',
        ...[...routes].map(([prefix, attributes]) => `    ${routeText(prefix, attributes)};`),
        '  }',
        '}',
      ].join('\n'),
    ),
    '',
  ].join('\n');
}

/** As in the file and in commands of the API. */
export function routeText(prefix: string, attributes: string): string {
  return `route ${prefix} next-hop self${attributes === '' ? '' : ` ${attributes}`}`;
}

export function withoutRoutes(text: string): string {
  return text
    .split('\n')
    .filter((line) => !/^\s*route .*;$/.test(line))
    .join('\n');
}

function password(text: string | null): string[] {
  return text === null ? [] : [`  md5-password "${text}";`];
}

/** The form in which attributes are compared: sorted. */
export function communities(all: readonly string[]): string {
  return [['community', 2] as const, ['large-community', 3] as const]
    .flatMap(([word, parts]) => {
      const values = all.filter((text) => text.split(':').length === parts).toSorted();
      return values.length === 0 ? [] : [`${word} [ ${values.join(' ')} ]`];
    })
    .join(' ');
}
