/** Refuses nonsense and works out once what the sizes mean: today, and with growth. */
import { type Cidr, formatCidr, overlaps, parseCidr, widthOf } from '../../address/index.ts';
import { isRomanaError, RomanaError } from '../../errors.ts';
import type { Budgets, Fabric, Growth, PlanInput, PlanNetworkInput, PlanSizes } from './types.ts';

/** Ids have at most 32 bits. */
const mostIds = 0xffffffff;
const mostGrowth = 1000;
const mostNetworks = 16;
export const fabrics: readonly Fabric[] = ['l2', 'l3-static', 'vpc'];

export interface CheckedNetwork {
  readonly name: string;
  readonly cidr: Cidr;
  /** Bits below the prefix. */
  readonly bits: number;
}

/** Sizes as the parts of an address count them. */
export interface Shape {
  readonly zones: number;
  /** In the fullest zone. */
  readonly racks: number;
  /** In the fullest rack; without racks, of a zone; without zones, all. */
  readonly hosts: number;
  readonly tenants: number;
  readonly segments: number;
  /** Of one segment on one host. */
  readonly endpoints: number;
  /** Of all tenants together on one host. */
  readonly hostEndpoints: number;
}

export interface Checked {
  readonly input: PlanInput;
  readonly planned: PlanSizes;
  readonly today: Shape;
  readonly grown: Shape;
  readonly networks: readonly CheckedNetwork[];
}

function refuse(path: string, message: string): RomanaError {
  return new RomanaError('input_invalid', message, { details: { path } });
}

type Fields = Readonly<Record<string, unknown>>;

export function fieldsOf(value: unknown, path: string): Fields {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw refuse(path, `${path} must be an object with fields.`);
  }
  return value as Fields;
}

export function readCount(fields: Fields, name: string, least: number, most = mostIds): number {
  const value = fields[name];
  if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most) {
    throw refuse(
      name,
      `${name} must be a whole number of ${least} to ${most}, not ${JSON.stringify(value) ?? 'nothing'}.`,
    );
  }
  return value;
}

function readOptional(fields: Fields, name: string, least = 1): number | null {
  const value = fields[name];
  return value === null || value === undefined ? null : readCount(fields, name, least);
}

function readGrowth(value: unknown): Growth {
  const fields = fieldsOf(value, 'growth');
  const one = (name: string): number => {
    const factor = fields[name];
    if (typeof factor !== 'number' || !(factor >= 1 && factor <= mostGrowth)) {
      throw refuse(`growth.${name}`, `Growth is a factor of 1 to ${mostGrowth}; 1 means none.`);
    }
    if (Math.abs(factor * 1000 - Math.round(factor * 1000)) > 1e-6) {
      throw refuse(`growth.${name}`, `Growth has at most three decimals, ${factor} has more.`);
    }
    return factor;
  };
  return { hosts: one('hosts'), tenants: one('tenants'), endpoints: one('endpoints') };
}

function readFabric(value: unknown): Fabric | null {
  const known = fabrics.find((fabric) => fabric === value);
  if (known === undefined && value !== null) {
    throw refuse('fabric', `fabric is one of ${fabrics.join(', ')}, not ${JSON.stringify(value)}.`);
  }
  return known ?? null;
}

export function readBudgets(value: unknown): Budgets {
  const fields = fieldsOf(value, 'budgets');
  return {
    fabric: readFabric(fields['fabric'] ?? null),
    routesPerHost: readOptional(fields, 'routesPerHost'),
    routesPerSwitch: readOptional(fields, 'routesPerSwitch'),
    vpcRoutes: readCount(fields, 'vpcRoutes', 1),
  };
}

export function readSizes(fields: Fields): PlanSizes {
  const sizes: PlanSizes = {
    hosts: readCount(fields, 'hosts', 1),
    racks: readOptional(fields, 'racks'),
    zones: readOptional(fields, 'zones'),
    tenants: readCount(fields, 'tenants', 1),
    segments: readCount(fields, 'segments', 1),
    endpointsPerHost: readCount(fields, 'endpointsPerHost', 1),
    endpointsPerSegment: readOptional(fields, 'endpointsPerSegment'),
  };
  const { hosts, racks, zones, tenants, segments, endpointsPerHost, endpointsPerSegment } = sizes;
  if (racks !== null && racks > hosts) {
    throw refuse('racks', `${racks} racks are more than ${hosts} hosts; count only racks that hold hosts.`);
  }
  if (zones !== null && zones > (racks ?? hosts)) {
    throw refuse(
      'zones',
      `${zones} zones are more than ${racks ?? hosts} ${racks === null ? 'hosts' : 'racks'}; count only zones that hold some.`,
    );
  }
  if (endpointsPerSegment !== null) {
    if (endpointsPerSegment > endpointsPerHost) {
      throw refuse(
        'endpointsPerSegment',
        `A segment cannot have ${endpointsPerSegment} endpoints on a host of ${endpointsPerHost}; leave it out to let it have all.`,
      );
    }
    if (endpointsPerSegment * segments * tenants < endpointsPerHost) {
      throw refuse(
        'endpointsPerSegment',
        `${tenants} tenants of ${segments} segments with ${endpointsPerSegment} endpoints each do not make ${endpointsPerHost} endpoints on a host; raise endpointsPerSegment.`,
      );
    }
  }
  return sizes;
}

