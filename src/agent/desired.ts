/**
 * From what is known to what the kernel should hold: one pure function, no memory. The same knowledge gives the same state, in
 * whatever order it came. Imports contract (types), core, agent/rules.
 */

import type * as m from '#contract/model.ts';
import {
  type Address,
  addressPlan,
  aggregate,
  type Cidr,
  compareAddress,
  containsAddress,
  decode,
  formatAddress,
  hostRoute,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import { segmentOf } from '#core/ipam/index.ts';
import type { PolicyModel, PolicyNetwork } from '#core/policy/index.ts';
import type { BgpIntent, Daemon } from '#core/routing/index.ts';
import { everywhere, type Ways } from './bgp/following.ts';
import { addressProblems, desiredRoutes } from './desired-routes.ts';
import { GATEWAY4, GATEWAY6, linkName } from './owned.ts';
import { type Peer, watchedPeers } from './peers.ts';
import type { DesiredLink, DesiredLinks, DesiredRoute, HostFacts } from './ports.ts';
import type { LocalEndpoint, RulesInput } from './rules/build.ts';
import { type Planner, planSite } from './site-plan.ts';
import type { ViewObjects } from './view.ts';

/** An endpoint of this host, whoever allocated it. */
export interface WiredEndpoint {
  readonly key: string;
  readonly uid: string;
  readonly tenant: string;
  readonly placed: readonly { readonly network: string; readonly address: Address }[];
  readonly attachment: m.Attachment;
  readonly sourcePrefixes: readonly Cidr[];
}

export interface DesiredInput {
  readonly host: string;
  readonly objects: ViewObjects;
  readonly endpoints: readonly WiredEndpoint[];
  readonly facts: HostFacts;
  /** Link names of uplinks; empty: found by the host's own addresses and default routes. */
  readonly uplinks: readonly string[];
  readonly endpointLinks: readonly string[];
  /** 0: the smallest of the uplinks. */
  readonly mtu: number;
  readonly guardOthers: { readonly 4: boolean; readonly 6: boolean };
  /** Devices that routes may go over; null: this daemon writes what it learns by itself. Default: all of them. */
  readonly following?: (daemon: Daemon) => Ways | null;
  /** Default: computed anew. */
  readonly planner?: Planner;
}

export interface Desired {
  readonly rules: RulesInput;
  readonly links: DesiredLinks;
  readonly routes: readonly DesiredRoute[];
  readonly problems: readonly m.Problem[];
  /** Endpoints that cannot be wired as they are described: key → why. */
  readonly refused: ReadonlyMap<string, m.Problem>;
  /** Null: the fabric needs no speaker here. */
  readonly bgp: BgpIntent | null;
  /** Hosts of the same link to look after. */
  readonly watched: readonly Peer[];
}

export function computeDesired(input: DesiredInput): Desired {
  const { objects, facts } = input;
  const self = objects.host.get(input.host);
  const problems: m.Problem[] = [];
  if (self === undefined) {
    problems.push({
      code: 'not_found',
      message: `The control plane has no host ${input.host}; create it again or stop this agent.`,
    });
  }
  const onUplinks = (self?.uplinks ?? []).flatMap(({ addresses }) => addresses);
  const own = [...new Set([...(self?.addresses ?? []), ...onUplinks])].map(parseAddress);
  const named = (self?.uplinks ?? []).flatMap(({ link }) => (link === null ? [] : [link]));
  const uplinks = findUplinks(input, own, named);
  const patterns = input.endpointLinks.map(linkMatcher);
  const isEndpointLink = (link: string): boolean => patterns.some((matches) => matches(link));

  const refused = new Map<string, m.Problem>();
  const links: DesiredLink[] = [];
  const local: LocalEndpoint[] = [];
  const owners = new Map<string, string>();
  const mtu = input.mtu === 0 ? smallestMtu(facts, uplinks) : input.mtu;
  for (const endpoint of input.endpoints.toSorted((a, b) => (a.key < b.key ? -1 : 1))) {
    const { attachment, key } = endpoint;
    if (attachment.kind === 'none') continue;
    const link = attachment.kind === 'veth-netns' ? linkName(key) : attachment.link;
    const owner = owners.get(link);
    const problem = isEndpointLink(link)
      ? owner === undefined
        ? null
        : taken(link, owner)
      : foreignLink(link, input.endpointLinks);
    if (problem !== null) {
      refused.set(key, problem);
      continue;
    }
    owners.set(link, key);
    const addresses = endpoint.placed.map(({ address }) => address);
    links.push({ endpoint: key, attachment, link, addresses, sourcePrefixes: endpoint.sourcePrefixes, mtu });
    local.push({ tenant: endpoint.tenant, link, addresses, sourcePrefixes: endpoint.sourcePrefixes });
  }

  // A fenced host may come back with what it had: nothing is routed to it, and its sources are dropped at the uplinks.
  const others = [...objects.host.values()].filter(
    ({ name, state }) => state !== 'fenced' && name !== input.host,
  );
  const site = (input.planner ?? planSite)(objects);
  const routing = site.plan.host(input.host);
  const following = input.following ?? (() => everywhere);
  const routes =
    routing === undefined
      ? []
      : desiredRoutes({
          routing,
          facts,
          following: routing.bgp === null ? everywhere : following(routing.bgp.daemon),
          fenced: self?.state === 'fenced',
        });
  if (self !== undefined) problems.push(...addressProblems(self, own, facts));
  problems.push(...(routing?.problems ?? []).map(({ code, message }) => ({ code, message })));
  const held = new Set(
    facts.links.flatMap(({ addresses }) => addresses.map(({ address }) => formatAddress(address))),
  );
  // The kernel refuses a source that no link has.
  const source = (address: Address): Address | null =>
    own.find((one) => one.family === address.family && held.has(formatAddress(one))) ?? null;
  const endpointRoutes = links.flatMap(({ link, addresses }) =>
    addresses.map((address) => ({
      kind: 'link' as const,
      cidr: hostRoute(address),
      link,
      source: source(address),
    })),
  );
  const model = policyModel(objects, input);
  const families = ([4, 6] as const).filter((family) =>
    model.networks.some(({ plan }) => plan.family === family),
  );
  return {
    rules: {
      model,
      endpoints: local,
      peers: others.flatMap((host) => [...ownRanges(host), ...(host.granted ?? []).map(parseCidr)]),
      uplinks,
      endpointLinks: input.endpointLinks,
      gateways: { 4: GATEWAY4, 6: GATEWAY6 },
      guardOthers: input.guardOthers,
    },
    links: { links, gateway4: GATEWAY4, gateway6: GATEWAY6, families },
    routes: [...endpointRoutes, ...routes],
    problems,
    refused,
    bgp: routing?.bgp ?? null,
    watched: routing === undefined ? [] : watchedPeers(site.input, routing),
  };
}

export function policyNetworks(objects: ViewObjects): PolicyNetwork[] {
  return [...objects.network.values()].map(({ name, cidr, layout, infrastructure }) => ({
    name,
    plan: addressPlan(parseCidr(cidr), layout),
    infrastructure,
  }));
}

function policyModel(objects: ViewObjects, input: DesiredInput): PolicyModel {
  const networks = policyNetworks(objects);
  const segments = Map.groupBy(objects.segment.values(), ({ tenant }) => tenant);
  const shared = sharedAddresses(networks, input);
  return {
    networks,
    tenants: [...objects.tenant.values()].map(({ name, isolation, ids }) => ({
      name,
      isolation,
      ids,
      segments: (segments.get(name) ?? []).map((segment) => ({
        name: segment.name,
        ids: segment.ids,
        shared: shared.get(`${name}/${segment.name}`) ?? [],
      })),
    })),
  };
}

/**
 * Addresses under the shared identity by `tenant/segment`: those of this host's own endpoints as they are, those of others as the control
 * plane tells. What it tells of this host's own ranges is older than what is known here.
 */
function sharedAddresses(
  networks: readonly PolicyNetwork[],
  { objects, endpoints, host }: DesiredInput,
): ReadonlyMap<string, Address[]> {
  const shared = new Map<string, Map<string, Address>>();
  const add = (segment: string, address: Address): void => {
    if (!networks.some(({ plan }) => decode(plan, address)?.tenant === 0)) return;
    const addresses = shared.get(segment) ?? new Map<string, Address>();
    shared.set(segment, addresses.set(formatAddress(address), address));
  };
  for (const { key, placed } of endpoints) for (const { address } of placed) add(segmentOf(key), address);
  const self = objects.host.get(host);
  const own = self === undefined ? [] : ownRanges(self);
  for (const { tenant, segment, addresses } of objects.sharedpeer.values()) {
    for (const { address: text } of addresses) {
      const address = parseAddress(text);
      if (!own.some((cidr) => containsAddress(cidr, address))) add(`${tenant}/${segment}`, address);
    }
  }
  return new Map(
    [...shared].map(([segment, addresses]) => [segment, [...addresses.values()].sort(compareAddress)]),
  );
}

/**
 * What is routed to a host, let in from it, and a blackhole on it: its reservations as a whole, pending ones too, so that a further host
 * id inside them changes nothing anywhere. Ids stand for themselves where a server of an older version tells of no reservations.
 */
function ownRanges(host: m.Host): Cidr[] {
  const held = [...(host.reservations ?? []), ...host.ids];
  return aggregate(held.map(({ cidr }) => parseCidr(cidr)));
}

/** `named`: by the control plane, where this host has them. */
function findUplinks(
  input: DesiredInput,
  own: readonly Address[],
  named: readonly string[],
): readonly string[] {
  if (input.uplinks.length > 0) return input.uplinks;
  const texts = new Set(own.map(formatAddress));
  const holding = input.facts.links.filter(({ addresses }) =>
    addresses.some(({ address }) => texts.has(formatAddress(address))),
  );
  const told = named.filter((link) => input.facts.links.some(({ name }) => name === link));
  const names = [
    ...told,
    ...holding.map(({ name }) => name),
    ...input.facts.defaultRoutes.map(({ link }) => link),
  ];
  return [...new Set(names)].filter((name) => name !== 'lo').sort();
}

function smallestMtu(facts: HostFacts, uplinks: readonly string[]): number {
  const sizes = facts.links.filter(({ name }) => uplinks.includes(name)).map(({ mtu }) => mtu);
  return sizes.length === 0 ? 1500 : Math.min(...sizes);
}

function linkMatcher(pattern: string): (link: string) => boolean {
  return pattern.endsWith('*') ? (link) => link.startsWith(pattern.slice(0, -1)) : (link) => link === pattern;
}

function taken(link: string, owner: string): m.Problem {
  return { code: 'attachment_invalid', message: `Link ${link} belongs to endpoint ${owner} already.` };
}

function foreignLink(link: string, patterns: readonly string[]): m.Problem {
  return {
    code: 'attachment_invalid',
    message: `Link ${link} is no endpoint link here (${patterns.join(', ')}): add a pattern for it to endpointLinks of the agent, so that the catch-all covers it.`,
  };
}
