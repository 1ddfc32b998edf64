/** Bit work on the four 32-bit words of an address. Bit 0 is the most significant bit of word 0. */

/** Four unsigned 32-bit words, most significant first. Always of length 4; the hot paths do not check that. */
export type Words = Uint32Array;

export const TWO32 = 0x1_0000_0000;

/** Word `index` (0..3) of a mask whose first `length` bits are one. */
export function maskWord(length: number, index: number): number {
  const bits = length - 32 * index;
  if (bits <= 0) return 0;
  // A shift by 32 is a shift by 0 in JavaScript, hence the case of its own.
  return bits >= 32 ? 0xffffffff : (-1 << (32 - bits)) >>> 0;
}

/** The part of `value`, a field that ends before bit `end`, that falls into word `index`. The field is at most 32 bits wide. */
export function fieldWord(end: number, value: number, index: number): number {
  const last = (end - 1) >> 5;
  const shift = 31 - ((end - 1) & 31);
  if (index === last) return (value << shift) >>> 0;
  if (index === last - 1 && shift > 0) return value >>> (32 - shift);
  return 0;
}

/** True for an integer in 0..2^32−1. */
export function isWord(value: number): boolean {
  return value >>> 0 === value;
}
