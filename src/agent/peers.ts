/**
 * Which hosts of its link this host cannot reach: asked of the kernel's neighbour table, after a datagram to each so that the kernel has
 * to find out. The control plane weighs it with what others say. Imports core, agent.
 *
 * 1. Only where the fabric withdraws hosts, only to hosts of the same link, and only so many in one round.
 * 2. A host counts as unreachable when all its addresses on links of ours were asked for in vain; one that is not asked for, or about
 *    which the kernel does not say, stays as it was.
 * 3. While none of its links is up a host knows nothing of others.
 */
import { type Address, cidrOf, containsAddress, equalAddress } from '#core/address/index.ts';
import type { Cancel, Log, Timers } from '#core/ports.ts';
import type { HostRouting, RoutingGroup, RoutingInput } from '#core/routing/model.ts';
import type { HostFacts, KernelFacts, Neighbour, PeerProbe } from './ports.ts';

export interface Peer {
  readonly name: string;
  readonly addresses: readonly Address[];
}

export interface PeerWatchOptions {
  readonly facts: KernelFacts;
  readonly probe: PeerProbe;
  readonly timers: Timers;
  readonly log: Log;
  /** Long enough for the kernel to ask three times. */
  readonly everyMs: number;
  readonly onChange: () => void;
}

/** Hosts in one round: neighbour tables are small. */
const mostAtOnce = 128;

export class PeerWatch {
  readonly #options: PeerWatchOptions;
  #peers: readonly Peer[] = [];
  #unreachable = new Set<string>();
  /** Asked in the last round. */
  #asked: readonly Peer[] = [];
  #next = 0;
  #cancel: Cancel | null = null;
  #looking = false;
  #stopped = false;

  constructor(options: PeerWatchOptions) {
    this.#options = options;
  }

  /** Empty: nobody is asked for any more. */
  want(peers: readonly Peer[]): void {
    this.#peers = peers;
    const names = new Set(peers.map(({ name }) => name));
    for (const name of this.#unreachable) if (!names.has(name)) this.#unreachable.delete(name);
    if (peers.length > 0 && this.#cancel === null && !this.#stopped) this.#round();
  }

  /** Sorted; null: this host looks after nobody. */
  get unreachable(): readonly string[] | null {
    return this.#peers.length === 0 ? null : [...this.#unreachable].sort();
  }

  stop(): void {
    this.#stopped = true;
    this.#cancel?.();
  }

  #round(): void {
    const { timers, everyMs, log } = this.#options;
    this.#cancel = timers.after(everyMs, () => {
      this.#cancel = null;
      if (this.#peers.length > 0) this.#round();
    });
    if (this.#looking) return;
    this.#looking = true;
    this.#look()
      .catch((error: unknown) => log.warn({ error }, 'hosts of the link could not be asked for'))
      .finally(() => {
        this.#looking = false;
      });
  }

  async #look(): Promise<void> {
    const { facts, probe, onChange } = this.#options;
    const [host, neighbours] = await Promise.all([facts.read(), facts.neighbours()]);
    const before = [...this.#unreachable].sort().join(' ');
    const known = new Set(this.#peers.map(({ name }) => name));
    for (const peer of this.#asked) {
      const said = verdict(peer, neighbours, host);
      if (said === 'failed' && known.has(peer.name)) this.#unreachable.add(peer.name);
      if (said === 'reachable') this.#unreachable.delete(peer.name);
    }
    if ([...this.#unreachable].sort().join(' ') !== before) onChange();
    const from = this.#next % Math.max(1, this.#peers.length);
    const round = [...this.#peers.slice(from), ...this.#peers.slice(0, from)].slice(0, mostAtOnce);
    this.#next = from + round.length;
    this.#asked = round;
    const addresses = round.flatMap((peer) => peer.addresses.filter((address) => onLink(address, host)));
    if (!this.#stopped && addresses.length > 0) await probe.send(addresses);
  }
}

function verdict({ addresses }: Peer, neighbours: readonly Neighbour[], host: HostFacts): Neighbour['state'] {
  const states = addresses
    .filter((address) => onLink(address, host))
    .map((address) => neighbours.find((one) => equalAddress(one.address, address))?.state ?? 'unknown');
  if (states.includes('reachable')) return 'reachable';
  return states.length > 0 && states.every((state) => state === 'failed') ? 'failed' : 'unknown';
}

function onLink(address: Address, { links }: HostFacts): boolean {
  return links.some(
    ({ running, addresses }) =>
      running &&
      addresses.some(
        (own) =>
          containsAddress(cidrOf(own.address, own.length), address) && !equalAddress(own.address, address),
      ),
  );
}

/** Hosts of the same link, where the fabric of this host withdraws those that nobody reaches. */
export function watchedPeers(input: RoutingInput, routing: HostRouting): Peer[] {
  const self = input.hosts.find(({ name }) => name === routing.name);
  if (self === undefined || self.state === 'fenced' || !withdraws(input, self.places)) return [];
  const names = new Set<string>();
  for (const { why, nextHops } of routing.routes) {
    if (why.kind === 'withdrawn') names.add(why.host);
    if (why.kind === 'host' && nextHops.some(({ to }) => to === why.host)) names.add(why.host);
  }
  return input.hosts
    .filter(({ name }) => names.has(name))
    .map(({ name, addresses, uplinks }) => {
      const all = [...addresses, ...uplinks.flatMap((uplink) => uplink.addresses)];
      const distinct = all.filter((one, n) => all.findIndex((other) => equalAddress(one, other)) === n);
      return { name, addresses: distinct };
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function withdraws(input: RoutingInput, places: RoutingInput['hosts'][number]['places']): boolean {
  return places.some(({ topology, path }) => {
    let group: RoutingGroup | undefined = input.topologies.find(({ name }) => name === topology)?.root;
    let fabric = group?.fabric ?? null;
    const parts = path === '' ? [] : path.split('/');
    for (let n = 1; n <= parts.length && group !== undefined; n++) {
      const inner: string = parts.slice(0, n).join('/');
      group = group.groups.find((one) => one.path === inner);
      fabric = group?.fabric ?? fabric;
    }
    return fabric?.kind === 'l2' && fabric.withdrawAfterSeconds > 0;
  });
}
