/** What an agent's loops run on in tests: knowledge as the control plane sends it, and a host in memory. */
import type * as m from '#contract/model.ts';
import { type Kind, kinds } from '#contract/watch.ts';
import { addressPlan, formatCidr, hostCidr, parseAddress, parseCidr } from '#core/address/index.ts';
import type { Log } from '#core/ports.ts';
import type { FollowedEvent } from '#net/watch.ts';
import type { WiredEndpoint } from './desired.ts';
import { FakeConntrack } from './drivers/conntrack/fake.ts';
import {
  createFakeKernelEvents,
  createFakeKernelFacts,
  createFakeLinkDriver,
  createFakeRouteDriver,
} from './drivers/iproute2/fake-drivers.ts';
import { FakeKernel } from './drivers/iproute2/fake-kernel.ts';
import { FakeRules } from './drivers/nftables/fake.ts';
import type { Driver } from './ports.ts';
import type { Kernel } from './reconciler.ts';
import type { ViewObjects, ViewState } from './view.ts';

export const silent: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

const createdAt = '2026-01-01T00:00:00.000Z';
const stored = { revision: 1, createdAt };

/** The worked example 10.0.0.0/8 with 8/8/4/4, and its IPv6 twin. */
export const four: m.LaidOut = {
  name: 'four',
  cidr: '10.0.0.0/8',
  family: 4,
  layout: { host: 8, tenant: 8, segment: 4, endpoint: 4 },
  infrastructure: 'deny',
  reserved: [],
  quarantineSeconds: 30,
  uid: 'network-four',
  ...stored,
};
export const six: m.LaidOut = {
  ...four,
  name: 'six',
  cidr: 'fd10::/16',
  family: 6,
  layout: { host: 16, tenant: 16, segment: 16, endpoint: 64 },
  uid: 'network-six',
};
const networks = [four, six];

/** Host id n in both networks, at 192.168.0.n and fd99::n. */
export function hostOf(n: number, more: Partial<m.Host> = {}): m.Host {
  return {
    name: `h${n}`,
    addresses: [`192.168.0.${n}`, `fd99::${n.toString(16)}`],
    group: null,
    labels: {},
    ids: networks.map(({ name, cidr, layout }) => ({
      network: name,
      id: n,
      allocator: 'agent',
      cidr: formatCidr(hostCidr(addressPlan(parseCidr(cidr), layout), n)),
    })),
    joined: true,
    uid: `host-${n}`,
    ...stored,
    ...more,
  };
}

const idsOf = (id: number): m.Tenant['ids'] => networks.map(({ name: network }) => ({ network, id }));

export function tenantOf(name: string, id: number, isolation: m.Tenant['isolation'] = 'segment'): m.Tenant {
  return { name, isolation, ids: idsOf(id), uid: `tenant-${name}`, ...stored };
}

export function segmentOf(tenant: string, name: string, id: number): m.Segment {
  return { tenant, name, ids: idsOf(id), uid: `segment-${tenant}-${name}`, ...stored };
}

/** An endpoint of the server on h1, with a link of its own. */
export function endpointOf(
  key: string,
  addresses: readonly string[],
  more: Partial<m.Endpoint> = {},
): m.Endpoint {
  const [tenant = '', segment = '', name = ''] = key.split('/');
  return {
    tenant,
    segment,
    name,
    host: 'h1',
    addresses: addresses.map((address) => ({ network: address.includes(':') ? 'six' : 'four', address })),
    attachment: { kind: 'existing-link', link: `tap-${name}` },
    sourcePrefixes: [],
    allocator: 'server',
    phase: 'pending',
    message: '',
    uid: `uid-${name}`,
    ...stored,
    ...more,
  };
}

export function wiredOf(endpoint: m.Endpoint): WiredEndpoint {
  const { tenant, segment, name, uid, attachment } = endpoint;
  return {
    key: `${tenant}/${segment}/${name}`,
    uid,
    tenant,
    attachment,
    placed: endpoint.addresses.map(({ network, address }) => ({ network, address: parseAddress(address) })),
    sourcePrefixes: endpoint.sourcePrefixes.map(parseCidr),
  };
}

