/**
 * Tenants and segments without an id in some network, and how they come by one when it gets free: the one that has waited longest
 * first, before anybody new. New endpoints then have encoded addresses; old ones keep their shared ones until they go.
 */
import type { Segment, Tenant } from '#contract/model.ts';
import { isOpenTo } from '#core/plan/index.ts';
import type { Tx } from '#store/port.ts';
import { type Field, takeIdIfAny } from './ids.ts';
import { type KnownNetwork, networksFor, networksOf } from './shared.ts';
import { isWaiting } from './waiting.ts';

/** By `tenant/NAME` or `segment/TENANT/NAME`, in the order in which they began to wait. */
const waitingKind = '_numberless';

type Holder =
  | { readonly field: 'tenant'; readonly key: string; readonly value: Tenant }
  | { readonly field: 'segment'; readonly key: string; readonly value: Segment };

/** After a tenant or segment was put: notes that it waits, if it has no id in some network. */
export function noteNumbers(tx: Tx, field: Exclude<Field, 'host'>, key: string): void {
  const value = tx.get(field, key);
  const row = `${field}/${key}`;
  const waits =
    value !== undefined && networksFor(tx, tenantOf(value)).some((network) => lacks(value, network));
  if (waits && tx.row(waitingKind, row) === undefined) tx.put(waitingKind, row, {});
  if (!waits && tx.row(waitingKind, row) !== undefined) tx.delete(waitingKind, row);
}

/** After ids got free. */
export function promote(tx: Tx): void {
  if (isWaiting(tx)) return;
  const waiting = tx.list(waitingKind).sort((a, b) => a.created - b.created);
  if (waiting.length === 0) return;
  const networks = networksOf(tx);
  for (const row of waiting) {
    const holder = holderOf(tx, row.key);
    if (holder !== undefined) promoteOne(tx, networks, holder);
    const [field, ...name] = row.key.split('/');
    noteNumbers(tx, field === 'tenant' ? 'tenant' : 'segment', name.join('/'));
  }
}

function holderOf(tx: Tx, row: string): Holder | undefined {
  const [field, ...name] = row.split('/');
  const key = name.join('/');
  if (field === 'tenant') {
    const value = tx.get('tenant', key);
    return value && { field, key, value };
  }
  const value = tx.get('segment', key);
  return value && { field: 'segment', key, value };
}

function promoteOne(tx: Tx, networks: readonly KnownNetwork[], { field, key, value }: Holder): void {
  const taken = networks
    .filter((network) => isOpenTo(network, tenantOf(value)) && lacks(value, network))
    .flatMap((network) =>
      takeIdIfAny(tx, {
        field,
        network,
        holder: value.name,
        preferred: value.ids[0]?.id,
        ...('tenant' in value ? { tenant: value.tenant } : {}),
      }),
    );
  if (taken.length > 0) tx.put(field, key, { ...value, ids: [...value.ids, ...taken] });
}

function tenantOf(value: Tenant | Segment): string {
  return 'tenant' in value ? value.tenant : value.name;
}

function lacks({ ids }: Pick<Tenant, 'ids'>, { name }: KnownNetwork): boolean {
  return !ids.some(({ network }) => network === name);
}
