/** All that is planned for a device, for programs: docs/schemas/device-routing.json. Fields are only ever added. */
import { type Address, type Cidr, formatAddress, formatCidr } from '../../address/index.ts';
import type { BgpNeighbour, DeviceBgpIntent, DeviceRouting, NextHop, PlannedRoute } from '../model.ts';
import type { ExportOptions } from './header.ts';

/** As it is written. */
export interface DeviceDocument {
  readonly device: string;
  readonly platform: string;
  readonly topology: string;
  readonly group: string;
  readonly fabric: string;
  readonly revision: number | null;
  readonly budget: { readonly limit: number | null; readonly used: number };
  readonly routes: readonly RouteDocument[];
  readonly gateways: readonly HopDocument[];
  readonly bgp: unknown;
  readonly problems: readonly { readonly code: string; readonly about: string; readonly message: string }[];
}
interface RouteDocument {
  readonly prefix: string;
  readonly action: 'forward' | 'drop';
  readonly nextHops: readonly HopDocument[];
  readonly why: PlannedRoute['why'];
}
interface HopDocument {
  readonly address: string;
  readonly to: string;
  readonly link: string | null;
}

export function jsonDevice(routing: DeviceRouting, { revision }: ExportOptions): string {
  const { device, topology, path, kind, routes, gateways, bgp, problems } = routing;
  const document: DeviceDocument = {
    device: device.name,
    platform: device.platform,
    topology,
    group: path,
    fabric: kind,
    revision: revision ?? null,
    budget: { limit: device.budget, used: routes.length },
    routes: routes.map(routeOf),
    gateways: gateways.map(hopOf),
    bgp: bgp === null ? null : bgpOf(bgp),
    problems: problems.map(({ code, about, message }) => ({ code, about, message })),
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

function routeOf({ cidr, nextHops, why }: PlannedRoute): RouteDocument {
  const action = nextHops.length === 0 ? 'drop' : 'forward';
  return { prefix: formatCidr(cidr), action, nextHops: nextHops.map(hopOf), why };
}

function hopOf({ address, to, link }: NextHop): HopDocument {
  return { address: formatAddress(address), to, link };
}

function bgpOf(bgp: DeviceBgpIntent): object {
  return {
    ...bgp,
    originate: texts(bgp.originate),
    advertise: texts(bgp.advertise),
    statics: bgp.statics.map(routeOf),
    neighbours: bgp.neighbours.map(neighbourOf),
  };
}

function neighbourOf(neighbour: BgpNeighbour): object {
  return {
    ...neighbour,
    address: textOf(neighbour.address),
    local: textOf(neighbour.local),
    accept: texts(neighbour.accept),
    acceptWithin: texts(neighbour.acceptWithin),
    announce: texts(neighbour.announce),
    announceWithin: texts(neighbour.announceWithin),
  };
}

function texts(cidrs: readonly Cidr[]): string[] {
  return cidrs.map(formatCidr);
}

function textOf(address: Address | null): string | null {
  return address === null ? null : formatAddress(address);
}
