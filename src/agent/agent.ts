/**
 * The agent of one host: watches the control plane, allocates in its own host ids, keeps the kernel as it should be and reports.
 * Everything outside is a parameter, so that the same agent runs on the kernel and in a simulation.
 *
 * 1. No kernel write before a complete view is known, from disk or from the stream; an unreachable control plane changes nothing.
 * 2. The own API answers `unavailable` until the allocations are known: from the journal or, when that is new, from what the server
 *    has recorded of this host.
 * 3. Stopping leaves rules, links and routes as they are.
 */

import type * as m from '#contract/model.ts';
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Random, Timers } from '#core/ports.ts';
import type { FollowedEvent } from '#net/watch.ts';
import { LocalAllocator } from './allocator.ts';
import type { WiredEndpoint } from './desired.ts';
import {
  claimOf,
  ipamNetwork,
  type LocalEndpointInput,
  LocalEndpoints,
  wiredFromHeld,
  wiredFromView,
} from './endpoints.ts';
import { Waiting, wantedIds } from './growth.ts';
import { holdingsOf, MaybeWired } from './holdings.ts';
import type { JournalFs } from './journal/index.ts';
import { wiredOf } from './live.ts';
import type { ObjectStatus } from './ports.ts';
import { adoptedQuestion } from './question.ts';
import { type Kernel, type Outcome, Reconciler } from './reconciler.ts';
import { Reporter } from './reporter.ts';
import { SavedView, type StateFiles } from './saved-view.ts';
import { View, type ViewState } from './view.ts';

export type { StateFiles } from './saved-view.ts';

export interface ControlPlane {
  report(report: m.HostReport): Promise<m.HostReportAnswer>;
  /** Follows the stream from a position on, for as long as it is not cancelled. */
  follow(
    since: m.Position | null,
    onEvent: (event: FollowedEvent) => void,
    onDown: (error: RomanaError) => void,
  ): Cancel;
}

export interface AgentOptions {
  readonly host: string;
  readonly version: string;
  readonly uplinks: readonly string[];
  readonly endpointLinks: readonly string[];
  readonly mtu: number;
  readonly resyncMs: number;
  readonly heartbeatMs: number;
  readonly kernel: Kernel;
  readonly controlPlane: ControlPlane;
  readonly files: StateFiles;
  readonly journal: { readonly dir: string; readonly fs?: JournalFs };
  readonly clock: Clock;
  readonly timers: Timers;
  readonly random: Random;
  readonly log: Log;
}

export interface AgentStatus {
  readonly host: string;
  readonly ready: boolean;
  readonly connected: boolean;
  readonly applied: m.Position | null;
  readonly known: m.Position | null;
  readonly problems: readonly m.Problem[];
  readonly endpoints: number;
  readonly objects: readonly ObjectStatus[];
  readonly counts: { readonly routes: number; readonly rules: number; readonly elements: number };
  readonly drops: Readonly<Record<string, number>>;
  readonly writes: number;
}

