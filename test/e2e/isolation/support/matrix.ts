/** Who reaches whom, both families: packets counted where they arrive, against what isolation says. */
import type { Lab } from '#lab/harness.ts';
import { type EndpointPlan, expected, type Tenant } from '#lab/spread.ts';
import { watch, watched } from './counting.ts';
import type { Placed } from './lab.ts';

export interface Member {
  readonly plan: EndpointPlan;
  readonly at: Placed;
}

const id = (text: string): string => text.replaceAll('-', '_');
const pairsOf = (members: readonly Member[]) =>
  members.flatMap((from) => members.filter((to) => to !== from).map((to) => [from, to] as const));

/** Which ordered pairs exchange packets, `source > destination family`. */
export async function arrivals(
  lab: Lab,
  members: readonly Member[],
  tenants: readonly Tenant[],
): Promise<string[]> {
  await Promise.all(
    members.map(({ at }) =>
      watch(
        lab,
        at.name,
        Object.fromEntries(
          members.flatMap((other) =>
            other.at === at
              ? []
              : [
                  [`v4_${id(other.at.name)}`, `ip saddr ${other.at[4]}`],
                  [`v6_${id(other.at.name)}`, `ip6 saddr ${other.at[6]}`],
                ],
          ),
        ),
      ),
    ),
  );
  await lab.probe(
    pairsOf(members).flatMap(([from, to]) =>
      ([4, 6] as const).map((family) => ({
        from: from.at.name,
        family,
        protocol: family === 4 ? ('tcp' as const) : ('udp' as const),
        address: to.at[family],
        timeoutMs: expected(from.plan, to.plan, tenants) === 'allow' ? 3000 : 400,
        tries: 2,
      })),
    ),
  );
  const arrived: string[] = [];
  for (const { at } of members) {
    const counters = await watched(lab, at.name);
    for (const other of members.filter((one) => one.at !== at)) {
      for (const family of [4, 6] as const) {
        if ((counters.get(`v${family}_${id(other.at.name)}`) ?? 0) > 0)
          arrived.push(`${other.at.name} > ${at.name} ${family}`);
      }
    }
  }
  return arrived.sort();
}

export function allowed(members: readonly Member[], tenants: readonly Tenant[]): string[] {
  return pairsOf(members)
    .filter(([from, to]) => expected(from.plan, to.plan, tenants) === 'allow')
    .flatMap(([from, to]) => [4, 6].map((family) => `${from.at.name} > ${to.at.name} ${family}`))
    .sort();
}
