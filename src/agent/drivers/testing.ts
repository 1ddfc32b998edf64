/** What tests of speakers share: an intent that uses everything, and files in memory. */
import { parseAddress, parseCidr } from '#core/address/index.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { SpeakerFiles } from './speaker-files.ts';

export function peerOf(name: string, address: string | null, over: Partial<BgpPeer> = {}): BgpPeer {
  return {
    name,
    address: address === null ? null : parseAddress(address),
    local: null,
    link: null,
    asn: 65001,
    families: address === null ? [4, 6] : [address.includes(':') ? 6 : 4],
    passwordFile: null,
    ttlSecurity: false,
    bfd: null,
    maxPrefixes: 1000,
    ...over,
  };
}

export function intentOf(over: Partial<BgpIntent> = {}): BgpIntent {
  return {
    daemon: 'bird',
    asn: 65011,
    routerId: '192.0.2.11',
    peers: [
      peerOf('tor1', '172.17.11.1', {
        local: parseAddress('172.17.11.2'),
        passwordFile: '/etc/romana/bgp-password',
        ttlSecurity: true,
        bfd: { intervalMs: 1000, multiplier: 3 },
      }),
      peerOf('tor1', 'fd01:11::1', { maxPrefixes: null }),
      peerOf('tor2.rack-7', '172.18.11.1', { asn: 4200000002, link: 'up2' }),
    ],
    announce: ['10.11.0.0/16', '10.12.3.4/32', 'fd10:11::/32'].map(parseCidr),
    accept: ['10.0.0.0/8', 'fd10::/16'].map(parseCidr),
    acceptDefault: true,
    communities: ['65001:100', '65001:1:2'],
    ecmp: 8,
    gracefulRestartSeconds: 120,
    holdSeconds: 9,
    connectRetrySeconds: 5,
    ...over,
  };
}

export const passwords: ReadonlyMap<string, string> = new Map([['/etc/romana/bgp-password', 's3cret']]);

export interface MemoryFiles extends SpeakerFiles {
  readonly texts: Map<string, string>;
  /** Paths in the order in which they were written or got their name. */
  readonly writes: string[];
}

export function memoryFiles(texts: Readonly<Record<string, string>> = {}): MemoryFiles {
  const held = new Map(Object.entries(texts));
  const writes: string[] = [];
  return {
    texts: held,
    writes,
    read: (path) => Promise.resolve(held.get(path) ?? null),
    write: (path, text) => {
      held.set(path, text);
      writes.push(path);
      return Promise.resolve();
    },
    rename: (from, to) => {
      held.set(to, held.get(from) ?? '');
      held.delete(from);
      writes.push(to);
      return Promise.resolve();
    },
    remove: (path) => {
      held.delete(path);
      return Promise.resolve();
    },
  };
}
