/** What takes the whole file to judge of fabrics: who serves whom, and whether both ends of a link can be. */
import { formatAddress } from '../../address/index.ts';
import type { Fabric, HostUplink } from '../../routing/fabric.ts';
import { isLeaf } from '../groups.ts';
import type { Reading } from './fields.ts';
import type { HostPlace } from './hosts.ts';
import type { PlannedGroup } from './plan.ts';
import { checkSessions, linkedUp, nearest, parentOf, type Served } from './sessions-check.ts';
import type { FileDevice, FileGroup, FileTopology, Path, TopologyFile } from './types.ts';

export function checkFabric(
  r: Reading,
  file: TopologyFile,
  groups: readonly PlannedGroup[],
  places: readonly HostPlace[],
): void {
  // Which devices there are is not said: the control plane knows.
  if (file.topologies === null) return;
  const devices = new Map<string, Served>();
  const fabrics = new Map<string, Fabric | null>();
  for (const topology of file.topologies) {
    collect(r, topology, devices, fabrics);
    for (const group of [topology, ...below(topology.groups)]) checkPeerings(r, group, topology, fabrics);
  }
  const families = familiesOf(groups);
  const uplinks = linkedUp([...devices.values()]);
  const having = new Set([...devices.values()].map(({ topology, path }) => `${topology} ${path}`));
  for (const served of devices.values()) {
    checkDevice(r, served, devices, having);
    const up = uplinks.get(served.device.name) ?? [];
    noteFamilies(r, served, up, devices, families.get(served.topology) ?? new Set());
  }
  checkSessions(r, devices, uplinks, groups, places);
  const of = Map.groupBy(places, ({ host }) => host.name);
  for (const [, standing] of of) {
    const [first] = standing;
    if (first === undefined) continue;
    const { at, name, uplinks = [] } = first.host;
    const fault = (message: string, i?: number): void => {
      r.refuse(i === undefined ? at : [...at, 'uplinks', i], message, 'topology_invalid');
    };
    const where = standing.flatMap(({ topology, path }) => (topology === null ? [] : [{ topology, path }]));
    for (const [i, uplink] of uplinks.entries())
      for (const message of uplinkFaults(uplink, where, (device) => devices.get(device)))
        fault(`Host ${name}: ${message}`, i);
    const unnumbered = where.some(({ topology, path }) => {
      const fabric = fabrics.get(`${topology} ${path}`);
      return fabric?.kind === 'bgp' && fabric.unnumbered;
    });
    if (!unnumbered) continue;
    if (!uplinks.some(({ link }) => link !== null))
      fault(`Host ${name} stands in an unnumbered group: its uplinks name their links.`);
    for (const [i, { device, link }] of uplinks.entries())
      if (link !== null && devices.get(device)?.device.links[name] === undefined)
        fault(
          `Device ${device} does not say over which link it reaches host ${name}; add it to its links.`,
          i,
        );
  }
}

function below(groups: readonly FileGroup[]): FileGroup[] {
  return groups.flatMap((group) => [group, ...below(group.groups)]);
}

function checkPeerings(
  r: Reading,
  { at, fabric }: Pick<FileGroup, 'at' | 'fabric'>,
  { name }: FileTopology,
  fabrics: ReadonlyMap<string, Fabric | null>,
): void {
  if (fabric?.kind !== 'vpc') return;
  for (const [i, { group }] of fabric.peerings.entries())
    if (group === '' || !fabrics.has(`${name} ${group}`))
      r.refuse(
        [...at, 'fabric', 'peerings', i, 'group'],
        `There is no group ${group} in this topology.`,
        'topology_invalid',
      );
}

/** Of a stored topology as well as of a file. */
export interface ServedDevice {
  readonly topology: string;
  readonly path: string;
  readonly device: Pick<FileDevice, 'name' | 'addresses' | 'links'>;
}

/** What keeps a host that stands there from this link. */
export function uplinkFaults(
  { device: name, addresses, link }: HostUplink,
  where: readonly { readonly topology: string; readonly path: string }[],
  find: (device: string) => ServedDevice | undefined,
): string[] {
  const served = find(name);
  if (served === undefined) return [`there is no device ${name}; list it under devices of its group.`];
  const { topology, path, device } = served;
  if (!where.some((place) => place.topology === topology && within(place.path, path)))
    return [`device ${name} serves ${groupText(path)}, in which the host does not stand.`];
  if (link !== null && device.addresses.length === 0) return [];
  return addresses
    .filter(({ family }) => !device.addresses.some((own) => own.family === family))
    .map(
      (address) =>
        `device ${name} has no IPv${address.family} address, so ${formatAddress(address)} reaches nothing there.`,
    );
}

function within(path: string, above: string): boolean {
  return above === '' || path === above || path.startsWith(`${above}/`);
}

function groupText(path: string): string {
  return path === '' ? 'another topology' : `group ${path}`;
}

