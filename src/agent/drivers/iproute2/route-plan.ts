/** Which routes are meant and whether one in the kernel is the wanted one: pure decisions from one dump. */
import { type Address, equalAddress, formatAddress, formatCidr } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { ROUTE_METRIC_STANDIN, ROUTE_METRIC6, ROUTE_PROTOCOL } from '../../owned.ts';
import type { DesiredRoute, ForeignRoute, Hop, ObjectStatus } from '../../ports.ts';
import type { DumpedRoute } from './dump.ts';

/** Name of a route in changes, failures and status: `10.1.1.27/32 dev rom0123456789`. */
export function routeText(route: DesiredRoute): string {
  const cidr = formatCidr(route.cidr);
  if (route.kind === 'link') return `${cidr} dev ${route.link}`;
  return route.kind === 'via' ? `${cidr} ${hopsText(route.hops)}` : `${cidr} ${route.kind}`;
}

/** In an order of its own, so that the same next hops are the same text. */
function hopsText(hops: readonly { readonly via: Address | null; readonly link: string | null }[]): string {
  return hops
    .map(({ via, link }) => (via === null ? `dev ${link ?? ''}` : `via ${formatAddress(via)}`))
    .sort()
    .join(' ');
}

/**
 * Routes by their key in the kernel (prefix, table, metric). Two wanted routes of one key cannot both be: the first one stays, the
 * other is a conflict.
 */
export function keyedRoutes(desired: readonly DesiredRoute[]): {
  wanted: Map<string, DesiredRoute>;
  failures: Map<string, RomanaError>;
} {
  const wanted = new Map<string, DesiredRoute>();
  const failures = new Map<string, RomanaError>();
  for (const route of desired) {
    const key = `${formatCidr(route.cidr)} main ${metricOf(route)}`;
    const first = wanted.get(key);
    if (first === undefined) wanted.set(key, route);
    else if (routeText(first) !== routeText(route)) {
      failures.set(
        routeText(route),
        new RomanaError(
          'conflict',
          `Two routes to ${formatCidr(route.cidr)} are wanted; "${routeText(first)}" stays.`,
        ),
      );
    }
  }
  return { wanted, failures };
}

export function keyedDump(dump: readonly DumpedRoute[], wanted: ReadonlyMap<string, DesiredRoute>) {
  const actual = new Map<string, DumpedRoute>();
  /** IPv4 holds several routes of one key, if somebody appended them with our protocol number. */
  const extras: DumpedRoute[] = [];
  for (const route of dump) {
    const key = dumpedKey(route);
    const first = actual.get(key);
    const want = wanted.get(key);
    if (first === undefined) actual.set(key, route);
    else if (want !== undefined && routeMatches(want, route) && !routeMatches(want, first)) {
      actual.set(key, route);
      extras.push(first);
    } else extras.push(route);
  }
  return { actual, extras };
}

export function routeMatches(want: DesiredRoute, have: DumpedRoute): boolean {
  if (want.kind !== 'via' && have.hops.length > 0) return false;
  if (want.kind === 'blackhole' || want.kind === 'unreachable') return have.type === want.kind;
  if (have.type !== 'unicast') return false;
  if (want.kind === 'via') return sameHops(want.hops, hopsOf(have));
  return have.via === null && have.link === want.link && sameSource(have.source, want.source);
}

function hopsOf({ via, link, hops }: DumpedRoute): DumpedRoute['hops'] {
  return hops.length > 0 ? hops : [{ via, link }];
}

function sameHops(want: readonly Hop[], have: DumpedRoute['hops']): boolean {
  const found = want.map((hop) =>
    have.findIndex(
      ({ via, link }) =>
        via !== null && equalAddress(via, hop.via) && (hop.link === null || hop.link === link),
    ),
  );
  return want.length === have.length && !found.includes(-1) && new Set(found).size === want.length;
}

function sameSource(a: Address | null, b: Address | null): boolean {
  return a === null || b === null ? a === b : equalAddress(a, b);
}

export function metricOf(route: DesiredRoute): number {
  if (route.kind === 'via' && route.standIn === true) return ROUTE_METRIC_STANDIN;
  return route.cidr.address.family === 6 ? ROUTE_METRIC6 : 0;
}

export function dumpedKey(route: DumpedRoute): string {
  return `${formatCidr(route.cidr)} ${route.table} ${route.metric}`;
}

export function dumpedText(route: DumpedRoute): string {
  const cidr = formatCidr(route.cidr);
  const where = route.table === 'main' ? '' : ` table ${route.table}`;
  if (route.type !== 'unicast') return `${cidr} ${route.type}${where}`;
  return `${cidr} ${hopsText(hopsOf(route))}${where}`;
}

/** `protocol` null: unknown, because the route is gone already. */
export function conflictWithForeign(object: string, protocol: string | null, cause?: unknown): RomanaError {
  const [cidr = ''] = object.split(' ');
  const whose = protocol === null ? 'Another program' : `Another program (protocol ${protocol})`;
  return new RomanaError(
    'route_foreign',
    `${whose} has a route to ${cidr} where "${object}" should stand; remove that route or give it a higher metric.`,
    { details: { cidr, protocol }, ...(isRomanaError(cause) ? { cause } : {}) },
  );
}

/** Of a dump of the table `main`, whatever the metric. Not the kernel's own: those come with addresses; nor what is stood in for. */
export function foreignRoutes(
  desired: readonly DesiredRoute[],
  dump: readonly DumpedRoute[],
): ForeignRoute[] {
  const alone = desired.filter((route) => metricOf(route) !== ROUTE_METRIC_STANDIN);
  const wanted = new Map(alone.map((route) => [formatCidr(route.cidr), metricOf(route)]));
  return dump.flatMap(({ cidr, protocol, metric, table }): ForeignRoute[] => {
    const ours = wanted.get(formatCidr(cidr));
    if (ours === undefined || protocol === String(ROUTE_PROTOCOL) || table !== 'main') return [];
    return protocol === 'kernel' ? [] : [{ cidr, protocol, wins: metric <= ours }];
  });
}

/** For `inspect`: each wanted route and each that is too much, by prefix. */
export function routeRows(
  wanted: ReadonlyMap<string, DesiredRoute>,
  dump: readonly DumpedRoute[],
): ObjectStatus[] {
  const { actual, extras } = keyedDump(dump, wanted);
  const rows: ObjectStatus[] = [];
  for (const [key, want] of wanted) {
    const have = actual.get(key);
    const ok = have !== undefined && routeMatches(want, have);
    const found = have === undefined ? null : fullText(have);
    rows.push({ kind: 'route', object: formatCidr(want.cidr), desired: wantedText(want), actual: found, ok });
  }
  for (const have of [
    ...[...actual].filter(([key]) => !wanted.has(key)).map(([, route]) => route),
    ...extras,
  ]) {
    rows.push({
      kind: 'route',
      object: formatCidr(have.cidr),
      desired: null,
      actual: fullText(have),
      ok: false,
    });
  }
  return rows.sort((a, b) => (a.object < b.object ? -1 : a.object > b.object ? 1 : 0));
}

function wantedText(route: DesiredRoute): string {
  const source = route.kind === 'link' && route.source !== null ? ` src ${formatAddress(route.source)}` : '';
  return routeText(route) + source;
}

function fullText(route: DumpedRoute): string {
  return dumpedText(route) + (route.source === null ? '' : ` src ${formatAddress(route.source)}`);
}
