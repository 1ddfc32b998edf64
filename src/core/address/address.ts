/** One address of either family, and its arithmetic. Text is in text.ts. */

import { RomanaError } from '../errors.ts';
import { explainText, formatGroups, formatQuad, parseInto } from './text.ts';
import { TWO32, type Words } from './words.ts';

export type Family = 4 | 6;

/**
 * Left-aligned: bit 0 is the most significant bit of w0. IPv4 lives in w0 alone, w1..w3 are 0. Words are unsigned 32 bit. One
 * shape for both families keeps the code and the hidden classes single. Make one only by the functions of this folder.
 */
export interface Address {
  readonly family: Family;
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
}

export function widthOf(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** An address of four words of any sign; they are taken modulo 2^32. For IPv4 only `w0` counts. */
export function makeAddress(family: Family, w0: number, w1: number, w2: number, w3: number): Address {
  return family === 4
    ? { family, w0: w0 >>> 0, w1: 0, w2: 0, w3: 0 }
    : { family, w0: w0 >>> 0, w1: w1 >>> 0, w2: w2 >>> 0, w3: w3 >>> 0 };
}

export function addressFromWords(family: Family, words: Words): Address {
  return makeAddress(family, words[0]!, words[1]!, words[2]!, words[3]!);
}

export function addressToWords(a: Address, out: Words): void {
  out[0] = a.w0;
  out[1] = a.w1;
  out[2] = a.w2;
  out[3] = a.w3;
}

const scratch: Words = new Uint32Array(4);

export function tryParseAddress(text: string): Address | undefined {
  const family = parseInto(text, scratch);
  return family === 0 ? undefined : addressFromWords(family, scratch);
}

/** Throws address_invalid. Strict: see text.ts. IPv4-mapped IPv6 stays IPv6. */
export function parseAddress(text: string): Address {
  const address = tryParseAddress(text);
  if (address === undefined) {
    throw new RomanaError(
      'address_invalid',
      `${JSON.stringify(text)} is not an IP address: ${explainText(text)}.`,
      {
        details: { text },
      },
    );
  }
  return address;
}

/** IPv4 dotted, IPv6 as RFC 5952 says; `parseAddress` reads it back to the same address. */
export function formatAddress(a: Address): string {
  return a.family === 4 ? formatQuad(a.w0) : formatGroups(a.w0, a.w1, a.w2, a.w3);
}

/** Negative, 0 or positive: IPv4 before IPv6, then by number. */
export function compareAddress(a: Address, b: Address): number {
  return a.family - b.family || a.w0 - b.w0 || a.w1 - b.w1 || a.w2 - b.w2 || a.w3 - b.w3;
}

export function equalAddress(a: Address, b: Address): boolean {
  return a.w0 === b.w0 && a.w1 === b.w1 && a.w2 === b.w2 && a.w3 === b.w3 && a.family === b.family;
}

/** 4 or 16 bytes in network order. */
export function addressToBytes(a: Address): Uint8Array {
  const bytes = new Uint8Array(a.family === 4 ? 4 : 16);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, a.w0);
  if (a.family === 6) {
    view.setUint32(4, a.w1);
    view.setUint32(8, a.w2);
    view.setUint32(12, a.w3);
  }
  return bytes;
}

/** Throws address_invalid unless there are 4 or 16 bytes. */
export function addressFromBytes(bytes: Uint8Array): Address {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length === 4) return makeAddress(4, view.getUint32(0), 0, 0, 0);
  if (bytes.length !== 16) {
    throw new RomanaError('address_invalid', `An address has 4 or 16 bytes, not ${bytes.length}.`);
  }
  return makeAddress(6, view.getUint32(0), view.getUint32(4), view.getUint32(8), view.getUint32(12));
}

/** `a` moved by the integer `n` (which may be negative, |n| < 2^53); undefined past either end of the family's range. */
export function addressPlus(a: Address, n: number): Address | undefined {
  if (!Number.isSafeInteger(n)) throw new RangeError(`addressPlus takes a safe integer, not ${n}`);
  if (a.family === 4) {
    const sum = a.w0 + n;
    return sum < 0 || sum >= TWO32 ? undefined : makeAddress(4, sum, 0, 0, 0);
  }
  const high = Math.floor(n / TWO32);
  const s3 = a.w3 + (n - high * TWO32);
  const s2 = a.w2 + high + Math.floor(s3 / TWO32);
  const s1 = a.w1 + Math.floor(s2 / TWO32);
  const s0 = a.w0 + Math.floor(s1 / TWO32);
  return s0 < 0 || s0 >= TWO32 ? undefined : makeAddress(6, s0, s1, s2, s3);
}

export function addressToBigInt(a: Address): bigint {
  if (a.family === 4) return BigInt(a.w0);
  return (BigInt(a.w0) << 96n) | (BigInt(a.w1) << 64n) | (BigInt(a.w2) << 32n) | BigInt(a.w3);
}

/** Throws address_invalid when the value does not fit the family. */
export function addressFromBigInt(family: Family, value: bigint): Address {
  if (value < 0n || value >> BigInt(widthOf(family)) !== 0n) {
    throw new RomanaError('address_invalid', `The number ${value} does not fit an IPv${family} address.`);
  }
  if (family === 4) return makeAddress(4, Number(value), 0, 0, 0);
  const word = (shift: bigint): number => Number((value >> shift) & 0xffffffffn);
  return makeAddress(6, word(96n), word(64n), word(32n), word(0n));
}

/** Bits of `a` that are also in `mask`; the family is that of `a`. Both must be of one family. */
export function andAddress(a: Address, mask: Address): Address {
  return makeAddress(a.family, a.w0 & mask.w0, a.w1 & mask.w1, a.w2 & mask.w2, a.w3 & mask.w3);
}

export function orAddress(a: Address, b: Address): Address {
  return makeAddress(a.family, a.w0 | b.w0, a.w1 | b.w1, a.w2 | b.w2, a.w3 | b.w3);
}
