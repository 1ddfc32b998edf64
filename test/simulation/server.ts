/** The control plane of the simulation: real services and watch hub over a real store in a folder of its own. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { HostReport, HostReportAnswer } from '#contract/model.ts';
import { operations } from '#contract/operations.ts';
import { RomanaError } from '#core/errors.ts';
import type { Caller } from '#server/caller.ts';
import { FabricReports } from '#server/services/fabric-reports.ts';
import { createServices, type Services } from '#server/services/index.ts';
import { silentLog } from '#server/testing.ts';
import { WatchHub } from '#server/watch/hub.ts';
import { WithdrawalLoop } from '#server/withdrawal.ts';
import type { Store } from '#store/port.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';
import type { Seeded, Simulator } from './simulator.ts';

interface Running {
  readonly store: Store;
  readonly services: Services;
  readonly hub: WatchHub;
  readonly withdrawal: WithdrawalLoop;
}

export class SimServer {
  readonly skew = { ms: 0 };
  /** After every commit with a change. */
  onCommit: () => void = () => undefined;
  readonly #sim: Simulator;
  readonly #random: Seeded;
  readonly #folder: string;
  #running: Running | null = null;

  constructor(sim: Simulator, random: Seeded) {
    this.#sim = sim;
    this.#random = random;
    // In memory where there is such a place: what the disk does is not the matter here.
    this.#folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'romana-simulation-'));
  }

  start(): void {
    const clock = this.#sim.clock(this.skew);
    // Few changes are kept, so that agents that were away long get a snapshot.
    const store = this.#held(
      openSqliteStore({ path: join(this.#folder, 'store.db'), clock, keepChanges: 300 }),
    );
    store.onCommit(() => {
      if (this.#running?.store === store) this.onCommit();
    });
    const fabric = new FabricReports();
    const services = createServices({
      store,
      clock,
      timers: this.#sim,
      random: this.#random,
      log: silentLog,
      version: 'simulation',
      fabric,
    });
    const timers = this.#sim;
    const withdrawal = new WithdrawalLoop({ store, clock, timers, log: silentLog, reports: fabric });
    withdrawal.start();
    this.#running = { store, services, hub: new WatchHub({ store, clock, timers }), withdrawal };
  }

  stop(): void {
    this.#running?.withdrawal.stop();
    this.#running?.hub.close();
    this.#running?.store.close();
    this.#running = null;
  }

  dispose(): void {
    this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get hub(): WatchHub | null {
    return this.#running?.hub ?? null;
  }

  get up(): boolean {
    return this.#running !== null;
  }

  get store(): Store {
    return this.#demand().store;
  }

  get services(): Services {
    return this.#demand().services;
  }

  /** As the HTTP layer does: the body is text that is validated. */
  async report(host: string, text: string): Promise<HostReportAnswer> {
    const body = operations.hostReport.body.parse(JSON.parse(text) as HostReport);
    const caller: Caller = { kind: 'host', name: host, role: 'agent' };
    return this.services.hostReport(caller, { params: { name: host }, query: {}, body });
  }

  /** As authentication does when the agent gets its certificate. */
  async join(host: string): Promise<void> {
    await this.store.transaction('simulation', (tx) => {
      const found = tx.get('host', host);
      if (found !== undefined) tx.put('host', host, { ...found, joined: true });
    });
  }

  #demand(): Running {
    if (this.#running === null) throw new RomanaError('unavailable', 'The server is down.');
    return this.#running;
  }

  #held(store: Store): Store {
    return {
      transaction: (actor, work) => this.#sim.hold(store.transaction(actor, work)),
      read: (work) => store.read(work),
      position: () => store.position(),
      changesSince: (revision, limit) => store.changesSince(revision, limit),
      onCommit: (listener) => store.onCommit(listener),
      close: () => store.close(),
    };
  }
}
