/** What the kernel of a host holds of ours, read from the kernel itself and not from the agent. */

import type { Runner } from '#agent/exec.ts';
import { ROUTE_PROTOCOL } from '#agent/owned.ts';
import { type Cidr, containsCidr, parseCidr } from '#core/address/index.ts';

export interface Counts {
  readonly routes: number;
  readonly rules: number;
  readonly elements: number;
}

/** `run` runs in the host's namespace. A host without our table counts 0. */
export async function kernelCounts(run: Runner): Promise<Counts> {
  const protocol = ['table', 'all', 'proto', String(ROUTE_PROTOCOL)];
  const [four, six, table] = await Promise.all([
    run(['ip', '-j', '-4', 'route', 'show', ...protocol]),
    run(['ip', '-j', '-6', 'route', 'show', ...protocol]),
    run(['nft', '-j', 'list', 'table', 'inet', 'romana'], { okCodes: 'any' }),
  ]);
  const routes = list(four.stdout).length + list(six.stdout).length;
  return { routes, ...tableCounts(table.code === 0 ? table.stdout : '') };
}

export interface KernelRoute {
  readonly cidr: Cidr;
  /** `blackhole`, `unreachable`; empty: it leads somewhere. */
  readonly type: string;
}

/** The main table without default routes, both families. `run` runs in the namespace. */
export async function kernelRoutes(run: Runner): Promise<KernelRoute[]> {
  const answers = await Promise.all(
    ['-4', '-6'].map((family) => run(['ip', '-j', family, 'route', 'show', 'table', 'main'])),
  );
  return answers
    .flatMap(({ stdout }) => list(stdout))
    .filter(isObject)
    .filter(({ dst }) => dst !== 'default')
    .map(({ dst, type }) => ({ cidr: cidrOf(String(dst)), type: typeof type === 'string' ? type : '' }));
}

/** How many lie in these networks: those that a switch has to have room for. */
export function routesWithin(routes: readonly KernelRoute[], networks: readonly string[]): number {
  const ranges = networks.map(parseCidr);
  return routes.filter(({ cidr }) => ranges.some((range) => containsCidr(range, cidr))).length;
}

/** `ip` leaves out the length of a host route. */
function cidrOf(dst: string): Cidr {
  return parseCidr(dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`);
}

/** Counts rules and the elements of sets and maps in the answer of `nft -j list table`. */
export function tableCounts(json: string): Pick<Counts, 'rules' | 'elements'> {
  const parsed: unknown = json.trim() === '' ? {} : JSON.parse(json);
  const objects = isObject(parsed) && Array.isArray(parsed['nftables']) ? parsed['nftables'] : [];
  let rules = 0;
  let elements = 0;
  for (const object of objects as unknown[]) {
    if (!isObject(object)) continue;
    if ('rule' in object) rules++;
    const set = object['set'] ?? object['map'];
    if (isObject(set) && Array.isArray(set['elem'])) elements += set['elem'].length;
  }
  return { rules, elements };
}

function list(json: string): unknown[] {
  const parsed: unknown = json.trim() === '' ? [] : JSON.parse(json);
  return Array.isArray(parsed) ? parsed : [];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
