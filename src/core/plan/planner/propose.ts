/** Candidates, ranked; what each costs and what of it runs out first. */
import { formatCidr } from '../../address/index.ts';
import { advise, reasonsOf, shortage } from './advise.ts';
import { addressUse, hostElements, routesOf, someFabricFits } from './costs.ts';
import { type Checked, checkInput } from './input.ts';
import { type Fitted, fitAll } from './layouts.ts';
import {
  capacityOf,
  counted,
  countText,
  fieldOf,
  hostBits,
  layoutOf,
  partLabel,
  parts,
  sharedCapacity,
  sharedDemand,
  type Widths,
} from './parts.ts';
import type {
  CountRules,
  Exhaustion,
  Headroom,
  Level,
  PartName,
  PlanAnswer,
  PlanInput,
  PlanSizes,
  Proposal,
  ProposedNetwork,
  RouteChange,
  RouteCount,
} from './types.ts';

/** Up to 2^4 ids per host; more of them only help where endpoints need more ids than a field has. */
const mostIdBits = 4;
const mostFieldBits = 32;

export interface ProposeOptions {
  /** The most proposals to answer with. */
  readonly top?: number;
  readonly countRules?: CountRules;
}

/** Throws input_invalid. */
export function propose(input: PlanInput, options: ProposeOptions = {}): PlanAnswer {
  const checked = checkInput(input);
  const routes = routesOf(checked);
  const routesFit = someFabricFits(routes);
  const proposals = candidates(checked, routes, options.countRules).slice(0, options.top ?? 3);
  const best = proposals[0];
  const fits = best !== undefined && routesFit;
  const sharing = checked.networks.filter((_, i) => (best?.networks[i]?.sharedTenants ?? 0) > 0);
  const shared = sharing.length > 0;
  return {
    input: checked.input,
    fits,
    planned: checked.planned,
    assumptions: assumptionsOf(checked),
    routes,
    proposals,
    reasons: fits
      ? sharing.map((network) => shortage(checked, network))
      : reasonsOf(checked, best !== undefined, routes),
    advice: fits && !shared ? [] : advise(checked, best === undefined || shared, routesFit),
  };
}

function candidates(checked: Checked, routes: readonly RouteCount[], rules?: CountRules): Proposal[] {
  const found: Proposal[] = [];
  for (let ids = 0; ids < mostFieldBits && (ids <= mostIdBits || found.length === 0); ids++) {
    const fitted = fitAll(checked, ids);
    if (fitted !== undefined) found.push(proposalOf(checked, fitted, routes, rules));
  }
  const sharedIn = (one: Proposal): number => Math.max(...one.networks.map((n) => n.sharedTenants));
  const least = (one: Proposal): number =>
    Math.min(...one.networks.flatMap((n) => n.headroom.map(({ factor }) => factor)));
  return found.sort(
    (a, b) => sharedIn(a) - sharedIn(b) || least(b) - least(a) || a.idsPerHost - b.idsPerHost,
  );
}

function proposalOf(
  checked: Checked,
  fitted: readonly Fitted[],
  routes: readonly RouteCount[],
  countRules?: CountRules,
): Proposal {
  const networks = fitted.map((one) => networkOf(checked, one));
  const idsPerHost = 2 ** (fitted[0]?.widths.ids ?? 0);
  const own = fitted.map(({ network, widths }) => ({
    family: network.cidr.address.family,
    tenantIds: capacityOf('tenants', widths),
  }));
  const headroom = networks.flatMap((network) => network.headroom);
  const cost = {
    rules: countRules === undefined ? null : countRules(networks),
    elements: { today: hostElements(checked.input, own), planned: hostElements(checked.planned, own) },
  };
  return {
    idsPerHost,
    networks,
    levels: levelsOf(checked, fitted),
    runsOut: exhaustions(checked.input, headroom, routes),
    cost,
    notes: notesOf(checked, fitted, cost.elements.planned.shared),
  };
}

