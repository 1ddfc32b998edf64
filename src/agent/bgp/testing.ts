/** Intents for tests of the loop. */
import { parseAddress, parseCidr } from '#core/address/index.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';

export function peerOf(name: string, more: Partial<BgpPeer> = {}): BgpPeer {
  return {
    name,
    address: parseAddress('192.0.2.1'),
    local: null,
    link: null,
    asn: 65001,
    families: [4, 6],
    passwordFile: null,
    ttlSecurity: false,
    bfd: null,
    maxPrefixes: null,
    ...more,
  };
}

export function intentOf(more: Partial<BgpIntent> = {}): BgpIntent {
  return {
    daemon: 'gobgp',
    asn: 65101,
    routerId: '192.168.0.1',
    peers: [peerOf('leaf1a'), peerOf('leaf1b')],
    announce: [parseCidr('10.1.0.0/16'), parseCidr('fd10:1::/32')],
    accept: [],
    acceptDefault: false,
    communities: [],
    ecmp: 8,
    gracefulRestartSeconds: 120,
    holdSeconds: 9,
    connectRetrySeconds: 5,
    ...more,
  };
}
