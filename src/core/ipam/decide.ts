/** The decisions. They read a view, change nothing, and answer with the events that whoever keeps the state has to make durable. */

import { containsCidr, equalAddress, formatAddress, formatCidr, hostRoute, maxId } from '../address/index.ts';
import { RomanaError } from '../errors.ts';
import {
  cidrOfBlock,
  formatBlock,
  type Geometry,
  geometryOf,
  offsetOf,
  place,
  reservedIds,
} from './block.ts';
import { blockFull, type FullBlock } from './full.ts';
import { countIds, type IdRange, mergeRanges, rangeOf } from './ranges.ts';
import type { Allocation, Block, IpamEvent, IpamNetwork, IpamView, Placed, Slot, Wanted } from './types.ts';

/**
 * Answers the same question with the same allocation and no events; otherwise one event. All slots or none: a refusal (thrown) leaves
 * nothing behind. `now` is in ms, of the same clock as the `at` of earlier events.
 */
export function decideAllocate(
  view: IpamView,
  wanted: Wanted,
  uid: string,
  now: number,
): { allocation: Allocation; events: readonly IpamEvent[] } {
  const known = view.byKey(wanted.key);
  if (known !== undefined) {
    if (known.question === wanted.question) return { allocation: known, events: [] };
    throw new RomanaError(
      'conflict',
      `Endpoint ${wanted.key} already has addresses that were asked for with other properties; delete it first or use another name.`,
      { details: { key: wanted.key, asked: wanted.question, before: known.question } },
    );
  }
  if (wanted.slots.length === 0) {
    throw new RomanaError(
      'input_invalid',
      `Endpoint ${wanted.key} wants no address; name at least one network.`,
    );
  }
  const addresses: Placed[] = [];
  const picked: Placed[] = [];
  const pick = (slot: Slot, index: number): void => {
    const placed = pickSlot(view, slot, picked, wanted.key, now);
    addresses[index] = placed;
    picked.push(placed);
  };
  // Fixed ones first, so that a free choice does not take what another slot of the same endpoint names.
  wanted.slots.forEach((slot, index) => isFixed(slot) && pick(slot, index));
  wanted.slots.forEach((slot, index) => !isFixed(slot) && pick(slot, index));
  const { key, question } = wanted;
  const allocation: Allocation = { key, uid, question, seq: view.nextSeq(), addresses };
  return { allocation, events: [{ type: 'allocated', allocation, at: now }] };
}

/**
 * No events for an unknown key, or when the key now belongs to another incarnation (uid) or allocation (seq): a late release never
 * frees somebody else's address, and releasing twice is as good as once.
 */
export function decideRelease(
  view: IpamView,
  key: string,
  expected: { readonly uid?: string; readonly seq?: number },
  now: number,
): readonly IpamEvent[] {
  const known = view.byKey(key);
  if (known === undefined) return [];
  if (expected.uid !== undefined && expected.uid !== known.uid) return [];
  if (expected.seq !== undefined && expected.seq !== known.seq) return [];
  return [{ type: 'released', key, uid: known.uid, seq: known.seq, addresses: known.addresses, at: now }];
}

function isFixed(slot: Slot): boolean {
  return slot.address !== undefined || slot.endpointId !== undefined;
}

function pickSlot(view: IpamView, slot: Slot, picked: readonly Placed[], key: string, now: number): Placed {
  const network = view.network(slot.network);
  if (network === undefined) {
    throw new RomanaError('not_found', `There is no network ${slot.network} here.`, {
      details: { network: slot.network },
    });
  }
  const { tenantId, segmentId, further = [] } = slot;
  const [first = [], ...others] = [{ tenantId, segmentId }, ...further].map((pair) =>
    slot.hostIds.map((hostId) =>
      geometryOf(network, {
        network: network.name,
        hostId,
        tenantId: pair.tenantId,
        segmentId: pair.segmentId,
      }),
    ),
  );
  const geometries = [...first, ...others.flat()];
  if (geometries.length === 0) {
    throw new RomanaError(
      'host_without_id',
      `The host holds no id of network ${network.name} that this allocator may use; add one with \`romana host add-id\`.`,
      { details: { network: network.name } },
    );
  }
  if (isFixed(slot)) return pickFixed(view, network, geometries, slot, picked, key, now);
  return (
    pickFormer(view, network, geometries, picked, key) ??
    pickFree(view, network, slot.firstOnly === true ? first : geometries, slot, picked, now)
  );
}

