/** Ids into addresses and back, by the offsets of an AddressPlan. */

import { RomanaError } from '../errors.ts';
import { type Address, addressFromWords, addressToWords, andAddress } from './address.ts';
import { type Cidr, formatCidr, splitCidr, withField } from './cidr.ts';
import { type AddressPlan, type Field, formatLayout, type Ids } from './layout.ts';
import { isWord, type Words } from './words.ts';

type FieldName = keyof Ids;

function outOfRange(plan: AddressPlan, name: FieldName, id: number, least: number): RomanaError {
  const { max } = plan[`${name}Field`];
  return new RomanaError(
    'id_out_of_range',
    `${name} id ${id} does not fit network ${formatCidr(plan.cidr)} with layout ${formatLayout(plan.layout)}: ` +
      `it must be ${least === max ? `exactly ${max}` : `${least} to ${max}`}.`,
    { details: { field: name, id, min: least, max } },
  );
}

function check(plan: AddressPlan, name: FieldName, id: number, least: number): void {
  if (!isWord(id) || id < least || id > plan[`${name}Field`].max) throw outOfRange(plan, name, id, least);
}

const words: Words = new Uint32Array(4);
const idWords: Words = new Uint32Array(4);

/**
 * The address of an endpoint. Ids start at 1 (id 0 of a host is never given out, tenant 0 is the shared identity: `encodeShared`);
 * a segment field of no bits takes segment 0. Throws id_out_of_range.
 */
export function encode(plan: AddressPlan, ids: Ids): Address {
  check(plan, 'host', ids.host, 1);
  check(plan, 'tenant', ids.tenant, 1);
  check(plan, 'segment', ids.segment, Math.min(1, plan.segmentField.max));
  check(plan, 'endpoint', ids.endpoint, 1);
  encodeInto(plan, ids.host, ids.tenant, ids.segment, ids.endpoint, words);
  return addressFromWords(plan.family, words);
}

/**
 * The address of the `index`-th endpoint (from 1) under the shared identity of a host: tenant id 0, with segment and endpoint bits
 * taken together as one number, of which the lower 32 bits are used.
 */
export function encodeShared(plan: AddressPlan, host: number, index: number): Address {
  check(plan, 'host', host, 1);
  const max = maxSharedIndex(plan);
  if (!isWord(index) || index < 1 || index > max) {
    throw new RomanaError(
      'id_out_of_range',
      `Shared endpoint ${index} of ${formatCidr(plan.cidr)} must be 1 to ${max}.`,
      {
        details: { field: 'shared', id: index, min: 1, max },
      },
    );
  }
  const base = hostCidr(plan, host).address;
  return withField(base, plan.blockLength + plan.layout.endpoint, index);
}

export function maxSharedIndex(plan: AddressPlan): number {
  return 2 ** Math.min(32, plan.layout.segment + plan.layout.endpoint) - 1;
}

/**
 * The ids in an address; undefined when it is outside the network or its endpoint id does not fit 32 bits. Ids may be 0: such an
 * address is nobody's endpoint (or, with tenant 0, one of the shared identity).
 */
export function decode(plan: AddressPlan, a: Address): Ids | undefined {
  if (a.family !== plan.family) return undefined;
  addressToWords(a, words);
  if (!decodeInto(plan, words, idWords)) return undefined;
  return {
    host: idWords[0]!,
    tenant: idWords[1]!,
    segment: idWords[2]!,
    endpoint: idWords[3]!,
  };
}

/** `encode` for hot paths: no garbage, and id 0 is let through in every field. Throws id_out_of_range above the field's maximum. */
export function encodeInto(
  plan: AddressPlan,
  host: number,
  tenant: number,
  segment: number,
  endpoint: number,
  out: Words,
): void {
  const prefix = plan.cidr.address;
  out[0] = prefix.w0;
  out[1] = prefix.w1;
  out[2] = prefix.w2;
  out[3] = prefix.w3;
  if (!put(plan.hostField, host, out)) throw outOfRange(plan, 'host', host, 0);
  if (!put(plan.tenantField, tenant, out)) throw outOfRange(plan, 'tenant', tenant, 0);
  if (!put(plan.segmentField, segment, out)) throw outOfRange(plan, 'segment', segment, 0);
  if (!put(plan.endpointField, endpoint, out)) throw outOfRange(plan, 'endpoint', endpoint, 0);
}

function put(field: Field, id: number, out: Words): boolean {
  if (id >>> 0 !== id || id > field.max) return false;
  const { word, shift } = field;
  out[word] = out[word]! | (id << shift);
  // The rest of a field that straddles two words. Only then: a shift by 32 would be a shift by 0.
  if (shift > 0 && word > 0) out[word - 1] = out[word - 1]! | (id >>> (32 - shift));
  return true;
}

/** `decode` for hot paths: `address` and `out` (host, tenant, segment, endpoint) are four words each. The family is the caller's care. */
export function decodeInto(plan: AddressPlan, address: Words, out: Words): boolean {
  const w0 = address[0]!;
  const w1 = address[1]!;
  const w2 = address[2]!;
  const w3 = address[3]!;
  const { prefixMask: mask, unusedMask: unused } = plan;
  const prefix = plan.cidr.address;
  const foreign =
    ((w0 ^ prefix.w0) & mask.w0) |
    ((w1 ^ prefix.w1) & mask.w1) |
    ((w2 ^ prefix.w2) & mask.w2) |
    ((w3 ^ prefix.w3) & mask.w3);
  const tooWide = (w0 & unused.w0) | (w1 & unused.w1) | (w2 & unused.w2) | (w3 & unused.w3);
  if ((foreign | tooWide) !== 0) return false;
  out[0] = take(plan.hostField, address);
  out[1] = take(plan.tenantField, address);
  out[2] = take(plan.segmentField, address);
  out[3] = take(plan.endpointField, address);
  return true;
}

function take(field: Field, address: Words): number {
  const { word, shift } = field;
  let value = address[word]! >>> shift;
  if (shift > 0 && word > 0) value |= address[word - 1]! << (32 - shift);
  return value & field.max;
}

/** The range of one host id. Id 0 is taken here and below: these are ranges, not endpoints. */
export function hostCidr(plan: AddressPlan, host: number): Cidr {
  check(plan, 'host', host, 0);
  return splitCidr(plan.cidr, plan.layout.host, host);
}

/** A tenant's part of one host id's range. */
export function tenantCidr(plan: AddressPlan, host: number, tenant: number): Cidr {
  check(plan, 'tenant', tenant, 0);
  return splitCidr(hostCidr(plan, host), plan.layout.tenant, tenant);
}

/** The block of (host id, tenant, segment). */
export function blockCidr(plan: AddressPlan, host: number, tenant: number, segment: number): Cidr {
  check(plan, 'segment', segment, 0);
  return splitCidr(tenantCidr(plan, host, tenant), plan.layout.segment, segment);
}

/** Prefix and tenant bits, all else 0: what `address & tenantMask` is for every endpoint of the tenant. */
export function tenantIdentity(plan: AddressPlan, tenant: number): Address {
  check(plan, 'tenant', tenant, 0);
  return withField(plan.cidr.address, plan.tenantLength, tenant);
}

/** Prefix, tenant and segment bits, all else 0: what `address & identityMask` is for every endpoint of the segment. */
export function segmentIdentity(plan: AddressPlan, tenant: number, segment: number): Address {
  check(plan, 'segment', segment, 0);
  return withField(tenantIdentity(plan, tenant), plan.blockLength, segment);
}

export function identityOf(plan: AddressPlan, a: Address): Address {
  return andAddress(a, plan.identityMask);
}
