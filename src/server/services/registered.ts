/** Whether an agent may have given out the addresses that it reports. An agent is trusted with its own host ids, and only those. */
import type { Host } from '#contract/model.ts';
import { formatAddress, parseAddress } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { locate } from '#core/ipam/block.ts';
import { numbersOf, type Placed } from '#core/ipam/index.ts';
import { isOpenTo } from '#core/plan/index.ts';
import type { ReadTx } from '#store/port.ts';
import { must, networkClosed } from './shared.ts';
import type { Input } from './types.ts';

type Registered = Input<'hostReport'>['body']['registered'][number];

/** Throws address_mismatch, allocator_mismatch, address_taken, input_invalid or not_found; writes nothing. */
export function registeredAddresses(tx: ReadTx, host: Host, key: string, item: Registered): Placed[] {
  const tenant = must(tx, 'tenant', item.tenant);
  const segment = must(tx, 'segment', `${item.tenant}/${item.segment}`);
  const seen = new Set<string>();
  return item.addresses.map(({ network: name, address: text }) => {
    const network = tx.ipam.network(name);
    if (network === undefined) throw new RomanaError('not_found', `There is no network ${name}.`);
    if (!isOpenTo(must(tx, 'network', name), item.tenant)) throw networkClosed(name, item.tenant);
    const address = parseAddress(text);
    const placed = locate(network, address);
    const mismatch = (what: string) =>
      new RomanaError('address_mismatch', `${text} of endpoint ${key} ${what}.`, {
        details: { key, address: text },
      });
    if (placed === undefined) throw mismatch(`is no endpoint's address of network ${name}`);
    const held = host.ids.find((entry) => entry.network === name && entry.id === placed.hostId);
    if (held === undefined)
      throw mismatch(`has host id ${placed.hostId}, which host ${host.name} does not hold`);
    if (held.allocator !== 'agent') {
      throw new RomanaError(
        'allocator_mismatch',
        `${text} has host id ${held.id}, whose addresses the server gives out.`,
        { details: { key, network: name, id: held.id, allocator: held.allocator } },
      );
    }
    // Under the shared identity also when the tenant has an id by now: the agent may not have known of it yet.
    const encoded = placed.tenantId !== 0;
    if (encoded && !numbersOf(tenant.ids, name).includes(placed.tenantId))
      throw mismatch(`has tenant id ${placed.tenantId}, which is not tenant ${item.tenant}`);
    if (encoded && !numbersOf(segment.ids, name).includes(placed.segmentId)) {
      throw mismatch(
        `has segment id ${placed.segmentId}, which is not segment ${item.tenant}/${item.segment}`,
      );
    }
    if (placed.endpointId < 1) throw mismatch('has endpoint id 0, which is never given out');
    const canonical = formatAddress(address);
    if (seen.has(canonical)) throw new RomanaError('input_invalid', `Endpoint ${key} has ${text} twice.`);
    seen.add(canonical);
    const owner = tx.ipam.ownerOf(name, address);
    if (owner !== undefined && owner !== key) {
      throw new RomanaError('address_taken', `${text} belongs to endpoint ${owner}.`, {
        details: { address: text, owner },
      });
    }
    return placed;
  });
}
