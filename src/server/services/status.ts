/** The state of the whole: counts, and how far each host has come. */
import type { Status } from '#contract/model.ts';
import type { ReadTx } from '#store/port.ts';
import type { HostStatuses } from './host-status.ts';
import type { ReuseBarrier } from './reuse.ts';
import type { Context } from './shared.ts';
import type { Services } from './types.ts';
import { beginningOf, unheardHosts } from './waiting.ts';

export function statusServices(
  { store, version = '0' }: Context,
  statuses: HostStatuses,
  barrier: ReuseBarrier,
): Pick<Services, 'status'> {
  return {
    status: async () =>
      store.read((tx) => {
        const now = store.position();
        const endpoints = tx.endpointCounts();
        return {
          ...now,
          version,
          counts: {
            networks: tx.count('network'),
            hosts: tx.count('host'),
            tenants: tx.count('tenant'),
            segments: tx.count('segment'),
            endpoints: tx.count('endpoint'),
          },
          hosts: tx
            .list('host')
            .map(({ value }) => statuses.of(tx, value, endpoints.get(value.name) ?? 0, now)),
          retiring: barrier.blockers(tx),
          ...waitingOf(tx),
        };
      }),
  };
}

function waitingOf(tx: ReadTx): Pick<Status, 'waiting'> {
  const beginning = beginningOf(tx);
  return beginning === undefined ? {} : { waiting: { since: beginning.since, hosts: unheardHosts(tx) } };
}
