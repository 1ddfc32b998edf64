/** Which block an endpoint's address of a network comes from: that of its own numbers, or the shared identity. */
import type { Block } from './types.ts';

interface Numbered {
  readonly network: string;
  readonly id: number;
}

/** A tenant or segment without a number in the network has its endpoints under tenant id 0 there. */
export function numbersIn(
  network: string,
  tenant: { readonly ids: readonly Numbered[] },
  segment: { readonly ids: readonly Numbered[] },
): Pick<Block, 'tenantId' | 'segmentId'> {
  const idIn = (ids: readonly Numbered[]) => ids.find((entry) => entry.network === network)?.id;
  const tenantId = idIn(tenant.ids);
  const segmentId = idIn(segment.ids);
  return tenantId === undefined || segmentId === undefined
    ? { tenantId: 0, segmentId: 0 }
    : { tenantId, segmentId };
}

/** `tenant/segment` of a key `tenant/segment/name`; empty of an empty key. */
export function segmentOf(key: string): string {
  return key.split('/', 2).join('/');
}
