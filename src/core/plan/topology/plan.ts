/**
 * What a topology file means: which group has which range of each network, and where the hosts that it names stand. Judges what
 * takes more than one field to see; every finding is an issue with the path of what causes it.
 */
import {
  type AddressPlan,
  addressPlan,
  containsAddress,
  containsCidr,
  formatAddress,
  formatCidr,
  overlaps,
  parseAddress,
  subtract,
} from '../../address/index.ts';
import { isRomanaError } from '../../errors.ts';
import { type CarvedGroup, carve } from '../groups.ts';
import { checkFabric } from './fabric-check.ts';
import { attempt, Reading } from './fields.ts';
import { demandRoom } from './growth.ts';
import { type HostPlace, placeHosts } from './hosts.ts';
import { leavesOf } from './place.ts';
import type { FileDevice, FileGroup, FileNetwork, FileTopology, Issue, Path, TopologyFile } from './types.ts';

export interface PlannedNetwork {
  readonly source: FileNetwork;
  readonly name: string;
  /** Null: flat. */
  readonly plan: AddressPlan | null;
  /** Name of the topology that carves it; null: nothing does, and any host may have any host id. */
  readonly topology: string | null;
}

export interface PlannedGroup {
  /** Null: the hosts of networks that no topology names. */
  readonly topology: string | null;
  readonly path: string;
  readonly leaf: boolean;
  readonly ranges: readonly (CarvedGroup & { readonly network: string })[];
}

export interface TopologyPlan {
  readonly networks: readonly PlannedNetwork[];
  /** Parents before their children, topologies in listed order. */
  readonly groups: readonly PlannedGroup[];
  readonly places: readonly HostPlace[];
  /** As the file has them. */
  readonly topologies: readonly FileTopology[];
}

/** The plan is whole only when there are no issues. */
export function planTopology(file: TopologyFile): {
  readonly plan: TopologyPlan;
  readonly issues: readonly Issue[];
  /** What is accepted but perhaps not what was meant. */
  readonly notes: readonly Issue[];
} {
  const r = new Reading();
  const topologies = file.topologies ?? [];
  const plans = checkNetworks(r, file.networks);
  const carvedBy = assignNetworks(r, file.networks, topologies);
  const networks = file.networks.map(
    (source): PlannedNetwork => ({
      source,
      name: source.name,
      plan: plans.get(source.name) ?? null,
      topology: carvedBy.get(source.name) ?? null,
    }),
  );
  const groups = topologies.flatMap((topology) => carveOne(r, topology, networks));
  const free = networks.filter((network) => network.topology === null && network.plan !== null);
  if (free.length > 0) groups.push(...carveFree(free));
  checkAddresses(r, file, networks);
  const places = r.issues.length > 0 ? [] : placeHosts(r, file, groups);
  demandRoom(r, topologies, groups, places);
  checkFabric(r, file, groups, places);
  return { plan: { networks, groups, places, topologies }, issues: r.issues, notes: r.notes };
}

function checkNetworks(r: Reading, networks: readonly FileNetwork[]): Map<string, AddressPlan> {
  const plans = new Map<string, AddressPlan>();
  const seen = new Map<string, FileNetwork>();
  for (const network of networks) {
    const { at, name, cidr, layout, reserved = [] } = network;
    if (seen.has(name)) {
      r.refuse([...at, 'name'], `Network ${name} is there twice; rename one of them.`, 'topology_invalid');
      continue;
    }
    const other = [...seen.values()].find((before) => overlaps(before.cidr, cidr));
    if (other !== undefined) {
      r.refuse(
        [...at, 'cidr'],
        `${formatCidr(cidr)} overlaps network ${other.name} (${formatCidr(other.cidr)}); choose another range.`,
        'network_overlap',
      );
    }
    seen.set(name, network);
    if (layout !== null) {
      const plan = attempt(r, [...at, 'layout'], () => addressPlan(cidr, layout));
      if (plan !== undefined) plans.set(name, plan);
      if (layout.segment === 0) {
        r.refuse(
          [...at, 'layout'],
          'The segment field needs at least one bit; take it from another field.',
          'layout_invalid',
        );
      }
    }
    for (const [i, range] of reserved.entries()) {
      if (!containsCidr(cidr, range))
        r.refuse(
          [...at, 'reserved', i],
          `${formatCidr(range)} does not lie in ${formatCidr(cidr)}; leave it out.`,
        );
    }
    if (reserved.length > 0 && subtract([cidr], reserved).length === 0)
      r.refuse(
        [...at, 'reserved'],
        `The reserved ranges leave nothing of ${formatCidr(cidr)}; reserve less.`,
      );
  }
  return plans;
}

/** Network → topology. */
function assignNetworks(
  r: Reading,
  networks: readonly FileNetwork[],
  topologies: readonly FileTopology[],
): Map<string, string> {
  const by = new Map<string, string>();
  const known = new Map(networks.map((network) => [network.name, network]));
  const names = new Set<string>();
  let rest: FileTopology | undefined;
  for (const topology of topologies) {
    if (names.has(topology.name))
      r.refuse(
        topology.at,
        `Topology ${topology.name} is there twice; give each a name of its own.`,
        'topology_invalid',
      );
    names.add(topology.name);
    if (topology.networks === null) {
      if (rest !== undefined)
        r.refuse(
          topology.at,
          'Only one topology may leave out its networks (it takes all that the others leave).',
          'topology_invalid',
        );
      rest = topology;
    }
    for (const [i, name] of (topology.networks ?? []).entries()) {
      const path = [...topology.at, 'networks', i];
      const owner = by.get(name);
      const network = known.get(name);
      if (network === undefined)
        r.refuse(path, `There is no network ${name}; list it under networks.`, 'not_found');
      else if (network.layout === null)
        r.refuse(
          path,
          `Network ${name} is flat: it has no host ids to be divided; leave it out here.`,
          'topology_invalid',
        );
      else if (owner !== undefined && owner !== topology.name)
        r.refuse(
          path,
          `Network ${name} is in topology ${owner} already; a network is in one at most.`,
          'topology_invalid',
        );
      by.set(name, topology.name);
    }
  }
  if (rest !== undefined) {
    for (const { name, layout } of networks) if (layout !== null && !by.has(name)) by.set(name, rest.name);
  }
  return by;
}

