/**
 * A kernel in memory, as far as the drivers can tell: links, namespaces, addresses, routes, forwarding. Deterministic, without a
 * clock. Its methods are what operators and foreign programs do; `fake-drivers.ts` puts the drivers on it.
 */
import {
  type Address,
  type Cidr,
  cidrOf,
  containsAddress,
  equalAddress,
  equalCidr,
  formatAddress,
  formatCidr,
  parseAddress,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { Cancel } from '#core/ports.ts';
import type { Hop, HostFacts, Neighbour } from '../../ports.ts';
import type { DumpedAddress, DumpedLink, DumpedRoute } from './dump.ts';

export interface FakeLink {
  readonly index: number;
  readonly name: string;
  up: boolean;
  /** Whether the other end of the wire is there. */
  carrier: boolean;
  mtu: number;
  alias: string;
  group: string;
  master: string | null;
  addresses: DumpedAddress[];
  readonly peer: { readonly path: string; readonly ifname: string } | null;
}
/** The other end of a pair, in a namespace of its own. */
export interface FakeInside {
  readonly host: string;
  mtu: number;
  /** `10.1.1.27/32`, in the order in which they came. */
  addresses: string[];
}
interface FakeNetns {
  readonly inode: string;
  readonly links: Map<string, FakeInside>;
}

export class FakeKernel {
  readonly forwarding: { 4: boolean; 6: boolean } = { 4: false, 6: false };
  readonly #links = new Map<string, FakeLink>();
  readonly #namespaces = new Map<string, FakeNetns>();
  #routes: DumpedRoute[] = [];
  readonly #neighbours = new Map<string, Neighbour>();
  #listeners = new Set<(what: 'network' | 'rules') => void>();
  #nextIndex = 1;
  #nextInode = 4_026_532_000;

  constructor() {
    this.addLink('lo');
    this.setUp('lo', true);
    this.addAddress('lo', '127.0.0.1/8');
    this.addAddress('lo', '::1/128');
  }

  // what can be seen

  links(): readonly FakeLink[] {
    return [...this.#links.values()];
  }

  dump(): DumpedLink[] {
    return this.links().map(({ index, name, up, carrier, mtu, alias, group, master, addresses }) => {
      const running = up && carrier;
      return { index, name, up, running, mtu, alias, group, master, addresses: [...addresses] };
    });
  }

  routes(): readonly DumpedRoute[] {
    return this.#routes;
  }

  inside(path: string, ifname: string): FakeInside | undefined {
    return this.#namespaces.get(path)?.links.get(ifname);
  }

  inode(path: string): string | undefined {
    return this.#namespaces.get(path)?.inode;
  }

  facts(): HostFacts {
    return {
      links: this.dump().map(({ name, mtu, up, running, addresses }) => ({
        name,
        mtu,
        up,
        running,
        addresses: addresses.map(({ address, length, duplicate }) => ({
          address,
          length,
          ...(duplicate ? { duplicate } : {}),
        })),
      })),
      defaultRoutes: this.#routes
        .filter((route) => route.type === 'unicast' && route.cidr.length === 0 && route.link !== null)
        .map((route) => ({
          family: route.cidr.address.family,
          link: route.link ?? '',
          fromRouterAdvertisement: route.protocol === 'ra',
        })),
      forwarding: { ...this.forwarding },
    };
  }

  /** Calls back in the middle of the change: as with the real one, who listens must not act at once. */
  listen(listener: (what: 'network' | 'rules') => void): Cancel {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** For the fake of our nftables table, which lives elsewhere. */
  tell(what: 'network' | 'rules'): void {
    for (const listener of this.#listeners) listener(what);
  }

  // what can be done

  addNetns(path: string): void {
    if (this.#namespaces.has(path)) throw refused(`${path}: File exists`);
    this.#namespaces.set(path, { inode: String(this.#nextInode++), links: new Map() });
  }

  removeNetns(path: string): void {
    for (const { host } of this.#namespaces.get(path)?.links.values() ?? []) this.deleteLink(host);
    this.#namespaces.delete(path);
  }

  addLink(
    name: string,
    options: { mtu?: number; group?: string; peer?: { path: string; ifname: string } } = {},
  ): void {
    const { mtu = 1500, group = 'default', peer = null } = options;
    if (this.#links.has(name)) throw refused('File exists');
    if (peer !== null) {
      const namespace = this.#namespaces.get(peer.path);
      if (namespace === undefined) throw refused('Invalid "netns" value');
      if (namespace.links.has(peer.ifname)) throw refused('File exists');
      namespace.links.set(peer.ifname, { host: name, mtu, addresses: [] });
    }
    const index = this.#nextIndex++;
    this.#links.set(name, {
      index,
      name,
      up: false,
      carrier: true,
      mtu,
      alias: '',
      group,
      master: null,
      addresses: [],
      peer,
    });
    this.tell('network');
  }

  deleteLink(name: string): void {
    const link = this.#link(name);
    this.setUp(name, false);
    this.#links.delete(name);
    if (link.peer !== null) this.#namespaces.get(link.peer.path)?.links.delete(link.peer.ifname);
    this.tell('network');
  }

  change(name: string, values: { alias?: string; mtu?: number; master?: string | null }): void {
    Object.assign(this.#link(name), values);
    this.tell('network');
  }

  /** Down takes the link's routes and IPv6 addresses away; up brings none of them back. */
  setUp(name: string, up: boolean): void {
    const link = this.#link(name);
    link.up = up;
    if (!up) {
      link.addresses = link.addresses.filter(({ address }) => address.family === 4);
      this.#routes = this.#routes.flatMap((route) => {
        const hops = route.hops.filter((hop) => hop.link !== name);
        const gone = route.link === name || (hops.length === 0 && route.hops.length > 0);
        return gone ? [] : [hops.length === route.hops.length ? route : { ...route, hops }];
      });
    }
    this.tell('network');
  }

  /** The wire is pulled, or put back: routes stay. */
  setCarrier(name: string, carrier: boolean): void {
    this.#link(name).carrier = carrier;
    this.tell('network');
  }

  /** Another host answers for an IPv6 address of ours. */
  setDuplicate(name: string, text: string): void {
    const link = this.#link(name);
    link.addresses = link.addresses.map((have) =>
      formatAddress(have.address) === text ? { ...have, duplicate: true } : have,
    );
    this.tell('network');
  }

  /** Whether somebody answers on a link; what the kernel shows of it from then on. */
  setNeighbour(text: string, state: Neighbour['state']): void {
    const address = parseAddress(text);
    const link = this.#onLink(address) ?? 'lo';
    this.#neighbours.set(text, { address, link, state });
  }

  neighbours(): readonly Neighbour[] {
    return [...this.#neighbours.values()];
  }

  addAddress(name: string, text: string, options: { scope?: string; metric?: number } = {}): void {
    const link = this.#link(name);
    const [address, length] = splitAddress(text);
    if (link.addresses.some((have) => have.length === length && equalAddress(have.address, address))) {
      throw refused('File exists');
    }
    link.addresses.push({
      address,
      length,
      scope: options.scope ?? 'global',
      duplicate: false,
      metric: options.metric ?? null,
    });
    this.tell('network');
  }

  deleteAddress(name: string, text: string): void {
    const link = this.#link(name);
    const [address, length] = splitAddress(text);
    const left = link.addresses.filter(
      (have) => have.length !== length || !equalAddress(have.address, address),
    );
    if (left.length === link.addresses.length) throw refused('address not found');
    link.addresses = left;
    this.tell('network');
  }

  /** Refuses as the kernel does: a link that is missing or down, a next hop or source out of reach, a key that is taken. */
  addRoute(
    route: Omit<DumpedRoute, 'link' | 'hops' | 'table' | 'scope'> & {
      readonly link?: string | null;
      readonly hops?: readonly Hop[];
    },
  ): void {
    let link = route.link ?? null;
    const hops = (route.hops ?? []).map((hop) => ({ via: hop.via, link: hop.link ?? this.#onLink(hop.via) }));
    for (const hop of hops) {
      if (hop.link === null) throw refused('Nexthop has invalid gateway.');
      if (!this.#link(hop.link).up) throw refused('Device for nexthop is not up.');
    }
    if (route.type === 'unicast' && hops.length === 0) {
      if (route.via !== null) link ??= this.#onLink(route.via);
      if (link === null) throw refused('Nexthop has invalid gateway.');
      if (!this.#links.has(link)) throw refused(`Cannot find device "${link}"`);
      if (!this.#link(link).up) throw refused('Device for nexthop is not up.');
      if (route.source !== null && !this.#holds(route.source)) throw refused('Invalid source address.');
    }
    if (this.#routes.some((have) => have.metric === route.metric && equalCidr(have.cidr, route.cidr))) {
      throw refused('File exists');
    }
    this.#routes.push({ ...route, link, hops, table: 'main', scope: 'global' });
    this.tell('network');
  }

  /** As a whole: what stood stays when the new one is refused. */
  replaceRoute(route: Parameters<FakeKernel['addRoute']>[0]): void {
    const before = this.#routes;
    this.deleteRoute(route.cidr, route.protocol);
    try {
      this.addRoute(route);
    } catch (error) {
      this.#routes = before;
      throw error;
    }
  }

  deleteRoute(cidr: Cidr, protocol?: string): void {
    const index = this.#routes.findIndex(
      (have) => equalCidr(have.cidr, cidr) && (protocol === undefined || have.protocol === protocol),
    );
    if (index === -1) throw refused(`No such process: ${formatCidr(cidr)}`);
    this.#routes = this.#routes.toSpliced(index, 1);
    this.tell('network');
  }

  setForwarding(family: 4 | 6, on: boolean): void {
    this.forwarding[family] = on;
    this.tell('network');
  }

  #link(name: string): FakeLink {
    const link = this.#links.get(name);
    if (link === undefined) throw refused(`Cannot find device "${name}"`);
    return link;
  }

  #onLink(via: Address): string | null {
    const near = this.links().find(
      ({ up, addresses }) =>
        up && addresses.some(({ address, length }) => containsAddress(cidrOf(address, length), via)),
    );
    return near?.name ?? null;
  }

  #holds(source: Address): boolean {
    return this.links().some(({ addresses }) =>
      addresses.some(({ address }) => equalAddress(address, source)),
    );
  }
}

export function addressText({ address, length }: Pick<DumpedAddress, 'address' | 'length'>): string {
  return `${formatAddress(address)}/${length}`;
}

function splitAddress(text: string): [Address, number] {
  const [address = '', length = ''] = text.split('/');
  return [parseAddress(address), Number(length)];
}

function refused(message: string): RomanaError {
  return new RomanaError('kernel_refused', `The kernel refused: ${message}`);
}
