/**
 * Stored objects as the route computation takes them, for servers and agents alike. Pure; imports core only.
 *
 * 1. The same objects give the same input, in whatever order they come.
 * 2. What was worked out of an object is remembered with it: objects are never changed in place.
 */
import {
  type Address,
  aggregate,
  type Cidr,
  formatAddress,
  formatCidr,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import type * as fabric from '#core/routing/fabric.ts';
import type {
  RoutingGroup,
  RoutingHost,
  RoutingInput,
  RoutingNetwork,
  RoutingTopology,
} from '#core/routing/model.ts';
import type { Device, Fabric, HostUplink } from './fabric.ts';
import type { GroupTree, Host, Network, Topology } from './model.ts';

export interface RoutingObjects {
  /** Undefined: none is stored, which is one without groups. */
  readonly topology: Topology | undefined;
  readonly networks: readonly Network[];
  readonly hosts: readonly Host[];
}
type Tree = Pick<Topology, 'groups' | 'name' | 'networks' | 'fabric' | 'devices'>;

export function routingInput({ topology, networks, hosts }: RoutingObjects): RoutingInput {
  const trees: readonly Tree[] =
    topology === undefined ? [{ groups: [] }] : [topology, ...(topology.further ?? [])];
  // Addresses of flat networks say nothing of hosts: they are routed where they were granted.
  const laidOut = networks.filter(({ layout }) => layout !== null).sort(byAge);
  const known = laidOut.map(
    ({ name, cidr }): RoutingNetwork => ({ name, cidr: cidrOf(cidr), topology: carverOf(trees, name) }),
  );
  const aggregates = aggregatesOf(topology, known);
  const topologies = trees.map((tree): RoutingTopology => {
    const name = nameOf(tree);
    const own = known
      .filter((network) => network.topology === name)
      .map(({ name: network, cidr }) => ({ network, cidr }));
    return { name, root: groupOf(tree, '', { topology: name, own, aggregates }) };
  });
  const [only] = trees;
  const flat = trees.length === 1 && only !== undefined && only.groups.length === 0 ? nameOf(only) : null;
  const ordered = laidOut.map(({ name }) => name);
  return {
    networks: known.sort(byName),
    topologies,
    hosts: hosts
      .map((host) => routingHost(host, trees.length === 1 ? nameOf(trees[0]!) : null, flat, ordered))
      .sort(byName),
  };
}

function nameOf({ name = 'default' }: Tree): string {
  return name;
}

function carverOf(trees: readonly Tree[], network: string): string | null {
  const carver =
    trees.find(({ networks }) => networks?.includes(network)) ??
    trees.find(({ networks }) => networks === undefined || networks === null);
  return carver === undefined ? null : nameOf(carver);
}

type Aggregates = ReadonlyMap<string, RoutingGroup['aggregates']>;

/** By topology and path. */
function aggregatesOf(topology: Topology | undefined, networks: readonly RoutingNetwork[]): Aggregates {
  const carvers = new Map(networks.map((network) => [network.name, network.topology]));
  const out = new Map<string, { network: string; cidr: Cidr }[]>();
  for (const { path, network, cidr } of topology?.aggregates ?? []) {
    const carver = carvers.get(network) ?? null;
    if (carver === null) continue;
    const key = `${carver} ${path}`;
    const list = out.get(key);
    const one = { network, cidr: cidrOf(cidr) };
    if (list === undefined) out.set(key, [one]);
    else list.push(one);
  }
  for (const list of out.values()) list.sort((a, b) => (a.network < b.network ? -1 : 1));
  return out;
}

interface Within {
  readonly topology: string;
  /** The networks that it carves. */
  readonly own: RoutingGroup['aggregates'];
  readonly aggregates: Aggregates;
}

function groupOf(
  group: Pick<Tree, 'fabric' | 'devices'> & { readonly groups?: readonly GroupTree[] | undefined },
  path: string,
  within: Within,
): RoutingGroup {
  const { topology, own, aggregates } = within;
  return {
    path,
    fabric: group.fabric === undefined ? null : readFabric(group.fabric),
    devices: (group.devices ?? []).map(readDevice),
    aggregates: path === '' ? own.toSorted(byNetwork) : (aggregates.get(`${topology} ${path}`) ?? []),
    groups: (group.groups ?? []).map((inner) =>
      groupOf(inner, path === '' ? inner.name : `${path}/${inner.name}`, within),
    ),
  };
}

function routingHost(
  host: Host,
  only: string | null,
  flat: string | null,
  ordered: readonly string[],
): RoutingHost {
  const { name, group, groups, asn = null, state = 'active', lost = false } = host;
  const { addresses, uplinks, ranges, former, granted } = partsOf(host);
  // Only hosts under several topologies have a list. One without a group stands where nothing is divided, or nowhere.
  const single = group ?? (flat === null ? null : '');
  const places = groups ?? (only === null || single === null ? [] : [{ topology: only, path: single }]);
  return {
    name,
    addresses,
    uplinks,
    asn,
    places,
    ranges,
    ...(former === undefined ? {} : { former }),
    granted,
    state: lost && state !== 'fenced' ? 'lost' : state,
    number: numberOf(host, ordered),
  };
}

/** Of the first network by age where it has any, so that further networks and further ids change nothing. */
function numberOf({ ids }: Host, ordered: readonly string[]): number | null {
  for (const network of ordered) {
    const first = ids.find((one) => one.network === network);
    if (first !== undefined) return first.id;
  }
  return null;
}

type Parts = Pick<RoutingHost, 'addresses' | 'uplinks' | 'ranges' | 'former' | 'granted'>;
const parts = new WeakMap<Host, Parts>();

function partsOf(host: Host): Parts {
  const known = parts.get(host);
  if (known !== undefined) return known;
  const { addresses, uplinks = [], granted = [], ids, reservations = [] } = host;
  // Reservations as a whole, pending ones too. Ids stand for themselves where an older server tells of no reservations.
  const held = Map.groupBy([...reservations, ...ids], ({ network }) => network);
  const ranges = [...held]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([network, all]) => rangesOf(all).map((cidr) => ({ network, cidr })));
  const former = formerOf(host, ranges);
  const made: Parts = {
    addresses: addresses.map(parseAddress),
    uplinks: uplinks.map(readUplink),
    ranges,
    ...(former.length === 0 ? {} : { former }),
    granted: granted.map(parseCidr),
  };
  parts.set(host, made);
  return made;
}

