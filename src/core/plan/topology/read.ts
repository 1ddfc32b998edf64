/** A topology document, ours or one of Romana 2, into what it says. Throws nothing: what is wrong becomes issues. */
import { type Cidr, type Layout, parseLayout, widthOf } from '../../address/index.ts';
import { largestReservation } from '../buddy.ts';
import { devicesAt, uplinksAt } from './devices.ts';
import { asnAt, fabricAt } from './fabric.ts';
import {
  addressAt,
  attempt,
  cidrAt,
  fieldsAt,
  groupNameAt,
  integerAt,
  kindOf,
  labelsAt,
  listAt,
  nameAt,
  Reading,
  textAt,
} from './fields.ts';
import type { FileGroup, FileHost, FileNetwork, FileTopology, Path, ReadResult } from './types.ts';

/** A file within these needs no long time and no much memory, whatever it says. */
export const limits = {
  networks: 64,
  topologies: 64,
  groups: 16_384,
  hosts: 16_384,
  depth: 16,
  tenants: 4096,
};

const networkKeys = [
  'name',
  'cidr',
  'layout',
  'kind',
  'tenants',
  'infrastructure',
  'reserved',
  'quarantineSeconds',
  'block_mask',
] as const;
const groupKeys = [
  'name',
  'assignment',
  'size',
  'slots',
  'growth',
  'groups',
  'hosts',
  'routing',
  'fabric',
  'devices',
] as const;
const hostKeys = ['name', 'ip', 'addresses', 'labels', 'allocator', 'growth', 'uplinks', 'asn'] as const;

export function readTopology(document: unknown): ReadResult {
  const r = new Reading();
  const top = fieldsAt(r, document, [], ['networks', 'topologies', 'hosts', 'groups']) ?? {};
  const networks = listAt(r, top['networks'], ['networks'], limits.networks).flatMap((value, i) =>
    present(readNetwork(r, value, ['networks', i])),
  );
  const topologies = readTopologies(r, top);
  const hosts = readHosts(r, top['hosts'], ['hosts']);
  return { file: { networks, topologies, hosts }, issues: r.issues, notes: r.notes };
}

/** `groups` alone is short for one topology of all networks. */
function readTopologies(r: Reading, top: Readonly<Record<string, unknown>>): FileTopology[] | null {
  const { groups, topologies } = top;
  if (groups !== undefined) {
    if (topologies !== undefined)
      r.refuse(['groups'], 'State either topologies or groups.', 'input_invalid', true);
    const inner = readChildren(r, groups, ['groups'], 1);
    if (inner.hosts[0] !== undefined) r.refuse(inner.hosts[0].at, outside);
    return [{ at: ['groups'], name: 'default', networks: null, groups: inner.groups }];
  }
  if (topologies === undefined) return null;
  return listAt(r, topologies, ['topologies'], limits.topologies).flatMap((value, i, all) =>
    present(readOne(r, value, ['topologies', i], all.length === 1 ? 'default' : `topology${i + 1}`)),
  );
}

const outside = 'A host stands in a group; put one around it, or list it under hosts at the top.';

function present<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}

function readNetwork(r: Reading, value: unknown, at: Path): FileNetwork | undefined {
  if (r.full) return undefined;
  const fields = fieldsAt(r, value, at, networkKeys);
  if (fields === undefined) return undefined;
  const name = nameAt(r, fields['name'], [...at, 'name']);
  const cidr = cidrAt(r, fields['cidr'], [...at, 'cidr']);
  const layout = cidr === undefined ? undefined : layoutOf(r, fields, at, cidr);
  const { infrastructure } = fields;
  const given = (key: string): boolean => fields[key] !== undefined && fields[key] !== null;
  if (given('infrastructure') && infrastructure !== 'allow' && infrastructure !== 'deny')
    r.refuse([...at, 'infrastructure'], 'infrastructure is allow or deny.');
  const most = 86_400;
  const quarantineSeconds = integerAt(r, fields['quarantineSeconds'], [...at, 'quarantineSeconds'], 0, most);
  const tenants = listAt(r, fields['tenants'], [...at, 'tenants'], limits.tenants).flatMap((text, i) =>
    present(nameAt(r, text, [...at, 'tenants', i])),
  );
  refuseTwice(r, tenants, [...at, 'tenants'], 'Tenant');
  const reserved = listAt(r, fields['reserved'], [...at, 'reserved'], 1024).flatMap((text, i) =>
    present(cidrAt(r, text, [...at, 'reserved', i])),
  );
  if (name === undefined || cidr === undefined || layout === undefined) return undefined;
  return {
    at,
    name,
    cidr,
    ...layout,
    ...(given('tenants') ? { tenants } : {}),
    ...(infrastructure === 'allow' || infrastructure === 'deny' ? { infrastructure } : {}),
    ...(given('reserved') ? { reserved } : {}),
    ...(quarantineSeconds === undefined ? {} : { quarantineSeconds }),
  };
}

