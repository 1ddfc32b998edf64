/** A device's configuration for Arista EOS. */
import { type Cidr, formatAddress, formatCidr } from '../../address/index.ts';
import { keepaliveOf } from '../fabric.ts';
import type { DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';
import { passwordLine } from './device-routes.ts';
import { type ExportOptions, header } from './header.ts';
import {
  announcedFrom,
  type FilterEntry,
  families,
  filterLines,
  missingLines,
  needs6,
  prefixText,
  type Session,
  sessionsOf,
  tableOf,
} from './sessions.ts';

export function eosDevice(routing: DeviceRouting, options: ExportOptions): string {
  const { bgp, device } = routing;
  const { routes, missing } = tableOf(routing);
  const sessions = bgp === null ? [] : sessionsOf(device.name, bgp, 'arista-eos');
  const lines = [
    ...header(routing, 'Arista EOS', options, '!'),
    'ip routing',
    ...(needs6(routes, sessions) ? ['ipv6 unicast-routing'] : []),
    ...missingLines(missing, '!'),
    ...routes.flatMap(routeLines),
    ...sessions.flatMap((session) => filterLines(session, listLines)),
    ...(bgp === null ? [] : bgpLines(routing, bgp, sessions, options)),
    '',
  ];
  return lines.join('\n');
}

function routeLines({ cidr, nextHops }: PlannedRoute): string[] {
  const start = `${word(cidr)} route ${formatCidr(cidr)}`;
  if (nextHops.length === 0) return [`${start} Null0`];
  return nextHops.map(
    ({ address, link }) => `${start} ${link === null ? '' : `${link} `}${formatAddress(address)}`,
  );
}

function word({ address }: Cidr): 'ip' | 'ipv6' {
  return address.family === 4 ? 'ip' : 'ipv6';
}

/** A list of nothing would permit everything. */
function listLines(family: 4 | 6, name: string, entries: readonly FilterEntry[]): string[] {
  const start = `${family === 4 ? 'ip' : 'ipv6'} prefix-list ${name}`;
  const all = [...entries.map((entry) => `permit ${prefixText(entry)}`), `deny ${everything(family)}`];
  return [start, ...all.map((entry, i) => `   seq ${(i + 1) * 10} ${entry}`)];
}

function everything(family: 4 | 6): string {
  return family === 4 ? '0.0.0.0/0 le 32' : '::/0 le 128';
}

function bgpLines(
  routing: DeviceRouting,
  bgp: DeviceBgpIntent,
  sessions: readonly Session[],
  options: ExportOptions,
): string[] {
  const restart = bgp.gracefulRestartSeconds;
  return [
    `router bgp ${bgp.asn}`,
    ...[
      `router-id ${bgp.routerId}`,
      'no bgp default ipv4-unicast',
      `timers bgp ${keepaliveOf(bgp.holdSeconds)} ${bgp.holdSeconds}`,
      ...(restart === 0 ? [] : [`graceful-restart restart-time ${restart}`, 'graceful-restart']),
      `maximum-paths ${bgp.ecmp} ecmp ${bgp.ecmp}`,
      ...sessions.flatMap((session) => sessionLines(session, options)),
      ...families.flatMap((family) => [
        `address-family ipv${family}`,
        ...sessions
          .filter((session) => session.families.includes(family))
          .flatMap(({ address, id }) => [
            `   neighbor ${formatAddress(address)} activate`,
            `   neighbor ${formatAddress(address)} prefix-list ${id}-in in`,
            `   neighbor ${formatAddress(address)} prefix-list ${id}-out out`,
          ]),
        ...announcedFrom(routing, family).map((cidr) => `   network ${formatCidr(cidr)}`),
      ]),
    ].map((line) => `   ${line}`),
  ];
}

function sessionLines(session: Session, options: ExportOptions): string[] {
  const { address, asn, name, bfd, ttlSecurity, maxPrefixes, routeReflectorClient } = session;
  const who = `neighbor ${formatAddress(address)}`;
  return [
    `${who} remote-as ${asn}`,
    `${who} description ${name}`,
    `${who} next-hop-self`,
    ...passwordLine(session, options, (password) => `${who} password 0 ${password}`, '!'),
    ...(ttlSecurity ? [`${who} ttl maximum-hops 1`] : []),
    ...(bfd === null
      ? []
      : [
          `${who} bfd`,
          `${who} bfd interval ${bfd.intervalMs} min-rx ${bfd.intervalMs} multiplier ${bfd.multiplier}`,
        ]),
    ...(routeReflectorClient ? [`${who} route-reflector-client`] : []),
    ...(maxPrefixes === null ? [] : [`${who} maximum-routes ${maxPrefixes}`]),
  ];
}
