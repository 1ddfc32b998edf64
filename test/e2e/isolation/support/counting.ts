/**
 * Packets counted in the kernel. Forged packets carry a DSCP value that nothing else here uses, so that each of them is told from all
 * other traffic wherever it shows up: `arrived` where a namespace takes packets in, before every other table; `taken` after all tables,
 * where a socket of its own is next; `left` where it sends.
 */
import type { Lab } from '#lab/harness.ts';

export const MARK = 42;

const table = 'inet watch';

export interface Seen {
  readonly arrived: number;
  readonly left: number;
}

/** Puts a table of our own into a namespace. `matches`: further counters, name → match at arrival. */
export async function watch(
  lab: Lab,
  namespace: string,
  matches: Readonly<Record<string, string>> = {},
): Promise<void> {
  const names = Object.keys(matches);
  const lines = [
    `table ${table}`,
    `delete table ${table}`,
    `table ${table} {`,
    ...['arrived', 'left', 'taken', ...names].map((name) => `counter ${name} { }`),
    'chain in { type filter hook prerouting priority -400; policy accept;',
    `ip dscp ${MARK} counter name arrived`,
    `ip6 dscp ${MARK} counter name arrived`,
    ...names.map((name) => `${matches[name]} counter name ${name}`),
    '}',
    'chain own { type filter hook input priority 400; policy accept;',
    `ip dscp ${MARK} counter name taken`,
    `ip6 dscp ${MARK} counter name taken`,
    '}',
    'chain out { type filter hook postrouting priority 400; policy accept;',
    `ip dscp ${MARK} counter name left`,
    `ip6 dscp ${MARK} counter name left`,
    '}',
    '}',
  ];
  await lab.exec(namespace, ['nft', '-f', '-'], { stdin: `${lines.join('\n')}\n` });
}

async function counters(
  lab: Lab,
  namespace: string,
  family: string,
  name: string,
): Promise<Map<string, number>> {
  const { stdout } = await lab.exec(namespace, ['nft', '-j', 'list', 'counters', 'table', family, name]);
  const { nftables } = JSON.parse(stdout) as {
    nftables: { counter?: { name: string; packets: number } }[];
  };
  return new Map(
    nftables.flatMap(({ counter }) => (counter === undefined ? [] : [[counter.name, counter.packets]])),
  );
}

/** The counters of `watch`. */
export function watched(lab: Lab, namespace: string): Promise<Map<string, number>> {
  return counters(lab, namespace, 'inet', 'watch');
}

export async function seen(lab: Lab, namespace: string): Promise<Seen> {
  const all = await watched(lab, namespace);
  return { arrived: all.get('arrived') ?? 0, left: all.get('left') ?? 0 };
}

/** The product's own counters on a host. */
export function drops(lab: Lab, host: string): Promise<Map<string, number>> {
  return counters(lab, host, 'inet', 'romana');
}

export async function drop(lab: Lab, host: string, name: string): Promise<number> {
  return (await drops(lab, host)).get(name) ?? 0;
}