export function readNetworks(value: unknown): CheckedNetwork[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > mostNetworks) {
    throw refuse('networks', `Name 1 to ${mostNetworks} networks, such as 10.0.0.0/8.`);
  }
  const networks: CheckedNetwork[] = [];
  for (const [index, entry] of (value as unknown[]).entries()) {
    const path = `networks.${index}`;
    const { name, cidr: text } = fieldsOf(entry, path);
    // It becomes the name of an object and a word on command lines.
    if (typeof name !== 'string' || !/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(name)) {
      throw refuse(
        `${path}.name`,
        `A network's name has small letters, digits and "-", not ${JSON.stringify(name) ?? 'nothing'}.`,
      );
    }
    if (networks.some((other) => other.name === name)) {
      throw refuse(`${path}.name`, `Two networks are named ${name}; rename one of them.`);
    }
    const cidr = readCidr(text, `${path}.cidr`);
    const bits = widthOf(cidr.address.family) - cidr.length;
    if (bits < 4) {
      throw refuse(
        `${path}.cidr`,
        `${formatCidr(cidr)} is too small: four fields of one bit each need a /${widthOf(cidr.address.family) - 4} at least.`,
      );
    }
    const clash = networks.find((other) => overlaps(other.cidr, cidr));
    if (clash !== undefined) {
      throw refuse(
        `${path}.cidr`,
        `${formatCidr(cidr)} overlaps ${formatCidr(clash.cidr)}; networks must be disjoint.`,
      );
    }
    networks.push({ name, cidr, bits });
  }
  return networks;
}

function readCidr(text: unknown, path: string): Cidr {
  try {
    if (typeof text !== 'string') throw refuse(path, 'A CIDR is text, such as 10.0.0.0/8.');
    return parseCidr(text);
  } catch (error) {
    throw isRomanaError(error) ? refuse(path, error.message) : error;
  }
}

/** ⌈size × growth⌉ without the errors of binary fractions: 10 × 1.1 is 11. Growth has three decimals. */
export function grow(size: number, growth: number): number {
  return Math.ceil((size * Math.round(growth * 1000)) / 1000);
}

export function grownSizes(sizes: PlanSizes, growth: Growth): PlanSizes {
  const endpointsPerHost = grow(sizes.endpointsPerHost, growth.endpoints);
  return {
    hosts: grow(sizes.hosts, growth.hosts),
    racks: sizes.racks === null ? null : grow(sizes.racks, growth.hosts),
    zones: sizes.zones,
    tenants: grow(sizes.tenants, growth.tenants),
    segments: sizes.segments,
    endpointsPerHost,
    endpointsPerSegment:
      sizes.endpointsPerSegment === null
        ? null
        : Math.min(endpointsPerHost, grow(sizes.endpointsPerSegment, growth.endpoints)),
  };
}

/** Racks are spread evenly over zones, hosts over racks. */
export function shapeOf(sizes: PlanSizes): Shape {
  const zones = sizes.zones ?? 1;
  return {
    zones,
    racks: sizes.racks === null ? 1 : Math.ceil(sizes.racks / zones),
    hosts: Math.ceil(sizes.hosts / leavesOf(sizes)),
    tenants: sizes.tenants,
    segments: sizes.segments,
    endpoints: sizes.endpointsPerSegment ?? sizes.endpointsPerHost,
    hostEndpoints: sizes.endpointsPerHost,
  };
}

/** Groups that hold hosts. */
export function leavesOf(sizes: PlanSizes): number {
  return sizes.racks ?? sizes.zones ?? 1;
}

/** Throws input_invalid with `details.path`. Takes what a file or a program holds: nothing about its shape is believed. */
export function checkInput(value: unknown): Checked {
  const fields = fieldsOf(value, 'input');
  const sizes = readSizes(fields);
  const growth = readGrowth(fields['growth']);
  const budgets = readBudgets(fields['budgets']);
  const networks = readNetworks(fields['networks']);
  const named: PlanNetworkInput[] = networks.map(({ name, cidr }) => ({ name, cidr: formatCidr(cidr) }));
  const planned = grownSizes(sizes, growth);
  const today = shapeOf(sizes);
  const even = shapeOf(planned);
  return {
    input: { ...sizes, growth, budgets, networks: named },
    planned,
    today,
    // More racks by rounding could leave each with fewer hosts than one has today.
    grown: { ...even, hosts: Math.max(even.hosts, today.hosts) },
    networks,
  };
}
