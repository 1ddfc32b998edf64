/**
 * The plan of a VPC's route tables from 10 to 5,000 hosts in three zones: how long it takes, how many routes a table holds, and what a join
 * changes in it.
 */
import { splitCidr } from '#core/address/index.ts';
import { changesOf, planVpc, type VpcTable, vpcSites } from '#core/routing/vpc/index.ts';
import {
  applied,
  foreignRoute,
  makeHost,
  makeInput,
  makeState,
  makeTable,
  network4,
  zoneCidr,
} from '#core/routing/vpc/testing.ts';

const zones = 3;

function hostsOf(count: number) {
  return Array.from({ length: count }, (_, n) => ({
    ...makeHost(n % zones, 1),
    name: `z${n % zones}-h${String(n).padStart(5, '0')}`,
    ranges: [
      { network: 'v4', cidr: splitCidr(zoneCidr(network4, n % zones), 12, 1 + Math.floor(n / zones)) },
    ],
  }));
}

function planned(count: number, tables: readonly VpcTable[], quota: number) {
  const input = makeInput({ zones, slots: [] }, hostsOf(count));
  const [site] = vpcSites(input);
  if (site === undefined) throw new Error('the site states a VPC');
  const state = makeState(input, { quota, tables });
  const before = process.cpuUsage();
  const plan = planVpc(site, state);
  const { user, system } = process.cpuUsage(before);
  return { plan, ms: (user + system) / 1000 };
}

/** The table after the plan, and how many steps led there. */
function turned(table: VpcTable, count: number, quota: number): { table: VpcTable; steps: number } {
  const [first] = planned(count, [table], quota).plan.tables;
  const steps = first === undefined ? [] : changesOf(table, first);
  return { table: steps.reduce(applied, table), steps: steps.length };
}

for (const quota of [50, 500, 1000]) {
  for (const hosts of [10, 100, 1000, 5000]) {
    const empty = makeTable(
      'rtb-a',
      [0, 1, 2].map((n) => foreignRoute(n)),
    );
    const { plan, ms } = planned(hosts, [empty], quota);
    const routes = plan.tables[0]?.routes ?? [];
    const behind = routes.flatMap(({ why }) => (why.kind === 'router' ? [why.hosts] : []));
    const settled = turned(empty, hosts, quota).table;
    const joins = Array.from({ length: 10 }, () => 0);
    let table = settled;
    for (const [n] of joins.entries()) {
      const next = turned(table, hosts + n + 1, quota);
      joins[n] = next.steps;
      table = next.table;
    }
    console.log(
      JSON.stringify({
        quota,
        hosts,
        ms: Math.round(ms),
        routes: routes.length,
        routers: plan.routers.length,
        largest: Math.max(1, ...behind),
        stepsOfTenJoins: joins.reduce((sum, steps) => sum + steps, 0),
      }),
    );
  }
}
