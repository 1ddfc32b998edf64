/** What every service needs: lookups that refuse, comparison of what is there with what is wanted, time. */
import { isDeepStrictEqual } from 'node:util';
import type { Kind } from '#contract/watch.ts';
import { type AddressPlan, type Cidr, formatCidr, overlaps, parseCidr } from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { isOpenTo, type Openness } from '#core/plan/index.ts';
import type { Clock, Random } from '#core/ports.ts';
import type { ReadTx, Row, Stored } from '#store/port.ts';
import type { ServiceDeps } from './types.ts';

export interface Context extends ServiceDeps {
  /**
   * Milliseconds since the epoch that never go back while the server runs: the wall clock at start plus what has passed since.
   * Quarantine is counted in it, so that setting the clock neither cuts it short nor stretches it.
   */
  readonly steadyNow: () => number;
}

export function makeContext(deps: ServiceDeps): Context {
  const wall = deps.clock.now();
  const start = deps.clock.monotonic();
  return { ...deps, steadyNow: () => Math.round(wall + deps.clock.monotonic() - start) };
}

export function must<K extends Kind>(tx: ReadTx, kind: K, key: string): Stored<K> {
  const found = tx.get(kind, key);
  if (found === undefined) {
    throw new RomanaError('not_found', `There is no ${kind} ${key}.`, { details: { kind, key } });
  }
  return found;
}

export function answerList<K extends Kind>(
  rows: readonly Row<K>[],
  tx: ReadTx,
): { items: Stored<K>[]; revision: number } {
  return { items: rows.map((row) => row.value), revision: tx.revision };
}

/** Oldest first. */
export function byAge<K extends Kind>(rows: readonly Row<K>[]): Stored<K>[] {
  return [...rows].sort((a, b) => a.created - b.created).map((row) => row.value);
}

/** What a new object gets from the server. */
export function born({ clock, random }: { readonly clock: Clock; readonly random: Random }): {
  uid: string;
  createdAt: string;
} {
  return { uid: random.uuid(), createdAt: new Date(clock.now()).toISOString() };
}

/** Now, for people. */
export function timeText({ clock }: Pick<Context, 'clock'>): string {
  return new Date(clock.now()).toISOString();
}

/** Names of the fields of `wanted` that `existing` has otherwise. */
export function differing(existing: object, wanted: object): string[] {
  const have = new Map(Object.entries(existing));
  return Object.entries(wanted).flatMap(([field, value]) =>
    isDeepStrictEqual(have.get(field), value) ? [] : [field],
  );
}

/** Creating again what is there already is no error; creating something else under its name is. */
export function demandSame(kind: Kind, key: string, fields: readonly string[]): void {
  if (fields.length === 0) return;
  throw new RomanaError(
    'conflict',
    `There is a ${kind} ${key} already with another ${fields.join(', ')}; change or delete it, or use another name.`,
    { details: { kind, key, fields } },
  );
}

/** Up to ten names, and how many more there are. */
export function nameSome(names: readonly string[]): string {
  const more = names.length - 10;
  return more > 0 ? `${names.slice(0, 10).join(', ')} and ${more} more` : names.join(', ');
}

export interface KnownNetwork extends Openness {
  readonly name: string;
  readonly plan: AddressPlan;
}

/** All networks whose addresses carry ids, the oldest first. Nobody holds anything in flat ones. */
export function networksOf(tx: ReadTx): KnownNetwork[] {
  return byAge(tx.list('network')).flatMap(({ name, tenants }) => {
    const plan = tx.ipam.network(name)?.plan;
    return plan === undefined ? [] : [{ name, plan, tenants }];
  });
}

export interface KnownRange {
  readonly name: string;
  readonly cidr: Cidr;
}

/** The ranges of all networks, flat ones too. */
export function rangesOf(tx: ReadTx): KnownRange[] {
  return byAge(tx.list('network')).map(({ name, cidr }) => ({ name, cidr: parseCidr(cidr) }));
}

/** What needs ids cannot be done in a flat network. */
export function demandLayout(tx: ReadTx, name: string): void {
  if (tx.get('network', name)?.layout !== null) return;
  throw new RomanaError(
    'network_flat',
    `Network ${name} is flat: nobody holds ids in it, and no address of it is given out yet; use a network with a layout.`,
    { details: { network: name } },
  );
}

/** Those in which a tenant and its segments have ids. */
export function networksFor(tx: ReadTx, tenant: string): KnownNetwork[] {
  return networksOf(tx).filter((network) => isOpenTo(network, tenant));
}

export function networkClosed(network: string, tenant: string): RomanaError {
  return new RomanaError(
    'network_closed',
    `Network ${network} is not open to tenant ${tenant}; use another network, or add the tenant to it.`,
    { details: { network, tenant } },
  );
}

/** An endpoint that may send from addresses of a network could pass for anybody in it. */
export function demandOutside(networks: readonly KnownRange[], prefixes: readonly string[]): void {
  for (const [index, text] of prefixes.entries()) {
    const prefix = parseCidr(text);
    const hit = insideNetwork(networks, prefix);
    if (hit === undefined) continue;
    throw new RomanaError(
      'input_invalid',
      `Source prefix ${text} overlaps network ${hit.name} (${formatCidr(hit.cidr)}); only prefixes outside every network are allowed.`,
      { details: { path: `sourcePrefixes.${index}`, network: hit.name } },
    );
  }
}

export function insideNetwork(networks: readonly KnownRange[], cidr: Cidr): KnownRange | undefined {
  return networks.find((network) => overlaps(network.cidr, cidr));
}
