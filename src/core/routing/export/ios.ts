/** A device's configuration for Cisco IOS and IOS XE. */
import { type Cidr, formatAddress, formatCidr, maskOf } from '../../address/index.ts';
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

export function iosDevice(routing: DeviceRouting, options: ExportOptions): string {
  const { bgp, device } = routing;
  const { routes, missing } = tableOf(routing);
  const sessions = bgp === null ? [] : sessionsOf(device.name, bgp, 'cisco-ios');
  const lines = [
    ...header(routing, 'Cisco IOS', options, '!'),
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
  const start =
    cidr.address.family === 4 ? `ip route ${masked(cidr, ' ')}` : `ipv6 route ${formatCidr(cidr)}`;
  if (nextHops.length === 0) return [`${start} Null0`];
  return nextHops.map(
    ({ address, link }) => `${start} ${link === null ? '' : `${link} `}${formatAddress(address)}`,
  );
}

/** `10.0.0.0 255.0.0.0` */
function masked({ address, length }: Cidr, between: string): string {
  return `${formatAddress(address)}${between}${formatAddress(maskOf(4, length))}`;
}

/** Without numbers, so that an entry that comes or goes is one line. A list of nothing would permit everything. */
function listLines(family: 4 | 6, name: string, entries: readonly FilterEntry[]): string[] {
  const start = `${family === 4 ? 'ip' : 'ipv6'} prefix-list ${name}`;
  if (entries.length === 0) return [`${start} deny ${family === 4 ? '0.0.0.0/0 le 32' : '::/0 le 128'}`];
  return entries.map((entry) => `${start} permit ${prefixText(entry)}`);
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
      `bgp router-id ${bgp.routerId}`,
      'bgp log-neighbor-changes',
      'no bgp default ipv4-unicast',
      'bgp bestpath as-path multipath-relax',
      ...(restart === 0 ? [] : [`bgp graceful-restart restart-time ${restart}`, 'bgp graceful-restart']),
      `timers bgp ${keepaliveOf(bgp.holdSeconds)} ${bgp.holdSeconds}`,
      ...sessions.flatMap((session) => sessionLines(session, options)),
      ...families.flatMap((family) => familyLines(routing, bgp, sessions, family)),
    ].map((line) => ` ${line}`),
  ];
}

function sessionLines(session: Session, options: ExportOptions): string[] {
  const { address, asn, name, bfd, ttlSecurity } = session;
  const who = `neighbor ${formatAddress(address)}`;
  return [
    `${who} remote-as ${asn}`,
    `${who} description ${name}`,
    ...passwordLine(session, options, (password) => `${who} password ${password}`, '!'),
    ...(ttlSecurity ? [`${who} ttl-security hops 1`] : []),
    ...(bfd === null
      ? []
      : [
          `! on the interface towards ${name}: bfd interval ${bfd.intervalMs} min_rx ${bfd.intervalMs} multiplier ${bfd.multiplier}`,
          `${who} fall-over bfd`,
        ]),
  ];
}

function familyLines(
  routing: DeviceRouting,
  bgp: DeviceBgpIntent,
  sessions: readonly Session[],
  family: 4 | 6,
): string[] {
  const network = (cidr: Cidr): string => (family === 4 ? masked(cidr, ' mask ') : formatCidr(cidr));
  return [
    `address-family ipv${family}${family === 4 ? '' : ' unicast'}`,
    ...announcedFrom(routing, family).map((cidr) => ` network ${network(cidr)}`),
    ...sessions
      .filter((session) => session.families.includes(family))
      .flatMap(({ address, id, maxPrefixes, routeReflectorClient }) => {
        const who = ` neighbor ${formatAddress(address)}`;
        return [
          `${who} activate`,
          `${who} next-hop-self`,
          ...(routeReflectorClient ? [`${who} route-reflector-client`] : []),
          `${who} prefix-list ${id}-in in`,
          `${who} prefix-list ${id}-out out`,
          ...(maxPrefixes === null ? [] : [`${who} maximum-prefix ${maxPrefixes}`]),
        ];
      }),
    ` maximum-paths ${bgp.ecmp}`,
    ...(sessions.some(({ asn }) => asn === bgp.asn) ? [` maximum-paths ibgp ${bgp.ecmp}`] : []),
    'exit-address-family',
  ];
}