function networkOf(checked: Checked, { network, widths, shared }: Fitted): ProposedNetwork {
  const { today, grown, input } = checked;
  const line = (part: PartName, bits: number, now: number, planned: number, available: number): Headroom => ({
    part,
    field: fieldOf[part],
    network: network.name,
    bits,
    today: now,
    planned,
    available,
    factor: available / planned,
  });
  const present = parts.filter(
    (part) => !(part === 'zones' && input.zones === null) && !(part === 'racks' && input.racks === null),
  );
  const headroom = present
    // Where tenants share, their number is settled: what can run out is the room of the shared identity.
    .filter((part) => !(part === 'tenants' && shared > 0))
    .map((part) => line(part, widths[part], today[part], grown[part], capacityOf(part, widths)));
  if (shared > 0) {
    const bits = widths.segments + widths.endpoints;
    const now = sharedDemand(today, Math.max(0, today.tenants - capacityOf('tenants', widths)));
    headroom.push(line('shared', bits, now, sharedDemand(grown, shared), sharedCapacity(widths)));
  }
  return {
    name: network.name,
    cidr: formatCidr(network.cidr),
    layout: layoutOf(widths),
    sharedTenants: shared,
    headroom,
    addresses: addressUse(network.bits, widths, checked.planned, shared),
  };
}

function levelsOf(checked: Checked, fitted: readonly Fitted[]): Level[] {
  const { input, today, grown } = checked;
  const level = (
    name: Level['level'],
    part: 'zones' | 'racks',
    above: (widths: Widths) => number,
  ): Level => ({
    level: name,
    today: today[part],
    planned: grown[part],
    slots: 2 ** (fitted[0]?.widths[part] ?? 0),
    sizes: fitted.map(({ network, widths }) => ({
      network: network.name,
      prefixLength: network.cidr.length + above(widths),
      hostIds: 2 ** (hostBits(widths) - above(widths)),
    })),
  });
  return [
    ...(input.zones === null ? [] : [level('zone', 'zones', ({ zones }) => zones)]),
    ...(input.racks === null ? [] : [level('rack', 'racks', ({ zones, racks }) => zones + racks)]),
  ];
}

/** Every part and every budget with where it ends, soonest first. */
export function exhaustions(
  levels: Pick<PlanSizes, 'zones' | 'racks'>,
  headroom: readonly Pick<Headroom, 'part' | 'network' | 'available' | 'factor'>[],
  routes: readonly (RouteCount | RouteChange)[],
): Exhaustion[] {
  const ends: Exhaustion[] = headroom.map(({ part, network, available, factor }) => ({
    part,
    network,
    text: `${partLabel(part, levels)}, at ${countText(available)} in ${network}`,
    factor,
  }));
  for (const route of routes) {
    const { fabric, device, budget, fits, what } = route;
    const count = 'planned' in route ? route.planned : route.after;
    // What is over its budget already is a reason against this fabric, not an end to come.
    if (budget === null || !fits || count === 0) continue;
    ends.push({
      part: 'routes',
      network: null,
      text: `routes of a ${device} on ${fabric} (${what}), at ${countText(budget)}`,
      factor: budget / count,
    });
  }
  return ends.sort((a, b) => a.factor - b.factor);
}

function assumptionsOf({ input, grown, planned }: Checked): string[] {
  const all = input.endpointsPerSegment === null;
  return [
    all
      ? `any one segment may hold all ${countText(grown.endpoints)} endpoints of a host (--endpoints-per-segment says less)`
      : `no segment has more than ${countText(grown.endpoints)} of the ${countText(grown.hostEndpoints)} endpoints of a host`,
    ...(input.racks === null && input.zones === null
      ? ['hosts stand in one group (--racks and --zones make aggregates)']
      : [
          `hosts are spread evenly: up to ${grown.hosts} in a ${input.racks === null ? 'zone' : 'rack'}` +
            (input.racks === null ? '' : `, growth comes as racks: ${countText(planned.racks ?? 0)} in all`),
        ]),
    'host id 0 is never given out, so a group of 2^n ids is planned for one host less',
  ];
}

function notesOf(checked: Checked, fitted: readonly Fitted[], sharedElements: number): string[] {
  const ids = 2 ** (fitted[0]?.widths.ids ?? 0);
  const notes = fitted.flatMap(({ network, widths, shared }) =>
    shared === 0
      ? []
      : [
          `${network.name}: ${counted(capacityOf('tenants', widths), 'tenants')} can have ids of their own, ${countText(shared)} of the ${countText(checked.planned.tenants)} ` +
            'planned share one identity: they are told apart by sets of addresses, so that each of their endpoints that comes or goes ' +
            'is written on every host where its tenant is present.',
        ],
  );
  if (sharedElements > 0)
    notes.push(
      `The shared tenants cost about ${countText(sharedElements)} set elements on a host where as many of them as can are present, two for each of their endpoints anywhere.`,
    );
  if (ids > 1) {
    notes.push(
      `Elastic: a host joins with one aligned range of ${ids} host ids and fills them as it grows, without a new route or rule. ` +
        'Ids that no host has used yet can go to further hosts when their group is otherwise full.',
    );
  }
  return notes;
}
