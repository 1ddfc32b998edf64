import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as fc from 'fast-check';
import {
  type Cidr,
  containsCidr,
  equalCidr,
  firstAddress,
  formatCidr,
  lastAddress,
  parentOf,
} from '../address/index.ts';
import { diffPlans } from './diff.ts';
import type { PlannedRoute, RoutingGroup, RoutingInput, RoutingPlan } from './model.ts';
import { planRouting } from './plan.ts';
import { actionKey } from './routes.ts';
import { show } from './testing.ts';
import { converged, ends, type Network } from './testing-forward.ts';
import { build, type Shape, shapes } from './testing-sites.ts';

const fabrics = ['l2', 'l3-static', 'bgp', 'direct', 'vpc'] as const;
const any = fc.oneof(shapes(fabrics, false, 0), shapes(fabrics, true, 0));
const spoken = shapes(['bgp'], false, 1);

function everything(plan: RoutingPlan): unknown {
  return [
    ...plan.hosts.map((name) => plan.host(name)),
    ...plan.devices.map((name) => ({ ...plan.device(name), device: name })),
    plan.problems,
  ];
}

function tables(plan: RoutingPlan): [string, readonly PlannedRoute[]][] {
  return [
    ...plan.hosts.map((name): [string, readonly PlannedRoute[]] => [name, plan.host(name)!.routes]),
    ...plan.devices.map((name): [string, readonly PlannedRoute[]] => [name, plan.device(name)!.routes]),
  ];
}

function shuffled(input: RoutingInput, order: Iterator<number>): RoutingInput {
  const mix = <T>(list: readonly T[]): T[] =>
    list
      .map((item) => ({ item, key: order.next().value as number }))
      .sort((a, b) => a.key - b.key)
      .map(({ item }) => item);
  const group = (each: RoutingGroup): RoutingGroup => ({
    ...each,
    devices: mix(each.devices).map((device) => ({ ...device, uplinks: mix(device.uplinks) })),
    aggregates: mix(each.aggregates),
    groups: mix(each.groups.map(group)),
  });
  return {
    networks: mix(input.networks),
    topologies: mix(input.topologies).map(({ name, root }) => ({ name, root: group(root) })),
    hosts: mix(input.hosts).map((host) => ({
      ...host,
      addresses: mix(host.addresses),
      uplinks: mix(host.uplinks),
      ranges: mix(host.ranges),
      granted: mix(host.granted),
    })),
  };
}

