/** Why nothing fits, and what would. Every advice is a changed input that was planned again and fits. */
import { cidrOf, formatCidr, widthOf } from '../../address/index.ts';
import { isRomanaError } from '../../errors.ts';
import { type RouteLine, routesOf, someFabricFits } from './costs.ts';
import { type Checked, type CheckedNetwork, checkInput } from './input.ts';
import { fitAll } from './layouts.ts';
import { counted, countText, hostBits, leastWidths, partLabel, parts, sumOf } from './parts.ts';
import type { PlanInput, RouteCount } from './types.ts';

/** The bits that a network has, and those that every part needs at least. */
export function shortage({ grown, input }: Checked, network: CheckedNetwork): string {
  const least = leastWidths(grown, 0);
  const terms = parts
    .filter((part) => least[part] > 0 || part === 'hosts')
    .map((part) => `${least[part]} for ${counted(grown[part], partLabel(part, input))}`);
  const wide = hostBits(least) > 32 || least.tenants > 32 || least.endpoints > 32;
  return (
    `${formatCidr(network.cidr)} has ${network.bits} bits below its prefix, ${sumOf(least)} are needed: ${terms.join(', ')}.` +
    (wide ? ' No field holds more than 32 bits of ids.' : '')
  );
}

export function reasonsOf(checked: Checked, layoutFits: boolean, routes: readonly RouteCount[]): string[] {
  const reasons: string[] = [];
  if (!layoutFits) {
    const needed = sumOf(leastWidths(checked.grown, 0));
    const short = checked.networks.filter(({ bits }) => bits < needed);
    for (const network of short.length > 0 ? short : checked.networks)
      reasons.push(shortage(checked, network));
    reasons.push('Sharing one identity among tenants saves too few bits.');
  }
  if (!someFabricFits(routes)) {
    for (const { fabric, device, planned, budget, what } of routes.filter(({ fits }) => !fits)) {
      reasons.push(routeProblem({ fabric, device, count: planned, budget, what }));
    }
  }
  return reasons;
}

export function routeProblem({ fabric, device, count, budget, what }: RouteLine): string {
  return `${fabric}: a ${device} needs ${counted(count, 'routes')} (${what}), its budget is ${countText(budget ?? 0)}.`;
}

/** `layout`: some network has too few bits; `routes`: some fabric keeps its budgets. */
export function advise(checked: Checked, layout: boolean, routes: boolean): string[] {
  const { input } = checked;
  const found: string[] = [];
  if (layout) {
    found.push(...widerNetworks(checked));
    found.push(...smaller(checked));
    const without = { ...input, growth: { hosts: 1, tenants: 1, endpoints: 1 } };
    // Together with something else, unless it is enough by itself.
    if (Math.max(input.growth.hosts, input.growth.tenants, input.growth.endpoints) > 1 && !works(without)) {
      found.push(...smaller(checkInput(without)).map((advice) => `Without growth, and: ${advice}`));
    }
  }
  if (!routes) found.push(...groups(checked));
  if (found.length > 0) return found;
  return [
    layout
      ? 'No single change is enough: a wider network, smaller sizes and less growth must come together.'
      : 'No number of racks keeps every budget: less growth, larger budgets or another fabric would.',
  ];
}

/** Fits without shared tenants, and within the budgets. A change that makes no sense (more racks than hosts) fits nothing. */
function works(input: PlanInput): boolean {
  try {
    const checked = checkInput(input);
    const fitted = fitAll(checked, 0);
    return (
      fitted !== undefined && fitted.every(({ shared }) => shared === 0) && someFabricFits(routesOf(checked))
    );
  } catch (error) {
    if (isRomanaError(error)) return false;
    throw error;
  }
}

