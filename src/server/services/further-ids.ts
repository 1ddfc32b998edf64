/**
 * Further ids of tenants and segments: each segment then has a block for every pair of an id of its tenant and an id of its own.
 *
 * 1. Whose an id is and whether it is free is judged as for first ids, the reuse barrier included; those who wait for a first one come
 *    before.
 * 2. In all networks or in none.
 */
import type { Segment, Tenant } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import { isOpenTo } from '#core/plan/index.ts';
import type { Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { takeId } from './ids.ts';
import { noteNumbers } from './promotion.ts';
import { freeRestedIds } from './reuse.ts';
import {
  type Context,
  demandLayout,
  type KnownNetwork,
  must,
  networkClosed,
  networksFor,
  networksOf,
} from './shared.ts';
import type { Input, Services } from './types.ts';

type Mine = 'tenantAddId' | 'segmentAddId';
type Body = Input<Mine>['body'];

export function furtherIdServices(ctx: Context): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    tenantAddId: (caller, { params: { name }, body }) =>
      store.transaction(actorOf(caller), (tx): Tenant => {
        must(tx, 'tenant', name);
        freeRestedIds(tx, ctx.steadyNow());
        // Read again: a freed id may have come to it.
        const old = must(tx, 'tenant', name);
        const ids = added(tx, old.ids, wantedNetworks(tx, name, body), body, {
          field: 'tenant',
          holder: name,
        });
        if (ids.length === 0) return old;
        const next = tx.put('tenant', name, { ...old, ids: [...old.ids, ...ids] });
        noteNumbers(tx, 'tenant', name);
        return next;
      }),
    segmentAddId: (caller, { params: { tenant, name }, body }) =>
      store.transaction(actorOf(caller), (tx): Segment => {
        const key = `${tenant}/${name}`;
        must(tx, 'segment', key);
        freeRestedIds(tx, ctx.steadyNow());
        const old = must(tx, 'segment', key);
        const ids = added(tx, old.ids, wantedNetworks(tx, tenant, body), body, {
          field: 'segment',
          tenant,
          holder: name,
        });
        if (ids.length === 0) return old;
        const next = tx.put('segment', key, { ...old, ids: [...old.ids, ...ids] });
        noteNumbers(tx, 'segment', key);
        return next;
      }),
  };
}

function wantedNetworks(tx: Tx, tenant: string, { network: name }: Body): KnownNetwork[] {
  if (name === undefined) {
    const open = networksFor(tx, tenant);
    if (open.length > 0) return open;
    throw new RomanaError('not_found', `There is no network open to tenant ${tenant}; create one first.`);
  }
  must(tx, 'network', name);
  demandLayout(tx, name);
  const named = networksOf(tx).filter((network) => network.name === name);
  if (!named.every((network) => isOpenTo(network, tenant))) throw networkClosed(name, tenant);
  return named;
}

/** An id that it holds already is not added again. */
function added(
  tx: Tx,
  held: Tenant['ids'],
  networks: readonly KnownNetwork[],
  { id }: Body,
  holder: { readonly field: 'tenant' | 'segment'; readonly holder: string; readonly tenant?: string },
): Tenant['ids'] {
  const ids: Tenant['ids'] = [];
  for (const network of networks) {
    if (id !== undefined && held.some((one) => one.network === network.name && one.id === id)) continue;
    ids.push({ network: network.name, id: takeId(tx, { ...holder, network, id, preferred: ids[0]?.id }) });
  }
  return ids;
}
