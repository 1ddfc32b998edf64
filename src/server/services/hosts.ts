/** Hosts: their underlay addresses, their place in the topology and their host ids. */
import type { Host, HostChange, HostDeletion } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { powerOfTwo } from '#core/plan/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { forgetEmptyIds } from './empty-ids.ts';
import { bgpKind, type FabricReports } from './fabric-reports.ts';
import { generationKind } from './generations.ts';
import type { Growth } from './growth.ts';
import { endForeign, endHost } from './host-end.ts';
import {
  allocatorOf,
  firstHostId,
  furtherHostId,
  type Granted,
  growingKind,
  growthOf,
  letGoHostIds,
  rememberHost,
} from './host-ids.ts';
import { demandUplinks, letGoAddresses, statedLinks, takeAddresses } from './host-links.ts';
import { idBefore, lastPlaceOf, placedByLabels, rememberPlace, replaced, standingFor } from './host-place.ts';
import { demandStaying, type HostEnds } from './host-state.ts';
import type { HostStatuses } from './host-status.ts';
import { settleWait } from './incarnation.ts';
import { forgetReturningIds } from './returning-ids.ts';
import type { ReuseBarrier } from './reuse.ts';
import {
  answerList,
  born,
  type Context,
  demandLayout,
  demandSame,
  differing,
  must,
  networksOf,
} from './shared.ts';
import { hostAdded, hostRemoved } from './sharing.ts';
import { growthIn, networksAt, topologyOf } from './topology.ts';
import type { Input, Services } from './types.ts';

type HostBody = Input<'hostCreate'>['body'];

type Mine =
  | 'hostCreate'
  | 'hostList'
  | 'hostShow'
  | 'hostUpdate'
  | 'hostDelete'
  | 'hostFence'
  | 'hostAddId'
  | 'hostConfirm';

export function hostEnds(ctx: Context, barrier: ReuseBarrier, growth: Growth): HostEnds {
  return {
    remove(tx, host) {
      endForeign(tx, host, ctx.steadyNow());
      rememberPlace(tx, host);
      letGoHostIds(tx, host);
      letGoAddresses(tx, host);
      for (const kind of ['_host', '_status', generationKind, growingKind, bgpKind] as const) {
        if (tx.row(kind, host.name) !== undefined) tx.delete(kind, host.name);
      }
      tx.delete('host', host.name);
      hostRemoved(tx, host.name);
      forgetEmptyIds(tx, host.name);
      forgetReturningIds(tx, host.name);
    },
    settle(tx) {
      settleWait(tx);
      barrier.settle(tx, ctx.steadyNow());
      growth.settle(tx);
    },
  };
}

export function hostServices(
  ctx: Context,
  statuses: HostStatuses,
  growth: Growth,
  ends: HostEnds,
  fabric: FabricReports,
): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    hostCreate: (caller, { body }) =>
      store.transaction(actorOf(caller), (tx) => {
        return createHost(tx, ctx, body);
      }),
    hostList: async () =>
      store.read((tx) => {
        const { items, revision } = answerList(tx.list('host'), tx);
        return { items: items.map((host) => growth.shown(tx, host)), revision };
      }),
    hostShow: async (_, { params }) => store.read((tx) => growth.shown(tx, must(tx, 'host', params.name))),
    hostUpdate: (caller, { params, query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'host', params.name);
        checkGuard('host', params.name, old.revision, query);
        if (old.state === 'fenced') demandStaying(old);
        return changeHost(tx, old, body);
      }),
    hostDelete: async (caller, { params, query }) => {
      const ended = await store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'host', params.name);
        checkGuard('host', params.name, old.revision, query);
        const ended = endHost(tx, old, query, ctx.steadyNow(), () => ends.remove(tx, old));
        ends.settle(tx);
        return ended;
      });
      if (ended.state !== 'draining') {
        statuses.forget(params.name);
        fabric.forget(params.name);
      }
      return ended;
    },
    hostFence: async (caller, { params, body }) => {
      const ended = await store.transaction(actorOf(caller), (tx): HostDeletion => {
        const old = must(tx, 'host', params.name);
        if (old.state !== 'fenced' || !body.confirmOff) {
          throw new RomanaError(
            'input_invalid',
            old.state === 'fenced'
              ? `Host ${params.name} is fenced already; say --confirm-off when its machine is off and will not come back with its old state.`
              : `Host ${params.name} is not fenced; \`romana host delete ${params.name} --dead\` declares it dead.`,
            { details: { path: 'confirmOff', state: old.state ?? 'active' } },
          );
        }
        ends.remove(tx, old);
        ends.settle(tx);
        return { name: params.name, state: 'gone', endpoints: 0 };
      });
      statuses.forget(params.name);
      fabric.forget(params.name);
      return ended;
    },
    hostAddId: async (caller, { params, body }) => {
      await store.transaction(actorOf(caller), (tx) => {
        growth.settle(tx, params.name);
        const old = must(tx, 'host', params.name);
        demandStaying(old);
        if (body.network !== undefined) demandLayout(tx, body.network);
        const networks =
          body.network === undefined
            ? networksAt(tx, old)
            : networksOf(tx).filter(({ name }) => name === body.network);
        if (networks.length === 0) {
          const which = body.network === undefined ? 'no network' : `no network ${body.network}`;
          throw new RomanaError('not_found', `There is ${which}; create it first.`);
        }
        let held: Pick<Host, 'ids' | 'reservations'> = old;
        for (const network of networks) {
          const known = body.id === undefined ? undefined : holds(old, network.name, body.id);
          if (known === undefined) {
            held = furtherHostId(tx, { ...old, ...held }, network, body);
          } else if (known.allocator !== body.allocator) {
            throw new RomanaError(
              'allocator_mismatch',
              `Host ${old.name} holds host id ${known.id} of network ${network.name} already, and its addresses come from the ${known.allocator}; add another id.`,
              { details: { network: network.name, id: known.id, allocator: known.allocator } },
            );
          }
        }
        const { ids, reservations = [] } = held;
        if (differing(old, { ids, reservations }).length > 0)
          tx.put('host', old.name, { ...old, ids, reservations });
      });
      // Where the routes are in place within seconds, the answer has the id.
      await growth.settled(params.name);
      return store.read((tx) => growth.shown(tx, must(tx, 'host', params.name)));
    },
    hostConfirm: (caller, { params }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'host', params.name);
        const reservations = (old.reservations ?? []).map((one) =>
          one.pending === null ? one : { ...one, pending: { ...one.pending, switches: false } },
        );
        if (differing(old, { reservations }).length > 0) tx.put('host', old.name, { ...old, reservations });
        growth.settle(tx, params.name);
        return growth.shown(tx, must(tx, 'host', params.name));
      }),
  };
}

