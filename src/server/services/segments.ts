/** Segments of tenants and their ids, numbered inside the tenant. */
import { RomanaError } from '#core/errors.ts';
import { checkGuard } from '#store/guard.ts';
import { actorOf } from '../caller.ts';
import { firstIds, takeIdIfAny } from './ids.ts';
import { noteNumbers } from './promotion.ts';
import { freeRestedIds, retireIds } from './reuse.ts';
import {
  answerList,
  born,
  type Context,
  demandSame,
  must,
  nameSome,
  networksFor,
  timeText,
} from './shared.ts';
import type { Services } from './types.ts';

type Mine = 'segmentCreate' | 'segmentList' | 'segmentShow' | 'segmentDelete';

export function segmentServices(ctx: Context): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    segmentCreate: (caller, { params, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const { tenant } = params;
        const { name, id: wanted } = body;
        must(tx, 'tenant', tenant);
        const key = `${tenant}/${name}`;
        const existing = tx.get('segment', key);
        if (existing !== undefined) {
          const other = wanted !== undefined && firstIds(existing.ids).some((id) => id !== wanted);
          demandSame('segment', key, other ? ['id'] : []);
          return existing;
        }
        freeRestedIds(tx, ctx.steadyNow());
        const ids = networksFor(tx, tenant).flatMap((network) =>
          takeIdIfAny(tx, { field: 'segment', network, tenant, holder: name, id: wanted }),
        );
        const made = tx.put('segment', key, { tenant, name, ids, ...born(ctx) });
        noteNumbers(tx, 'segment', key);
        return made;
      }),
    segmentList: async (_, { query }) =>
      store.read((tx) =>
        answerList(tx.list('segment', query.tenant === undefined ? {} : { prefix: `${query.tenant}/` }), tx),
      ),
    segmentShow: async (_, { params }) =>
      store.read((tx) => must(tx, 'segment', `${params.tenant}/${params.name}`)),
    segmentDelete: (caller, { params, query }) =>
      store.transaction(actorOf(caller), (tx) => {
        const key = `${params.tenant}/${params.name}`;
        const old = must(tx, 'segment', key);
        checkGuard('segment', key, old.revision, query);
        const endpoints = tx.list('endpoint', { prefix: `${key}/`, limit: 11 }).map((row) => row.key);
        if (endpoints.length > 0) {
          throw new RomanaError(
            'in_use',
            `Segment ${key} holds endpoints (${nameSome(endpoints)}); delete them first.`,
            {
              details: { endpoints: endpoints.slice(0, 10) },
            },
          );
        }
        tx.delete('segment', key);
        noteNumbers(tx, 'segment', key);
        const tenantIds = must(tx, 'tenant', params.tenant).ids;
        retireIds(tx, { field: 'segment', owner: key, ids: old.ids, tenantIds }, timeText(ctx));
        return undefined;
      }),
  };
}
