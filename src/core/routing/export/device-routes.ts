/** What every device configuration has to decide alike: which routes are static, and what stands for a secret that Romana does not have. */
import { equalCidr } from '../../address/index.ts';
import type { BgpNeighbour, DeviceRouting, PlannedRoute } from '../model.ts';

/** The passwords of a device's sessions. The control plane has none: without one given here, a comment says where it belongs. */
export interface DeviceSecrets {
  readonly password?: string;
}

/**
 * Where BGP brings the routes, only what the device drops is static: its own aggregates, and the networks that it originates. Else all.
 */
export function staticRoutes({ bgp, routes }: DeviceRouting): readonly PlannedRoute[] {
  if (bgp === null) return routes;
  const dropped = routes.filter(({ nextHops }) => nextHops.length === 0);
  const originated = bgp.originate
    .filter((cidr) => !dropped.some((route) => equalCidr(route.cidr, cidr)))
    .map((cidr): PlannedRoute => ({ cidr, nextHops: [], why: { kind: 'own' } }));
  return [...dropped, ...originated];
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
