/**
 * A network to send packets through, apart from the code under test: longest-prefix match on every host and device, every next hop of equal
 * cost tried; and BGP as its speakers do it, by announcements and filters to a fixpoint. For tests only.
 */
import {
  type Address,
  type Cidr,
  containsAddress,
  containsCidr,
  formatAddress,
  formatCidr,
} from '../address/index.ts';
import type {
  BgpNeighbour,
  BgpPeer,
  DeviceRouting,
  HostRouting,
  NextHop,
  RoutingInput,
  RoutingPlan,
} from './model.ts';

export interface Entry {
  readonly cidr: Cidr;
  /** Names of hosts and devices; empty: dropped. */
  readonly to: readonly string[];
}
export interface Node {
  readonly host: boolean;
  readonly entries: readonly Entry[];
  /** Where what no entry matches goes; empty: out of what is described. */
  readonly gateways: { readonly 4: readonly string[]; readonly 6: readonly string[] };
  /** What ends here. */
  readonly local: readonly Cidr[];
}
export type Network = ReadonlyMap<string, Node>;

/** Every end that a packet can come to: `delivered HOST`, `dropped NODE`, `leaves NODE`, `loop …`, `transit HOST`. */
export function ends(network: Network, from: string, destination: Address): Set<string> {
  const out = new Set<string>();
  const walk = (at: string, path: readonly string[]): void => {
    if (path.includes(at)) {
      out.add(`loop ${[...path, at].join(' ')}`);
      return;
    }
    const node = network.get(at);
    if (node === undefined) {
      out.add(`dropped ${at} (down)`);
      return;
    }
    const entry = longest(node.entries, destination);
    const local = node.local.some(
      (cidr) => containsAddress(cidr, destination) && cidr.length >= (entry?.cidr.length ?? 0),
    );
    if (local) {
      out.add(`delivered ${at}`);
      return;
    }
    if (node.host && path.length > 0) {
      out.add(`transit ${at} of ${formatAddress(destination)} over ${path.join(' ')}`);
      return;
    }
    const to = entry?.to ?? node.gateways[destination.family];
    if (to.length === 0) out.add(entry === undefined ? `leaves ${at}` : `dropped ${at}`);
    for (const next of to) walk(next, [...path, at]);
  };
  walk(from, []);
  return out;
}

export function longest(entries: readonly Entry[], address: Address): Entry | undefined {
  let best: Entry | undefined;
  for (const entry of entries) {
    if (containsAddress(entry.cidr, address) && entry.cidr.length > (best?.cidr.length ?? -1)) best = entry;
  }
  return best;
}

function names(hops: readonly NextHop[], down: ReadonlySet<string>, at: string): string[] {
  return [...new Set(hops.map(({ to }) => to))]
    .filter((to) => !down.has(`${at} ${to}`) && !down.has(to))
    .sort();
}

function gateways(hops: readonly NextHop[], down: ReadonlySet<string>, at: string): Node['gateways'] {
  const of = (family: number): string[] =>
    names(
      hops.filter(
        ({ address }) => address.family === family || (address.family === 6 && address.w0 === 0xfe800000),
      ),
      down,
      at,
    );
  return { 4: of(4), 6: of(6) };
}

/** As the plan says it is. */
export function planned(input: RoutingInput, plan: RoutingPlan): Network {
  return networkOf(input, plan, new Set(), (routing) =>
    ('learned' in routing ? [...routing.routes, ...routing.learned] : routing.routes).map(
      ({ cidr, nextHops }) => ({
        cidr,
        to: names(nextHops, new Set(), ''),
      }),
    ),
  );
}

/**
 * As BGP makes it, where it is spoken. `down`: names of nodes that are dead, and pairs `A B` (both ways round) of neighbours whose link
 * is cut; routes that are configured lose the next hops over cut links, as switches and kernels do when a link is down.
 */
