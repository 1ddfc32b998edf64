/** Pieces of BIRD 2 configuration that hosts and devices share. */
import { type Cidr, type Family, formatCidr } from '../../address/index.ts';
import { keepaliveOf } from '../fabric.ts';

/** BIRD's own limit is 64 bytes; the rest is for what is put before and behind. */
const LONGEST = 44;

/**
 * A symbol that stands for a name of ours, in quotes where BIRD wants them. The same name gives the same symbol whatever else there is:
 * a session is recognised by it when the configuration is read again.
 */
export function birdSymbol(before: string, name: string, behind: string): string {
  const plain = name.replace(/[^A-Za-z0-9_.:-]/g, '_');
  const distinct =
    plain === name && name.length <= LONGEST ? name : `${plain.slice(0, LONGEST - 9)}_${hash(name)}`;
  const symbol = `${before}${distinct}${behind}`;
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(symbol) ? symbol : `'${symbol}'`;
}

/** FNV-1a, to keep apart what was cut to the same text. */
function hash(text: string): string {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  return (h >>> 0).toString(16).padStart(8, '0');
}

/** A condition on `net`: one of `exact`, or in one of `within`. BIRD has no empty set. */
export function birdMatch(family: Family, exact: readonly Cidr[], within: readonly Cidr[]): string {
  const items = [
    ...ofFamily(family, exact).map(formatCidr),
    ...ofFamily(family, within).map((cidr) => `${formatCidr(cidr)}+`),
  ];
  if (items.length === 0) return 'false';
  return items.length <= 3 ? `net ~ [ ${items.join(', ')} ]` : `net ~ [\n    ${items.join(',\n    ')}\n  ]`;
}

/** A text in double quotes; BIRD knows no escapes in it. */
export function birdQuote(text: string): string {
  return `"${text.replace(/["\r\n\0]/g, '_')}"`;
}

export function birdDefault(family: Family): string {
  return family === 4 ? 'net = 0.0.0.0/0' : 'net = ::/0';
}

export function ofFamily(family: Family, cidrs: readonly Cidr[]): Cidr[] {
  return cidrs.filter(({ address }) => address.family === family);
}

/** Of one session, the same on both sides. */
export function birdTimers(holdSeconds: number, connectRetrySeconds: number): string[] {
  return [
    `hold time ${holdSeconds};`,
    `keepalive time ${keepaliveOf(holdSeconds)};`,
    'connect delay time 1;',
    `connect retry time ${connectRetrySeconds};`,
    `error wait time 1, ${Math.max(1, connectRetrySeconds)};`,
  ];
}

/**
 * Without the long-lived kind: with it BIRD takes a neighbour that fell silent for one that restarts, and packets go on to a dead device
 * for as long as a restart may take.
 */
export function birdGracefulRestart(seconds: number): string[] {
  const plain =
    seconds === 0
      ? ['graceful restart aware;']
      : ['graceful restart on;', `graceful restart time ${seconds};`];
  return [...plain, 'long lived graceful restart off;'];
}

export function birdBfd(bfd: { readonly intervalMs: number; readonly multiplier: number } | null): string[] {
  return bfd === null ? [] : [`bfd { interval ${bfd.intervalMs} ms; multiplier ${bfd.multiplier}; };`];
}

/**
 * After a start with -R, BIRD leaves the kernel's routes alone until its peers have sent theirs, or this long: a peer that is gone for
 * good must not hold back what the others say. FRR's selection is put off as long.
 */
export function birdRecoverySeconds(connectRetrySeconds: number): number {
  return Math.max(10, 2 * connectRetrySeconds);
}

export function indent(lines: readonly string[], by = '  '): string[] {
  return lines.map((line) => by + line);
}
