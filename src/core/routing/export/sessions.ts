/** What the configurations of switches of other makers have in common on the side of BGP. */
import { type Cidr, compareCidr, type Family, formatCidr, widthOf } from '../../address/index.ts';
import { RomanaError } from '../../errors.ts';
import type { BgpNeighbour, DeviceBgpIntent, DeviceRouting, PlannedRoute } from '../model.ts';
import { ofFamily } from './bird-text.ts';
import { announcedAlone, staticRoutes } from './device-routes.ts';

export const families: readonly Family[] = [4, 6];

/** A session with one address of the neighbour; those over links without addresses are written for FRR alone. */
export interface Session extends BgpNeighbour {
  readonly address: NonNullable<BgpNeighbour['address']>;
  /** Of its filters: the same neighbour has another for each session. */
  readonly id: string;
}

export function sessionsOf(device: string, bgp: DeviceBgpIntent, what: string): Session[] {
  const seen = new Map<string, number>();
  return bgp.neighbours.map((neighbour): Session => {
    const { address, name } = neighbour;
    if (address === null)
      throw new RomanaError(
        'input_invalid',
        `The unnumbered session of ${device} with ${name} cannot be written for ${what}; give that link addresses, or choose frr.`,
      );
    const plain = `romana-${name}-${neighbour.families.join('')}`;
    const times = (seen.get(plain) ?? 0) + 1;
    seen.set(plain, times);
    return { ...neighbour, address, id: times === 1 ? plain : `${plain}-${times}` };
  });
}

export interface FilterEntry {
  readonly cidr: Cidr;
  /** Also everything inside it. */
  readonly within: boolean;
}

export function filterOf(family: Family, exact: readonly Cidr[], within: readonly Cidr[]): FilterEntry[] {
  const entries = [
    ...ofFamily(family, exact).map((cidr) => ({ cidr, within: false })),
    ...ofFamily(family, within).map((cidr) => ({ cidr, within: cidr.length < widthOf(family) })),
  ];
  return entries.sort((a, b) => compareCidr(a.cidr, b.cidr) || Number(a.within) - Number(b.within));
}

/** `10.1.0.0/16`, or with what is inside `10.1.0.0/16 le 32`. */
export function prefixText({ cidr, within }: FilterEntry): string {
  return within ? `${formatCidr(cidr)} le ${widthOf(cidr.address.family)}` : formatCidr(cidr);
}

/**
 * Static routes of a device that announces only what is in its table: what it announces without dropping it leads where its default route
 * does. `missing`: where no device above is known, an operator has to say where.
 */
export function tableOf(routing: DeviceRouting): {
  readonly routes: readonly PlannedRoute[];
  readonly missing: readonly Cidr[];
} {
  const { bgp, gateways } = routing;
  const routes = staticRoutes(routing);
  if (bgp === null) return { routes, missing: [] };
  const missing: Cidr[] = [];
  const more = announcedAlone(bgp).flatMap((cidr): PlannedRoute[] => {
    const nextHops = gateways.filter(({ address }) => address.family === cidr.address.family);
    if (nextHops.length > 0) return [{ cidr, nextHops, why: { kind: 'own' } }];
    missing.push(cidr);
    return [];
  });
  return { routes: [...routes, ...more].sort((a, b) => compareCidr(a.cidr, b.cidr)), missing };
}

/** What is told to neighbours from here, besides what came over other sessions. */
export function announcedFrom(routing: DeviceRouting, family: Family): Cidr[] {
  if (routing.bgp === null) return [];
  const { routes, missing } = tableOf(routing);
  return ofFamily(family, [...routes.map(({ cidr }) => cidr), ...missing]).sort(compareCidr);
}

export function missingLines(missing: readonly Cidr[], comment: string): string[] {
  return missing.map(
    (cidr) =>
      `${comment} ${formatCidr(cidr)} is announced only while the device has a route for it: add one that leads where its default route does`,
  );
}

/** With the two lists of a session's filters in the words of a maker. */
export function filterLines(
  session: Session,
  listLines: (family: Family, name: string, entries: readonly FilterEntry[]) => string[],
): string[] {
  return session.families.flatMap((family) => [
    ...listLines(family, `${session.id}-in`, filterOf(family, session.accept, session.acceptWithin)),
    ...listLines(family, `${session.id}-out`, filterOf(family, session.announce, session.announceWithin)),
  ]);
}

/** IPv6 has to be switched on. */
export function needs6(routes: readonly PlannedRoute[], sessions: readonly Session[]): boolean {
  return (
    routes.some(({ cidr }) => cidr.address.family === 6) ||
    sessions.some(({ families: own }) => own.includes(6))
  );
}
