/** The routes of what is stored: of a whole plan, and which devices have one to a new range. */
import type { Host } from '#contract/model.ts';
import { routingInput } from '#contract/routing.ts';
import type { Kind } from '#contract/watch.ts';
import { type Cidr, containsAddress, firstAddress } from '#core/address/index.ts';
import { planRouting } from '#core/routing/index.ts';
import type { DeviceRouting, RoutingInput, RoutingPlan } from '#core/routing/model.ts';
import type { ReadTx, Store } from '#store/port.ts';
import { fabricsOf } from './fabric.ts';
import type { FabricReports } from './fabric-reports.ts';
import { hasMoved } from './moved.ts';
import { type Carrier, routeWaits } from './route-waits.ts';
import { topologyOf } from './topology.ts';

export interface Planned {
  readonly input: RoutingInput;
  readonly plan: RoutingPlan;
  /** Revision of the last change of what is in it: no endpoint's, so that what is exported twice is the same text. */
  readonly stated: number;
}

export function planned(tx: ReadTx): Planned {
  const [topology, networks, hosts] = [topologyOf(tx), tx.list('network'), tx.list('host')];
  const input = routingInput({
    topology,
    networks: networks.map(({ value }) => value),
    hosts: hosts.map(({ value }) => value),
  });
  const stated = [...networks, ...hosts].reduce(
    (last, row) => Math.max(last, row.revision),
    topology.revision,
  );
  return { input, plan: planRouting(input), stated };
}

/** What a device was confirmed to have, by its name; so the tables of a VPC. */
export const deviceKind = '_device';
interface Confirmed {
  readonly revision: number;
}

export function confirmedRevision(tx: ReadTx, device: string): number | null {
  return (tx.get(deviceKind, device) as Confirmed | undefined)?.revision ?? null;
}

const routed: ReadonlySet<Kind> = new Set(['host', 'network', 'topology']);

export class RoutingPlans {
  readonly #store: Store;
  readonly #reports: FabricReports;
  #newest: (Planned & { readonly revision: number }) | undefined;

  constructor(store: Store, reports: FabricReports) {
    this.#store = store;
    this.#reports = reports;
  }

  /** The newest one is remembered while neither hosts nor topology change; a transaction, which may have changed anything, makes its own. */
  of(tx: ReadTx): Planned {
    if (tx.revision !== this.#store.position().revision) return planned(tx);
    const known = this.#newest;
    const same = known !== undefined && !hasMoved(this.#store, known.revision, routed);
    this.#newest = { ...(same ? known : planned(tx)), revision: tx.revision };
    return this.#newest;
  }

  /** Who has to have the route of this range, new with the revision, besides the agents; `known` instead of the plan of `tx`. */
  waits(tx: ReadTx, host: Host, range: { cidr: Cidr; revision: number }, known?: () => Planned): string[] {
    const stands = fabricsOf(topologyOf(tx), host);
    const near = new Set([
      ...stands.flatMap(({ devices }) => devices),
      ...(host.uplinks ?? []).map(({ device }) => device),
    ]);
    const speaks = stands.some(({ fabric }) => fabric?.kind === 'bgp');
    const vpcs = new Set(stands.flatMap(({ fabric }) => (fabric?.kind === 'vpc' ? [fabric.vpc] : [])));
    if (near.size + vpcs.size === 0 && !speaks) return routeWaits({ ...range, carriers: [], bgp: null });
    const { plan } = known?.() ?? this.of(tx);
    const tables = [...vpcs].map((name): Carrier => {
      return { what: 'vpc', name, kind: 'vpc', confirmed: confirmedRevision(tx, name) };
    });
    const devices = [...near].sort().flatMap((name): Carrier[] => {
      const device = plan.device(name);
      if (device === undefined || !carries(device, range.cidr, host.name)) return [];
      return [{ what: 'switch', name, kind: device.kind, confirmed: confirmedRevision(tx, name) }];
    });
    const carriers = [...devices, ...tables];
    const intent = plan.host(host.name)?.bgp ?? null;
    const report = this.#reports.bgp(tx, host)?.report;
    const bgp = intent === null ? null : { peers: intent.peers.map(({ name }) => name), report };
    return routeWaits({ ...range, carriers, bgp });
  }
}

function carries({ routes }: DeviceRouting, cidr: Cidr, host: string): boolean {
  const first = firstAddress(cidr);
  let best: DeviceRouting['routes'][number] | undefined;
  for (const route of routes)
    if (containsAddress(route.cidr, first) && route.cidr.length >= (best?.cidr.length ?? 0)) best = route;
  return best?.why.kind === 'host' && best.why.host === host;
}
