/**
 * Reports of agents: how far the kernel of their host agrees, what went wrong, which endpoints they made and which are gone.
 * Everything in one report is one transaction; a report that changes nothing is none.
 */
import { locationOf, locationSeqOf } from '#contract/location.ts';
import type { Endpoint, Host, Problem } from '#contract/model.ts';
import type { AnswerOf } from '#contract/operations.ts';
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import type { Comparison } from './comparison.ts';
import { anyEmptyIds, returnEmptyIds } from './empty-ids.ts';
import { endpointKey, finishRemoval } from './endpoints.ts';
import type { FabricReports } from './fabric-reports.ts';
import { heardGeneration } from './generations.ts';
import type { Growth } from './growth.ts';
import { hasLeft } from './host-end.ts';
import { demandStaying, type HostEnds, isLeaving } from './host-state.ts';
import type { HostStatuses } from './host-status.ts';
import { heard, hears, learnHostIds, learnRetired } from './incarnation.ts';
import { endDrained } from './locations.ts';
import { registeredAddresses } from './registered.ts';
import { anyReturning, returnIds } from './returning-ids.ts';
import { anyRested, freeRestedIds, type ReuseBarrier } from './reuse.ts';
import { type Context, demandOutside, differing, must, rangesOf, timeText } from './shared.ts';
import { endpointAdded, endpointRemoved } from './sharing.ts';
import type { Input, Services } from './types.ts';
import { isWaiting } from './waiting.ts';

type Report = Input<'hostReport'>['body'];
type Gone = Report['gone'][number];
type Registered = Report['registered'][number];
type Answer = AnswerOf<'hostReport'>;
type Rejected = { tenant: string; segment: string; name: string; error: Problem };

export function reportServices(
  ctx: Context,
  statuses: HostStatuses,
  barrier: ReuseBarrier,
  growth: Growth,
  ends: HostEnds,
  comparison: Comparison,
  fabric: FabricReports,
): Pick<Services, 'hostReport'> {
  const { store, clock } = ctx;
  return {
    hostReport: async (caller, { params, body }) => {
      if (caller.kind !== 'host' || caller.name !== params.name) {
        throw new RomanaError('forbidden', `Only the agent of host ${params.name} may report for it.`);
      }
      const host = store.read((tx) => must(tx, 'host', params.name));
      const generation = store.read((tx) => heardGeneration(tx, host, body));
      const seenAt = new Date(clock.now()).toISOString();
      const persist = statuses.record(host, body, seenAt, clock.monotonic());
      const speaker = fabric.record(host, body, seenAt, clock.monotonic());
      const quiet = body.registered.length + body.phases.length + body.gone.length === 0;
      const acknowledges = store.read((tx) => barrier.due(tx, host));
      const leaves = store.read((tx) => hasLeft(tx, host, body, store.position()));
      const routed = store.read((tx) => growth.due(tx, host, speaker.changed));
      const rested = store.read((tx) => anyRested(tx, ctx.steadyNow()));
      const lacks = growth.lacks(host, body.wanted ?? []);
      /** What is compared is what is on record after this report. */
      const answered = (rejected: Rejected[]): Answer => ({
        rejected,
        live: store.read((tx) => comparison.heard(tx, host, body, store.position())),
      });
      const empty = store.read(
        (tx) =>
          anyEmptyIds(tx, host, ctx.steadyNow()) ||
          anyReturning(tx, host, body, ctx.steadyNow(), store.position()),
      );
      const waits = store.read(isWaiting);
      if (
        quiet &&
        !waits &&
        persist === undefined &&
        speaker.persist === undefined &&
        host.lost !== true &&
        generation === undefined &&
        !acknowledges &&
        routed.length === 0 &&
        !rested &&
        !lacks &&
        !empty &&
        !leaves
      )
        return answered([]);
      const rejected = await store.transaction(actorOf(caller), (tx) => {
        // The host may have gone while the report waited.
        const before = must(tx, 'host', params.name);
        heardGeneration(tx, before, body)?.(tx);
        persist?.(tx);
        speaker.persist?.(tx);
        if (before.lost === true) found(tx, before);
        const waiting = isWaiting(tx);
        if (waiting && before.state !== 'fenced') learnHostIds(tx, before.name, body);
        const current = must(tx, 'host', params.name);
        // Gone first: a name that was removed and made again in one report is a new endpoint.
        for (const ref of body.gone) acceptGone(tx, current.name, ref, ctx.steadyNow(), ends);
        const refused = body.registered.flatMap((item) => register(tx, ctx, current, item));
        for (const ref of body.phases) acceptPhase(tx, current.name, ref);
        if (waiting) learnRetired(tx, body, timeText(ctx));
        if (waiting && hears(tx, current, body, store.position())) heard(tx, current, ends);
        if (acknowledges) barrier.settle(tx, ctx.steadyNow());
        if (rested && !waiting) freeRestedIds(tx, ctx.steadyNow());
        for (const name of routed) growth.settle(tx, name);
        if (lacks && !waiting && !isLeaving(current)) growth.give(tx, current.name, body.wanted ?? []);
        if (empty && !isLeaving(current)) returnEmptyIds(tx, must(tx, 'host', params.name), ctx.steadyNow());
        if (!waiting && !isLeaving(current))
          returnIds(tx, must(tx, 'host', params.name), body, ctx.steadyNow(), store.position());
        if (hasLeft(tx, current, body, store.position())) {
          ends.remove(tx, current);
          ends.settle(tx);
        }
        return refused;
      });
      return answered(rejected);
    },
  };
}

