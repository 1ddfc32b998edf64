/**
 * Who has to have the route of a new range before an address of it is given out, besides the agents (growth.ts). Pure.
 *
 * 1. A device that carries a route to just this range takes it from an operator, who confirms it for the revision that was exported.
 *    Devices that reach it by the aggregate of a group have it already. In a VPC whoever writes its tables confirms them.
 * 2. A host that speaks BGP brings its range to the devices itself: its own report confirms it, once the range is announced in an
 *    established session of the right family. A device is asked for no more, unless an operator gave it a configuration of
 *    ours before: that one accepts from the host exactly what it had then.
 * 3. Where no device is on record, an operator speaks for all of them, whose names nobody knows (`switches`).
 * 4. When an operator says that all of them have it (`host confirm`), nothing of this is waited for.
 */
import type { BgpReport } from '#contract/model.ts';
import { type Cidr, containsCidr, parseCidr, tryParseAddress } from '#core/address/index.ts';
import type { FabricKind } from '#core/routing/fabric.ts';

export interface Carrier {
  readonly what: 'switch' | 'vpc';
  readonly name: string;
  readonly kind: FabricKind;
  /** Revision of its newest confirmed export; null: none was ever confirmed. */
  readonly confirmed: number | null;
}

export interface NewRange {
  readonly cidr: Cidr;
  /** The first that has it. */
  readonly revision: number;
  /** Devices with a route to this range alone. */
  readonly carriers: readonly Carrier[];
  /** Null: the host speaks no BGP. */
  readonly bgp: { readonly peers: readonly string[]; readonly report: BgpReport | undefined } | null;
}

/** Empty: it is everywhere. */
export function routeWaits({ cidr, revision, carriers, bgp }: NewRange): string[] {
  if (carriers.length === 0 && bgp === null) return ['switches'];
  const behind = carriers.filter(({ kind, confirmed }) =>
    kind === 'bgp' && bgp !== null
      ? confirmed !== null && confirmed < revision
      : confirmed === null || confirmed < revision,
  );
  return [
    ...(bgp === null || isAnnounced(cidr, bgp.peers, bgp.report) ? [] : ['bgp']),
    ...behind.map(({ what, name }) => `${what} ${name}`),
  ];
}

function isAnnounced(cidr: Cidr, peers: readonly string[], report: BgpReport | undefined): boolean {
  if (report?.up !== true) return false;
  const carries = report.sessions.some(({ peer, neighbour, state }) => {
    const family = tryParseAddress(neighbour)?.family;
    // Over an unnumbered link, named instead of an address, both families go.
    return (
      state === 'established' &&
      peers.includes(peer) &&
      (family ?? cidr.address.family) === cidr.address.family
    );
  });
  return carries && (report.announced ?? []).some((text) => containsCidr(parseCidr(text), cidr));
}
