/** When a lab's routes are what they should be: told by the agents where they speak BGP, and looked up in the kernels of the switches. */
import type { Host } from '#contract/model.ts';
import { containsCidr, parseCidr } from '#core/address/index.ts';
import type { KernelRoute } from './counts.ts';
import { SPINE } from './fabric.ts';
import type { Lab } from './harness.ts';
import { type LabPlan, leavesOf } from './plan.ts';
import { until } from './processes.ts';

/** Until every session is up and every switch leads to every host; fails with what is missing. */
export async function routed(lab: Lab, timeoutMs: number): Promise<void> {
  let missing: readonly string[] = [];
  await until('routed', timeoutMs, async () => {
    missing = [...(await sessionsMissing(lab)), ...(await routesMissing(lab))];
    return missing.length === 0 ? true : undefined;
  }).catch((error: unknown) => {
    if (error instanceof Error && missing.length > 0)
      error.message += `; missing: ${missing.slice(0, 8).join(', ')}`;
    throw error;
  });
}

async function sessionsMissing(lab: Lab): Promise<string[]> {
  if (lab.plan.fabric.kind !== 'bgp') return [];
  const { items } = await lab.client.bgpStatus({ query: {} });
  return items.flatMap(({ host: name, report }) => {
    const links = lab.plan.hosts.find((host) => host.name === name)?.links ?? [];
    const sessions = report?.sessions ?? [];
    const down = sessions.filter(({ state }) => state !== 'established');
    const peers = new Set(sessions.map(({ peer }) => peer));
    const absent = links.filter(({ leaf }) => !peers.has(leaf.name));
    return [
      ...absent.map(({ leaf }) => `session of ${name} with ${leaf.name} (${report?.problem ?? 'none told'})`),
      ...down.map(({ neighbour, state, lastError }) => `${name} with ${neighbour}: ${state} ${lastError}`),
    ];
  });
}

async function routesMissing(lab: Lab): Promise<string[]> {
  const { items } = await lab.client.hostList();
  const tables = await Promise.all(lab.switches.map(async (name) => [name, await lab.routes(name)] as const));
  return tables.flatMap(([name, routes]) =>
    missingOn(lab.plan, name, routes, items).map((cidr) => `${cidr} on ${name}`),
  );
}

/** On a leaf a route to each range of its own hosts, on the spine one that holds it. */
export function missingOn(
  plan: LabPlan,
  name: string,
  routes: readonly KernelRoute[],
  hosts: readonly Pick<Host, 'name' | 'ids' | 'reservations'>[],
): string[] {
  const leaf = leavesOf(plan).find((leaf) => leaf.name === name);
  const own = plan.hosts.filter(({ links }) => name === SPINE || links.some((link) => link.leaf === leaf));
  const leading = routes.filter(({ type }) => type === '');
  return own.flatMap((planned) => {
    const host = hosts.find((host) => host.name === planned.name);
    const ranges = (host?.reservations ?? host?.ids ?? []).map(({ cidr }) => cidr);
    return ranges.filter((text) => {
      const range = parseCidr(text);
      return !leading.some(({ cidr }) => containsCidr(cidr, range));
    });
  });
}
