/** CIDRs: exact power-of-two ranges. `address` always has its host bits zero. Sets of them are in cidr-set.ts. */

import { RomanaError } from '../errors.ts';
import {
  type Address,
  andAddress,
  compareAddress,
  equalAddress,
  type Family,
  formatAddress,
  makeAddress,
  orAddress,
  parseAddress,
  tryParseAddress,
  widthOf,
} from './address.ts';
import { fieldWord, isWord, maskWord } from './words.ts';

export interface Cidr {
  /** Host bits are zero. */
  readonly address: Address;
  readonly length: number;
}

/** The address whose first `length` bits are one, e.g. 255.255.255.0. */
export function maskOf(family: Family, length: number): Address {
  checkLength(family, length);
  return makeAddress(
    family,
    maskWord(length, 0),
    maskWord(length, 1),
    maskWord(length, 2),
    maskWord(length, 3),
  );
}

function checkLength(family: Family, length: number): void {
  if (Number.isInteger(length) && length >= 0 && length <= widthOf(family)) return;
  throw new RomanaError(
    'cidr_invalid',
    `A prefix length of IPv${family} is 0 to ${widthOf(family)}, not ${length}.`,
  );
}

/** The CIDR of this length that holds the address (its host bits are cleared). Throws cidr_invalid for a wrong length. */
export function cidrOf(address: Address, length: number): Cidr {
  return { address: andAddress(address, maskOf(address.family, length)), length };
}

/** /32 or /128. */
export function hostRoute(address: Address): Cidr {
  return { address, length: widthOf(address.family) };
}

const LENGTH = /^(?:0|[1-9][0-9]{0,2})$/;

export function tryParseCidr(text: string): Cidr | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const address = tryParseAddress(text.slice(0, slash));
  const lengthText = text.slice(slash + 1);
  if (address === undefined || !LENGTH.test(lengthText)) return undefined;
  const length = Number(lengthText);
  if (length > widthOf(address.family)) return undefined;
  const cidr = cidrOf(address, length);
  return equalAddress(cidr.address, address) ? cidr : undefined;
}

/** Throws cidr_invalid; the message says which CIDR was meant when only the host bits are wrong. */
export function parseCidr(text: string): Cidr {
  const cidr = tryParseCidr(text);
  if (cidr === undefined) {
    throw new RomanaError('cidr_invalid', `${JSON.stringify(text)} is not a CIDR: ${explainCidr(text)}.`, {
      details: { text },
    });
  }
  return cidr;
}

function explainCidr(text: string): string {
  const slash = text.indexOf('/');
  if (slash < 0) return 'the prefix length is missing, write it as 10.0.0.0/8';
  const addressText = text.slice(0, slash);
  const address = tryParseAddress(addressText);
  if (address === undefined) {
    try {
      parseAddress(addressText);
    } catch (error) {
      if (error instanceof RomanaError) return error.message.replace(/\.$/, '');
      throw error;
    }
    return 'its address is wrong';
  }
  const lengthText = text.slice(slash + 1);
  const width = widthOf(address.family);
  if (!LENGTH.test(lengthText) || Number(lengthText) > width) {
    return `the prefix length is a number from 0 to ${width} without leading zeros, not ${JSON.stringify(lengthText)}`;
  }
  return `it has host bits set, did you mean ${formatCidr(cidrOf(address, Number(lengthText)))}`;
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr.address)}/${cidr.length}`;
}

export function containsAddress(cidr: Cidr, a: Address): boolean {
  const base = cidr.address;
  const length = cidr.length;
  if (a.family !== base.family || ((a.w0 ^ base.w0) & maskWord(length, 0)) !== 0) return false;
  if (length <= 32) return true;
  return (
    ((a.w1 ^ base.w1) & maskWord(length, 1)) === 0 &&
    ((a.w2 ^ base.w2) & maskWord(length, 2)) === 0 &&
    ((a.w3 ^ base.w3) & maskWord(length, 3)) === 0
  );
}

export function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return outer.length <= inner.length && containsAddress(outer, inner.address);
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return containsCidr(a, b) || containsCidr(b, a);
}

export function firstAddress(cidr: Cidr): Address {
  return cidr.address;
}

export function lastAddress(cidr: Cidr): Address {
  const { family } = cidr.address;
  const mask = maskOf(family, cidr.length);
  return orAddress(cidr.address, makeAddress(family, ~mask.w0, ~mask.w1, ~mask.w2, ~mask.w3));
}

export function sizeOf(cidr: Cidr): bigint {
  return 1n << BigInt(widthOf(cidr.address.family) - cidr.length);
}

/**
 * The `index`-th of the 2^bits equal parts of a CIDR. `bits` is at most 32 (an index is a number); throws cidr_invalid when the
 * CIDR is too small for that, id_out_of_range for an index that is no part.
 */
export function splitCidr(cidr: Cidr, bits: number, index: number): Cidr {
  const length = cidr.length + bits;
  if (!Number.isInteger(bits) || bits < 0 || bits > 32) {
    throw new RomanaError('cidr_invalid', `A CIDR is split by 0 to 32 bits, not ${bits}.`);
  }
  if (length > widthOf(cidr.address.family)) {
    throw new RomanaError('cidr_invalid', `${formatCidr(cidr)} is too small to be split by ${bits} bits.`);
  }
  if (!isWord(index) || index >= 2 ** bits) {
    throw new RomanaError(
      'id_out_of_range',
      `${formatCidr(cidr)} split by ${bits} bits has no part ${index}.`,
    );
  }
  return { address: withField(cidr.address, length, index), length };
}

/** `base` with `value` in the bits that end before bit `end`; those bits must be zero in `base`. */
export function withField(base: Address, end: number, value: number): Address {
  if (value === 0) return base;
  return makeAddress(
    base.family,
    base.w0 | fieldWord(end, value, 0),
    base.w1 | fieldWord(end, value, 1),
    base.w2 | fieldWord(end, value, 2),
    base.w3 | fieldWord(end, value, 3),
  );
}

/** The CIDR one bit shorter; undefined for /0. */
export function parentOf(cidr: Cidr): Cidr | undefined {
  return cidr.length === 0 ? undefined : cidrOf(cidr.address, cidr.length - 1);
}

/** By family, then address, then the wider first. A container therefore stands before all it contains. */
export function compareCidr(a: Cidr, b: Cidr): number {
  return compareAddress(a.address, b.address) || a.length - b.length;
}

export function equalCidr(a: Cidr, b: Cidr): boolean {
  return a.length === b.length && equalAddress(a.address, b.address);
}
