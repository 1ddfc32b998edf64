/**
 * The address model: prefix | host | tenant | segment | endpoint, most significant first. encode.ts puts ids into addresses and
 * takes them out; this module checks layouts and works out masks and offsets once.
 */

import { RomanaError } from '../errors.ts';
import { type Address, type Family, makeAddress, orAddress, widthOf } from './address.ts';
import { type Cidr, formatCidr, maskOf } from './cidr.ts';

/** Widths of the four fields in bits. */
export interface Layout {
  readonly host: number;
  readonly tenant: number;
  readonly segment: number;
  readonly endpoint: number;
}

export interface Ids {
  readonly host: number;
  readonly tenant: number;
  readonly segment: number;
  readonly endpoint: number;
}

/** Where a field of at most 32 bits lies in the four words. */
export interface Field {
  /** Word of its least significant bit. */
  readonly word: number;
  /** Bits of that word below the field. */
  readonly shift: number;
  /** The highest id; as every id is below 2^32 also the mask of the field's value. */
  readonly max: number;
}

export interface AddressPlan {
  readonly cidr: Cidr;
  readonly layout: Layout;
  readonly family: Family;
  /** Prefix, tenant and segment bits. Without the prefix bits a foreign address would pass for a tenant's. */
  readonly identityMask: Address;
  /** Prefix and tenant bits. */
  readonly tenantMask: Address;
  readonly prefixMask: Address;
  /** Bits of a wide endpoint field that no id below 2^32 sets. */
  readonly unusedMask: Address;
  /** Prefix lengths of a host CIDR, of a tenant's part of it, and of a block. */
  readonly hostLength: number;
  readonly tenantLength: number;
  readonly blockLength: number;
  readonly hostField: Field;
  readonly tenantField: Field;
  readonly segmentField: Field;
  readonly endpointField: Field;
}

/** The highest id of a field: 2^width − 1, but never above 2^32 − 1. */
export function maxId(width: number): number {
  return width >= 32 ? 0xffffffff : 2 ** width - 1;
}

function invalid(message: string, details: Record<string, unknown>): RomanaError {
  return new RomanaError('layout_invalid', message, { details });
}

/**
 * Throws layout_invalid unless prefix and widths fill 32 or 128 bits exactly. Host, tenant and endpoint need at least one bit;
 * a segment field of no bits is for tenants without segments (the segment id is then always 0). Host, tenant and segment have at
 * most 32 bits; the endpoint field may be wider, but its ids stay below 2^32.
 */
export function addressPlan(cidr: Cidr, layout: Layout): AddressPlan {
  const { family } = cidr.address;
  const width = widthOf(family);
  for (const name of ['host', 'tenant', 'segment', 'endpoint'] as const) {
    const bits = layout[name];
    const least = name === 'segment' ? 0 : 1;
    const most = name === 'endpoint' ? width : 32;
    if (!Number.isInteger(bits) || bits < least || bits > most) {
      throw invalid(`The ${name} field is ${least} to ${most} bits wide, not ${bits}.`, {
        path: `layout.${name}`,
      });
    }
  }
  const hostLength = cidr.length + layout.host;
  const tenantLength = hostLength + layout.tenant;
  const blockLength = tenantLength + layout.segment;
  const total = blockLength + layout.endpoint;
  if (total !== width) {
    const verb = total < width ? 'leave' : 'exceed it by';
    throw invalid(
      `The layout ${formatLayout(layout)} does not fill ${formatCidr(cidr)}: the widths must add up to ` +
        `${width - cidr.length} bits but ${verb} ${Math.abs(width - total)}${total < width ? ' unused' : ''}.`,
      { path: 'layout' },
    );
  }
  const prefixMask = maskOf(family, cidr.length);
  const tenantBits = bitRange(family, hostLength, tenantLength);
  return {
    cidr,
    layout,
    family,
    identityMask: orAddress(prefixMask, bitRange(family, hostLength, blockLength)),
    tenantMask: orAddress(prefixMask, tenantBits),
    prefixMask,
    unusedMask: bitRange(family, blockLength, Math.max(blockLength, width - 32)),
    hostLength,
    tenantLength,
    blockLength,
    hostField: fieldEnding(hostLength, layout.host),
    tenantField: fieldEnding(tenantLength, layout.tenant),
    segmentField: fieldEnding(blockLength, layout.segment),
    endpointField: fieldEnding(width, layout.endpoint),
  };
}

function fieldEnding(end: number, width: number): Field {
  return { word: (end - 1) >> 5, shift: 31 - ((end - 1) & 31), max: maxId(width) };
}

/** The mask of bits `from` to `to` − 1. */
function bitRange(family: Family, from: number, to: number): Address {
  const above = maskOf(family, from);
  const below = maskOf(family, to);
  return makeAddress(
    family,
    below.w0 & ~above.w0,
    below.w1 & ~above.w1,
    below.w2 & ~above.w2,
    below.w3 & ~above.w3,
  );
}

/** Reads '8/8/4/4' (host/tenant/segment/endpoint). Only the form is checked; whether it fits is for `addressPlan`. */
export function parseLayout(text: string): Layout {
  const match = /^(0|[1-9]\d{0,2})\/(0|[1-9]\d{0,2})\/(0|[1-9]\d{0,2})\/(0|[1-9]\d{0,2})$/.exec(text);
  if (match === null) {
    throw invalid(
      `${JSON.stringify(text)} is not a layout: write the widths in bits as host/tenant/segment/endpoint, such as 8/8/4/4.`,
      { text },
    );
  }
  return {
    host: Number(match[1]),
    tenant: Number(match[2]),
    segment: Number(match[3]),
    endpoint: Number(match[4]),
  };
}

export function formatLayout(layout: Layout): string {
  return `${layout.host}/${layout.tenant}/${layout.segment}/${layout.endpoint}`;
}
