/** What a host's BGP speaker is to do. May import core/address. */
import { type Cidr, compareCidr, hostRoute } from '../address/index.ts';
import type { BgpIntent, BgpPeer, RoutingProblem } from './model.ts';
import type { HostNode, Site } from './nodes.ts';
import { byName } from './routes.ts';
import { hostSessions, routerId } from './sessions.ts';

/** Null: it speaks no BGP, or its AS number is not known yet. */
export function hostIntent(site: Site, self: HostNode, problems: RoutingProblem[]): BgpIntent | null {
  const { bgp, asn } = self;
  if (bgp === null) return null;
  const about = (message: string): void => {
    problems.push({ code: 'topology_invalid', about: self.name, message });
  };
  if (asn === null) {
    about(
      `Host ${self.name} has no AS number: it is told by its host id, give it one or state an AS number for it.`,
    );
    return null;
  }
  const peers: BgpPeer[] = [];
  for (const hostLink of self.links) {
    const { device, link } = hostLink;
    const sessions = hostSessions(site, hostLink);
    if (sessions.length === 0 && device.bgp === null) {
      about(
        `Host ${self.name} speaks BGP, but device ${device.name} has no AS number: there is no session with it.`,
      );
    } else if (sessions.length === 0) {
      about(
        bgp.unnumbered && link === null
          ? `Host ${self.name} has no session with device ${device.name}: state the link of that uplink, the session is unnumbered.`
          : `Host ${self.name} has no session with device ${device.name}: they have no addresses of one family that a network has.`,
      );
    }
    for (const { families, lower, upper } of sessions) {
      peers.push({
        name: device.name,
        address: upper,
        local: lower,
        link,
        asn: device.device.asn!,
        families,
        passwordFile: bgp.passwordFile,
        ttlSecurity: bgp.ttlSecurity,
        bfd: bgp.bfd,
        maxPrefixes: bgp.maxPrefixes,
      });
    }
  }
  peers.sort((a, b) => byName(a.name, b.name) || a.families[0]! - b.families[0]!);
  return {
    daemon: bgp.daemon,
    asn,
    routerId: routerId(self.name, [
      ...self.host.addresses,
      ...self.host.uplinks.flatMap((uplink) => uplink.addresses),
    ]),
    peers,
    announce: announcedBy(self),
    accept: [...site.networks.map(({ cidr }) => cidr), ...bgp.accept].sort(compareCidr),
    acceptDefault: bgp.acceptDefault,
    communities: bgp.communities,
    ecmp: bgp.ecmp,
    gracefulRestartSeconds: bgp.gracefulRestartSeconds,
    holdSeconds: bgp.holdSeconds,
    connectRetrySeconds: bgp.connectRetrySeconds,
  };
}

/** What a host may announce; its devices accept just this from it. Sorted. */
export function announcedBy({ own, granted, fenced, bgp, host }: HostNode): Cidr[] {
  if (fenced || bgp === null) return [];
  const addresses = bgp.announceAddresses ? host.addresses.map(hostRoute) : [];
  return [...own, ...(host.former ?? []), ...granted, ...addresses].sort(compareCidr);
}
