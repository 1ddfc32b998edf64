/** Static routes of a switch that is a Linux box: lines for `ip -batch`, in its main table. */
import { formatAddress, formatCidr } from '../../address/index.ts';
import type { DeviceRouting, NextHop, PlannedRoute } from '../model.ts';
import { staticRoutes } from './device-routes.ts';

export function iproute2Device(routing: DeviceRouting): string {
  const lines = [
    `# ${routing.device.name}: written by Romana for ip -batch; routes of the main table.`,
    ...staticRoutes(routing).map(routeLine),
    '',
  ];
  return lines.join('\n');
}

function routeLine({ cidr, nextHops }: PlannedRoute): string {
  const [only] = nextHops;
  if (only === undefined) return `route replace blackhole ${formatCidr(cidr)}`;
  if (nextHops.length === 1) return `route replace ${formatCidr(cidr)} ${hop(only)}`;
  return `route replace ${formatCidr(cidr)} ${nextHops.map((one) => `nexthop ${hop(one)}`).join(' ')}`;
}

function hop({ address, link }: NextHop): string {
  return `via ${formatAddress(address)}${link === null ? '' : ` dev ${link}`}`;
}
