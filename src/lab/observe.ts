/** Fills the lab with endpoints, looks at everything, and makes the document of it. */

import type { DecodedAddress } from '#contract/ipam.ts';
import type { LabDocument, LabMtuProbe, LabProbe } from '#contract/lab.ts';
import type { Endpoint } from '#contract/model.ts';
import type { BgpHost } from '#contract/routing-model.ts';
import { RomanaError } from '#core/errors.ts';
import { routesWithin } from './counts.ts';
import type { Lab, LabProbeWish } from './harness.ts';
import type { HostPlan } from './plan.ts';
import { PROBE_PORT, type ProbeResult } from './probe.ts';
import { pooled } from './processes.ts';
import { type EndpointPlan, expected, keyOf, type Probe, planProbes, probeWaves } from './spread.ts';

export interface Placed {
  readonly plan: EndpointPlan;
  readonly endpoint: Endpoint;
  /** In the order of the endpoint's addresses. */
  readonly decoded: readonly DecodedAddress[];
}
export interface Observation {
  readonly placed: readonly Placed[];
  readonly document: LabDocument;
  readonly sampled: boolean;
}

export async function placeEndpoints(lab: Lab, plans: readonly EndpointPlan[]): Promise<Placed[]> {
  await lab.namespaces(plans.map(({ name }) => name));
  const turns = new Map<string, number>();
  const wishes = plans.map(({ tenant, segment, name, host }) => {
    const turn = turns.get(tenant) ?? 0;
    turns.set(tenant, turn + 1);
    return { tenant, segment, name, host: host.name, ...lab.networksFor(tenant, turn) };
  });
  const endpoints = await pooled(wishes, 16, (wish) => lab.endpoint(wish));
  return pooled(
    plans.map((plan, i) => ({ plan, endpoint: endpoints[i] as Endpoint })),
    8,
    async ({ plan, endpoint }) => {
      const decoded: DecodedAddress[] = [];
      for (const { address } of endpoint.addresses)
        decoded.push(await lab.client.addressExplain({ params: { address } }));
      return { plan, endpoint, decoded };
    },
  );
}

const familyOf = (address: string): 4 | 6 => (address.includes(':') ? 6 : 4);

function addressIn(placed: ReadonlyMap<EndpointPlan, Placed>, plan: EndpointPlan, family: 4 | 6): string {
  const address = placed
    .get(plan)
    ?.endpoint.addresses.find((own) => familyOf(own.address) === family)?.address;
  if (address === undefined) throw new RomanaError('internal', `${keyOf(plan)} has no IPv${family} address.`);
  return address;
}

/** Nothing may be lost by chance: a probe that should pass and did not is repeated once, alone with its like and with more time. */
async function probeTwice(
  lab: Lab,
  wishes: readonly (LabProbeWish & { expected: 'allow' | 'deny' })[],
): Promise<ProbeResult[]> {
  const results = await lab.probe(wishes);
  const lost = wishes.flatMap((wish, i) =>
    wish.expected === 'allow' && results[i]?.observed === 'deny' ? [i] : [],
  );
  const again = await lab.probe(
    lost.map((i) => Object.assign({ ...wishes[i] } as LabProbeWish, { timeoutMs: 2000 })),
  );
  for (const [n, i] of lost.entries()) results[i] = again[n] as ProbeResult;
  return results;
}

/**
 * All namespaces of a machine share one table of neighbours per family (1024 entries normally, four to an endpoint), and one that is
 * known to be reachable keeps its place. A large lab would lose packets for want of a neighbour instead of a permission.
 */
async function forgetNeighbours(lab: Lab): Promise<void> {
  await pooled(lab.plan.hosts, 4, ({ name }) =>
    lab.exec(name, ['ip', 'neigh', 'flush', 'all'], { okCodes: 'any' }),
  );
}

async function observeMatrix(
  lab: Lab,
  placed: ReadonlyMap<EndpointPlan, Placed>,
  probes: readonly Probe[],
): Promise<LabProbe[]> {
  const wishes = probes.map(({ from, to, family, protocol }) => ({
    from: from.name,
    family,
    protocol,
    address: addressIn(placed, to, family),
    expected: expected(from, to),
  }));
  const waves = probeWaves(probes);
  const results = waves.length > 1 ? await lab.probe(wishes) : await probeTwice(lab, wishes);
  const lost = (i: number): boolean => wishes[i]?.expected === 'allow' && results[i]?.observed === 'deny';
  if (waves.length > 1 && results.some((_, i) => lost(i))) {
    // what was stopped may not have left its namespace: all of it again, with fewer at a time
    for (const wave of waves) {
      await forgetNeighbours(lab);
      const part = await probeTwice(
        lab,
        wave.map((i) => wishes[i] as (typeof wishes)[number]),
      );
      // what passed once has passed
      for (const [k, i] of wave.entries())
        if (results[i]?.observed !== 'allow') results[i] = part[k] as ProbeResult;
    }
  }
  return probes.map(({ from, to, family, protocol }, i) => ({
    from: keyOf(from),
    to: keyOf(to),
    family,
    protocol,
    port: protocol === 'tcp' || protocol === 'udp' ? PROBE_PORT : null,
    expected: expected(from, to),
    observed: results[i]?.observed ?? 'deny',
  }));
}