export interface Objects {
  readonly networks?: readonly m.LaidOut[];
  readonly hosts?: readonly m.Host[];
  readonly tenants?: readonly m.Tenant[];
  readonly segments?: readonly m.Segment[];
  readonly endpoints?: readonly m.Endpoint[];
}

/** Two networks, hosts h1 and h2, tenant `a` with segments `x` and `y`, unless said otherwise. */
export function objectsOf(given: Objects = {}): ViewObjects {
  const keyed = <T extends { readonly name: string }>(items: readonly T[]) =>
    new Map(items.map((item) => [item.name, item]));
  const segments = given.segments ?? [segmentOf('a', 'x', 1), segmentOf('a', 'y', 2)];
  return {
    network: keyed(given.networks ?? networks),
    topology: new Map(),
    sharedpeer: new Map(),
    host: keyed(given.hosts ?? [hostOf(1), hostOf(2)]),
    tenant: keyed(given.tenants ?? [tenantOf('a', 1)]),
    segment: new Map(segments.map((segment) => [`${segment.tenant}/${segment.name}`, segment])),
    endpoint: new Map(
      (given.endpoints ?? []).map((each) => [`${each.tenant}/${each.segment}/${each.name}`, each]),
    ),
  };
}

export function at(revision: number, incarnation = 'inc'): m.Position {
  return { incarnation, revision };
}

export function viewOf(given: Objects = {}, revision = 10): ViewState {
  return { position: at(revision), objects: objectsOf(given) };
}

/** What a stream says that begins with a snapshot. */
export function snapshotOf(objects: ViewObjects, position: m.Position): FollowedEvent[] {
  const all = kinds.flatMap((kind: Kind) =>
    [...objects[kind]].map(([key, value]) => ({ type: 'object', kind, key, value }) as FollowedEvent),
  );
  return [{ type: 'snapshot' }, ...all, { type: 'synced', position }];
}

export interface Machine {
  readonly kernel: FakeKernel;
  readonly rules: FakeRules;
  readonly conntrack: FakeConntrack;
  readonly drivers: Kernel;
  /** Which drivers applied or answered, in order: `rules`, `links`, `routes`, `flows`, `forget`. */
  readonly calls: string[];
}

/** A host with an uplink `up0` that holds 192.168.0.1 and fd99::1. */
export function machine(): Machine {
  const kernel = new FakeKernel();
  kernel.addLink('up0');
  kernel.setUp('up0', true);
  kernel.addAddress('up0', '192.168.0.1/24');
  kernel.addAddress('up0', 'fd99::1/64');
  const rules = new FakeRules();
  const conntrack = new FakeConntrack();
  const calls: string[] = [];
  const routes = createFakeRouteDriver(kernel);
  const noted = <D>(what: string, driver: Driver<D>): Driver<D> => ({
    apply: (desired) => {
      calls.push(what);
      return driver.apply(desired);
    },
    inspect: (desired) => driver.inspect(desired),
  });
  const drivers: Kernel = {
    facts: createFakeKernelFacts(kernel),
    rules: {
      apply: (desired, cut, mend) => {
        calls.push('rules');
        return rules.apply(desired, cut, mend);
      },
      inspect: (desired) => rules.inspect(desired),
      invalidate: () => rules.invalidate(),
      cuts: () => rules.cuts(),
      guardsOthers: () => rules.guardsOthers(),
      counts: () => rules.counts(),
      counters: () => rules.counters(),
    },
    links: noted('links', createFakeLinkDriver(kernel)),
    routes: { ...noted('routes', routes), foreign: (desired) => routes.foreign(desired) },
    conntrack: {
      flows: () => {
        calls.push('flows');
        return conntrack.flows();
      },
      remove: (flows) => conntrack.remove(flows),
      removeAddresses: (addresses) => {
        calls.push('forget');
        return conntrack.removeAddresses(addresses);
      },
    },
    events: createFakeKernelEvents(kernel),
  };
  return { kernel, rules, conntrack, drivers, calls };
}
