/** What an address says, and who answers to it. */
import type { DecodedAddress } from '#contract/ipam.ts';
import { locationOf, locationSeqOf } from '#contract/location.ts';
import type { Network } from '#contract/model.ts';
import {
  type Address,
  blockCidr,
  containsAddress,
  decode,
  formatAddress,
  formatCidr,
  hostCidr,
  parseAddress,
  parseCidr,
  tenantCidr,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { ReadTx } from '#store/port.ts';
import { idSpace, ownerOfId } from './ids.ts';
import { type Context, networksOf } from './shared.ts';
import type { Services } from './types.ts';

type State = DecodedAddress['state'];

export function addressServices({ store, steadyNow }: Context): Pick<Services, 'addressExplain'> {
  return {
    addressExplain: async (_, { params }) =>
      store.read((tx) => {
        const address = parseAddress(params.address);
        const network = networksOf(tx).find(({ plan }) => containsAddress(plan.cidr, address));
        const flat = network === undefined ? flatAt(tx, address) : undefined;
        if (flat !== undefined) return explainFlat(flat, address);
        const ids = network === undefined ? undefined : decode(network.plan, address);
        if (network === undefined || ids === undefined) {
          throw new RomanaError('not_found', `${params.address} is an address of no network.`, {
            details: { address: params.address },
          });
        }
        const { name, plan } = network;
        const ipam = tx.ipam.network(name)!;
        const endpoint = tx.ipam.ownerOf(name, address) ?? null;
        const recorded = endpoint === null ? undefined : tx.get('endpoint', endpoint);
        const host = tx.holderOf(idSpace('host', name), ids.host) ?? null;
        const held = host === null ? undefined : tx.get('host', host)?.ids;
        const allocator = held?.find((entry) => entry.network === name && entry.id === ids.host)?.allocator;
        const reserved = ipam.reserved.find((range) => containsAddress(range, address));
        const releasedAt = tx.ipam.releasedAt(name, address);
        const until = releasedAt === undefined ? 0 : releasedAt + ipam.quarantineMs;
        const resting = endpoint === null && until > steadyNow();
        // Under the shared identity only the endpoint itself tells.
        const shared = ids.tenant === 0;
        const [ownTenant = null, ownSegment = null] = shared ? (endpoint?.split('/') ?? []) : [];
        const tenant = shared ? ownTenant : (ownerOfId(tx, idSpace('tenant', name), ids.tenant) ?? null);
        const segment =
          shared || tenant === null
            ? ownSegment
            : (ownerOfId(tx, idSpace('segment', name, tenant), ids.segment) ?? null);
        const state = (): State => {
          if (endpoint !== null) return 'used';
          if (reserved !== undefined) return 'reserved';
          const first = shared ? ids.segment + ids.endpoint === 0 : ids.endpoint === 0 || ids.segment === 0;
          if (ids.host === 0 || first) return 'never';
          if (resting) return 'quarantined';
          const known = shared || (tenant !== null && segment !== null);
          return host !== null && known ? 'free' : 'unassigned';
        };
        return {
          address: formatAddress(address),
          network: name,
          ids,
          host,
          tenant,
          segment,
          endpoint,
          hostCidr: formatCidr(hostCidr(plan, ids.host)),
          block: formatCidr(
            shared ? tenantCidr(plan, ids.host, 0) : blockCidr(plan, ids.host, ids.tenant, ids.segment),
          ),
          state: state(),
          quarantinedUntil: resting ? new Date(until).toISOString() : null,
          reservedBy: reserved === undefined ? null : formatCidr(reserved),
          allocator: allocator ?? null,
          location: recorded === undefined ? null : locationOf(recorded),
          ...(recorded === undefined ? {} : { locationSeq: locationSeqOf(recorded) }),
        };
      }),
  };
}

function flatAt(tx: ReadTx, address: Address): Network | undefined {
  return tx
    .list('network')
    .map(({ value }) => value)
    .find(({ layout, cidr }) => layout === null && containsAddress(parseCidr(cidr), address));
}

/** Its addresses say nothing, and nobody has one. */
function explainFlat({ name, reserved }: Network, address: Address): DecodedAddress {
  const reservedBy = reserved.find((range) => containsAddress(parseCidr(range), address)) ?? null;
  return {
    address: formatAddress(address),
    network: name,
    ids: null,
    host: null,
    tenant: null,
    segment: null,
    endpoint: null,
    hostCidr: null,
    block: null,
    state: reservedBy === null ? 'flat' : 'reserved',
    quarantinedUntil: null,
    reservedBy,
    allocator: null,
    location: null,
  };
}
