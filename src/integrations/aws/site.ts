/** One VPC: read, plan, write, remember. See README.md for what holds. */
import { formatCidr, parseCidr } from '#core/address/index.ts';
import type { Clock, Log } from '#core/ports.ts';
import type { RoutingHost } from '#core/routing/model.ts';
import {
  changesOf,
  planVpc,
  type VpcChange,
  type VpcInstance,
  type VpcPlan,
  type VpcSite,
  type VpcState,
  type VpcTable,
} from '#core/routing/vpc/index.ts';
import type { Store } from '#store/port.ts';
import { type CloudApi, CloudFailure, type CloudTable } from './api.ts';
import { type Applied, applyChanges } from './apply.ts';
import { matchInstances } from './instances.ts';
import { type Lease, LeaseLost } from './lease.ts';
import { lesser, permissionOf, problemOf, type SiteProblem } from './problems.ts';
import { type Recorded, readRecord, writeRecord } from './record.ts';

export interface SiteWorld {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly lease: Lease;
}
/** What the control plane knows besides the topology. */
export interface SiteView {
  readonly site: VpcSite;
  /** Instance that the label of a host names. */
  readonly labels: ReadonlyMap<string, string>;
  readonly silent: ReadonlySet<string>;
}
export interface Look {
  readonly at: number;
  readonly state: VpcState;
  readonly plan: VpcPlan;
  readonly changes: ReadonlyMap<string, readonly VpcChange[]>;
  /** Hosts whose interface does not forward yet. */
  readonly checks: readonly { readonly host: string; readonly instance: VpcInstance }[];
  readonly problems: readonly SiteProblem[];
}
export interface SiteStatus {
  readonly look: Look | null;
  readonly settledAt: number | null;
  readonly drift: ReadonlyMap<string, number> | null;
  readonly problems: readonly SiteProblem[];
  readonly lastError: { readonly at: number; readonly failure: CloudFailure } | null;
  readonly written: { readonly created: number; readonly replaced: number; readonly deleted: number };
}

/** How long an own write counts more than what is read. */
const believeMs = 30_000;
/** Answers without an instance that was there, before it counts as gone. */
const missingLooks = 3;
const quotaEveryMs = 60 * 60_000;
/** Problems with which some range has no route. A host without an instance holds up nobody else. */
const unrouted: ReadonlySet<string> = new Set(['budget_too_small', 'route_in_the_way', 'table_missing']);
const fullForMs = 10 * 60_000;

