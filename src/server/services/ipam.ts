/** Where the addresses are: `ipam show`. */
import type { IpamBlocked, IpamRow } from '#contract/ipam.ts';
import type { Host, HostReservation } from '#contract/model.ts';
import { aggregate, blockCidr, formatCidr, hostCidr, parseCidr, tenantCidr } from '#core/address/index.ts';
import { type Account, type BlockCount, flatAccount, numbersOf, reasons } from '#core/ipam/index.ts';
import type { ReadTx } from '#store/port.ts';
import type { Growth } from './growth.ts';
import { idSpace } from './ids.ts';
import type { ReuseBarrier } from './reuse.ts';
import { byAge, type Context, must } from './shared.ts';
import { pathOf, topologyOf } from './topology.ts';
import type { Input, Services } from './types.ts';
import { type Books, openBooks } from './usage.ts';

type Query = Input<'ipamShow'>['query'];
type Place = Pick<IpamRow, 'level' | 'cidr'> & Partial<IpamRow>;

export function ipamServices(
  { store, clock, steadyNow }: Context,
  barrier: Pick<ReuseBarrier, 'blockers'>,
  growth: Pick<Growth, 'waitingFor'>,
): Pick<Services, 'ipamShow'> {
  return {
    ipamShow: async (_, { query }) =>
      store.read((tx) => {
        if (query.network !== undefined) must(tx, 'network', query.network);
        if (query.host !== undefined) must(tx, 'host', query.host);
        if (query.tenant !== undefined) must(tx, 'tenant', query.tenant);
        const books = openBooks(tx, steadyNow()).filter(
          ({ network }) => query.network === undefined || network.name === query.network,
        );
        return {
          revision: tx.revision,
          at: new Date(clock.now()).toISOString(),
          reasons,
          rows: [...books.flatMap((one) => rowsOf(tx, one, query)), ...flatRows(tx, query)],
          blocked: [...retiring(tx, barrier), ...ofHosts(tx, growth, query.host)].filter(
            ({ network }) => query.network === undefined || network === query.network,
          ),
        };
      }),
  };
}

function retiring(tx: ReadTx, barrier: Pick<ReuseBarrier, 'blockers'>): IpamBlocked[] {
  return barrier.blockers(tx).map(({ network, field, id, owner, resting, waitingFor, heldBy }) => ({
    network,
    reason: 'retiring',
    what: `${field} id ${id} of ${owner}${resting ? ' (rests)' : ''}`,
    hosts: [...new Set([...waitingFor, ...heldBy])],
  }));
}

/** Host ids that wait for their route, and those of hosts that were given up. */
function ofHosts(tx: ReadTx, growth: Pick<Growth, 'waitingFor'>, only: string | undefined): IpamBlocked[] {
  return tx.list('host').flatMap(({ value: host }): IpamBlocked[] => {
    const { name, state, reservations = [] } = host;
    if (only !== undefined && name !== only) return [];
    const what = (one: HostReservation): string => `host ids ${one.cidr} of ${name}`;
    return reservations.flatMap((one): IpamBlocked[] => {
      const { network } = one;
      if (state === 'fenced') return [{ network, reason: 'fenced', what: what(one), hosts: [name] }];
      if (one.pending === null) return [];
      return [{ network, reason: 'pending', what: what(one), hosts: growth.waitingFor(tx, host, one) }];
    });
  });
}

