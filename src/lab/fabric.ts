/**
 * The lab's fabric in the words of a topology file: switches, their links and AS numbers, and how hosts meet. What is routed where
 * follows from that in the product, not here. Pure.
 */
import type { TopologyInput } from '#contract/topology.ts';
import { RomanaError } from '#core/errors.ts';
import { type HostPlan, type LabPlan, type LeafPlan, leavesOf, type Pair4And6 } from './plan.ts';

type Part = Record<string, unknown>;
const both = ({ address4, address6 }: Pair4And6): string[] => [address4, address6];

export const SPINE = 'spine';

function platformOf({ fabric }: LabPlan): string {
  return fabric.tor ?? 'iproute2';
}

function leafDevice(plan: LabPlan, leaf: LeafPlan): Part {
  return {
    name: leaf.name,
    platform: platformOf(plan),
    addresses: both(leaf),
    uplinks: [{ device: SPINE, local: both(leaf.up), remote: both(leaf.spine) }],
    ...(plan.fabric.kind === 'bgp' ? { asn: leaf.asn } : {}),
  };
}

function spineDevice(plan: LabPlan): Part {
  return {
    name: SPINE,
    platform: platformOf(plan),
    ...(plan.fabric.kind === 'bgp' ? { asn: plan.spineAsn, routerId: '192.168.200.1' } : {}),
  };
}

function fabricOf({ fabric, hostAsn }: LabPlan): Part {
  if (fabric.kind !== 'bgp') return { kind: fabric.kind };
  return {
    kind: 'bgp',
    daemon: fabric.daemon,
    hostAsn,
    connectRetrySeconds: 1,
    announceAddresses: fabric.dualHomed,
  };
}

/** What is stated at the topology itself, and at the group of a rack: there `l2`, for it means one link. */
function stated(plan: LabPlan, rack: LabPlan['racks'][number] | null): Part {
  const shared = plan.fabric.kind === 'l2';
  const fabric = shared === (rack !== null) ? { fabric: fabricOf(plan) } : {};
  const devices = rack === null ? [spineDevice(plan)] : rack.leaves.map((leaf) => leafDevice(plan, leaf));
  return { ...fabric, devices };
}

/** A host's links, where it has more than one. */
export function uplinksOf({ links }: HostPlan): { device: string; addresses: string[]; link: string }[] {
  if (links.length === 1) return [];
  return links.map((link) => ({ device: link.leaf.name, addresses: both(link), link: link.name }));
}

/** The lab's own topology: a group for each rack. */
export function ownTopology(plan: LabPlan): TopologyInput {
  const map = plan.racks.map((rack) => ({ name: rack.name, ...stated(plan, rack) }));
  return { topologies: [{ ...stated(plan, null), map }] };
}

/** The user's file with the lab's switches in it. `racks`: the path of the group that each rack's hosts stand in. */
export function withFabric(
  plan: LabPlan,
  document: TopologyInput,
  racks: ReadonlyMap<string, string>,
): TopologyInput {
  const rackAt = new Map(
    [...racks].map(([rack, path]) => [path, plan.racks.find(({ name }) => name === rack)]),
  );
  const groups = (list: unknown, above: string): unknown =>
    !Array.isArray(list)
      ? list
      : list.map((group: Part, i) => {
          const own = typeof group['name'] === 'string' ? group['name'] : `group${i + 1}`;
          const path = above === '' ? own : `${above}/${own}`;
          refuseStated(group, path);
          const inner = 'groups' in group ? { groups: groups(group['groups'], path) } : {};
          const rack = rackAt.get(path);
          return { ...group, ...inner, ...(rack === undefined ? {} : stated(plan, rack)) };
        });
  const { groups: short, topologies, ...rest } = document;
  const [top = {}] = topologies ?? [{ map: short }];
  refuseStated(top, 'the topology');
  return { ...rest, topologies: [{ ...top, ...stated(plan, null), map: groups(top['map'], '') }] };
}

function refuseStated(part: Part, where: string): void {
  const key = ['fabric', 'devices'].find((key) => part[key] !== undefined);
  if (key === undefined) return;
  throw new RomanaError(
    'input_invalid',
    `The lab has switches of its own: take ${key} out of ${where}, and say --fabric instead.`,
    { details: { path: 'topology' } },
  );
}

/** Switches in the order in which they are configured: from the top. */
export function switchesOf(plan: LabPlan): string[] {
  return [SPINE, ...leavesOf(plan).map(({ name }) => name)];
}
