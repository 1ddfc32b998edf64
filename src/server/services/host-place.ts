/** Where a host stands that no one put there: labels choose its group; a host that comes back gets its place and ids while they are free. */
import type { Host } from '#contract/model.ts';
import { RomanaError } from '#core/errors.ts';
import type { Labels } from '#core/plan/topology/index.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { allocatorOf, firstHostId, type Granted, letGoHostIds, recordOf, reservedFor } from './host-ids.ts';
import { idSpace } from './ids.ts';
import { awayFrom } from './locations.ts';
import { type KnownNetwork, nameSome, networksOf } from './shared.ts';
import { groupsOf, leafForLabels, leafOf, leavesOf, suits, topologyOf } from './topology.ts';

/** Null: there are no groups to choose from, or none of them will do (`demandLeaf` says so). */
export function groupForLabels(tx: ReadTx, labels: Labels, before?: string | null): string | null {
  const [only, ...others] = leavesOf(topologyOf(tx));
  if (only === '' && others.length === 0) return null;
  return leafForLabels(tx, labels, before) ?? null;
}

export function placedByLabels(tx: ReadTx, host: string): boolean {
  return recordOf(tx, host)?.byLabels === true;
}

/** The host under labels that it got just now: where it was, or in another group with other ids. */
export function replaced(tx: Tx, host: Host): Host {
  if (suits(tx, host, host.labels)) return host;
  const here = tx.list('endpoint', { host: host.name, limit: 11 }).map(({ key }) => key);
  const endpoints = [...here, ...awayFrom(tx, host.name)];
  const refuse = (why: string): never => {
    throw new RomanaError(
      'in_use',
      `With these labels host ${host.name} may not stay in group ${host.group ?? '-'}, but ${why}.`,
      { details: { host: host.name, group: host.group, endpoints: endpoints.slice(0, 10) } },
    );
  };
  if (endpoints.length > 0) refuse(`it holds endpoints (${nameSome(endpoints)}); delete them first`);
  if (host.joined)
    refuse(
      'its agent may hold endpoints of its host ids; delete the host and create it anew with these labels',
    );
  const group = leafForLabels(tx, host.labels);
  if (group === undefined) return refuse('no other group with room matches them');
  letGoHostIds(tx, host);
  const allocator = allocatorOf(tx, host.name);
  let held: Pick<Granted, 'ids' | 'reservations'> = { ids: [], reservations: [] };
  for (const network of networksOf(tx))
    held = firstHostId(tx, { name: host.name, group, ...held }, network, { allocator });
  return { ...host, group, ids: held.ids, reservations: held.reservations };
}

interface LastPlace {
  readonly group: string | null;
  readonly ids: readonly { readonly network: string; readonly id: number }[];
}

const lastPlaceKind = '_last';

export function rememberPlace(tx: Tx, { name, group, ids }: Host): void {
  const place: LastPlace = { group, ids: ids.map(({ network, id }) => ({ network, id })) };
  tx.put(lastPlaceKind, name, place);
}

export function lastPlaceOf(tx: ReadTx, host: string): LastPlace | undefined {
  return tx.get(lastPlaceKind, host) as LastPlace | undefined;
}

/** The host id that it had, if it is free and lies in the group where the host stands now. */
export function idBefore(
  tx: ReadTx,
  host: Pick<Host, 'group'>,
  network: KnownNetwork,
  before: LastPlace | undefined,
): number | undefined {
  const id = before?.ids.find((entry) => entry.network === network.name)?.id;
  const leaf = leafOf(groupsOf(tx, network), host.group ?? '');
  if (id === undefined || leaf === undefined || id < leaf.firstHostId || id > leaf.lastHostId)
    return undefined;
  const held = tx.holderOf(idSpace('host', network.name), id) ?? reservedFor(tx, network, leaf, id);
  return held === undefined ? id : undefined;
}
