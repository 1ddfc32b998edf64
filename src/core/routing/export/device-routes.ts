/** What every device configuration has to decide alike: which routes are static, and what stands for a secret that Romana does not have. */
import { type Cidr, compareCidr, equalCidr } from '../../address/index.ts';
import type { BgpNeighbour, DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';

/** The passwords of a device's sessions. The control plane has none: without one given here, a comment says where it belongs. */
export interface DeviceSecrets {
  readonly password?: string;
}

/** Where BGP brings the routes, only what the device drops and what no session brings is static. Else all. */
export function staticRoutes({ bgp, routes }: DeviceRouting): readonly PlannedRoute[] {
  if (bgp === null) return routes;
  const dropped = bgp.originate.map((cidr): PlannedRoute => ({ cidr, nextHops: [], why: { kind: 'own' } }));
  return [...dropped, ...bgp.statics].sort((a, b) => compareCidr(a.cidr, b.cidr));
}

/** Announced without a route of that prefix behind it. */
export function announcedAlone({ advertise, originate, statics }: DeviceBgpIntent): readonly Cidr[] {
  const there = [...originate, ...statics.map(({ cidr }) => cidr)];
  return advertise.filter((cidr) => !there.some((other) => equalCidr(other, cidr)));
}

export function passwordLine(
  neighbour: Pick<BgpNeighbour, 'password' | 'name'>,
  secrets: DeviceSecrets,
  line: (password: string) => string,
  comment: string,
): string[] {
  if (!neighbour.password) return [];
  if (secrets.password !== undefined) return [line(secrets.password)];
  return [`${comment} add here: ${line('PASSWORD')} with the password that ${neighbour.name} has`];
}