/**
 * What this name held before, in a block of this slot. No quarantine: it protects later owners from what peers still send to the
 * earlier one, and here they are the same name in the same segment on the same host.
 */
function pickFormer(
  view: IpamView,
  network: IpamNetwork,
  geometries: readonly Geometry[],
  picked: readonly Placed[],
  key: string,
): Placed | undefined {
  const candidates = view.formerly(key).flatMap((former) => {
    const geometry = geometries.find(({ block }) => sameBlock(block, former));
    const usable =
      geometry !== undefined &&
      former.endpointId <= geometry.max &&
      rangeOf(reservedIds(network, geometry), former.endpointId) === undefined &&
      !picked.some((p) => p.network === former.network && equalAddress(p.address, former.address));
    return usable ? [{ former, at: view.releasedAt(network.name, former.address) ?? 0 }] : [];
  });
  // The last one it had.
  candidates.sort((a, b) => b.at - a.at || a.former.endpointId - b.former.endpointId);
  return candidates[0]?.former;
}

function pickFree(
  view: IpamView,
  network: IpamNetwork,
  geometries: readonly Geometry[],
  slot: Slot,
  picked: readonly Placed[],
  now: number,
): Placed {
  // Counted only when all are full: a host with many ids passes many full blocks on the way to room.
  const full: (() => FullBlock)[] = [];
  for (const geometry of geometries) {
    const { block, max } = geometry;
    const reserved = reservedIds(network, geometry);
    const without = mergeRanges([...reserved, ...barredIds(geometry, slot), ...pickedIds(geometry, picked)]);
    const fresh = firstFreshId(view, geometry, without);
    if (fresh !== undefined) return place(geometry, fresh);
    let oldest = view.oldestReleased(block, without);
    if (oldest !== undefined && oldest.endpointId > max) {
      // Left by an earlier network of this name with a wider endpoint field.
      oldest = view.oldestReleased(block, mergeRanges([...without, { first: max + 1, last: maxId(32) }]));
    }
    if (oldest !== undefined && now - oldest.releasedAt >= network.quarantineMs) {
      return place(geometry, oldest.endpointId);
    }
    const waitMs = oldest === undefined ? undefined : oldest.releasedAt + network.quarantineMs - now;
    full.push(() => ({
      cidr: formatBlock(network, block),
      size: max,
      reserved: countIds(reserved),
      ...view.blockUsage(block),
      waitMs,
    }));
  }
  throw blockFull(
    network.name,
    full.map((one) => one()),
  );
}

/** Each turn leaves one range of `without` behind, so the work grows with the ranges and never with the ids in them. */
function firstFreshId(
  view: IpamView,
  { block, max }: Geometry,
  without: readonly IdRange[],
): number | undefined {
  let id = view.nextFresh(block, 1);
  while (id <= max) {
    const range = rangeOf(without, id);
    if (range === undefined) return id;
    id = view.nextFresh(block, range.last + 1);
  }
  return undefined;
}

function pickedIds({ block }: Geometry, picked: readonly Placed[]): IdRange[] {
  return picked.filter((p) => sameBlock(block, p)).map((p) => ({ first: p.endpointId, last: p.endpointId }));
}

function barredIds({ block }: Geometry, { barred = [] }: Slot): IdRange[] {
  return barred
    .filter(({ hostId }) => hostId === block.hostId)
    .map(({ endpointId }) => ({ first: endpointId, last: endpointId }));
}

function sameBlock(a: Block, b: Block): boolean {
  return (
    a.network === b.network &&
    a.hostId === b.hostId &&
    a.tenantId === b.tenantId &&
    a.segmentId === b.segmentId
  );
}

