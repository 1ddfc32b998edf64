/**
 * What the fabric's routes are on this host as it stands now: which next hops its links reach, which devices still speak, and what of
 * the host itself is not as the control plane believes. Pure. Imports contract (types), core.
 *
 * 1. Where several next hops are wanted, those over links that are down are left out as long as one is left.
 * 2. A route whose next hops all lead nowhere stays wanted as it is: it fails, is reported, and comes back with its links.
 * 3. Of a host that is fenced only its own blackholes are left.
 * 4. What is learned goes over as many next hops at once as the fabric allows, and no more.
 */
import type * as m from '#contract/model.ts';
import {
  type Address,
  cidrOf,
  containsAddress,
  equalAddress,
  formatAddress,
  formatCidr,
} from '#core/address/index.ts';
import type { HostRouting, NextHop, PlannedRoute } from '#core/routing/model.ts';
import { type Following, overSessions, type Ways } from './bgp/following.ts';
import type { DesiredRoute, Hop, HostFacts } from './ports.ts';

export interface RoutesInput {
  readonly routing: HostRouting;
  readonly facts: HostFacts;
  /** Null: the host's BGP daemon writes what it learns by itself. */
  readonly following: Ways | null;
  readonly fenced: boolean;
}

export function desiredRoutes({ routing, facts, following, fenced }: RoutesInput): DesiredRoute[] {
  const learned = following === null ? [] : routing.learned.map((route) => follow(route, following.over));
  const most = routing.bgp?.ecmp ?? Infinity;
  const all = [
    ...routing.routes.map((route) => ({ route, ways: Infinity, standIn: false })),
    ...learned.map((route) => ({ route, ways: most, standIn: following?.standIn === true })),
  ].filter(({ route: { why } }) => !fenced || why.kind === 'own');
  return all.map(({ route: { cidr, nextHops, why }, ways, standIn }): DesiredRoute => {
    if (nextHops.length === 0) return { kind: why.kind === 'withdrawn' ? 'unreachable' : 'blackhole', cidr };
    const hops = hopsOf(reachable(nextHops, facts)).slice(0, ways);
    return { kind: 'via', cidr, hops, ...(standIn ? { standIn } : {}) };
  });
}

function follow(route: PlannedRoute, following: Following): PlannedRoute {
  return { ...route, nextHops: overSessions(route.nextHops, route.cidr.address.family, following) };
}

/** The same address may be the next hop of two devices; to the kernel that is one. */
function hopsOf(hops: readonly NextHop[]): Hop[] {
  const made = hops.map(({ address, link }): Hop => ({ via: address, link }));
  return made.filter(
    (hop, n) => made.findIndex(({ via, link }) => equalAddress(via, hop.via) && link === hop.link) === n,
  );
}

function reachable(hops: readonly NextHop[], facts: HostFacts): readonly NextHop[] {
  if (hops.length < 2) return hops;
  const judged = hops.map((hop) => [hop, linkOf(hop, facts)] as const);
  const over = (wanted: 'up' | 'unknown'): NextHop[] =>
    judged.filter(([, link]) => link === wanted).map(([hop]) => hop);
  // An address on no link may be routed by the site: good enough when nothing better is left.
  for (const wanted of ['up', 'unknown'] as const) if (over(wanted).length > 0) return over(wanted);
  return hops;
}

function linkOf({ address, link }: NextHop, { links }: HostFacts): 'up' | 'down' | 'unknown' {
  const near = links.filter(({ name, addresses }) =>
    link === null
      ? addresses.some((own) => containsAddress(cidrOf(own.address, own.length), address))
      : name === link,
  );
  if (near.some(({ running }) => running)) return 'up';
  return near.length > 0 || link !== null ? 'down' : 'unknown';
}

/** Which of the host's own addresses are not what the control plane was told. */
export function addressProblems(self: m.Host, own: readonly Address[], facts: HostFacts): m.Problem[] {
  return own.flatMap((address): m.Problem[] => {
    const text = formatAddress(address);
    const held = facts.links.flatMap(({ name, addresses }) =>
      addresses
        .filter((one) => equalAddress(one.address, address))
        .map(({ duplicate = false }) => ({ name, duplicate })),
    );
    if (held.length === 0)
      return [
        {
          code: 'host_unreachable',
          message: `No link of this host has its address ${text}: others route to it in vain; give it the address, or tell the control plane the one that it has (romana host update ${self.name}).`,
        },
      ];
    const twice = held.find(({ duplicate }) => duplicate);
    return twice === undefined
      ? []
      : [
          {
            code: 'host_unreachable',
            message: `Another machine on link ${twice.name} has the address ${text} of this host too; give one of them another address.`,
          },
        ];
  });
}

/** Routes of other programs to prefixes of ours. Those that stand where ours should are told by the failure of ours. */
export function foreignProblems(
  foreign: readonly {
    readonly cidr: PlannedRoute['cidr'];
    readonly protocol: string;
    readonly wins: boolean;
  }[],
  failed: ReadonlyMap<string, unknown>,
): m.Problem[] {
  const told = new Set([...failed.keys()].map((object) => object.split(' ')[0]));
  return foreign.flatMap(({ cidr, protocol, wins }): m.Problem[] => {
    const text = formatCidr(cidr);
    if (told.has(text)) return [];
    const which = wins ? 'and it is taken instead of' : 'beside';
    return [
      {
        code: 'route_foreign',
        message: `Another program (protocol ${protocol}) has a route to ${text}, ${which} the one of Romana; remove that route.`,
      },
    ];
  });
}
