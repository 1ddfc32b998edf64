/** `route diff`: which routes of which devices and hosts a topology file would change. Nothing of it is kept. */
import type { RouteDiff } from '#contract/routing-model.ts';
import { formatCidr } from '#core/address/index.ts';
import { diffPlans, type NodeDiff } from '#core/routing/index.ts';
import type { PlannedRoute, RoutingPlan } from '#core/routing/model.ts';
import { comesBy } from '#core/routing/told.ts';
import { actorOf } from '../caller.ts';
import { entry } from './route-entries.ts';
import { planned, type RoutingPlans } from './routing-plan.ts';
import type { Context } from './shared.ts';
import { tried } from './topology-file.ts';
import type { Services } from './types.ts';

/** Routes of hosts that are compared for one answer: hosts of a large link have many each, and much the same ones. */
const mostCompared = 500_000;

export function diffServices(ctx: Context, plans: RoutingPlans): Pick<Services, 'routeDiff'> {
  return {
    routeDiff: async (caller, { body }) => {
      const before = ctx.store.read((tx) => plans.of(tx).plan);
      return tried(ctx, actorOf(caller), body, (tx, { revision, blocked }): RouteDiff => {
        const after = blocked === null ? planned(tx).plan : before;
        const hosts = [...new Set([...before.hosts, ...after.hosts])].sort();
        const some = hosts.slice(0, mostHosts(hosts, before, after));
        const only = new Set([...before.devices, ...after.devices, ...some]);
        const { nodes, ...counts } = diffPlans(before, after, only);
        return {
          revision,
          ...counts,
          nodes: nodes.map((node) => described(node, before, after)),
          left: hosts.length - some.length,
          blocked,
        };
      });
    },
  };
}

function mostHosts(hosts: readonly string[], before: RoutingPlan, after: RoutingPlan): number {
  const [first] = hosts;
  if (first === undefined) return 0;
  const routes = (plan: RoutingPlan): number => plan.host(first)?.routes.length ?? 0;
  return Math.max(10, Math.floor(mostCompared / (1 + routes(before) + routes(after))));
}

function described(
  { name, kind, presence, added, removed, changed, sessions }: NodeDiff,
  before: RoutingPlan,
  after: RoutingPlan,
): RouteDiff['nodes'][number] {
  const was = teller(before, name, kind);
  const is = teller(after, name, kind);
  const device = kind === 'device' ? after.device(name) : undefined;
  const host = kind === 'host' ? after.host(name) : undefined;
  return {
    name,
    type: kind,
    presence,
    added: added.map(is),
    removed: removed.map(was),
    changed: changed.map((one) => ({ before: was(one.before), after: is(one.after) })),
    sessions: {
      added: [...sessions.added],
      removed: [...sessions.removed],
      changed: [...sessions.changed],
    },
    budget: device?.device.budget ?? null,
    routes: device?.routes.length ?? (host === undefined ? null : host.routes.length + host.learned.length),
  };
}

/** Routes of a host or device of one of the plans, with how it comes by them. */
function teller(
  plan: RoutingPlan,
  name: string,
  type: NodeDiff['kind'],
): (route: PlannedRoute) => RouteDiff['nodes'][number]['added'][number] {
  const device = type === 'device' ? plan.device(name) : undefined;
  if (device !== undefined) {
    const by = comesBy(device);
    return (route) => entry(route, by(route), type);
  }
  const learned = new Set(plan.host(name)?.learned.map(({ cidr }) => formatCidr(cidr)));
  return (route) => entry(route, learned.has(formatCidr(route.cidr)) ? 'learned' : 'direct', type);
}
