/** Where the ids of a block lie: addresses from ids, ids from addresses, and the ids that reserved ranges cover. */

import {
  type Address,
  addressPlus,
  blockCidr,
  type Cidr,
  containsCidr,
  decode,
  encode,
  encodeShared,
  formatCidr,
  maxSharedIndex,
  tenantCidr,
  widthOf,
} from '../address/index.ts';
import { RomanaError } from '../errors.ts';
import { type IdRange, mergeRanges } from './ranges.ts';
import type { Block, IpamNetwork, Placed } from './types.ts';

export interface Geometry {
  readonly block: Block;
  /** Address of id 0, which is never given out. */
  readonly base: Address;
  /** The highest id. */
  readonly max: number;
}

/** Throws id_out_of_range when an id does not fit the network. */
export function geometryOf(network: IpamNetwork, block: Block): Geometry {
  const { plan } = network;
  const { hostId: host, tenantId: tenant, segmentId: segment } = block;
  if (tenant === 0) {
    if (segment !== 0) {
      throw new RomanaError(
        'id_out_of_range',
        `Tenant id 0 is the shared identity, which has no segment ${segment}; use segment id 0.`,
        { details: { field: 'segment', id: segment, min: 0, max: 0 } },
      );
    }
    return { block, base: addressPlus(encodeShared(plan, host, 1), -1)!, max: maxSharedIndex(plan) };
  }
  const first = encode(plan, { host, tenant, segment, endpoint: 1 });
  return { block, base: addressPlus(first, -1)!, max: plan.endpointField.max };
}

/** The whole block, for messages and overlaps. Of the shared identity: all that has tenant id 0 on the host id. */
export function cidrOfBlock(network: IpamNetwork, block: Block): Cidr {
  return block.tenantId === 0
    ? tenantCidr(network.plan, block.hostId, 0)
    : blockCidr(network.plan, block.hostId, block.tenantId, block.segmentId);
}

export function place(geometry: Geometry, endpointId: number): Placed {
  const { network, hostId, tenantId, segmentId } = geometry.block;
  const address = addressPlus(geometry.base, endpointId)!;
  return { network, address, hostId, tenantId, segmentId, endpointId };
}

/** How far `a` lies above the base; undefined when that is no number of 32 bits (only in wide IPv6 blocks). */
export function offsetOf(base: Address, a: Address): number | undefined {
  if (base.family === 4) return a.w0 - base.w0;
  return a.w0 === base.w0 && a.w1 === base.w1 && a.w2 === base.w2 ? a.w3 - base.w3 : undefined;
}

/** The block and id of any address of the network, host id and tenant id not checked to be in use. */
export function locate(network: IpamNetwork, address: Address): Placed | undefined {
  const ids = decode(network.plan, address);
  if (ids === undefined || ids.host === 0) return undefined;
  const { host: hostId, tenant: tenantId } = ids;
  if (tenantId !== 0) {
    return {
      network: network.name,
      address,
      hostId,
      tenantId,
      segmentId: ids.segment,
      endpointId: ids.endpoint,
    };
  }
  const block = { network: network.name, hostId, tenantId, segmentId: 0 };
  const endpointId = offsetOf(geometryOf(network, block).base, address);
  return endpointId === undefined ? undefined : { ...block, address, endpointId };
}

/** The ids of the block that reserved ranges cover; O(number of ranges). */
export function reservedIds(network: IpamNetwork, geometry: Geometry): IdRange[] {
  if (network.reserved.length === 0) return [];
  const cidr = cidrOfBlock(network, geometry.block);
  const ranges: IdRange[] = [];
  for (const reserved of network.reserved) {
    if (containsCidr(reserved, cidr)) return [{ first: 1, last: geometry.max }];
    if (!containsCidr(cidr, reserved)) continue;
    const offset = offsetOf(geometry.base, reserved.address);
    if (offset === undefined || offset > geometry.max) continue;
    const size = 2 ** (widthOf(network.plan.family) - reserved.length);
    const first = Math.max(1, offset);
    const last = Math.min(geometry.max, offset + size - 1);
    if (first <= last) ranges.push({ first, last });
  }
  return mergeRanges(ranges);
}

export function formatBlock(network: IpamNetwork, block: Block): string {
  return formatCidr(cidrOfBlock(network, block));
}
