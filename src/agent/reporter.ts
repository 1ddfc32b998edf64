/**
 * Tells the control plane what this host has and does. Level-triggered: each report is the difference between what the server shows
 * of this host (in the view) and what is true here; when the view has followed, the difference is gone.
 *
 * 1. Nothing is queued and nothing can be lost: after any crash the next difference is the same.
 * 2. `gone` is said only of endpoints that a finished pass has left out of the kernel.
 * 3. The applied position is that of a pass which reached the kernel whole.
 * 4. What is acknowledged, what is held, and which ids are empty are true of the same moment.
 */

import type { LiveQuestion } from '#contract/live.ts';
import { locationOf, locationSeqOf } from '#contract/location.ts';
import type * as m from '#contract/model.ts';
import { formatAddress, formatCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Random, Timers } from '#core/ports.ts';
import { withoutCounts } from './bgp/report.ts';
import type { WiredEndpoint } from './desired.ts';
import type { Wanted } from './growth.ts';
import { type EmptyIds, type Holdings, olderOf } from './holdings.ts';
import { liveOf } from './live.ts';
import type { Outcome } from './reconciler.ts';
import type { ViewState } from './view.ts';

export interface ReporterOptions {
  readonly host: string;
  readonly version: string;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
  readonly send: (report: m.HostReport) => Promise<m.HostReportAnswer>;
  /** Null while the agent does not know its own state for certain. */
  readonly state: () => ReportState | null;
  readonly heartbeatMs: number;
}

export interface ReportState {
  readonly view: ViewState;
  /** Endpoints that this agent allocated itself. */
  readonly local: readonly WiredEndpoint[];
  readonly outcome: Outcome | null;
  readonly problems: readonly m.Problem[];
  /** Position of the view that is on the disk. */
  readonly saved: m.Position | null;
  readonly holdings: Holdings;
  /** In the kernel; null when the last pass failed. */
  readonly wired: readonly WiredEndpoint[] | null;
  /** Networks in which the host should hold more ids. */
  readonly wanted: Wanted;
  /** Retiring host ids of which nothing is held; null when none is retiring. */
  readonly empty: EmptyIds | null;
  readonly generation: NonNullable<m.HostReport['generation']>;
  /** What is held is all in `local`, and none of it has an id that is another's. */
  readonly undisputed: boolean;
  /** Null: no speaker is wanted, or it has not been looked at. */
  readonly bgp: m.BgpReport | null;
  /** Hosts of its link that it looks after and cannot reach; null: it looks after none. */
  readonly unreachable: readonly string[] | null;
}

/** More are not listed; nothing is acknowledged then. */
const orphanLimit = 4096;
const emptyLimit = 1024;
const unreachableLimit = 1024;
/** A difference that was sent and has not come back in the view is sent again after this time. */
const resendMs = 10_000;
const batch = 500;

