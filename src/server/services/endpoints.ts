/** Endpoints whose addresses the server gives out. Those of agents come in through reports.ts. */
import { locationOf } from '#contract/location.ts';
import type { Endpoint } from '#contract/model.ts';
import { formatAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { decideRelease } from '#core/ipam/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { allocateGrowing } from './allocate.ts';
import { noLongerEmpty } from './empty-ids.ts';
import type { Growth } from './growth.ts';
import type { HostEnds } from './host-state.ts';
import { endDrained, forgetAway, located } from './locations.ts';
import {
  answerList,
  born,
  type Context,
  demandOutside,
  demandSame,
  differing,
  must,
  rangesOf,
} from './shared.ts';
import { endpointAdded, endpointRemoved, type SharedBarrier } from './sharing.ts';
import { slotsFor } from './slots.ts';
import type { Input, Services } from './types.ts';

type Mine = 'endpointCreate' | 'endpointList' | 'endpointShow' | 'endpointUpdate' | 'endpointDelete';

export function endpointKey(of: {
  readonly tenant: string;
  readonly segment: string;
  readonly name: string;
}): string {
  return `${of.tenant}/${of.segment}/${of.name}`;
}

export function endpointServices(
  ctx: Context,
  growth: Growth,
  shared: SharedBarrier,
  ends: HostEnds,
): Pick<Services, Mine> {
  const { store } = ctx;
  return {
    endpointCreate: async (caller, { params, body }) => {
      // Made here, not in the transaction: the same work run again is the same endpoint.
      const birth = born(ctx);
      for (let turn = 1; ; turn++) {
        const made = await store.transaction(actorOf(caller), (tx) => {
          growth.settle(tx, body.host);
          return create(tx, ctx, shared, params, body, birth);
        });
        if (made !== undefined) return located(made);
        // Routes take as long as the slowest host; two networks may need one after the other.
        if (turn === 3 || !(await growth.settled(body.host)))
          throw store.read((tx) => growth.refusal(tx, body.host));
      }
    },
    endpointList: async (_, { query: { tenant, segment, host } }) =>
      store.read((tx) => {
        const prefix =
          tenant === undefined ? '' : segment === undefined ? `${tenant}/` : `${tenant}/${segment}/`;
        const rows = tx.list('endpoint', { prefix, ...(host === undefined ? {} : { host }) });
        const { items, revision } = answerList(
          segment === undefined ? rows : rows.filter((row) => row.value.segment === segment),
          tx,
        );
        return { items: items.map(located), revision };
      }),
    endpointShow: async (_, { params }) =>
      store.read((tx) => located(must(tx, 'endpoint', endpointKey(params)))),
    endpointUpdate: (caller, { params, query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const key = endpointKey(params);
        const old = must(tx, 'endpoint', key);
        checkGuard('endpoint', key, old.revision, query);
        if (old.phase === 'removing') throw removing(key);
        const next = {
          ...old,
          attachment: body.attachment ?? old.attachment,
          sourcePrefixes: body.sourcePrefixes ?? old.sourcePrefixes,
        };
        if (differing(old, next).length === 0) return located(old);
        demandOutside(rangesOf(tx), next.sourcePrefixes);
        return located(tx.put('endpoint', key, { ...next, phase: 'pending', message: '' }));
      }),
    endpointDelete: (caller, { params, query }) =>
      store.transaction(actorOf(caller), (tx) => {
        const key = endpointKey(params);
        const old = must(tx, 'endpoint', key);
        checkGuard('endpoint', key, old.revision, query);
        if (old.phase === 'removing') return undefined;
        // Nothing of it can be in a kernel before an agent ever ran there.
        const host = tx.get('host', locationOf(old));
        if (host?.joined === true) {
          tx.put('endpoint', key, { ...old, phase: 'removing', message: '' });
          return undefined;
        }
        finishRemoval(tx, old, ctx.steadyNow());
        endDrained(tx, old, ends);
        return undefined;
      }),
  };
}

/** Undefined: the host needs a further id, which is pending. */
function create(
  tx: Tx,
  ctx: Context,
  shared: SharedBarrier,
  { tenant, segment }: { readonly tenant: string; readonly segment: string },
  body: Body,
  birth: ReturnType<typeof born>,
): Endpoint | undefined {
  const { name, host, attachment, sourcePrefixes } = body;
  const key = endpointKey({ tenant, segment, name });
  const existing = tx.get('endpoint', key);
  if (existing !== undefined) return sameAgain(tx, key, existing, body);
  if (sourcePrefixes.length > 0) demandOutside(rangesOf(tx), sourcePrefixes);
  const decided = allocateGrowing(tx, {
    key,
    question: questionOf(body),
    uid: birth.uid,
    host,
    slots: () => slotsFor(tx, { tenant, segment }, body, shared),
    now: ctx.steadyNow(),
  });
  if (decided === undefined) return undefined;
  for (const event of decided.events) tx.applyIpam(event);
  noLongerEmpty(tx, host, decided.allocation.addresses);
  const made = tx.put('endpoint', key, {
    tenant,
    segment,
    name,
    host,
    addresses: decided.allocation.addresses.map(({ network, address }) => ({
      network,
      address: formatAddress(address),
    })),
    attachment,
    sourcePrefixes,
    allocator: 'server',
    phase: 'pending',
    message: '',
    ...birth,
  });
  endpointAdded(tx, made);
  return made;
}

/** The endpoint is in no kernel any more: the object goes and its addresses rest. Of an agent's addresses the agent minds the rest. */
export function finishRemoval(tx: Tx, endpoint: Endpoint, now: number): void {
  const key = endpointKey(endpoint);
  if (endpoint.allocator === 'agent') tx.forgetAddresses(key);
  else for (const event of decideRelease(tx.ipam, key, { uid: endpoint.uid }, now)) tx.applyIpam(event);
  tx.delete('endpoint', key);
  forgetAway(tx, endpoint);
  endpointRemoved(tx, endpoint);
}

type Body = Input<'endpointCreate'>['body'];

/** What decides the addresses. Equal questions get equal answers, however often they are asked. */
function questionFields({ host, networks, addresses, endpointId }: Body): Record<string, unknown> {
  return { host, networks: networks ?? null, addresses: addresses ?? null, endpointId: endpointId ?? null };
}

function questionOf(body: Body): string {
  return JSON.stringify(questionFields(body));
}

function sameAgain(tx: ReadTx, key: string, existing: Endpoint, body: Body): Endpoint {
  if (existing.phase === 'removing') throw removing(key);
  if (existing.allocator === 'agent') {
    throw new RomanaError(
      'conflict',
      `Endpoint ${key} exists and was made by the agent of host ${existing.host}; use another name.`,
      { details: { key, fields: ['allocator'] } },
    );
  }
  const asked = JSON.parse(tx.ipam.byKey(key)?.question ?? '{}') as object;
  const { attachment, sourcePrefixes } = body;
  demandSame('endpoint', key, [
    ...differing(asked, questionFields(body)),
    ...differing(existing, { attachment, sourcePrefixes }),
  ]);
  return existing;
}

function removing(key: string): RomanaError {
  return new RomanaError(
    'endpoint_removing',
    `Endpoint ${key} is being removed and its host has not confirmed yet; try again later.`,
    { details: { key } },
  );
}