function collect(
  r: Reading,
  topology: FileTopology,
  devices: Map<string, Served>,
  fabrics: Map<string, Fabric | null>,
): void {
  const look = (
    { fabric: own, devices: here = [], at }: Pick<FileGroup, 'fabric' | 'devices' | 'at'>,
    path: string,
    above: Fabric | null,
    leaf: boolean,
    served: boolean,
    groups: readonly FileGroup[],
  ): void => {
    const fabric = own ?? above;
    fabrics.set(`${topology.name} ${path}`, fabric);
    for (const device of here) {
      if (devices.has(device.name))
        r.refuse(
          [...device.at, 'name'],
          `Device ${device.name} is there twice; a device serves one group, with everything below.`,
          'topology_invalid',
        );
      else devices.set(device.name, { topology: topology.name, path, fabric, leaf, device });
    }
    const known = served || here.length > 0;
    if (leaf && !known && fabric?.kind === 'bgp')
      r.refuse(
        own === undefined ? at : [...at, 'fabric'],
        `The hosts of ${path === '' ? 'the topology' : `group ${path}`} have nobody to speak BGP with; list devices there or above.`,
        'topology_invalid',
      );
    for (const group of groups) {
      const inner = path === '' ? group.name : `${path}/${group.name}`;
      look(group, inner, fabric, isLeaf(group), known, group.groups);
    }
  };
  look(topology, '', null, isLeaf({ ...topology }), false, topology.groups);
}

function checkDevice(
  r: Reading,
  { topology, path, fabric, leaf, device }: Served,
  devices: ReadonlyMap<string, Served>,
  having: ReadonlySet<string>,
): void {
  const { at, name, addresses, uplinks, asn, routerId, links } = device;
  const above =
    path === '' ? undefined : nearest(parentOf(path), (group) => having.has(`${topology} ${group}`));
  const fault = (where: Path, message: string): void => {
    r.refuse(where, message, 'topology_invalid');
  };
  if (fabric?.kind === 'bgp') {
    if (asn === null) fault(at, `Device ${name} speaks BGP; give it an asn.`);
    if (routerId === null && !addresses.some(({ family }) => family === 4))
      fault(at, `Device ${name} has no IPv4 address to be known by in BGP; give it a routerId.`);
    if (leaf && !fabric.unnumbered && addresses.length === 0)
      fault(at, `Device ${name} needs addresses, or its hosts cannot reach it.`);
  }
  if (fabric?.kind === 'l3-static' && leaf && addresses.length === 0)
    fault(at, `Device ${name} needs addresses, or its hosts cannot reach it.`);
  if (Object.keys(links).length > 0 && !(fabric?.kind === 'bgp' && fabric.unnumbered))
    fault([...at, 'links'], 'links are for unnumbered sessions; leave them out, or state unnumbered.');
  for (const [i, uplink] of uplinks.entries()) {
    const where = [...at, 'uplinks', i];
    const upper = devices.get(uplink.device);
    if (uplinks.findIndex((other) => other.device === uplink.device) < i)
      fault(where, `There is an uplink to ${uplink.device} already; a device has one to each.`);
    if (upper === undefined) fault(where, `There is no device ${uplink.device}; list it at a group above.`);
    else if (upper.topology !== topology || upper.path !== above)
      fault(
        where,
        `Device ${uplink.device} does not stand above ${name}: an uplink leads to a device of the next group further up that has any, so links never go in a circle.`,
      );
    else if (uplink.remote.length === 0 && upper.device.addresses.length === 0)
      fault(where, `Device ${uplink.device} has no addresses; state remote, its addresses on this link.`);
  }
}

/** A family that no uplink carries is cut off from above. */
function noteFamilies(
  r: Reading,
  { device }: Served,
  uplinks: FileDevice['uplinks'],
  devices: ReadonlyMap<string, Served>,
  families: ReadonlySet<4 | 6>,
): void {
  const { at, name, addresses } = device;
  if (uplinks.length === 0) return;
  for (const family of families) {
    const carried = uplinks.some(({ device: to, local, remote }) => {
      const upper = devices.get(to)?.device.addresses ?? [];
      return [local.length === 0 ? addresses : local, remote.length === 0 ? upper : remote].every((end) =>
        end.some((address) => address.family === family),
      );
    });
    if (!carried)
      r.note(
        device.uplinks.length === 0 ? at : [...at, 'uplinks'],
        `No uplink of ${name} has IPv${family} addresses at both ends: what is below it and what is above it do not reach each other's IPv${family} endpoints.`,
      );
  }
}

/** Of the networks that each topology carves. */
function familiesOf(groups: readonly PlannedGroup[]): Map<string, Set<4 | 6>> {
  const families = new Map<string, Set<4 | 6>>();
  for (const { topology, ranges } of groups) {
    if (topology === null) continue;
    const known = families.get(topology) ?? new Set();
    for (const { cidr } of ranges) known.add(cidr.address.family);
    families.set(topology, known);
  }
  return families;
}