export class Reporter {
  readonly #options: ReporterOptions;
  /** What the server asked for: an older one does not, and would refuse it. */
  #question: LiveQuestion | null = null;
  /** The last report was refused or lost: this one has only what any server takes. */
  #plain = false;
  /** The last report was refused because of what it said: an older server does not know all of it. */
  #bare = false;
  /** What was last said of each endpoint, by kind and key. */
  readonly #sent = new Map<string, { readonly text: string; readonly at: number }>();
  /** Of the view that it was said against. */
  #incarnation = '';
  #rejected = new Map<string, m.Problem>();
  #lastReport = '';
  /** Monotonic time; looks that find nothing to say do not put it off. */
  #heartbeatDue = Number.NEGATIVE_INFINITY;
  #busy = false;
  #again = false;
  #stopped = false;
  #failures = 0;
  #cancelTimer: Cancel = () => undefined;

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Problems that the server found with endpoints of this host. */
  get problems(): readonly m.Problem[] {
    return [...this.#rejected.values()];
  }

  wake(): void {
    this.#again = true;
    if (!this.#busy && !this.#stopped) void this.#loop();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancelTimer();
  }

  async #loop(): Promise<void> {
    this.#busy = true;
    this.#cancelTimer();
    while (this.#again && !this.#stopped) {
      this.#again = false;
      try {
        await this.#report();
        this.#failures = 0;
        this.#plain = false;
        this.#bare = false;
      } catch (error) {
        this.#failures++;
        // Whatever was wrong with it, the next one is such as any server takes.
        this.#question = null;
        this.#plain = true;
        this.#bare = isRomanaError(error) && error.code === 'input_invalid';
        this.#options.log.warn(
          { error: describe(error) },
          'the control plane did not take the report; trying again',
        );
        break;
      }
    }
    this.#busy = false;
    if (this.#stopped) return;
    const { heartbeatMs, timers, random, clock } = this.#options;
    const backOff =
      Math.min(heartbeatMs, 250 * 2 ** Math.min(this.#failures, 8)) * (0.5 + random.fraction() / 2);
    // Nothing could be told while the state was unknown: then look again after a whole beat.
    const beat = this.#heartbeatDue - clock.monotonic();
    this.#cancelTimer = timers.after(this.#failures > 0 ? backOff : beat > 0 ? beat : heartbeatMs, () =>
      this.wake(),
    );
  }

  async #report(): Promise<void> {
    const state = this.#options.state();
    if (state === null) return;
    const report = this.#difference(state);
    const text = newsOf(report);
    const differences = report.registered.length + report.phases.length + report.gone.length;
    const now = this.#options.clock.monotonic();
    if (differences === 0 && text === this.#lastReport && now < this.#heartbeatDue) return;
    const answer = await this.#options.send(report);
    this.#lastReport = differences === 0 ? text : '';
    this.#heartbeatDue = now + this.#options.heartbeatMs;
    this.#remember(report, answer);
    if (differences >= batch) this.#again = true;
  }

  #remember(report: m.HostReport, answer: m.HostReportAnswer): void {
    this.#question = answer.live ?? null;
    const now = this.#options.clock.monotonic();
    for (const kind of ['registered', 'phases', 'gone'] as const) {
      for (const entry of report[kind]) {
        const key = `${entry.tenant}/${entry.segment}/${entry.name}`;
        this.#sent.set(`${kind} ${key}`, { text: saying(entry), at: now });
        if (kind === 'registered') this.#rejected.delete(key);
      }
    }
    for (const { tenant, segment, name, error } of answer.rejected) {
      const key = `${tenant}/${segment}/${name}`;
      this.#rejected.set(key, { code: error.code, message: `${key}: ${error.message}` });
      this.#options.log.warn({ endpoint: key, code: error.code }, error.message);
    }
    for (const [key, { at }] of this.#sent) if (now - at > resendMs) this.#sent.delete(key);
  }

  #difference(state: ReportState): m.HostReport {
    const { view, local, outcome, problems, saved, holdings, wanted, empty } = state;
    const now = this.#options.clock.monotonic();
    const due = (kind: string, key: string, entry: { uid: string }): boolean => {
      const last = this.#sent.get(`${kind} ${key}`);
      return last === undefined || last.text !== saying(entry) || now - last.at >= resendMs;
    };
    // What the lost state was told, a restored one has not heard.
    if (view.position.incarnation !== this.#incarnation) this.#sent.clear();
    this.#incarnation = view.position.incarnation;
    const known = view.objects.endpoint;
    const localKeys = new Map(local.map((endpoint) => [endpoint.key, endpoint]));
    // A report whose answer was lost may have been accepted: what the server shows counts.
    this.#rejected = new Map(
      [...this.#rejected].filter(([key]) => {
        const mine = localKeys.get(key);
        return mine !== undefined && known.get(key)?.uid !== mine.uid;
      }),
    );

    const registered = local
      .filter((endpoint) => known.get(endpoint.key)?.uid !== endpoint.uid)
      .map((endpoint) => registration(endpoint))
      .filter(({ key, entry }) => due('registered', key, entry))
      .map(({ entry }) => entry);
    const gone: m.HostReport['gone'] = [];
    const phases: m.HostReport['phases'] = [];
    for (const [key, endpoint] of known) {
      if (locationOf(endpoint) !== this.#options.host) continue;
      const seq = locationSeqOf(endpoint);
      const ref = {
        tenant: endpoint.tenant,
        segment: endpoint.segment,
        name: endpoint.name,
        uid: endpoint.uid,
        // An older server knows no stays, and of the first one there is nothing to say.
        ...(seq === 0 ? {} : { locationSeq: seq }),
      };
      const mine = localKeys.get(key);
      const wired = outcome?.phases.get(key);
      const removed = endpoint.allocator === 'agent' ? mine === undefined : endpoint.phase === 'removing';
      if (removed) {
        const left = outcome !== null && outcome.applied && wired?.uid !== endpoint.uid;
        if (left && covers(outcome, view, endpoint) && due('gone', key, ref)) gone.push(ref);
      } else if (wired !== undefined && wired.uid === endpoint.uid && endpoint.phase !== 'removing') {
        const message = wired.problem?.message.slice(0, 1024) ?? '';
        const differs = wired.phase !== endpoint.phase || message !== endpoint.message;
        const entry = { ...ref, phase: wired.phase, message };
        if (differs && due('phases', key, entry)) phases.push(entry);
      }
    }
    const applied = outcome?.applied === true ? outcome.position : null;
    const { holds, orphans } = holdings;
    return {
      applied,
      acknowledged: orphans.length > orphanLimit ? null : olderOf(applied, saved),
      holds,
      orphans: orphans.slice(0, orphanLimit),
      problems: [...problems, ...this.problems]
        .slice(0, 256)
        .map(({ code, message }) => ({ code, message: message.slice(0, 1024) })),
      version: this.#options.version,
      generation: state.generation,
      registered: registered.slice(0, batch),
      phases: phases.slice(0, batch),
      gone: gone.slice(0, batch),
      ...(this.#plain
        ? {}
        : { listed: state.undisputed && registered.length <= batch ? view.position : null }),
      ...(wanted.length === 0 ? {} : { wanted: [...wanted] }),
      ...(empty === null || this.#plain ? {} : { empty: empty.slice(0, emptyLimit) }),
      ...(state.bgp === null || this.#bare ? {} : { bgp: state.bgp }),
      ...(state.unreachable === null || this.#bare
        ? {}
        : { unreachable: state.unreachable.slice(0, unreachableLimit) }),
      ...(this.#question === null ? {} : { live: liveOf(local, state.wired, this.#question) }),
    };
  }
}

/** Of two reports with the same news the second can wait for its time. */
function newsOf(report: m.HostReport): string {
  return JSON.stringify(report.bgp === undefined ? report : { ...report, bgp: withoutCounts(report.bgp) });
}

function registration(endpoint: WiredEndpoint): { key: string; entry: m.HostReport['registered'][number] } {
  const [tenant = '', segment = '', name = ''] = endpoint.key.split('/');
  const entry = {
    tenant,
    segment,
    name,
    uid: endpoint.uid,
    addresses: endpoint.placed.map(({ network, address }) => ({ network, address: formatAddress(address) })),
    attachment: endpoint.attachment,
    sourcePrefixes: endpoint.sourcePrefixes.map(formatCidr),
  };
  return { key: endpoint.key, entry };
}

function saying(entry: {
  uid: string;
  locationSeq?: number | undefined;
  phase?: string;
  message?: string;
}): string {
  return `${entry.uid} ${locationSeqOf(entry)} ${entry.phase ?? ''} ${entry.message ?? ''}`;
}

/** An older pass may have left it out because it did not know it yet, and one that runs now may be wiring it. */
function covers(outcome: Outcome, view: ViewState, endpoint: m.Endpoint): boolean {
  const { incarnation, revision } = outcome.position;
  return incarnation === view.position.incarnation && revision >= endpoint.revision;
}

function describe(error: unknown): string {
  return isRomanaError(error) ? `${error.code}: ${error.message}` : String(error);
}
