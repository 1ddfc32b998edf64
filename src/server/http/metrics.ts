/** What the control plane tells Prometheus. Counted anew at each scrape, except for requests. */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { IpamRow } from '#contract/ipam.ts';
import type { BgpHost } from '#contract/routing-model.ts';
import type { VpcStatus } from '#contract/vpc.ts';
import { kinds } from '#contract/watch.ts';
import type { Store } from '#store/port.ts';
import { addBgpMetrics } from './bgp-metrics.ts';
import { addVpcMetrics } from './vpc-metrics.ts';

export interface Metrics {
  request(operation: string, code: string, seconds: number): void;
  text(): Promise<string>;
}

export interface Sources {
  readonly store: Store;
  /** Live watch subscriptions. */
  readonly subscribers: () => number;
  /** Hosts that joined and have not applied the newest revision. */
  readonly hostsBehind: () => Promise<number>;
  /** What the search for leaks came to. */
  readonly reclaim: () => { readonly candidates: number; readonly reclaimed: number };
  /** One row for each network and prefix group. */
  readonly addresses: () => Promise<readonly IpamRow[]>;
  readonly bgp: () => Promise<readonly BgpHost[]>;
  readonly vpc: () => Promise<VpcStatus['items']>;
}

export function createMetrics(sources: Sources): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry, prefix: 'romana_server_' });
  const requests = new Counter({
    name: 'romana_server_requests_total',
    help: 'Requests by operation and code of the answer (ok, or the code of the error)',
    labelNames: ['operation', 'code'],
    registers,
  });
  const durations = new Histogram({
    name: 'romana_server_request_duration_seconds',
    help: 'Seconds from the head of a request to its answer, by operation',
    labelNames: ['operation'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const gauge = (name: string, help: string, collect: (self: Gauge) => void | Promise<void>) =>
    new Gauge({
      name: `romana_server_${name}`,
      help,
      registers,
      collect() {
        return collect(this);
      },
    });
  gauge('watch_subscribers', 'Live subscriptions to the watch stream', (self) => {
    self.set(sources.subscribers());
  });
  gauge('store_revision', 'Newest revision of the store', (self) => {
    self.set(sources.store.position().revision);
  });
  gauge('hosts_behind', 'Joined hosts that have not applied the newest revision', async (self) => {
    self.set(await sources.hostsBehind());
  });
  gauge('hosts_lost', 'Hosts that nobody on their link reaches; routes to them are withdrawn', (self) => {
    self.set(sources.store.read((tx) => tx.list('host').filter(({ value }) => value.lost === true).length));
  });
  const objects = new Gauge({
    name: 'romana_server_objects',
    help: 'Objects by kind',
    labelNames: ['kind'],
    registers,
    collect() {
      sources.store.read((tx) => {
        for (const kind of kinds) objects.set({ kind }, tx.count(kind));
      });
    },
  });
  // Counting phases reads every endpoint: only when something changed since the last scrape.
  let countedAt = -1;
  const phases = new Gauge({
    name: 'romana_server_endpoints',
    help: 'Endpoints by phase',
    labelNames: ['phase'],
    registers,
    collect() {
      const { revision } = sources.store.position();
      if (revision === countedAt) return;
      const counts = { pending: 0, ready: 0, failed: 0, removing: 0 };
      sources.store.read((tx) => {
        for (const { value } of tx.list('endpoint')) counts[value.phase] += 1;
      });
      for (const [phase, count] of Object.entries(counts)) phases.set({ phase }, count);
      countedAt = revision;
    },
  });
  const candidates = new Gauge({
    name: 'romana_ipam_gc_candidates',
    help: 'Allocations suspected to be leaked; above zero for longer than the grace, somebody does not answer',
    registers,
    collect() {
      candidates.set(sources.reclaim().candidates);
    },
  });
  const reclaimed = new Counter({
    name: 'romana_ipam_gc_reclamations_total',
    help: 'Leaked allocations that were released',
    registers,
    collect() {
      reclaimed.reset();
      reclaimed.inc(sources.reclaim().reclaimed);
    },
  });
  const states = ['used', 'reserved', 'quarantined', 'free', 'stranded'] as const;
  // Two metrics of one count: it is made once for both.
  let counting: Promise<readonly IpamRow[]> | undefined;
  const rows = () =>
    (counting ??= sources.addresses().finally(() => {
      counting = undefined;
    }));
  const stranded: Gauge<'network' | 'group' | 'reason'> = new Gauge({
    name: 'romana_ipam_stranded_addresses',
    help: 'Stranded addresses by reason (see `romana ipam show`); group is empty for the whole network',
    labelNames: ['network', 'group', 'reason'],
    registers,
    async collect() {
      const found = await rows();
      stranded.reset();
      for (const { network, group, why } of found) {
        for (const { reason, count } of why)
          stranded.set({ network, group: group ?? '', reason }, Number(count));
      }
    },
  });
  const addresses: Gauge<'network' | 'group' | 'state'> = new Gauge({
    name: 'romana_ipam_addresses',
    help: 'Addresses by state, which add up to the size; group is empty for the whole network',
    labelNames: ['network', 'group', 'state'],
    registers,
    async collect() {
      const found = await rows();
      addresses.reset();
      for (const row of found) {
        const labels = { network: row.network, group: row.group ?? '' };
        for (const state of states) addresses.set({ ...labels, state }, Number(row[state]));
      }
    },
  });
  addBgpMetrics(registry, sources.bgp);
  addVpcMetrics(registry, sources.vpc);
  return {
    request(operation, code, seconds) {
      requests.inc({ operation, code });
      durations.observe({ operation }, seconds);
    },
    text: () => registry.metrics(),
  };
}
