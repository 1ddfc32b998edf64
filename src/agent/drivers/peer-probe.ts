/** A datagram to the discard port of each address: what it says does not matter, the kernel has to find the neighbour first. */
import { createSocket, type Socket } from 'node:dgram';
import { type Address, formatAddress } from '#core/address/index.ts';
import type { PeerProbe } from '../ports.ts';

const discardPort = 9;

export const peerProbe: PeerProbe = {
  async send(addresses) {
    for (const family of [4, 6] as const) {
      const wanted = addresses.filter((address) => address.family === family);
      if (wanted.length === 0) continue;
      const socket = createSocket({ type: family === 4 ? 'udp4' : 'udp6' });
      // An answer that the port is closed is as good as any.
      socket.on('error', () => undefined);
      try {
        await Promise.all(wanted.map((address) => datagram(socket, address)));
      } finally {
        socket.close();
      }
    }
  },
};

/** No way there is an answer too, and the neighbour table has it. */
function datagram(socket: Socket, address: Address): Promise<void> {
  return new Promise((resolve) => {
    socket.send(Buffer.alloc(1), discardPort, formatAddress(address), () => resolve());
  });
}
