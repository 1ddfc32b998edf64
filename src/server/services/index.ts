/** The operations of the contract over a store. See ../README.md. */
import { addressServices } from './addresses.ts';
import { bgpServices } from './bgp.ts';
import { Comparison } from './comparison.ts';
import { endpointServices } from './endpoints.ts';
import { FabricReports } from './fabric-reports.ts';
import { furtherIdServices } from './further-ids.ts';
import { gated } from './gate.ts';
import { Growth } from './growth.ts';
import { HostStatuses } from './host-status.ts';
import { hostEnds, hostServices } from './hosts.ts';
import { ipamServices } from './ipam.ts';
import { checkServices } from './ipam-check.ts';
import { networkServices } from './networks.ts';
import { reportServices } from './reports.ts';
import { reservationServices } from './reservations.ts';
import { ReuseBarrier } from './reuse.ts';
import { diffServices } from './route-diff.ts';
import { explainServices } from './route-explain.ts';
import { routingServices } from './routing.ts';
import { RoutingPlans } from './routing-plan.ts';
import { segmentServices } from './segments.ts';
import { makeContext } from './shared.ts';
import { SharedBarrier } from './sharing.ts';
import { statusServices } from './status.ts';
import { tenantServices } from './tenants.ts';
import { topologyServices } from './topology-file.ts';
import type { ServiceDeps, Services } from './types.ts';
import { vpcServices } from './vpc.ts';

export type { Input, ServedId, Service, ServiceDeps, Services } from './types.ts';

/** Access (who may call what) is checked before; only `hostReport` checks its caller again, because it is about the caller. */
export function createServices(deps: ServiceDeps): Services {
  const ctx = makeContext(deps);
  const statuses = new HostStatuses();
  const barrier = new ReuseBarrier(deps.store, statuses);
  const fabric = deps.fabric ?? new FabricReports();
  const plans = new RoutingPlans(deps.store, fabric);
  const growth = new Growth(ctx, statuses, plans);
  const ends = hostEnds(ctx, barrier, growth);
  const comparison = deps.comparison ?? new Comparison(() => deps.clock.monotonic());
  return gated(deps.store, {
    ...networkServices(ctx),
    ...reservationServices(ctx),
    ...topologyServices(ctx, (tx) => growth.settle(tx)),
    ...hostServices(ctx, statuses, growth, ends, fabric),
    ...tenantServices(ctx),
    ...segmentServices(ctx),
    ...furtherIdServices(ctx),
    ...endpointServices(ctx, growth, new SharedBarrier(deps.store, statuses), ends),
    ...reportServices(ctx, statuses, barrier, growth, ends, comparison, fabric),
    ...statusServices(ctx, statuses, barrier),
    ...addressServices(ctx),
    ...ipamServices(ctx, barrier, growth),
    ...checkServices(ctx, comparison),
    ...vpcServices(deps.vpc),
    ...bgpServices(ctx, fabric),
    ...routingServices(ctx, plans, growth),
    ...explainServices(ctx, plans, growth),
    ...diffServices(ctx, plans),
  });
}
