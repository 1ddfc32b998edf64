/** One random thing at a time: what people want, and what goes wrong. */

import { policyNetworks } from '#agent/desired.ts';
import type * as m from '#contract/model.ts';
import { parseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { isLaidOut } from './check.ts';
import type { SimHost } from './host.ts';
import { type Known, type Orchestrator, routed } from './orchestrator.ts';
import type { Seeded } from './simulator.ts';
import { letsIn, letsOut } from './table.ts';
import type { World } from './world.ts';

const isolations: readonly m.Tenant['isolation'][] = ['segment', 'tenant', 'open'];

export class Chaos {
  readonly #world: World;
  readonly #people: Orchestrator;
  readonly #random: Seeded;
  readonly #most: number;
  readonly #actions: readonly (readonly [weight: number, name: string, act: () => void])[];
  readonly #weight: number;
  #names = 0;

  /** `most` is how many hosts there may be. */
  constructor(world: World, people: Orchestrator, most: number) {
    this.#world = world;
    this.#people = people;
    this.#random = world.random.fork('chaos');
    this.#most = most;
    this.#actions = [
      [40, 'create endpoint', () => this.#createEndpoint()],
      [32, 'remove endpoint', () => this.#removeEndpoint()],
      [12, 'flow', () => this.#flow()],
      [1, 'create tenant', () => this.createTenant()],
      [2, 'create segment', () => this.createSegment()],
      [2, 'delete segment', () => this.#on([...people.segments], (key) => people.deleteSegment(key))],
      [1, 'delete tenant', () => this.#on([...people.tenants], (name) => people.deleteTenant(name))],
      [2, 'isolation', () => this.#isolate()],
      [1, 'add host', () => this.#addHost()],
      [4, 'kill', () => this.#host()?.kill()],
      [2, 'kill at a write', () => this.#set('fuse', 1 + this.#random.below(6))],
      [2, 'kill at a disk write', () => this.#killAtDisk()],
      [1, 'stop', () => void this.#host()?.stop()],
      [1, 'reboot', () => this.#host()?.reboot()],
      [2, 'lose journal', () => this.#loseJournal()],
      [2, 'full disk', () => this.#fullDisk()],
      [3, 'partition', () => this.#partition()],
      [
        2,
        'break streams',
        () => this.#on([...world.hosts.keys()], (name) => world.network.breakStreams(name)),
      ],
      [1, 'restart server', () => this.#restartServer()],
      [4, 'drift', () => this.#drift()],
      [2, 'failing rules', () => this.#failRules()],
      [2, 'clock', () => this.#jump()],
      [1, 'weather', () => this.#weather()],
    ];
    this.#weight = this.#actions.reduce((sum, [weight]) => sum + weight, 0);
  }

  event(): void {
    for (const host of this.#world.hosts.values()) if (!host.alive && this.#random.chance(0.05)) host.start();
    let at = this.#random.below(this.#weight);
    const [, name, act] = this.#actions.find(([weight]) => (at -= weight) < 0)!;
    this.#world.sim.note(name);
    act();
  }

  /** Everything works again; what people asked for goes on. */
  calm(): void {
    const { network, server, hosts } = this.#world;
    Object.assign(network.weather, { lost: 0, answerLost: 0, repeated: 0, slow: 0 });
    if (!server.up) server.start();
    for (const host of hosts.values()) {
      network.heal(host.name);
      host.muted = false;
      host.fuse = Number.POSITIVE_INFINITY;
      host.rules.failNext = null;
      host.fs.space = Number.POSITIVE_INFINITY;
      host.fs.fuel = Number.POSITIVE_INFINITY;
      host.start();
    }
  }

  createTenant(): void {
    const name = `t${++this.#names}`;
    void this.#people.createTenant(name, this.#random.pick(isolations)!);
  }

  createSegment(): void {
    this.#on([...this.#people.tenants], (tenant) => this.#people.createSegment(tenant, `s${++this.#names}`));
  }

  #createEndpoint(): void {
    const host = this.#host();
    const segment = this.#random.pick([...this.#people.segments]);
    if (host === undefined || segment === undefined) return;
    const random = this.#random;
    const by = random.chance(0.6) ? 'agent' : 'server';
    void this.#people.createEndpoint({
      host,
      by,
      segment,
      // Few names: they are used again, also on other hosts.
      name: `${by}${random.below(40)}`,
      kind: random.pick(['none', 'veth-netns', 'veth-netns', 'veth-netns', 'existing-link'] as const)!,
      late: random.chance(0.05),
      ...(random.chance(0.1) ? { networks: ['six'] } : {}),
    });
  }

  #removeEndpoint(): void {
    this.#on(this.#live(), (known) => this.#people.removeEndpoint(known));
  }

  #isolate(): void {
    this.#on([...this.#people.tenants], (name) => this.#people.isolate(name, this.#random.pick(isolations)!));
  }

  #addHost(): void {
    if (this.#world.hosts.size < this.#most) void this.#people.addHost();
  }

  #set(field: 'fuse', value: number): void {
    const host = this.#host();
    if (host !== undefined) host[field] = value;
  }

  #killAtDisk(): void {
    const host = this.#host();
    if (host?.alive === true) host.fs.fuel = 1 + this.#random.below(400);
  }

  /** Only where the server knows everything: a lost journal loses what was never reported. */
  #loseJournal(): void {
    const { server } = this.#world;
    const host = this.#host();
    if (host === undefined || !server.up) return;
    const mine = [...this.#people.endpoints.values()].filter((known) => known.host === host);
    if (mine.some(({ phase }) => phase !== 'live')) return;
    const keys = mine.filter(({ by }) => by === 'agent').map(({ key }) => key);
    const recorded = server.store.read((tx) =>
      tx
        .list('endpoint', { host: host.name })
        .filter(({ value }) => value.allocator === 'agent')
        .map(({ key }) => key),
    );
    if (keys.toSorted().join(' ') === recorded.toSorted().join(' ')) host.loseJournal();
  }

  #fullDisk(): void {
    const host = this.#host();
    if (host === undefined) return;
    const { fs } = host;
    fs.space = this.#random.below(300);
    this.#later(100, 3_000, () => {
      fs.space = Number.POSITIVE_INFINITY;
      host.fs.space = Number.POSITIVE_INFINITY;
    });
  }

  #partition(): void {
    const { network } = this.#world;
    const host = this.#host();
    if (host === undefined) return;
    network.partition(host.name);
    this.#later(100, this.#random.chance(0.2) ? 60_000 : 5_000, () => network.heal(host.name));
  }

  #restartServer(): void {
    const { server, network } = this.#world;
    if (!server.up) return;
    if (this.#random.chance(0.5)) network.breakStreams();
    server.stop();
    this.#later(10, 3_000, () => {
      if (!server.up) server.start();
    });
  }

  /** A foreign program takes away what is ours, or takes links down; sometimes no event tells. */
  #drift(): void {
    const host = this.#host();
    if (host === undefined) return;
    const { kernel, rules } = host;
    host.disturbed = this.#world.sim.now;
    host.muted = this.#random.chance(0.3);
    const own = kernel.links().filter(({ name }) => /^(rom|tap)/.test(name));
    const link = this.#random.pick(own);
    switch (this.#random.below(4)) {
      case 0:
        rules.table = null;
        rules.cutFlows = [];
        kernel.tell('rules');
        break;
      case 1:
        for (const { cidr, protocol } of kernel.routes()) {
          if (protocol === '82' && this.#random.chance(0.7)) kernel.deleteRoute(cidr, protocol);
        }
        break;
      case 2:
        if (link !== undefined) kernel.setUp(link.name, false);
        break;
      default:
        if (link?.name.startsWith('rom') === true) kernel.deleteLink(link.name);
    }
    host.muted = false;
  }

  #failRules(): void {
    const host = this.#host();
    if (host !== undefined) host.rules.failNext = new RomanaError('kernel_refused', 'No space left.');
  }

  #jump(): void {
    const skew = this.#random.chance(0.2) ? this.#world.server.skew : this.#host()?.skew;
    if (skew !== undefined)
      skew.ms += Math.round(this.#random.between(-1, 1) * 10 ** this.#random.between(2, 9));
  }

  #weather(): void {
    const random = this.#random;
    const bad = random.chance(0.5);
    Object.assign(this.#world.network.weather, {
      lost: bad ? random.between(0, 0.2) : 0,
      answerLost: bad ? random.between(0, 0.2) : 0,
      repeated: bad ? random.between(0, 0.3) : 0,
      slow: bad ? random.between(0, 0.2) : 0,
    });
  }

  /** A flow comes to be where the kernel lets it. */
  #flow(): void {
    const live = this.#live();
    const one = this.#random.pick(live);
    const other = this.#random.pick(live);
    if (one === undefined || other === undefined || !this.#world.server.up) return;
    const { host } = one;
    const source = one.addresses.find((text) => routed(host, text));
    if (source === undefined) return;
    const family = parseAddress(source).family;
    const destination = other.addresses.find((text) => parseAddress(text).family === family);
    if (destination === undefined || (other.host === host && !routed(host, destination))) return;
    const networks = this.#world.server.store.read((tx) =>
      policyNetworks({
        ...emptyView,
        network: new Map(
          tx.list('network').flatMap(({ key, value }) => (isLaidOut(value) ? [[key, value] as const] : [])),
        ),
      }),
    );
    const packet = { source: parseAddress(source), destination: parseAddress(destination) };
    const { table } = host.rules;
    const passes =
      table === null ||
      (letsOut(table, networks, packet) && (other.host !== host || letsIn(table, networks, packet)));
    if (!passes) return;
    host.conntrack.table.push({
      protocol: 'tcp',
      source,
      destination,
      sourcePort: 1024 + this.#random.below(60_000),
      destinationPort: 80,
    });
  }

  #live(): Known[] {
    return [...this.#people.endpoints.values()].filter(({ phase }) => phase === 'live');
  }

  #host(): SimHost | undefined {
    return this.#random.pick([...this.#world.hosts.values()]);
  }

  #later(low: number, high: number, act: () => void): void {
    this.#world.sim.after(this.#random.between(low, high), act);
  }

  #on<T>(items: readonly T[], act: (item: T) => unknown): void {
    const item = this.#random.pick(items);
    if (item !== undefined) void act(item);
  }
}

const emptyView = {
  sharedpeer: new Map(),
  network: new Map<string, m.LaidOut>(),
  topology: new Map<string, m.Topology>(),
  host: new Map<string, m.Host>(),
  tenant: new Map<string, m.Tenant>(),
  segment: new Map<string, m.Segment>(),
  endpoint: new Map<string, m.Endpoint>(),
};
