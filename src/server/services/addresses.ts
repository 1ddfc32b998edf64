/** What an address says, and who answers to it. */
import {
  blockCidr,
  containsAddress,
  decode,
  formatAddress,
  formatCidr,
  hostCidr,
  parseAddress,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { idSpace } from './ids.ts';
import { type Context, networksOf } from './shared.ts';
import type { Services } from './types.ts';

export function addressServices({ store }: Context): Pick<Services, 'addressExplain'> {
  return {
    addressExplain: async (_, { params }) =>
      store.read((tx) => {
        const address = parseAddress(params.address);
        const network = networksOf(tx).find(({ plan }) => containsAddress(plan.cidr, address));
        const ids = network === undefined ? undefined : decode(network.plan, address);
        if (network === undefined || ids === undefined) {
          throw new RomanaError('not_found', `${params.address} is an address of no network.`, {
            details: { address: params.address },
          });
        }
        const { name, plan } = network;
        const tenant = tx.holderOf(idSpace('tenant', name), ids.tenant) ?? null;
        return {
          address: formatAddress(address),
          network: name,
          ids,
          host: tx.holderOf(idSpace('host', name), ids.host) ?? null,
          tenant,
          segment:
            tenant === null ? null : (tx.holderOf(idSpace('segment', name, tenant), ids.segment) ?? null),
          endpoint: tx.ipam.ownerOf(name, address) ?? null,
          hostCidr: formatCidr(hostCidr(plan, ids.host)),
          block: formatCidr(blockCidr(plan, ids.host, ids.tenant, ids.segment)),
        };
      }),
  };
}
