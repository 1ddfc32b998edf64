/**
 * The routes of a VPC's tables. May import core/address.
 *
 * 1. Every range of a host that is there is in exactly one route of each table, or named in a problem.
 * 2. A table has no more routes of ours than its limit: the quota less what others have in it, and no more than the site states.
 * 3. What forwards for a range stands in the subnet of its hosts.
 * 4. Routes of others are never touched, and one that is in the way is a problem. Ours are those inside a Romana network that lead
 *    to one of our instances, or that are on record as ours; outside, those that are both.
 * 5. The tables as they are count only so that what can stay stays.
 */
import {
  compareCidr,
  containsCidr,
  equalCidr,
  type Family,
  formatCidr,
  overlaps,
} from '../../address/index.ts';
import { coarsest, cut, type Part } from './cut.ts';
import { type Demand, demandOf, interfaceOf, type LinkForest } from './demand.ts';
import {
  defaultQuota,
  type VpcPlan,
  type VpcProblem,
  type VpcRoute,
  type VpcRouter,
  type VpcSite,
  type VpcState,
  type VpcTable,
  type VpcTablePlan,
  type VpcTableRoute,
  type VpcTableUse,
} from './model.ts';
import { type Chosen, chooseRouters, healthOf, type Task } from './routers.ts';
import { byText } from './site.ts';

interface TableCut {
  readonly table: VpcTable;
  readonly use: VpcTableUse;
  readonly parts: readonly Part[];
  readonly single: readonly VpcRoute[];
}
interface Ground {
  readonly site: VpcSite;
  readonly state: VpcState;
  readonly demand: Demand;
  readonly tables: readonly VpcTable[];
  readonly ours: (table: VpcTable, route: VpcTableRoute) => boolean;
  readonly problems: VpcProblem[];
}

const families: readonly Family[] = [4, 6];

export function planVpc(site: VpcSite, state: VpcState): VpcPlan {
  const problems: VpcProblem[] = [...site.problems];
  const tables = wantedTables(site, state, problems);
  const demand = demandOf(site, state, problems);
  const ground: Ground = { site, state, demand, tables, ours: ownership(site, state), problems };
  const cuts = tables.flatMap((table) => families.map((family) => cutOf(ground, table, family)));
  const tasks = tasksOf(ground, cuts);
  const chosen = chooseRouters([...tasks.values()], targetsNow(ground), state);
  for (const [text, { host, able }] of chosen) {
    if (able) continue;
    const message = `No host of its subnet is fit to forward for ${text}; ${host} keeps it.`;
    problems.push({ code: 'no_router', message, about: host });
  }
  const plans = tables.map((table) => tablePlan(ground, table, cuts, chosen));
  return { tables: plans, routers: routersOf(ground, tasks, chosen), problems };
}

function wantedTables(site: VpcSite, state: VpcState, problems: VpcProblem[]): VpcTable[] {
  const known = new Set(state.tables.map(({ id }) => id));
  for (const id of site.routeTables.filter((one) => !known.has(one))) {
    const message = `VPC ${site.vpc} has no route table ${id}: correct routeTables of its fabric.`;
    problems.push({ code: 'table_missing', message, about: id });
  }
  return state.tables
    .filter(({ id }) => site.routeTables.length === 0 || site.routeTables.includes(id))
    .sort((a, b) => byText(a.id, b.id));
}

/** Whether a route is ours to change. */
function ownership(site: VpcSite, state: VpcState): Ground['ours'] {
  const interfaces = new Set(
    site.links.flatMap(({ hosts }) =>
      hosts.flatMap(({ name }) => state.instances.get(name)?.interface ?? []),
    ),
  );
  return (table, { cidr, target, counted }) => {
    if (cidr === null || !counted) return false;
    const recorded = table.recorded.has(formatCidr(cidr));
    const inside = site.networks.some((network) => containsCidr(network, cidr));
    // a network that is gone leaves routes behind that nobody else made
    return inside ? interfaces.has(target) || recorded : recorded && interfaces.has(target);
  };
}

function familyOf({ cidr }: VpcTableRoute): Family {
  return cidr?.address.family ?? 4;
}

