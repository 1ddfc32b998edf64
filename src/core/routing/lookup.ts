/** Longest-prefix match, as the kernel and switches do it. May import core/address. */
import { type Address, andAddress, type Cidr, maskOf } from '../address/index.ts';

interface Level<T> {
  readonly length: number;
  readonly mask: Address;
  readonly entries: Map<number | string, T>;
}

/** Of entries with one CIDR the first counts. */
export class Lookup<T extends { readonly cidr: Cidr }> {
  readonly #levels: { readonly 4: Level<T>[]; readonly 6: Level<T>[] } = { 4: [], 6: [] };

  constructor(entries: Iterable<T>) {
    for (const entry of entries) {
      const { address, length } = entry.cidr;
      const levels = this.#levels[address.family];
      let level = levels.find((each) => each.length === length);
      if (level === undefined) {
        level = { length, mask: maskOf(address.family, length), entries: new Map() };
        levels.push(level);
        levels.sort((a, b) => b.length - a.length);
      }
      const key = addressKey(address);
      if (!level.entries.has(key)) level.entries.set(key, entry);
    }
  }

  /** The longest entry that contains the address. */
  address(address: Address): T | undefined {
    return this.#longest(address, 128);
  }

  /** The longest entry that contains the whole CIDR, itself included. */
  cover(cidr: Cidr): T | undefined {
    return this.#longest(cidr.address, cidr.length);
  }

  #longest(address: Address, most: number): T | undefined {
    for (const { length, mask, entries } of this.#levels[address.family]) {
      if (length > most) continue;
      const found = entries.get(addressKey(andAddress(address, mask)));
      if (found !== undefined) return found;
    }
    return undefined;
  }
}

/** For maps: equal for equal addresses only, of either family. */
export function addressKey({ family, w0, w1, w2, w3 }: Address): number | string {
  return family === 4 ? w0 : `${w0}:${w1}:${w2}:${w3}`;
}