function carveOne(r: Reading, topology: FileTopology, networks: readonly PlannedNetwork[]): PlannedGroup[] {
  const places = placesOf(r, topology);
  if (places === undefined) return [];
  for (const leaf of leavesOf(topology)) {
    if (leaf.assignment === null)
      r.refuse(
        [...leaf.at, 'assignment'],
        `Group ${leaf.path} asks for other values than the groups above it, so no host can match.`,
        'topology_invalid',
      );
  }
  const mine = networks.filter((network) => network.topology === topology.name);
  if (places.size * mine.length > maxAggregates) {
    r.refuse(
      topology.at,
      `${places.size} groups of ${mine.length} networks make more than ${maxAggregates} aggregates; use fewer.`,
      'topology_invalid',
    );
    return [];
  }
  const ranges = new Map<string, (CarvedGroup & { network: string })[]>();
  for (const { name, plan } of mine) {
    if (plan === null) continue;
    try {
      for (const group of carve(plan, topology)) {
        const list = ranges.get(group.path) ?? [];
        list.push({ ...group, network: name });
        ranges.set(group.path, list);
      }
    } catch (error) {
      if (!isRomanaError(error)) throw error;
      const path = error.details?.['path'];
      const at = (typeof path === 'string' ? places.get(path)?.at : undefined) ?? [...topology.at, 'map'];
      r.refuse(at, `Network ${name}: ${error.message}`, error.code);
    }
  }
  if (places.size === 0)
    return [
      { topology: topology.name, path: '', leaf: topology.slots === undefined, ranges: ranges.get('') ?? [] },
    ];
  return [...places].map(([path, { leaf }]) => ({
    topology: topology.name,
    path,
    leaf,
    ranges: ranges.get(path) ?? [],
  }));
}

const maxAggregates = 65_536;

/** Groups by path, in order; undefined (and issues) when two have one path. */
function placesOf(r: Reading, topology: FileTopology): Map<string, { at: Path; leaf: boolean }> | undefined {
  const places = new Map<string, { at: Path; leaf: boolean }>();
  let fine = true;
  const walk = (groups: readonly FileGroup[], above: string): void => {
    for (const group of groups) {
      const path = above === '' ? group.name : `${above}/${group.name}`;
      if (places.has(path)) {
        r.refuse(
          group.at,
          `Group ${JSON.stringify(path)} is there twice; rename one of them.`,
          'topology_invalid',
        );
        fine = false;
      }
      places.set(path, { at: group.at, leaf: group.groups.length === 0 && group.slots === undefined });
      walk(group.groups, path);
    }
  };
  walk(topology.groups, '');
  return fine ? places : undefined;
}

function carveFree(networks: readonly PlannedNetwork[]): PlannedGroup[] {
  const ranges = networks.flatMap(({ name, plan }) =>
    plan === null ? [] : carve(plan, { groups: [] }).map((group) => ({ ...group, network: name })),
  );
  return [{ topology: null, path: '', leaf: true, ranges }];
}

/** An own address of a host or device inside a network would be taken for an endpoint's. Devices may share one, as gateways do. */
function checkAddresses(r: Reading, file: TopologyFile, networks: readonly PlannedNetwork[]): void {
  const owners = new Map<string, string>();
  const outside = (text: string, at: Path, whose: string): void => {
    const address = parseAddress(text);
    const inside = networks.find(({ source }) => containsAddress(source.cidr, address));
    if (inside !== undefined)
      r.refuse(
        at,
        `The ${whose}'s own address ${text} lies in network ${inside.name} (${formatCidr(inside.source.cidr)}), which is for endpoints.`,
        'network_overlap',
      );
  };
  const take = (text: string, at: Path, owner: string): void => {
    const other = owners.get(text) ?? owner;
    if (other !== owner) r.refuse(at, `The address ${text} belongs to ${other}.`, 'already_exists');
    else owners.set(text, owner);
  };
  const look = (hosts: FileGroup['hosts']): void => {
    for (const { at, name, addresses, uplinks = [] } of hosts) {
      const further = uplinks.flatMap((uplink) => uplink.addresses.map(formatAddress));
      for (const text of new Set([...addresses, ...further])) {
        outside(text, at, 'host');
        take(text, at, `host ${name}`);
      }
    }
  };
  const devices: FileDevice[] = [];
  const walk = ({ devices: here = [], groups }: FileTopology | FileGroup): void => {
    devices.push(...here);
    for (const group of groups) {
      look(group.hosts);
      walk(group);
    }
  };
  for (const topology of file.topologies ?? []) walk(topology);
  look(file.hosts);
  for (const { at, addresses, uplinks } of devices) {
    const all = [addresses, ...uplinks.flatMap(({ local, remote }) => [local, remote])].flat();
    for (const text of new Set(all.map(formatAddress))) {
      outside(text, at, 'device');
      const owner = owners.get(text);
      if (owner !== undefined) r.refuse(at, `The address ${text} belongs to ${owner}.`, 'already_exists');
    }
  }
}
