/** The first lines of every configuration: whose it is, and whether it fits. */
import type { DeviceRouting } from '../model.ts';

export interface ExportOptions {
  /** The passwords of the sessions, which the control plane does not have; without it a comment says where it belongs. */
  readonly password?: string;
  /** Of the control plane, to be confirmed when the device has the configuration. */
  readonly revision?: number;
}

/** Where `comment` begins one. */
export function header(
  { device, topology, path, routes, problems }: DeviceRouting,
  what: string,
  { revision }: ExportOptions,
  comment: string,
): string[] {
  const group = path === '' ? `topology ${topology}` : `group ${path} of topology ${topology}`;
  const used =
    device.budget === null ? `${routes.length} routes` : `${routes.length} routes of ${device.budget}`;
  const over = device.budget !== null && routes.length > device.budget ? ': more than it has room for' : '';
  return [
    `${device.name}: written by Romana for ${what}`,
    `${group}; ${used}${over}${revision === undefined ? '' : `; revision ${revision}`}`,
    ...problems.map(({ message }) => `problem: ${message}`),
  ].map((line) => `${comment} ${line}`);
}
