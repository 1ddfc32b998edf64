/** The loop over all VPCs that topologies state, and the answers about them. */

import { routingInput } from '#contract/routing.ts';
import type { VpcPlan, VpcStatus } from '#contract/vpc.ts';
import type { Address } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';
import { type VpcSite, vpcSites } from '#core/routing/vpc/index.ts';
import type { VpcControl, VpcLead, VpcParts } from '#server/vpc.ts';
import { leadOf, planAnswer, statusAnswer } from './answers.ts';
import { type CloudApi, CloudFailure } from './api.ts';
import { instanceLabel } from './instances.ts';
import { Lease } from './lease.ts';
import { permissionOf, problemOf, wordsOf } from './problems.ts';
import { CallCounts, type Patience, patience, type RetryWorld } from './retry.ts';
import { openSdk, type SdkPlace } from './sdk.ts';
import { type SiteView, VpcRunner } from './site.ts';

export interface VpcTerms {
  /** Between two looks when nothing happens. */
  readonly everyMs: number;
  /** A host that has not reported for so long is silent: the control plane's half of the judgement that a router is dead. */
  readonly silentAfterMs: number;
  /** After what was written, until it is looked at. */
  readonly settleMs: number;
  readonly leaseMs: number;
  readonly patience: Patience;
  readonly open: (place: SdkPlace, retry: RetryWorld) => Promise<CloudApi>;
}
const defaults: VpcTerms = {
  everyMs: 10_000,
  silentAfterMs: 30_000,
  settleMs: 2_000,
  leaseMs: 60_000,
  patience,
  open: openSdk,
};
const longestMs = 120_000;
/** Changes of many objects at once are one. */
const gatherMs = 500;

interface Known {
  /** Revision whose routes were found in the tables. */
  confirmed: number;
  readonly runner: VpcRunner;
  readonly place: SdkPlace;
  readonly counts: CallCounts;
  readonly lease: Lease;
}
interface Stated extends SiteView {
  readonly key: string;
  /** Newest change of the control plane that may move a route. */
  readonly revision: number;
}

export function createVpcControl(parts: VpcParts, terms: Partial<VpcTerms> = {}): VpcControl & Rounds {
  return new Control(parts, { ...defaults, ...terms });
}
/** For tests: a round when they want it. */
export interface Rounds {
  round(): Promise<void>;
}

const routedKinds: ReadonlySet<string> = new Set(['host', 'network', 'topology']);

class Control implements VpcControl {
  readonly #parts: VpcParts;
  readonly #terms: VpcTerms;
  readonly #begun: number;
  readonly #holder: string;
  readonly #known = new Map<string, Known>();
  readonly #unwatch: Cancel;
  #stated:
    | { readonly revision: number; readonly sites: readonly VpcSite[]; readonly labels: SiteView['labels'] }
    | undefined;
  #cancel: Cancel = () => undefined;
  #running: Promise<void> | undefined;
  #again = false;
  #started = false;
  #stopped = false;
  #failures = 0;
  #seen: number;
  /** Revision of the newest change that may move a route. Endpoints come and go without one. */
  #routing: number;

  constructor(parts: VpcParts, terms: VpcTerms) {
    this.#parts = parts;
    this.#terms = terms;
    this.#begun = parts.clock.monotonic();
    this.#holder = parts.holder ?? parts.random.uuid();
    this.#seen = parts.store.position().revision;
    this.#routing = this.#seen;
    this.#unwatch = parts.store.onCommit((revision) => this.#committed(revision));
  }

  start(): void {
    this.#started = true;
    this.#schedule(0);
  }

