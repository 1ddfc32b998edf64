/** The world that the contract of the drivers looks at, and the small words its laws are written in. */
import assert from 'node:assert/strict';
import { parseAddress, parseCidr } from '#core/address/index.ts';
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
  /** `CIDR dev|via|blackhole … src …`, only protocol 82 or only others, without the kernel's own; sorted. */
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
export function viaRoute(cidr: string, via: string): DesiredRoute {
  return { kind: 'via', cidr: parseCidr(cidr), via: parseAddress(via) };
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
