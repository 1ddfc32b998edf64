/**
 * The agent of one host: watches the control plane, allocates in its own host ids, keeps the kernel as it should be and reports.
 * Everything outside is a parameter, so that the same agent runs on the kernel and in a simulation.
 *
 * 1. No kernel write before a complete view is known, from disk or from the stream; an unreachable control plane changes nothing.
 * 2. The own API answers `unavailable` until the allocations are known: from the journal or, when that is new, from what the server
 *    has recorded of this host.
 * 3. Stopping leaves rules, links and routes as they are.
 */

import { locationOf } from '#contract/location.ts';
import type * as m from '#contract/model.ts';
import { formatAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';
import type { FollowedEvent } from '#net/watch.ts';
import type { AgentOptions, AgentStatus } from './agent-options.ts';
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
import { FabricSide } from './fabric-side.ts';
import { bareReport, Generation, withdrawn } from './generation.ts';
import { Waiting, wantedIds } from './growth.ts';
import { emptyIds, holdingsOf, MaybeWired } from './holdings.ts';
import { isUndisputed } from './listed.ts';
import { wiredOf } from './live.ts';
import { type Outcome, Reconciler } from './reconciler.ts';
import { Reporter } from './reporter.ts';
import { SavedView } from './saved-view.ts';
import { View, type ViewState } from './view.ts';

export type { AgentOptions, AgentStatus, ControlPlane } from './agent-options.ts';
export type { StateFiles } from './saved-view.ts';

const adoptAgainMs = 1000;

export class Agent {
  readonly #options: AgentOptions;
  readonly #view = new View();
  readonly #reconciler: Reconciler;
  readonly #reporter: Reporter;
  readonly #endpoints: LocalEndpoints;
  readonly #waiting: Waiting;
  readonly #fabric: FabricSide;
  #allocator: LocalAllocator | null = null;
  #generation: Generation | null = null;
  #ready = false;
  #connected = false;
  #stopped = false;
  #stopWatch: Cancel = () => undefined;
  #cancelAdopt: Cancel = () => undefined;
  readonly #maybeWired = new MaybeWired();
  readonly #saved: SavedView;
  #adopting: Promise<void> | null = null;
  #writes = 0;
  /** The pass that began last knew that this host is fenced or has another agent. */
  #withdrawing = false;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { host, clock, timers, random, log } = options;
    this.#saved = new SavedView({ ...options, view: this.#view, onSaved: () => this.#reporter.wake() });
    this.#fabric = new FabricSide({
      ...options,
      facts: options.kernel.facts,
      follow: () => this.#reconciler.trigger(0),
      news: () => this.#reporter.wake(),
    });
    this.#reconciler = new Reconciler({
      ...options,
      before: () => this.#fabric.before(this.#mayNotSpeak()),
      following: (daemon) => this.#fabric.following(daemon),
      knowledge: () => {
        const superseded = this.#generation?.superseded === true;
        const seen = this.#ready || superseded ? this.#view.state : null;
        if (seen === null) return null;
        const view = superseded ? withdrawn(seen, host) : seen;
        // First a kernel that lets nothing pass, then the journal is emptied, then that is acknowledged.
        this.#withdrawing = this.#fenced(view);
        const endpoints = this.#withdrawing ? [] : this.#wired(view);
        this.#maybeWired.began(endpoints);
        return { view, endpoints };
      },
      onPass: (outcome) => {
        this.#maybeWired.ended(outcome.applied);
        if (outcome.applied && this.#withdrawing && this.#generation?.superseded === false)
          this.#releaseAll();
        this.#writes += outcome.changes.length;
        this.#fabric.passed(outcome, this.#withdrawing);
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
      send: (report) => this.#send(report),
      state: () => {
        const view = this.#ready ? this.#view.state : null;
        const generation = this.#generation;
        if (view === null || !this.#connected || generation === null || generation.superseded) return null;
        if (this.#fabric.undecided) return null;
        const outcome = this.#reconciler.last;
        const claims = [...this.#openAllocator().claims().map(claimOf), ...this.#maybeWired.list()];
        const holdings = holdingsOf(claims, view.objects);
        const problems = [...(outcome?.problems ?? []), ...this.#fabric.problems];
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
          empty: emptyIds(claims, view.objects, host),
          generation: generation.said,
          bgp: this.#fabric.bgp,
          unreachable: this.#fabric.unreachable,
          undisputed: isUndisputed(this.#openAllocator(), this.#local(), view.objects, host),
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
    const { journal, clock, random, log, host } = this.#options;
    await this.#saved.load();
    await this.#fabric.load();
    const networks = [...(this.#view.state?.objects.network.values() ?? [])].map(ipamNetwork);
    this.#allocator = await LocalAllocator.open({ ...journal, networks, clock, random, log });
    this.#generation = await Generation.load(this.#options.files, this.#allocator);
    const { mustAdopt } = this.#generation;
    this.#ready = !mustAdopt && this.#view.state !== null;
    log.info(
      { host, journal: this.#allocator.recovered, view: this.#view.state?.position ?? null },
      'agent started',
    );
    this.#reconciler.start();
    this.#stopWatch = this.#options.controlPlane.follow(
      // A lost journal is rebuilt from everything that the server has recorded, not from what was saved here.
      mustAdopt ? null : (this.#view.state?.position ?? null),
      (event) => this.#take(event),
      (error) => {
        if (this.#connected) log.warn({ code: error.code }, `control plane away: ${error.message}`);
        this.#connected = false;
        this.#waiting.away();
        this.#refused(error);
      },
    );
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopWatch();
    this.#cancelAdopt();
    this.#reporter.stop();
    this.#fabric.stop();
    await this.#reconciler.stop();
    await this.#saved.stop();
    await this.#adopting;
    await this.#allocator?.close();
  }

  get ready(): boolean {
    return this.#ready && this.#reconciler.last?.applied === true && this.#generation?.superseded === false;
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
      problems: [
        ...(this.#generation?.problems ?? []),
        ...(outcome?.problems ?? []),
        ...endpointProblems(outcome),
        ...this.#fabric.problems,
        ...this.#reporter.problems,
      ],
      endpoints: outcome?.phases.size ?? 0,
      objects,
      counts: {
        ...counts,
        routes: objects.filter(({ kind, actual }) => kind === 'route' && actual !== null).length,
      },
      drops: Object.fromEntries([...counters].map(([name, { packets }]) => [name, packets])),
      writes: this.#writes,
      bgp: this.#fabric.bgp,
      unreachable: this.#fabric.unreachable,
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
      if (this.#generation?.mustAdopt === true) this.#adopt();
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

  /** Known before a pass begins, so that nobody routes to what this host is about to let go of. */
  #mayNotSpeak(): boolean {
    const { state } = this.#view;
    if (this.#generation?.superseded === true) return true;
    if (!this.#ready || state === null) return false;
    return this.#fenced(state) || !state.objects.host.has(this.#options.host);
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
        locationOf(endpoint) !== this.#options.host
      )
        continue;
      if (this.#openAllocator().get(key)?.allocation.uid !== endpoint.uid) continue;
      this.removeEndpoint(key).catch((error: unknown) =>
        this.#options.log.warn({ error, key }, 'endpoint not removed yet'),
      );
    }
  }

  async #send(report: m.HostReport): Promise<m.HostReportAnswer> {
    try {
      const answer = await this.#options.controlPlane.report(report);
      this.#generation?.accepted(report.generation);
      return answer;
    } catch (error) {
      this.#refused(error);
      throw error;
    }
  }

  /** The control plane believes another journal, or a later state of this one. */
  #refused(error: unknown): void {
    const generation = this.#generation;
    if (generation?.refused(error) !== true) return;
    const { log } = this.#options;
    if (!generation.superseded) {
      log.warn({}, 'the journal is an old copy; it is rebuilt from what the control plane has recorded');
      this.#ready = false;
      this.#adopt();
      return;
    }
    log.error({}, 'another agent has taken over this host: its endpoints here are withdrawn');
    generation
      .save()
      .catch((failed: unknown) => log.error({ error: failed }, 'a restart will not know of it at once'));
    this.#reconciler.trigger(0);
  }

  /** A new journal, or an old copy: takes over what the server has recorded as ours, before anybody is answered. */
  #adopt(): void {
    const { state } = this.#view;
    const generation = this.#generation;
    if (this.#adopting !== null || state === null || generation === null || generation.superseded) return;
    const { host, log, timers, version } = this.#options;
    const adopted = generation.adopt(state, host, (said) => this.#send(bareReport(version, said)));
    this.#adopting = adopted.then(
      (endpoints) => {
        this.#adopting = null;
        this.#ready = true;
        log.info({ endpoints }, 'new journal: endpoints taken over from the control plane');
        this.#reconciler.trigger(0);
      },
      (error: unknown) => {
        this.#adopting = null;
        log.error({ error }, 'recorded endpoints could not be taken over yet');
        if (!this.#stopped) this.#cancelAdopt = timers.after(adoptAgainMs, () => this.#adopt());
      },
    );
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
    this.#generation?.demandCurrent();
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
