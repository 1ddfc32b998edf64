/** The cluster: one control plane, hosts, the network between them, and what was seen to go wrong that never may. */
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { judgeEgress, judgeIngress, type PolicyModel } from '#core/policy/index.ts';
import { SimHost } from './host.ts';
import { SimNetwork } from './network.ts';
import { SimServer } from './server.ts';
import { Seeded, Simulator } from './simulator.ts';
import { letsIn, letsOut } from './table.ts';

/** Pairs asked after a pass that is checked. */
const pairsAsked = 20;

export class World {
  readonly sim = new Simulator();
  readonly random: Seeded;
  readonly network: SimNetwork;
  readonly server: SimServer;
  readonly hosts = new Map<string, SimHost>();
  /** Hosts that answer nobody on their link. */
  readonly mute = new Set<string>();
  /** What must never be, seen while it ran. */
  readonly anomalies: string[] = [];
  /** Pairs of addresses that were asked of a rules table. */
  asked = 0;
  /** Addresses to ask about: those given out so far. */
  readonly addresses = new Set<string>();
  /** Tenant ids that had another owner before. */
  reused = 0;
  readonly #asking: Seeded;
  /** Network and tenant id → uid of the tenant that had it last. */
  readonly #lastOwners = new Map<string, string>();

  constructor(seed: number) {
    this.random = new Seeded(seed);
    this.network = new SimNetwork(this.sim, this.random.fork('network'));
    this.server = new SimServer(this.sim, this.random.fork('server'));
    this.#asking = this.random.fork('asking');
    this.server.onCommit = () => this.#checkReuse();
    this.server.start();
  }

  dispose(): void {
    for (const host of this.hosts.values()) host.kill();
    this.server.dispose();
  }

  /** A machine with an address of each family on one link; the control plane does not know it yet. */
  addHost(): SimHost {
    const n = this.hosts.size + 1;
    const name = `h${n}`;
    const host = new SimHost(name, underlayOf(n), {
      sim: this.sim,
      random: this.random,
      network: this.network,
      server: this.server,
      anomaly: (what) => this.anomaly(what),
      answers: (from, address) => this.#answers(from, address),
      onRules: (where, model) => this.#checkTable(where, model),
    });
    this.hosts.set(name, host);
    return host;
  }

  anomaly(what: string): void {
    this.anomalies.push(`at ${this.sim.now}: ${what}`);
  }

  /** An operator's call; lost calls and answers are errors `timeout`. */
  admin<T>(work: () => Promise<T>): Promise<T> {
    return this.network.request('operator', work, false);
  }

  #answers(from: SimHost, address: string): boolean {
    const names = [...this.hosts.keys()];
    const owner = names.find((_, n) => underlayOf(n + 1).some((own) => own.startsWith(`${address}/`)));
    return owner !== undefined && !this.mute.has(owner) && !this.mute.has(from.name);
  }

  /** The id of a deleted tenant has a new owner only when no host judges by the old one, nor could after a crash. */
  #checkReuse(): void {
    for (const { value } of this.server.store.read((tx) => tx.list('tenant'))) {
      for (const { network, id } of value.ids) {
        const key = `${network}/${id}`;
        const last = this.#lastOwners.get(key);
        this.#lastOwners.set(key, value.uid);
        if (last === undefined || last === value.uid) continue;
        this.reused++;
        for (const host of this.hosts.values())
          if (host.mayKnow(last))
            this.anomaly(`tenant id ${key} has a new owner and ${host.name} knows the old one`);
      }
    }
  }

  /** No table lets a packet pass that the evaluator denies in the view from which the table came. */
  #checkTable(host: SimHost, model: PolicyModel): void {
    const { table } = host.rules;
    const known = [...this.addresses];
    if (table === null || known.length === 0) return;
    for (let n = 0; n < pairsAsked; n++) {
      const source = parseAddress(this.#asking.pick(known)!);
      const destination = parseAddress(this.#asking.pick(known)!);
      if (source.family !== destination.family) continue;
      this.asked++;
      const packet = { source, destination };
      const what = `${formatAddress(source)} to ${formatAddress(destination)} on ${host.name}`;
      if (letsOut(table, model.networks, packet) && !judgeEgress(model, source, destination).allow)
        this.anomaly(`the table lets out ${what}`);
      if (letsIn(table, model.networks, packet) && !judgeIngress(model, source, destination).allow)
        this.anomaly(`the table lets in ${what}`);
    }
  }
}

export function underlayOf(n: number): readonly [string, string] {
  return [`192.168.${n >> 8}.${n & 255}/16`, `fd99::${n.toString(16)}/64`];
}
