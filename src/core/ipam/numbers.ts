/** Which block an endpoint's address of a network comes from: that of its own numbers, or the shared identity. */
import type { NumberPair } from './types.ts';

interface Numbered {
  readonly network: string;
  readonly id: number;
}

/**
 * A tenant or segment without a number in the network has its endpoints under tenant id 0 there. With several numbers, every one of
 * the tenant goes with every one of the segment; the oldest come first.
 */
export function numbersIn(
  network: string,
  tenant: { readonly ids: readonly Numbered[] },
  segment: { readonly ids: readonly Numbered[] },
): NumberPair & { readonly further?: readonly NumberPair[] } {
  const segmentIds = numbersOf(segment.ids, network);
  const [first, ...further] = numbersOf(tenant.ids, network).flatMap((tenantId) =>
    segmentIds.map((segmentId) => ({ tenantId, segmentId })),
  );
  if (first === undefined) return { tenantId: 0, segmentId: 0 };
  return further.length === 0 ? first : { ...first, further };
}

/** The numbers held in one network, oldest first. */
export function numbersOf(ids: readonly Numbered[], network: string): number[] {
  return ids.flatMap((entry) => (entry.network === network ? [entry.id] : []));
}

/** `tenant/segment` of a key `tenant/segment/name`; empty of an empty key. */
export function segmentOf(key: string): string {
  return key.split('/', 2).join('/');
}
