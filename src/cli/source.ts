/** A file that a user wrote, with the line and column of everything in it: what is refused in it names its place. */
import {
  isAlias,
  isCollection,
  isMap,
  isNode,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
} from 'yaml';
import type { ErrorCode } from '#core/errors.ts';
import type { Path } from '#core/plan/topology/index.ts';
import { readText } from './document.ts';
import { UsageError, usage } from './exit.ts';

export interface Source {
  readonly shownAs: string;
  readonly value: unknown;
  /** `FILE:LINE:COLUMN` of the value at the path, or of its key; of the nearest thing around it when there is no such value. */
  place(path: Path, key?: boolean): Place;
}

interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** As much as the control plane takes. What is longer is refused before it is parsed. */
const maxBytes = 1024 * 1024;

/** JSON is YAML, so one parser reads both. */
export async function readSource(path: string, stdin: () => Promise<string>): Promise<Source> {
  const shownAs = path === '-' ? 'standard input' : path;
  return parseSource(path === '-' ? await stdin() : readText(path), shownAs);
}

export function parseSource(text: string, shownAs: string): Source {
  if (text.length > maxBytes) {
    throw usage(`${shownAs} has ${text.length} characters; at most ${maxBytes} are read.`);
  }
  const lines = new LineCounter();
  try {
    const document = parseDocument(text, {
      prettyErrors: true,
      uniqueKeys: true,
      version: '1.2',
      lineCounter: lines,
    });
    const [error] = document.errors;
    if (error?.message.includes('call stack') === true) throw new RangeError(error.message);
    if (error !== undefined) {
      const at = error.linePos?.[0] ?? { line: 1, col: 1 };
      const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
      throw usage(`${shownAs}:${at.line}:${at.col}: ${reason}.`);
    }
    return {
      shownAs,
      // Aliases are cheap to write and dear to expand: a few are fine, a bomb is refused.
      value: document.toJS({ maxAliasCount: 50 }) as unknown,
      place: (path, key = false) => {
        const offset = offsetOf(document.contents, path, key, (node) =>
          isAlias(node) ? node.resolve(document) : node,
        );
        const { line, col } = lines.linePos(offset);
        return { file: shownAs, line, column: col };
      },
    };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    // The parser answers deep nests with an exhausted stack, and bombs with errors of its own.
    const reason =
      error instanceof RangeError || (error instanceof Error && error.message.includes('call stack'))
        ? 'it is nested too deeply'
        : error instanceof Error
          ? error.message
          : 'it cannot be read';
    throw usage(`${shownAs}: ${reason.replace(/\.$/, '')}.`);
  }
}

function offsetOf(contents: unknown, path: Path, key: boolean, resolve: (node: unknown) => unknown): number {
  let node = resolve(contents);
  let offset = startOf(node) ?? 0;
  for (const [depth, step] of path.entries()) {
    if (isMap(node)) {
      const pair = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      );
      if (pair === undefined) return offset;
      const keyAt = startOf(pair.key) ?? offset;
      if (key && depth === path.length - 1) return keyAt;
      const value = resolve(pair.value);
      // `groups:` without a value is best shown at the key.
      offset = isScalar(value) && value.value === null ? keyAt : (startOf(pair.value) ?? keyAt);
      node = value;
    } else if (isSeq(node)) {
      const item: unknown = typeof step === 'number' ? node.items[step] : undefined;
      if (item === undefined) return offset;
      offset = startOf(item) ?? offset;
      node = resolve(item);
    } else return offset;
    if (!isCollection(node) && depth < path.length - 1) return offset;
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node.range?.[0] ?? undefined) : undefined;
}

interface Finding {
  readonly path: Path;
  readonly key?: boolean;
  readonly code: string;
  readonly message: string;
}

export interface PlacedFinding extends Place {
  readonly at: string;
  readonly path: string;
  readonly code: string;
  readonly message: string;
}

export function placeFindings(source: Source, findings: readonly Finding[]): PlacedFinding[] {
  return findings.map(({ path, key, code, message }) => {
    const place = source.place(path, key);
    return {
      at: `${place.file}:${place.line}:${place.column}`,
      ...place,
      path: path.join('.'),
      code,
      message,
    };
  });
}

/** All that is wrong in a file, as one mistake of whoever wrote it. */
export function refusedFile(findings: readonly PlacedFinding[], code: ErrorCode): UsageError {
  const [first] = findings;
  return new UsageError(
    code,
    first === undefined ? 'The file is refused.' : `${first.at}: ${first.message}`,
    {
      details: { issues: findings },
    },
  );
}
