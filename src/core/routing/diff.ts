/** What a change of the plan changes on each host and device. May import core/address. */
import { type Cidr, compareCidr, formatAddress, formatCidr } from '../address/index.ts';
import type { BgpNeighbour, BgpPeer, DeviceRouting, PlannedRoute, RoutingPlan } from './model.ts';
import { actionKey, byName } from './routes.ts';
import { comesBy } from './told.ts';

export interface NodeDiff {
  readonly name: string;
  readonly kind: 'host' | 'device';
  /** It is in one of the plans only. */
  readonly presence: 'new' | 'gone' | 'both';
  readonly added: readonly PlannedRoute[];
  readonly removed: readonly PlannedRoute[];
  /** The same CIDR, led elsewhere, or on a device configured where it was told over BGP, or the other way round. */
  readonly changed: readonly { readonly before: PlannedRoute; readonly after: PlannedRoute }[];
  /** BGP sessions by `neighbour address`, and what is announced or accepted in those that stay. */
  readonly sessions: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly changed: readonly string[];
  };
}
export interface PlanDiff {
  /** Those with a difference, devices first, by name. */
  readonly nodes: readonly NodeDiff[];
  readonly devices: number;
  readonly hosts: number;
  readonly added: number;
  readonly removed: number;
  readonly changed: number;
}

/** `only`: these hosts and devices, where not all are of interest. */
export function diffPlans(before: RoutingPlan, after: RoutingPlan, only?: ReadonlySet<string>): PlanDiff {
  const wanted = (name: string): boolean => only === undefined || only.has(name);
  const nodes = [
    ...union(before.devices, after.devices)
      .filter(wanted)
      .map((name) => deviceDiff(before, after, name)),
    ...union(before.hosts, after.hosts)
      .filter(wanted)
      .map((name) => hostDiff(before, after, name)),
  ].filter(isDifferent);
  const sum = (count: (node: NodeDiff) => number): number =>
    nodes.reduce((total, node) => total + count(node), 0);
  return {
    nodes,
    devices: nodes.filter(({ kind }) => kind === 'device').length,
    hosts: nodes.filter(({ kind }) => kind === 'host').length,
    added: sum(({ added }) => added.length),
    removed: sum(({ removed }) => removed.length),
    changed: sum(({ changed }) => changed.length),
  };
}

/** Two lists of routes of one host or device. `same`: whether two that forward alike are one. */
function diffRoutes(
  before: readonly PlannedRoute[],
  after: readonly PlannedRoute[],
  same: (was: PlannedRoute, is: PlannedRoute) => boolean = () => true,
): Pick<NodeDiff, 'added' | 'removed' | 'changed'> {
  const old = new Map(before.map((route) => [formatCidr(route.cidr), route]));
  const added: PlannedRoute[] = [];
  const changed: { before: PlannedRoute; after: PlannedRoute }[] = [];
  for (const route of after) {
    const key = formatCidr(route.cidr);
    const was = old.get(key);
    old.delete(key);
    if (was === undefined) added.push(route);
    else if (actionKey(was) !== actionKey(route) || !same(was, route))
      changed.push({ before: was, after: route });
  }
  return { added, changed, removed: [...old.values()].sort((a, b) => compareCidr(a.cidr, b.cidr)) };
}

function isDifferent({ presence, added, removed, changed, sessions }: NodeDiff): boolean {
  return (
    presence !== 'both' ||
    added.length + removed.length + changed.length > 0 ||
    sessions.added.length + sessions.removed.length + sessions.changed.length > 0
  );
}

function union(a: readonly string[], b: readonly string[]): string[] {
  return [...new Set([...a, ...b])].sort(byName);
}

function presenceOf(before: object | undefined, after: object | undefined): NodeDiff['presence'] {
  return before === undefined ? 'new' : after === undefined ? 'gone' : 'both';
}

function hostDiff(before: RoutingPlan, after: RoutingPlan, name: string): NodeDiff {
  const old = before.host(name);
  const now = after.host(name);
  const announced = (cidrs: readonly Cidr[] | undefined): string => (cidrs ?? []).map(formatCidr).join();
  const peers = (intent: NonNullable<typeof old>['bgp'] | undefined): Map<string, string> =>
    new Map(
      (intent?.peers ?? []).map((peer) => [
        sessionName(peer),
        JSON.stringify([peer, intent?.asn, announced(intent?.announce)]),
      ]),
    );
  return {
    name,
    kind: 'host',
    presence: presenceOf(old, now),
    ...diffRoutes(
      [...(old?.routes ?? []), ...(old?.learned ?? [])],
      [...(now?.routes ?? []), ...(now?.learned ?? [])],
    ),
    sessions: diffSessions(peers(old?.bgp), peers(now?.bgp)),
  };
}

function deviceDiff(before: RoutingPlan, after: RoutingPlan, name: string): NodeDiff {
  const old = before.device(name);
  const now = after.device(name);
  const peers = (intent: NonNullable<typeof old>['bgp'] | undefined): Map<string, string> =>
    new Map((intent?.neighbours ?? []).map((peer) => [sessionName(peer), JSON.stringify(peer)]));
  return {
    name,
    kind: 'device',
    presence: presenceOf(old, now),
    ...diffRoutes(old?.routes ?? [], now?.routes ?? [], carriedAlike(old, now)),
    sessions: diffSessions(peers(old?.bgp), peers(now?.bgp)),
  };
}

/** What has to be configured on a device changes with the fabric, even where every packet goes as before. */
function carriedAlike(
  old: DeviceRouting | undefined,
  now: DeviceRouting | undefined,
): (was: PlannedRoute, is: PlannedRoute) => boolean {
  if (old === undefined || now === undefined || (old.bgp === null && now.bgp === null)) return () => true;
  const before = comesBy(old);
  const after = comesBy(now);
  return (was, is) => is.nextHops.length === 0 || before(was) === after(is);
}

function sessionName({ name, address, link }: BgpPeer | BgpNeighbour): string {
  return `${name} ${address === null ? (link ?? '') : formatAddress(address)}`;
}

function diffSessions(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): NodeDiff['sessions'] {
  return {
    added: [...after.keys()].filter((key) => !before.has(key)),
    removed: [...before.keys()].filter((key) => !after.has(key)),
    changed: [...after].flatMap(([key, text]) => (before.has(key) && before.get(key) !== text ? [key] : [])),
  };
}