interface Read {
  readonly layout: Layout | null;
  readonly derived: boolean;
}

function layoutOf(
  r: Reading,
  fields: Readonly<Record<string, unknown>>,
  at: Path,
  cidr: Cidr,
): Read | undefined {
  const { layout, kind, block_mask: mask } = fields;
  const given = [layout, kind, mask].filter((entry) => entry !== undefined && entry !== null);
  if (given.length > 1)
    return r.refuse(at, 'State one of layout, kind and block_mask; they exclude each other.');
  if (kind !== undefined && kind !== null) {
    if (kind === 'flat') return { layout: null, derived: false };
    return r.refuse([...at, 'kind'], 'kind is flat, or left out for a network with a layout.');
  }
  if (layout === undefined || layout === null) return derive(r, at, cidr, mask);
  const path = [...at, 'layout'];
  if (typeof layout === 'string') {
    const parsed = attempt(r, path, () => parseLayout(layout.slice(0, 64)));
    return parsed && { layout: parsed, derived: false };
  }
  const widths = fieldsAt(r, layout, path, ['host', 'tenant', 'segment', 'endpoint']);
  if (widths === undefined) return undefined;
  const width = (name: string): number | undefined => {
    if (widths[name] === undefined) return r.refuse([...path, name], `${name} is missing.`);
    return integerAt(r, widths[name], [...path, name], 0, 128);
  };
  const [host, tenant, segment, endpoint] = [
    width('host'),
    width('tenant'),
    width('segment'),
    width('endpoint'),
  ];
  if (host === undefined || tenant === undefined || segment === undefined || endpoint === undefined)
    return undefined;
  return { layout: { host, tenant, segment, endpoint }, derived: false };
}

/**
 * Romana 2 gave blocks of `block_mask` (29 where it said nothing) to (host, tenant, segment) as they came. Here a block is what
 * those three ids say, so the bits between the network's prefix and the block are divided among them: half for hosts, the rest
 * for tenants and segments, the odd bit going to the first of the two.
 */
function derive(r: Reading, at: Path, cidr: Cidr, given: unknown): Read | undefined {
  const width = widthOf(cidr.address.family);
  if (given === undefined && width === 128)
    return r.refuse([...at, 'cidr'], 'An IPv6 network states its layout, such as 16/16/16/64 for a /16.');
  const path = given === undefined ? [...at, 'cidr'] : [...at, 'block_mask'];
  const mask = given === undefined ? Math.max(29, cidr.length) : integerAt(r, given, path, 0, width);
  if (mask === undefined) return undefined;
  const stated = given === undefined ? `block_mask is ${mask} where none is stated` : `block_mask ${mask}`;
  if (mask < cidr.length) {
    return r.refuse(
      path,
      `${stated}, but the network is a /${cidr.length}: a block cannot be larger than its network.`,
    );
  }
  const endpoint = width - mask;
  const bits = mask - cidr.length;
  if (endpoint < 1 || bits < 3) {
    const why =
      endpoint < 1
        ? 'leaves no bit for endpoints'
        : `leaves ${bits} bits between network and block, but host, tenant and segment need one each`;
    return r.refuse(
      path,
      `${stated}: that ${why}; state a layout, or use a larger network.`,
      'layout_invalid',
    );
  }
  const host = Math.min(32, Math.ceil(bits / 2));
  const tenant = Math.min(32, Math.ceil((bits - host) / 2));
  const segment = bits - host - tenant;
  if (segment > 32) return r.refuse(path, `${stated}: state a layout instead.`, 'layout_invalid');
  r.note(
    path,
    `${stated}: read as layout ${host}/${tenant}/${segment}/${endpoint}; state that layout, or one that suits you better.`,
  );
  return { layout: { host, tenant, segment, endpoint }, derived: true };
}