function useOf({ site, state, ours }: Ground, table: VpcTable, family: Family): Omit<VpcTableUse, 'routes'> {
  const foreign = table.routes.filter(
    (route) => route.counted && familyOf(route) === family && !ours(table, route),
  ).length;
  const quota = state.quota ?? (site.budget === null ? defaultQuota : Infinity);
  return { family, foreign, limit: Math.max(0, Math.min(site.budget ?? Infinity, quota - foreign)) };
}

/** What is routed now, by text; a table that has nothing yet follows the first that has. */
function heldIn({ tables, ours }: Ground, table: VpcTable, family: Family): Set<string> {
  const own = (one: VpcTable): string[] =>
    one.routes.flatMap((route) =>
      route.cidr !== null && route.cidr.address.family === family && ours(one, route)
        ? [formatCidr(route.cidr)]
        : [],
    );
  const here = own(table);
  return new Set(here.length > 0 ? here : (tables.map(own).find((one) => one.length > 0) ?? []));
}

function cutOf(ground: Ground, table: VpcTable, family: Family): TableCut {
  const { demand, problems } = ground;
  const use = useOf(ground, table, family);
  const single = demand.single.filter(({ cidr }) => cidr.address.family === family);
  const forests = demand.forests
    .map(({ forest }) => forest)
    .filter(({ cidr, items }) => cidr.address.family === family && items.length > 0);
  const held = heldIn(ground, table, family);
  const parts = cut(forests, held, use.limit - single.length);
  if (parts !== undefined && single.length <= use.limit)
    return { table, use: { ...use, routes: parts.length + single.length }, parts, single };
  const whole = coarsest(forests);
  const needed = whole.length + single.length;
  const message = `Route table ${table.id} has room for ${use.limit} IPv${family} routes of ours, and the coarsest plan needs ${needed}: raise the quota of routes per table to ${needed + use.foreign} and the budget of the fabric, where it states one, to ${needed}; or state wider subnets. Some ranges have no route.`;
  problems.push({ code: 'budget_too_small', message, about: table.id });
  return { table, use: { ...use, routes: use.limit }, ...mostOf(whole, single, held, use.limit) };
}

/** As much as fits: what is there already, then what the most hosts need. */
function mostOf(
  parts: readonly Part[],
  single: readonly VpcRoute[],
  held: ReadonlySet<string>,
  limit: number,
): Pick<TableCut, 'parts' | 'single'> {
  const wanted = [
    ...parts.map((part) => ({ cidr: part.cidr, hosts: part.items.length, part, route: null })),
    ...single.map((route) => ({ cidr: route.cidr, hosts: 1, part: null, route })),
  ].map((one) => ({ ...one, held: held.has(formatCidr(one.cidr)) }));
  wanted.sort((a, b) => Number(b.held) - Number(a.held) || b.hosts - a.hosts || compareCidr(a.cidr, b.cidr));
  const fitting = wanted.slice(0, limit);
  return {
    parts: fitting.flatMap(({ part }) => part ?? []),
    single: fitting.flatMap(({ route }) => route ?? []),
  };
}

function hostsOf({ items }: Part): Set<string> {
  return new Set(items.map(({ host }) => host));
}

function forestOf({ demand }: Ground, { cidr }: Part): LinkForest | undefined {
  return demand.forests.find(({ forest }) => containsCidr(forest.cidr, cidr));
}

/** Ranges that somebody has to forward for, by text. */
function tasksOf(ground: Ground, cuts: readonly TableCut[]): Map<string, Task> {
  const tasks = new Map<string, Task>();
  for (const part of cuts.flatMap(({ parts }) => parts)) {
    const text = formatCidr(part.cidr);
    if (!part.together || tasks.has(text)) continue;
    const inside = hostsOf(part);
    const link = forestOf(ground, part)?.members ?? [];
    if (inside.size > 1) tasks.set(text, { cidr: part.cidr, inside, link });
  }
  return new Map([...tasks].sort(([, a], [, b]) => compareCidr(a.cidr, b.cidr)));
}

function targetsNow({ tables, ours }: Ground): Map<string, string> {
  const now = new Map<string, string>();
  for (const table of tables) {
    for (const route of table.routes) {
      if (route.cidr === null || !ours(table, route)) continue;
      const text = formatCidr(route.cidr);
      if (!now.has(text)) now.set(text, route.target);
    }
  }
  return now;
}

