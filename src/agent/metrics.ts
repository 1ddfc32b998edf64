/** The agent's Prometheus text, read from the kernel at the moment of asking. */
import { Counter, Gauge, Registry } from 'prom-client';
import type { Agent } from './agent.ts';
import { addBgpMetrics } from './bgp/metrics.ts';

export async function agentMetrics(agent: Agent): Promise<string> {
  const status = await agent.status();
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number): void => {
    new Gauge({ name, help, registers: [registry] }).set(value);
  };
  gauge('romana_agent_ready', 'Whether the kernel is as desired', status.ready ? 1 : 0);
  gauge(
    'romana_agent_connected',
    'Whether the watch stream of the control plane is up',
    status.connected ? 1 : 0,
  );
  gauge(
    'romana_agent_applied_revision',
    'Revision that the kernel agrees with',
    status.applied?.revision ?? 0,
  );
  gauge('romana_agent_known_revision', 'Revision that the agent has heard of', status.known?.revision ?? 0);
  gauge('romana_agent_endpoints', 'Endpoints of this host', status.endpoints);
  gauge('romana_agent_problems', 'Problems that need an operator', status.problems.length);
  gauge('romana_managed_routes', 'Routes of ours in the kernel', status.counts.routes);
  gauge(
    'romana_managed_sets',
    'Sets of ours in the kernel',
    status.objects.filter(({ kind }) => kind === 'set').length,
  );
  gauge('romana_policy_rules', 'nftables rules of ours in the kernel', status.counts.rules);
  gauge('romana_policy_elements', 'Set elements of ours in the kernel', status.counts.elements);
  gauge(
    'romana_agent_drifted_objects',
    'Owned objects that differ from what is desired',
    status.objects.filter(({ ok }) => !ok).length,
  );
  new Counter({
    name: 'romana_agent_kernel_writes_total',
    help: 'Objects written to the kernel',
    registers: [registry],
  }).inc(status.writes);
  addBgpMetrics(registry, status.bgp);
  if (status.unreachable !== null)
    gauge(
      'romana_agent_unreachable_hosts',
      'Hosts of the same link that do not answer this one',
      status.unreachable.length,
    );
  const drops = new Counter({
    name: 'romana_agent_dropped_packets_total',
    help: 'Packets dropped, by reason',
    labelNames: ['reason'],
    registers: [registry],
  });
  for (const [reason, packets] of Object.entries(status.drops)) drops.inc({ reason }, packets);
  return registry.metrics();
}
