/** What `romana lab --once --json` prints: the document that programs read to learn whether a network does what it says. */
import { z } from 'zod';

export const Verdict = z
  .enum(['allow', 'deny'])
  .describe('Whether packets pass, both ways')
  .meta({ id: 'Verdict' });
export const LabHost = z
  .object({
    name: z.string(),
    rack: z.string(),
    cidrs: z.array(z.string()).describe('IPv4 host CIDRs'),
    cidrs6: z.array(z.string()).describe('IPv6 host CIDRs'),
    routes: z.int().describe('Routes of protocol 82 in the kernel, both families'),
    rules: z.int().describe('Rules of the table inet romana, without elements'),
    elements: z.int().describe('Elements of the sets and maps of that table'),
  })
  .meta({ id: 'LabHost' });
export const LabEndpoint = z
  .object({
    name: z.string().describe('tenant/segment/endpoint'),
    host: z.string(),
    tenant: z.string(),
    segment: z.string(),
    addresses: z.array(z.string()),
  })
  .meta({ id: 'LabEndpoint' });
export const LabProbe = z
  .object({
    from: z.string(),
    to: z.string(),
    family: z.union([z.literal(4), z.literal(6)]),
    protocol: z.enum(['tcp', 'udp', 'icmp', 'icmpv6']),
    port: z.int().nullable(),
    expected: Verdict,
    observed: Verdict,
  })
  .describe('One probe with real packets')
  .meta({ id: 'LabProbe' });
export const LabMtuProbe = z
  .object({
    from: z.string(),
    to: z.string(),
    family: z.union([z.literal(4), z.literal(6)]),
    size: z.int().describe('Bytes of the IP packet, sent with fragmentation forbidden'),
    expected: Verdict,
    observed: Verdict,
  })
  .meta({ id: 'LabMtuProbe' });
export const LabBgpSession = z
  .object({
    host: z.string(),
    peer: z.string().describe('Switch at the other end'),
    neighbour: z.string().describe('Its address'),
    state: z.enum(['idle', 'connect', 'active', 'opensent', 'openconfirm', 'established']),
    prefixesOut: z.int().nullable().describe('Announced by the host; null: its daemon does not say'),
  })
  .meta({ id: 'LabBgpSession' });
export const LabSwitch = z
  .object({
    name: z.string(),
    routes: z.int().describe("Routes of Romana's networks in its kernel, both families"),
  })
  .meta({ id: 'LabSwitch' });
export const LabDocument = z
  .object({
    ok: z.boolean().describe('Every observation is what was expected'),
    hosts: z.array(LabHost),
    endpoints: z.array(LabEndpoint),
    matrix: z.array(LabProbe),
    mtu: z
      .array(LabMtuProbe)
      .describe('A packet of the full MTU crosses racks unfragmented, one byte more is refused'),
    bgp: z.array(LabBgpSession).describe('Sessions of the hosts, where the fabric is bgp'),
    switches: z.array(LabSwitch),
    seconds: z.number(),
  })
  .meta({ id: 'LabDocument' });

export type Verdict = z.infer<typeof Verdict>;
export type LabHost = z.infer<typeof LabHost>;
export type LabEndpoint = z.infer<typeof LabEndpoint>;
export type LabProbe = z.infer<typeof LabProbe>;
export type LabMtuProbe = z.infer<typeof LabMtuProbe>;
export type LabBgpSession = z.infer<typeof LabBgpSession>;
export type LabSwitch = z.infer<typeof LabSwitch>;
export type LabDocument = z.infer<typeof LabDocument>;
