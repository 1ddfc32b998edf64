/** What every device configuration has to decide alike: which routes are static, and what stands for a secret that Romana does not have. */
import type { BgpNeighbour, DeviceRouting, PlannedRoute } from '../model.ts';

/** The passwords of a device's sessions. The control plane has none: without one given here, a comment says where it belongs. */
export interface DeviceSecrets {
  readonly password?: string;
}

/**
 * Where BGP brings the routes, only what the device drops is static: its own aggregates, and the networks that it originates. Else all.
 */
export function staticRoutes({ bgp, routes }: DeviceRouting): readonly PlannedRoute[] {
  return bgp === null ? routes : routes.filter(({ nextHops }) => nextHops.length === 0);
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
