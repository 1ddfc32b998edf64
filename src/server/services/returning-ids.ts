/**
 * Host ids that growth gave an agent go back when they are empty. Only the agent knows what it holds, so it has to agree first.
 * No route changes, because reservations stay.
 *
 * 1. Only ids that growth took, never one that an operator gave, never the first of the agent in a network.
 * 2. An id is marked (`retiring`) after two looks that find nothing on record in it, with the quarantine of the network between them, and
 *    only when the ids that remain hold what the host has, with more to spare than the agent asks for.
 * 3. It goes when the agent says that it holds nothing of it, twice, with the quarantine between, from the same journal. What it says
 *    counts only together with an acknowledged position at or after the mark: from there on no crash lets it give out such an address.
 * 4. The mark is taken off when anything of the id turns up, and when growth needs an id. The next look then takes twice as long, and
 *    twice as long again, up to 64 times the quarantine, until the id is used or gone.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Host, HostId, HostReport } from '#contract/model.ts';
import { firstAddress, lastAddress, parseCidr } from '#core/address/index.ts';
import { idsFor, locate } from '#core/ipam/index.ts';
import type { Position, ReadTx, Tx } from '#store/port.ts';
import { idSpace } from './ids.ts';
import { reached } from './reuse.ts';

const returningKind = '_returning';
/** So many are on their way back at a time; the agent lists them all in each report. */
const markLimit = 256;
/** More than one: a host that has just given an id back does not ask for it at its next endpoint. */
const margins = 1.5;

interface Look {
  /** Steady time of the first look that found it empty. */
  readonly since: number;
  /** How often it was needed after all. */
  readonly tries: number;
  readonly mark?: {
    readonly revision: number;
    /** The agent agreed: from which journal, and since when. */
    readonly agreed?: { readonly generation: string; readonly from: number };
  };
}
/** By `network/id`. */
type Looks = Readonly<Record<string, Look>>;

type Heard = Pick<HostReport, 'acknowledged' | 'generation' | 'empty'>;

interface Step {
  readonly ids: readonly HostId[];
  readonly gone: readonly HostId[];
  readonly looks: Looks;
}

const keyOf = ({ network, id }: Pick<HostId, 'network' | 'id'>): string => `${network}/${id}`;

/** Whether the agent of the host may give out addresses of it. */
export function isUsable({ allocator, retiring }: HostId): boolean {
  return allocator === 'agent' && retiring !== true;
}

/** Whether `returnIds` would write anything. */
export function anyReturning(tx: ReadTx, host: Host, heard: Heard, now: number, position: Position): boolean {
  const { ids, looks } = nextStep(tx, host, heard, now, position);
  return ids !== host.ids || !same(looks, looksOf(tx, host.name));
}

/** After everything else in a report of the host was accepted. `now` is steady time. */
export function returnIds(tx: Tx, host: Host, heard: Heard, now: number, position: Position): void {
  const { ids, gone, looks } = nextStep(tx, host, heard, now, position);
  remember(tx, host.name, looks);
  for (const { network, id } of gone) tx.letGo(idSpace('host', network), id);
  if (ids !== host.ids) tx.put('host', host.name, { ...host, ids: [...ids] });
}

/** Growth needs `count` more ids: those on their way back come first. The caller puts what is answered into the host. */
export function keepIds(
  tx: Tx,
  host: Pick<Host, 'name' | 'ids'>,
  network: string,
  count: number,
  now: number,
): HostId[] {
  const kept = host.ids.filter((one) => one.network === network && one.retiring === true).slice(0, count);
  const looks = { ...looksOf(tx, host.name) };
  for (const one of kept) looks[keyOf(one)] = needed(looks[keyOf(one)], now);
  remember(tx, host.name, looks);
  return host.ids.map((one) => (kept.includes(one) ? unmarked(one) : one));
}

export function forgetReturningIds(tx: Tx, host: string): void {
  remember(tx, host, {});
}

