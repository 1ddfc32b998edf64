import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import { addressPlan, decode, encode, formatCidr, parseCidr } from '../../address/index.ts';
import { planRouting } from '../../routing/index.ts';
import { group, host, network, input as routingInput } from '../../routing/testing.ts';
import { carve, type GroupNode } from '../groups.ts';
import { demandTopology } from '../topology/index.ts';
import { propose, topologyFile } from './index.ts';
import {
  bitsOf,
  inputOf,
  leastFactor,
  narrow,
  needOf,
  noBudgets,
  noGrowth,
  sharedIn,
  sharedTenants,
  sizesUpTo,
  small,
} from './testing.ts';
import type { PlanAnswer, Proposal } from './types.ts';

describe('proposals', () => {
  it('fill every network exactly and hold what was asked with its growth (1)', () => {
    const networks = fc.constantFrom(
      [{ name: 'v4', cidr: '10.0.0.0/8' }],
      [{ name: 'v6', cidr: 'fd00::/40' }],
      [
        { name: 'v4', cidr: '10.0.0.0/9' },
        { name: 'b', cidr: '172.16.0.0/12' },
        { name: 'v6', cidr: 'fd00::/96' },
      ],
    );
    fc.assert(
      fc.property(
        sizesUpTo({ hosts: 300, tenants: 2000, segments: 20, endpoints: 300 }),
        networks,
        (sizes, nets) => {
          const input = { ...sizes, networks: nets };
          const need = needOf(input);
          for (const proposal of propose(input, { top: 9 }).proposals) {
            for (const [index, { cidr, layout, sharedTenants: shared }] of proposal.networks.entries()) {
              // Throws when the widths do not add up.
              addressPlan(parseCidr(cidr), layout);
              assert.equal(sharedIn(bitsOf(proposal, index), need), shared, JSON.stringify(proposal));
            }
          }
        },
      ),
      { numRuns: 150 },
    );
  });

  it('can be carved: each slot has the stated aggregate and its own hosts, id 0 unused', () => {
    const plain = sizesUpTo({ hosts: 60, tenants: 30, segments: 4, endpoints: 20 });
    fc.assert(
      fc.property(plain, fc.constantFrom('10.0.0.0/8', 'fd00::/96', '10.0.0.0/12'), (sizes, cidr) => {
        const input = { ...sizes, networks: [{ name: 'net', cidr }] };
        const need = needOf(input);
        for (const proposal of propose(input).proposals) carveAndCheck(proposal, need.hosts);
      }),
      { numRuns: 60 },
    );
  });

  it('state the headroom that there is: every id counted one by one', () => {
    fc.assert(
      fc.property(narrow, ([input]) => {
        for (const proposal of propose(input, { top: 9 }).proposals) {
          const [z, r, h, i, t, s, e] = bitsOf(proposal, 0);
          let hosts = 0;
          // Aligned reservations in the first group; the one with host id 0 is not used.
          for (let id = 2 ** i; id < 2 ** (h + i); id += 2 ** i) hosts++;
          let endpoints = 0;
          let together = 0;
          for (let id = 0; id < 2 ** i; id++) {
            for (let one = 1; one < 2 ** e; one++) endpoints++;
            for (let one = 1; one < 2 ** (s + e); one++) together++;
          }
          const available = {
            zones: 2 ** z,
            racks: 2 ** r,
            hosts,
            tenants: 2 ** t - 1,
            segments: 2 ** s - 1,
            endpoints,
            shared: together,
          };
          for (const row of proposal.networks[0]!.headroom) {
            assert.equal(row.available, available[row.part], row.part);
            assert.equal(row.factor, row.available / row.planned);
            assert.ok(row.factor >= 1 && row.today <= row.planned);
          }
        }
      }),
      { numRuns: 80 },
    );
  });

  it('are ranked: fewer tenants that share, then more headroom where there is least, then fewer ids per host', () => {
    let several = 0;
    fc.assert(
      fc.property(narrow, ([input]) => {
        const need = needOf(input);
        const key = (proposal: Proposal): readonly [number, number, number] => [
          sharedTenants(proposal),
          -Math.min(...proposal.networks[0]!.headroom.map(({ factor }) => factor)),
          proposal.idsPerHost,
        ];
        const { proposals } = propose(input, { top: 9 });
        for (const [index, proposal] of proposals.entries()) {
          if (sharedTenants(proposal) === 0)
            assert.equal(-key(proposal)[1], leastFactor(bitsOf(proposal, 0), need, input));
          const before = proposals[index - 1];
          if (before === undefined) continue;
          several++;
          const [a, b] = [key(before), key(proposal)];
          const at = a.findIndex((value, i) => value !== b[i]);
          assert.ok(a[at]! < b[at]!, `${a.join()} before ${b.join()}`);
        }
      }),
      { numRuns: 80 },
    );
    assert.ok(several > 3);
  });

  it('as a topology file are valid, and every rack of today has the stated aggregate, which more racks do not move', () => {
    const plain = sizesUpTo({ hosts: 60, tenants: 30, segments: 4, endpoints: 20 });
    fc.assert(
      fc.property(plain, (sizes) => {
        const input = {
          ...sizes,
          networks: [
            { name: 'v4', cidr: '10.0.0.0/8' },
            { name: 'v6', cidr: 'fd00::/40' },
          ],
        };
        for (const proposal of propose(input).proposals) {
          const { plan } = demandTopology(topologyFile(input, proposal));
          const leaves = plan.groups.filter(({ leaf }) => leaf);
          assert.equal(leaves.length, input.racks ?? input.zones ?? 1);
          const lowest = proposal.levels.at(-1);
          for (const { ranges } of lowest === undefined ? [] : leaves)
            for (const { network, cidr } of ranges)
              assert.equal(cidr.length, lowest?.sizes.find((size) => size.network === network)?.prefixLength);
          if (input.racks === null || input.zones !== null || lowest!.slots === input.racks) continue;
          const more = demandTopology(topologyFile({ ...input, racks: input.racks + 1 }, proposal)).plan;
          assert.deepEqual(
            more.groups
              .filter(({ leaf }) => leaf)
              .slice(0, -1)
              .map(({ ranges }) => ranges),
            leaves.map(({ ranges }) => ranges),
          );
        }
      }),
      { numRuns: 40 },
    );
  });

  it('do not depend on anything but the input (5)', () => {
    fc.assert(
      fc.property(narrow, ([input]) => {
        assert.deepEqual(propose(input), propose(structuredClone(input)));
      }),
      { numRuns: 30 },
    );
  });

  it('--top takes the first of them, and one more never changes those before', () => {
    const all = propose(inputOf(), { top: 99 }).proposals;
    assert.ok(all.length > 3);
    for (let top = 1; top <= all.length; top++)
      assert.deepEqual(propose(inputOf(), { top }).proposals, all.slice(0, top));
  });

  it('the first thing that runs out is the smallest factor of all', () => {
    fc.assert(
      fc.property(narrow, ([input]) => {
        for (const { runsOut, networks } of propose(input).proposals) {
          const factors = networks.flatMap(({ headroom }) => headroom.map(({ factor }) => factor));
          const first = runsOut.find(({ part }) => part !== 'routes');
          assert.equal(first?.factor, Math.min(...factors));
          assert.deepEqual(
            runsOut.map(({ factor }) => factor),
            runsOut.map(({ factor }) => factor).sort((a, b) => a - b),
          );
        }
      }),
      { numRuns: 60 },
    );
  });
});