/** Names the journal that holds all that the control plane had recorded; a crash before that leaves a journal that holds less. */
const adoptedFile = 'adopted.json';
const adoptAgainMs = 1000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #view = new View();
  readonly #reconciler: Reconciler;
  readonly #reporter: Reporter;
  readonly #endpoints: LocalEndpoints;
  readonly #waiting: Waiting;
  #allocator: LocalAllocator | null = null;
  /** The journal is new, or was never whole: what the server knows of our allocations comes first. */
  #mustAdopt = false;
  #ready = false;
  #connected = false;
  #stopped = false;
  #stopWatch: Cancel = () => undefined;
  #cancelAdopt: Cancel = () => undefined;
  readonly #maybeWired = new MaybeWired();
  readonly #saved: SavedView;
  #adopting: Promise<void> | null = null;
  #writes = 0;
  /** The pass that began last knew that this host is fenced. */
  #withdrawing = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { host, clock, timers, random, log } = options;
    this.#saved = new SavedView({ ...options, view: this.#view, onSaved: () => this.#reporter.wake() });
    this.#reconciler = new Reconciler({
      ...options,
      knowledge: () => {
        const view = this.#ready ? this.#view.state : null;
        if (view === null) return null;
        // Superseded: first a kernel that lets nothing pass, then the journal is emptied, then that is acknowledged.
        this.#withdrawing = this.#fenced(view);
        const endpoints = this.#withdrawing ? [] : this.#wired(view);
        this.#maybeWired.began(endpoints);
        return { view, endpoints };
      },
      onPass: (outcome) => {
        this.#maybeWired.ended(outcome.applied);
        if (outcome.applied && this.#withdrawing) this.#releaseAll();
        this.#writes += outcome.changes.length;
        this.#releaseRemoved();
        this.#reporter.wake();
      },
    });
    this.#waiting = new Waiting(timers);
    this.#reporter = new Reporter({
      host,
      version: options.version,
      clock,
      timers,
      random,
      log,
      heartbeatMs: options.heartbeatMs,
      send: (report) => options.controlPlane.report(report),
      state: () => {
        const view = this.#ready ? this.#view.state : null;
        if (view === null || !this.#connected) return null;
        const outcome = this.#reconciler.last;
        const claims = this.#openAllocator().claims().map(claimOf);
        const holdings = holdingsOf([...claims, ...this.#maybeWired.list()], view.objects);
        const problems = outcome?.problems ?? [];
        const wanted = wantedIds(view.objects, host, this.#openAllocator().usage(), this.#waiting.list());
        return {
          view,
          local: this.#local(),
          outcome,
          problems,
          saved: this.#saved.position,
          holdings,
          wired: outcome?.applied === true ? wiredOf(this.#wired(view), outcome) : null,
          wanted,
        };
      },
    });
    this.#endpoints = new LocalEndpoints({
      host,
      allocator: () => this.#openAllocator(),
      view: () => this.#readyView(),
      reconcile: () => this.#reconciler.reconcile(),
      last: () => this.#reconciler.last,
      now: () => new Date(clock.now()).toISOString(),
      growth: (full) => {
        if (!this.#connected) return Promise.resolve(false);
        const granted = this.#waiting.forIds(full);
        this.#reporter.wake();
        return granted;
      },
    });
  }

  async start(): Promise<void> {
    const { files, journal, clock, random, log, host } = this.#options;
    await this.#saved.load();
    const networks = [...(this.#view.state?.objects.network.values() ?? [])].map(ipamNetwork);
    this.#allocator = await LocalAllocator.open({ ...journal, networks, clock, random, log });
    this.#mustAdopt = (await files.read(adoptedFile)) !== adoptedText(this.#allocator);
    this.#ready = !this.#mustAdopt && this.#view.state !== null;
    log.info(
      { host, journal: this.#allocator.recovered, view: this.#view.state?.position ?? null },
      'agent started',
    );
    this.#reconciler.start();
    this.#stopWatch = this.#options.controlPlane.follow(
      // A lost journal is rebuilt from everything that the server has recorded, not from what was saved here.
      this.#mustAdopt ? null : (this.#view.state?.position ?? null),
      (event) => this.#take(event),
      (error) => {
        if (this.#connected) log.warn({ code: error.code }, `control plane away: ${error.message}`);
        this.#connected = false;
        this.#waiting.away();
      },
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopWatch();
    this.#cancelAdopt();
    this.#reporter.stop();
    await this.#reconciler.stop();
    await this.#saved.stop();
    await this.#adopting;
    await this.#allocator?.close();
  }

  get ready(): boolean {
    return this.#ready && this.#reconciler.last?.applied === true;
  }

  createEndpoint(input: LocalEndpointInput): Promise<m.Endpoint> {
    return this.#endpoints.create(input).finally(() => this.#reporter.wake());
  }

  removeEndpoint(key: string): Promise<void> {
    return this.#endpoints.remove(key).finally(() => this.#reporter.wake());
  }

  listEndpoints(): readonly m.Endpoint[] {
    this.#readyView();
    return this.#endpoints.list(this.#reconciler.last?.phases ?? new Map());
  }

  /** Reads every owned object from the kernel. */
  async status(): Promise<AgentStatus> {
    const { kernel, host } = this.#options;
    const outcome = this.#reconciler.last;
    const [objects, counts, counters] = await Promise.all([
      this.#reconciler.inspect(),
      kernel.rules.counts(),
      kernel.rules.counters(),
    ]);
    return {
      host,
      ready: this.ready,
      connected: this.#connected,
      applied: outcome?.applied === true ? outcome.position : null,
      known: this.#view.state?.position ?? null,
      problems: [...(outcome?.problems ?? []), ...endpointProblems(outcome), ...this.#reporter.problems],
      endpoints: outcome?.phases.size ?? 0,
      objects,
      counts: {
        ...counts,
        routes: objects.filter(({ kind, actual }) => kind === 'route' && actual !== null).length,
      },
      drops: Object.fromEntries([...counters].map(([name, { packets }]) => [name, packets])),
      writes: this.#writes,
    };
  }

  #take(event: FollowedEvent): void {
    const before = event.type === 'synced' ? [...(this.#view.state?.objects.network.keys() ?? [])] : [];
    const changed = this.#view.take(event);
    if (changed) this.#takeNetworks(event, before);
    if (event.type === 'synced' || event.type === 'position') {
      const back = !this.#connected;
      this.#connected = true;
      // What came to be while the control plane was away waits to be told.
      if (back) this.#reporter.wake();
    }
    if (!changed) return;
    if (event.type === 'position') this.#saved.positioned(event.position);
    else this.#saved.changed();
    const ofHost = event.type === 'object' && event.kind === 'host' && event.key === this.#options.host;
    if (ofHost || event.type === 'synced') this.#waiting.changed();
    if (event.type === 'synced') {
      if (this.#mustAdopt) this.#adopt();
      else this.#ready = true;
    }
    if (event.type === 'position') {
      // Nothing that we may see has changed since the last pass: it has applied this position too.
      this.#reconciler.advance(event.position);
      this.#reporter.wake();
    } else {
      this.#releaseRemoved();
      this.#reconciler.trigger(5);
    }
  }

  #takeNetworks(event: FollowedEvent, before: readonly string[]): void {
    const allocator = this.#openAllocator();
    if (event.type === 'object' && event.kind === 'network' && event.value.layout !== null)
      allocator.setNetwork(ipamNetwork({ ...event.value, layout: event.value.layout }));
    if (event.type === 'gone' && event.kind === 'network') allocator.removeNetwork(event.key);
    if (event.type !== 'synced') return;
    const networks = this.#view.state?.objects.network ?? new Map<string, m.LaidOut>();
    for (const name of before) if (!networks.has(name)) allocator.removeNetwork(name);
    for (const network of networks.values()) allocator.setNetwork(ipamNetwork(network));
  }

  #fenced(view: ViewState): boolean {
    return view.objects.host.get(this.#options.host)?.state === 'fenced';
  }

  /** Of a fenced host, when nothing of it is in the kernel any more. */
  #releaseAll(): void {
    const { log } = this.#options;
    const held = this.#openAllocator().list();
    if (held.length === 0) return;
    const released = held.map(({ allocation: { key, uid } }) => this.#openAllocator().release(key, { uid }));
    Promise.all(released).then(
      () => {
        log.warn(
          { endpoints: held.length },
          'this host was declared dead: its endpoints are cut off and forgotten',
        );
        this.#reporter.wake();
      },
      (error: unknown) => log.error({ error }, 'endpoints of a fenced host are not released yet'),
    );
  }

  /** The control plane may ask us to remove what we allocated. */
  #releaseRemoved(): void {
    if (!this.#ready) return;
    for (const [key, endpoint] of this.#view.state?.objects.endpoint ?? []) {
      if (
        endpoint.phase !== 'removing' ||
        endpoint.allocator !== 'agent' ||
        endpoint.host !== this.#options.host
      )
        continue;
      if (this.#openAllocator().get(key)?.allocation.uid !== endpoint.uid) continue;
      this.removeEndpoint(key).catch((error: unknown) =>
        this.#options.log.warn({ error, key }, 'endpoint not removed yet'),
      );
    }
  }

  /** A new journal: takes over what the server has recorded as ours, before anybody is answered. */
  #adopt(): void {
    if (this.#adopting !== null) return;
    const recorded = [...(this.#view.state?.objects.endpoint ?? [])].filter(
      ([, endpoint]) =>
        endpoint.allocator === 'agent' &&
        endpoint.host === this.#options.host &&
        endpoint.phase !== 'removing',
    );
    this.#adopting = this.#adoptAll(recorded).then(
      () => {
        this.#adopting = null;
        this.#mustAdopt = false;
        this.#ready = true;
        this.#reconciler.trigger(0);
      },
      (error: unknown) => {
        this.#adopting = null;
        this.#options.log.error({ error }, 'recorded endpoints could not be taken over yet');
        if (!this.#stopped) this.#cancelAdopt = this.#options.timers.after(adoptAgainMs, () => this.#adopt());
      },
    );
  }

  async #adoptAll(recorded: readonly (readonly [string, m.Endpoint])[]): Promise<void> {
    const allocator = this.#openAllocator();
    for (const [key, endpoint] of recorded) {
      const { attachment, sourcePrefixes, createdAt } = endpoint;
      await allocator.adopt(
        {
          key,
          uid: endpoint.uid,
          question: adoptedQuestion({ attachment, sourcePrefixes }),
          addresses: endpoint.addresses.map(({ network, address }) => ({
            network,
            address: parseAddress(address),
          })),
        },
        { attachment, sourcePrefixes, createdAt },
      );
    }
    if (recorded.length > 0)
      this.#options.log.info(
        { endpoints: recorded.length },
        'new journal: endpoints taken over from the control plane',
      );
    await this.#options.files.write(adoptedFile, adoptedText(allocator));
  }

  #local(): WiredEndpoint[] {
    return this.#openAllocator().list().map(wiredFromHeld);
  }

  /** Both allocators' endpoints. Should both claim one name or address, the one recorded by the server stands. */
  #wired(view: ViewState): WiredEndpoint[] {
    const served = wiredFromView(view.objects, this.#options.host);
    const keys = new Set(served.map(({ key }) => key));
    const addresses = new Set(
      served.flatMap(({ placed }) => placed.map(({ address }) => formatAddress(address))),
    );
    const free = (endpoint: WiredEndpoint): boolean =>
      !keys.has(endpoint.key) &&
      !endpoint.placed.some(({ address }) => addresses.has(formatAddress(address)));
    return [...served, ...this.#local().filter(free)];
  }

  #readyView(): ViewState {
    const { state } = this.#view;
    if (!this.#ready || state === null) {
      throw new RomanaError(
        'unavailable',
        'The agent has not heard from the control plane yet and knows no networks; try again when `romana agent status` says ready.',
      );
    }
    return state;
  }

  #openAllocator(): LocalAllocator {
    if (this.#allocator === null) throw new RomanaError('unavailable', 'The agent is starting.');
    return this.#allocator;
  }
}

/** Why single endpoints are not ready; the control plane hears it as part of each endpoint, whoever stands before the host reads it here. */
function endpointProblems(outcome: Outcome | null): m.Problem[] {
  return [...(outcome?.phases ?? [])].flatMap(([key, { problem }]) =>
    problem === null ? [] : [{ code: problem.code, message: `Endpoint ${key}: ${problem.message}` }],
  );
}

function adoptedText({ generation }: LocalAllocator): string {
  return JSON.stringify({ version: 1, generation });
}
