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
import {
  type Address,
  containsAddress,
  formatAddress,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { PolicyModel } from '#core/policy/index.ts';
import type { Cancel, Clock, Log, Timers } from '#core/ports.ts';
import { type CutInput, forbiddenFlows } from './cut.ts';
import { computeDesired, type Desired, type WiredEndpoint } from './desired.ts';
import type { Conntrack } from './drivers/conntrack/conntrack.ts';
import { routeText } from './drivers/iproute2/route-plan.ts';
import type { RulesDriver } from './drivers/nftables/driver.ts';
import type {
  ApplyResult,
  Change,
  KernelEvents,
  KernelFacts,
  LinkDriver,
  ObjectStatus,
  RouteDriver,
} from './ports.ts';
import { buildRuleset } from './rules/build.ts';
import type { Flow } from './rules/ruleset.ts';
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
}

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
  #model: string | null = null;
  /** Null until the first pass: flows may be left of endpoints that were removed while no agent ran. */
  #wired: ReadonlyMap<string, Address> | null = null;
  #desired: Desired | null = null;
  #outcome: Outcome | null = null;
  /** A position that the running pass covers, although it came after its start. */
  #seen: m.Position | null = null;
  #lastLook = Number.NEGATIVE_INFINITY;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
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
    const { kernel, clock, host, uplinks, endpointLinks, mtu } = this.#options;
    const knowledge = this.#options.knowledge();
    if (knowledge === null) return null;
    const began = clock.monotonic();
    if (began - this.#lastLook >= this.#options.resyncMs) {
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
      });
      return { changes: [], failures: new Map() };
    });
    const wanted = desired as Desired | null;
    if (wanted !== null) {
      const rulesStand = await attempt('rules', () => this.#applyRules(wanted, view));
      // Without rules no link may come up: an endpoint would be wired, but cut off or, worse, judged by old rules.
      const linksStand = rulesStand && (await attempt('links', () => kernel.links.apply(wanted.links)));
      const routesStand = await attempt('routes', () => kernel.routes.apply(wanted.routes));
      if (linksStand) await attempt('flows of removed endpoints', () => this.#forgetRemoved(wanted, view));
      applied = rulesStand && linksStand && routesStand;
      problems.push(...wanted.problems);
    }
    const outcome: Outcome = {
      position: this.#seen ?? position,
      phases: phasesOf(endpoints, wanted, failures, applied),
      problems: [...problems, ...foreignFailures(failures, endpoints, wanted)],
      changes,
      applied,
      milliseconds: clock.monotonic() - began,
    };
    if (wanted !== null) this.#desired = wanted;
    this.#outcome = outcome;
    return outcome;
  }

  async #applyRules(desired: Desired, view: ViewState): Promise<ApplyResult> {
    const { rules, conntrack } = this.#options.kernel;
    const ruleset = buildRuleset(desired.rules);
    const model = modelText(desired.rules.model);
    const input = cutInput(desired, view, this.#options.host);
    const forbidden = (): Promise<Flow[]> => conntrack.flows().then((flows) => forbiddenFlows(input, flows));
    const changes: Change[] = [];
    if (model === this.#model) {
      const result = await rules.apply(ruleset);
      if (!result.changes.some(tightens)) return result;
      // Somebody had opened the table: what was established meanwhile must not go on.
      changes.push(...result.changes);
      this.#model = null;
    }
    const cut = await forbidden();
    const mend = (await rules.cuts()).filter(
      (flow) => forbiddenFlows(input, [flow, reverse(flow)]).length === 0,
    );
    changes.push(...(await rules.apply(ruleset, cut, mend)).changes);
    await conntrack.remove(cut);
    // Flows that were established between the listing and the transaction.
    const late = await forbidden();
    if (late.length > 0) changes.push(...(await rules.apply(ruleset, late)).changes);
    await conntrack.remove(late);
    this.#model = model;
    return { changes, failures: new Map() };
  }

  /** The next owner of an address must not inherit established flows. */
  async #forgetRemoved(desired: Desired, view: ViewState): Promise<ApplyResult> {
    const now = new Map(
      desired.rules.endpoints.flatMap(({ addresses }) =>
        addresses.map((address) => [formatAddress(address), address]),
      ),
    );
    const before = this.#wired ?? (await this.#tracked(view));
    const gone = [...before].filter(([text]) => !now.has(text)).map(([, address]) => address);
    if (gone.length > 0) await this.#options.kernel.conntrack.removeAddresses(gone);
    this.#wired = now;
    return { changes: [], failures: new Map() };
  }

  /** Addresses of this host that have flows. */
  async #tracked(view: ViewState): Promise<ReadonlyMap<string, Address>> {
    const own = (view.objects.host.get(this.#options.host)?.ids ?? []).map(({ cidr }) => parseCidr(cidr));
    const flows = await this.#options.kernel.conntrack.flows();
    const texts = new Set(flows.flatMap(({ source, destination }) => [source, destination]));
    return new Map(
      [...texts]
        .map((text) => [text, parseAddress(text)] as const)
        .filter(([, address]) => own.some((cidr) => containsAddress(cidr, address))),
    );
  }
}

/** A change that puts right what we did not make wrong. */
function tightens({ kind, action, object }: Change): boolean {
  if (kind === 'element')
    return object.startsWith('networks') || (action === 'remove' && !/^(endpoints|sources)/.test(object));
  return kind === 'table' || kind === 'chain';
}

function modelText(model: PolicyModel): string {
  return JSON.stringify(model);
}

function reverse(flow: Flow): Flow {
  return {
    protocol: flow.protocol,
    source: flow.destination,
    destination: flow.source,
    sourcePort: flow.destinationPort,
    destinationPort: flow.sourcePort,
  };
}

function cutInput(desired: Desired, view: ViewState, host: string): CutInput {
  return {
    model: desired.rules.model,
    endpoints: new Set(desired.rules.endpoints.flatMap(({ addresses }) => addresses.map(formatAddress))),
    own: new Set(view.objects.host.get(host)?.addresses ?? []),
    gateways: new Set([desired.links.gateway4, desired.links.gateway6].map(formatAddress)),
  };
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