function carveAndCheck(proposal: Proposal, hosts: number): void {
  const { idsPerHost, levels } = proposal;
  const zone = levels.find(({ level }) => level === 'zone');
  const rack = levels.find(({ level }) => level === 'rack');
  const nodes = (name: string, slots: number, groups?: GroupNode[]): GroupNode[] =>
    Array.from({ length: slots }, (_, i) => ({ name: `${name}${i}`, ...(groups && { groups }) }));
  // Too many slots would only take long.
  if ((zone?.slots ?? 1) * (rack?.slots ?? 1) > 512) return;
  const racks = rack && nodes('r', rack.slots);
  const topology = { groups: zone ? nodes('z', zone.slots, racks) : (racks ?? []) };
  for (const { name, cidr, layout } of proposal.networks) {
    const plan = addressPlan(parseCidr(cidr), layout);
    const groups = carve(plan, topology);
    for (const level of levels) {
      const size = level.sizes.find(({ network }) => network === name)!;
      const depth = level.level === 'zone' || zone === undefined ? 1 : 2;
      const those = groups.filter(({ path }) => path.split('/').length === depth);
      assert.equal(those.length, depth === 1 ? level.slots : level.slots * zone!.slots);
      for (const group of those) {
        assert.equal(group.cidr.length, size.prefixLength);
        assert.equal(group.lastHostId - group.firstHostId + 1, size.hostIds);
      }
    }
    for (const group of groups.filter(({ leaf }) => leaf)) {
      const starts: number[] = [];
      for (let id = group.firstHostId; id + idsPerHost - 1 <= group.lastHostId; id += idsPerHost)
        if (id !== 0) starts.push(id);
      assert.ok(starts.length >= hosts, `${formatCidr(group.cidr)} has too few ids for ${hosts} hosts`);
      assert.equal(group.firstHostId % idsPerHost, 0, 'a reservation is aligned');
    }
    const last = { host: 2 ** layout.host - 1, tenant: 1, segment: 1, endpoint: 1 };
    assert.deepEqual(decode(plan, encode(plan, last)), last);
  }
}

