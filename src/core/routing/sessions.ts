/** Which BGP sessions there are, seen from neither side: both sides' configurations are made of these. May import core/address. */
import { type Address, type Family, formatAddress, makeAddress } from '../address/index.ts';
import type { DeviceLink, HostLink, Site } from './nodes.ts';
import { ofFamily } from './routes.ts';

/** One of each family over addresses, or one of both over link-local addresses (both null). */
export interface Session {
  readonly families: readonly Family[];
  /** Of the host, or of the lower device. */
  readonly lower: Address | null;
  readonly upper: Address | null;
}

export function hostSessions(site: Site, { host, device, addresses, link }: HostLink): Session[] {
  if (host.bgp === null || host.asn === null || device.bgp === null) return [];
  if (!host.bgp.unnumbered) {
    // Two neighbours with one address are no configuration at all.
    const own = addresses.filter((address) => site.owns(host, address));
    return numbered(site, own, device.device.addresses);
  }
  return link === null ? [] : [{ families: [4, 6], lower: null, upper: null }];
}

export function deviceSessions(site: Site, link: DeviceLink): Session[] {
  if (link.upper.bgp === null || link.lower.bgp === null) return [];
  return numbered(site, link.lowerAddresses, link.upperAddresses);
}

function numbered(site: Site, lowers: readonly Address[], uppers: readonly Address[]): Session[] {
  return site.families.flatMap((family) => {
    const lower = ofFamily(lowers, family);
    const upper = ofFamily(uppers, family);
    return lower === undefined || upper === undefined ? [] : [{ families: [family], lower, upper }];
  });
}

/** Its first IPv4 address; without one, a number out of its name where no address can be (240.0.0.0/4). */
export function routerId(name: string, addresses: readonly Address[]): string {
  const address = ofFamily(addresses, 4);
  if (address !== undefined) return formatAddress(address);
  let hash = 0x811c9dc5;
  for (const unit of name) hash = Math.imul(hash ^ unit.codePointAt(0)!, 0x01000193);
  return formatAddress(makeAddress(4, 0xf0000000 | (hash >>> 4), 0, 0, 0));
}
