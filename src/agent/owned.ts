/**
 * What Romana calls its own in a host's kernel. An agent without memory recognises its objects by these marks alone, so none of
 * them may change without a way to adopt what an older agent left.
 */
import { createHash } from 'node:crypto';
import { type Address, parseAddress } from '#core/address/index.ts';

/** Routing protocol number of every route of ours, whatever the table. Nothing else on a host uses it (see rt_protos). */
export const ROUTE_PROTOCOL = 82;
/** Metric of our IPv6 routes (0 would become 1024 anyhow); IPv4 routes have metric 0. */
export const ROUTE_METRIC6 = 1024;
/**
 * Metric of routes that stand in while a daemon with better ones starts anew. Its first byte is what zebra takes for the distance of a
 * route that it did not make: the greatest, so that every route of its own is better.
 */
export const ROUTE_METRIC_STANDIN = 0xff000000 + ROUTE_PROTOCOL;
/** Names of the links that we make begin with this. The catch-all rules drop what comes from such a link and is not known. */
export const LINK_PREFIX = 'rom';
/** Alias of the links that we make: this, the endpoint, and what the driver needs to know its own work again. */
export const ALIAS_PREFIX = 'romana ';
/** Group of the links that we make. The kernel sets it together with the name, the alias only later: it marks half-made links. */
export const LINK_GROUP = 82;
export const GATEWAY4: Address = parseAddress('169.254.1.1');
export const GATEWAY6: Address = parseAddress('fe80::1');
export const NFT_FAMILY = 'inet';
export const NFT_TABLE = 'romana';
/** An empty chain in our table; a table `inet romana` without it was made by somebody else. */
export const NFT_MARKER_CHAIN = 'romana_v1';

/** Name of the host end of an endpoint's veth pair. The key is `tenant/segment/name`; 40 bits of its hash fit a link name. */
export function linkName(endpointKey: string): string {
  return LINK_PREFIX + createHash('sha256').update(endpointKey).digest('hex').slice(0, 10);
}
