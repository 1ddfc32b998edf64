/** The steps of a plan, one call each, and what their failures mean. */
import { formatCidr } from '#core/address/index.ts';
import type { VpcChange } from '#core/routing/vpc/index.ts';
import { type CloudApi, CloudFailure } from './api.ts';

export interface ApplyOptions {
  readonly api: CloudApi;
  readonly table: string;
  readonly changes: readonly VpcChange[];
  /** On record as ours before this round. */
  readonly recorded: ReadonlySet<string>;
  /** Asked before each call. */
  readonly mayWrite: () => boolean;
}
export interface Applied {
  readonly done: readonly VpcChange[];
  readonly failures: readonly { readonly change: VpcChange; readonly failure: CloudFailure }[];
  /** Destinations that somebody else turned out to have a route for. */
  readonly foreign: readonly string[];
  /** Families of which the table has no room for another route. */
  readonly full: ReadonlySet<4 | 6>;
}

/** Throws a general failure: nothing more is to be asked now. What was done until then is in `onDone`. */
export async function applyChanges(
  options: ApplyOptions,
  onDone: (change: VpcChange) => void,
): Promise<Applied> {
  const done: VpcChange[] = [];
  const failures: { change: VpcChange; failure: CloudFailure }[] = [];
  const foreign: string[] = [];
  const full = new Set<4 | 6>();
  const denied = new Set<string>();
  for (const change of options.changes) {
    if (!options.mayWrite()) break;
    const { family } = change.cidr.address;
    if (denied.has(change.action) || (change.action === 'create' && full.has(family))) continue;
    try {
      const written = await step(options, change);
      if (written) {
        done.push(change);
        onDone(change);
      } else foreign.push(formatCidr(change.cidr));
    } catch (error) {
      if (!(error instanceof CloudFailure) || error.general) throw error;
      failures.push({ change, failure: error });
      if (error.kind === 'full') full.add(family);
      if (error.kind === 'denied') denied.add(change.action);
    }
  }
  return { done, failures, foreign, full };
}

/** False: somebody else has a route of this destination. */
async function step(options: ApplyOptions, change: VpcChange): Promise<boolean> {
  const { api, table, recorded } = options;
  const { cidr, action } = change;
  const kindOf = async (call: () => Promise<void>): Promise<'exists' | 'missing' | undefined> => {
    try {
      await call();
      return undefined;
    } catch (error) {
      if (error instanceof CloudFailure && (error.kind === 'exists' || error.kind === 'missing'))
        return error.kind;
      throw error;
    }
  };
  if (action === 'delete') {
    await kindOf(() => api.deleteRoute(table, cidr));
    return true;
  }
  const create = (): Promise<void> => api.createRoute(table, cidr, change.to);
  const replace = (): Promise<void> => api.replaceRoute(table, cidr, change.to);
  if (action === 'replace') {
    if ((await kindOf(replace)) === undefined) return true;
    return (await kindOf(create)) === undefined;
  }
  if ((await kindOf(create)) === undefined) return true;
  // The answer that showed no route was old where it is ours; else somebody was faster.
  return recorded.has(formatCidr(cidr)) && (await kindOf(replace)) === undefined;
}
