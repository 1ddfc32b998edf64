import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { isRomanaError } from '../../errors.ts';
import { propose } from './index.ts';
import { inputOf, noBudgets } from './testing.ts';
import type { PlanInput } from './types.ts';

describe('nonsense', () => {
  const refused = (input: unknown, path: string): void => {
    assert.throws(
      () => propose(input as PlanInput),
      (error) =>
        isRomanaError(error) &&
        error.code === 'input_invalid' &&
        error.details?.['path'] === path &&
        error.message.endsWith('.'),
      `${path}: ${JSON.stringify(input)}`,
    );
  };
  const bad = [
    0,
    -1,
    1.5,
    Number.NaN,
    Infinity,
    2 ** 32,
    2 ** 53,
    2 ** 53 + 2,
    1e308,
    '4',
    null,
    undefined,
    [],
    {},
  ];

  it('in any size is refused by name', () => {
    for (const name of ['hosts', 'tenants', 'segments', 'endpointsPerHost'])
      for (const value of bad) refused({ ...inputOf(), [name]: value }, name);
    for (const name of ['racks', 'zones', 'endpointsPerSegment'])
      for (const value of bad.filter((one) => one !== null && one !== undefined))
        refused({ ...inputOf(), [name]: value }, name);
    for (const name of ['hosts', 'tenants', 'endpoints'])
      for (const value of [0, 0.999, -2, 1000.001, 1.00001, Number.NaN, Infinity, '2', null])
        refused(inputOf({ growth: { ...inputOf().growth, [name]: value } }), `growth.${name}`);
    for (const value of bad)
      refused(inputOf({ budgets: { ...noBudgets, vpcRoutes: value as number } }), 'vpcRoutes');
    refused(inputOf({ budgets: { ...noBudgets, fabric: 'bgp' as 'l2' } }), 'fabric');
  });

  it('in what sizes mean together is refused', () => {
    refused(inputOf({ hosts: 4, racks: 5 }), 'racks');
    refused(inputOf({ hosts: 9, racks: 4, zones: 5 }), 'zones');
    refused(inputOf({ hosts: 4, zones: 5 }), 'zones');
    refused(inputOf({ endpointsPerHost: 6, endpointsPerSegment: 7 }), 'endpointsPerSegment');
    refused(
      inputOf({ tenants: 2, segments: 2, endpointsPerHost: 9, endpointsPerSegment: 2 }),
      'endpointsPerSegment',
    );
  });

  it('in networks is refused with the place', () => {
    const cidrs = (...list: unknown[]) =>
      inputOf({ networks: list.map((cidr, i) => ({ name: `n${i}`, cidr: cidr as string })) });
    refused(inputOf({ networks: [] }), 'networks');
    refused(inputOf({ networks: 'x' as unknown as [] }), 'networks');
    refused(cidrs(...Array.from({ length: 17 }, (_, i) => `10.${i}.0.0/16`)), 'networks');
    for (const cidr of [
      '',
      'x',
      '10.0.0.0',
      '10.0.0.1/8',
      '10.0.0.0/33',
      'fd00::/129',
      '::ffff:1.2.3.4/8',
      7,
      null,
    ])
      refused(cidrs(cidr), 'networks.0.cidr');
    for (const cidr of ['10.0.0.0/29', '10.0.0.0/32', 'fd00::/125', 'fd00::/128'])
      refused(cidrs(cidr), 'networks.0.cidr');
    refused(cidrs('10.0.0.0/8', '10.128.0.0/9'), 'networks.1.cidr');
    refused(cidrs('fd00:1::/32', 'fd00::/16'), 'networks.1.cidr');
    refused(cidrs('10.0.0.0/8', '10.0.0.0/8'), 'networks.1.cidr');
    for (const name of ['', 'A', 'a b', 'a/b', 7, null])
      refused(inputOf({ networks: [{ name: name as string, cidr: '10.0.0.0/8' }] }), 'networks.0.name');
    refused(
      inputOf({
        networks: [
          { name: 'a', cidr: '10.0.0.0/8' },
          { name: 'a', cidr: 'fd00::/8' },
        ],
      }),
      'networks.1.name',
    );
  });

  it('of any shape is answered or refused, never anything else (5)', () => {
    const keys = Object.keys(inputOf()) as (keyof PlanInput)[];
    const junk = fc.oneof(
      fc.anything(),
      fc
        .tuple(fc.constantFrom(...keys), fc.anything())
        .map(([key, value]) => ({ ...inputOf(), [key]: value })),
    );
    fc.assert(
      fc.property(junk, (input) => {
        try {
          propose(input as PlanInput);
        } catch (error) {
          assert.ok(isRomanaError(error) && error.code === 'input_invalid', String(error));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of the largest sizes is answered, with whole figures', () => {
    const most = 2 ** 32 - 1;
    for (const cidr of ['10.0.0.0/8', 'fd00::/8', '::/0', '0.0.0.0/0']) {
      for (const hosts of [1, most]) {
        for (const endpointsPerHost of [1, most]) {
          for (const growth of [1, 1000]) {
            const answer = propose(
              inputOf({
                hosts,
                racks: hosts,
                tenants: most,
                segments: most,
                endpointsPerHost,
                growth: { hosts: growth, tenants: growth, endpoints: growth },
                networks: [{ name: 'n', cidr }],
              }),
            );
            assert.ok(answer.fits || (answer.reasons.length > 0 && answer.advice.length > 0));
            for (const { today, planned } of answer.routes)
              assert.ok(Number.isInteger(today) && Number.isInteger(planned) && planned >= today);
          }
        }
      }
    }
  });

  it('endpoints beyond what one endpoint field can number still fit with more ids per host', () => {
    const answer = propose(
      inputOf({
        hosts: 1,
        endpointsPerHost: 2 ** 32 - 1,
        growth: { hosts: 1, tenants: 1, endpoints: 64 },
        networks: [{ name: 'n', cidr: 'fd00::/8' }],
      }),
    );
    assert.equal(answer.proposals[0]?.idsPerHost, 64);
  });
});
