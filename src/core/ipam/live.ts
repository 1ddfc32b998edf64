/**
 * What lives on a host according to its agent, against what is on record. Pure; both sides make the same lines, so that two equal
 * hashes of them mean two equal sets.
 *
 * 1. A difference is one line in one of the sets: another uid or address of the same name is two differences.
 * 2. Only what was different before, and still is after the agent has seen everything that was on record then, is a finding: what is
 *    on its way in either direction is none.
 */
import type { Finding, FindingCode } from './check.ts';

export interface Living {
  readonly key: string;
  readonly uid: string;
  readonly addresses: readonly string[];
}
/** `held`: the agent gave out the addresses; `wired`: it is in the kernel. */
export interface LiveSets {
  readonly held: readonly Living[];
  readonly wired: readonly Living[];
}
/** By line and kind. `since`: the revision of the records when it was first seen. */
export type Differences = ReadonlyMap<string, Difference>;
export interface Difference extends Living {
  readonly code: LiveCode;
  readonly since: number;
}
type LiveCode = Extract<
  FindingCode,
  'held_not_recorded' | 'recorded_not_held' | 'wired_not_recorded' | 'recorded_not_wired'
>;

export function lineOf({ key, uid, addresses }: Living): string {
  return [key, uid, ...addresses.toSorted()].join(' ');
}

/** What is hashed. */
export function linesOf(set: readonly Living[]): string {
  return set.map(lineOf).sort().join('\n');
}

/** What differs now; what differed `before` keeps its age. */
export function compareLive(
  recorded: LiveSets,
  said: LiveSets,
  before: Differences,
  revision: number,
): Differences {
  const found = new Map<string, Difference>();
  const missing = (code: LiveCode, here: readonly Living[], there: readonly Living[]): void => {
    const lines = new Set(there.map(lineOf));
    for (const { key, uid, addresses } of here) {
      const line = lineOf({ key, uid, addresses });
      if (lines.has(line)) continue;
      const name = `${code} ${line}`;
      found.set(name, { code, key, uid, addresses, since: before.get(name)?.since ?? revision });
    }
  };
  missing('held_not_recorded', said.held, recorded.held);
  missing('recorded_not_held', recorded.held, said.held);
  missing('wired_not_recorded', said.wired, recorded.wired);
  missing('recorded_not_wired', recorded.wired, said.wired);
  return found;
}

const texts: Record<LiveCode, (who: string, host: string) => string> = {
  held_not_recorded: (who, host) => `The agent of host ${host} gave out ${who}, which is not on record.`,
  recorded_not_held: (who, host) => `${who} is on record, but the agent of host ${host} does not hold it.`,
  wired_not_recorded: (who, host) =>
    `${who} is in the kernel of host ${host}, but not on record as ready there.`,
  recorded_not_wired: (who, host) =>
    `${who} is on record as ready, but it is not in the kernel of host ${host}.`,
};

export function findingOf({ code, key, addresses }: Difference, host: string): Finding {
  const who = `endpoint ${key} (${addresses.join(', ')})`;
  const message = texts[code](who, host);
  return { code, message: message[0]?.toUpperCase() + message.slice(1), objects: [key, host], leak: null };
}