function routeOf(ground: Ground, part: Part, chosen: ReadonlyMap<string, Chosen>): VpcRoute | undefined {
  const { cidr, items } = part;
  const inside = hostsOf(part);
  const [host = ''] = inside;
  if (inside.size === 1)
    return { cidr, target: interfaceOf(host, ground.state), why: { kind: 'host', host } };
  const router = chosen.get(formatCidr(cidr));
  const link = forestOf(ground, part)?.link;
  if (router === undefined || link === undefined || items.length === 0) return undefined;
  const { topology, path } = link;
  const why = { kind: 'router', host: router.host, topology, path, hosts: inside.size } as const;
  return { cidr, target: router.instance.interface, why };
}

function tablePlan(
  ground: Ground,
  table: VpcTable,
  cuts: readonly TableCut[],
  chosen: ReadonlyMap<string, Chosen>,
): VpcTablePlan {
  const { ours, site, problems } = ground;
  const here = cuts.filter((one) => one.table === table);
  const wanted = here
    .flatMap(({ parts, single }) => [
      ...single,
      ...parts.flatMap((part) => routeOf(ground, part, chosen) ?? []),
    ])
    .sort((a, b) => compareCidr(a.cidr, b.cidr));
  const foreign = table.routes.filter(
    (route) =>
      route.cidr !== null &&
      !ours(table, route) &&
      site.networks.some((one) => containsCidr(one, route.cidr ?? one)),
  );
  const routes = wanted.filter((route) => !inTheWay(route, table, foreign, problems));
  reportForeign(ground, table, wanted);
  const texts = new Set(wanted.map(({ cidr }) => formatCidr(cidr)));
  const stale = table.routes.filter(
    (route) => route.cidr !== null && ours(table, route) && !texts.has(formatCidr(route.cidr)),
  );
  return { table: table.id, use: here.map(({ use }) => use), routes, foreign, stale };
}

/** Theirs that leads where ours would is as good. */
function inTheWay(
  route: VpcRoute,
  table: VpcTable,
  foreign: readonly VpcTableRoute[],
  problems: VpcProblem[],
): boolean {
  const other = foreign.find(({ cidr }) => cidr !== null && equalCidr(cidr, route.cidr));
  if (other === undefined) return false;
  if (other.target !== route.target) {
    const message = `Route table ${table.id} has a route of somebody else for ${formatCidr(route.cidr)} to ${other.target}; it stays, and ours to ${route.target} is not written: remove it.`;
    problems.push({ code: 'route_in_the_way', message, about: table.id });
  }
  return true;
}

function reportForeign(
  { ours, site, demand, problems }: Ground,
  table: VpcTable,
  wanted: readonly VpcRoute[],
): void {
  for (const route of table.routes) {
    const { cidr, target } = route;
    if (cidr === null || ours(table, route)) continue;
    const text = formatCidr(cidr);
    if (target === 'local') {
      if (!site.networks.some((network) => overlaps(network, cidr))) continue;
      const message = `The VPC's own range ${text} overlaps a Romana network, and the provider routes it itself: use a network outside the VPC.`;
      problems.push({ code: 'network_in_vpc', message, about: table.id });
    } else if (wanted.some((one) => one.cidr.length < cidr.length && containsCidr(one.cidr, cidr))) {
      const message = `Route table ${table.id} has a route of somebody else for ${text} to ${target}, which takes a part of Romana's addresses away: remove it if that is not meant.`;
      // worse when it is all of a host's range: then none of that host is reached
      const whole = demand.forests.some(({ forest }) =>
        forest.items.some((item) => containsCidr(cidr, item.cidr)),
      );
      problems.push({ code: whole ? 'route_in_the_way' : 'route_inside', message, about: table.id });
    }
  }
}

function routersOf(
  { state }: Ground,
  tasks: ReadonlyMap<string, Task>,
  chosen: ReadonlyMap<string, Chosen>,
): VpcRouter[] {
  const byHost = Map.groupBy(tasks, ([text]) => chosen.get(text)?.host);
  return [...byHost]
    .flatMap(([host, found]) => {
      const instance = host === undefined ? undefined : state.instances.get(host);
      if (host === undefined || instance === undefined) return [];
      const ranges = found.map(([, { cidr, inside }]) => ({ cidr, hosts: inside.size }));
      return [{ host, instance: instance.id, zone: instance.zone, health: healthOf(host, state), ranges }];
    })
    .sort((a, b) => byText(a.host, b.host));
}
