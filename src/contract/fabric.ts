/** The fabric as it is stored in topologies and hosts and told to agents. The texts of files are judged by core/plan/topology. */
import { z } from 'zod';
import { daemons, platforms } from '#core/routing/fabric.ts';
import { addressText, cidrText, linkName, name } from './text.ts';

const asn = z
  .int()
  .min(1)
  .max(4294967294)
  .refine((value) => value !== 23456, '23456 is AS_TRANS, which stands for other AS numbers (RFC 6793)');
const L2Fabric = z.object({
  kind: z.literal('l2'),
  withdrawAfterSeconds: z.int().min(0).max(86400),
  observers: z.int().min(1).max(64),
});
const L3StaticFabric = z.object({ kind: z.literal('l3-static') });
const BgpFabric = z.object({
  kind: z.literal('bgp'),
  daemon: z.enum(daemons),
  hostAsn: asn,
  hostAsnPerHost: z.boolean(),
  holdSeconds: z.int().min(3).max(65535),
  connectRetrySeconds: z.int().min(1).max(65535),
  gracefulRestartSeconds: z.int().min(0).max(4095),
  bfd: z.object({ intervalMs: z.int().min(10).max(60_000), multiplier: z.int().min(2).max(255) }).nullable(),
  ttlSecurity: z.boolean(),
  passwordFile: z.string().nullable(),
  maxPrefixes: z.int().min(1).max(1_000_000).nullable(),
  communities: z.array(z.string()),
  ecmp: z.int().min(1).max(64),
  acceptDefault: z.boolean(),
  accept: z.array(cidrText),
  unnumbered: z.boolean(),
  announceAddresses: z.boolean(),
  aggregate: z.boolean().nullable(),
  direct: z.boolean(),
});
const VpcFabric = z.object({
  kind: z.literal('vpc'),
  provider: z.literal('aws'),
  region: z.string(),
  vpc: z.string(),
  routeTables: z.array(z.string()),
  budget: z.int().min(1).max(1000).nullable(),
  endpoint: z.string().nullable(),
  subnet: z.string().nullable(),
  peerings: z.array(z.object({ group: z.string(), connection: z.string() })).max(256),
});
export const Fabric = z
  .discriminatedUnion('kind', [L2Fabric, L3StaticFabric, BgpFabric, VpcFabric])
  .describe('How the hosts below reach each other')
  .meta({ id: 'Fabric' });
export const Device = z
  .object({
    name,
    platform: z.enum(platforms),
    addresses: z.array(addressText).max(2),
    uplinks: z.array(
      z.object({ device: name, local: z.array(addressText).max(2), remote: z.array(addressText).max(2) }),
    ),
    asn: asn.nullable(),
    routerId: z.string().nullable(),
    routeReflector: z.boolean(),
    links: z.record(z.string(), linkName),
    budget: z.int().min(1).nullable(),
  })
  .describe('A switch or router')
  .meta({ id: 'Device' });
export const HostUplink = z
  .strictObject({
    device: name,
    addresses: z.array(addressText).max(2).default([]),
    link: linkName.nullable().default(null),
  })
  .describe('Link of a host to a device')
  .meta({ id: 'HostUplink' });
export const uplinks = z.array(HostUplink).max(8);
export const hostAsn = asn;

export type Fabric = z.infer<typeof Fabric>;
export type Device = z.infer<typeof Device>;
export type HostUplink = z.infer<typeof HostUplink>;