function nextStep(tx: ReadTx, host: Host, heard: Heard, now: number, position: Position): Step {
  const before = looksOf(tx, host.name);
  const looks: Record<string, Look> = {};
  const changed = new Map<HostId, HostId | null>();
  const due: HostId[] = [];
  for (const one of candidates(host)) {
    const key = keyOf(one);
    const look = before[key];
    if (one.retiring !== true) {
      // In use: what was seen before means nothing any more.
      if (!emptyOnRecord(tx, one)) continue;
      // A clock that was wrong before a restart would keep it for as long as that.
      looks[key] = { since: Math.min(look?.since ?? now, now), tries: look?.tries ?? 0 };
      if (look !== undefined && now - looks[key].since >= patience(tx, one, look.tries)) due.push(one);
      continue;
    }
    const mark = look?.mark;
    const said = mark === undefined ? undefined : answerTo(mark.revision, one, heard, position);
    if (look === undefined || mark === undefined || said === 'held' || !emptyOnRecord(tx, one)) {
      changed.set(one, unmarked(one));
      looks[key] = needed(look, now);
      continue;
    }
    const { agreed } = mark;
    const stands =
      agreed !== undefined && (heard.generation === undefined || heard.generation.id === agreed.generation);
    const from = stands ? Math.min(agreed.from, now) : now;
    if (said === undefined) {
      const { revision } = mark;
      looks[key] = { ...look, mark: stands ? { revision, agreed: { ...agreed, from } } : { revision } };
    } else if (stands && now - from >= patience(tx, one, 0)) {
      changed.set(one, null);
    } else {
      looks[key] = { ...look, mark: { ...mark, agreed: { generation: said.generation, from } } };
    }
  }
  const room = markLimit - host.ids.filter(({ retiring }) => retiring === true).length;
  const spare = due.length === 0 ? [] : spareOf(tx, host, due).slice(0, Math.max(0, room));
  for (const one of due) {
    if (spare.includes(one)) {
      changed.set(one, { ...one, retiring: true });
      looks[keyOf(one)] = { ...looks[keyOf(one)]!, mark: { revision: tx.revision } };
    } else looks[keyOf(one)] = needed(looks[keyOf(one)], now);
  }
  const ids =
    changed.size === 0
      ? host.ids
      : host.ids.flatMap((one) => changed.get(one) ?? (changed.has(one) ? [] : [one]));
  return { ids, gone: host.ids.filter((one) => changed.get(one) === null), looks };
}

/** What a report says of a marked id; undefined: nothing that counts. An older agent says nothing, and its ids stay. */
function answerTo(
  revision: number,
  { network, id }: HostId,
  { acknowledged, generation, empty }: Heard,
  position: Position,
): 'held' | { readonly generation: string } | undefined {
  if (empty === undefined || generation === undefined) return undefined;
  if (!reached(acknowledged, position, revision)) return undefined;
  const listed = empty.some((one) => one.network === network && one.id === id);
  return listed ? { generation: generation.id } : 'held';
}

function candidates(host: Host): HostId[] {
  const first = new Map<string, HostId>();
  for (const one of host.ids)
    if (one.allocator === 'agent' && !first.has(one.network)) first.set(one.network, one);
  return host.ids.filter(
    (one) => one.allocator === 'agent' && one.grown === true && first.get(one.network) !== one,
  );
}

function emptyOnRecord(tx: ReadTx, one: HostId): boolean {
  return heldIn(tx, one, 1).length === 0;
}

function heldIn(tx: ReadTx, { network, cidr }: HostId, limit: number): ReturnType<ReadTx['allocationsIn']> {
  const range = parseCidr(cidr);
  return tx.allocationsIn(network, firstAddress(range), lastAddress(range), limit);
}

/** Those without which the host still has more room than it asks for; the last ones first. */
function spareOf(tx: ReadTx, host: Host, due: readonly HostId[]): HostId[] {
  return [...new Set(due.map(({ network }) => network))].flatMap((name) => {
    const network = tx.ipam.network(name);
    if (network === undefined) return [];
    const usable = host.ids.filter((one) => one.network === name && isUsable(one));
    const load = new Map<string, number>();
    for (const { address } of usable.flatMap((one) => heldIn(tx, one, Number.MAX_SAFE_INTEGER))) {
      const placed = locate(network, address);
      const share = `${placed?.tenantId}/${placed?.segmentId}`;
      load.set(share, (load.get(share) ?? 0) + 1);
    }
    const enough = idsFor(network.plan.layout.endpoint, Math.max(0, ...load.values()), margins);
    const candidate = due.filter((one) => one.network === name).toReversed();
    return candidate.slice(0, Math.max(0, usable.length - enough));
  });
}

function patience(tx: ReadTx, { network }: HostId, tries: number): number {
  return (tx.get('network', network)?.quarantineSeconds ?? 0) * 1000 * 2 ** Math.min(tries, 6);
}

function needed(look: Look | undefined, now: number): Look {
  return { since: now, tries: (look?.tries ?? 0) + 1 };
}

function unmarked(one: HostId): HostId {
  const { retiring: _mark, ...kept } = one;
  return kept;
}

function looksOf(tx: ReadTx, host: string): Looks {
  return (tx.get(returningKind, host) as Looks | undefined) ?? {};
}

function same(a: Looks, b: Looks): boolean {
  return isDeepStrictEqual(a, b);
}

function remember(tx: Tx, host: string, looks: Looks): void {
  if (same(looks, looksOf(tx, host))) return;
  if (Object.keys(looks).length > 0) tx.put(returningKind, host, looks);
  else tx.delete(returningKind, host);
}
