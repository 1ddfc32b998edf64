/** The world that the contract of the drivers looks at, and the small words its laws are written in. */
import assert from 'node:assert/strict';
import { type Address, formatAddress, formatCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import { GATEWAY4, GATEWAY6, linkName } from '../../owned.ts';
import type {
  ApplyResult,
  DesiredLink,
  DesiredLinks,
  DesiredRoute,
  KernelFacts,
  LinkDriver,
  RouteDriver,
} from '../../ports.ts';
import type { DumpedRoute } from './dump.ts';

export interface SeenLink {
  readonly name: string;
  readonly up: boolean;
  readonly mtu: number;
  readonly alias: string;
  /** `10.0.0.1/24`, sorted; no link-local ones but fe80::1. */
  readonly addresses: readonly string[];
}

/** A host with a link `up0` that has 192.168.0.1/24 and fd99::1/64, and nothing of Romana yet. */
export interface World {
  links(): LinkDriver;
  routes(): RouteDriver;
  readonly facts: KernelFacts;
  /** Path of a new, empty namespace. */
  addNetns(name: string): Promise<string>;
  removeNetns(name: string): Promise<void>;
  /** A pair of links that we did not make: one end here, the other in the namespace. */
  addPair(link: string, netns: string, ifname: string): Promise<void>;
  setAlias(link: string, alias: string): Promise<void>;
  addAddress(link: string, address: string): Promise<void>;
  deleteAddress(link: string, address: string): Promise<void>;
  setUp(link: string, up: boolean): Promise<void>;
  deleteLink(link: string): Promise<void>;
  /** A route of another program, with metric 0 (IPv4) or 1024 (IPv6). */
  addForeignRoute(cidr: string, link: string): Promise<void>;
  deleteRoute(cidr: string): Promise<void>;
  seen(): Promise<readonly SeenLink[]>;
  /** A second uplink `up1` with 192.168.1.1/24 and fd98::1/64. */
  addUplink(): Promise<void>;
  /** `CIDR dev|via|blackhole|unreachable … src …`, next hops sorted, only protocol 82 or only others, without the kernel's own; sorted. */
  seenRoutes(ours: boolean): Promise<readonly string[]>;
  /** Addresses of a link in a namespace, sorted, without link-local ones. */
  seenInside(netns: string, ifname: string): Promise<readonly string[]>;
  close(): Promise<void>;
}

export function desiredLinks(...links: DesiredLink[]): DesiredLinks {
  return { links, gateway4: GATEWAY4, gateway6: GATEWAY6, families: [4, 6] };
}

export function vethLink(name: string, netns: string, ...addresses: string[]): DesiredLink {
  const endpoint = `acme/web/${name}`;
  return {
    endpoint,
    attachment: { kind: 'veth-netns', netns, ifname: 'eth0' },
    link: linkName(endpoint),
    addresses: addresses.map(parseAddress),
    sourcePrefixes: [],
    mtu: 1400,
  };
}

export function existingLink(name: string, link: string, ...addresses: string[]): DesiredLink {
  return { ...vethLink(name, '/x', ...addresses), attachment: { kind: 'existing-link', link }, link };
}

export function peerLink(name: string, link: string, netns: string, ...addresses: string[]): DesiredLink {
  return {
    ...vethLink(name, '/x', ...addresses),
    attachment: { kind: 'existing-netns-peer', link, netns, ifname: 'eth7' },
    link,
  };
}

export function linkRoute(cidr: string, link: string, source: string | null = null): DesiredRoute {
  return { kind: 'link', cidr: parseCidr(cidr), link, source: source === null ? null : parseAddress(source) };
}
/** Next hops as `192.168.0.2` or `fe80::2 up1`. */
export function viaRoute(cidr: string, ...hops: string[]): DesiredRoute {
  return {
    kind: 'via',
    cidr: parseCidr(cidr),
    hops: hops.map((hop) => {
      const [via = '', link = null] = hop.split(' ');
      return { via: parseAddress(via), link };
    }),
  };
}
/** A route as worlds show it. */
export function seenText({ cidr, type, via, link, source, hops }: DumpedRoute): string {
  const one = (hop: { via: Address | null; link: string | null }): string =>
    hop.via === null ? `dev ${hop.link ?? ''}` : `via ${formatAddress(hop.via)}`;
  const ways = (hops.length > 0 ? hops : [{ via, link }]).map(one).sort().join(' ');
  const where = type === 'unicast' ? ways : type;
  return `${formatCidr(cidr)} ${where}${source === null ? '' : ` src ${formatAddress(source)}`}`;
}
export function unreachable(cidr: string): DesiredRoute {
  return { kind: 'unreachable', cidr: parseCidr(cidr) };
}
export function blackhole(cidr: string): DesiredRoute {
  return { kind: 'blackhole', cidr: parseCidr(cidr) };
}

export function refusals({ failures }: ApplyResult): string[] {
  return [...failures].map(([key, { code }]) => `${key}: ${code}`).sort();
}

export function noChange({ changes, failures }: ApplyResult): void {
  assert.deepEqual([[...changes], [...failures]], [[], []]);
}
