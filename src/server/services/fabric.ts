/** Which fabric a host stands on: what the nearest group above it states, in each topology that has it. */
import type { Fabric } from '#contract/fabric.ts';
import type { GroupTree, Host, Topology } from '#contract/model.ts';
import { pathIn, type Standing } from '#core/plan/index.ts';
import { carverOf, nameOf } from './topology.ts';

export interface StandsOn {
  readonly topology: string;
  /** Group that the host is in. */
  readonly path: string;
  /** Null: nobody states one, so the hosts of the group share a link. */
  readonly fabric: Fabric | null;
  /** Hosts with the same answer share the link, where the fabric is one. */
  readonly statedAt: string;
  /** Devices of the group and of all above it. */
  readonly devices: readonly string[];
}

type Tree = Pick<Topology, 'name' | 'groups' | 'fabric' | 'devices'>;

export function fabricsOf(topology: Tree & Pick<Topology, 'further'>, host: Standing): StandsOn[] {
  return [topology, ...(topology.further ?? [])].flatMap((tree): StandsOn[] => {
    const { name = 'default' } = tree;
    const path = pathIn(host, name);
    return path === undefined ? [] : [standsOn(tree, name, path)];
  });
}

function standsOn(tree: Tree, topology: string, path: string): StandsOn {
  let fabric = tree.fabric ?? null;
  let statedAt = fabric === null ? path : '';
  const devices = (tree.devices ?? []).map(({ name }) => name);
  let groups: readonly GroupTree[] = tree.groups;
  let here = '';
  for (const part of path === '' ? [] : path.split('/')) {
    const next = groups.find(({ name }) => name === part);
    if (next === undefined) break;
    here = here === '' ? part : `${here}/${part}`;
    if (next.fabric !== undefined) {
      fabric = next.fabric;
      statedAt = here;
    }
    devices.push(...(next.devices ?? []).map(({ name }) => name));
    groups = next.groups ?? [];
  }
  return { topology, path, fabric, statedAt, devices };
}

/** Whether a group states the VPC of this identifier. */
export function isVpc(topology: Topology, vpc: string): boolean {
  const states = ({ fabric, groups }: Pick<GroupTree, 'fabric' | 'groups'>): boolean =>
    (fabric?.kind === 'vpc' && fabric.vpc === vpc) || (groups ?? []).some(states);
  return [topology, ...(topology.further ?? [])].some(states);
}

/** Whether packets from another host to a range of this network on `host` pass a switch or router that has to know the range. */
export function passesSwitches(
  topology: Topology,
  host: Standing & { readonly name: string },
  network: string,
  hosts: readonly Host[],
): boolean {
  const carver = carverOf(topology, network);
  const standing = (one: Standing): StandsOn | undefined => {
    const all = fabricsOf(topology, one);
    return all.find(({ topology: tree }) => carver !== null && tree === nameOf(carver)) ?? all[0];
  };
  const mine = standing(host);
  const routed = mine !== undefined && mine.fabric !== null && mine.fabric.kind !== 'l2';
  // Hosts without a group share one flat link with nobody beyond it, unless the whole topology says otherwise.
  if (!routed && host.group === null && host.groups === undefined) return false;
  return hosts.some((one) => {
    if (one.name === host.name) return false;
    const other = standing(one);
    return routed || other?.topology !== mine?.topology || other?.statedAt !== mine?.statedAt;
  });
}
