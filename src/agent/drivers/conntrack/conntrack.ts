/**
 * The kernel's connection table, through the conntrack program: which flows are established, and how to forget some of them.
 * Imports agent/exec, agent/rules, core. Forgetting what is not there (any more) is no error.
 */
import { type Address, formatAddress, tryParseAddress } from '#core/address/index.ts';
import type { Runner } from '../../exec.ts';
import type { Flow } from '../../rules/ruleset.ts';

export interface Conntrack {
  /** Every tracked flow of both families, in its original direction. */
  flows(): Promise<readonly Flow[]>;
  /** Forgets these flows. */
  remove(flows: readonly Flow[]): Promise<void>;
  /** Forgets every flow with this address on either side: its next owner inherits nothing. */
  removeAddresses(addresses: readonly Address[]): Promise<void>;
}

export function createConntrack(run: Runner): Conntrack {
  /** One process for any number of deletions; a line that matches nothing does not stop the others. */
  const batch = async (lines: readonly string[]): Promise<void> => {
    if (lines.length > 0)
      await run(['conntrack', '-R', '-'], {
        stdin: `${lines.join('\n')}\n`,
        reopenStdin: true,
        okCodes: [0, 1],
      });
  };
  return {
    async flows() {
      const listings = await Promise.all(
        ['ipv4', 'ipv6'].map((family) =>
          run(['conntrack', '-L', '-f', family], { okCodes: [0, 1], timeoutMs: 30_000 }),
        ),
      );
      return listings.flatMap(({ stdout }) => parseFlows(stdout));
    },
    remove: (flows) => batch(flows.map(deletion)),
    removeAddresses: (addresses) =>
      batch(
        addresses.flatMap((address) =>
          ['-s', '-d'].map((side) => `-D -f ipv${address.family} ${side} ${formatAddress(address)}`),
        ),
      ),
  };
}

function deletion(flow: Flow): string {
  const ports =
    flow.sourcePort === null || flow.destinationPort === null
      ? ''
      : ` --sport ${flow.sourcePort} --dport ${flow.destinationPort}`;
  const family = flow.source.includes(':') ? 'ipv6' : 'ipv4';
  return `-D -f ${family} -p ${flow.protocol} -s ${flow.source} -d ${flow.destination}${ports}`;
}

/** Protocols that `conntrack -p` and the cut sets know by name. Others are listed by number and forgotten by number. */
export function parseFlows(listing: string): Flow[] {
  return listing.split('\n').flatMap((line) => {
    const protocol = /^(\S+)\s+(\d+)\s/.exec(line);
    const source = tryParseAddress(/ src=(\S+)/.exec(line)?.[1] ?? '');
    const destination = tryParseAddress(/ dst=(\S+)/.exec(line)?.[1] ?? '');
    if (protocol === null || source === undefined || destination === undefined) return [];
    const port = (name: string): number | null => {
      const text = new RegExp(` ${name}=(\\d+)`).exec(line)?.[1];
      return text === undefined ? null : Number(text);
    };
    return [
      {
        protocol: protocol[1] === 'unknown' ? protocol[2]! : protocol[1]!,
        source: formatAddress(source),
        destination: formatAddress(destination),
        sourcePort: port('sport'),
        destinationPort: port('dport'),
      },
    ];
  });
}