describe('plans', () => {
  it('hold no route that could be left out, and no two that could be one; but a drop of own ranges stays whatever fills it today (R4)', () => {
    fc.assert(
      fc.property(any, (shape) => {
        for (const [name, routes] of tables(planRouting(build(shape)))) {
          const all = () => `${name}: ${show(routes).join(', ')}`;
          for (const [n, route] of routes.entries()) {
            assert.ok(n === 0 || !equalCidr(routes[n - 1]!.cidr, route.cidr), all());
            const over = routes
              .filter((each) => each !== route && containsCidr(each.cidr, route.cidr))
              .sort((a, b) => b.cidr.length - a.cidr.length)[0];
            assert.ok(over === undefined || actionKey(over) !== actionKey(route), all());
            const parent = parentOf(route.cidr);
            const sibling = routes.find(
              (each) =>
                each !== route &&
                each.cidr.length === route.cidr.length &&
                parent !== undefined &&
                containsCidr(parent, each.cidr) &&
                actionKey(each) === actionKey(route),
            );
            if (sibling !== undefined && route.why.kind !== 'own') {
              assert.ok(
                routes.some((each) => equalCidr(each.cidr, parent!)),
                all(),
              );
            }
          }
        }
      }),
      { numRuns: 60 },
    );
  });

  it('do not depend on the order of anything in the input (R5)', () => {
    fc.assert(
      fc.property(any, fc.infiniteStream(fc.nat()), (shape, order) => {
        const input = build(shape);
        assert.deepEqual(everything(planRouting(shuffled(input, order))), everything(planRouting(input)));
      }),
      { numRuns: 60 },
    );
  });

  it('a host that joins inside its group changes itself, the devices that serve it and the hosts of its link; devices above learn at most a route (R7)', () => {
    fc.assert(
      fc.property(any, fc.nat(), (shape, pick) => {
        // A group that has all of a network for its aggregate names each range upwards.
        const [first] = shape.zones;
        const input = plain({ ...shape, zones: [first!, ...shape.zones.slice(1), { ...first!, racks: [] }] });
        fc.pre(input.hosts.length > 0);
        const joining = input.hosts[pick % input.hosts.length]!;
        const before = planRouting({ ...input, hosts: input.hosts.filter((host) => host !== joining) });
        const after = planRouting(input);
        const serving = new Set(
          after.devices.filter((name) =>
            after
              .device(name)!
              .routes.some(
                ({ why }) =>
                  why.kind === 'host' &&
                  why.host === joining.name &&
                  servesDirectly(after, name, joining.name),
              ),
          ),
        );
        for (const node of diffPlans(before, after).nodes) {
          const say = `${joining.name} joins: ${node.name} ${JSON.stringify({ ...node, added: show(node.added), removed: show(node.removed) })}\n${JSON.stringify(shape)}`;
          if (node.name === joining.name) continue;
          if (node.kind === 'host') {
            assert.ok(sharesLink(after, node.name, joining.name), say);
            assert.ok(
              node.added.every(({ why }) => why.kind === 'host' && why.host === joining.name),
              say,
            );
            assert.deepEqual([node.removed, node.changed, node.sessions.changed], [[], [], []], say);
          } else if (!serving.has(node.name)) {
            // A device of the group that is told hosts' ranges learns one; nobody configures anything on it.
            assert.deepEqual(node.sessions, { added: [], removed: [], changed: [] }, say);
            assert.equal(after.device(node.name)!.kind, 'bgp', say);
          } else
            assert.deepEqual(
              node.removed.filter(({ nextHops }) => nextHops.length === 0),
              [],
              say,
            );
        }
      }),
      { numRuns: 60 },
    );
  });

  it('with links and devices dead, BGP finds no loop and no way through hosts (R8)', () => {
    fc.assert(
      fc.property(spoken, fc.array(fc.nat(), { minLength: 1, maxLength: 3 }), (shape, picks) => {
        const input = build(shape);
        const plan = planRouting(input);
        const down = new Set(picks.flatMap((pick) => [...failure(input, plan, pick).down]));
        for (const found of outcomes(input, converged(input, plan, down))) {
          assert.ok(!/^(loop|transit)/.test(found.end), `${found.text}\n${JSON.stringify(shape)}`);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('with a link or a device dead, whoever has another link is reached over it, unless the site has the aggregate told by force (R8)', () => {
    fc.assert(
      fc.property(spoken, fc.nat(), (shape, pick) => {
        const zones = shape.zones.map((zone) => ({
          ...zone,
          racks: zone.racks.map((rack) => ({ ...rack, devices: Math.max(1, rack.devices) })),
        }));
        const aggregate = shape.aggregate === true ? null : shape.aggregate;
        const input = plain({ ...shape, zones, aggregate, spines: 2 });
        const plan = planRouting(input);
        const { down, gone } = failure(input, plan, pick);
        for (const { end, text, from, to } of outcomes(input, converged(input, plan, down))) {
          if (gone.has(from) || gone.has(to)) continue;
          assert.equal(end, `delivered ${to}`, `${[...down].join()} ${text}\n${JSON.stringify(shape)}`);
        }
      }),
      { numRuns: 60 },
    );
  });
});

/** Only what lies in the aggregates, each host on all links that it may have, and nothing granted. */
function plain(shape: Shape): RoutingInput {
  return build({
    ...shape,
    addresses: false,
    zones: shape.zones.map((zone) => ({
      ...zone,
      racks: zone.racks.map((rack) => ({
        ...rack,
        partial: false,
        hosts: rack.hosts.map((host) => ({
          ...host,
          homes: 'both',
          flat: false,
          state: 'active',
          takes: null,
        })),
      })),
    })),
  });
}

function servesDirectly(plan: RoutingPlan, device: string, host: string): boolean {
  return plan.device(device)!.routes.some(({ nextHops }) => nextHops.some(({ to }) => to === host));
}
function sharesLink(plan: RoutingPlan, a: string, b: string): boolean {
  return plan.host(a)!.routes.some(({ why }) => why.kind === 'host' && why.host === b);
}

/** One link of a host, or one device; and the hosts that it leaves without any. */
function failure(
  input: RoutingInput,
  plan: RoutingPlan,
  pick: number,
): { down: Set<string>; gone: Set<string> } {
  const linksOf = (host: string): string[] => [...new Set(plan.host(host)!.gateways.map(({ to }) => to))];
  const links = input.hosts.flatMap(({ name }) => linksOf(name).map((to) => [name, to] as const));
  const n = pick % (links.length + plan.devices.length);
  const link = links[n];
  if (link !== undefined) {
    const [host, device] = link;
    const gone = linksOf(host).length === 1 ? [host] : [];
    return { down: new Set([`${host} ${device}`, `${device} ${host}`]), gone: new Set(gone) };
  }
  const dead = plan.devices[n - links.length]!;
  const cutOff = (device: string): boolean =>
    device === dead ||
    (plan.device(device)!.gateways.length > 0 && plan.device(device)!.gateways.every(({ to }) => cutOff(to)));
  const gone = input.hosts.filter(({ name }) => linksOf(name).every(cutOff)).map(({ name }) => name);
  return { down: new Set([dead]), gone: new Set(gone) };
}

interface Outcome {
  readonly from: string;
  readonly to: string;
  readonly end: string;
  readonly text: string;
}
function* outcomes(input: RoutingInput, network: Network): Generator<Outcome> {
  const live = input.hosts.filter(({ state }) => state !== 'fenced');
  for (const { name: from } of live) {
    for (const { name: to, ranges } of live) {
      for (const { cidr } of ranges) {
        for (const address of edges(cidr)) {
          for (const end of ends(network, from, address)) {
            yield { from, to, end, text: `${from} → ${formatCidr(cidr)} of ${to}: ${end}` };
          }
        }
      }
    }
  }
}
const edges = (cidr: Cidr): ReturnType<typeof firstAddress>[] => [firstAddress(cidr), lastAddress(cidr)];
