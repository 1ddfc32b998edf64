/** A plan that stands and a change: what still fits, which devices get routes, what runs out next. */
import { addressPlan, formatCidr, type Layout, parseCidr } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import { routeProblem } from './advise.ts';
import { hostElements, type RouteLine, routeLines, someFabricFits, vpcGrain, withinBudget } from './costs.ts';
import { fieldsOf, leavesOf, readCount, type Shape, shapeOf } from './input.ts';
import {
  bitsForSlots,
  capacityOf,
  counted,
  countText,
  partLabel,
  parts,
  sharedCapacity,
  sharedDemand,
  type Widths,
} from './parts.ts';
import { exhaustions } from './propose.ts';
import type {
  Change,
  PartName,
  PlanSizes,
  RouteChange,
  StandingPlan,
  WhatIfAnswer,
  WhatIfPart,
} from './types.ts';

/** Throws input_invalid for a change that the plan has no place for, or that goes beyond 2^32. */
export function whatIf(plan: StandingPlan, change: Change): WhatIfAnswer {
  const asked = checkChange(plan, change);
  const before = shapeOf(plan.sizes);
  const { sizes, shape } = apply(plan.sizes, before, asked);
  const known = plan.networks.map((network) => ({ ...network, widths: widthsOf(plan, network) }));
  const usage = known.flatMap(({ name, widths }) => partsOf(plan, name, widths, before, shape));
  const routes = routesOf(plan, before, sizes, shape);
  const elementsOf = (of: PlanSizes) =>
    hostElements(
      of,
      known.map(({ cidr, widths }) => ({
        family: parseCidr(cidr).address.family,
        tenantIds: capacityOf('tenants', widths),
      })),
    );
  const problems = [
    ...usage.flatMap((part) => partProblem(part, plan.sizes)),
    ...routeProblems(plan, sizes, routes),
  ];
  return {
    fits: usage.every(({ part, fits }) => fits || part === 'tenants') && someFabricFits(routes),
    before: plan.sizes,
    after: sizes,
    parts: usage,
    routes,
    elements: { before: elementsOf(plan.sizes), after: elementsOf(sizes) },
    problems,
    notes: notesOf(plan, asked, shape, usage),
    runsOut: exhaustions(
      plan.sizes,
      usage
        .filter(({ fits }) => fits)
        .map(({ part, network, after, available }) => ({
          part,
          network,
          available,
          factor: after === 0 ? Number.MAX_VALUE : available / after,
        })),
      routes,
    ),
  };
}

function refuse(path: string, message: string): RomanaError {
  return new RomanaError('input_invalid', message, { details: { path } });
}

function checkChange({ sizes }: StandingPlan, change: Change): Change {
  const fields = fieldsOf(change, 'change');
  const asked: Change = {
    hosts: readCount(fields, 'hosts', 0),
    racks: readCount(fields, 'racks', 0),
    zones: readCount(fields, 'zones', 0),
    tenants: readCount(fields, 'tenants', 0),
  };
  if (asked.racks > 0 && sizes.racks === null) {
    throw refuse('racks', 'The plan has no racks, so none can be added; propose a plan with --racks.');
  }
  if (asked.zones > 0 && sizes.zones === null) {
    throw refuse('zones', 'The plan has no zones, so none can be added; propose a plan with --zones.');
  }
  return asked;
}

/** Each figure of the result grows with each figure of the change: that is what makes what-if monotone. */
function apply(sizes: PlanSizes, before: Shape, change: Change): { sizes: PlanSizes; shape: Shape } {
  const hosts = Math.ceil((sizes.hosts + change.hosts) / leavesOf(sizes));
  const zones = before.zones + change.zones;
  const racks = sizes.racks === null ? 1 : Math.ceil((sizes.racks + change.racks) / before.zones);
  const newLeaves = change.racks + change.zones * racks;
  const after: PlanSizes = {
    ...sizes,
    hosts: sizes.hosts + change.hosts + newLeaves * hosts,
    racks: sizes.racks === null ? null : sizes.racks + newLeaves,
    zones: sizes.zones === null ? null : zones,
    tenants: sizes.tenants + change.tenants,
  };
  return { sizes: after, shape: { ...before, zones, racks, hosts, tenants: after.tenants } };
}

/** Throws input_invalid when slots and ids per host do not divide the host field. */
export function widthsOf(
  plan: Pick<StandingPlan, 'zoneSlots' | 'rackSlots' | 'idsPerHost'>,
  network: { readonly cidr: string; readonly layout: Layout },
): Widths {
  const { cidr, layout } = addressPlan(parseCidr(network.cidr), network.layout);
  const zones = bitsForSlots(plan.zoneSlots);
  const racks = bitsForSlots(plan.rackSlots);
  const ids = bitsForSlots(plan.idsPerHost);
  const hosts = layout.host - zones - racks - ids;
  if (2 ** zones !== plan.zoneSlots || 2 ** racks !== plan.rackSlots || 2 ** ids !== plan.idsPerHost) {
    throw refuse('slots', 'Slots and ids per host are powers of two.');
  }
  if (hosts < 0) {
    throw refuse(
      'slots',
      `The host field of ${formatCidr(cidr)} has ${layout.host} bits, too few for ${plan.zoneSlots} zone slots of ${plan.rackSlots} racks with ${plan.idsPerHost} ids per host.`,
    );
  }
  return {
    zones,
    racks,
    hosts,
    ids,
    tenants: layout.tenant,
    segments: layout.segment,
    endpoints: layout.endpoint,
  };
}

