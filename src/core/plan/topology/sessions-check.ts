/** Whether the sessions that a file asks for can carry what they have to: AS numbers, route reflection, TTL security. */
import type { Fabric } from '../../routing/fabric.ts';
import type { Reading } from './fields.ts';
import type { HostPlace } from './hosts.ts';
import type { PlannedGroup } from './plan.ts';
import type { FileDevice } from './types.ts';

/** A device and where it stands; `fabric` is the one that holds there. */
export interface Served {
  readonly topology: string;
  readonly path: string;
  readonly fabric: Fabric | null;
  /** Hosts stand there. */
  readonly leaf: boolean;
  readonly device: FileDevice;
}

/** Stated, or one to every device of the next group above that has any, from and to their own addresses. */
export function linkedUp(devices: readonly Served[]): ReadonlyMap<string, FileDevice['uplinks']> {
  const standing = Map.groupBy(devices, ({ topology, path }) => `${topology} ${path}`);
  return new Map(
    devices.map(({ topology, path, device: { name, uplinks } }) => {
      if (uplinks.length > 0 || path === '') return [name, uplinks];
      const above = nearest(parentOf(path), (at) => standing.has(`${topology} ${at}`));
      const uppers = above === undefined ? [] : (standing.get(`${topology} ${above}`) ?? []);
      return [name, uppers.map(({ device: upper }) => ({ device: upper.name, local: [], remote: [] }))];
    }),
  );
}

export function checkSessions(
  r: Reading,
  devices: ReadonlyMap<string, Served>,
  uplinks: ReturnType<typeof linkedUp>,
  groups: readonly PlannedGroup[],
  places: readonly HostPlace[],
): void {
  const all = [...devices.values()];
  const serving = new Map(all.map(({ topology, path }) => [`${topology} ${path}`, 0]));
  for (const { topology, path } of all)
    serving.set(`${topology} ${path}`, (serving.get(`${topology} ${path}`) ?? 0) + 1);
  /** AS numbers that hosts state, by the group whose devices serve them. */
  const stated = new Map<string, Set<number>>();
  for (const { host, topology, path } of places) {
    if (host.asn === undefined || topology === null) continue;
    const group = nearest(path, (at) => serving.has(`${topology} ${at}`));
    if (group === undefined) continue;
    const key = `${topology} ${group}`;
    stated.set(key, (stated.get(key) ?? new Set()).add(host.asn));
  }
  /** AS numbers of the devices below, by the device that they are linked to. */
  const lower = new Map<string, Set<number>>();
  for (const { device } of all) {
    if (device.asn === null) continue;
    for (const uplink of uplinks.get(device.name) ?? [])
      lower.set(uplink.device, (lower.get(uplink.device) ?? new Set()).add(device.asn));
  }
  const ids = new Map<string, number>();
  for (const one of all) {
    const { topology, path, fabric, leaf, device } = one;
    const { asn, at, name } = device;
    if (fabric?.kind !== 'bgp' || asn === null) continue;
    const fault = (message: string): void => {
      r.refuse(at, message, 'topology_invalid');
    };
    const toHosts =
      (leaf && fabric.hostAsn === asn && !fabric.hostAsnPerHost) ||
      stated.get(`${topology} ${path}`)?.has(asn) === true;
    const toLower = lower.get(name)?.has(asn) === true;
    const toUpper = (uplinks.get(name) ?? []).some(
      (uplink) => devices.get(uplink.device)?.device.asn === asn,
    );
    if (toUpper && (toHosts || toLower) && !device.routeReflector)
      fault(
        `Device ${name} hands on routes between neighbours of its own AS ${asn}, which only a route reflector does; state routeReflector: true, or another asn.`,
      );
    if (fabric.ttlSecurity && (toHosts || toUpper))
      fault(
        `TTL security is for sessions between two AS numbers, but ${name} has AS ${asn} in common with ${toHosts ? 'its hosts' : 'a device above'}; leave out ttlSecurity, or state another asn.`,
      );
    if (fabric.aggregate === true && (serving.get(`${topology} ${path}`) ?? 0) > 1)
      r.note(
        at,
        `${name} is one of several devices of its group: with aggregate: true it draws traffic for hosts to which its own link is down.`,
      );
    if (!fabric.hostAsnPerHost) continue;
    const most = ids.get(topology) ?? mostIds(groups, topology);
    ids.set(topology, most);
    if (fabric.hostAsn + most > 4_294_967_294)
      fault(
        `hostAsn ${fabric.hostAsn} plus a host id (up to ${most}) is more than an AS number can be; state a smaller hostAsn.`,
      );
    else if (asn > fabric.hostAsn && asn <= fabric.hostAsn + most)
      r.note(
        [...at, 'asn'],
        `AS ${asn} is also that of the host with host id ${asn - fabric.hostAsn}; state an asn outside of ${fabric.hostAsn + 1} to ${fabric.hostAsn + most}.`,
      );
  }
}

/** The nearest group at or above `path`. */
export function nearest(path: string, has: (path: string) => boolean): string | undefined {
  for (let at = path; ; at = parentOf(at)) {
    if (has(at)) return at;
    if (at === '') return undefined;
  }
}

export function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Host ids go up together in all networks, so the narrowest ends them. */
function mostIds(groups: readonly PlannedGroup[], topology: string): number {
  const last = new Map<string, number>();
  for (const group of groups) {
    if (group.topology !== topology) continue;
    for (const { network, lastHostId } of group.ranges)
      last.set(network, Math.max(last.get(network) ?? 0, lastHostId));
  }
  return last.size === 0 ? 0 : Math.min(...last.values());
}
