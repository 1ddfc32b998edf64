/** The route driver: every route with our protocol number, in every table, is ours; all wanted ones stand in `main`. */
import { type Cidr, formatAddress, formatCidr } from '#core/address/index.ts';
import { delta } from '#core/delta/delta.ts';
import type { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import { ROUTE_PROTOCOL } from '../../owned.ts';
import type {
  ApplyResult,
  Change,
  DesiredRoute,
  ForeignRoute,
  Hop,
  ObjectStatus,
  RouteDriver,
} from '../../ports.ts';
import { type BatchLine, GONE, runBatch } from './batch.ts';
import { type DumpedRoute, dumpRoutes } from './dump.ts';
import {
  conflictWithForeign,
  dumpedKey,
  dumpedText,
  foreignRoutes,
  keyedDump,
  keyedRoutes,
  metricOf,
  routeMatches,
  routeRows,
  routeText,
} from './route-plan.ts';
import { serially } from './serially.ts';

const protocol = String(ROUTE_PROTOCOL);
const selector = ['table', 'all', 'proto', protocol];

export function createRouteDriver(runner: Runner): RouteDriver {
  const oneAtATime = serially();
  return {
    apply: (desired) => oneAtATime(() => apply(runner, desired)),
    inspect: (desired) => oneAtATime(() => inspect(runner, desired)),
    foreign: (desired) => oneAtATime(() => foreign(runner, desired)),
  };
}

async function apply(runner: Runner, desired: readonly DesiredRoute[]): Promise<ApplyResult> {
  const { wanted, failures } = keyedRoutes(desired);
  const { actual, extras } = keyedDump(await dumpRoutes(runner, selector, protocol), wanted);
  const difference = delta<string, DesiredRoute | DumpedRoute>(wanted, actual, (want, have) =>
    routeMatches(want as DesiredRoute, have as DumpedRoute),
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
  const taken = [...result.failures.values()].some(isTaken);
  const others = taken ? await foreign(runner, desired) : [];
  for (const [owner, error] of result.failures) failures.set(owner, explain(owner, error, others));
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
    words: ['route', verb, 'proto', protocol, ...routeWords(route)],
    owner: routeText(route),
    change: { action, kind: 'route', object: routeText(route) },
  };
}

function routeWords(route: DesiredRoute): string[] {
  const cidr = formatCidr(route.cidr);
  const metric = metricOf(route) === 0 ? [] : ['metric', String(metricOf(route))];
  if (route.kind === 'blackhole' || route.kind === 'unreachable') return [route.kind, cidr, ...metric];
  if (route.kind === 'via') return [cidr, ...hopsWords(route.cidr, route.hops, metric)];
  const scope = route.cidr.address.family === 4 ? ['scope', 'link'] : [];
  const source = route.source === null ? [] : ['src', formatAddress(route.source)];
  return [cidr, 'dev', route.link, ...scope, ...source, ...metric];
}

function hopsWords(cidr: Cidr, hops: readonly Hop[], metric: readonly string[]): string[] {
  const [only] = hops;
  if (only !== undefined && hops.length === 1) return [...viaWords(cidr, only), ...metric];
  return [...metric, ...hops.flatMap((hop) => ['nexthop', ...viaWords(cidr, hop)])];
}

/** An IPv4 route may have an IPv6 next hop; `ip` wants that said. */
function viaWords(cidr: Cidr, { via, link }: Hop): string[] {
  const family = via.family === cidr.address.family ? [] : ['inet6'];
  return ['via', ...family, formatAddress(via), ...(link === null ? [] : ['dev', link])];
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
      // Of several next hops none is named: all go.
      ...(route.via === null ? [] : viaWords(route.cidr, { via: route.via, link: null })),
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

async function contestedKeys(runner: Runner): Promise<Set<string>> {
  const all = await dumpRoutes(runner, ['table', 'all']);
  return new Set(all.filter((route) => route.protocol !== protocol).map(dumpedKey));
}

async function foreign(runner: Runner, desired: readonly DesiredRoute[]): Promise<readonly ForeignRoute[]> {
  const families = new Set(desired.map(({ cidr }) => cidr.address.family));
  const dumps = await Promise.all(
    [...families].map((family) => dumpRoutes(runner, ['table', 'main'], undefined, family)),
  );
  return foreignRoutes(desired, dumps.flat());
}

function isTaken(error: RomanaError): boolean {
  return error.message.includes('File exists');
}

function explain(object: string, error: RomanaError, others: readonly ForeignRoute[]): RomanaError {
  if (!isTaken(error)) return error;
  const [prefix] = object.split(' ');
  const other = others.find(({ cidr }) => formatCidr(cidr) === prefix);
  return conflictWithForeign(object, other?.protocol ?? null, error);
}

async function inspect(runner: Runner, desired: readonly DesiredRoute[]): Promise<ObjectStatus[]> {
  return routeRows(keyedRoutes(desired).wanted, await dumpRoutes(runner, selector, protocol));
}
