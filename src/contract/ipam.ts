/** Addresses by themselves: one taken apart, ranges kept back, how many are where, and whether the records agree. */
import { z } from 'zod';
import { locationSeq } from './location.ts';
import { Allocator, cidrText } from './model.ts';

export const ReservationInput = z
  .strictObject({
    cidr: cidrText.describe('Range never given out; a wider one swallows narrower ones'),
    keepLive: z
      .boolean()
      .default(false)
      .describe('Reserve although endpoints hold addresses in it; they keep them until they go'),
  })
  .meta({ id: 'ReservationInput' });
export const DecodedAddress = z
  .object({
    address: z.string(),
    network: z.string(),
    ids: z
      .object({ host: z.int(), tenant: z.int(), segment: z.int(), endpoint: z.int() })
      .nullable()
      .describe('Null in a flat network, as are hostCidr and block'),
    host: z.string().nullable(),
    tenant: z.string().nullable(),
    segment: z.string().nullable(),
    endpoint: z.string().nullable(),
    hostCidr: z.string().nullable(),
    block: z.string().nullable(),
    state: z
      .enum(['used', 'reserved', 'quarantined', 'free', 'unassigned', 'never', 'flat'])
      .describe(
        'unassigned: nobody holds the ids in it; never: an id in it is 0, and it is given to nobody; free: as far as the control plane knows; flat: no address of a flat network is given out',
      ),
    quarantinedUntil: z
      .string()
      .nullable()
      .describe('Until then others wait for it; only of addresses that the server gives'),
    reservedBy: z.string().nullable().describe('The reserved range that holds it, also while it is used'),
    allocator: Allocator.nullable().describe('Who gives out the addresses of its host id'),
    location: z
      .string()
      .nullable()
      .describe('Host where its endpoint runs; `host` is the home, which the address names'),
    locationSeq: locationSeq.optional().describe('Absent: no endpoint has the address'),
  })
  .meta({ id: 'DecodedAddress' });

const amount = z
  .string()
  .regex(/^\d+$/)
  .describe('Number of addresses, in decimal: exact, also where a JSON number would round');
export const IpamRow = z
  .object({
    level: z.enum(['network', 'group', 'host', 'tenant', 'block']),
    network: z.string(),
    group: z.string().nullable(),
    host: z.string().nullable(),
    tenant: z.string().nullable(),
    segment: z.string().nullable(),
    shared: z
      .boolean()
      .optional()
      .describe('A block of the shared identity: of all who are beyond the tenant or segment field'),
    cidr: z.string().nullable().describe('Null where it is not one range'),
    size: amount,
    used: amount,
    reserved: amount,
    quarantined: amount,
    free: amount.describe('What a new endpoint of whoever the row names could get'),
    stranded: amount.describe('Neither used nor free to everybody in the row; see why'),
    why: z.array(z.object({ reason: z.string(), count: amount })).describe('Adds up to stranded'),
  })
  .describe('used + reserved + quarantined + free + stranded = size')
  .meta({ id: 'IpamRow' });
export const IpamUsage = z
  .object({
    revision: z.int(),
    at: z.string(),
    reasons: z.record(z.string(), z.string()),
    rows: z.array(IpamRow),
    blocked: z
      .array(
        z.object({
          network: z.string(),
          reason: z.enum(['retiring', 'pending', 'fenced']),
          what: z.string().describe('The ids that are not free or not usable yet'),
          hosts: z
            .array(z.string())
            .describe('Hosts that are waited for, and who else has to have the route (see HostReservation)'),
        }),
      )
      .optional()
      .describe('What keeps ids from being used, and which hosts are the reason'),
  })
  .meta({ id: 'IpamUsage' });

const leak = z.strictObject({
  key: z.string().max(400).describe('tenant/segment/name'),
  uid: z.string().max(64),
  seq: z.int().min(0).describe('Number of the allocation: only this one is released'),
});
export const IpamFinding = z
  .object({
    code: z.string(),
    message: z.string(),
    remedy: z.string(),
    objects: z.array(z.string()),
    leak: leak.nullable().describe('What `romana ipam release --from-report` releases'),
  })
  .meta({ id: 'IpamFinding' });
export const IpamCheck = z
  .object({
    incarnation: z.string(),
    revision: z.int(),
    at: z.string(),
    checked: z.object({ networks: z.int(), hosts: z.int(), endpoints: z.int(), allocations: z.int() }),
    findings: z.array(IpamFinding),
    unknown: z
      .array(z.object({ host: z.string(), reason: z.string() }))
      .optional()
      .describe(
        'Hosts whose agent and kernel could not be compared with the records: neither right nor wrong',
      ),
  })
  .meta({ id: 'IpamCheck' });
export const IpamReleaseInput = z
  .strictObject({ leaks: z.array(leak).min(1).max(1000) })
  .meta({ id: 'IpamReleaseInput' });
export const IpamReleaseAnswer = z
  .object({
    released: z.array(z.string()).describe('Keys'),
    skipped: z.array(z.object({ key: z.string(), reason: z.string() })),
  })
  .meta({ id: 'IpamReleaseAnswer' });

export type IpamRow = z.infer<typeof IpamRow>;
export type IpamFinding = z.infer<typeof IpamFinding>;
export type IpamCheck = z.infer<typeof IpamCheck>;
export type IpamReleaseAnswer = z.infer<typeof IpamReleaseAnswer>;
export type IpamBlocked = NonNullable<IpamUsage['blocked']>[number];
export type IpamUsage = z.infer<typeof IpamUsage>;
export type DecodedAddress = z.infer<typeof DecodedAddress>;
