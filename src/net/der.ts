/**
 * The little of ASN.1 DER (X.690) that certificates and certificate requests need. Writing never fails; reading is strict: definite
 * and shortest lengths only, nothing behind the value, no recursion.
 */
export const tags = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  sequence: 0x30,
  set: 0x31,
  utcTime: 0x17,
  generalizedTime: 0x18,
} as const;

export const oids = {
  commonName: '2.5.4.3',
  ecdsaWithSha256: '1.2.840.10045.4.3.2',
  subjectKeyIdentifier: '2.5.29.14',
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  authorityKeyIdentifier: '2.5.29.35',
  extendedKeyUsage: '2.5.29.37',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

function join(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

/** One value: tag, length, contents. */
export function der(tag: number, ...contents: readonly Uint8Array[]): Uint8Array {
  const body = join(contents);
  if (body.length < 0x80) return join([Uint8Array.of(tag, body.length), body]);
  const length: number[] = [];
  for (let rest = body.length; rest > 0; rest = Math.floor(rest / 256)) length.unshift(rest % 256);
  return join([Uint8Array.of(tag, 0x80 | length.length, ...length), body]);
}

export function sequence(...contents: readonly Uint8Array[]): Uint8Array {
  return der(tags.sequence, ...contents);
}

/** A non-negative integer from its big-endian bytes. */
export function integer(bytes: Uint8Array): Uint8Array {
  let from = 0;
  while (from < bytes.length - 1 && bytes[from] === 0) from += 1;
  const short = bytes.subarray(from);
  return der(tags.integer, ...((short[0] ?? 0) >= 0x80 ? [Uint8Array.of(0), short] : [short]));
}

export function oid(text: string): Uint8Array {
  const [first = 0, second = 0, ...rest] = text.split('.').map(Number);
  const bytes: number[] = [];
  for (const part of [first * 40 + second, ...rest]) {
    const group = [part % 128];
    for (let left = Math.floor(part / 128); left > 0; left = Math.floor(left / 128))
      group.unshift(0x80 | (left % 128));
    bytes.push(...group);
  }
  return der(tags.oid, Uint8Array.from(bytes));
}

/** Bits without unused ones at the end. */
export function bitString(bytes: Uint8Array): Uint8Array {
  return der(tags.bitString, Uint8Array.of(0), bytes);
}

export function octetString(bytes: Uint8Array): Uint8Array {
  return der(tags.octetString, bytes);
}

/** A Name of one common name. */
export function commonName(text: string): Uint8Array {
  const value = der(tags.utf8String, new TextEncoder().encode(text));
  return sequence(der(tags.set, sequence(oid(oids.commonName), value)));
}

/** Milliseconds since the epoch, to the second; UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
export function time(ms: number): Uint8Array {
  const iso = new Date(ms).toISOString();
  const digits = `${iso.slice(0, 19).replace(/[-:T]/g, '')}Z`;
  const short = Number(iso.slice(0, 4)) < 2050;
  return der(
    short ? tags.utcTime : tags.generalizedTime,
    new TextEncoder().encode(short ? digits.slice(2) : digits),
  );
}

export interface DerValue {
  readonly tag: number;
  readonly contents: Uint8Array;
  /** Tag, length and contents. */
  readonly whole: Uint8Array;
}

/** The values in `bytes`, one behind the other; null when that is not what the bytes are. */
export function readDer(bytes: Uint8Array): DerValue[] | null {
  const values: DerValue[] = [];
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at] ?? 0;
    let length = bytes[at + 1] ?? -1;
    let from = at + 2;
    if ((tag & 0x1f) === 0x1f || length < 0 || length === 0x80 || length > 0x83) return null;
    if (length > 0x80) {
      const count = length - 0x80;
      length = 0;
      for (let i = 0; i < count; i += 1) length = length * 256 + (bytes[from + i] ?? 0);
      from += count;
      if (length < 0x80 || length < 256 ** (count - 1)) return null;
    }
    const end = from + length;
    if (end > bytes.length) return null;
    values.push({ tag, contents: bytes.subarray(from, end), whole: bytes.subarray(at, end) });
    at = end;
  }
  return values;
}

export function toPem(label: string, bytes: Uint8Array): string {
  const lines =
    Buffer.from(bytes)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

/** The bytes of the only PEM block of this label; null when there is none, or more than one. */
export function fromPem(label: string, text: string): Uint8Array | null {
  const match = new RegExp(
    `^\\s*-----BEGIN ${label}-----\\r?\\n([A-Za-z0-9+/=\\r\\n]+)-----END ${label}-----\\s*$`,
  ).exec(text);
  return match?.[1] === undefined ? null : Buffer.from(match[1], 'base64');
}