export function converged(
  input: RoutingInput,
  plan: RoutingPlan,
  down: ReadonlySet<string> = new Set(),
): Network {
  const speakers = speakersOf(plan, down);
  const ribs = fixpoint(speakers);
  return networkOf(input, plan, down, (routing) => {
    const name = 'learned' in routing ? routing.name : routing.device.name;
    const configured = 'learned' in routing ? routing.routes : (routing.bgp?.statics ?? routing.routes);
    const entries = new Map<string, Entry>();
    for (const { cidr, nextHops } of configured) {
      const to = names(nextHops, down, name);
      if (nextHops.length === 0 || to.length > 0) entries.set(formatCidr(cidr), { cidr, to });
    }
    for (const cidr of 'learned' in routing ? [] : (routing.bgp?.originate ?? [])) {
      if (!entries.has(formatCidr(cidr))) entries.set(formatCidr(cidr), { cidr, to: [] });
    }
    for (const [key, { cidr, from }] of ribs.get(name) ?? []) {
      if (!entries.has(key) && from.length > 0) entries.set(key, { cidr, to: [...new Set(from)].sort() });
    }
    return [...entries.values()];
  });
}

function networkOf(
  input: RoutingInput,
  plan: RoutingPlan,
  down: ReadonlySet<string>,
  entriesOf: (routing: HostRouting | DeviceRouting) => Entry[],
): Network {
  const nodes = new Map<string, Node>();
  for (const { name, ranges, granted } of input.hosts) {
    if (down.has(name)) continue;
    const routing = plan.host(name)!;
    // What is dropped as its own is where its endpoints are.
    const entries = entriesOf(routing).filter(
      ({ cidr, to }) => to.length > 0 || !ranges.some((range) => containsCidr(cidr, range.cidr)),
    );
    const local = [...ranges.map(({ cidr }) => cidr), ...granted];
    nodes.set(name, { host: true, entries, gateways: gateways(routing.gateways, down, name), local });
  }
  for (const name of plan.devices) {
    if (down.has(name)) continue;
    const routing = plan.device(name)!;
    nodes.set(name, {
      host: false,
      entries: entriesOf(routing),
      gateways: gateways(routing.gateways, down, name),
      local: [],
    });
  }
  return nodes;
}

interface Speaker {
  readonly name: string;
  readonly asn: number;
  /** What it has without being told. */
  readonly originated: readonly Cidr[];
  readonly sessions: readonly Side[];
}
interface Side {
  readonly key: string;
  readonly peer: string;
  readonly peerAsn: number;
  readonly client: boolean;
  readonly announce: (cidr: Cidr) => boolean;
  readonly accept: (cidr: Cidr) => boolean;
}
interface Path {
  readonly cidr: Cidr;
  /** AS numbers that it came through. */
  readonly asns: readonly number[];
  /** Speakers that it came through, the originator first: what keeps interior paths from going round. */
  readonly via: readonly string[];
  readonly from: readonly string[];
  readonly interior: boolean;
  readonly client: boolean;
}

/** A session is only where both sides state it, with each other's addresses and AS numbers. */
function speakersOf(plan: RoutingPlan, down: ReadonlySet<string>): Speaker[] {
  const all: Speaker[] = [];
  const key = (a: string, b: string, family: number): string => `${[a, b].sort().join(' ')} ${family}`;
  const cut = (a: string, b: string): boolean => down.has(`${a} ${b}`) || down.has(a) || down.has(b);
  for (const name of plan.hosts) {
    const intent = plan.host(name)!.bgp;
    if (intent === null || down.has(name)) continue;
    const sessions = intent.peers.flatMap((peer: BgpPeer) => {
      if (cut(name, peer.name)) return [];
      const other = plan
        .device(peer.name)
        ?.bgp?.neighbours.find(
          (each) => each.name === name && sameEnds(each, peer) && each.asn === intent.asn,
        );
      if (other === undefined || plan.device(peer.name)?.bgp?.asn !== peer.asn) return [];
      return peer.families.map(
        (family): Side => ({
          key: key(name, peer.name, family),
          peer: peer.name,
          peerAsn: peer.asn,
          client: false,
          announce: (cidr) => cidr.address.family === family && has(intent.announce, [], cidr),
          accept: (cidr) => cidr.address.family === family && has([], intent.accept, cidr),
        }),
      );
    });
    all.push({ name, asn: intent.asn, originated: intent.announce, sessions });
  }
  for (const name of plan.devices) {
    const intent = plan.device(name)!.bgp;
    if (intent === null || down.has(name)) continue;
    const sessions = intent.neighbours.flatMap((peer: BgpNeighbour) => {
      if (cut(name, peer.name) || !answers(plan, name, intent.asn, peer)) return [];
      return peer.families.map(
        (family): Side => ({
          key: key(name, peer.name, family),
          peer: peer.name,
          peerAsn: peer.asn,
          client: peer.routeReflectorClient,
          announce: (cidr) => cidr.address.family === family && has(peer.announce, peer.announceWithin, cidr),
          accept: (cidr) => cidr.address.family === family && has(peer.accept, peer.acceptWithin, cidr),
        }),
      );
    });
    const statics = intent.statics
      .filter(({ nextHops }) => nextHops.length === 0 || nextHops.some(({ to }) => !cut(name, to)))
      .map(({ cidr }) => cidr);
    all.push({
      name,
      asn: intent.asn,
      originated: [...intent.originate, ...intent.advertise, ...statics],
      sessions,
    });
  }
  return all;
}

