/** Tenants and their ids in every network. */
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
  differing,
  must,
  nameSome,
  networksFor,
  timeText,
} from './shared.ts';
import { isolationChanged } from './sharing.ts';
import type { Services } from './types.ts';

type Mine = 'tenantCreate' | 'tenantList' | 'tenantShow' | 'tenantUpdate' | 'tenantDelete';

export function tenantServices(ctx: Context): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    tenantCreate: (caller, { body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const { name, isolation, id: wanted } = body;
        const existing = tx.get('tenant', name);
        if (existing !== undefined) {
          const fields = differing(existing, { isolation });
          if (wanted !== undefined && firstIds(existing.ids).some((id) => id !== wanted)) fields.push('id');
          demandSame('tenant', name, fields);
          return existing;
        }
        freeRestedIds(tx, ctx.steadyNow());
        const ids = networksFor(tx, name).flatMap((network) =>
          takeIdIfAny(tx, { field: 'tenant', network, holder: name, id: wanted }),
        );
        const made = tx.put('tenant', name, { name, isolation, ids, ...born(ctx) });
        noteNumbers(tx, 'tenant', name);
        return made;
      }),
    tenantList: async () => store.read((tx) => answerList(tx.list('tenant'), tx)),
    tenantShow: async (_, { params }) => store.read((tx) => must(tx, 'tenant', params.name)),
    tenantUpdate: (caller, { params, query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'tenant', params.name);
        checkGuard('tenant', params.name, old.revision, query);
        const isolation = body.isolation ?? old.isolation;
        if (isolation === old.isolation) return old;
        const next = tx.put('tenant', params.name, { ...old, isolation });
        isolationChanged(tx, next);
        return next;
      }),
    tenantDelete: (caller, { params, query }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'tenant', params.name);
        checkGuard('tenant', params.name, old.revision, query);
        const segments = tx
          .list('segment', { prefix: `${params.name}/`, limit: 11 })
          .map((row) => row.value.name);
        if (segments.length > 0) {
          throw new RomanaError(
            'in_use',
            `Tenant ${params.name} holds segments (${nameSome(segments)}); delete them first.`,
            { details: { segments: segments.slice(0, 10) } },
          );
        }
        tx.delete('tenant', params.name);
        noteNumbers(tx, 'tenant', params.name);
        retireIds(tx, { field: 'tenant', owner: params.name, ids: old.ids }, timeText(ctx));
        return undefined;
      }),
  };
}
