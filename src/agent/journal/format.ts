/**
 * Bytes of a journal. Every line is `crc32 number json\n`: eight hexadecimal digits over all that follows them and the space, the number
 * of the line's first record, and JSON. Line 0 is the header `{"format":1,"generation":"<uuid>"}`; every other line is an array with
 * the records of *one* write. One line per write, not per record: pages of an unfinished write may reach the disk in any order, and so
 * only the last line can ever be half there.
 */

import { crc32 } from 'node:zlib';
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import type { Allocation, IpamEvent, Placed } from '#core/ipam/index.ts';

/** Anything that JSON can hold. What it means is the caller's business: the wiring of the endpoint. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

export interface JournalRecord {
  readonly event: IpamEvent;
  /** Null where the caller has nothing to keep. */
  readonly payload: Json;
}

export interface Contents {
  readonly generation: string;
  readonly records: readonly JournalRecord[];
  /** Bytes up to the end of the last whole line. */
  readonly length: number;
}

const FORMAT = 1;
const NEWLINE = 10;
/** The least that a disk writes or does not write. */
const SECTOR = 512;

type StoredPlaced = Omit<Placed, 'address'> & { readonly address: string };
type StoredAllocation = Omit<Allocation, 'addresses'> & { readonly addresses: readonly StoredPlaced[] };
type StoredEvent =
  | { readonly type: 'allocated'; readonly allocation: StoredAllocation; readonly at: number }
  | (Omit<Extract<IpamEvent, { type: 'released' }>, 'addresses'> & {
      readonly addresses: readonly StoredPlaced[];
    });

export function encodeHeader(generation: string): Buffer {
  return encodeLine(0, { format: FORMAT, generation });
}

/** `first` is the number of the first record, counted from 1. */
export function encodeRecords(first: number, records: readonly JournalRecord[]): Buffer {
  return encodeLine(
    first,
    records.map((record) => [storeEvent(record.event), record.payload]),
  );
}

function encodeLine(number: number, value: unknown): Buffer {
  const body = `${number} ${JSON.stringify(value)}\n`;
  return Buffer.from(`${crcText(Buffer.from(body))} ${body}`);
}

function crcText(bytes: Uint8Array): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}

/**
 * Reads a whole journal. What an unfinished last write left is not part of `length`. Anything else that is not as written throws
 * store_corrupt with the byte offset: guessing there would give an address to two endpoints.
 */
export function decodeJournal(bytes: Uint8Array, path: string): Contents {
  let generation: string | undefined;
  const records: JournalRecord[] = [];
  let offset = 0;
  while (offset < bytes.length) {
    const newline = bytes.indexOf(NEWLINE, offset);
    const end = newline < 0 ? bytes.length : newline + 1;
    const line = bytes.subarray(offset, end);
    const parsed = decodeLine(line);
    if (parsed === undefined) {
      if (generation !== undefined && end === bytes.length && isUnfinished(line, offset)) break;
      throw corrupt(path, offset, 'the checksum is wrong');
    }
    if (generation === undefined) {
      generation = readHeader(parsed, path);
    } else {
      if (parsed.number !== records.length + 1) {
        throw corrupt(path, offset, `record ${records.length + 1} is missing, ${parsed.number} follows`);
      }
      try {
        for (const [event, payload] of parsed.value as [StoredEvent, Json][]) {
          records.push({ event: loadEvent(event), payload });
        }
      } catch (error) {
        if (!isRomanaError(error) && !(error instanceof TypeError)) throw error;
        throw corrupt(path, offset, 'the checksum is right but the record makes no sense', error);
      }
    }
    offset = end;
  }
  // A journal gets its name only after its header is on the disk; without one it was cut by something else.
  if (generation === undefined) throw corrupt(path, 0, 'the header is missing');
  return { generation, records, length: offset };
}

interface Line {
  readonly number: number;
  readonly value: unknown;
}

function decodeLine(line: Uint8Array): Line | undefined {
  const buffer = Buffer.from(line.buffer, line.byteOffset, line.length);
  if (line.at(-1) !== NEWLINE || line[8] !== 32) return undefined;
  if (buffer.toString('latin1', 0, 8) !== crcText(line.subarray(9))) return undefined;
  const space = line.indexOf(32, 9);
  return {
    number: Number(buffer.toString('latin1', 9, space)),
    value: JSON.parse(buffer.toString('utf8', space + 1)) as unknown,
  };
}

function readHeader({ number, value }: Line, path: string): string {
  const header = value as { format?: unknown; generation?: unknown };
  if (number !== 0 || typeof header.generation !== 'string') throw corrupt(path, 0, 'the header is missing');
  if (header.format !== FORMAT) {
    throw new RomanaError(
      'store_corrupt',
      `${path} has format ${String(header.format)}, but this version of Romana reads format ${FORMAT}; use the version that wrote it.`,
      { details: { path, format: header.format } },
    );
  }
  return header.generation;
}

/**
 * True when the last line, which is not valid, is what an unfinished write can leave: cut off, or with whole sectors still zero. A
 * finished line with a flipped bit is neither, also when the bit is in its newline.
 */
function isUnfinished(line: Uint8Array, offset: number): boolean {
  if (line.at(-1) !== NEWLINE) {
    const restored = Uint8Array.from(line);
    restored[line.length - 1] = NEWLINE;
    return decodeLine(restored) === undefined;
  }
  let start = 0;
  while (start < line.length) {
    const end = Math.min(line.length, start + SECTOR - ((offset + start) % SECTOR));
    if (line.subarray(start, end).every((byte) => byte === 0)) return true;
    start = end;
  }
  return false;
}

function corrupt(path: string, offset: number, reason: string, cause?: unknown): RomanaError {
  return new RomanaError(
    'store_corrupt',
    `${path} is damaged at byte ${offset}: ${reason}. Keep a copy of it, move it away and start again: the agent then rebuilds its ` +
      'state from server, kernel and orchestrator.',
    { details: { path, offset }, cause },
  );
}

function storeEvent(event: IpamEvent): StoredEvent {
  if (event.type === 'released') return { ...event, addresses: event.addresses.map(storePlaced) };
  const { allocation } = event;
  return { ...event, allocation: { ...allocation, addresses: allocation.addresses.map(storePlaced) } };
}

function loadEvent(event: StoredEvent): IpamEvent {
  if (event.type === 'released') return { ...event, addresses: event.addresses.map(loadPlaced) };
  const { allocation } = event;
  return { ...event, allocation: { ...allocation, addresses: allocation.addresses.map(loadPlaced) } };
}

function storePlaced(placed: Placed): StoredPlaced {
  return { ...placed, address: formatAddress(placed.address) };
}

function loadPlaced(placed: StoredPlaced): Placed {
  return { ...placed, address: parseAddress(placed.address) };
}