function readOne(r: Reading, value: unknown, at: Path, otherwise: string): FileTopology | undefined {
  if (r.full) return undefined;
  const fields = fieldsAt(r, value, at, ['name', 'networks', 'map', 'slots', 'routing', 'fabric', 'devices']);
  if (fields === undefined) return undefined;
  const named = fields['name'] !== undefined;
  const name = named ? nameAt(r, fields['name'], [...at, 'name']) : otherwise;
  const stated = fields['networks'] !== undefined && fields['networks'] !== null;
  const networks = listAt(r, fields['networks'], [...at, 'networks'], limits.networks).flatMap((text, i) =>
    present(nameAt(r, text, [...at, 'networks', i])),
  );
  refuseTwice(r, networks, [...at, 'networks'], 'Network');
  noteRouting(r, fields, at);
  const slots = integerAt(r, fields['slots'], [...at, 'slots'], 1, limits.groups);
  const ofFabric = fabricOf(r, fields, at);
  const { groups, hosts } = readChildren(r, fields['map'], [...at, 'map'], 1);
  if (hosts[0] !== undefined) r.refuse(hosts[0].at, outside);
  if (name === undefined) return undefined;
  return {
    at,
    name,
    networks: stated ? networks : null,
    groups,
    ...(slots === undefined ? {} : { slots }),
    ...ofFabric,
  };
}

/** Romana 2 wrote hosts into `groups` as well; they are told by their `ip`. */
function readChildren(
  r: Reading,
  value: unknown,
  at: Path,
  depth: number,
): { groups: FileGroup[]; hosts: FileHost[] } {
  const groups: FileGroup[] = [];
  const hosts: FileHost[] = [];
  if (depth > limits.depth) {
    if (value !== undefined && value !== null)
      r.refuse(at, `Groups are nested more than ${limits.depth} deep.`);
    return { groups, hosts };
  }
  for (const [i, item] of listAt(r, value, at, limits.groups).entries()) {
    if (r.full) break;
    const path = [...at, i];
    if (typeof item === 'object' && item !== null && 'ip' in item) {
      hosts.push(...present(readHost(r, item, path)));
      continue;
    }
    groups.push(...present(readGroup(r, item, path, `group${i + 1}`, depth)));
  }
  return { groups, hosts };
}

function readGroup(
  r: Reading,
  value: unknown,
  at: Path,
  otherwise: string,
  depth: number,
): FileGroup | undefined {
  r.groups++;
  if (r.groups > limits.groups) {
    if (r.groups === limits.groups + 1) r.refuse(at, `More than ${limits.groups} groups.`);
    return undefined;
  }
  const fields = fieldsAt(r, value, at, groupKeys);
  if (fields === undefined) return undefined;
  const name = fields['name'] === undefined ? otherwise : groupNameAt(r, fields['name'], [...at, 'name']);
  const assignment = labelsAt(r, fields['assignment'], [...at, 'assignment']);
  const size = integerAt(r, fields['size'], [...at, 'size'], 1, 2 ** 32);
  if (size !== undefined && !Number.isInteger(Math.log2(size)))
    r.refuse(
      [...at, 'size'],
      `size is a power of two such as ${2 ** Math.ceil(Math.log2(size))}, not ${size}.`,
    );
  const slots = integerAt(r, fields['slots'], [...at, 'slots'], 1, limits.groups);
  const growth = growthAt(r, fields, at);
  noteRouting(r, fields, at);
  const ofFabric = fabricOf(r, fields, at);
  const inner = readChildren(r, fields['groups'], [...at, 'groups'], depth + 1);
  const hosts = [...inner.hosts, ...readHosts(r, fields['hosts'], [...at, 'hosts'])];
  const [host] = hosts;
  if (host !== undefined && (inner.groups.length > 0 || slots !== undefined))
    r.refuse(
      host.at,
      'A group holds either groups or hosts; put the hosts into one of the groups.',
      'topology_invalid',
    );
  if (name === undefined) return undefined;
  return {
    at,
    name,
    assignment,
    ...(size === undefined ? {} : { size }),
    ...(slots === undefined ? {} : { slots }),
    ...growth,
    ...ofFabric,
    groups: inner.groups,
    hosts,
  };
}

