/** YAML and JSON files that a user wrote: mistakes come back with line and column, and no file can blow up in memory. */
import { readFileSync, statSync } from 'node:fs';
import { usage } from './exit.ts';

/** Far more than the API takes; a device or a wrong path must not fill the memory. */
const maxBytes = 16 * 1024 * 1024;

export async function readDocument(
  path: string,
  stdin: () => Promise<string>,
): Promise<Record<string, unknown>> {
  const shownAs = path === '-' ? 'standard input' : path;
  const value = await parseDocument(path === '-' ? await stdin() : readText(path), shownAs);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw usage(`${shownAs}: expected an object with fields, found ${describe(value)}.`);
  }
  return value as Record<string, unknown>;
}

export function readText(path: string): string {
  try {
    const { size } = statSync(path);
    if (size > maxBytes) throw usage(`${path} is ${size} bytes long; at most ${maxBytes} are read.`);
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) throw error;
    throw usage(`Cannot read ${path}: ${fileErrors[String(error.code)] ?? error.message}.`);
  }
}

const fileErrors: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'no permission',
  EISDIR: 'it is a directory',
  ENOTDIR: 'a part of the path is no directory',
};

/** JSON is YAML, so one parser reads both. Aliases are cheap to write and dear to expand: a few are fine, a bomb is refused. */
export async function parseDocument(text: string, shownAs: string): Promise<unknown> {
  const { parseDocument: parse } = await import('./yaml.ts');
  const document = parse(text, { prettyErrors: true, uniqueKeys: true, version: '1.2' });
  const [error] = document.errors;
  if (error !== undefined) {
    const at = error.linePos?.[0];
    const reason = (error.message.split('\n')[0] ?? '').replace(/ at line \d+, column \d+:?$/, '');
    throw usage(`${shownAs}${at === undefined ? '' : `:${at.line}:${at.col}`}: ${reason}.`);
  }
  try {
    return document.toJS({ maxAliasCount: 50 }) as unknown;
  } catch (cause) {
    throw usage(`${shownAs}: ${cause instanceof Error ? cause.message : 'cannot be read'}.`);
  }
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  return Array.isArray(value) ? 'a list' : `a ${typeof value}`;
}
