/** Ranges of a network that are never given out, one by one or as a list. */
import type { Network } from '#contract/model.ts';
import {
  type Cidr,
  containsCidr,
  firstAddress,
  formatCidr,
  lastAddress,
  parseCidr,
  subtract,
} from '#core/address/index.ts';
import { RomanaError } from '#core/errors.ts';
import { addReserved, removeReserved } from '#core/ipam/index.ts';
import { checkGuard } from '#store/guard.ts';
import type { ReadTx, Tx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { type Context, differing, must, nameSome } from './shared.ts';
import type { Services } from './types.ts';

type Mine = 'networkReserve' | 'networkUnreserve';

export function reservationServices({ store }: Context): Pick<Services, Mine> {
  return {
    networkReserve: (caller, { params, query, body }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'network', params.name);
        checkGuard('network', params.name, old.revision, query);
        const next = addReserved(old.reserved.map(parseCidr), parseCidr(body.cidr)).map(formatCidr);
        demandReserved(tx, { name: old.name, cidr: old.cidr }, next, body.keepLive ? next : old.reserved);
        return keep(tx, old, next);
      }),
    networkUnreserve: (caller, { params, query }) =>
      store.transaction(actorOf(caller), (tx) => {
        const old = must(tx, 'network', params.name);
        checkGuard('network', params.name, old.revision, query);
        const range = parseCidr(params.cidr);
        const list = old.reserved.map(parseCidr);
        const next = removeReserved(list, range);
        if (next === undefined) throw notReserved(old.name, range, list);
        return keep(tx, old, next.map(formatCidr));
      }),
  };
}

function keep(tx: Tx, old: Network, reserved: string[]): Network {
  const next = { ...old, reserved };
  return differing(old, next).length === 0 ? old : tx.put('network', old.name, next);
}

function notReserved(network: string, range: Cidr, list: readonly Cidr[]): RomanaError {
  const near = list.filter((known) => containsCidr(known, range) || containsCidr(range, known));
  const hint =
    near.length === 0
      ? 'see `romana network show`'
      : `reserved as a whole ${near.length === 1 ? 'is' : 'are'} ${nameSome(near.map(formatCidr))}`;
  return new RomanaError(
    'not_found',
    `Network ${network} has no reserved range ${formatCidr(range)}; ${hint}.`,
    { details: { network, cidr: formatCidr(range), near: near.slice(0, 10).map(formatCidr) } },
  );
}

/** The ranges lie inside, leave something, and hold no endpoint. Ranges that `before` covers may: they were reserved knowingly. */
export function demandReserved(
  tx: ReadTx,
  network: { readonly name: string; readonly cidr: string },
  reserved: readonly string[],
  before: readonly string[],
): void {
  const whole = parseCidr(network.cidr);
  const ranges = reserved.map(parseCidr);
  const old = before.map(parseCidr);
  for (const [index, range] of ranges.entries()) {
    if (!containsCidr(whole, range)) {
      throw new RomanaError(
        'input_invalid',
        `Reserved range ${reserved[index]} does not lie in ${formatCidr(whole)}; leave it out.`,
        { details: { path: `reserved.${index}` } },
      );
    }
    if (old.some((known) => containsCidr(known, range))) continue;
    const users = usersOf(tx, network.name, range);
    if (users.length > 0) {
      throw new RomanaError(
        'in_use',
        `Reserved range ${reserved[index]} holds addresses of endpoints (${nameSome(users)}); delete them first, or let them stay with \`romana network reserve --keep-live\`.`,
        { details: { path: `reserved.${index}`, endpoints: users.slice(0, 10) } },
      );
    }
  }
  if (ranges.length > 0 && subtract([whole], ranges).length === 0) {
    throw new RomanaError(
      'input_invalid',
      `The reserved ranges leave nothing of ${formatCidr(whole)}; reserve less.`,
      { details: { path: 'reserved' } },
    );
  }
}

/** Keys of endpoints with addresses in the range; eleven stand for "more than ten". */
export function usersOf(tx: ReadTx, network: string, range: Cidr): string[] {
  return tx.allocationsIn(network, firstAddress(range), lastAddress(range), 11).map((row) => row.key);
}
