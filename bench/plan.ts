/**
 * Cost of planning for 10 to 5,000 hosts: a proposal that fits, one that does not (every advice is tried), a what-if, and the carving of
 * the proposed topology. The ratio is to the first line of the same run, so that it holds on a busy machine: planning must not cost
 * more for more hosts, carving only as much as there are groups. `node bench/plan.ts [milliseconds per measurement]`
 */
import { addressPlan, parseCidr } from '#core/address/index.ts';
import { carve } from '#core/plan/index.ts';
import { type PlanInput, propose, standingPlan, whatIf } from '#core/plan/planner/index.ts';

const budgetMs = Number(process.argv[2] ?? 200);

function inputOf(hosts: number, cidr: string): PlanInput {
  return {
    hosts,
    racks: Math.ceil(hosts / 20),
    zones: hosts >= 100 ? 3 : null,
    tenants: 300,
    segments: 4,
    endpointsPerHost: 110,
    endpointsPerSegment: null,
    growth: { hosts: 2, tenants: 2, endpoints: 1 },
    budgets: { fabric: null, routesPerHost: null, routesPerSwitch: null, vpcRoutes: 50 },
    networks: [{ name: 'net', cidr }],
  };
}

/** Microseconds of one call, the best of three rounds after a warm-up. */
function microseconds(work: () => unknown): number {
  let best = Infinity;
  for (let round = 0; round < 4; round++) {
    let calls = 0;
    const start = performance.now();
    let elapsed = 0;
    while (elapsed < budgetMs / 3) {
      work();
      calls++;
      elapsed = performance.now() - start;
    }
    if (round > 0) best = Math.min(best, (elapsed * 1000) / calls);
  }
  return best;
}

function measure(hosts: number): { racks: number; costs: number[] } {
  const input = inputOf(hosts, 'fd00::/40');
  const tight = inputOf(hosts, '10.0.0.0/20');
  const answer = propose(input);
  const proposal = answer.proposals[0];
  if (proposal === undefined || propose(tight).fits) throw new Error('The sizes of the bench are wrong.');
  const standing = standingPlan(answer, proposal);
  const { cidr, layout } = proposal.networks[0]!;
  const plan = addressPlan(parseCidr(cidr), layout);
  // What is carved is the topology as planned, every rack of every zone.
  const planned = (name: 'zone' | 'rack'): number =>
    proposal.levels.find(({ level }) => level === name)?.planned ?? 1;
  const groups = Array.from({ length: planned('rack') }, (_, i) => ({ name: `r${i}` }));
  const zones = Array.from({ length: planned('zone') }, (_, i) => ({ name: `z${i}`, groups }));
  const racks = groups.length * zones.length;
  const carved = microseconds(() => carve(plan, { groups: zones }));
  return {
    racks,
    costs: [
      microseconds(() => propose(input)),
      microseconds(() => propose(tight)),
      microseconds(() => whatIf(standing, { hosts: 0, racks: 1, zones: 0, tenants: 10 })),
      carved,
      carved / racks,
    ],
  };
}

const sizes = [10, 50, 100, 500, 1000, 5000];
// Everything is compiled before the first line is measured.
for (const hosts of sizes) measure(hosts);
const titles = ['propose', 'nothing fits', 'what-if', 'carve', 'carve per rack'];
console.log(
  `${'hosts'.padStart(6)}${'racks'.padStart(7)}${titles.map((title) => `${title}, µs`.padStart(22)).join('')}`,
);
let first: number[] | undefined;
for (const hosts of sizes) {
  const { racks, costs } = measure(hosts);
  first ??= costs;
  const cells = costs.map((cost, i) =>
    `${cost.toFixed(1)} (×${(cost / first![i]!).toFixed(1)})`.padStart(22),
  );
  console.log(String(hosts).padStart(6) + String(racks).padStart(7) + cells.join(''));
}
