/** Looking at a document that is believed in nothing: each look that fails leaves an issue with its path. */
import { type Address, formatAddress, parseAddress, parseCidr } from '../../address/index.ts';
import { type ErrorCode, isRomanaError } from '../../errors.ts';
import type { Issue, Labels, Path } from './types.ts';

export const maxIssues = 100;

/** One reading: what it found so far. */
export class Reading {
  readonly issues: Issue[] = [];
  readonly notes: Issue[] = [];
  groups = 0;
  hosts = 0;
  devices = 0;

  refuse(path: Path, message: string, code: ErrorCode = 'input_invalid', key = false): undefined {
    if (this.issues.length < maxIssues)
      this.issues.push({ path, code, message, ...(key ? { key: true as const } : {}) });
    return undefined;
  }

  note(path: Path, message: string, key = false): void {
    if (this.notes.length < maxIssues)
      this.notes.push({ path, code: 'input_invalid', message, ...(key ? { key: true as const } : {}) });
  }

  get full(): boolean {
    return this.issues.length >= maxIssues;
  }
}

type Fields = Readonly<Record<string, unknown>>;

/** The fields of an object of which every key is known; undefined (and an issue) when it is no object. */
export function fieldsAt(
  r: Reading,
  value: unknown,
  path: Path,
  known: readonly string[],
): Fields | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    return r.refuse(
      path,
      `Expected an object with ${known.slice(0, 4).join(', ')}…, found ${kindOf(value)}.`,
    );
  }
  for (const key of Object.keys(value)) {
    if (known.includes(key)) continue;
    const shown = JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
    r.refuse([...path, key], `Unknown key ${shown}; known here: ${known.join(', ')}.`, 'input_invalid', true);
    if (r.full) break;
  }
  return value as Fields;
}

/** Absent and null are the empty list, as the empty text after `groups:` is null. */
export function listAt(r: Reading, value: unknown, path: Path, most: number): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    r.refuse(path, `Expected a list, found ${kindOf(value)}.`);
    return [];
  }
  if (value.length > most) {
    r.refuse(path, `${value.length} entries; at most ${most} are allowed here.`);
    return [];
  }
  return value as unknown[];
}

export function textAt(r: Reading, value: unknown, path: Path, most = 253): string | undefined {
  if (value === undefined || value === null) return r.refuse(path, `${last(path)} is missing.`);
  if (typeof value !== 'string') {
    return r.refuse(path, `${last(path)} is a text, not ${kindOf(value)}; put it in quotes.`);
  }
  if (value.length > most) return r.refuse(path, `${last(path)} is longer than ${most} characters.`);
  return value;
}

const label = /^[a-z0-9]([-a-z0-9_.]*[a-z0-9])?$/;
const groupLabel = /^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$/;

/** Names of networks, hosts, tenants and topologies. */
export function nameAt(r: Reading, value: unknown, path: Path): string | undefined {
  const text = textAt(r, value, path, 63);
  if (text === undefined || label.test(text)) return text;
  return r.refuse(
    path,
    `${JSON.stringify(text)} is no name: lower-case letters, digits, and -_. inside; it begins and ends with a letter or digit.`,
  );
}

/** Groups may have upper-case letters as well. */
export function groupNameAt(r: Reading, value: unknown, path: Path): string | undefined {
  const text = textAt(r, value, path, 63);
  if (text === undefined || groupLabel.test(text)) return text;
  return r.refuse(
    path,
    `${JSON.stringify(text)} is no name of a group: letters, digits, and -_. inside; it begins and ends with a letter or digit.`,
  );
}

export function integerAt(
  r: Reading,
  value: unknown,
  path: Path,
  least: number,
  most: number,
): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value;
  return r.refuse(path, `${last(path)} is a whole number from ${least} to ${most}, not ${shortly(value)}.`);
}

export function cidrAt(r: Reading, value: unknown, path: Path): ReturnType<typeof parseCidr> | undefined {
  const text = textAt(r, value, path, 64);
  if (text === undefined) return undefined;
  return attempt(r, path, () => parseCidr(text));
}

/** In canonical text. */
export function addressAt(r: Reading, value: unknown, path: Path): string | undefined {
  const text = textAt(r, value, path, 64);
  if (text === undefined) return undefined;
  return attempt(r, path, () => formatAddress(parseAddress(text)));
}

/** At most one of each family. */
export function addressesAt(r: Reading, value: unknown, path: Path): Address[] {
  const addresses = listAt(r, value, path, 2).flatMap((text, i) => {
    const read = addressAt(r, text, [...path, i]);
    return read === undefined ? [] : [parseAddress(read)];
  });
  if (new Set(addresses.map(({ family }) => family)).size !== addresses.length)
    r.refuse(path, `${last(path)} has at most one address of each family.`);
  return addresses;
}

export function booleanAt(r: Reading, value: unknown, path: Path): boolean | undefined {
  if (value === undefined || value === null || typeof value === 'boolean') return value ?? undefined;
  return r.refuse(path, `${last(path)} is true or false, not ${shortly(value)}.`);
}

export function oneOfAt<T extends string>(
  r: Reading,
  value: unknown,
  path: Path,
  all: readonly T[],
): T | undefined {
  if (value === undefined || value === null) return undefined;
  return (
    all.find((one) => one === value) ??
    r.refuse(path, `${last(path)} is one of ${all.join(', ')}, not ${shortly(value)}.`)
  );
}

export function linkAt(r: Reading, value: unknown, path: Path): string | undefined {
  const text = textAt(r, value, path, 64);
  if (text === undefined || (/^[^\s/:"'%\\]{1,15}$/.test(text) && text !== '.' && text !== '..')) return text;
  return r.refuse(
    path,
    `${JSON.stringify(text)} is no link: at most 15 characters without space, slash, colon, quote or percent sign.`,
  );
}

export function attempt<T>(r: Reading, path: Path, fn: () => T): T | undefined {
  try {
    return fn();
  } catch (error) {
    if (!isRomanaError(error)) throw error;
    return r.refuse(path, error.message, error.code);
  }
}

/** Pairs of texts, sorted by key, so that equal ones are equal objects. */
export function labelsAt(r: Reading, value: unknown, path: Path): Labels {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    r.refuse(path, `Expected pairs such as {rack: "1"}, found ${kindOf(value)}.`);
    return {};
  }
  const entries = Object.entries(value);
  if (entries.length > 64) {
    r.refuse(path, `${entries.length} pairs; at most 64 are allowed.`);
    return {};
  }
  const pairs = entries.flatMap(([key, text]): [string, string][] => {
    const read = textAt(r, text, [...path, key]);
    if (key === '' || key.length > 253 || key === '__proto__') {
      r.refuse([...path, key], 'A label has a name of 1 to 253 characters.', 'input_invalid', true);
      return [];
    }
    return read === undefined ? [] : [[key, read]];
  });
  return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
}

function last(path: Path): string {
  const end = path.at(-1);
  if (typeof end === 'string') return end;
  const list = path.at(-2);
  return list === undefined ? 'The document' : `An entry of ${String(list)}`;
}

export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function shortly(value: unknown): string {
  if (typeof value === 'number') return String(value);
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 40));
  return kindOf(value);
}

export function pathText(path: Path): string {
  return path.join('.');
}
