/** What groups state of the fabric: as files say it, and as it is stored. */
import { isDeepStrictEqual } from 'node:util';
import type { Device, Fabric, HostUplink } from '#contract/fabric.ts';
import { readDevice, readFabric, storedDevice, storedFabric } from '#contract/routing.ts';
import type { FileGroup } from '#core/plan/topology/index.ts';
import { bgpDefaults, l2Default, vpcDefaults } from '#core/routing/fabric.ts';
import type { Tree } from './topology.ts';

type Stored = Pick<Tree, 'fabric' | 'devices'>;
interface InFile {
  readonly fabric?: FileGroup['fabric'] | undefined;
  readonly devices?: FileGroup['devices'] | undefined;
}

export function storedStated({ fabric, devices }: InFile): Stored {
  return {
    ...(fabric === undefined ? {} : { fabric: storedFabric(fabric) }),
    ...(devices === undefined ? {} : { devices: devices.map(storedDevice) }),
  };
}

/** As a file has it, to be judged with one that comes. */
export function statedAgain({ fabric, devices }: Stored): Pick<FileGroup, 'fabric' | 'devices'> {
  return {
    ...(fabric === undefined ? {} : { fabric: readFabric(fabric) }),
    ...(devices === undefined
      ? {}
      : { devices: devices.map((device) => ({ at: [], ...readDevice(device) })) }),
  };
}

/** Nobody stated anything: as if there were no topology. */
export function isEmpty({ groups, slots, networks, fabric, devices }: Tree): boolean {
  return (
    groups.length === 0 &&
    slots === undefined &&
    (networks ?? null) === null &&
    fabric === undefined &&
    devices === undefined
  );
}

/** What a file has to say so that the same is stored; what has its default is left out. */
export function fileStated({ fabric, devices }: Stored): Record<string, unknown> {
  return {
    ...(fabric === undefined ? {} : { fabric: fileFabric(fabric) }),
    ...(devices === undefined ? {} : { devices: devices.map(fileDevice) }),
  };
}

function fileFabric(fabric: Fabric): unknown {
  const { kind, ...stated } = fabric;
  const defaults = { l2: l2Default, 'l3-static': {}, bgp: bgpDefaults, vpc: vpcDefaults }[kind];
  const own = different(stated, defaults);
  return Object.keys(own).length === 0 ? kind : { kind, ...own };
}

const plainDevice: Omit<Device, 'name' | 'platform'> = {
  addresses: [],
  uplinks: [],
  asn: null,
  routerId: null,
  routeReflector: false,
  links: {},
  budget: null,
};

function fileDevice(device: Device): unknown {
  const { uplinks, ...rest } = different(device, plainDevice);
  if (uplinks === undefined) return rest;
  const short = ({ device: to, local, remote }: Device['uplinks'][number]): unknown =>
    local.length + remote.length === 0
      ? to
      : { device: to, ...different({ local, remote }, { local: [], remote: [] }) };
  return { ...rest, uplinks: device.uplinks.map(short) };
}

export function fileUplink({ device, addresses, link }: HostUplink): unknown {
  const own = different({ addresses, link }, { addresses: [], link: null });
  return Object.keys(own).length === 0 ? device : { device, ...own };
}

function different(value: object, defaults: object): Record<string, unknown> {
  const usual = new Map(Object.entries(defaults));
  return Object.fromEntries(
    Object.entries(value).filter(
      ([key, one]) => one !== undefined && !(usual.has(key) && isDeepStrictEqual(usual.get(key), one)),
    ),
  );
}
