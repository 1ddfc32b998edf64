/** Generators of plan inputs, and arithmetic that knows nothing of the planner, for its tests only. */
import * as fc from 'fast-check';
import type { PlanInput, PlanSizes, Proposal } from './types.ts';

export const noBudgets = { fabric: null, routesPerHost: null, routesPerSwitch: null, vpcRoutes: 50 } as const;
export const noGrowth = { hosts: 1, tenants: 1, endpoints: 1 } as const;

export function inputOf(changes: Partial<PlanInput> = {}): PlanInput {
  return {
    hosts: 4,
    racks: null,
    zones: null,
    tenants: 3,
    segments: 2,
    endpointsPerHost: 6,
    endpointsPerSegment: null,
    growth: noGrowth,
    budgets: noBudgets,
    networks: [{ name: 'v4', cidr: '10.0.0.0/8' }],
    ...changes,
  };
}

export interface Ranges {
  readonly hosts: number;
  readonly tenants: number;
  readonly segments: number;
  readonly endpoints: number;
}

/** Valid sizes and growth up to these bounds, with and without racks, zones and a bound per segment. */
export function sizesUpTo(most: Ranges): fc.Arbitrary<PlanInput> {
  const upTo = (max: number) => fc.integer({ min: 1, max: Math.max(1, max) });
  const growth = fc.constantFrom(1, 1, 1.1, 1.5, 2, 3.333);
  return fc
    .record({
      hosts: upTo(most.hosts),
      tenants: upTo(most.tenants),
      segments: upTo(most.segments),
      endpointsPerHost: upTo(most.endpoints),
      growth: fc.record({ hosts: growth, tenants: growth, endpoints: growth }),
    })
    .chain((sizes) =>
      fc.option(upTo(sizes.hosts)).chain((racks) =>
        fc
          .record({
            zones: fc.option(upTo(racks ?? sizes.hosts)),
            endpointsPerSegment: fc.option(
              fc.integer({
                min: Math.ceil(sizes.endpointsPerHost / sizes.tenants / sizes.segments),
                max: sizes.endpointsPerHost,
              }),
            ),
          })
          .map((more) => inputOf({ ...sizes, racks, ...more })),
      ),
    );
}

export interface Need {
  readonly zones: number;
  readonly racks: number;
  readonly hosts: number;
  readonly tenants: number;
  readonly segments: number;
  readonly endpoints: number;
  readonly hostEndpoints: number;
}

/** ⌈n·f⌉ in thousandths, by integers. */
export function times(n: number, factor: number): number {
  const thousandths = BigInt(n) * BigInt(Math.round(factor * 1000));
  return Number((thousandths + 999n) / 1000n);
}

/** The fullest of `buckets` after `things` were dealt out one by one. */
function fullest(things: number, buckets: number): number {
  const counts = new Map<number, number>();
  for (let i = 0; i < things; i++) counts.set(i % buckets, (counts.get(i % buckets) ?? 0) + 1);
  return Math.max(...counts.values());
}

/** What each part must hold, by dealing hosts and racks out one by one. Small sizes only. */
export function needOf({ growth, ...sizes }: PlanInput): Need {
  const need = (of: PlanSizes): Need => ({
    zones: of.zones ?? 1,
    racks: of.racks === null ? 1 : fullest(of.racks, of.zones ?? 1),
    hosts: fullest(of.hosts, of.racks ?? of.zones ?? 1),
    tenants: of.tenants,
    segments: of.segments,
    endpoints: of.endpointsPerSegment ?? of.endpointsPerHost,
    hostEndpoints: of.endpointsPerHost,
  });
  const today = need(sizes);
  const endpointsPerHost = times(sizes.endpointsPerHost, growth.endpoints);
  const grown = need({
    ...sizes,
    hosts: times(sizes.hosts, growth.hosts),
    racks: sizes.racks === null ? null : times(sizes.racks, growth.hosts),
    tenants: times(sizes.tenants, growth.tenants),
    endpointsPerHost,
    endpointsPerSegment:
      sizes.endpointsPerSegment === null
        ? null
        : Math.min(endpointsPerHost, times(sizes.endpointsPerSegment, growth.endpoints)),
  });
  return { ...grown, hosts: Math.max(grown.hosts, today.hosts) };
}

/** Bits of: zone slots, rack slots, hosts of a group, ids of a host, tenant, segment, endpoint. */
export type Bits = readonly [number, number, number, number, number, number, number];

/** Every way to spread `bits` over the seven, levels that are absent left at 0. */
export function* everySpread(bits: number, levels: { zones: boolean; racks: boolean }): Generator<Bits> {
  for (let z = 0; z <= (levels.zones ? bits : 0); z++)
    for (let r = 0; r <= (levels.racks ? bits - z : 0); r++)
      for (let h = 1; h <= bits - z - r; h++)
        for (let i = 0; i <= bits - z - r - h; i++)
          for (let t = 1; t <= bits - z - r - h - i; t++)
            for (let s = 1; s < bits - z - r - h - i - t; s++)
              yield [z, r, h, i, t, s, bits - z - r - h - i - t - s];
}

/** Tenants that must share in this spread; undefined when it does not hold what is needed at all. */
export function sharedIn([z, r, h, i, t, s, e]: Bits, need: Need): number | undefined {
  const ids = 2 ** i;
  const holds =
    2 ** z >= need.zones &&
    2 ** r >= need.racks &&
    2 ** h > need.hosts &&
    2 ** s > need.segments &&
    ids * (2 ** e - 1) >= need.endpoints;
  if (!holds) return undefined;
  const shared = Math.max(0, need.tenants - (2 ** t - 1));
  const together = Math.min(need.hostEndpoints, shared * need.segments * need.endpoints);
  return together <= ids * (2 ** (s + e) - 1) ? shared : undefined;
}

/** Least available ÷ needed of a spread in which nobody shares. */
export function leastFactor([z, r, h, i, t, s, e]: Bits, need: Need, of: PlanInput): number {
  return Math.min(
    of.zones === null ? Infinity : 2 ** z / need.zones,
    of.racks === null ? Infinity : 2 ** r / need.racks,
    (2 ** h - 1) / need.hosts,
    (2 ** t - 1) / need.tenants,
    (2 ** s - 1) / need.segments,
    (2 ** i * (2 ** e - 1)) / need.endpoints,
  );
}

export const small = sizesUpTo({ hosts: 12, tenants: 12, segments: 4, endpoints: 14 });
/** Networks with few bits, of both families. */
export const narrow = fc
  .tuple(small, fc.integer({ min: 4, max: 12 }), fc.boolean())
  .map(([input, bits, wide]): [PlanInput, number] => [
    {
      ...input,
      networks: [
        wide ? { name: 'v6', cidr: `fd00::/${128 - bits}` } : { name: 'v4', cidr: `10.0.0.0/${32 - bits}` },
      ],
    },
    bits,
  ]);
export const levelsOf = (input: PlanInput) => ({ zones: input.zones !== null, racks: input.racks !== null });
export const sharedTenants = (proposal: Proposal): number =>
  Math.max(...proposal.networks.map((network) => network.sharedTenants));

export function bitsOf(proposal: Proposal, network: number): Bits {
  const { layout } = proposal.networks[network]!;
  const slots = (name: 'zone' | 'rack'): number =>
    Math.log2(proposal.levels.find(({ level }) => level === name)?.slots ?? 1);
  const ids = Math.log2(proposal.idsPerHost);
  const hosts = layout.host - slots('zone') - slots('rack') - ids;
  return [slots('zone'), slots('rack'), hosts, ids, layout.tenant, layout.segment, layout.endpoint];
}
