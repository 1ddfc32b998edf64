/** A host's own addresses, which no other host and no network has, and its links to the devices of its groups. */
import type { HostUplink } from '#contract/fabric.ts';
import type { GroupTree, Host } from '#contract/model.ts';
import { readDevice, readUplink } from '#contract/routing.ts';
import { containsAddress, formatCidr, hostRoute, parseAddress, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Standing } from '#core/plan/index.ts';
import { type ServedDevice, uplinkFaults } from '#core/plan/topology/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { underlay } from './ids.ts';
import { insideNetwork, rangesOf } from './shared.ts';
import { nameOf, type Trees, topologyOf, treesOf } from './topology.ts';

type Linked = Pick<Host, 'name' | 'addresses' | 'uplinks'>;

/** As stored: what says nothing is left out. */
export function statedLinks({
  uplinks,
  asn,
}: {
  readonly uplinks?: readonly HostUplink[] | undefined;
  readonly asn?: number | null | undefined;
}): Pick<Host, 'uplinks' | 'asn'> {
  return {
    ...(uplinks === undefined || uplinks.length === 0 ? {} : { uplinks: [...uplinks] }),
    ...(asn === undefined || asn === null ? {} : { asn }),
  };
}

/** Of the host itself and of its links. */
export function ownAddresses({ addresses, uplinks = [] }: Pick<Host, 'addresses' | 'uplinks'>): string[] {
  return [...new Set([...addresses, ...uplinks.flatMap((uplink) => uplink.addresses)])];
}

export function letGoAddresses(tx: Tx, host: Linked): void {
  for (const address of ownAddresses(host)) tx.letGo(underlay, address);
}

const unusable = ['0.0.0.0/8', '224.0.0.0/3', '::/128', 'ff00::/8'].map(parseCidr);

/** One per family and link, of one host only, outside every network, able to be a next hop. */
export function takeAddresses(tx: Tx, { name, addresses, uplinks = [] }: Linked): void {
  take(tx, name, addresses, 'addresses');
  for (const [i, uplink] of uplinks.entries()) take(tx, name, uplink.addresses, `uplinks.${i}.addresses`);
}

function take(tx: Tx, host: string, addresses: readonly string[], path: string): void {
  const parsed = addresses.map(parseAddress);
  if (new Set(parsed.map(({ family }) => family)).size !== parsed.length) {
    const where = path === 'addresses' ? '' : ' on each link';
    throw new RomanaError('input_invalid', `Host ${host} may have only one address of each family${where}.`, {
      details: { path },
    });
  }
  for (const [index, address] of parsed.entries()) {
    const text = addresses[index]!;
    const details = { path: `${path}.${index}` };
    if (unusable.some((range) => containsAddress(range, address))) {
      throw new RomanaError(
        'input_invalid',
        `${text} cannot be a host's own address; give a unicast address.`,
        { details },
      );
    }
    demandUnderlay(tx, text);
    const other = tx.holderOf(underlay, text);
    if (other !== undefined && other !== host) {
      throw new RomanaError('already_exists', `The address ${text} belongs to host ${other}.`, {
        details: { ...details, host: other },
      });
    }
    tx.hold(underlay, text, host);
  }
}

function demandUnderlay(tx: ReadTx, text: string): void {
  const network = insideNetwork(rangesOf(tx), hostRoute(parseAddress(text)));
  if (network === undefined) return;
  throw new RomanaError(
    'network_overlap',
    `The host's own address ${text} lies in network ${network.name} (${formatCidr(network.cidr)}), which is for endpoints.`,
    { details: { address: text, network: network.name } },
  );
}

/** Every device that an uplink names serves a group of the host, in a family that both ends have. */
export function demandUplinks(tx: ReadTx, host: Standing & Pick<Host, 'name' | 'uplinks'>): void {
  if ((host.uplinks ?? []).length > 0) demandServed(host, topologyOf(tx), devicesOf(topologyOf(tx)));
}

/** After a change of the groups, for all hosts. */
export function demandUplinksKept(tx: ReadTx): void {
  const trees = topologyOf(tx);
  const devices = devicesOf(trees);
  for (const { value } of tx.list('host')) demandServed(value, trees, devices);
}

function demandServed(
  { name, group, groups, uplinks = [] }: Standing & Pick<Host, 'name' | 'uplinks'>,
  trees: Trees,
  devices: ReadonlyMap<string, ServedDevice>,
): void {
  const where = groups ?? [{ topology: nameOf(trees), path: group ?? '' }];
  for (const [i, uplink] of uplinks.entries()) {
    const [fault] = uplinkFaults(readUplink(uplink), where, (device) => devices.get(device));
    if (fault === undefined) continue;
    throw new RomanaError('topology_invalid', `Host ${name}: ${fault}`, {
      details: { path: `uplinks.${i}`, host: name, device: uplink.device },
    });
  }
}

/** By name, wherever they stand. */
export function devicesOf(trees: Trees): Map<string, ServedDevice> {
  const all = new Map<string, ServedDevice>();
  const look = (
    topology: string,
    path: string,
    { devices = [], groups = [] }: Pick<GroupTree, 'devices' | 'groups'>,
  ): void => {
    for (const device of devices) all.set(device.name, { topology, path, device: readDevice(device) });
    for (const group of groups) look(topology, path === '' ? group.name : `${path}/${group.name}`, group);
  };
  for (const tree of treesOf(trees)) look(nameOf(tree), '', tree);
  return all;
}