function answers(plan: RoutingPlan, name: string, asn: number, peer: BgpNeighbour): boolean {
  const host = plan.host(peer.name)?.bgp;
  if (host !== undefined && host !== null) {
    return (
      host.asn === peer.asn &&
      host.peers.some((each) => each.name === name && sameEnds(peer, each) && each.asn === asn)
    );
  }
  const other = plan.device(peer.name)?.bgp;
  return (
    other !== undefined &&
    other !== null &&
    other.asn === peer.asn &&
    other.neighbours.some((each) => each.name === name && each.asn === asn && sameEnds(each, peer))
  );
}

/** The address of one side is the local one of the other. */
function sameEnds(
  a: { readonly address: Address | null; readonly local: Address | null },
  b: { readonly address: Address | null; readonly local: Address | null },
): boolean {
  const text = (address: Address | null): string => (address === null ? '' : formatAddress(address));
  return text(a.address) === text(b.local) && text(a.local) === text(b.address);
}

function has(exact: readonly Cidr[], within: readonly Cidr[], cidr: Cidr): boolean {
  return (
    exact.some((each) => formatCidr(each) === formatCidr(cidr)) ||
    within.some((each) => containsCidr(each, cidr))
  );
}

type Rib = Map<string, Path>;

function fixpoint(speakers: readonly Speaker[]): ReadonlyMap<string, Rib> {
  let ribs = new Map<string, Rib>();
  for (let round = 0; round < 50; round++) {
    const next = new Map(speakers.map((speaker) => [speaker.name, ribOf(speaker, speakers, ribs)]));
    if (text(next) === text(ribs)) return next;
    ribs = next;
  }
  throw new Error('BGP does not settle');
}

function text(ribs: ReadonlyMap<string, Rib>): string {
  return JSON.stringify(
    [...ribs].map(([name, rib]) => [name, [...rib].sort(([a], [b]) => (a < b ? -1 : 1))]),
  );
}

function ribOf(self: Speaker, speakers: readonly Speaker[], ribs: ReadonlyMap<string, Rib>): Rib {
  const heard = new Map<string, Path[]>();
  for (const side of self.sessions) {
    const other = speakers.find(({ name }) => name === side.peer);
    const back = other?.sessions.find(({ key, peer }) => key === side.key && peer === self.name);
    if (other === undefined || back === undefined) continue;
    const interior = other.asn === self.asn;
    for (const [key, path] of ribs.get(other.name) ?? []) {
      // What was heard inside an AS is told on inside it only by a route reflector, to clients or from clients.
      if (interior && path.interior && !back.client && !path.client) continue;
      if (!back.announce(path.cidr) || !side.accept(path.cidr)) continue;
      if (path.via.includes(self.name) || path.asns.includes(self.asn)) continue;
      const asns = interior ? path.asns : [other.asn, ...path.asns];
      const told: Path = {
        cidr: path.cidr,
        asns,
        via: [...path.via, other.name],
        from: [other.name],
        interior,
        client: side.client,
      };
      heard.set(key, [...(heard.get(key) ?? []), told]);
    }
  }
  const rib: Rib = new Map();
  for (const cidr of self.originated) {
    rib.set(formatCidr(cidr), { cidr, asns: [], via: [], from: [], interior: false, client: false });
  }
  for (const [key, paths] of heard) {
    if (rib.has(key)) continue;
    const length = (path: Path): number => path.asns.length * 100 + (path.interior ? path.via.length : 0);
    const least = Math.min(...paths.map(length));
    const equal = paths
      .filter((path) => length(path) === least)
      .sort((a, b) => (a.from[0]! < b.from[0]! ? -1 : 1));
    rib.set(key, {
      ...equal[0]!,
      client: equal.some(({ client }) => client),
      from: equal.flatMap(({ from }) => from),
    });
  }
  return rib;
}