function readHosts(r: Reading, value: unknown, at: Path): FileHost[] {
  return listAt(r, value, at, limits.hosts).flatMap((item, i) => present(readHost(r, item, [...at, i])));
}

function readHost(r: Reading, value: unknown, at: Path): FileHost | undefined {
  if (r.full) return undefined;
  r.hosts++;
  if (r.hosts > limits.hosts) {
    if (r.hosts === limits.hosts + 1) r.refuse(at, `More than ${limits.hosts} hosts.`);
    return undefined;
  }
  const fields = fieldsAt(r, value, at, hostKeys);
  if (fields === undefined) return undefined;
  const name = nameAt(r, fields['name'], [...at, 'name']);
  const { ip, addresses: list, allocator } = fields;
  const stated = ip !== undefined;
  if (stated && list !== undefined) r.refuse([...at, 'ip'], 'State either ip or addresses.');
  const addresses = stated
    ? present(addressAt(r, ip, [...at, 'ip']))
    : listAt(r, list, [...at, 'addresses'], 2).flatMap((text, i) =>
        present(addressAt(r, text, [...at, 'addresses', i])),
      );
  if (addresses.length === 0 && !stated && (list === undefined || (Array.isArray(list) && list.length === 0)))
    r.refuse(at, 'A host needs an underlay address: ip, or addresses.');
  const families = new Set(addresses.map((text) => text.includes(':')));
  if (families.size !== addresses.length)
    r.refuse([...at, 'addresses'], 'A host has at most one underlay address of each family.');
  if (allocator !== undefined && allocator !== 'agent' && allocator !== 'server')
    r.refuse([...at, 'allocator'], 'allocator is agent or server.');
  const labels = labelsAt(r, fields['labels'], [...at, 'labels']);
  const growth = growthAt(r, fields, at);
  const uplinks = uplinksAt(r, fields['uplinks'], [...at, 'uplinks']);
  const asn = asnAt(r, fields['asn'], [...at, 'asn']);
  if (name === undefined) return undefined;
  return {
    at,
    name,
    addresses,
    ...(fields['labels'] === undefined ? {} : { labels }),
    ...(allocator === 'agent' || allocator === 'server' ? { allocator } : {}),
    ...growth,
    ...(uplinks === undefined ? {} : { uplinks }),
    ...(asn === undefined ? {} : { asn }),
  };
}

function fabricOf(
  r: Reading,
  fields: Readonly<Record<string, unknown>>,
  at: Path,
): Pick<FileGroup, 'fabric' | 'devices'> {
  const fabric = fabricAt(r, fields['fabric'], [...at, 'fabric']);
  const devices = devicesAt(r, fields['devices'], [...at, 'devices']);
  return { ...(fabric === undefined ? {} : { fabric }), ...(devices.length === 0 ? {} : { devices }) };
}

function growthAt(r: Reading, fields: Readonly<Record<string, unknown>>, at: Path): { growth?: number } {
  const growth = integerAt(r, fields['growth'], [...at, 'growth'], 1, largestReservation);
  return growth === undefined ? {} : { growth };
}

function noteRouting(r: Reading, fields: Readonly<Record<string, unknown>>, at: Path): void {
  const { routing } = fields;
  if (routing === undefined) return;
  if (typeof routing !== 'string') {
    r.refuse([...at, 'routing'], `routing is a text, not ${kindOf(routing)}.`);
    return;
  }
  textAt(r, routing, [...at, 'routing']);
  r.note([...at, 'routing'], 'routing is not used; state fabric instead (docs/topology.md).', true);
}

function refuseTwice(r: Reading, names: readonly string[], at: Path, what: string): void {
  const seen = new Set<string>();
  for (const [i, name] of names.entries()) {
    if (seen.has(name)) r.refuse([...at, i], `${what} ${name} is there twice.`);
    seen.add(name);
  }
}
