/** The sessions of this host's speaker for Prometheus. */
import { Gauge, type Registry } from 'prom-client';
import type { BgpReport } from '#contract/bgp.ts';

export function addBgpMetrics(registry: Registry, report: BgpReport | null): void {
  if (report === null) return;
  const registers = [registry];
  new Gauge({
    name: 'romana_agent_bgp_daemon_up',
    help: 'Whether the BGP daemon answers the agent',
    labelNames: ['daemon'],
    registers,
  }).set({ daemon: report.daemon }, report.up ? 1 : 0);
  const labelNames = ['peer', 'neighbour'] as const;
  const state = new Gauge({
    name: 'romana_agent_bgp_session_established',
    help: 'Whether the session is established',
    labelNames,
    registers,
  });
  const prefixes = new Gauge({
    name: 'romana_agent_bgp_prefixes',
    help: 'Prefixes that came over the session (in) and that the host announces over it (out)',
    labelNames: [...labelNames, 'direction'],
    registers,
  });
  for (const { peer, neighbour, state: now, prefixesIn, prefixesOut } of report.sessions) {
    state.set({ peer, neighbour }, now === 'established' ? 1 : 0);
    if (prefixesIn !== null) prefixes.set({ peer, neighbour, direction: 'in' }, prefixesIn);
    if (prefixesOut !== null) prefixes.set({ peer, neighbour, direction: 'out' }, prefixesOut);
  }
}
