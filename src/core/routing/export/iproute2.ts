/** Static routes of a switch that is a Linux box: lines for `ip -batch FILE`, in its main table. It speaks no BGP: all routes are static. */
import { formatAddress, formatCidr } from '../../address/index.ts';
import type { DeviceRouting, NextHop, PlannedRoute } from '../model.ts';
import { type ExportOptions, header } from './header.ts';
import { sessionsOf } from './sessions.ts';

export function iproute2Device(routing: DeviceRouting, options: ExportOptions): string {
  // Only a session tells the address at the other end of a link without addresses.
  if (routing.bgp !== null) sessionsOf(routing.device.name, routing.bgp, 'iproute2');
  const lines = [
    ...header(routing, 'ip -batch; routes of the main table', options, '#'),
    ...routing.routes.map(routeLine),
    '',
  ];
  return lines.join('\n');
}

function routeLine({ cidr, nextHops }: PlannedRoute): string {
  const start = `route replace`;
  const [only, ...more] = nextHops;
  if (only === undefined) return `${start} blackhole ${formatCidr(cidr)}`;
  const { family } = cidr.address;
  if (more.length === 0) return `${start} ${formatCidr(cidr)} ${via(family, only)}`;
  return `${start} ${formatCidr(cidr)} ${nextHops.map((hop) => `nexthop ${via(family, hop)}`).join(' ')}`;
}

function via(family: 4 | 6, { address, link }: NextHop): string {
  const over = family === 4 && address.family === 6 ? 'inet6 ' : '';
  return `via ${over}${formatAddress(address)}${link === null ? '' : ` dev ${link}`}`;
}
