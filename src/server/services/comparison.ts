/**
 * The records against what agents say that lives on their hosts (their journals, their kernels). In memory only.
 *
 * 1. Reports carry digests. Only a host whose digest differs, and still does after it has applied what was on record then, is asked
 *    for everything; what is listed then is judged by core/ipam/live.
 * 2. Nothing is called wrong on the word of a host that is away, behind, or too old to tell: it is unknown.
 * 3. Reading the endpoints of a host for each of its heartbeats would be most of the work of the server: a host that agreed is looked
 *    at again when it says something else, when somebody asks, and once a minute.
 */
import { createHash } from 'node:crypto';
import { type Live, type LiveQuestion, liveLimit } from '#contract/live.ts';
import type { Endpoint, Host, HostReport, Position } from '#contract/model.ts';
import {
  compareLive,
  type Differences,
  type Finding,
  findingOf,
  type LiveSets,
  type Living,
  linesOf,
  type Observed,
} from '#core/ipam/index.ts';
import type { ReadTx } from '#store/port.ts';
import { awayFrom } from './locations.ts';

interface Known {
  readonly uid: string;
  readonly live: Live | undefined;
  readonly heardAt: number;
  /** What was on record when the host was first seen to differ; null: it agrees. */
  readonly differsSince: Position | null;
  readonly comparedAt: number;
  readonly differences: Differences;
  /** Position that the host had applied when it listed everything. */
  readonly listedAt: number;
}
export interface Compared {
  readonly findings: Finding[];
  readonly unknown: { host: string; reason: string }[];
}

const agreedForMs = 60_000;
/** Several heartbeats. */
const awayAfterMs = 60_000;
const none: Differences = new Map();

export class Comparison {
  readonly #now: () => number;
  readonly #known = new Map<string, Known>();

  /** `now`: monotonic milliseconds. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** After what the report says is on record. Answers what the next one should say. */
  heard(tx: ReadTx, host: Host, report: HostReport, position: Position): LiveQuestion {
    const { live, applied } = report;
    const before = this.#known.get(host.name);
    const same = before?.uid === host.uid ? before : undefined;
    const now = this.#now();
    const base: Known = {
      uid: host.uid,
      live,
      heardAt: now,
      differsSince: same?.differsSince ?? null,
      comparedAt: same?.comparedAt ?? Number.NEGATIVE_INFINITY,
      differences: same?.differences ?? none,
      listedAt: same?.listedAt ?? 0,
    };
    const keep = (more: Partial<Known> = {}): void => void this.#known.set(host.name, { ...base, ...more });
    if (live === undefined || live.wired === null) {
      keep({ differsSince: null, differences: none });
      return 'digest';
    }
    const settled = same?.differsSince === null && sameDigests(same.live, live);
    if (settled && now - base.comparedAt < agreedForMs) {
      keep();
      return 'digest';
    }
    const recorded = recordedSets(tx, host.name);
    if (agree(recorded, live)) {
      keep({ differsSince: null, differences: none, comparedAt: now });
      return 'digest';
    }
    if (base.differsSince?.incarnation !== position.incarnation) {
      keep({ differsSince: position, differences: none, comparedAt: now });
      return 'digest';
    }
    if (!reached(applied, base.differsSince)) {
      keep({ comparedAt: now });
      return 'digest';
    }
    if (live.list === undefined) keep({ comparedAt: now });
    else {
      const differences = compareLive(recorded, setsOf(live.list), base.differences, position.revision);
      keep({ comparedAt: now, differences, listedAt: applied?.revision ?? 0 });
    }
    return 'list';
  }

