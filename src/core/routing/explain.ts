/**
 * The way of a packet, hop by hop, by longest-prefix match on every host and device. May import core/address.
 *
 * 1. Each hop is a route that the plan gives to that host or device, or its default route; of equal next hops the first is followed and
 *    the others are listed.
 * 2. The way ends at the host whose range or address it is, where it is dropped, or where it leaves what is described here.
 * 3. It ends: a host or device that comes up twice is a loop, and said to be one.
 */
import { type Address, equalAddress, formatAddress } from '../address/index.ts';
import { Lookup } from './lookup.ts';
import type { NextHop, PlannedRoute, RoutingHost, RoutingInput, RoutingPlan, Why } from './model.ts';

export interface Hop {
  /** Host or device. */
  readonly at: string;
  readonly kind: 'host' | 'device';
  /** Null: the default route, or (with no next hops) the address is its own. */
  readonly route: PlannedRoute | null;
  /** Followed first, then those of equal cost. */
  readonly nextHops: readonly NextHop[];
}
export type End =
  /** In its range: what no endpoint has is dropped there. `why` is null for an address of the host or device itself. */
  | { readonly kind: 'delivered'; readonly at: string; readonly why: Why | null }
  | { readonly kind: 'dropped'; readonly at: string; readonly reason: string }
  /** By the default route, which is the site's. */
  | { readonly kind: 'leaves'; readonly at: string; readonly reason: string }
  | { readonly kind: 'loop'; readonly at: string };
export interface Explanation {
  readonly source: Address;
  readonly destination: Address;
  /** Host that the source belongs to; null: nobody, it comes from outside and there are no hops. */
  readonly from: string | null;
  readonly hops: readonly Hop[];
  readonly end: End;
}

/** Host whose range, granted route or underlay address this is; of several the narrowest. */
export function hostOf(hosts: readonly RoutingHost[], address: Address): RoutingHost | undefined {
  const own = hosts.find(({ addresses, uplinks }) =>
    [...addresses, ...uplinks.flatMap((uplink) => uplink.addresses)].some((each) =>
      equalAddress(each, address),
    ),
  );
  if (own !== undefined) return own;
  const ranges = hosts.flatMap((host) => [
    ...host.granted.map((cidr) => ({ cidr, host })),
    ...host.ranges.map(({ cidr }) => ({ cidr, host })),
  ]);
  return new Lookup(ranges).address(address)?.host;
}

/** `start`: host where the way goes on, when it is not the one of the source. */
export function explainRoute(
  plan: RoutingPlan,
  input: RoutingInput,
  source: Address,
  destination: Address,
  start?: string,
): Explanation {
  const from = start ?? hostOf(input.hosts, source)?.name ?? null;
  const walk: Walk = { plan, input, destination, hops: [] };
  const end: End =
    from === null
      ? {
          kind: 'leaves',
          at: 'outside',
          reason: `${formatAddress(source)} belongs to no host: its way here is not described.`,
        }
      : follow(walk, from);
  return { source, destination, from, hops: walk.hops, end };
}

interface Walk {
  readonly plan: RoutingPlan;
  readonly input: RoutingInput;
  readonly destination: Address;
  readonly hops: Hop[];
}

function follow(walk: Walk, from: string): End {
  let at: string | undefined = from;
  let end: End | undefined;
  while (at !== undefined && end === undefined) {
    const name: string = at;
    if (walk.hops.some((hop) => hop.at === name)) return { kind: 'loop', at: name };
    const host = walk.plan.host(name);
    const step: Step | undefined =
      host === undefined
        ? deviceStep(walk, name)
        : hostStep(walk, name, [...host.routes, ...host.learned], host.gateways);
    if (step === undefined) return { kind: 'leaves', at: name, reason: `${name} is not described here.` };
    walk.hops.push(step.hop);
    end = step.end;
    at = step.hop.nextHops[0]?.to;
  }
  return end ?? { kind: 'leaves', at: from, reason: 'No route leads on.' };
}

interface Step {
  readonly hop: Hop;
  readonly end?: End | undefined;
}

function hostStep(
  { input, destination }: Walk,
  at: string,
  routes: readonly PlannedRoute[],
  gateways: readonly NextHop[],
): Step {
  const hop = (route: PlannedRoute | null, nextHops: readonly NextHop[]): Hop => ({
    at,
    kind: 'host',
    route,
    nextHops,
  });
  const self = input.hosts.find(({ name }) => name === at);
  const own = self === undefined ? [] : [...self.addresses, ...self.uplinks.flatMap((up) => up.addresses)];
  if (own.some((address) => equalAddress(address, destination))) {
    return { hop: hop(null, []), end: { kind: 'delivered', at, why: null } };
  }
  const route = new Lookup(routes).address(destination);
  // Granted single addresses have no route of the plan on their holder: the endpoint's own route is there.
  const granted = self?.granted.some(
    (cidr) =>
      equalAddress(cidr.address, destination) && (route === undefined || cidr.length > route.cidr.length),
  );
  if (granted === true) {
    return { hop: hop(null, []), end: { kind: 'delivered', at, why: { kind: 'granted', host: at } } };
  }
  if (route?.why.kind === 'own') {
    return { hop: hop(route, []), end: { kind: 'delivered', at, why: route.why } };
  }
  if (route !== undefined) return forwarded(hop(route, route.nextHops), destination);
  return byDefault(hop(null, gateways), destination);
}

function deviceStep({ plan, destination }: Walk, at: string): Step | undefined {
  const device = plan.device(at);
  if (device === undefined) return undefined;
  const { routes, gateways } = device;
  const route = new Lookup(routes).address(destination) ?? null;
  const nextHops = route === null ? gateways : route.nextHops;
  const hop: Hop = { at, kind: 'device', route, nextHops };
  if (device.device.addresses.some((address) => equalAddress(address, destination))) {
    return {
      hop: { ...hop, route: null, nextHops: [] },
      end: { kind: 'delivered', at, why: null },
    };
  }
  return route === null ? byDefault(hop, destination) : forwarded(hop, destination);
}

function forwarded(hop: Hop, destination: Address): Step {
  if (hop.nextHops.length > 0) return { hop };
  const reason =
    hop.route?.why.kind === 'withdrawn'
      ? `Host ${hop.route.why.host} is lost: ${formatAddress(destination)} is unreachable.`
      : hop.kind === 'host'
        ? `No host of its subnet has ${formatAddress(destination)}: ${hop.at} drops what is left of the subnet's part.`
        : `Nobody below ${hop.at} has ${formatAddress(destination)}: it drops what is left of its own part.`;
  return { hop, end: { kind: 'dropped', at: hop.at, reason } };
}

/** A default route of one family does not lead packets of the other. */
function byDefault(hop: Hop, { family }: Address): Step {
  const nextHops = hop.nextHops.filter(({ address }) => address.family === family || isLinkLocal(address));
  const followed = { ...hop, nextHops };
  if (nextHops.length > 0) return { hop: followed };
  return {
    hop: followed,
    end: {
      kind: 'leaves',
      at: hop.at,
      reason: `Only the default route of ${hop.at} leads on, and no device above it is stated.`,
    },
  };
}

function isLinkLocal({ family, w0 }: Address): boolean {
  return family === 6 && w0 >>> 22 === 0x3fa;
}
