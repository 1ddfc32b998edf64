/**
 * One host: what survives an agent (kernel, rules, flows, disk), and the agent. Everything that the agent does to its host takes a
 * moment before and sometimes after the effect, so that it can die at each of these steps.
 */
import { Agent, type ControlPlane, type StateFiles } from '#agent/agent.ts';
import { FakeSpeaker } from '#agent/bgp/fake-speaker.ts';
import { computeDesired, type WiredEndpoint } from '#agent/desired.ts';
import { FakeConntrack } from '#agent/drivers/conntrack/fake.ts';
import {
  createFakeKernelFacts,
  createFakeLinkDriver,
  createFakeRouteDriver,
} from '#agent/drivers/iproute2/fake-drivers.ts';
import { FakeKernel } from '#agent/drivers/iproute2/fake-kernel.ts';
import type { RulesDriver } from '#agent/drivers/nftables/driver.ts';
import { FakeRules } from '#agent/drivers/nftables/fake.ts';
import { wiredFromView } from '#agent/endpoints.ts';
import { FakeFs, PowerFailure } from '#agent/journal/fake-fs.ts';
import type { JournalFile, JournalFs } from '#agent/journal/fs.ts';
import type { ApplyResult, Driver, HostFacts } from '#agent/ports.ts';
import type { Kernel } from '#agent/reconciler.ts';
import type { Speaker } from '#agent/speaker.ts';
import { wiredOf } from '#agent/testing.ts';
import { View } from '#agent/view.ts';
import { type Address, formatAddress, formatCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { PolicyModel } from '#core/policy/index.ts';
import type { Log, Timers } from '#core/ports.ts';
import { watch } from '#net/watch.ts';
import type { SimNetwork } from './network.ts';
import type { SimServer } from './server.ts';
import type { Seeded, Simulator } from './simulator.ts';

export const endpointLinks = ['rom*', 'tap*'];
/** The process was killed before this write. */
class Killed extends Error {}

export interface HostDeps {
  readonly sim: Simulator;
  readonly random: Seeded;
  readonly network: SimNetwork;
  readonly server: SimServer;
  /** Something that must never happen. */
  readonly anomaly: (what: string) => void;
  /** Whether the machine with this underlay address answers on the link of this host. */
  readonly answers: (host: SimHost, address: string) => boolean;
  /** After the rules were written: the model from which they came, in this agent's view. */
  readonly onRules: (host: SimHost, model: PolicyModel) => void;
}

interface Pass {
  /** Sometimes: what the rules are to say. */
  model: PolicyModel | null;
  tenants: ReadonlySet<string>;
}

interface Life {
  alive: boolean;
  readonly onDeath: (() => void)[];
}

export class SimHost {
  readonly name: string;
  readonly kernel = new FakeKernel();
  readonly rules = new FakeRules();
  readonly conntrack = new FakeConntrack();
  /** The BGP daemon, where the fabric wants one: it lives by itself. */
  readonly speaker = new FakeSpeaker();
  readonly files = new Map<string, string>();
  readonly skew = { ms: 0 };
  /** Writes to rules, routes and links since the start. */
  readonly writes = { rules: 0, routes: 0, links: 0 };
  fs = new FakeFs();
  /** Kernel events are lost while set. */
  muted = false;
  /** When a foreign program last took away something of ours. */
  disturbed = -1;
  /** Kernel writes before the agent dies. */
  fuse = Number.POSITIVE_INFINITY;
  agent: Agent | null = null;
  /** Uids of the tenants of whom the kernel was last told. */
  judged: ReadonlySet<string> = new Set();
  readonly #deps: HostDeps;
  readonly #random: Seeded;
  #life: Life | null = null;
  #mirror = new View();

  constructor(name: string, underlay: readonly string[], deps: HostDeps) {
    this.name = name;
    this.#deps = deps;
    this.#random = deps.random.fork(name);
    this.kernel.addLink('up0');
    this.kernel.setUp('up0', true);
    for (const address of underlay) this.kernel.addAddress('up0', address);
  }

  get alive(): boolean {
    return this.#life?.alive === true;
  }

  start(): void {
    if (this.alive) return;
    const life: Life = { alive: true, onDeath: [] };
    this.#life = life;
    // The dead one's lock died with it; what it had written is there.
    this.fs = this.fs.afterPowerFailure(1);
    this.#mirror = new View();
    const saved = this.files.get('view.json');
    if (saved !== undefined) this.#mirror.load(saved);
    const agent = new Agent({
      host: this.name,
      version: 'simulation',
      uplinks: [],
      endpointLinks,
      mtu: 0,
      resyncMs: 30_000,
      heartbeatMs: 15_000,
      kernel: this.#kernel(life),
      speaker: () => this.#speaker(life),
      peerProbe: { send: (addresses) => this.#effect(life, async () => this.#ask(addresses)) },
      controlPlane: this.#controlPlane(life),
      files: this.#stateFiles(life),
      journal: { dir: '/journal', fs: this.#journalFs(life) },
      clock: this.#deps.sim.clock(this.skew),
      timers: this.#timers(life),
      random: this.#random,
      log: this.#log(),
    });
    agent.start().then(
      () => {
        if (life.alive) this.agent = agent;
      },
      (error: unknown) => this.#deps.anomaly(`agent of ${this.name} does not start: ${String(error)}`),
    );
  }

  /** The process is gone at once; kernel and disk stay. */
  kill(): void {
    if (this.#life !== null) this.#die(this.#life);
  }

  /** In good order. */
  async stop(): Promise<void> {
    const { agent } = this;
    this.agent = null;
    await agent?.stop();
    this.kill();
  }

  /** The power fails: also what was not synced is gone, and everything of ours in the kernel. */
  reboot(): void {
    this.kill();
    this.fs = this.fs.afterPowerFailure(this.#random.fraction(), this.#random.chance(0.3));
    this.rules.table = null;
    this.judged = new Set();
    this.rules.cutFlows = [];
    this.conntrack.table = [];
    for (const { name } of this.kernel.links()) if (name.startsWith('rom')) this.kernel.deleteLink(name);
    for (const { cidr, protocol } of this.kernel.routes())
      if (protocol === '82') this.kernel.deleteRoute(cidr, protocol);
    this.kernel.forwarding[4] = false;
    this.kernel.forwarding[6] = false;
  }

  loseJournal(): void {
    this.kill();
    this.fs = new FakeFs();
  }

  /** What a local program gets: an answer, or the connection breaks when the agent dies. */
  call<T>(work: (agent: Agent) => Promise<T>): Promise<T> {
    const { agent } = this;
    const life = this.#life;
    if (agent === null || life === null || !life.alive) return Promise.reject(new Error('no agent'));
    return new Promise<T>((resolve, reject) => {
      life.onDeath.push(() => reject(new Error('the agent died')));
      work(agent).then(resolve, reject);
    });
  }

  #die(life: Life): void {
    if (!life.alive) return;
    life.alive = false;
    this.agent = null;
    this.fuse = Number.POSITIVE_INFINITY;
    this.#deps.sim.note(`${this.name} died`);
    for (const callback of life.onDeath) callback();
  }

  #ask(addresses: readonly Address[]): void {
    for (const text of addresses.map(formatAddress))
      this.kernel.setNeighbour(text, this.#deps.answers(this, text) ? 'reachable' : 'failed');
  }

  #timers(life: Life): Timers {
    const { sim } = this.#deps;
    return {
      after: (ms, fn) =>
        sim.after(ms, () => {
          if (life.alive) fn();
        }),
    };
  }

  #pause(life: Life): Promise<void> {
    return new Promise((resolve) => {
      this.#deps.sim.after(this.#random.between(0, 3), () => {
        if (life.alive) resolve();
      });
    });
  }

  /** An effect on the host: a dead agent has none, and hears of none. */
  async #effect<T>(life: Life, work: () => Promise<T>, slow = true): Promise<T> {
    const never = new Promise<T>(() => undefined);
    if (slow) await this.#pause(life);
    if (!life.alive) return never;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof Killed || error instanceof PowerFailure)) throw error;
      this.#die(life);
      return never;
    } finally {
      if (slow && this.#random.chance(0.3)) await this.#pause(life);
    }
  }

  #kernel(life: Life): Kernel {
    const options = {
      beforeWrite: () => {
        if (--this.fuse <= 0) throw new Killed();
      },
    };
    const facts = createFakeKernelFacts(this.kernel);
    const routes = createFakeRouteDriver(this.kernel, options);
    const pass: Pass = { model: null, tenants: new Set() };
    return {
      facts: {
        read: () =>
          this.#effect(
            life,
            async () => {
              // As the pass does, at once: what it wires is settled before the facts are there.
              const wired = this.#wiredNow();
              pass.tenants = this.#tenantsNow();
              const read = await facts.read();
              // The last thing before the agent computes what it wants: from here on its view may move on.
              pass.model = this.#random.chance(0.05) && wired !== null ? this.#modelNow(read, wired) : null;
              return read;
            },
            false,
          ),
        neighbours: () => this.#effect(life, () => facts.neighbours()),
      },
      rules: this.#rulesDriver(life, pass),
      links: this.#counted(life, 'links', createFakeLinkDriver(this.kernel, options)),
      routes: {
        ...this.#counted(life, 'routes', routes),
        foreign: (desired) => this.#effect(life, () => routes.foreign(desired)),
      },
      conntrack: {
        flows: () => this.#effect(life, () => this.conntrack.flows()),
        remove: (flows) => this.#effect(life, () => this.conntrack.remove(flows)),
        removeAddresses: (addresses) => this.#effect(life, () => this.conntrack.removeAddresses(addresses)),
      },
      events: {
        start: (onChange) => {
          const cancel = this.kernel.listen((what) => {
            if (life.alive && !this.muted) onChange(what);
          });
          life.onDeath.push(cancel);
          return cancel;
        },
      },
    };
  }

  #tenantsNow(): ReadonlySet<string> {
    return new Set([...(this.#mirror.state?.objects.tenant.values() ?? [])].map(({ uid }) => uid));
  }

  /** Whether the host may judge by this tenant, now or after a crash. */
  mayKnow(tenant: string): boolean {
    return this.judged.has(tenant) || this.files.get('view.json')?.includes(tenant) === true;
  }

  /** The endpoints that the agent wires; null while it does not say. */
  #wiredNow(): readonly WiredEndpoint[] | null {
    const { state } = this.#mirror;
    if (state === null || this.agent === null) return null;
    const served = wiredFromView(state.objects, this.name);
    const taken = new Set(
      served.flatMap(({ key, placed }) => [key, ...placed.map(({ address }) => formatAddress(address))]),
    );
    try {
      const local = this.agent.listEndpoints().map(wiredOf);
      return [
        ...served,
        ...local.filter(
          ({ key, placed }) =>
            !taken.has(key) && !placed.some(({ address }) => taken.has(formatAddress(address))),
        ),
      ];
    } catch {
      return null;
    }
  }

  #modelNow(facts: HostFacts, endpoints: readonly WiredEndpoint[]): PolicyModel | null {
    const { state } = this.#mirror;
    if (state === null) return null;
    return computeDesired({
      host: this.name,
      objects: state.objects,
      endpoints,
      facts,
      uplinks: [],
      endpointLinks,
      mtu: 0,
      guardOthers: { 4: false, 6: false },
    }).rules.model;
  }

  #rulesDriver(life: Life, pass: Readonly<Pass>): RulesDriver {
    const { rules } = this;
    return {
      apply: (desired, cut, mend) =>
        this.#effect(life, async () => {
          const result = await rules.apply(desired, cut, mend);
          this.judged = pass.tenants;
          this.#count('rules', result);
          if (result.changes.length > 0) this.kernel.tell('rules');
          if (pass.model !== null) this.#deps.onRules(this, pass.model);
          return result;
        }),
      inspect: (desired) => this.#effect(life, () => rules.inspect(desired)),
      invalidate: () => rules.invalidate(),
      cuts: () => this.#effect(life, () => rules.cuts()),
      guardsOthers: () => this.#effect(life, () => rules.guardsOthers()),
      counts: () => rules.counts(),
      counters: () => rules.counters(),
    };
  }

  /** Says so when a range is announced that the kernel does not hold, unless somebody has just taken it from there. */
  #speaker(life: Life): Speaker {
    const { speaker } = this;
    return {
      capabilities: speaker.capabilities,
      apply: (intent) =>
        this.#effect(life, async () => {
          const before = new Set(speaker.announced.map(formatCidr));
          const held = new Set(
            this.kernel
              .routes()
              .flatMap(({ cidr, type }) => (type === 'blackhole' ? [formatCidr(cidr)] : [])),
          );
          const result = await speaker.apply(intent);
          const early = intent.announce
            .map(formatCidr)
            .filter((text) => speaker.announced === intent.announce && !before.has(text) && !held.has(text));
          if (early.length > 0 && this.#deps.sim.now - this.disturbed > 1_000)
            this.#deps.anomaly(`${this.name} announces ${early.join()}, which its kernel does not drop`);
          return result;
        }),
      withdraw: () => this.#effect(life, () => speaker.withdraw()),
      status: () => this.#effect(life, () => speaker.status(), false),
    };
  }

  #counted<D>(life: Life, what: 'links' | 'routes', driver: Driver<D>): Driver<D> {
    return {
      apply: (desired) =>
        this.#effect(life, async () => {
          const result = await driver.apply(desired);
          this.#count(what, result);
          return result;
        }),
      inspect: (desired) => this.#effect(life, () => driver.inspect(desired)),
    };
  }

  #count(what: keyof SimHost['writes'], { changes }: ApplyResult): void {
    this.writes[what] += changes.length;
    if (changes.length === 0) return;
    this.#deps.sim.note(
      `${this.name} ${what} ${changes.map(({ action, object }) => `${action} ${object}`).join(', ')}`,
    );
  }

  #controlPlane(life: Life): ControlPlane {
    const { sim, network, server } = this.#deps;
    return {
      report: (report) => {
        const text = JSON.stringify(report);
        return this.#effect(
          life,
          () => network.request(this.name, () => server.report(this.name, text), true),
          false,
        );
      },
      follow: (since, onEvent, onDown) => {
        const cancel = watch({
          open: network.openStream(this.name, () => server.hub),
          since,
          onEvent: (event) => {
            this.#mirror.take(event);
            onEvent(event);
          },
          onDown,
          timers: this.#timers(life),
          random: this.#random,
          clock: sim.clock(this.skew),
          maxDelayMs: 5_000,
        });
        life.onDeath.push(cancel);
        return cancel;
      },
    };
  }

  #stateFiles(life: Life): StateFiles {
    return {
      read: (name) => this.#effect(life, () => Promise.resolve(this.files.get(name) ?? null)),
      write: (name, text) =>
        this.#effect(life, () => {
          this.files.set(name, text);
          return Promise.resolve();
        }),
    };
  }

  #journalFs(life: Life): JournalFs {
    const { fs } = this;
    const quick = <T>(work: () => Promise<T>): Promise<T> => this.#effect(life, work, false);
    const wrap = (file: JournalFile): JournalFile => ({
      write: (bytes, position) => quick(() => file.write(bytes, position)),
      datasync: () => this.#effect(life, () => file.datasync()),
      truncate: (length) => quick(() => file.truncate(length)),
      close: () => quick(() => file.close()),
    });
    return {
      makeDir: () => quick(() => fs.makeDir()),
      lock: (dir) => quick(() => fs.lock(dir)),
      read: (path) => quick(() => fs.read(path)),
      open: (path, create) => quick(async () => wrap(await fs.open(path, create))),
      rename: (from, to) => this.#effect(life, () => fs.rename(from, to)),
      remove: (path) => quick(() => fs.remove(path)),
      syncDir: () => this.#effect(life, () => fs.syncDir()),
    };
  }

  #log(): Log {
    return {
      debug: () => undefined,
      info: () => undefined,
      warn: () => undefined,
      error: (fields, message) => {
        const error = fields['error'];
        if (!isRomanaError(error)) this.#deps.anomaly(`${this.name}: ${message}: ${String(error)}`);
      },
    };
  }
}