/** Of a host that grows in place: what it has, where that and what it waits for make one wider range. */
function formerOf({ ids, reservations = [] }: Host, ranges: Parts['ranges']): Cidr[] {
  const active = reservations.filter(({ pending }) => pending === null);
  if (active.length === reservations.length) return [];
  const known = new Set(ranges.map(({ cidr }) => formatCidr(cidr)));
  return [...Map.groupBy([...active, ...ids], ({ network }) => network).values()]
    .flatMap(rangesOf)
    .filter((cidr) => !known.has(formatCidr(cidr)));
}

function rangesOf(held: readonly { readonly cidr: string }[]): Cidr[] {
  const texts = [...new Set(held.map(({ cidr }) => cidr))];
  return texts.length === 1 ? [parseCidr(texts[0]!)] : aggregate(texts.map(parseCidr));
}

const cidrs = new Map<string, Cidr>();

/** Of networks and aggregates, which are few and seldom change. */
function cidrOf(text: string): Cidr {
  const known = cidrs.get(text);
  if (known !== undefined) return known;
  const cidr = parseCidr(text);
  if (cidrs.size >= 65_536) cidrs.clear();
  cidrs.set(text, cidr);
  return cidr;
}

function byName(a: { readonly name: string }, b: { readonly name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

function byNetwork(a: { readonly network: string }, b: { readonly network: string }): number {
  return a.network < b.network ? -1 : 1;
}

function byAge(a: Network, b: Network): number {
  return a.createdAt < b.createdAt ? -1 : a.createdAt > b.createdAt ? 1 : byName(a, b);
}

const texts = (addresses: readonly Address[]): string[] => addresses.map(formatAddress);

export function readFabric(stored: Fabric): fabric.Fabric {
  return stored.kind === 'bgp' ? { ...stored, accept: stored.accept.map(parseCidr) } : stored;
}
export function storedFabric(stated: fabric.Fabric): Fabric {
  if (stated.kind === 'bgp')
    return {
      ...stated,
      bfd: stated.bfd === null ? null : { ...stated.bfd },
      communities: [...stated.communities],
      accept: stated.accept.map(formatCidr),
    };
  if (stated.kind === 'vpc')
    return {
      ...stated,
      routeTables: [...stated.routeTables],
      peerings: stated.peerings.map((peering) => ({ ...peering })),
    };
  return { ...stated };
}

export function readDevice(stored: Device): fabric.Device {
  return {
    ...stored,
    addresses: stored.addresses.map(parseAddress),
    uplinks: stored.uplinks.map(({ device, local, remote }) => ({
      device,
      local: local.map(parseAddress),
      remote: remote.map(parseAddress),
    })),
  };
}
export function storedDevice({
  name,
  platform,
  addresses,
  uplinks,
  asn,
  routerId,
  routeReflector,
  links,
  budget,
}: fabric.Device): Device {
  return {
    name,
    platform,
    addresses: texts(addresses),
    uplinks: uplinks.map(({ device, local, remote }) => ({
      device,
      local: texts(local),
      remote: texts(remote),
    })),
    asn,
    routerId,
    routeReflector,
    links: { ...links },
    budget,
  };
}

export function readUplink({ device, addresses, link }: HostUplink): fabric.HostUplink {
  return { device, addresses: addresses.map(parseAddress), link };
}
export function storedUplink({ device, addresses, link }: fabric.HostUplink): HostUplink {
  return { device, addresses: texts(addresses), link };
}
