/**
 * Home and location of an endpoint. The home is the host whose id is in its addresses, and never changes; the location is the host
 * where it runs. Each change of location has the next number, so that what is said of an earlier stay can be told from what is said
 * of this one.
 */
import { z } from 'zod';

export const locationSeq = z.int().min(0).describe('Number of the stay: counts the changes of location');

/** Of an endpoint. Absent: it is at home and never was elsewhere. */
export const location = {
  location: z
    .string()
    .optional()
    .describe('Host that it runs on; `host` is its home, whose host id its addresses have'),
  locationSeq: locationSeq.optional(),
};

interface Located {
  readonly host: string;
  readonly location?: string | undefined;
  readonly locationSeq?: number | undefined;
}

export function locationOf({ host, location: elsewhere }: Located): string {
  return elsewhere ?? host;
}

export function locationSeqOf({ locationSeq: seq }: Pick<Located, 'locationSeq'>): number {
  return seq ?? 0;
}