/** The first block where the wish can be had; when there is none, the reason of the first block. */
function pickFixed(
  view: IpamView,
  network: IpamNetwork,
  geometries: readonly Geometry[],
  slot: Slot,
  picked: readonly Placed[],
  key: string,
  now: number,
): Placed {
  const { address } = slot;
  let candidates = geometries;
  if (address !== undefined) {
    candidates = geometries.filter((g) => containsCidr(cidrOfBlock(network, g.block), hostRoute(address)));
    if (candidates.length === 0) {
      const blocks = geometries.map((g) => formatBlock(network, g.block)).join(', ');
      throw new RomanaError(
        'address_mismatch',
        `${formatAddress(address)} is not in ${blocks}, where this endpoint's addresses of network ${network.name} lie.`,
        { details: { address: formatAddress(address), network: network.name, blocks } },
      );
    }
  }
  let refusal: RomanaError | undefined;
  for (const geometry of candidates) {
    const id = fixedId(network, geometry, slot);
    const placed = place(geometry, id);
    const reason =
      refuseFixed(view, network, geometry, placed, picked, key, now) ?? refuseBarred(geometry, slot, placed);
    if (reason === undefined) return placed;
    refusal ??= reason;
  }
  throw refusal!;
}

function refuseBarred(geometry: Geometry, slot: Slot, placed: Placed): RomanaError | undefined {
  if (rangeOf(barredIds(geometry, slot), placed.endpointId) === undefined) return undefined;
  const text = formatAddress(placed.address);
  return new RomanaError(
    'address_quarantined',
    `${text} was an address of another segment, and not every host has acknowledged that it is gone; choose another one or try later.`,
    { details: { address: text } },
  );
}

function fixedId(network: IpamNetwork, geometry: Geometry, slot: Slot): number {
  const { address, endpointId } = slot;
  const id = address === undefined ? endpointId! : offsetOf(geometry.base, address);
  if (id === undefined || !Number.isInteger(id) || id < 1 || id > geometry.max) {
    const what = address === undefined ? `Endpoint id ${endpointId}` : formatAddress(address);
    throw new RomanaError(
      'id_out_of_range',
      `${what} cannot be given out: endpoint ids of ${formatBlock(network, geometry.block)} are 1 to ${geometry.max}.`,
      { details: { field: 'endpoint', id, min: 1, max: geometry.max } },
    );
  }
  if (endpointId !== undefined && endpointId !== id) {
    throw new RomanaError(
      'address_mismatch',
      `${formatAddress(address!)} has endpoint id ${id}, not ${endpointId}; name only one of the two.`,
      { details: { address: formatAddress(address!), id, endpointId } },
    );
  }
  return id;
}

function refuseFixed(
  view: IpamView,
  network: IpamNetwork,
  geometry: Geometry,
  placed: Placed,
  picked: readonly Placed[],
  key: string,
  now: number,
): RomanaError | undefined {
  const text = formatAddress(placed.address);
  const inHand = picked.some((p) => p.network === network.name && equalAddress(p.address, placed.address));
  const owner = inHand ? key : view.ownerOf(network.name, placed.address);
  if (owner !== undefined) {
    return new RomanaError('address_taken', `${text} belongs to endpoint ${owner}.`, {
      details: { address: text, owner },
    });
  }
  if (rangeOf(reservedIds(network, geometry), placed.endpointId) !== undefined) {
    const range = network.reserved.find((r) => containsCidr(r, hostRoute(placed.address)));
    const reserved = range === undefined ? '' : formatCidr(range);
    return new RomanaError('address_reserved', `${text} lies in the reserved range ${reserved}.`, {
      details: { address: text, reserved },
    });
  }
  const releasedAt = view.releasedAt(network.name, placed.address);
  const own = view
    .formerly(key)
    .some((former) => sameBlock(former, placed) && former.endpointId === placed.endpointId);
  if (own) return undefined;
  if (releasedAt === undefined || now - releasedAt >= network.quarantineMs) return undefined;
  const freeAt = releasedAt + network.quarantineMs;
  return new RomanaError(
    'address_quarantined',
    `${text} was released a short time ago and is free again in ${Math.ceil((freeAt - now) / 1000)} s.`,
    { details: { address: text, freeAt, waitMs: freeAt - now } },
  );
}
