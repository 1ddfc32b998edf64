/** The host's own address towards each peer, for daemons that must be told. */
import { formatAddress, parseAddress } from '#core/address/index.ts';
import type { BgpIntent, BgpPeer } from '#core/routing/model.ts';
import type { Runner } from '../exec.ts';

/** Peers keep `local: null` where the kernel has no route to them. */
export async function withLocals(run: Runner, intent: BgpIntent): Promise<BgpIntent> {
  const peers = await Promise.all(intent.peers.map((peer) => withLocal(run, peer)));
  return { ...intent, peers };
}

async function withLocal(run: Runner, peer: BgpPeer): Promise<BgpPeer> {
  if (peer.local !== null || peer.address === null) return peer;
  const { code, stdout } = await run(['ip', '-json', 'route', 'get', formatAddress(peer.address)], {
    okCodes: 'any',
  });
  if (code !== 0) return peer;
  const [route] = JSON.parse(stdout) as { prefsrc?: string }[];
  return route?.prefsrc === undefined ? peer : { ...peer, local: parseAddress(route.prefsrc) };
}
