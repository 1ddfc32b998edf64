/** What `vpc plan` and `vpc status` tell. */
import type { VpcPlan, VpcStatus } from '#contract/vpc.ts';
import { type Address, type Cidr, containsAddress, equalCidr, formatCidr } from '#core/address/index.ts';
import type {
  VpcPlan as Plan,
  VpcChange,
  VpcSite,
  VpcTablePlan,
  VpcTableRoute,
  VpcWhy,
} from '#core/routing/vpc/index.ts';
import type { VpcLead } from '#server/vpc.ts';
import { wordsOf } from './problems.ts';
import type { CallCounts } from './retry.ts';
import type { Look, SiteStatus } from './site.ts';

type PlanItem = VpcPlan['items'][number];
type StatusItem = VpcStatus['items'][number];

export function whyText(why: VpcWhy): string {
  if (why.kind === 'host') return `the range of host ${why.host}`;
  if (why.kind === 'granted') return `granted to host ${why.host}`;
  if (why.kind === 'remote') return `${groupText(why)}, which is elsewhere`;
  return `${why.hosts} hosts of ${groupText(why)} behind host ${why.host}: one route each does not fit`;
}

function groupText({ topology, path }: { readonly topology: string; readonly path: string }): string {
  return path === '' ? `topology ${topology}` : `group ${path}`;
}

const time = (ms: number): string => new Date(ms).toISOString();

function others(routes: readonly VpcTableRoute[]): { cidr: string; target: string }[] {
  return routes.flatMap(({ cidr, target }) => (cidr === null ? [] : [{ cidr: formatCidr(cidr), target }]));
}

function tableAnswer(
  { table, use, routes, stale, foreign }: VpcTablePlan,
  changes: readonly VpcChange[],
): PlanItem['tables'][number] {
  const changed = new Map(changes.map((change) => [formatCidr(change.cidr), change]));
  return {
    table,
    use: use
      .filter((one) => one.routes > 0 || one.foreign > 0 || one.family === 4)
      .map((one) => ({ ...one })),
    routes: routes.map(({ cidr, target, why }) => {
      const text = formatCidr(cidr);
      const change = changed.get(text);
      const action = change === undefined || change.action === 'delete' ? 'keep' : change.action;
      return {
        cidr: text,
        target,
        host: why.kind === 'remote' ? null : why.host,
        kind: why.kind,
        why: whyText(why),
        action,
        from: action === 'create' ? null : change?.action === 'replace' ? change.from : target,
      };
    }),
    remove: others(stale),
    foreign: others(foreign),
  };
}

function routersOf({ routers }: Plan): PlanItem['routers'] {
  return routers.map(({ ranges, ...router }) => ({
    ...router,
    ranges: ranges.map(({ cidr, hosts }) => ({ cidr: formatCidr(cidr), hosts })),
  }));
}

export function planAnswer({ region, vpc }: VpcSite, look: Look): PlanItem {
  return {
    region,
    vpc,
    at: time(look.at),
    tables: look.plan.tables.map((table) => tableAnswer(table, look.changes.get(table.table) ?? [])),
    routers: routersOf(look.plan),
    checks: look.checks.map(({ host, instance }) => ({
      host,
      instance: instance.id,
      interface: instance.interface,
    })),
    problems: look.problems.map((problem) => ({ ...problem })),
  };
}

export function statusAnswer(
  { region, vpc }: VpcSite,
  status: SiteStatus | undefined,
  writer: boolean,
  counts: CallCounts,
): StatusItem {
  const { look = null, settledAt = null, drift = null, problems = [], lastError = null } = status ?? {};
  return {
    region,
    vpc,
    writer,
    readAt: look === null ? null : time(look.at),
    settledAt: settledAt === null ? null : time(settledAt),
    drift: drift === null ? null : [...drift.values()].reduce((sum, count) => sum + count, 0),
    quota: look?.state.quota ?? null,
    tables: (look?.plan.tables ?? []).map(({ table, use }) => ({
      table,
      use: use
        .filter((one) => one.routes > 0 || one.foreign > 0 || one.family === 4)
        .map((one) => ({ ...one })),
      drift: drift?.get(table) ?? 0,
    })),
    routers: look === null ? [] : routersOf(look.plan),
    problems: problems.map((problem) => ({ ...problem })),
    lastError:
      lastError === null
        ? null
        : {
            at: time(lastError.at),
            action: lastError.failure.action,
            code: lastError.failure.code,
            message: wordsOf(lastError.failure),
          },
    calls: { made: counts.calls, throttled: counts.throttled, failed: counts.failed },
    written: status?.written ?? { created: 0, replaced: 0, deleted: 0 },
  };
}

/** By longest prefix in the table that the subnet of the host uses. */
export function leadOf({ state, plan }: Look, host: string, destination: Address): VpcLead | undefined {
  const subnet = state.instances.get(host)?.subnet;
  if (subnet === undefined) return undefined;
  const table =
    state.tables.find(({ subnets }) => subnets.includes(subnet)) ?? state.tables.find(({ main }) => main);
  let best: { cidr: Cidr; target: string } | undefined;
  for (const { cidr, target } of table?.routes ?? []) {
    if (cidr !== null && containsAddress(cidr, destination) && cidr.length > (best?.cidr.length ?? -1))
      best = { cidr, target };
  }
  if (table === undefined || best === undefined) return undefined;
  const { cidr, target } = best;
  const planned = plan.tables
    .find((one) => one.table === table.id)
    ?.routes.find((one) => equalCidr(one.cidr, cidr) && one.target === target);
  const to = [...state.instances].find(([, instance]) => instance.interface === target)?.[0] ?? null;
  return { table: table.id, cidr, target, host: to, why: planned?.why ?? null };
}
