/** Many changes by one `ip -batch` process, with the failures found line by line. */
import { RomanaError } from '#core/errors.ts';
import type { Runner } from '../../exec.ts';
import type { Change } from '../../ports.ts';

export interface BatchLine {
  readonly words: readonly string[];
  /** Whose line it is: the key under which a failure is reported. */
  readonly owner: string;
  /** `null`: not worth counting, such as a second step of one change. */
  readonly change: Change | null;
  /** A refusal that says the wanted state is there already, e.g. a route to delete that is gone. */
  readonly harmless?: RegExp;
}

export interface BatchResult {
  readonly changes: readonly Change[];
  /** By owner; the first line that failed. */
  readonly failures: ReadonlyMap<string, RomanaError>;
}

/** Already gone: what a removal may meet when somebody was faster. */
export const GONE =
  /No such process|Cannot find device|No such device|address not found|Cannot assign requested/;

/**
 * A word that means itself in a batch line: `ip` splits at blanks, treats quotes and a last backslash specially, and drops
 * everything from a # on, even inside quotes.
 */
export function isPlainWord(word: string): boolean {
  return /^[^\s"'#\\]+$/.test(word);
}

/**
 * Runs the lines in their order; a refused line does not stop those behind it. `prefix` is put before `ip`, e.g. to enter a
 * namespace. Some errors make `ip` give up on the rest (a namespace that vanished meanwhile); then it is started again behind the
 * line at fault.
 */
export async function runBatch(
  runner: Runner,
  lines: readonly BatchLine[],
  prefix: readonly string[] = [],
): Promise<BatchResult> {
  const changes: Change[] = [];
  const failures = new Map<string, RomanaError>();
  let rest = lines;
  while (rest.length > 0) {
    const text = rest.map(spell);
    // The last line prints something: without output `ip` did not get that far.
    const stdin = `${[...text, 'link show dev lo'].join('\n')}\n`;
    const { code, stdout, stderr } = await runner([...prefix, 'ip', '-force', '-batch', '-'], {
      stdin,
      okCodes: 'any',
      timeoutMs: 60_000,
    });
    const refused = parseRefusals(stderr);
    const complete = stdout.trim() !== '';
    const end = complete ? rest.length : culprit(text, stderr, refused);
    if (end === undefined) throw giveUp(code, stderr);
    for (const [index, line] of rest.slice(0, complete ? end : end + 1).entries()) {
      const message = index === end ? lastMessage(stderr) : refused.get(index + 1);
      if (message === undefined) {
        if (line.change !== null) changes.push(line.change);
      } else if (!(line.harmless?.test(message) ?? false) && !failures.has(line.owner)) {
        failures.set(line.owner, refusal(line, message));
      }
    }
    rest = complete ? [] : rest.slice(end + 1);
  }
  return { changes, failures };
}

export function refusal(line: Pick<BatchLine, 'words'>, message: string): RomanaError {
  const command = `ip ${line.words.join(' ')}`;
  return new RomanaError('kernel_refused', `The kernel refused "${command}": ${message}`, {
    details: { command },
  });
}

function spell(line: BatchLine): string {
  return line.words.map(quote).join(' ');
}

/** Aliases have blanks; everything else is a plain word. */
function quote(word: string): string {
  if (isPlainWord(word)) return word;
  if (/^[^"'#\\\n\t]+$/.test(word)) return `"${word}"`;
  throw new RomanaError('internal', `"${word}" cannot stand in a batch of ip.`);
}

/** Line number → the words of the kernel, from `message…\nCommand failed -:3`. */
function parseRefusals(stderr: string): Map<number, string> {
  const found = new Map<number, string>();
  let message: string[] = [];
  for (const line of stderr.split('\n')) {
    const match = /^Command failed .*:(\d+)$/.exec(line);
    if (match === null) {
      if (line.trim() !== '') message.push(line.trim());
      continue;
    }
    found.set(Number(match[1]), message.join(' ').replace(/^RTNETLINK answers: /, '') || 'no reason given');
    message = [];
  }
  return found;
}

/** Index of the line that made `ip` give up: the first, after those refused, with the word that its complaint quotes first. */
function culprit(
  text: readonly string[],
  stderr: string,
  refused: ReadonlyMap<number, string>,
): number | undefined {
  const quoted = /"([^"]+)"/.exec(lastMessage(stderr))?.[1];
  const from = Math.max(0, ...refused.keys());
  const index = text.findIndex((line, i) => i >= from && line.split(' ').some((word) => word === quoted));
  return index === -1 ? undefined : index;
}

function lastMessage(stderr: string): string {
  const lines = stderr.split('\n').filter((line) => line.trim() !== '');
  const behind = lines.findLastIndex((line) => line.startsWith('Command failed ')) + 1;
  return lines.slice(behind).join(' ');
}

function giveUp(code: number, stderr: string): RomanaError {
  return new RomanaError(
    'kernel_refused',
    `ip -batch gave up with exit code ${code}: ${lastMessage(stderr).slice(0, 500)}`,
  );
}
