/** What `ip -json` prints, with the few fields that we use, and addresses as values. */
import { type Address, type Cidr, cidrOf, tryParseAddress, tryParseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { Neighbour } from '../../ports.ts';

export interface DumpedAddress {
  readonly address: Address;
  readonly length: number;
  readonly scope: string;
  readonly duplicate: boolean;
  /** Metric of the prefix route; null: the kernel's default. */
  readonly metric: number | null;
}
export interface DumpedLink {
  readonly index: number;
  readonly name: string;
  readonly up: boolean;
  /** Up, with a carrier. */
  readonly running: boolean;
  readonly mtu: number;
  readonly alias: string;
  readonly group: string;
  /** Bridge or bond that it is a port of. */
  readonly master: string | null;
  readonly addresses: readonly DumpedAddress[];
}
export interface DumpedRoute {
  readonly cidr: Cidr;
  /** `unicast`, `blackhole`, `local`, … */
  readonly type: string;
  readonly table: string;
  readonly protocol: string;
  readonly metric: number;
  readonly link: string | null;
  readonly via: Address | null;
  readonly source: Address | null;
  readonly scope: string;
  /** Of a route with several; then `link` and `via` are null. */
  readonly hops: readonly { readonly via: Address | null; readonly link: string | null }[];
}

interface RawLink {
  ifindex: number;
  ifname: string;
  flags?: string[];
  mtu?: number;
  ifalias?: string;
  group?: string;
  master?: string;
  addr_info?: { local?: string; prefixlen?: number; scope?: string; metric?: number; dadfailed?: boolean }[];
}
interface RawRoute {
  dst: string;
  type?: string;
  table?: string;
  protocol?: string;
  metric?: number;
  dev?: string;
  gateway?: string;
  via?: { host?: string };
  prefsrc?: string;
  scope?: string;
  nexthops?: { dev?: string; gateway?: string; via?: { host?: string } }[];
}
interface RawNeighbour {
  dst?: string;
  dev?: string;
  state?: string[];
}

export async function dumpLinks(runner: Runner): Promise<DumpedLink[]> {
  const { stdout } = await runner(['ip', '-j', '-d', 'address', 'show']);
  return parseArray<RawLink>(stdout).map(linkOf).filter(isPresent);
}

/** Both families where the table is `all`. `selector` e.g. `['table', 'all', 'proto', '82']`. */
export async function dumpRoutes(
  runner: Runner,
  selector: readonly string[],
  protocol?: string,
  family?: 4 | 6,
): Promise<DumpedRoute[]> {
  const which = family === undefined ? [] : [`-${family}`];
  const { stdout } = await runner(['ip', '-j', '-d', ...which, 'route', 'show', ...selector]);
  return routesOf(parseArray<RawRoute>(stdout), protocol, family);
}

export async function dumpNeighbours(runner: Runner): Promise<Neighbour[]> {
  const { stdout } = await runner(['ip', '-j', 'neighbour', 'show']);
  return parseArray<RawNeighbour>(stdout).flatMap(({ dst = '', dev = '', state = [] }) => {
    const address = tryParseAddress(dst);
    return address === undefined ? [] : [{ address, link: dev, state: stateOf(state) }];
  });
}

/** In between it is being asked, and what was known before still counts. */
function stateOf(states: readonly string[]): Neighbour['state'] {
  if (states.includes('FAILED')) return 'failed';
  return states.some((state) => /^(REACHABLE|STALE|PERMANENT|NOARP)$/.test(state)) ? 'reachable' : 'unknown';
}

export async function dumpDefaultRoutes(runner: Runner): Promise<DumpedRoute[]> {
  const shown = await Promise.all(
    ['-4', '-6'].map((family) => runner(['ip', '-j', '-d', family, 'route', 'show', 'default'])),
  );
  return shown.flatMap(({ stdout }, i) => routesOf(parseArray<RawRoute>(stdout), undefined, i === 0 ? 4 : 6));
}

/** All that stands in the namespace at a path, by one process. */
export async function dumpInside(
  runner: Runner,
  path: string,
): Promise<{ links: DumpedLink[]; routes: DumpedRoute[] }> {
  const { stdout } = await runner(['nsenter', `--net=${path}`, '--', 'ip', '-j', '-d', '-batch', '-'], {
    stdin: 'address show\nroute show table all\n',
  });
  const [links = '[]', routes = '[]'] = stdout.split('\n').filter((line) => line.trim() !== '');
  return {
    links: parseArray<RawLink>(links).map(linkOf).filter(isPresent),
    routes: routesOf(parseArray<RawRoute>(routes)),
  };
}

function linkOf(raw: RawLink): DumpedLink | undefined {
  // A link that vanishes during the dump shows up as an empty object.
  if (typeof raw.ifname !== 'string') return undefined;
  const addresses: DumpedAddress[] = [];
  for (const info of raw.addr_info ?? []) {
    const address = tryParseAddress(info.local ?? '');
    if (address === undefined || info.prefixlen === undefined) continue;
    addresses.push({
      address,
      length: info.prefixlen,
      scope: info.scope ?? 'global',
      duplicate: info.dadfailed === true,
      metric: info.metric ?? null,
    });
  }
  return {
    index: raw.ifindex,
    name: raw.ifname,
    up: raw.flags?.includes('UP') ?? false,
    running: raw.flags?.includes('UP') === true && !raw.flags.includes('NO-CARRIER'),
    mtu: raw.mtu ?? 0,
    alias: raw.ifalias ?? '',
    group: raw.group ?? 'default',
    master: raw.master ?? null,
    addresses,
  };
}

/** `default` alone does not tell its family: the gateway, the preference (IPv6 only) or the dump's family does. */
function routesOf(raws: readonly RawRoute[], protocol?: string, family?: 4 | 6): DumpedRoute[] {
  const routes: DumpedRoute[] = [];
  for (const raw of raws) {
    if (typeof raw.dst !== 'string') continue;
    const six = family === undefined ? 'pref' in raw || (raw.gateway?.includes(':') ?? false) : family === 6;
    const cidr = destination(raw.dst, six);
    if (cidr === undefined) continue;
    routes.push({
      cidr,
      type: raw.type ?? 'unicast',
      table: raw.table ?? 'main',
      protocol: raw.protocol ?? protocol ?? 'boot',
      metric: raw.metric ?? 0,
      link: raw.dev ?? null,
      via: gatewayOf(raw),
      source: tryParseAddress(raw.prefsrc ?? '') ?? null,
      scope: raw.scope ?? 'global',
      hops: (raw.nexthops ?? []).map((hop) => ({ via: gatewayOf(hop), link: hop.dev ?? null })),
    });
  }
  return routes;
}

function gatewayOf(raw: { gateway?: string; via?: { host?: string } }): Address | null {
  return tryParseAddress(raw.gateway ?? raw.via?.host ?? '') ?? null;
}

function destination(text: string, six: boolean): Cidr | undefined {
  if (text === 'default') return tryParseCidr(six ? '::/0' : '0.0.0.0/0');
  if (text.includes('/')) return tryParseCidr(text);
  const address = tryParseAddress(text);
  return address === undefined ? undefined : cidrOf(address, address.family === 4 ? 32 : 128);
}

function parseArray<T>(text: string): T[] {
  if (text.trim() === '') return [];
  try {
    const value: unknown = JSON.parse(text);
    if (Array.isArray(value)) return value as T[];
  } catch {
    // falls through to the one error below
  }
  throw new RomanaError('kernel_refused', `ip printed no JSON: ${text.slice(0, 200)}`);
}

function isPresent<T>(value: T | undefined): value is T {
  return value !== undefined;
}
