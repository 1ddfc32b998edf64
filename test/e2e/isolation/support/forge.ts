/** Packets of any content, sent from a namespace as its root user could send them. All carry the mark of `counting.ts`. */

import { parseAddress } from '#core/address/index.ts';
import type { Lab } from '#lab/harness.ts';
import { MARK } from './counting.ts';

export interface Forged {
  readonly source: string;
  readonly destination: string;
  readonly protocol: 'udp' | 'tcp' | 'icmp';
  readonly sourcePort?: number;
  readonly destinationPort?: number;
  /** TCP flags; default: push and acknowledge, as in the middle of a connection. */
  readonly flags?: number;
  readonly sequence?: number;
  /** Where a link-local destination is. */
  readonly link?: string;
}
export const SYN = 0x02;
export const RST = 0x04;
export const PSH_ACK = 0x18;

function bytesOf(address: string): Buffer {
  const { family, w0, w1, w2, w3 } = parseAddress(address);
  const bytes = Buffer.alloc(16);
  for (const [i, word] of [w0, w1, w2, w3].entries()) bytes.writeUInt32BE(word, i * 4);
  return bytes.subarray(0, family === 4 ? 4 : 16);
}

function checksum(data: Buffer): number {
  let sum = 0;
  for (let i = 0; i < data.length; i += 2) sum += (data[i] ?? 0) * 256 + (data[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** The whole IP packet. */
export function packet(forged: Forged): Buffer {
  const six = forged.source.includes(':');
  const source = bytesOf(forged.source);
  const destination = bytesOf(forged.destination);
  const number = { udp: 17, tcp: 6, icmp: six ? 58 : 1 }[forged.protocol];
  const payload = transport(forged, six);
  const length = Buffer.alloc(4);
  length.writeUInt32BE(payload.length);
  const pseudo =
    forged.protocol === 'icmp' && !six
      ? Buffer.alloc(0)
      : Buffer.concat([source, destination, length, Buffer.from([0, 0, 0, number])]);
  const at = { udp: 6, tcp: 16, icmp: 2 }[forged.protocol];
  payload.writeUInt16BE(checksum(Buffer.concat([pseudo, payload])), at);
  if (six) {
    const head = Buffer.alloc(8);
    head.writeUInt32BE(((6 << 28) | (MARK << 22)) >>> 0);
    head.writeUInt16BE(payload.length, 4);
    head[6] = number;
    head[7] = 64;
    return Buffer.concat([head, source, destination, payload]);
  }
  const head = Buffer.from([0x45, MARK << 2, 0, 0, 0, 0, 0, 0, 64, number, 0, 0]);
  head.writeUInt16BE(20 + payload.length, 2);
  return Buffer.concat([head, source, destination, payload]);
}

function transport(
  { protocol, sourcePort = 4242, destinationPort = 4242, flags = PSH_ACK, sequence = 1 }: Forged,
  six: boolean,
): Buffer {
  const data = Buffer.from('forged');
  if (protocol === 'icmp')
    return Buffer.concat([Buffer.from([six ? 128 : 8, 0, 0, 0, 0x12, 0x34, 0, 1]), data]);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(sourcePort);
  ports.writeUInt16BE(destinationPort, 2);
  if (protocol === 'udp') {
    const rest = Buffer.alloc(4);
    rest.writeUInt16BE(8 + data.length);
    return Buffer.concat([ports, rest, data]);
  }
  const rest = Buffer.alloc(16);
  rest.writeUInt32BE(sequence);
  rest.writeUInt32BE(1, 4);
  rest[8] = 5 << 4;
  rest[9] = flags;
  rest.writeUInt16BE(0xffff, 10);
  return Buffer.concat([ports, rest, data]);
}

/** A raw socket with the header included, in either family; the kernel routes by destination and asks for neighbours itself. */
const sender = String.raw`
use strict; use warnings;
use Socket qw(:DEFAULT inet_pton pack_sockaddr_in pack_sockaddr_in6);
my %s;
while (<STDIN>) {
  chomp; my ($to, $link, $hex) = split / /;
  my $scope = 0;
  if ($link ne '-') { open(my $f, '<', "/sys/class/net/$link/ifindex") or die "$link: $!\n"; $scope = <$f> + 0 }
  my $six = $to =~ /:/ ? 1 : 0;
  if (!$s{$six}) { socket($s{$six}, $six ? AF_INET6 : AF_INET, SOCK_RAW, 255) or die "raw socket: $!\n" }
  my $a = inet_pton($six ? AF_INET6 : AF_INET, $to);
  my $sa = $six ? pack_sockaddr_in6(0, $a, $scope) : pack_sockaddr_in(0, $a);
  defined send($s{$six}, pack('H*', $hex), 0, $sa) or die "send to $to: $!\n";
  select(undef, undef, undef, 0.001);
}
`;

/** Resolves when all are handed to the kernel. */
export async function forge(lab: Lab, namespace: string, packets: readonly Forged[]): Promise<void> {
  const lines = packets.map(
    (forged) => `${forged.destination} ${forged.link ?? '-'} ${packet(forged).toString('hex')}\n`,
  );
  await lab.exec(namespace, ['perl', '-e', sender], { stdin: lines.join(''), timeoutMs: 30_000 });
}