/**
 * Creating what is there already answers it; under its name something else is a conflict. Without a group, labels place it; `listed` has
 * its groups by topology, where there are several.
 */
export function createHost(tx: Tx, ctx: Context, body: HostBody, listed?: ReadonlyMap<string, string>): Host {
  const { name, addresses, labels, allocator, id } = body;
  const existing = tx.get('host', name);
  if (existing !== undefined) {
    demandStaying(existing);
    const fields = differing(
      { uplinks: [], ...existing },
      {
        addresses,
        labels,
        ...(body.uplinks === undefined ? {} : { uplinks: body.uplinks }),
        ...(body.asn === undefined ? {} : { asn: body.asn }),
      },
    );
    const { group: first, groups = [{ path: first }] } = existing;
    if (body.group !== null && !groups.some(({ path }) => path === body.group)) fields.push('group');
    if (allocatorOf(tx, name) !== allocator) fields.push('allocator');
    if (body.growth !== undefined && growthOf(tx, name) !== powerOfTwo(body.growth)) fields.push('growth');
    if (id !== undefined && existing.ids.some(({ network }) => !holds(existing, network, id)))
      fields.push('id');
    demandSame('host', name, fields);
    return existing;
  }
  const before = lastPlaceOf(tx, name);
  const { pinned, ...standing } = standingFor(tx, labels, { group: body.group, listed, before });
  const links = statedLinks(body);
  takeAddresses(tx, { name, addresses, ...links });
  demandUplinks(tx, { name, ...standing, ...links });
  rememberHost(tx, name, {
    allocator,
    growth: body.growth === undefined ? growthIn(topologyOf(tx), standing) : powerOfTwo(body.growth),
    ...(body.group === null || pinned.length > 0 ? { byLabels: true as const } : {}),
    ...(pinned.length === 0 ? {} : { pinned }),
  });
  let held: Pick<Granted, 'ids' | 'reservations'> = { ids: [], reservations: [] };
  for (const network of networksAt(tx, standing)) {
    const grantee = { name, ...standing, ...held };
    const wanted = id ?? idBefore(tx, grantee, network, before);
    held = firstHostId(tx, grantee, network, { allocator, id: wanted });
  }
  const { ids, reservations } = held;
  const created = tx.put('host', name, {
    name,
    addresses,
    ...standing,
    labels,
    ids,
    reservations,
    ...links,
    joined: false,
    ...born(ctx),
  });
  hostAdded(tx, name);
  return created;
}

/** Other labels may ask for another group: a host without endpoints whose agent cannot hold any moves there. */
export function changeHost(tx: Tx, old: Host, change: HostChange): Host {
  const { uplinks: oldUplinks, asn: oldAsn, ...rest } = old;
  const next: Host = {
    ...rest,
    addresses: change.addresses ?? old.addresses,
    labels: change.labels ?? old.labels,
    ...statedLinks({
      uplinks: change.uplinks ?? oldUplinks,
      asn: change.asn === undefined ? oldAsn : change.asn,
    }),
  };
  const fields = differing({ uplinks: undefined, asn: undefined, ...old }, next);
  if (fields.length === 0 && next.uplinks === oldUplinks && next.asn === oldAsn) return old;
  letGoAddresses(tx, old);
  takeAddresses(tx, next);
  const placed = placedByLabels(tx, old.name) ? replaced(tx, next) : next;
  demandUplinks(tx, placed);
  return tx.put('host', old.name, placed);
}

function holds(host: Host, network: string, id: number): Host['ids'][number] | undefined {
  return host.ids.find((entry) => entry.network === network && entry.id === id);
}
