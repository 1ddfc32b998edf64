/**
 * The loop between knowledge and kernel. Each pass reads facts, computes the whole desired state and lets every driver apply its
 * part. Passes never overlap; a wish for a pass during one leads to exactly one more.
 *
 * 1. Rules before links, links before routes: an endpoint can send only after its rules stand.
 * 2. What one endpoint lacks stops no other: failures are reported per endpoint, the pass goes on.
 * 3. A change of who may talk removes the permission and cuts the flows it carried in one transaction, then looks once more for flows
 *    that were established in between. The same when the rules had been opened by somebody else.
 * 4. A pass that failed is repeated, sooner at first; what stands in the kernel meanwhile is what stood before.
 */

import type * as m from '#contract/model.ts';
import type { Cidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import type { BgpIntent } from '#core/routing/index.ts';
import { computeDesired, type Desired, type DesiredInput, type WiredEndpoint } from './desired.ts';
import { foreignProblems } from './desired-routes.ts';
import type { Conntrack } from './drivers/conntrack/conntrack.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import type { RulesDriver } from './drivers/nftables/driver.ts';
import type { Peer } from './peers.ts';
import type {
  ApplyResult,
  Change,
  ForeignRoute,
  KernelEvents,
  KernelFacts,
  LinkDriver,
  ObjectStatus,
  RouteDriver,
} from './ports.ts';
import { buildRuleset } from './rules/build.ts';
import { RulesAndFlows } from './rules-and-flows.ts';
import { createPlanner } from './site-plan.ts';
import type { ViewState } from './view.ts';

export interface Kernel {
  readonly rules: RulesDriver;
  readonly links: LinkDriver;
  readonly routes: RouteDriver;
  readonly conntrack: Conntrack;
  readonly facts: KernelFacts;
  readonly events: KernelEvents;
}

export interface ReconcilerOptions {
  readonly host: string;
  readonly uplinks: readonly string[];
  readonly endpointLinks: readonly string[];
  readonly mtu: number;
  /** Milliseconds between full looks at the kernel when nothing happens: some losses give no event. */
  readonly resyncMs: number;
  readonly kernel: Kernel;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly log: Log;
  /** Null until the agent knows enough to write to the kernel. */
  readonly knowledge: () => { readonly view: ViewState; readonly endpoints: readonly WiredEndpoint[] } | null;
  readonly onPass: (outcome: Outcome) => void;
  /** Waited for before each pass; must be short. */
  readonly before?: () => Promise<void>;
  /** See DesiredInput. */
  readonly following?: NonNullable<DesiredInput['following']>;
}

export interface Outcome {
  readonly position: m.Position;
  readonly phases: ReadonlyMap<
    string,
    {
      readonly uid: string;
      readonly phase: 'pending' | 'ready' | 'failed';
      readonly problem: m.Problem | null;
    }
  >;
  readonly problems: readonly m.Problem[];
  readonly changes: readonly Change[];
  /** Rules, links and routes are as wanted, but for single endpoints that failed. */
  readonly applied: boolean;
  readonly milliseconds: number;
  readonly fabric: FabricOutcome;
}

/** What the fabric asks for beside the kernel. */
export interface FabricOutcome {
  /** Null: no speaker, or nothing is known. */
  readonly bgp: BgpIntent | null;
  /** Own ranges whose blackhole is not in the kernel. */
  readonly unready: readonly Cidr[];
  readonly watched: readonly Peer[];
}
export const noFabric: FabricOutcome = { bgp: null, unready: [], watched: [] };

const settleMs = 40;

export class Reconciler {
  readonly #options: ReconcilerOptions;
  #running: Promise<Outcome | null> | null = null;
  #next: Promise<Outcome | null> | null = null;
  #cancelTimer: Cancel = () => undefined;
  #timerDue = Number.POSITIVE_INFINITY;
  #stopEvents: Cancel = () => undefined;
  #stopped = false;
  #failures = 0;
  #guard: { 4: boolean; 6: boolean } | null = null;
  readonly #flows: RulesAndFlows;
  #desired: Desired | null = null;
  #outcome: Outcome | null = null;
  /** A position that the running pass covers, although it came after its start. */
  #seen: m.Position | null = null;
  #lastLook = Number.NEGATIVE_INFINITY;
  /** As of the last long look. */
  #foreign: readonly ForeignRoute[] = [];
  readonly #planner = createPlanner();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#flows = new RulesAndFlows(options.kernel, options.host);
  }

  start(): void {
    this.#stopEvents = this.#options.kernel.events.start((what) => {
      if (what === 'rules') this.#options.kernel.rules.invalidate();
      this.trigger(settleMs);
    });
    this.trigger(0);
  }

  /** Lets a pass that runs end; starts no other. Leaves the kernel as it is. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelTimer();
    this.#stopEvents();
    await (this.#next ?? this.#running)?.catch(() => undefined);
  }

  get last(): Outcome | null {
    return this.#outcome;
  }

  /** A pass within `delayMs`; wishes that come meanwhile share it. */
  trigger(delayMs: number): void {
    if (this.#stopped) return;
    const due = this.#options.clock.monotonic() + delayMs;
    if (due >= this.#timerDue) return;
    this.#cancelTimer();
    this.#timerDue = due;
    this.#cancelTimer = this.#options.timers.after(delayMs, () => {
      this.#timerDue = Number.POSITIVE_INFINITY;
      this.reconcile().catch((error: unknown) => this.#options.log.error({ error }, 'reconcile loop'));
    });
  }

  /** Resolves with the outcome of a pass that begins after this call; null when nothing is known yet. */
  reconcile(): Promise<Outcome | null> {
    // Also in the moment after a pass, when the next one is promised and has not begun.
    if (this.#next !== null) return this.#next;
    if (this.#running === null) return (this.#running = this.#guarded());
    this.#next = this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = null;
        return (this.#running = this.#guarded());
      });
    return this.#next;
  }

  /** Nothing that concerns this host lies between the last pass and this position: what was applied is applied up to here. */
  advance(position: m.Position): void {
    if (this.#next !== null || this.#timerDue <= this.#options.clock.monotonic() + settleMs) return;
    if (this.#running !== null) this.#seen = position;
    else if (this.#outcome !== null) this.#outcome = { ...this.#outcome, position };
  }

  /** Every owned object, desired and actual, as of now. */
  async inspect(): Promise<readonly ObjectStatus[]> {
    const { kernel } = this.#options;
    const desired = this.#desired;
    if (desired === null) return [];
    const parts = await Promise.all([
      kernel.links.inspect(desired.links),
      kernel.routes.inspect(desired.routes),
      kernel.rules.inspect(buildRuleset(desired.rules)),
    ]);
    return parts.flat();
  }

  async #guarded(): Promise<Outcome | null> {
    const { log, resyncMs } = this.#options;
    let outcome: Outcome | null = null;
    try {
      outcome = this.#stopped ? null : await this.#pass();
    } finally {
      this.#running = null;
      const failed =
        outcome !== null &&
        (!outcome.applied || [...outcome.phases.values()].some(({ phase }) => phase === 'failed'));
      this.#failures = failed ? this.#failures + 1 : 0;
      const delay = failed ? Math.min(resyncMs, 500 * 2 ** Math.min(this.#failures, 10)) : resyncMs;
      this.#resyncIn(delay);
    }
    if (outcome !== null) {
      if (outcome.changes.length > 0)
        log.info({ writes: outcome.changes.length, ms: outcome.milliseconds }, 'kernel changed');
      this.#options.onPass(outcome);
    }
    return outcome;
  }

  #resyncIn(delayMs: number): void {
    if (this.#timerDue === Number.POSITIVE_INFINITY) this.trigger(delayMs);
  }

  async #pass(): Promise<Outcome | null> {
    const { kernel, clock, host, uplinks, endpointLinks, mtu, following, before } = this.#options;
    await before?.();
    const knowledge = this.#options.knowledge();
    if (knowledge === null) return null;
    const began = clock.monotonic();
    const longLook = began - this.#lastLook >= this.#options.resyncMs;
    if (longLook) {
      kernel.rules.invalidate();
      this.#lastLook = began;
    }
    this.#seen = null;
    const { view, endpoints } = knowledge;
    const position = view.position;
    const problems: m.Problem[] = [];
    const changes: Change[] = [];
    const failures = new Map<string, m.Problem>();
    const attempt = async (part: string, work: () => Promise<ApplyResult>): Promise<boolean> => {
      try {
        const result = await work();
        changes.push(...result.changes);
        for (const [object, error] of result.failures)
          failures.set(object, { code: error.code, message: error.message });
        return true;
      } catch (error) {
        const code = isRomanaError(error) ? error.code : 'internal';
        const message = error instanceof Error ? error.message : String(error);
        problems.push({ code, message: `${part}: ${message}` });
        this.#options.log.error({ error, part }, 'a driver failed; what stood in the kernel stands');
        return false;
      }
    };
    let desired: Desired | null = null;
    let applied = await attempt('facts', async () => {
      const facts = await kernel.facts.read();
      const forwarding = facts.forwarding;
      this.#guard ??= (await kernel.rules.guardsOthers()) ?? { 4: !forwarding[4], 6: !forwarding[6] };
      desired = computeDesired({
        host,
        objects: view.objects,
        endpoints,
        facts,
        uplinks,
        endpointLinks,
        mtu,
        guardOthers: this.#guard,
        planner: this.#planner,
        ...(following === undefined ? {} : { following }),
      });
      return { changes: [], failures: new Map() };
    });
    const wanted = desired as Desired | null;
    if (wanted !== null) {
      const rulesStand = await attempt('rules', () => this.#flows.apply(wanted, view));
      // Without rules no link may come up: an endpoint would be wired, but cut off or, worse, judged by old rules.
      const linksStand = rulesStand && (await attempt('links', () => kernel.links.apply(wanted.links)));
      const routesStand = await attempt('routes', () => kernel.routes.apply(wanted.routes));
      if (linksStand)
        await attempt('flows of removed endpoints', () => this.#flows.forgetRemoved(wanted, view));
      applied = rulesStand && linksStand && routesStand;
      if (longLook) await attempt('foreign routes', () => this.#lookForForeign(wanted));
      problems.push(...wanted.problems, ...foreignProblems(this.#foreign, failures));
    }
    const outcome: Outcome = {
      position: this.#seen ?? position,
      phases: phasesOf(endpoints, wanted, failures, applied),
      problems: [...problems, ...foreignFailures(failures, endpoints, wanted)],
      changes,
      applied,
      milliseconds: clock.monotonic() - began,
      fabric: fabricOf(wanted, failures),
    };
    if (wanted !== null) this.#desired = wanted;
    this.#outcome = outcome;
    return outcome;
  }

  async #lookForForeign({ routes }: Desired): Promise<ApplyResult> {
    this.#foreign = await this.#options.kernel.routes.foreign(routes);
    return { changes: [], failures: new Map() };
  }
}

function fabricOf(desired: Desired | null, failures: ReadonlyMap<string, unknown>): FabricOutcome {
  const unready = (desired?.routes ?? []).filter(
    (route) => route.kind === 'blackhole' && failures.has(routeText(route)),
  );
  if (desired === null) return noFabric;
  return { bgp: desired.bgp, unready: unready.map(({ cidr }) => cidr), watched: desired.watched };
}

function phasesOf(
  endpoints: readonly WiredEndpoint[],
  desired: Desired | null,
  failures: ReadonlyMap<string, m.Problem>,
  applied: boolean,
): Outcome['phases'] {
  const routesByLink = Map.groupBy(desired?.routes ?? [], (route) =>
    route.kind === 'link' ? route.link : '',
  );
  const links = new Map((desired?.links.links ?? []).map(({ endpoint, link }) => [endpoint, link]));
  return new Map(
    endpoints.map((endpoint) => {
      const link = links.get(endpoint.key);
      const routes = link === undefined ? [] : (routesByLink.get(link) ?? []);
      const unrouted = routes
        .map((route) => failures.get(routeText(route)))
        .find((failure) => failure !== undefined);
      const problem = desired?.refused.get(endpoint.key) ?? failures.get(endpoint.key) ?? unrouted ?? null;
      const phase =
        endpoint.attachment.kind === 'none' || !applied ? 'pending' : problem === null ? 'ready' : 'failed';
      return [endpoint.key, { uid: endpoint.uid, phase, problem }];
    }),
  );
}

/** Failures of objects that are no endpoint's (routes to other hosts): problems of the host. */
function foreignFailures(
  failures: ReadonlyMap<string, m.Problem>,
  endpoints: readonly WiredEndpoint[],
  desired: Desired | null,
): m.Problem[] {
  const routes = (desired?.routes ?? []).filter(({ kind }) => kind === 'link').map(routeText);
  const told = new Set([...endpoints.map(({ key }) => key), ...routes]);
  return [...failures].filter(([object]) => !told.has(object)).map(([, problem]) => problem);
}
