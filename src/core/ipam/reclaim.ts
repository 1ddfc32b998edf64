/**
 * When an allocation counts as leaked. It belongs to one incarnation of an endpoint on one host; sources of truth (a kernel, an
 * orchestrator) say from time to time what lives there. Pure: whoever calls it observes, releases, and checks again in between.
 *
 * 1. Valid until proven leaked (I2): absent in two observations that are at least the grace apart, and in every one between them.
 * 2. An allocation is judged only by observations that began after it was made.
 * 3. No observation, or one of another host, says nothing: neither alive nor dead.
 * 4. A virtual machine pauses longer than a container: its grace is never below five minutes (I20).
 * 5. What is due is named by uid and number, so that a release which comes late frees nothing (I1), and whole: all addresses of an
 *    endpoint or none (I3).
 */
import type { Leak } from './check.ts';

export interface Held extends Leak {
  readonly host: string;
  /** Its link is a tap: a virtual machine. */
  readonly machine: boolean;
}
/** What one source saw alive on one host; whatever is not in it was not there. */
export interface Observed {
  readonly host: string;
  readonly live: readonly { readonly key: string; readonly uid?: string }[];
}
/** Suspected since; by key and number. Nothing else is remembered between rounds. */
export type Suspects = ReadonlyMap<string, number>;

export interface Round {
  /** What was held before the first source of the round was asked. */
  readonly held: readonly Held[];
  /** Of one host, several sources may answer: one that sees an endpoint is enough. */
  readonly observed: readonly Observed[];
  /** Monotonic time at the end of the round. */
  readonly now: number;
  readonly graceMs: number;
}

const machineGraceMs = 5 * 60_000;
const nameOf = ({ key, seq }: Leak): string => `${seq} ${key}`;

/** Whether the observations say that it is not there: true, false, or undefined when nobody looked at its host. */
export function absent(held: Held, observed: readonly Observed[]): boolean | undefined {
  const looked = observed.filter(({ host }) => host === held.host);
  if (looked.length === 0) return undefined;
  return !looked.some(({ live }) =>
    live.some(({ key, uid }) => key === held.key && (uid === undefined || uid === held.uid)),
  );
}

export function reclaimRound(suspects: Suspects, round: Round): { suspects: Suspects; due: readonly Held[] } {
  const seen = new Map<string, ((held: Held) => boolean)[]>();
  for (const { host, live } of round.observed) {
    const uids = Map.groupBy(live, ({ key }) => key);
    const sees = (held: Held): boolean =>
      uids.get(held.key)?.some(({ uid }) => uid === undefined || uid === held.uid) === true;
    seen.set(host, [...(seen.get(host) ?? []), sees]);
  }
  const next = new Map<string, number>();
  const due: Held[] = [];
  for (const held of round.held) {
    const name = nameOf(held);
    const since = suspects.get(name);
    const looked = seen.get(held.host);
    if (looked === undefined) {
      if (since !== undefined) next.set(name, since);
      continue;
    }
    if (looked.some((sees) => sees(held))) continue;
    next.set(name, since ?? round.now);
    const grace = held.machine ? Math.max(round.graceMs, machineGraceMs) : round.graceMs;
    if (since !== undefined && round.now - since >= grace) due.push(held);
  }
  return { suspects: next, due };
}
