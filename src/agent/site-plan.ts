/** The routes of the whole site as this host knows it, computed anew only when a network, the topology or a host has changed. */
import { routingInput } from '#contract/routing.ts';
import { planRouting, type RoutingInput, type RoutingPlan } from '#core/routing/index.ts';
import type { ViewObjects } from './view.ts';

export interface SitePlan {
  readonly input: RoutingInput;
  readonly plan: RoutingPlan;
}
export type Planner = (objects: ViewObjects) => SitePlan;

export function planSite({ topology, network, host }: ViewObjects): SitePlan {
  const input = routingInput({
    topology: topology.get(''),
    networks: [...network.values()],
    hosts: [...host.values()],
  });
  return { input, plan: planRouting(input) };
}

/** Remembers one. Objects of a view are never changed in place, so the same ones mean the same. */
export function createPlanner(): Planner {
  let known: readonly unknown[] = [];
  let last: SitePlan | null = null;
  return (objects) => {
    const now = [objects.topology.get(''), ...objects.network.values(), ...objects.host.values()];
    const same = last !== null && now.length === known.length && now.every((one, n) => one === known[n]);
    if (last === null || !same) last = planSite(objects);
    known = now;
    return last;
  };
}