function widerNetworks({ input, grown, networks }: Checked): string[] {
  const needed = sumOf(leastWidths(grown, 0));
  const short = networks.filter(({ bits }) => bits < needed);
  if (short.length === 0) return [];
  const lengthOf = ({ cidr, bits }: CheckedNetwork): number =>
    bits < needed ? cidr.length + bits - needed : cidr.length;
  // 10.0.0.0/8 is the widest range that a private network can have.
  if (short.some((network) => network.cidr.address.family === 4 && lengthOf(network) < 8)) {
    // An address of which only the first byte is set.
    const alone = `fd00::/${widthOf(6) - needed}`;
    const fits = widthOf(6) - needed >= 8 && works({ ...input, networks: [{ name: 'v6', cidr: alone }] });
    return fits
      ? [
          `No private IPv4 range is wide enough; IPv6 alone is: ${alone} or shorter, such as fd00::/${Math.min(40, widthOf(6) - needed)}.`,
        ]
      : [];
  }
  const wider = networks.map((network) => ({
    name: network.name,
    cidr: formatCidr(cidrOf(network.cidr.address, Math.max(0, lengthOf(network)))),
  }));
  if (!works({ ...input, networks: wider })) return [];
  const texts = short.map((network) => `/${lengthOf(network)} instead of ${formatCidr(network.cidr)}`);
  return [`A shorter prefix: ${texts.join(', ')}.`];
}

/** The largest value of `candidates` (descending) with which the input works. */
function largest(
  candidates: readonly number[],
  change: (value: number) => Partial<PlanInput>,
  input: PlanInput,
) {
  return candidates.find((value) => works({ ...input, ...change(value) }));
}

/** Values at which a field needs a bit less: 2^n − 1 below `size`, largest first. Less than a tenth of it helps nobody. */
function steps(size: number, growth: number): number[] {
  return Array.from({ length: 32 }, (_, i) => Math.floor((2 ** (32 - i) - 1) / growth)).filter(
    (value) => value * 10 >= size && value < size,
  );
}

function smaller({ input, today }: Checked): string[] {
  const { growth } = input;
  const say = (value: number | undefined, text: (value: number) => string): string | undefined =>
    value === undefined ? undefined : text(value);
  return [
    say(
      largest(steps(input.segments, 1), (segments) => ({ segments }), input),
      (n) => `Fewer segments: --segments ${n}.`,
    ),
    say(
      largest(
        steps(today.endpoints, growth.endpoints),
        (endpointsPerSegment) => ({ endpointsPerSegment }),
        input,
      ),
      (n) => `If no segment has more than ${n} endpoints on one host: --endpoints-per-segment ${n}.`,
    ),
    say(
      largest(steps(input.tenants, growth.tenants), (tenants) => ({ tenants }), input),
      (n) => `Fewer tenants: --tenants ${n}.`,
    ),
    fewerPerRack(input, today.hosts),
    say(
      largest(
        [4, 3, 2, 1.5, 1.25, 1].filter((g) => g < Math.max(growth.hosts, growth.tenants, growth.endpoints)),
        (most) => ({
          growth: {
            hosts: Math.min(most, growth.hosts),
            tenants: Math.min(most, growth.tenants),
            endpoints: Math.min(most, growth.endpoints),
          },
        }),
        input,
      ),
      (g) =>
        g === 1
          ? 'No growth: --growth 1; hosts could grow by further networks.'
          : `Less growth: --growth ${g}.`,
    ),
  ].filter((advice) => advice !== undefined);
}

/** 16 hosts in a rack take a bit more than 15. */
function fewerPerRack(input: PlanInput, perRack: number): string | undefined {
  if (input.racks === null) return undefined;
  const most = largest(steps(perRack, 1), (n) => ({ racks: Math.ceil(input.hosts / n) }), input);
  return most === undefined
    ? undefined
    : `Fewer hosts in a rack: --racks ${Math.ceil(input.hosts / most)}, ${most} in each.`;
}

/** Budgets of routes are met by groups of the right size: neither many racks nor many hosts in one, if that is possible. */
function groups({ input }: Checked): string[] {
  const { hosts, growth, budgets } = input;
  const balanced = Math.ceil(Math.sqrt(hosts));
  // As many as the table has room for; and some of any size.
  const counts = [Math.floor(budgets.vpcRoutes / growth.hosts)];
  for (let n = 1; n <= hosts; n *= 2) counts.push(n);
  const racks = [balanced, ...counts.sort((a, b) => b - a)].find(
    (n) => n >= 1 && n <= hosts && works({ ...input, racks: n, zones: null }),
  );
  return racks === undefined
    ? []
    : [`Hosts in groups: --racks ${racks}, so that devices have aggregates instead of hosts.`];
}
