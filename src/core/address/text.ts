/**
 * Text of addresses. The scanner is strict on purpose: what one program reads as 8.0.0.1 and another as 10.0.0.1 ("010.0.0.1")
 * is a hole in an access list. So: no octal, no short forms, no zone, no surrounding space.
 */

import type { Words } from './words.ts';

const DOT = 46;
const COLON = 58;

/** Groups of the IPv6 address being scanned. Shared by all calls, so that scanning makes no garbage; nothing here re-enters. */
const groups = new Uint16Array(8);

/** Value of a hexadecimal digit, or -1. */
function hexDigit(code: number): number {
  if (code >= 48 && code <= 57) return code - 48;
  const lower = code | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}

/** Dotted quad filling `text` from `start` to its end, as a number; -1 when it is anything else. */
function scanQuad(text: string, start: number): number {
  let value = 0;
  let octet = -1;
  let octets = 0;
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code === DOT) {
      if (octet < 0 || octets === 3) return -1;
      value = value * 256 + octet;
      octets++;
      octet = -1;
    } else {
      const digit = code - 48;
      // octet === 0 here means a leading zero, which some programs read as octal.
      if (digit < 0 || digit > 9 || octet === 0) return -1;
      octet = octet < 0 ? digit : octet * 10 + digit;
      if (octet > 255) return -1;
    }
  }
  return octets === 3 && octet >= 0 ? value * 256 + octet : -1;
}

/** Fills `groups`; true when the whole text is an IPv6 address. */
function scanGroups(text: string): boolean {
  const end = text.length;
  let count = 0;
  let gap = -1;
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return false;
    gap = 0;
    i = 2;
  }
  while (i < end) {
    const start = i;
    let value = 0;
    let code = 0;
    for (; i < end; i++) {
      code = text.charCodeAt(i);
      const digit = hexDigit(code);
      if (digit < 0) break;
      value = value * 16 + digit;
      if (i - start > 3) return false;
    }
    if (i < end && code === DOT) {
      const quad = scanQuad(text, start);
      if (quad < 0 || count > 6) return false;
      groups[count++] = quad >>> 16;
      groups[count++] = quad & 0xffff;
      i = end;
      break;
    }
    if (i === start || count === 8) return false;
    groups[count++] = value;
    if (i === end) break;
    if (code !== COLON) return false;
    i++;
    if (i === end) return false; // a single colon at the end
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    }
  }
  if (gap < 0) return count === 8;
  // "::" stands for at least one group.
  if (count === 8) return false;
  const tail = count - gap;
  for (let k = 1; k <= tail; k++) groups[8 - k] = groups[count - k]!;
  for (let k = gap; k < 8 - tail; k++) groups[k] = 0;
  return true;
}

/**
 * Reads an address into `out` without making garbage. Answers 4 or 6, or 0 when the text is no address (then `out` is as before).
 */
export function parseInto(text: string, out: Words): 4 | 6 | 0 {
  for (let i = 0; i < text.length && i < 5; i++) {
    const code = text.charCodeAt(i);
    if (code === COLON) {
      if (!scanGroups(text)) return 0;
      for (let w = 0; w < 4; w++) {
        out[w] = (groups[2 * w]! << 16) | groups[2 * w + 1]!;
      }
      return 6;
    }
    if (code === DOT) {
      const quad = scanQuad(text, 0);
      if (quad < 0) return 0;
      out[0] = quad;
      out[1] = 0;
      out[2] = 0;
      out[3] = 0;
      return 4;
    }
  }
  return 0;
}

/** Why `parseInto` refuses the text; for messages only, so it may be slow. */
export function explainText(text: string): string {
  if (text === '') return 'it is empty';
  if (/\s/.test(text)) return 'it contains white space';
  if (text.includes('%')) return 'a zone (%…) is not part of an address here';
  if (text.includes('/')) return 'it is a CIDR, but a single address is wanted';
  if (text.includes(':')) {
    if (/[^0-9a-fA-F:.]/.test(text)) return 'IPv6 has only hexadecimal digits and colons';
    if (text.includes(':::') || text.split('::').length > 2) return '"::" may stand in it only once';
    if (/[0-9a-fA-F]{5}/.test(text)) return 'a group has more than four digits';
    if (text.includes('.'))
      return 'a dotted quad may stand only at the end, as four decimal numbers without leading zeros';
    return 'it does not have eight groups, or a "::" in place of at least one';
  }
  if (/[^0-9.]/.test(text)) return 'IPv4 is four decimal numbers with dots between them';
  const parts = text.split('.');
  if (parts.length !== 4 || parts.includes('')) return 'IPv4 needs exactly four numbers';
  if (parts.some((part) => part.length > 1 && part.startsWith('0')))
    return 'leading zeros are ambiguous (octal)';
  return 'a number is above 255';
}

export function formatQuad(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
}

/** RFC 5952 text: lower case, no leading zeros, the first longest run of two or more zero groups as "::", mapped IPv4 dotted (§5). */
export function formatGroups(w0: number, w1: number, w2: number, w3: number): string {
  if (w0 === 0 && w1 === 0 && w2 === 0xffff) return `::ffff:${formatQuad(w3)}`;
  const g = [w0 >>> 16, w0 & 0xffff, w1 >>> 16, w1 & 0xffff, w2 >>> 16, w2 & 0xffff, w3 >>> 16, w3 & 0xffff];
  let best = -1;
  let bestLength = 1;
  let run = 0;
  for (let i = 0; i < 8; i++) {
    run = g[i] === 0 ? run + 1 : 0;
    if (run > bestLength) {
      bestLength = run;
      best = i - run + 1;
    }
  }
  let text = '';
  for (let i = 0; i < 8; i++) {
    if (i === best) {
      text += '::';
      i += bestLength - 1;
    } else {
      if (i > 0 && !text.endsWith('::')) text += ':';
      text += g[i]!.toString(16);
    }
  }
  return text;
}
