/** Short ways to write documents and to look at what is refused, for tests. */
import assert from 'node:assert/strict';
import { isRomanaError } from '../../errors.ts';
import { demandTopology, showTopology } from './index.ts';

export const names = (prefix: string, count: number): { name: string }[] =>
  Array.from({ length: count }, (_, i) => ({ name: `${prefix}${i + 1}` }));

export function one(cidr: string, map: unknown, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { networks: [{ name: 'net', cidr, ...more }], topologies: [{ networks: ['net'], map }] };
}

export function cidrs(document: unknown): Record<string, string> {
  const { groups } = showTopology(demandTopology(document).plan);
  return Object.fromEntries(
    groups.map(({ path, networks }) => [path, networks.map(({ cidr }) => cidr).join(' ')]),
  );
}

/** path and message of every issue. */
export function issuesOf(document: unknown): [path: string, message: string][] {
  try {
    demandTopology(document);
  } catch (error) {
    assert.ok(isRomanaError(error), String(error));
    const issues = error.details?.['issues'] as { path: string; message: string }[];
    return issues.map(({ path, message }) => [path, message]);
  }
  return [];
}

export function refused(document: unknown, path: string, message: RegExp): void {
  const issues = issuesOf(document);
  const found = issues.find(([at, text]) => at === path && message.test(text));
  assert.ok(found, `no issue at ${path} like ${String(message)}: ${JSON.stringify(issues)}`);
}
