/** A device's configuration for Juniper Junos, as `set` commands. What is in them is replaced as a whole, so that nothing old stays. */
import { type Family, formatAddress, formatCidr } from '../../address/index.ts';
import type { DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';
import { passwordLine } from './device-routes.ts';
import { type ExportOptions, header } from './header.ts';
import {
  type FilterEntry,
  families,
  filterOf,
  missingLines,
  type Session,
  sessionsOf,
  tableOf,
} from './sessions.ts';

export function junosDevice(routing: DeviceRouting, options: ExportOptions): string {
  const { bgp, device } = routing;
  const { routes, missing } = tableOf(routing);
  const sessions = bgp === null ? [] : sessionsOf(device.name, bgp, 'juniper-junos');
  const several = (bgp?.ecmp ?? 1) > 1 || routes.some(({ nextHops }) => nextHops.length > 1);
  const lines = [
    ...header(routing, 'Juniper Junos', options, '#'),
    ...missingLines(missing, '#'),
    ...routes.flatMap(routeLines),
    ...(several
      ? [
          'set policy-options policy-statement romana-ecmp then load-balance per-packet',
          'set routing-options forwarding-table export romana-ecmp',
        ]
      : []),
    ...(bgp === null ? [] : bgpLines(bgp)),
    ...sessions.flatMap((session) => [...policyLines(session), ...sessionLines(session, bgp!, options)]),
    '',
  ];
  return lines.join('\n');
}

function routeLines({ cidr, nextHops }: PlannedRoute): string[] {
  const rib = cidr.address.family === 4 ? '' : ' rib inet6.0';
  const route = `routing-options${rib} static route ${formatCidr(cidr)}`;
  if (nextHops.length === 0) return [`set ${route} discard`];
  return nextHops.map(({ address, link }) =>
    link === null
      ? `set ${route} next-hop ${formatAddress(address)}`
      : `set ${route} qualified-next-hop ${formatAddress(address)} interface ${link}`,
  );
}

function bgpLines(bgp: DeviceBgpIntent): string[] {
  const restart = bgp.gracefulRestartSeconds;
  return [
    `set routing-options router-id ${bgp.routerId}`,
    `set routing-options autonomous-system ${bgp.asn}`,
    ...(restart === 0
      ? []
      : [
          'set routing-options graceful-restart',
          // The most that it takes.
          `set protocols bgp graceful-restart restart-time ${Math.min(600, restart)}`,
        ]),
    ...(bgp.ecmp > 1 ? ['set protocols bgp multipath multiple-as'] : []),
  ];
}

/** Beginning with their removal: what they had before goes. */
function policyLines(session: Session): string[] {
  const exact = families.filter((family) => session.families.includes(family));
  const entries = (accepted: 'accept' | 'announce'): FilterEntry[] =>
    exact.flatMap((family: Family) => filterOf(family, session[accepted], session[`${accepted}Within`]));
  return [
    ...onePolicy(`${session.id}-in`, entries('accept'), []),
    ...onePolicy(`${session.id}-out`, entries('announce'), ['then next-hop self']),
  ];
}

function onePolicy(name: string, entries: readonly FilterEntry[], more: readonly string[]): string[] {
  const policy = `policy-options policy-statement ${name}`;
  return [
    `delete ${policy}`,
    ...(entries.length === 0
      ? []
      : [
          ...entries.map(
            ({ cidr, within }) =>
              `set ${policy} term ours from route-filter ${formatCidr(cidr)} ${within ? 'orlonger' : 'exact'}`,
          ),
          ...more.map((line) => `set ${policy} term ours ${line}`),
          `set ${policy} term ours then accept`,
        ]),
    `set ${policy} then reject`,
  ];
}

function sessionLines(session: Session, bgp: DeviceBgpIntent, options: ExportOptions): string[] {
  const { address, asn, bfd, id, local, maxPrefixes, name, routeReflectorClient, ttlSecurity } = session;
  const group = `set protocols bgp group ${id}`;
  const who = `${group} neighbor ${formatAddress(address)}`;
  const internal = asn === bgp.asn;
  return [
    `${group} type ${internal ? 'internal' : 'external'}`,
    ...(routeReflectorClient ? [`${group} cluster ${bgp.routerId}`] : []),
    `${who} description "${name}"`,
    ...(internal ? [] : [`${who} peer-as ${asn}`]),
    ...(local === null ? [] : [`${who} local-address ${formatAddress(local)}`]),
    `${who} hold-time ${bgp.holdSeconds}`,
    ...passwordLine(session, options, (password) => `${who} authentication-key "${quoted(password)}"`, '#'),
    ...(ttlSecurity
      ? [`${who} ttl 255`, `# packets from ${name} with a smaller TTL: to be dropped by a firewall filter`]
      : []),
    ...(bfd === null
      ? []
      : [
          `${who} bfd-liveness-detection minimum-interval ${bfd.intervalMs}`,
          `${who} bfd-liveness-detection multiplier ${bfd.multiplier}`,
        ]),
    ...session.families.flatMap((family) => {
      const unicast = `${who} family ${family === 4 ? 'inet' : 'inet6'} unicast`;
      if (maxPrefixes === null) return [unicast];
      return [`${unicast} prefix-limit maximum ${maxPrefixes}`, `${unicast} prefix-limit teardown`];
    }),
    `${who} import ${id}-in`,
    `${who} export ${id}-out`,
  ];
}

function quoted(text: string): string {
  return text.replace(/[\\"]/g, '\\$&');
}