function partsOf(
  { sizes }: StandingPlan,
  network: string,
  widths: Widths,
  before: Shape,
  after: Shape,
): WhatIfPart[] {
  const line = (part: PartName, was: number, is: number, available: number): WhatIfPart => ({
    part,
    network,
    before: was,
    after: is,
    available,
    fits: is <= available,
  });
  const lines = parts
    .filter(
      (part) => !(part === 'zones' && sizes.zones === null) && !(part === 'racks' && sizes.racks === null),
    )
    .map((part) => line(part, before[part], after[part], capacityOf(part, widths)));
  const own = capacityOf('tenants', widths);
  const shared = (shape: Shape): number => sharedDemand(shape, Math.max(0, shape.tenants - own));
  if (after.tenants > own) lines.push(line('shared', shared(before), shared(after), sharedCapacity(widths)));
  return lines;
}

function routesOf(plan: StandingPlan, before: Shape, sizes: PlanSizes, shape: Shape): RouteChange[] {
  const { budgets, vpcPer } = plan;
  const families = plan.networks.map(({ cidr }) => parseCidr(cidr).address.family);
  const was = routeLines({ sizes: plan.sizes, shape: before, families, budgets, vpcPer });
  return routeLines({ sizes, shape, families, budgets, vpcPer }).map((line: RouteLine, index) => ({
    fabric: line.fabric,
    device: line.device,
    before: was[index]?.count ?? 0,
    after: line.count,
    budget: line.budget,
    fits: withinBudget(line),
    what: line.what,
  }));
}

function remedy(part: Exclude<PartName, 'tenants'>, { racks, zones }: PlanSizes): string {
  const texts: Readonly<Record<typeof part, string>> = {
    zones: 'there is no slot left for them: propose a new plan, or use another network for the new zones',
    racks:
      zones === null
        ? 'there is no slot left for them: propose a new plan, or use another network for the new racks'
        : 'the zone has no slot left for them: put them into another zone, or propose a new plan',
    hosts:
      racks === null
        ? 'there are no host ids left for them: propose a new plan, or use another network for the new hosts'
        : 'the fullest rack has no host ids left: add racks instead of hosts',
    segments: 'use another network',
    endpoints: 'give hosts more ids, or use fewer endpoints on each',
    shared: 'fewer tenants may share: add a network with a wider tenant field',
  };
  return texts[part];
}

function partProblem({ part, network, after, available, fits }: WhatIfPart, sizes: PlanSizes): string[] {
  // Tenants beyond their field share an identity: a cost, no failure.
  if (fits || part === 'tenants') return [];
  return [
    `${network} has room for ${counted(available, partLabel(part, sizes))}, not ${countText(after)}; ${remedy(part, sizes)}.`,
  ];
}

function routeProblems(plan: StandingPlan, sizes: PlanSizes, routes: readonly RouteChange[]): string[] {
  const families = plan.networks.map(({ cidr }) => parseCidr(cidr).address.family);
  const coarser = vpcGrain(sizes, families, plan.budgets.vpcRoutes);
  const hint = coarser === plan.vpcPer ? '' : ` One route for each ${coarser} instead is fewer.`;
  return routes
    .filter(({ fits }) => !fits)
    .map(
      ({ fabric, device, after, budget, what }) =>
        routeProblem({ fabric, device, count: after, budget, what }) + (device === 'vpc table' ? hint : ''),
    );
}

function notesOf(
  { sizes }: StandingPlan,
  change: Change,
  shape: Shape,
  usage: readonly WhatIfPart[],
): string[] {
  const notes: string[] = [];
  const group = sizes.racks === null ? 'zone' : 'rack';
  if (change.hosts > 0) {
    notes.push(
      `Added hosts are spread over the ${leavesOf(sizes) === 1 ? 'one group' : `${leavesOf(sizes)} ${group}s`} there are; ` +
        'nothing outside their own group gets a route.',
    );
  }
  const added = change.racks + (sizes.racks === null ? 0 : change.zones * shape.racks);
  if (added > 0) {
    notes.push(
      `${counted(added, 'new racks')} of ${counted(shape.hosts, 'hosts')}: their own top-of-rack switches are new devices; hosts and switches of other racks do not change.`,
    );
  }
  if (change.zones > 0)
    notes.push(`${counted(change.zones, 'new zones')}: the other zones get one aggregate for each.`);
  if (change.tenants > 0)
    notes.push('Tenants change no route; hosts get set elements when a tenant is present there.');
  for (const { network, part, after, available } of usage) {
    if (part === 'tenants' && after > available)
      notes.push(
        `${network} has ids for ${counted(available, 'tenants')}: ${countText(after - available)} share one identity and are told apart by sets of addresses.`,
      );
  }
  return notes;
}