export class VpcRunner {
  readonly key: string;
  readonly #world: SiteWorld;
  readonly #api: CloudApi;
  /** By table and destination; a null target: deleted. */
  readonly #wrote = new Map<string, Map<string, { target: string | null; until: number }>>();
  readonly #instances = new Map<string, { instance: VpcInstance; missing: number }>();
  readonly #full = new Map<string, { most: number; until: number }>();
  #quota: { value: number | null; problem: SiteProblem | null; until: number } | undefined;
  #status: SiteStatus = {
    look: null,
    settledAt: null,
    drift: null,
    problems: [],
    lastError: null,
    written: { created: 0, replaced: 0, deleted: 0 },
  };

  constructor(key: string, api: CloudApi, world: SiteWorld) {
    this.key = key;
    this.#api = api;
    this.#world = world;
  }

  get status(): SiteStatus {
    return this.#status;
  }

  /** The newest answers have every route that was planned: nothing is outstanding, and nothing was left out. */
  get complete(): boolean {
    const { look, drift } = this.#status;
    if (look === null || drift === null) return false;
    const believed = [...this.#wrote.values()].some((wrote) => wrote.size > 0);
    const left = [...look.changes.values()].some((changes) => changes.length > 0);
    return !believed && !left && !look.plan.problems.some(({ code }) => unrouted.has(code));
  }

  /** Answers whether something was written, which is to be looked at again soon. Throws a general failure. */
  async round(view: SiteView): Promise<boolean> {
    try {
      return await this.#round(view);
    } catch (error) {
      if (error instanceof CloudFailure) {
        this.#failed(error);
        const problem = problemOf(error, 'the route tables stay as they are', permissionOf(error.action));
        this.#status = { ...this.#status, problems: [problem] };
      }
      throw error;
    }
  }

  close(): void {
    this.#api.close();
  }

  async #round(view: SiteView): Promise<boolean> {
    const look = await this.look(view, true);
    const problems: SiteProblem[] = [...look.problems];
    const drift = new Map([...look.changes].map(([table, changes]) => [table, changes.length]));
    this.#status = { ...this.#status, look, drift, problems };
    const opened = await this.#openChecks(look, problems);
    const changed = await this.#write(look, problems, drift);
    const left = [...drift.values()].reduce((sum, count) => sum + count, 0);
    const { settledAt } = this.#status;
    this.#status = { ...this.#status, drift, problems, settledAt: left === 0 ? look.at : settledAt };
    return changed || opened;
  }

  /** Reads and plans; writes nothing. `counts`: an instance that is missing now is missing once more. */
  async look({ site, labels, silent }: SiteView, counts = false): Promise<Look> {
    const problems: SiteProblem[] = [];
    const [tables, found, impaired, quota] = await Promise.all([
      this.#api.tables(site.vpc),
      this.#api.instances(site.vpc),
      this.#api.impaired().catch((error: unknown) => {
        problems.push(lesser(error, 'the status checks of instances are not seen'));
        return new Set<string>();
      }),
      this.#readQuota(),
    ]);
    if (quota.problem !== null) problems.push(quota.problem);
    const hosts = [
      ...new Map(site.links.flatMap((link) => link.hosts.map((one) => [one.name, one]))).values(),
    ];
    const instances = this.#steady(hosts, matchInstances(hosts, labels, found, impaired), counts);
    const state: VpcState = { quota: quota.value, tables: this.#tables(site, tables), instances, silent };
    const plan = planVpc(site, { ...state, quota: this.#bounded(state) });
    const changes = new Map(
      plan.tables.flatMap((planned) => {
        const table = state.tables.find(({ id }) => id === planned.table);
        return table === undefined ? [] : [[planned.table, changesOf(table, planned)]];
      }),
    );
    const checks = [...instances]
      .filter(([, { forwards, state: run }]) => !forwards && run !== 'terminated')
      .map(([host, instance]) => ({ host, instance }))
      .sort((a, b) => (a.host < b.host ? -1 : 1));
    problems.push(...plan.problems);
    return { at: this.#world.clock.now(), state, plan, changes, checks, problems };
  }

  async #readQuota(): Promise<{ value: number | null; problem: SiteProblem | null }> {
    const now = this.#world.clock.monotonic();
    if (this.#quota !== undefined && now < this.#quota.until) return this.#quota;
    try {
      const value = await this.#api.quota();
      this.#quota = { value, problem: null, until: now + quotaEveryMs };
    } catch (error) {
      const problem = lesser(error, 'the quota of routes per table is not known, and 50 is assumed');
      this.#quota = { value: this.#quota?.value ?? null, problem, until: now + quotaEveryMs / 12 };
    }
    return this.#quota;
  }

  /** A table that refused another route has no room for more than it had, whatever the quota says. */
  #bounded({ quota }: VpcState): number | null {
    const now = this.#world.clock.monotonic();
    const limits = [...this.#full.values()].flatMap(({ most, until }) => (now < until ? [most] : []));
    return limits.length === 0 ? quota : Math.min(quota ?? Infinity, ...limits);
  }

  #tables({ routeTables }: VpcSite, found: readonly CloudTable[]): VpcTable[] {
    const record = readRecord(this.#world.store, this.key);
    return found
      .filter(({ id }) => routeTables.length === 0 || routeTables.includes(id))
      .map((table) => ({
        id: table.id,
        subnets: table.subnets,
        main: table.main,
        routes: this.#believed(table),
        recorded: record.get(table.id) ?? new Set<string>(),
      }));
  }

  #believed({ id, routes }: CloudTable): CloudTable['routes'] {
    const wrote = this.#wrote.get(id);
    if (wrote === undefined) return routes;
    const now = this.#world.clock.monotonic();
    const seen = new Map(
      routes.map((route) => [route.cidr === null ? '' : formatCidr(route.cidr), route.target]),
    );
    for (const [text, { target, until }] of wrote)
      if (now >= until || (seen.get(text) ?? null) === target) wrote.delete(text);
    const own = [...wrote].flatMap(([text, { target }]) => (target === null ? [] : [{ text, target }]));
    return [
      ...routes.filter(({ cidr }) => cidr === null || !wrote.has(formatCidr(cidr))),
      ...own.map(({ text, target }) => ({ cidr: parseCidr(text), target, counted: true })),
    ];
  }

  /** An instance that one answer does not have may be in the next. */
  #steady(
    hosts: readonly RoutingHost[],
    found: ReadonlyMap<string, VpcInstance>,
    counts: boolean,
  ): Map<string, VpcInstance> {
    const names = new Set(hosts.map(({ name }) => name));
    if (counts) {
      for (const [host, known] of this.#instances) {
        if (!found.has(host)) known.missing += 1;
        if (known.missing >= missingLooks || !names.has(host)) this.#instances.delete(host);
      }
      for (const [host, instance] of found) this.#instances.set(host, { instance, missing: 0 });
    }
    const remembered = [...this.#instances].filter(([host]) => names.has(host));
    return new Map([...remembered.map(([host, { instance }]) => [host, instance] as const), ...found]);
  }

  async #openChecks({ checks }: Look, problems: SiteProblem[]): Promise<boolean> {
    let opened = false;
    for (const { host, instance } of checks) {
      if (!this.#world.lease.held) return opened;
      try {
        await this.#api.letForward(instance.interface);
        opened = true;
      } catch (error) {
        if (!(error instanceof CloudFailure) || error.general) throw error;
        this.#failed(error);
        problems.push(
          problemOf(
            error,
            `the source/destination check of ${instance.interface} (host ${host}) stays on`,
            host,
          ),
        );
        if (error.kind === 'denied') return opened;
      }
    }
    return opened;
  }

  async #write(look: Look, problems: SiteProblem[], drift: Map<string, number>): Promise<boolean> {
    const { store, lease } = this.#world;
    const before = readRecord(store, this.key);
    const record = new Map([...before].map(([table, cidrs]) => [table, new Set(cidrs)]));
    for (const { table, routes, stale } of look.plan.tables) {
      const wanted = [...routes, ...stale].flatMap(({ cidr }) => (cidr === null ? [] : [formatCidr(cidr)]));
      record.set(table, new Set(wanted));
    }
    if (!lease.held) return false;
    let changed = false;
    try {
      await writeRecord(store, lease, this.key, record);
      for (const { id } of look.state.tables) {
        const changes = look.changes.get(id) ?? [];
        if (changes.length === 0) continue;
        changed = true;
        const applied = await this.#apply(
          id,
          changes,
          before.get(id) ?? new Set(),
          record.get(id) ?? new Set(),
        );
        drift.set(id, changes.length - applied.done.length);
        this.#tell(id, applied, look, problems);
      }
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
      this.#world.log.warn({ vpc: this.key }, 'another server keeps the route tables now');
      return false;
    } finally {
      if (changed && lease.held) await this.#forget(record);
    }
    return changed;
  }

  /** A lease that is lost meanwhile leaves the record to whoever has it. */
  async #forget(record: Recorded): Promise<void> {
    try {
      await writeRecord(this.#world.store, this.#world.lease, this.key, record);
    } catch (error) {
      if (!(error instanceof LeaseLost)) throw error;
    }
  }

  async #apply(
    table: string,
    changes: readonly VpcChange[],
    recorded: ReadonlySet<string>,
    record: Set<string>,
  ): Promise<Applied> {
    const { lease, clock, log } = this.#world;
    const wrote = this.#wrote.get(table) ?? new Map<string, { target: string | null; until: number }>();
    this.#wrote.set(table, wrote);
    const options = { api: this.#api, table, changes, recorded, mayWrite: () => lease.held };
    const applied = await applyChanges(options, (change) => {
      const text = formatCidr(change.cidr);
      const target = change.action === 'delete' ? null : change.to;
      wrote.set(text, { target, until: clock.monotonic() + believeMs });
      if (change.action === 'delete') record.delete(text);
      this.#count(change.action);
      log.info({ table, cidr: text, target, action: change.action }, 'route of a VPC changed');
    });
    for (const text of applied.foreign) record.delete(text);
    return applied;
  }

  #count(action: VpcChange['action']): void {
    const { created, replaced, deleted } = this.#status.written;
    this.#status = {
      ...this.#status,
      written: {
        created: created + (action === 'create' ? 1 : 0),
        replaced: replaced + (action === 'replace' ? 1 : 0),
        deleted: deleted + (action === 'delete' ? 1 : 0),
      },
    };
  }

  #tell(
    table: string,
    { done, failures, foreign, full }: Applied,
    look: Look,
    problems: SiteProblem[],
  ): void {
    for (const { change, failure } of failures) {
      this.#failed(failure);
      problems.push(
        problemOf(failure, `${table} does not get its route for ${formatCidr(change.cidr)}`, table),
      );
    }
    for (const text of foreign) {
      const message = `Somebody else has just made a route for ${text} in ${table}; it stays.`;
      problems.push({ code: 'route_in_the_way', message, about: table });
    }
    const now = this.#world.clock.monotonic();
    for (const family of full) {
      const present = look.state.tables.find(({ id }) => id === table)?.routes ?? [];
      const before = present.filter(
        (one) => one.counted && (one.cidr?.address.family ?? 4) === family,
      ).length;
      const steps = done.filter(({ cidr }) => cidr.address.family === family);
      const added = steps.filter(({ action }) => action === 'create').length;
      const removed = steps.filter(({ action }) => action === 'delete').length;
      this.#full.set(`${table} ${family}`, {
        most: Math.max(1, before + added - removed),
        until: now + fullForMs,
      });
    }
  }

  #failed(failure: CloudFailure): void {
    this.#status = { ...this.#status, lastError: { at: this.#world.clock.now(), failure } };
  }
}
