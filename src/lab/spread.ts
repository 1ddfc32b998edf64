/**
 * Which endpoints there are, where they run, who should reach whom, and which pairs to probe. Pure; what is expected is said here
 * from first principles and not by the product's evaluator, so that the lab is an independent check.
 *
 * 1. With 12 endpoints on 4 hosts in 2 racks every kind of pair exists (see `pairKinds`).
 * 2. No block holds more endpoints than it has ids.
 * 3. A sample has every endpoint in it, and each endpoint's kinds of pairs come before the repetition of any.
 */
import { RomanaError } from '#core/errors.ts';
import type { HostPlan } from './plan.ts';

export type Isolation = 'segment' | 'tenant' | 'open';
export interface Tenant {
  readonly name: string;
  readonly isolation: Isolation;
  readonly segments: readonly string[];
}
export const TENANTS: readonly Tenant[] = [
  { name: 'acme', isolation: 'segment', segments: ['web', 'db'] },
  { name: 'globex', isolation: 'segment', segments: ['web', 'db'] },
];
/** Endpoint ids of a block of the lab's own IPv4 layout: 4 bits, without 0. */
const ownPerBlock = 15;

export interface EndpointPlan {
  /** Name of the endpoint and of its namespace. */
  readonly name: string;
  readonly tenant: string;
  readonly segment: string;
  readonly host: HostPlan;
}
export const keyOf = (e: { tenant: string; segment: string; name: string }): string =>
  `${e.tenant}/${e.segment}/${e.name}`;

/** `perBlock`: endpoints of one segment that a host has room for. */
export function planEndpoints(
  count: number,
  hosts: readonly HostPlan[],
  perBlock = ownPerBlock,
): EndpointPlan[] {
  const places = TENANTS.flatMap(({ name, segments }) =>
    segments.map((segment) => ({ tenant: name, segment })),
  );
  if (count > hosts.length * places.length * perBlock) {
    throw new RomanaError(
      'input_invalid',
      `${count} endpoints do not fit on ${hosts.length} hosts (each has room for ${perBlock} of a segment); give more --hosts or --growth.`,
      { details: { path: 'endpoints' } },
    );
  }
  const load = new Map<HostPlan, number>(hosts.map((host) => [host, 0]));
  const blocks = new Map<string, number>();
  const bySegment: EndpointPlan[][] = places.map(() => []);
  for (let i = 0; i < count; i++) {
    const s = i % places.length;
    const n = Math.floor(i / places.length);
    const place = places[s];
    const block = (host: HostPlan): string => `${host.name} ${s}`;
    const free = hosts.filter((host) => (blocks.get(block(host)) ?? 0) < perBlock);
    const lightest = free.toSorted((a, b) => (load.get(a) ?? 0) - (load.get(b) ?? 0))[0];
    const host = firstPlaces(s, hosts)[n] ?? lightest;
    if (place === undefined || host === undefined)
      throw new RomanaError('internal', 'The lab has no place left.');
    blocks.set(block(host), (blocks.get(block(host)) ?? 0) + 1);
    load.set(host, (load.get(host) ?? 0) + 1);
    bySegment[s]?.push({ ...place, name: `${place.tenant}-${place.segment}-${n + 1}`, host });
  }
  return bySegment.flat();
}

/** A segment's first three: a host, a neighbour (of its rack, or for every other segment of another rack), the first host again. */
function firstPlaces(s: number, hosts: readonly HostPlan[]): HostPlan[] {
  const second = hosts.findIndex((host) => host.rack !== hosts[0]?.rack);
  // acme begins in the first rack, globex in the second, each segment on a host of its own
  const start = ((s < 2 || second < 0 ? 0 : second) + (second < 0 ? s : s % 2)) % hosts.length;
  const [first, ...others] = [...hosts.slice(start), ...hosts.slice(0, start)];
  if (first === undefined) return [];
  const neighbour = others.find((host) => (host.rack === first.rack) === (s % 2 === 0)) ?? others[0] ?? first;
  return [first, neighbour, first];
}

