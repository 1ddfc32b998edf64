/** Where a host stands when there are several topologies: in at most one group of each, which serves the networks that it carves. */

export interface Standing {
  /** In the first topology that has the host; null: it has no groups. */
  readonly group: string | null;
  /** Only where there are several topologies. */
  readonly groups?: readonly { readonly topology: string; readonly path: string }[] | undefined;
}

/** The group in whose part of a network the host has its ids; undefined: it has none there. `carver`: topology that carves the network. */
export function pathIn({ group, groups }: Standing, carver: string | undefined): string | undefined {
  if (groups === undefined) return group ?? '';
  return carver === undefined ? '' : groups.find(({ topology }) => topology === carver)?.path;
}

/** Hosts with the same answer reach each other's ids of such a network over one link; undefined: it has no ids there. */
export function linkIn({ group, groups }: Standing, carver: string | undefined): string | null | undefined {
  if (groups === undefined) return group;
  const place = carver === undefined ? groups[0] : groups.find(({ topology }) => topology === carver);
  return place === undefined ? undefined : `${place.topology} ${place.path}`;
}

/** Topology by network; networks that none carves are left out. */
export function carversOf(
  aggregates: readonly { readonly network: string; readonly topology?: string | undefined }[],
): Map<string, string> {
  return new Map(
    aggregates.flatMap(({ network, topology }) => (topology === undefined ? [] : [[network, topology]])),
  );
}
