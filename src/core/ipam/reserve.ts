/** Reserved ranges as one list, changed range by range: a wider range swallows narrower ones, and only a whole one is taken back. */

import { type Cidr, compareCidr, containsCidr, equalCidr } from '../address/index.ts';

/** The list with `range` in it; the same list when a range of it covers `range` already. */
export function addReserved(list: readonly Cidr[], range: Cidr): readonly Cidr[] {
  if (list.some((known) => containsCidr(known, range))) return list;
  return [...list.filter((known) => !containsCidr(range, known)), range].sort(compareCidr);
}

/** The list without exactly `range`; undefined when it is not in it. */
export function removeReserved(list: readonly Cidr[], range: Cidr): readonly Cidr[] | undefined {
  if (!list.some((known) => equalCidr(known, range))) return undefined;
  return list.filter((known) => !equalCidr(known, range));
}