  /** As of now: what was found and is gone since is not told again. */
  judge(tx: ReadTx, hosts: readonly Host[]): Compared {
    const findings: Finding[] = [];
    const unknown: Compared['unknown'] = [];
    for (const host of hosts) {
      const { name } = host;
      const recorded = recordedSets(tx, name);
      const reason = this.#unheard(host, recorded);
      if (reason !== undefined) {
        if (reason !== '') unknown.push({ host: name, reason });
        continue;
      }
      const known = this.#known.get(name)!;
      if (known.live === undefined || agree(recorded, known.live)) continue;
      this.#known.set(name, { ...known, comparedAt: Number.NEGATIVE_INFINITY });
      const list = known.live.list;
      const still =
        list === undefined
          ? known.differences
          : compareLive(recorded, setsOf(list), known.differences, tx.revision);
      const lasting = [...known.differences].filter(
        ([line, { since }]) => since <= known.listedAt && still.has(line),
      );
      findings.push(...lasting.map(([, difference]) => findingOf(difference, name)));
      if (lasting.length === 0) {
        const listed = known.live.held.count + (known.live.wired?.count ?? 0) <= liveLimit;
        unknown.push({
          host: name,
          reason: listed
            ? 'what its agent said last differs from the records; it is asked for everything: check again in half a minute'
            : 'what its agent said last differs from the records, and may be too much to be listed: see `romana agent endpoint list` there',
        });
      }
    }
    return { findings, unknown };
  }

  /**
   * For the search for leaks: what the agents hold or have wired lives, on record or not. Of a host that differs and has not said in
   * what, everything lives; of one that is away nothing is said.
   */
  observe(tx: ReadTx, held: readonly { readonly host: string; readonly key: string }[]): Observed[] {
    const keys = Map.groupBy(held, ({ host }) => host);
    for (const name of this.#known.keys()) if (tx.get('host', name) === undefined) this.#known.delete(name);
    return tx.list('host').flatMap(({ value: host }): Observed[] => {
      const recorded = recordedSets(tx, host.name);
      const known = this.#known.get(host.name);
      if (this.#unheard(host, recorded) !== undefined || known?.live === undefined) return [];
      if (agree(recorded, known.live)) return [{ host: host.name, live: recorded.wired }];
      return [{ host: host.name, live: known.live.list ?? keys.get(host.name) ?? [] }];
    });
  }

  /** Why nothing can be said of the host; empty: there is nothing to say. */
  #unheard({ name, uid, joined, state }: Host, recorded: LiveSets): string | undefined {
    if (!joined) return recorded.held.length + recorded.wired.length === 0 ? '' : 'no agent has joined it';
    if (state === 'fenced') return 'it is fenced: what it holds is cut off';
    const known = this.#known.get(name);
    if (known?.uid !== uid) return 'its agent has not reported since the server started';
    const silent = this.#now() - known.heardAt;
    if (silent > awayAfterMs) return `it is away: no report for ${Math.round(silent / 1000)} seconds`;
    if (known.live === undefined)
      return 'its agent has not said yet what lives there, or is of an older version';
    if (known.live.wired === null) return 'its last pass over the kernel failed: see its problems';
    return undefined;
  }
}

export function digestOf(set: readonly Living[]): { count: number; hash: string } {
  return { count: set.length, hash: createHash('sha256').update(linesOf(set)).digest('hex') };
}

function recordedSets(tx: ReadTx, host: string): LiveSets {
  const located = tx.list('endpoint', { host }).map(({ key, value }) => ({ key, value }));
  // Who gave out an address keeps it in its journal, wherever it lives.
  const away = awayFrom(tx, host).flatMap((key) => tx.row('endpoint', key) ?? []);
  const home = [...located.filter(({ value }) => value.host === host), ...away].sort((a, b) =>
    a.key < b.key ? -1 : 1,
  );
  const pick = (from: typeof located, wanted: (endpoint: Endpoint) => boolean): Living[] =>
    from
      .filter(({ value }) => wanted(value))
      .map(({ key, value: { uid, addresses } }) => ({
        key,
        uid,
        addresses: addresses.map(({ address }) => address),
      }));
  return {
    held: pick(home, ({ allocator, phase }) => allocator === 'agent' && phase !== 'removing'),
    wired: pick(located, ({ phase }) => phase === 'ready'),
  };
}

function setsOf(list: NonNullable<Live['list']>): LiveSets {
  return { held: list.filter(({ held }) => held), wired: list.filter(({ wired }) => wired) };
}

function agree({ held, wired }: LiveSets, live: Live): boolean {
  return digestOf(held).hash === live.held.hash && digestOf(wired).hash === live.wired?.hash;
}

function sameDigests(a: Live | undefined, b: Live): boolean {
  return a?.held.hash === b.held.hash && a.wired?.hash === b.wired?.hash;
}

function reached(applied: Position | null, since: Position): boolean {
  return applied !== null && applied.incarnation === since.incarnation && applied.revision >= since.revision;
}
