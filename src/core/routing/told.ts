/** How a device comes by its routes. May import core/address. */
import { formatCidr } from '../address/index.ts';
import type { DeviceRouting, PlannedRoute } from './model.ts';

/** Told by a neighbour over BGP, or configured; the latter also where sessions bring others but none brings this one. */
export function comesBy({
  routes,
  bgp,
}: Pick<DeviceRouting, 'routes' | 'bgp'>): (route: PlannedRoute) => 'bgp' | 'static' {
  const configured = new Set((bgp?.statics ?? routes).map(({ cidr }) => formatCidr(cidr)));
  return ({ cidr }) => (configured.has(formatCidr(cidr)) ? 'static' : 'bgp');
}
