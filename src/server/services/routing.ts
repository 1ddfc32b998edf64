/** `route list`, `export` and `--confirm`: what every host and device forwards, from the same computation that the agents run. */
import type { RouteList, RouteTable } from '#contract/routing-model.ts';
import { RomanaError } from '#core/errors.ts';
import { exportDevice } from '#core/routing/export/index.ts';
import type { DeviceRouting, RoutingPlan } from '#core/routing/model.ts';
import { comesBy } from '#core/routing/told.ts';
import type { ReadTx } from '#store/port.ts';
import { actorOf } from '../caller.ts';
import { isVpc } from './fabric.ts';
import type { Growth } from './growth.ts';
import { growingKind } from './host-ids.ts';
import { entry, hop } from './route-entries.ts';
import { confirmedRevision, deviceKind, type RoutingPlans } from './routing-plan.ts';
import { type Context, must, nameSome } from './shared.ts';
import { topologyOf } from './topology.ts';
import type { Services } from './types.ts';

/** Routes in one answer: enough for every rack, and some megabytes of text at most. */
const mostRoutes = 20_000;
/** The server knows no passwords: the command line puts them in. */
const passwordPlaceholder = 'ROMANA-BGP-PASSWORD';

type Mine = 'routeList' | 'routeExport' | 'routeConfirm';

export function routingServices(
  { store }: Context,
  plans: RoutingPlans,
  growth: Growth,
): Pick<Services, Mine> {
  return {
    routeList: async (_, { query }) =>
      store.read((tx): RouteList => {
        const { plan } = plans.of(tx);
        const { host, device } = query;
        const one = host !== undefined || device !== undefined;
        if (host !== undefined && tx.get('host', host) === undefined && plan.device(host) !== undefined)
          throw new RomanaError('not_found', `There is no host ${host}; it is a device: --device ${host}.`, {
            details: { kind: 'host', key: host },
          });
        if (host !== undefined) must(tx, 'host', host);
        const devices = one ? (device === undefined ? [] : [device]) : plan.devices;
        const hosts = one ? (host === undefined ? [] : [host]) : plan.hosts;
        const items: RouteTable[] = [];
        let routes = 0;
        const add = (table: RouteTable): void => {
          items.push(table);
          routes += table.routes.length;
        };
        for (const name of devices) if (routes < mostRoutes) add(deviceTable(mustDevice(plan, name)));
        for (const name of hosts) if (routes < mostRoutes) add(hostTable(plan, name));
        return { revision: tx.revision, items, left: devices.length + hosts.length - items.length };
      }),
    routeExport: async (_, { params, query }) =>
      store.read((tx) => {
        const { plan, stated: revision } = plans.of(tx);
        const routing = mustDevice(plan, params.device);
        const { device } = routing;
        const format = query.format ?? device.platform;
        const routes = routing.routes.length;
        return {
          device: device.name,
          format,
          revision,
          routes,
          budget: device.budget,
          over: device.budget !== null && routes > device.budget,
          problems: [...routing.problems],
          text: exportDevice(routing, format, { password: passwordPlaceholder, revision }),
        };
      }),
    routeConfirm: async (caller, { params, body }) => {
      const name = params.device;
      const { revision } = body;
      store.read((tx) => {
        if (!isVpc(topologyOf(tx), name)) mustDevice(plans.of(tx).plan, name);
      });
      const { revision: current } = store.position();
      if (revision > current) {
        throw new RomanaError(
          'input_invalid',
          `Revision ${revision} is in the future; confirm the one that the exported configuration names.`,
          { details: { path: 'revision', current } },
        );
      }
      const { known, active } = await store.transaction(actorOf(caller), (tx) => {
        // What was confirmed once stays: an older export that comes late takes nothing back.
        const known = confirmedRevision(tx, name) ?? 0;
        if (known < revision) tx.put(deviceKind, name, { revision });
        const waiting = growingHosts(tx);
        growth.settle(tx);
        const still = growingHosts(tx);
        return { known, active: waiting.filter((host) => !still.includes(host)) };
      });
      return store.read((tx) => ({
        device: name,
        revision: Math.max(revision, known),
        active,
        pending: growingHosts(tx).flatMap((host) => {
          const found = tx.get('host', host);
          return (found?.reservations ?? []).flatMap((one) =>
            found === undefined || one.pending === null
              ? []
              : [{ host, cidr: one.cidr, waitingFor: growth.waitingFor(tx, found, one) }],
          );
        }),
      }));
    },
  };
}

function growingHosts(tx: ReadTx): string[] {
  return tx.list(growingKind).map(({ key }) => key);
}

function mustDevice(plan: RoutingPlan, name: string): DeviceRouting {
  const found = plan.device(name);
  if (found !== undefined) return found;
  const known =
    plan.devices.length === 0
      ? 'the topology names none (docs/topology.md)'
      : `there are ${nameSome(plan.devices)}`;
  throw new RomanaError('not_found', `There is no device ${name}; ${known}.`, {
    details: { kind: 'device', key: name },
  });
}

function deviceTable(routing: DeviceRouting): RouteTable {
  const { device, topology, path, kind, routes, gateways, problems } = routing;
  const by = comesBy(routing);
  return {
    name: device.name,
    type: 'device',
    fabrics: [kind],
    topology,
    group: path === '' ? null : path,
    routes: routes.map((route) => entry(route, by(route), 'device')),
    gateways: gateways.map(hop),
    budget: device.budget,
    problems: [...problems],
  };
}

function hostTable(plan: RoutingPlan, name: string): RouteTable {
  const found = plan.host(name);
  if (found === undefined) throw new RomanaError('internal', `Host ${name} is not in the plan.`);
  const { kinds, routes, learned, gateways, problems } = found;
  return {
    name,
    type: 'host',
    fabrics: [...kinds],
    topology: null,
    group: null,
    routes: [
      ...routes.map((route) => entry(route, 'direct', 'host')),
      ...learned.map((route) => entry(route, 'learned', 'host')),
    ],
    gateways: gateways.map(hop),
    budget: null,
    problems: [...problems],
  };
}