/** Reports speak of one incarnation of an endpoint and of one stay of it on the reporter's own host; of anything else they are late, and are ignored. */
function ownEndpoint(tx: Tx, host: string, ref: Gone): Endpoint | undefined {
  const endpoint = tx.get('endpoint', endpointKey(ref));
  const here = endpoint?.uid === ref.uid && locationOf(endpoint) === host;
  return here && locationSeqOf(endpoint) === locationSeqOf(ref) ? endpoint : undefined;
}

function acceptGone(tx: Tx, host: string, ref: Gone, now: number, ends: HostEnds): void {
  const endpoint = ownEndpoint(tx, host, ref);
  if (endpoint === undefined) return;
  // What the server gave and nobody asked to remove stays wanted; the agent makes it again.
  if (endpoint.allocator === 'server' && endpoint.phase !== 'removing') return;
  finishRemoval(tx, endpoint, now);
  endDrained(tx, endpoint, ends);
}

function acceptPhase(tx: Tx, host: string, ref: Report['phases'][number]): void {
  const endpoint = ownEndpoint(tx, host, ref);
  if (endpoint === undefined || endpoint.phase === 'removing') return;
  const { phase, message } = ref;
  if (endpoint.phase === phase && endpoint.message === message) return;
  tx.put('endpoint', endpointKey(ref), { ...endpoint, phase, message });
}

/** Each endpoint stands for itself: one that cannot be accepted is named in the answer and the others go on. */
function register(tx: Tx, ctx: Context, host: Host, item: Registered): Rejected[] {
  try {
    accept(tx, ctx, host, item);
    return [];
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    const { tenant, segment, name } = item;
    return [{ tenant, segment, name, error: { code: error.code, message: error.message } }];
  }
}

/** One that has been elsewhere is replaced only after its end was reported: a registration does not say of which stay it speaks. */
function isReplaceable(existing: Endpoint, host: string, uid: string): boolean {
  const mine = existing.allocator === 'agent' && existing.host === host && locationOf(existing) === host;
  return mine && (existing.uid === uid || locationSeqOf(existing) === 0);
}

/** Everything is checked before the first write, because a refusal does not undo what the transaction wrote before. */
function accept(tx: Tx, ctx: Context, host: Host, item: Registered): void {
  const { tenant, segment, name, uid, attachment, sourcePrefixes } = item;
  const key = endpointKey(item);
  const existing = tx.get('endpoint', key);
  if (existing !== undefined && !isReplaceable(existing, host.name, uid)) {
    const where = locationOf(existing);
    throw new RomanaError(
      'already_exists',
      `Endpoint ${key} exists on host ${where}, with addresses given out by the ${existing.allocator}.`,
      { details: { key, host: where, allocator: existing.allocator } },
    );
  }
  if (host.state === 'fenced') demandStaying(host);
  const placed = registeredAddresses(tx, host, key, item);
  if (sourcePrefixes.length > 0) demandOutside(rangesOf(tx), sourcePrefixes);
  const addresses = item.addresses.map(({ network, address }) => ({
    network,
    address: formatAddress(parseAddress(address)),
  }));
  if (existing?.uid === uid) {
    if (differing(existing, { addresses }).length > 0) {
      throw new RomanaError(
        'conflict',
        `Endpoint ${key} is registered with other addresses; register it with a new uid.`,
        {
          details: { key, fields: ['addresses'] },
        },
      );
    }
    if (differing(existing, { attachment, sourcePrefixes }).length === 0) return;
    tx.put('endpoint', key, { ...existing, attachment, sourcePrefixes });
    return;
  }
  if (existing !== undefined) {
    tx.forgetAddresses(key);
    endpointRemoved(tx, existing);
  }
  tx.registerAddresses({ key, uid, question: '', seq: tx.ipam.nextSeq(), addresses: placed });
  const made = tx.put('endpoint', key, {
    tenant,
    segment,
    name,
    host: host.name,
    addresses,
    attachment,
    sourcePrefixes,
    allocator: 'agent',
    phase: 'pending',
    message: '',
    uid,
    createdAt: new Date(ctx.clock.now()).toISOString(),
  });
  endpointAdded(tx, made);
}

/** It speaks, so its link may route to it again (withdrawal.ts). */
function found(tx: Tx, host: Host): void {
  tx.put('host', host.name, { ...host, lost: undefined });
}
