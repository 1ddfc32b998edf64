/**
 * Who holds which host, tenant and segment id. The store's holdings are the truth (a value has one holder); the `ids` inside the
 * objects repeat it for readers and are changed in the same transaction.
 */

import { maxId } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import type { KnownNetwork } from './shared.ts';

export type Field = 'host' | 'tenant' | 'segment';

/** `tenant` only for segment ids, which are numbered inside their tenant. */
export function idSpace(field: Field, network: string, tenant = ''): string {
  return field === 'segment' ? `segment id/${network}/${tenant}` : `${field} id/${network}`;
}

const retiring = 'retiring:';
/** Who holds the id of a deleted owner until the reuse barrier lets it go; no name of ours has a colon. */
export function retiringHolder(owner: string): string {
  return `${retiring}${owner}`;
}

/** Who an id belongs to; nobody while it retires. */
export function ownerOfId(tx: ReadTx, space: string, id: number): string | undefined {
  const holder = tx.holderOf(space, id);
  return holder?.startsWith(retiring) === true ? undefined : holder;
}

/** Underlay addresses of hosts. */
export const underlay = 'underlay';

export interface IdRequest {
  readonly field: Field;
  readonly network: KnownNetwork;
  readonly holder: string;
  readonly tenant?: string;
  /** Exactly this one. */
  readonly id?: number | undefined;
  /** This one if it can be had, else any: keeps one number in all networks where possible. */
  readonly preferred?: number | undefined;
  /** Part of the field to choose from; default: all of it. */
  readonly range?: { readonly first: number; readonly last: number; readonly name: string };
}

/** Takes an id for the holder. Throws id_out_of_range, id_taken, ids_exhausted. */
export function takeId(tx: Tx, request: IdRequest): number {
  const { field, network, holder } = request;
  const space = idSpace(field, network.name, request.tenant);
  const most = maxId(network.plan.layout[field]);
  const first = Math.max(1, request.range?.first ?? 1);
  const last = Math.min(most, request.range?.last ?? most);
  const id = request.id ?? freeId(tx, space, first, last, request.preferred);
  const where =
    request.range === undefined
      ? `network ${network.name}`
      : `${request.range.name} in network ${network.name}`;
  if (id === undefined) {
    const waiting = countRetiring(tx, space);
    const hint =
      waiting === 0
        ? 'delete some'
        : `${waiting} of them belonged to what was deleted and are free when every host has acknowledged that (\`romana status\` names the hosts), else delete some`;
    throw new RomanaError(
      'ids_exhausted',
      `Every ${field} id of ${where} is taken (${first} to ${last}); ${hint}, or use a network with a wider ${field} field.`,
      { details: { field, network: network.name, first, last, retiring: waiting } },
    );
  }
  if (id < first || id > last) {
    throw new RomanaError(
      'id_out_of_range',
      `The ${field} ids of ${where} are ${first} to ${last}, not ${id}.`,
      {
        details: { field, network: network.name, id, min: first, max: last },
      },
    );
  }
  const other = tx.holderOf(space, id);
  if (other?.startsWith(retiring) === true) {
    throw new RomanaError(
      'id_retiring',
      `The ${field} id ${id} of network ${network.name} belonged to ${field} ${other.slice(retiring.length)}, and not every host has acknowledged its deletion and rested; \`romana status\` names the hosts.`,
      { details: { field, network: network.name, id } },
    );
  }
  if (other !== undefined) {
    throw new RomanaError(
      'id_taken',
      `The ${field} id ${id} of network ${network.name} belongs to ${field} ${other}.`,
      {
        details: { field, network: network.name, id, holder: other },
      },
    );
  }
  tx.hold(space, id, holder);
  if (field === 'host') tx.forgetFormer(network.name, id);
  return id;
}

/** As `takeId`, or nothing when every id is taken: such a tenant or segment has its endpoints under the shared identity. */
export function takeIdIfAny(tx: Tx, request: IdRequest): { network: string; id: number }[] {
  const { field, network, tenant, id } = request;
  const none =
    tx.lowestFree(idSpace(field, network.name, tenant), 1, maxId(network.plan.layout[field])) === undefined;
  return id === undefined && none ? [] : [{ network: network.name, id: takeId(tx, request) }];
}

/** In each network the one of the creation; those after it were added. */
export function firstIds(ids: readonly { readonly network: string; readonly id: number }[]): number[] {
  return ids.flatMap(({ network, id }, index) =>
    ids.findIndex((other) => other.network === network) === index ? [id] : [],
  );
}

function countRetiring(tx: ReadTx, space: string): number {
  const prefix = `${space}/`;
  return tx.count('_retiring', { prefix }) + tx.count('_resting', { prefix });
}

function freeId(
  tx: ReadTx,
  space: string,
  first: number,
  last: number,
  preferred: number | undefined,
): number | undefined {
  if (
    preferred !== undefined &&
    preferred >= first &&
    preferred <= last &&
    tx.holderOf(space, preferred) === undefined
  ) {
    return preferred;
  }
  return tx.lowestFree(space, first, last);
}