/** Both sides must agree: the sender's tenant lets it out to there, the receiver's lets it in from here. */
export function expected(
  from: EndpointPlan,
  to: EndpointPlan,
  tenants: readonly Tenant[] = TENANTS,
): 'allow' | 'deny' {
  const agrees = (own: EndpointPlan, other: EndpointPlan): boolean => {
    const isolation = tenants.find((tenant) => tenant.name === own.tenant)?.isolation ?? 'segment';
    if (isolation === 'open') return true;
    if (own.tenant !== other.tenant) return false;
    return isolation === 'tenant' || own.segment === other.segment;
  };
  return agrees(from, to) && agrees(to, from) ? 'allow' : 'deny';
}

const relations = ['same segment', 'same tenant', 'other tenant'] as const;
const distances = ['same host', 'same rack', 'other rack'] as const;
export const pairKinds: readonly string[] = relations.flatMap((r) => distances.map((d) => `${r}, ${d}`));

export function pairKind(from: EndpointPlan, to: EndpointPlan): string {
  const relation = from.tenant !== to.tenant ? 2 : from.segment !== to.segment ? 1 : 0;
  const distance = from.host.rack !== to.host.rack ? 2 : from.host !== to.host ? 1 : 0;
  return `${relations[relation]}, ${distances[distance]}`;
}

export interface Probe {
  readonly from: EndpointPlan;
  readonly to: EndpointPlan;
  readonly family: 4 | 6;
  readonly protocol: 'tcp' | 'udp' | 'icmp' | 'icmpv6';
}
const allCombinations: readonly Pick<Probe, 'family' | 'protocol'>[] = [
  { family: 4, protocol: 'tcp' },
  { family: 6, protocol: 'tcp' },
  { family: 4, protocol: 'udp' },
  { family: 6, protocol: 'udp' },
  { family: 4, protocol: 'icmp' },
  { family: 6, protocol: 'icmpv6' },
];

/** Up to this many endpoints every pair is probed with everything. */
export const wholeMatrix = 24;
export const sampleSize = 1500;

export function planProbes(
  endpoints: readonly EndpointPlan[],
  families: readonly (4 | 6)[] = [4, 6],
): Probe[] {
  const combinations = allCombinations.filter(({ family }) => families.includes(family));
  if (endpoints.length <= wholeMatrix) {
    return endpoints.flatMap((from) =>
      endpoints.flatMap((to) => (from === to ? [] : combinations.map((c) => ({ from, to, ...c })))),
    );
  }
  const peers = endpoints.map((from) => {
    const byKind = Map.groupBy(
      endpoints.filter((to) => to !== from),
      (to) => pairKind(from, to),
    );
    return pairKinds.flatMap((kind) => (byKind.has(kind) ? [byKind.get(kind) ?? []] : []));
  });
  const probes: Probe[] = [];
  for (let c = 0; c < combinations.length; c++) {
    for (let k = 0; k < pairKinds.length; k++) {
      for (const [i, from] of endpoints.entries()) {
        const kinds = peers[i] ?? [];
        if (k >= kinds.length) continue;
        const candidates = kinds[(i + k) % kinds.length] ?? [];
        const to = candidates[(i * 7 + c) % candidates.length];
        const combination = combinations[(Math.floor((i + k) / kinds.length) + k + c) % combinations.length];
        if (to === undefined || combination === undefined) continue;
        probes.push({ from, to, ...combination });
        if (probes.length === sampleSize) return probes;
      }
    }
  }
  return probes;
}

/** Sources of one wave. */
export const waveSize = 60;

/** Indexes of the probes in waves with few sources each, for large labs where all at once are too many for the kernel. */
export function probeWaves(probes: readonly Probe[]): number[][] {
  const sources = new Map<EndpointPlan, number>();
  for (const { from } of probes) if (!sources.has(from)) sources.set(from, sources.size);
  const waves: number[][] = Array.from({ length: Math.ceil(sources.size / waveSize) }, () => []);
  for (const [i, { from }] of probes.entries())
    waves[Math.floor((sources.get(from) ?? 0) / waveSize)]?.push(i);
  return waves;
}
