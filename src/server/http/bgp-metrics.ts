/** The sessions of hosts for Prometheus: one series for each host and state that it has, counted at each scrape. */
import { Gauge, type Registry } from 'prom-client';
import type { BgpHost } from '#contract/routing-model.ts';

/** `hosts`: those that run a BGP speaker, or should. */
export function addBgpMetrics(registry: Registry, hosts: () => Promise<readonly BgpHost[]>): void {
  const registers = [registry];
  // Two metrics of one look.
  let looking: Promise<readonly BgpHost[]> | undefined;
  const items = () =>
    (looking ??= hosts().finally(() => {
      looking = undefined;
    }));
  const sessions: Gauge<'host' | 'state'> = new Gauge({
    name: 'romana_server_bgp_sessions',
    help: 'BGP sessions of hosts by state, as their agents told last',
    labelNames: ['host', 'state'],
    registers,
    async collect() {
      const found = await items();
      sessions.reset();
      for (const { host, report } of found)
        for (const { state } of report?.sessions ?? []) sessions.inc({ host, state });
    },
  });
  const daemons: Gauge<'host' | 'daemon'> = new Gauge({
    name: 'romana_server_bgp_daemon_up',
    help: 'Whether the BGP daemon of the host answers its agent; 0 also while the agent has told nothing',
    labelNames: ['host', 'daemon'],
    registers,
    async collect() {
      const found = await items();
      daemons.reset();
      for (const { host, daemon, report } of found)
        daemons.set({ host, daemon: report?.daemon ?? daemon ?? '' }, report?.up === true ? 1 : 0);
    },
  });
}
