/** The route tables of VPCs for Prometheus, as the last round left them. */
import { Gauge, type Registry } from 'prom-client';
import type { VpcStatus } from '#contract/vpc.ts';

type Item = VpcStatus['items'][number];

export function addVpcMetrics(registry: Registry, items: () => Promise<readonly Item[]>): void {
  const registers = [registry];
  // Several metrics of one look.
  let looking: Promise<readonly Item[]> | undefined;
  const look = (): Promise<readonly Item[]> =>
    (looking ??= items().finally(() => {
      looking = undefined;
    }));
  const gauge = <L extends string>(
    name: string,
    help: string,
    labelNames: readonly L[],
    fill: (self: Gauge<L>, item: Item) => void,
  ): void => {
    const self: Gauge<L> = new Gauge<L>({
      name: `romana_server_vpc_${name}`,
      help,
      labelNames,
      registers,
      async collect() {
        const found = await look();
        self.reset();
        for (const item of found) fill(self, item);
      },
    });
  };
  gauge(
    'routes',
    'Routes that count against the quota of a route table: planned by Romana, of others, and the limit of ours',
    ['vpc', 'table', 'family', 'kind'] as const,
    (self, { vpc, tables }) => {
      for (const { table, use } of tables)
        for (const { family, routes, foreign, limit } of use)
          for (const [kind, count] of Object.entries({ planned: routes, foreign, limit }))
            self.set({ vpc, table, family: String(family), kind }, count);
    },
  );
  gauge(
    'drift',
    'Changes of route tables outstanding after the last round',
    ['vpc'],
    (self, { vpc, drift }) => {
      if (drift !== null) self.set({ vpc }, drift);
    },
  );
  gauge(
    'routers',
    'Hosts that forward for others, by health',
    ['vpc', 'health'],
    (self, { vpc, routers }) => {
      for (const { health } of routers) self.inc({ vpc, health });
    },
  );
  gauge('problems', 'Problems of the route tables, by code', ['vpc', 'code'], (self, { vpc, problems }) => {
    for (const { code } of problems) self.inc({ vpc, code });
  });
  gauge(
    'calls',
    'Calls of the provider since the server started, by outcome: made are all of them',
    ['vpc', 'outcome'],
    (self, { vpc, calls }) => {
      for (const outcome of ['made', 'throttled', 'failed'] as const)
        self.set({ vpc, outcome }, calls[outcome]);
    },
  );
}
