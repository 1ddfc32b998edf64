/**
 * fast-check generators of addresses, CIDRs and plans, for tests only. They lean towards boundaries (all zeros, all ones, few
 * bits set), where uniform random words of 128 bits would never come.
 */

import * as fc from 'fast-check';
import {
  type Address,
  type AddressPlan,
  addressPlan,
  type Cidr,
  cidrOf,
  type Family,
  type Ids,
  makeAddress,
  widthOf,
} from '../address/index.ts';

export const family: fc.Arbitrary<Family> = fc.constantFrom<Family>(4, 6);

const word = fc.oneof(
  fc.constantFrom(0, 1, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xffff0000, 0xffffffff),
  fc.integer({ min: 0, max: 0xffffffff }),
);

export function addressOf(of: Family): fc.Arbitrary<Address> {
  return fc.tuple(word, word, word, word).map((w) => makeAddress(of, ...w));
}

export const address: fc.Arbitrary<Address> = family.chain(addressOf);

export function cidrIn(of: Family): fc.Arbitrary<Cidr> {
  return fc
    .tuple(addressOf(of), fc.integer({ min: 0, max: widthOf(of) }))
    .map(([a, length]) => cidrOf(a, length));
}

export const cidr: fc.Arbitrary<Cidr> = family.chain(cidrIn);

/** CIDRs in one small corner of both families, so that neighbours, nesting and duplicates are common. */
export const crowdedCidr: fc.Arbitrary<Cidr> = fc
  .tuple(family, fc.integer({ min: 0, max: 31 }), fc.integer({ min: 0, max: 5 }))
  .map(([of, low, bits]) => {
    const base = of === 4 ? makeAddress(4, 0x0a000000 + low, 0, 0, 0) : makeAddress(6, 0xfd000000, 0, 0, low);
    return cidrOf(base, widthOf(of) - bits);
  });

/** A valid plan of either family, fields straddling words included. */
export const plan: fc.Arbitrary<AddressPlan> = family.chain((of) => {
  const width = widthOf(of);
  const most = (left: number): number => Math.min(32, left);
  return fc.integer({ min: 1, max: most(width - 2) }).chain((host) =>
    fc.integer({ min: 1, max: most(width - host - 1) }).chain((tenant) =>
      fc.integer({ min: 0, max: most(width - host - tenant - 1) }).chain((segment) =>
        fc.integer({ min: 1, max: width - host - tenant - segment }).chain((endpoint) =>
          addressOf(of).map((a) =>
            addressPlan(cidrOf(a, width - host - tenant - segment - endpoint), {
              host,
              tenant,
              segment,
              endpoint,
            }),
          ),
        ),
      ),
    ),
  );
});

/** An id of a field: the first, the last, or any between. */
export function idOf(max: number): fc.Arbitrary<number> {
  if (max === 0) return fc.constant(0);
  return fc.oneof(fc.constantFrom(1, max), fc.integer({ min: 1, max }));
}

export function idsOf(of: AddressPlan): fc.Arbitrary<Ids> {
  const { hostField, tenantField, segmentField, endpointField } = of;
  return fc
    .tuple(idOf(hostField.max), idOf(tenantField.max), idOf(segmentField.max), idOf(endpointField.max))
    .map(([host, tenant, segment, endpoint]) => ({ host, tenant, segment, endpoint }));
}
