/** Sets of addresses as lists of CIDRs. Results are minimal, disjoint and sorted, so equal sets are equal lists. */

import {
  type Cidr,
  cidrOf,
  compareCidr,
  containsCidr,
  equalCidr,
  overlaps,
  parentOf,
  splitCidr,
} from './cidr.ts';

/** The fewest CIDRs that cover exactly the addresses of `cidrs`, sorted; both families may be mixed. */
export function aggregate(cidrs: readonly Cidr[]): Cidr[] {
  const out: Cidr[] = [];
  for (const next of [...cidrs].sort(compareCidr)) {
    const top = out.at(-1);
    if (top !== undefined && containsCidr(top, next)) continue;
    let merged = next;
    // Two halves become their parent, which may itself complete a pair.
    for (let left = out.at(-1); left !== undefined && areHalves(left, merged); left = out.at(-1)) {
      out.pop();
      merged = cidrOf(merged.address, merged.length - 1);
    }
    out.push(merged);
  }
  return out;
}

function areHalves(left: Cidr, right: Cidr): boolean {
  if (left.length !== right.length) return false;
  const parent = parentOf(right);
  return parent !== undefined && !equalCidr(left, right) && containsCidr(parent, left);
}

/** The addresses of `cidrs` that are in none of `holes`, as a minimal sorted list. */
export function subtract(cidrs: readonly Cidr[], holes: readonly Cidr[]): Cidr[] {
  const out: Cidr[] = [];
  const cuts = aggregate(holes);
  for (const cidr of aggregate(cidrs)) carveOut(cidr, cuts, out);
  return aggregate(out);
}

function carveOut(cidr: Cidr, holes: readonly Cidr[], out: Cidr[]): void {
  const inside = holes.filter((hole) => overlaps(hole, cidr));
  if (inside.length === 0) {
    out.push(cidr);
  } else if (!inside.some((hole) => containsCidr(hole, cidr))) {
    // Every hole left is strictly smaller than the CIDR, so it can be halved.
    carveOut(splitCidr(cidr, 1, 0), inside, out);
    carveOut(splitCidr(cidr, 1, 1), inside, out);
  }
}
