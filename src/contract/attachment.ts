/** How an endpoint is wired to its host. */
import { z } from 'zod';
import { linkName, netnsPath } from './text.ts';

export const Attachment = z
  .discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('none') }).describe('Address only; nothing is wired yet'),
    z
      .strictObject({ kind: z.literal('veth-netns'), netns: netnsPath, ifname: linkName.default('eth0') })
      .describe('Romana makes a veth pair and puts one end into the network namespace'),
    z
      .strictObject({ kind: z.literal('existing-link'), link: linkName })
      .describe('A link that exists on the host (a tap of a VM); its guest configures itself'),
    z
      .strictObject({
        kind: z.literal('existing-netns-peer'),
        link: linkName,
        netns: netnsPath,
        ifname: linkName.default('eth0'),
      })
      .describe('A veth pair made by somebody else; Romana configures both ends'),
  ])
  .meta({ id: 'Attachment' });
export type Attachment = z.infer<typeof Attachment>;
