import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  type Address,
  type Cidr,
  containsAddress,
  firstAddress,
  formatAddress,
  lastAddress,
  parseAddress,
} from '../address/index.ts';
import type { RoutingInput } from './model.ts';
import { planRouting } from './plan.ts';
import { converged, ends, longest, type Network, planned } from './testing-forward.ts';
import { build, harmed, harms, type Shape, shapes } from './testing-sites.ts';

const fabrics = ['l2', 'l3-static', 'bgp', 'direct', 'vpc'] as const;
/** The top of the tree joins everything. */
const whole = fc.oneof(
  shapes(fabrics, false, 1),
  shapes(fabrics, true, 1),
  shapes(['bgp'], false, 1),
  shapes(['bgp', 'l3-static'], true, 1),
);

const edges = (cidr: Cidr): Address[] => [firstAddress(cidr), lastAddress(cidr)];

/** Addresses that somebody has, with who delivers them: the holder of the narrowest granted route, else of the range. */
function owned(input: RoutingInput): Map<string, { address: Address; host: string; fenced: boolean }> {
  const out = new Map<string, { address: Address; host: string; fenced: boolean }>();
  const all = input.hosts.flatMap(({ name, ranges, granted, state }) => [
    ...ranges.map(({ cidr }) => ({ cidr, name, fenced: state === 'fenced' })),
    ...(state === 'fenced' ? [] : granted.map((cidr) => ({ cidr, name, fenced: false }))),
  ]);
  for (const { cidr } of all) {
    for (const address of edges(cidr)) {
      const holder = all
        .filter((each) => containsAddress(each.cidr, address))
        .sort((a, b) => b.cidr.length - a.cidr.length || (a.name < b.name ? -1 : 1))[0]!;
      out.set(formatAddress(address), { address, host: holder.name, fenced: holder.fenced });
    }
  }
  return out;
}

/** Addresses of the networks that nobody has. */
function unowned(input: RoutingInput): Address[] {
  const near = input.topologies[0]!.root.groups.flatMap((zone) => [zone, ...zone.groups]);
  const candidates = [
    ...near.flatMap(({ aggregates }) => aggregates.flatMap(({ cidr }) => edges(cidr))),
    ...['10.255.255.254', '10.0.0.1', 'fd10:ffff::1', '172.30.255.1'].map(parseAddress),
  ];
  return candidates.filter((address) =>
    input.hosts.every(
      ({ ranges, granted }) =>
        !ranges.some(({ cidr }) => containsAddress(cidr, address)) &&
        !granted.some((cidr) => containsAddress(cidr, address)),
    ),
  );
}

function judge(input: RoutingInput, network: Network, shape: Shape): void {
  const live = input.hosts.filter(({ state }) => state !== 'fenced');
  const lost = new Set(input.hosts.filter(({ state }) => state === 'lost').map(({ name }) => name));
  for (const { name } of live) {
    for (const { address, host, fenced } of owned(input).values()) {
      const found = [...ends(network, name, address)];
      const say = `${name} → ${formatAddress(address)} of ${host}: ${found.join(', ')}\n${JSON.stringify(shape)}`;
      if (fenced)
        assert.ok(
          found.every((end) => /^(dropped|leaves)/.test(end)),
          say,
        );
      // The hosts of its link do without a lost host; whoever is told by devices finds out there.
      else if (lost.has(host) && found[0] === `dropped ${name}`) assert.equal(found.length, 1, say);
      else assert.deepEqual(found, [`delivered ${host}`], say);
    }
    for (const address of unowned(input)) {
      const found = [...ends(network, name, address)];
      assert.ok(
        found.every((end) => end.startsWith('dropped')),
        `${name} → ${formatAddress(address)}: ${found.join(', ')}\n${JSON.stringify(shape)}`,
      );
    }
  }
}

describe('forwarding', () => {
  it('every address of every host is delivered to it from every host, over every next hop of equal cost; what nobody has is dropped; no loop, no transit (R1)', () => {
    fc.assert(
      fc.property(whole, (shape) => {
        const input = build(shape);
        const plan = planRouting(input);
        judge(input, planned(input, plan), shape);
      }),
      { numRuns: 60 },
    );
  });

  it('BGP speakers that do what the intents say, both sides filtering, come to the same forwarding (R2)', () => {
    fc.assert(
      fc.property(whole, (shape) => {
        const input = build(shape);
        const plan = planRouting(input);
        const network = converged(input, plan);
        judge(input, network, shape);
        const said = planned(input, plan);
        const addresses = [...[...owned(input).values()].map(({ address }) => address), ...unowned(input)];
        for (const [name, node] of network) {
          for (const address of addresses) {
            const real = longest(node.entries, address)?.to ?? null;
            const plannedTo = longest(said.get(name)!.entries, address)?.to ?? null;
            assert.deepEqual(real, plannedTo, `${name} ${formatAddress(address)} ${JSON.stringify(shape)}`);
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('whatever is missing, doubled or wrong in what a site states: no loop, no transit, nothing delivered to another host (R1)', () => {
    fc.assert(
      fc.property(fc.oneof(shapes(fabrics, true, 0), whole), harms, (shape, list) => {
        // What is granted away is led back from a home that devices do not know to be left: a fault of its own.
        const kept = shape.zones.map((zone) => ({
          ...zone,
          racks: zone.racks.map((rack) => ({
            ...rack,
            hosts: rack.hosts.map((host) => ({ ...host, takes: null })),
          })),
        }));
        const input = list.reduce(harmed, build({ ...shape, zones: kept }));
        const plan = planRouting(input);
        const say = `${JSON.stringify(list)}\n${JSON.stringify(shape)}`;
        for (const network of [planned(input, plan), converged(input, plan)]) {
          for (const { name } of input.hosts) {
            for (const { address } of owned(input).values()) {
              const holders = new Set(
                input.hosts
                  .filter(({ ranges }) => ranges.some(({ cidr }) => containsAddress(cidr, address)))
                  .map((host) => `delivered ${host.name}`),
              );
              for (const end of ends(network, name, address)) {
                assert.ok(!/^(loop|transit)/.test(end), `${name}: ${end}\n${say}`);
                assert.ok(!end.startsWith('delivered') || holders.has(end), `${name}: ${end}\n${say}`);
              }
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });
});