/** Between two endpoints as far apart as there are: a packet of the full MTU passes unfragmented, one byte more does not leave. */
async function observeMtu(lab: Lab, placed: ReadonlyMap<EndpointPlan, Placed>): Promise<LabMtuProbe[]> {
  const plans = [...placed.keys()];
  const pairs = plans.flatMap((from) =>
    plans.filter((to) => to !== from && expected(from, to) === 'allow').map((to) => ({ from, to })),
  );
  const pair =
    pairs.find(({ from, to }) => from.host.rack !== to.host.rack) ??
    pairs.find(({ from, to }) => from.host !== to.host) ??
    pairs[0];
  if (pair === undefined) return [];
  const { from, to } = pair;
  const { stdout } = await lab.exec(from.name, ['ip', '-j', 'link', 'show', 'dev', 'eth0']);
  const mtu = (JSON.parse(stdout) as { mtu: number }[])[0]?.mtu ?? 0;
  const cases = lab.families.flatMap((family) => [
    { family, size: mtu, expected: 'allow' as const },
    { family, size: mtu + 1, expected: 'deny' as const },
  ]);
  const results = await probeTwice(
    lab,
    cases.map(({ family, size, expected }) => ({
      from: from.name,
      family,
      protocol: family === 4 ? ('icmp' as const) : ('icmpv6' as const),
      address: addressIn(placed, to, family),
      size,
      expected,
    })),
  );
  return cases.map(({ family, size, expected }, i) => ({
    from: keyOf(from),
    to: keyOf(to),
    family,
    size,
    expected,
    observed: results[i]?.observed ?? 'deny',
  }));
}

async function observeHosts(lab: Lab): Promise<LabDocument['hosts']> {
  const { items } = await lab.client.hostList();
  return pooled(lab.plan.hosts, 4, async ({ name, rack }) => {
    const ids = items.find((host) => host.name === name)?.ids ?? [];
    const cidrs = (family: 4 | 6): string[] =>
      ids.map(({ cidr }) => cidr).filter((cidr) => familyOf(cidr) === family);
    return { name, rack: rack.name, cidrs: cidrs(4), cidrs6: cidrs(6), ...(await lab.counts(name)) };
  });
}

/** As the control plane was told by the agents. A host that tells of no session with a switch of its own has none. */
export function sessionRows(
  hosts: readonly HostPlan[],
  items: readonly Pick<BgpHost, 'host' | 'report'>[],
): LabDocument['bgp'] {
  return hosts.flatMap(({ name: host, links }) => {
    const sessions = items.find((item) => item.host === host)?.report?.sessions ?? [];
    const absent = links.filter(({ leaf }) => !sessions.some(({ peer }) => peer === leaf.name));
    return [
      ...sessions.map(({ peer, neighbour, state, prefixesOut }) => ({
        host,
        peer,
        neighbour,
        state,
        prefixesOut,
      })),
      ...absent.map(({ leaf }) => ({
        host,
        peer: leaf.name,
        neighbour: leaf.address4,
        state: 'idle' as const,
        prefixesOut: null,
      })),
    ];
  });
}

async function observeBgp(lab: Lab): Promise<LabDocument['bgp']> {
  if (lab.plan.fabric.kind !== 'bgp') return [];
  return sessionRows(lab.plan.hosts, (await lab.client.bgpStatus({ query: {} })).items);
}

async function observeSwitches(lab: Lab): Promise<LabDocument['switches']> {
  const { items } = await lab.client.networkList();
  const networks = items.map(({ cidr }) => cidr);
  return pooled(lab.switches, 4, async (name) => ({
    name,
    routes: routesWithin(await lab.routes(name), networks),
  }));
}

/** `started`: when the lab began, in milliseconds of `performance.timeOrigin + performance.now()`. */
export async function observe(lab: Lab, placed: readonly Placed[], started: number): Promise<Observation> {
  const byPlan = new Map(placed.map((one) => [one.plan, one]));
  const plans = placed.map(({ plan }) => plan);
  const probes = planProbes(plans, lab.families);
  const matrix = await observeMatrix(lab, byPlan, probes);
  const mtu = await observeMtu(lab, byPlan);
  const hosts = await observeHosts(lab);
  const bgp = await observeBgp(lab);
  const switches = await observeSwitches(lab);
  const as = (one: { expected: string; observed: string }): boolean => one.expected === one.observed;
  const document: LabDocument = {
    ok: matrix.every(as) && mtu.every(as) && bgp.every(({ state }) => state === 'established'),
    hosts,
    endpoints: placed.map(({ plan, endpoint }) => ({
      name: keyOf(plan),
      host: plan.host.name,
      tenant: plan.tenant,
      segment: plan.segment,
      addresses: endpoint.addresses.map(({ address }) => address),
    })),
    matrix,
    mtu,
    bgp,
    switches,
    seconds: Math.round((performance.timeOrigin + performance.now() - started) / 100) / 10,
  };
  return {
    placed,
    document,
    sampled: probes.length < plans.length * (plans.length - 1) * lab.families.length * 3,
  };
}
