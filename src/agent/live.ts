/**
 * What lives on this host, for the control plane to compare with its records. Imports contract, core, agent.
 *
 * 1. Wired is what the last pass over the kernel found or made as wanted: every pass reads the kernel.
 * 2. Digests are of the same lines on both sides, see core/ipam/live.
 */
import { createHash } from 'node:crypto';
import { type Live, type LiveQuestion, liveLimit } from '#contract/live.ts';
import { formatAddress } from '#core/address/index.ts';
import { lineOf, linesOf } from '#core/ipam/index.ts';
import type { WiredEndpoint } from './desired.ts';
import type { Outcome } from './reconciler.ts';

/** Half of what a request may be: the rest of the report has to fit too. */
const listBytes = 512 * 1024;

export function wiredOf(endpoints: readonly WiredEndpoint[], { phases }: Outcome): WiredEndpoint[] {
  return endpoints.filter(({ key, uid }) => {
    const pass = phases.get(key);
    return pass?.uid === uid && pass.phase === 'ready';
  });
}

/** `wired` null: the last pass failed, and nobody knows. */
export function liveOf(
  held: readonly WiredEndpoint[],
  wired: readonly WiredEndpoint[] | null,
  question: LiveQuestion,
): Live {
  const heldSet = held.map(plain);
  const wiredSet = wired === null ? null : wired.map(plain);
  const digests = { held: digestOf(heldSet), wired: wiredSet === null ? null : digestOf(wiredSet) };
  if (question === 'digest') return digests;
  const list = new Map<string, NonNullable<Live['list']>[number]>();
  for (const one of heldSet) list.set(lineOf(one), { ...one, held: true, wired: false });
  for (const one of wiredSet ?? [])
    list.set(lineOf(one), { ...one, held: list.get(lineOf(one))?.held ?? false, wired: true });
  const all = [...list.values()];
  const fits = all.length <= liveLimit && JSON.stringify(all).length <= listBytes;
  return fits ? { ...digests, list: all } : digests;
}

function digestOf(set: readonly Plain[]): Live['held'] {
  return { count: set.length, hash: createHash('sha256').update(linesOf(set)).digest('hex') };
}

interface Plain {
  readonly key: string;
  readonly uid: string;
  readonly addresses: string[];
}
function plain({ key, uid, placed }: WiredEndpoint): Plain {
  return { key, uid, addresses: placed.map(({ address }) => formatAddress(address)) };
}
