/** The route driver: every route with our protocol number, in every table, is ours; all wanted ones stand in `main`. */
import { type Address, type Cidr, equalAddress, formatAddress, formatCidr } from '#core/address/index.ts';
import { delta } from '#core/delta/delta.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import { ROUTE_METRIC6, ROUTE_PROTOCOL } from '../../owned.ts';
import type { ApplyResult, Change, DesiredRoute, ObjectStatus, RouteDriver } from '../../ports.ts';
import { type BatchLine, GONE, runBatch } from './batch.ts';
import { type DumpedRoute, dumpRoutes } from './dump.ts';
import { serially } from './serially.ts';

const protocol = String(ROUTE_PROTOCOL);
const selector = ['table', 'all', 'proto', protocol];

/** Name of a route in changes, failures and status: `10.1.1.27/32 dev rom0123456789`. */
export function routeText(route: DesiredRoute): string {
  const cidr = formatCidr(route.cidr);
  if (route.kind === 'link') return `${cidr} dev ${route.link}`;
  return route.kind === 'via' ? `${cidr} via ${formatAddress(route.via)}` : `${cidr} blackhole`;
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

export function createRouteDriver(runner: Runner): RouteDriver {
  const oneAtATime = serially();
  return {
    apply: (desired) => oneAtATime(() => apply(runner, desired)),
    inspect: (desired) => oneAtATime(() => inspect(runner, desired)),
  };
}

async function apply(runner: Runner, desired: readonly DesiredRoute[]): Promise<ApplyResult> {
  const { wanted, failures } = keyedRoutes(desired);
  const { actual, extras } = keyedDump(await dumpRoutes(runner, selector, protocol), wanted);
  const difference = delta<string, DesiredRoute | DumpedRoute>(wanted, actual, (want, have) =>
    matches(want as DesiredRoute, have as DumpedRoute),
  );
  const updates = difference.update as [string, DesiredRoute, DumpedRoute][];
  const contested = updates.length === 0 ? new Set<string>() : await contestedKeys(runner);
  const lines = [
    // Removals first: a removed route may stand in the way of none, but a table that is full would refuse the additions.
    ...[...extras, ...difference.remove.map(([, route]) => route as DumpedRoute)].map((route) =>
      removal(route, 'remove'),
    ),
    ...updates.flatMap(([key, want, have]) => update(want, have, contested.has(key))),
    ...difference.create.map(([, route]) => addition(route as DesiredRoute, 'add', 'create')),
  ];
  if (lines.length === 0) return { changes: [], failures };
  const result = await runBatch(runner, lines);
  for (const [owner, error] of result.failures) failures.set(owner, explain(owner, error));
  return { changes: result.changes, failures };
}

/**
 * `replace` swaps without a gap, but takes the first route of the key, whoever made it. So it is used only when ours is the only
 * one; else ours is deleted by protocol and added, which the kernel refuses while the foreign one stays.
 */
function update(want: DesiredRoute, have: DumpedRoute, contested: boolean): BatchLine[] {
  if (!contested) return [addition(want, 'replace', 'update')];
  return [{ ...removal(have, 'update'), change: null }, addition(want, 'add', 'update')];
}

function addition(route: DesiredRoute, verb: 'add' | 'replace', action: Change['action']): BatchLine {
  return {
    words: ['route', verb, ...routeWords(route), 'proto', protocol],
    owner: routeText(route),
    change: { action, kind: 'route', object: routeText(route) },
  };
}

function routeWords(route: DesiredRoute): string[] {
  const cidr = formatCidr(route.cidr);
  const metric = route.cidr.address.family === 6 ? ['metric', String(ROUTE_METRIC6)] : [];
  if (route.kind === 'blackhole') return ['blackhole', cidr, ...metric];
  if (route.kind === 'via') return [cidr, ...viaWords(route.cidr, route.via), ...metric];
  const scope = route.cidr.address.family === 4 ? ['scope', 'link'] : [];
  const source = route.source === null ? [] : ['src', formatAddress(route.source)];
  return [cidr, 'dev', route.link, ...scope, ...source, ...metric];
}

/** An IPv4 route may have an IPv6 next hop; `ip` wants that said. */
function viaWords(cidr: Cidr, via: Address): string[] {
  return ['via', ...(via.family === cidr.address.family ? [] : ['inet6']), formatAddress(via)];
}

/** Names the protocol, so that the kernel passes over a foreign route of the same prefix. */
function removal(route: DumpedRoute, action: Change['action']): BatchLine {
  const object = dumpedText(route);
  return {
    words: [
      'route',
      'del',
      ...(route.type === 'unicast' ? [] : [route.type]),
      formatCidr(route.cidr),
      ...(route.via === null ? [] : viaWords(route.cidr, route.via)),
      ...(route.type === 'unicast' && route.link !== null ? ['dev', route.link] : []),
      'proto',
      protocol,
      'table',
      route.table,
      ...(route.metric === 0 ? [] : ['metric', String(route.metric)]),
    ],
    owner: object,
    change: { action, kind: 'route', object },
    harmless: GONE,
  };
}

function keyedDump(dump: readonly DumpedRoute[], wanted: ReadonlyMap<string, DesiredRoute>) {
  const actual = new Map<string, DumpedRoute>();
  /** IPv4 holds several routes of one key, if somebody appended them with our protocol number. */
  const extras: DumpedRoute[] = [];
  for (const route of dump) {
    const key = dumpedKey(route);
    const first = actual.get(key);
    const want = wanted.get(key);
    if (first === undefined) actual.set(key, route);
    else if (want !== undefined && matches(want, route) && !matches(want, first)) {
      actual.set(key, route);
      extras.push(first);
    } else extras.push(route);
  }
  return { actual, extras };
}

async function contestedKeys(runner: Runner): Promise<Set<string>> {
  const all = await dumpRoutes(runner, ['table', 'all']);
  return new Set(all.filter((route) => route.protocol !== protocol).map(dumpedKey));
}

function matches(want: DesiredRoute, have: DumpedRoute): boolean {
  if (have.links.length > 0) return false;
  if (want.kind === 'blackhole') return have.type === 'blackhole';
  if (have.type !== 'unicast') return false;
  if (want.kind === 'via') return have.via !== null && equalAddress(have.via, want.via);
  return have.via === null && have.link === want.link && sameSource(have.source, want.source);
}

function sameSource(a: Address | null, b: Address | null): boolean {
  return a === null || b === null ? a === b : equalAddress(a, b);
}

function metricOf(route: DesiredRoute): number {
  return route.cidr.address.family === 6 ? ROUTE_METRIC6 : 0;
}

function dumpedKey(route: DumpedRoute): string {
  return `${formatCidr(route.cidr)} ${route.table} ${route.metric}`;
}

function dumpedText(route: DumpedRoute): string {
  const cidr = formatCidr(route.cidr);
  const where = route.table === 'main' ? '' : ` table ${route.table}`;
  if (route.type !== 'unicast') return `${cidr} ${route.type}${where}`;
  if (route.via !== null) return `${cidr} via ${formatAddress(route.via)}${where}`;
  return `${cidr} dev ${route.link ?? route.links.join(',')}${where}`;
}

function explain(object: string, error: RomanaError): RomanaError {
  if (!error.message.includes('File exists')) return error;
  return conflictWithForeign(object, error);
}

export function conflictWithForeign(object: string, cause?: unknown): RomanaError {
  return new RomanaError(
    'conflict',
    `Another program has a route to the same prefix as "${object}"; remove that route or give it a higher metric.`,
    isRomanaError(cause) ? { cause } : {},
  );
}

async function inspect(runner: Runner, desired: readonly DesiredRoute[]): Promise<ObjectStatus[]> {
  const { wanted } = keyedRoutes(desired);
  const { actual, extras } = keyedDump(await dumpRoutes(runner, selector, protocol), wanted);
  const rows: ObjectStatus[] = [];
  for (const [key, want] of wanted) {
    const have = actual.get(key);
    const ok = have !== undefined && matches(want, have);
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