describe('routes', () => {
  const count = (answer: PlanAnswer, fabric: string, device: string): number | undefined =>
    answer.routes.find((route) => route.fabric === fabric && route.device === device)?.today;

  it('of an l2 host are those that its route table gets', () => {
    fc.assert(
      fc.property(small, (sizes) => {
        const input = { ...sizes, growth: noGrowth };
        const answer = propose(input);
        const groups = input.racks ?? input.zones ?? 1;
        const hosts = Array.from({ length: input.hosts }, (_, i) =>
          // Spread out, so that nothing is joined.
          host(`h${i}`, `g${i % groups}`, [`192.168.0.${i + 1}`], { net: `10.${2 * i + 1}.0.0/16` }),
        );
        const racks = Array.from({ length: groups }, (_, i) => group(`g${i}`, {}));
        const net = network('net', '10.0.0.0/8');
        const plan = planRouting(
          routingInput([net], group('', { net: '10.0.0.0/8' }, { groups: racks }), hosts),
        );
        const direct = plan.host('h0')?.routes.filter(({ nextHops }) => nextHops.length > 0);
        // Dealt out in turns: the first group is the fullest.
        assert.equal(count(answer, 'l2', 'host'), direct?.length);
      }),
      { numRuns: 40 },
    );
  });

  it('of a VPC table stay within its budget by coarser aggregates, as long as there are any', () => {
    const at = (vpcRoutes: number): PlanAnswer =>
      propose(
        inputOf({ hosts: 600, racks: 60, zones: 3, budgets: { ...noBudgets, fabric: 'vpc', vpcRoutes } }),
      );
    assert.equal(count(at(600), 'vpc', 'vpc table'), 600);
    assert.equal(count(at(599), 'vpc', 'vpc table'), 60);
    assert.equal(count(at(50), 'vpc', 'vpc table'), 3);
    assert.deepEqual([at(3).fits, at(2).fits], [true, false]);
    assert.match(at(2).reasons.join(), /a vpc table needs 3 routes \(each zone\), its budget is 2/);
  });

  it('a fleet at the wall of 50 routes without racks is refused on vpc, told how many racks pass, and those pass', () => {
    const input = inputOf({ hosts: 51, budgets: { ...noBudgets, fabric: 'vpc' } });
    const answer = propose(input);
    assert.equal(answer.fits, false);
    assert.ok(propose({ ...input, hosts: 50 }).fits);
    const racks = Number(/--racks (\d+)/.exec(answer.advice.join())?.[1]);
    assert.ok(propose({ ...input, racks }).fits);
    // Any other way of connecting hosts has no such wall.
    assert.ok(propose({ ...input, budgets: noBudgets }).fits);
  });

  it('are counted per network, in a VPC table per family', () => {
    const four = { name: 'a', cidr: '10.0.0.0/8' };
    const six = { name: 'b', cidr: 'fd00::/40' };
    const more = { name: 'c', cidr: '172.16.0.0/12' };
    const tables = [[four], [four, six], [four, six, more]].map((networks) => {
      const answer = propose(inputOf({ hosts: 10, networks }));
      return [count(answer, 'l2', 'host'), count(answer, 'vpc', 'vpc table')];
    });
    assert.deepEqual(tables, [
      [9, 10],
      [18, 10],
      [27, 20],
    ]);
  });
});
