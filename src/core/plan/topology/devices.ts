/** Switches and routers that a group lists, and the links of hosts to them. */
import { type Address, containsAddress, formatAddress, parseCidr } from '../../address/index.ts';
import { type Device, type DeviceUplink, type HostUplink, platforms } from '../../routing/fabric.ts';
import { asnAt, linksAt } from './fabric.ts';
import {
  addressesAt,
  booleanAt,
  fieldsAt,
  integerAt,
  linkAt,
  listAt,
  nameAt,
  oneOfAt,
  type Reading,
  textAt,
} from './fields.ts';
import type { FileDevice, Path } from './types.ts';

const most = { perGroup: 1024, all: 16_384, uplinks: 64, ofHost: 8 };
const deviceKeys = [
  'name',
  'platform',
  'addresses',
  'asn',
  'uplinks',
  'routerId',
  'routeReflector',
  'links',
  'budget',
] as const;

export function devicesAt(r: Reading, value: unknown, at: Path): FileDevice[] {
  return listAt(r, value, at, most.perGroup).flatMap((item, i) => {
    const device = deviceAt(r, item, [...at, i]);
    return device === undefined ? [] : [{ ...device, at: [...at, i] }];
  });
}

function deviceAt(r: Reading, value: unknown, at: Path): Device | undefined {
  if (r.full) return undefined;
  r.devices++;
  if (r.devices > most.all) {
    if (r.devices === most.all + 1) r.refuse(at, `More than ${most.all} devices.`);
    return undefined;
  }
  const fields = fieldsAt(r, value, at, deviceKeys);
  if (fields === undefined) return undefined;
  const name = nameAt(r, fields['name'], [...at, 'name']);
  const device: Omit<Device, 'name'> = {
    platform: oneOfAt(r, fields['platform'], [...at, 'platform'], platforms) ?? 'json',
    addresses: nextHopsAt(r, fields['addresses'], [...at, 'addresses']),
    uplinks: listAt(r, fields['uplinks'], [...at, 'uplinks'], most.uplinks).flatMap((item, i) => {
      const uplink = deviceUplinkAt(r, item, [...at, 'uplinks', i]);
      return uplink === undefined ? [] : [uplink];
    }),
    asn: asnAt(r, fields['asn'], [...at, 'asn']) ?? null,
    routerId: routerIdAt(r, fields['routerId'], [...at, 'routerId']),
    routeReflector: booleanAt(r, fields['routeReflector'], [...at, 'routeReflector']) ?? false,
    links: linksAt(r, fields['links'], [...at, 'links']),
    budget: integerAt(r, fields['budget'], [...at, 'budget'], 1, 100_000_000) ?? null,
  };
  return name === undefined ? undefined : { name, ...device };
}

/** The name alone where both ends are reached by their own addresses. */
function deviceUplinkAt(r: Reading, value: unknown, at: Path): DeviceUplink | undefined {
  if (typeof value === 'string') {
    const device = nameAt(r, value, at);
    return device === undefined ? undefined : { device, local: [], remote: [] };
  }
  const fields = fieldsAt(r, value, at, ['device', 'local', 'remote']);
  if (fields === undefined) return undefined;
  const device = nameAt(r, fields['device'], [...at, 'device']);
  const local = nextHopsAt(r, fields['local'], [...at, 'local']);
  const remote = nextHopsAt(r, fields['remote'], [...at, 'remote']);
  const has = (list: readonly Address[], family: 4 | 6): boolean =>
    list.some((address) => address.family === family);
  const differ = ([4, 6] as const).some((family) => has(local, family) !== has(remote, family));
  if (local.length > 0 && remote.length > 0 && differ)
    r.refuse(at, 'local and remote need addresses of the same families.');
  return device === undefined ? undefined : { device, local, remote };
}

function routerIdAt(r: Reading, value: unknown, at: Path): string | null {
  if (value === undefined || value === null) return null;
  const text = textAt(r, value, at, 64);
  if (text === undefined) return null;
  const read = addressesAt(r, [text], at)[0];
  if (read === undefined) return null;
  if (read.family === 4 && formatAddress(read) !== '0.0.0.0') return text;
  r.refuse(at, 'routerId is a dotted quad such as 192.0.2.1, other than 0.0.0.0.');
  return null;
}

/** Undefined: not stated. */
export function uplinksAt(r: Reading, value: unknown, at: Path): HostUplink[] | undefined {
  if (value === undefined || value === null) return undefined;
  const uplinks = listAt(r, value, at, most.ofHost).flatMap((item, i) => {
    const uplink = hostUplinkAt(r, item, [...at, i]);
    return uplink === undefined ? [] : [uplink];
  });
  for (const [i, { device }] of uplinks.entries())
    if (uplinks.findIndex((other) => other.device === device) < i)
      r.refuse([...at, i], `There is an uplink to ${device} already; a host has one to each device.`);
  return uplinks;
}

function hostUplinkAt(r: Reading, value: unknown, at: Path): HostUplink | undefined {
  if (typeof value === 'string') {
    const device = nameAt(r, value, at);
    return device === undefined ? undefined : { device, addresses: [], link: null };
  }
  const fields = fieldsAt(r, value, at, ['device', 'addresses', 'link']);
  if (fields === undefined) return undefined;
  const device = nameAt(r, fields['device'], [...at, 'device']);
  const addresses = nextHopsAt(r, fields['addresses'], [...at, 'addresses']);
  const { link: given } = fields;
  const link = given === undefined || given === null ? undefined : linkAt(r, given, [...at, 'link']);
  return device === undefined ? undefined : { device, addresses, link: link ?? null };
}

const unusable = ['0.0.0.0/8', '127.0.0.0/8', '224.0.0.0/3', '::/127', 'ff00::/8', 'fe80::/10'].map(
  parseCidr,
);

function nextHopsAt(r: Reading, value: unknown, at: Path): Address[] {
  const addresses = addressesAt(r, value, at);
  for (const address of addresses)
    if (unusable.some((range) => containsAddress(range, address)))
      r.refuse(at, `${formatAddress(address)} cannot be a next hop; give a unicast address of the link.`);
  return addresses;
}
