/** `bgp status`: the sessions of all hosts, as their agents told of them last. */
import type { BgpHost } from '#contract/routing-model.ts';
import type { BgpFabric } from '#core/routing/fabric.ts';
import { fabricsOf } from './fabric.ts';
import type { FabricReports } from './fabric-reports.ts';
import { type Context, must } from './shared.ts';
import { topologyOf } from './topology.ts';
import type { Services } from './types.ts';

export function bgpServices({ store, clock }: Context, reports: FabricReports): Pick<Services, 'bgpStatus'> {
  return {
    bgpStatus: async (_, { query }) =>
      store.read((tx) => {
        const topology = topologyOf(tx);
        const hosts =
          query.host === undefined
            ? tx.list('host').map(({ value }) => value)
            : [must(tx, 'host', query.host)];
        return {
          items: hosts.flatMap((host): BgpHost[] => {
            const stated = fabricsOf(topology, host).find(({ fabric }) => fabric?.kind === 'bgp');
            const said = reports.bgp(tx, host);
            if (stated === undefined && said === undefined) return [];
            const { name, group } = host;
            const daemon = (stated?.fabric as BgpFabric | undefined)?.daemon ?? null;
            const { seenAt = null, report = null } = said ?? {};
            const ageMs = seenAt === null ? null : clock.now() - Date.parse(seenAt);
            const ageSeconds = ageMs === null ? null : Math.max(0, Math.floor(ageMs / 1000));
            return [{ host: name, group, daemon, seenAt, ageSeconds, report }];
          }),
        };
      }),
  };
}