function rowsOf(tx: ReadTx, books: Books, query: Query): IpamRow[] {
  const { network, accounts, groups, ranges } = books;
  const trees = topologyOf(tx);
  const pathAt = (host: Host): string | undefined => pathOf(trees, host, network.name);
  const row = (place: Place, account: Account): IpamRow => ({
    network: network.name,
    group: null,
    host: null,
    tenant: null,
    segment: null,
    ...place,
    ...textOf(account),
  });
  const hostRow = (name: string, group: string | null): IpamRow => {
    const held = ranges.get(name) ?? [];
    const [only] = held;
    const one = held.length === 1 && only !== undefined && only.first === only.last;
    const cidr = one ? formatCidr(hostCidr(network.plan, only.first)) : null;
    return row({ level: 'host', host: name, group, cidr }, accounts.hostIds(held, true));
  };
  const out: IpamRow[] = [];
  if (query.host === undefined && query.tenant === undefined) {
    out.push(row({ level: 'network', cidr: formatCidr(network.plan.cidr) }, accounts.network()));
    const hosts = query.tree === 'true' ? tx.list('host').map(({ value }) => value) : [];
    for (const group of groups) {
      const range = { first: group.firstHostId, last: group.lastHostId };
      if (group.path !== '') {
        const place: Place = { level: 'group', group: group.path, cidr: formatCidr(group.cidr) };
        out.push(row(place, accounts.hostIds([range], false)));
      }
      if (!group.leaf) continue;
      for (const host of hosts)
        if (pathAt(host) === group.path) out.push(hostRow(host.name, pathAt(host) || null));
    }
  }
  if (query.host !== undefined) out.push(hostRow(query.host, pathAt(must(tx, 'host', query.host)) || null));
  const tenants =
    query.tenant !== undefined
      ? [must(tx, 'tenant', query.tenant)]
      : query.tenants === 'true'
        ? tx.list('tenant').map(({ value }) => value)
        : [];
  for (const tenant of tenants) {
    const ids = numbersOf(tenant.ids, network.name);
    if (ids.length > 0)
      out.push(row({ level: 'tenant', tenant: tenant.name, cidr: null }, accounts.tenant(ids)));
  }
  if (query.blocks === 'true') {
    for (const block of [...books.blocks].sort(byIds)) {
      const place = placeOf(tx, books, block);
      const wanted = query.host === undefined || place.host === query.host;
      if (wanted && (query.tenant === undefined || place.tenant === query.tenant))
        out.push(row(place, accounts.block(block)));
    }
  }
  return out;
}

/** Flat networks have neither hosts nor tenants. */
function flatRows(tx: ReadTx, query: Query): IpamRow[] {
  if (query.host !== undefined || query.tenant !== undefined) return [];
  return byAge(tx.list('network')).flatMap(({ name, cidr, layout, reserved }): IpamRow[] => {
    if (layout !== null || (query.network !== undefined && query.network !== name)) return [];
    const account = flatAccount(parseCidr(cidr), aggregate(reserved.map(parseCidr)));
    const place = { level: 'network', network: name, group: null, host: null, tenant: null } as const;
    return [{ ...place, segment: null, cidr, ...textOf(account) }];
  });
}

function byIds(a: BlockCount, b: BlockCount): number {
  return a.hostId - b.hostId || a.tenantId - b.tenantId || a.segmentId - b.segmentId;
}

function placeOf(tx: ReadTx, { network }: Books, { hostId, tenantId, segmentId }: BlockCount): Place {
  const { name, plan } = network;
  const tenant = tenantId === 0 ? null : (tx.holderOf(idSpace('tenant', name), tenantId) ?? null);
  const segment = tenant === null ? null : (tx.holderOf(idSpace('segment', name, tenant), segmentId) ?? null);
  const cidr = tenantId === 0 ? tenantCidr(plan, hostId, 0) : blockCidr(plan, hostId, tenantId, segmentId);
  const host = tx.holderOf(idSpace('host', name), hostId) ?? null;
  return {
    level: 'block',
    host,
    tenant,
    segment,
    cidr: formatCidr(cidr),
    ...(tenantId === 0 ? { shared: true } : {}),
  };
}

function textOf({ why, ...counts }: Account) {
  const { size, used, reserved, quarantined, free, stranded } = counts;
  return {
    size: String(size),
    used: String(used),
    reserved: String(reserved),
    quarantined: String(quarantined),
    free: String(free),
    stranded: String(stranded),
    why: [...why].map(([reason, count]) => ({ reason, count: String(count) })),
  };
}