  /** What is being asked is not waited for; its outcome is found by the next server. */
  async stop(): Promise<void> {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#cancel();
    this.#unwatch();
    for (const { runner, lease } of this.#known.values()) {
      lease.suspend();
      runner.close();
    }
    await this.#running;
    for (const { lease } of this.#known.values()) await lease.release();
  }

  #committed(revision: number): void {
    const changes = this.#parts.store.changesSince(this.#seen, 1000);
    this.#seen = revision;
    if (
      changes !== 'compacted' &&
      changes.length < 1000 &&
      !changes.some(({ kind }) => routedKinds.has(kind))
    )
      return;
    this.#routing = revision;
    if (this.#running === undefined) this.#schedule(gatherMs);
    else this.#again = true;
  }

  #schedule(ms: number): void {
    if (this.#stopped || !this.#started) return;
    this.#cancel();
    this.#cancel = this.#parts.timers.after(ms, () => {
      void this.round();
    });
  }

  /** One at a time; never rejects. */
  round(): Promise<void> {
    this.#running ??= this.#round()
      .catch((error: unknown) => {
        this.#failures += 1;
        this.#parts.log.error({ error }, 'the route tables of VPCs could not be looked after');
        return false;
      })
      .then((changed) => {
        this.#running = undefined;
        const { everyMs, settleMs } = this.#terms;
        const patient = Math.min(longestMs, everyMs * 2 ** Math.min(this.#failures, 10));
        const soon = this.#again ? gatherMs : changed && this.#failures === 0 ? settleMs : patient;
        this.#again = false;
        this.#schedule(Math.min(soon, patient));
      });
    return this.#running;
  }

  async #round(): Promise<boolean> {
    const stated = this.#sites();
    const keys = new Set(stated.map(({ key }) => key));
    for (const [key, { runner, lease }] of this.#known) {
      if (keys.has(key)) continue;
      this.#known.delete(key);
      await lease.release();
      runner.close();
    }
    let changed = false;
    let failed = false;
    for (const view of stated) {
      if (this.#stopped) break;
      try {
        const known = await this.#runner(view);
        if (!(await known.lease.renew())) continue;
        const wrote = await known.runner.round(view);
        changed ||= wrote;
        await this.#confirm(known, view);
      } catch (error) {
        // one VPC that fails holds up no other
        failed = true;
        if (error instanceof CloudFailure) {
          const { action, code } = error;
          const words = wordsOf(error);
          this.#parts.log.warn({ vpc: view.key, action, code, words }, 'AWS cannot be asked now');
        } else
          this.#parts.log.error(
            { error, vpc: view.key },
            'the route tables of a VPC could not be looked after',
          );
      }
    }
    this.#failures = failed ? this.#failures + 1 : 0;
    return changed;
  }

  /** Ranges that waited for the tables can be used: once for each change, and only for what was read back as planned. */
  async #confirm(known: Known, { site, revision }: Stated): Promise<void> {
    const { routed, log } = this.#parts;
    if (routed === undefined || known.confirmed >= revision || !known.runner.complete) return;
    try {
      await routed(site.vpc, revision);
      known.confirmed = revision;
    } catch (error) {
      log.warn({ error, vpc: site.vpc }, 'the routes of a VPC could not be confirmed');
    }
  }

  #sites(): Stated[] {
    const { store } = this.#parts;
    const [silent, stated] = store.read((tx) => {
      const hosts = tx.list('host').map(({ value }) => value);
      if (this.#stated?.revision !== this.#routing) {
        const networks = tx.list('network').map(({ value }) => value);
        const sites = vpcSites(routingInput({ topology: tx.get('topology', ''), networks, hosts }));
        const labels = new Map(
          hosts.flatMap((host): [string, string][] => {
            const id = host.labels[instanceLabel];
            return id === undefined ? [] : [[host.name, id]];
          }),
        );
        this.#stated = { revision: this.#routing, sites, labels };
      }
      return [this.#silent(hosts), this.#stated] as const;
    });
    return stated.sites.map((site) => ({
      key: `${site.region}/${site.vpc}`,
      revision: stated.revision,
      site,
      labels: stated.labels,
      silent,
    }));
  }

  #silent(hosts: readonly { name: string; uid: string; joined: boolean }[]): ReadonlySet<string> {
    const { clock, heard } = this.#parts;
    const { silentAfterMs } = this.#terms;
    const now = clock.monotonic();
    const young = now - this.#begun < silentAfterMs;
    return new Set(
      hosts.flatMap((host) => {
        const at = heard(host)?.at;
        // a server that has just started has heard nobody: only hosts without an agent are known to be silent
        const quiet = at === undefined ? !host.joined || !young : now - at >= silentAfterMs;
        return quiet ? [host.name] : [];
      }),
    );
  }

  async #runner({ key, site: { region, endpoint } }: Stated): Promise<Known> {
    const before = this.#known.get(key);
    if (before?.place.endpoint === endpoint) return before;
    before?.runner.close();
    const { store, clock, timers, random, log } = this.#parts;
    const place = { region, endpoint };
    const counts = before?.counts ?? new CallCounts();
    const lease =
      before?.lease ??
      new Lease({ store, clock, name: `vpc/${key}`, holder: this.#holder, lastsMs: this.#terms.leaseMs });
    const stopped = (): boolean => this.#stopped;
    const retry = { timers, random, patience: this.#terms.patience, counts, stopped };
    const runner = new VpcRunner(key, await this.#terms.open(place, retry), { store, clock, log, lease });
    const known = { confirmed: before?.confirmed ?? -1, runner, place, counts, lease };
    this.#known.set(key, known);
    return known;
  }

  async plan(): Promise<VpcPlan> {
    // a round that runs changes what is looked at
    await this.#running;
    const items: VpcPlan['items'] = [];
    for (const view of this.#sites()) {
      try {
        const { runner } = await this.#runner(view);
        items.push(planAnswer(view.site, await runner.look(view)));
      } catch (error) {
        if (!(error instanceof CloudFailure)) throw error;
        const problem = problemOf(
          error,
          `the route tables of ${view.site.vpc} cannot be planned now`,
          permissionOf(error.action),
        );
        throw new RomanaError('unavailable', problem.message, { cause: error });
      }
    }
    return { items };
  }

  lead(host: string, destination: Address): VpcLead | undefined {
    for (const { key, site } of this.#sites()) {
      const look = this.#known.get(key)?.runner.status.look;
      if (
        look !== undefined &&
        look !== null &&
        site.links.some(({ hosts }) => hosts.some(({ name }) => name === host))
      )
        return leadOf(look, host, destination);
    }
    return undefined;
  }

  status(): VpcStatus {
    return {
      items: this.#sites().map(({ key, site }) => {
        const known = this.#known.get(key);
        return statusAnswer(
          site,
          known?.runner.status,
          known?.lease.held ?? false,
          known?.counts ?? new CallCounts(),
        );
      }),
    };
  }
}
