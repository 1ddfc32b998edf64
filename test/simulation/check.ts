/** What must hold when everything has come to rest. */
import assert from 'node:assert/strict';
import { forbiddenFlows } from '#agent/cut.ts';
import { computeDesired, type Desired } from '#agent/desired.ts';
import { createFakeLinkDriver, createFakeRouteDriver } from '#agent/drivers/iproute2/fake-drivers.ts';
import { planTable } from '#agent/drivers/nftables/plan.ts';
import { buildRuleset } from '#agent/rules/build.ts';
import { wiredOf } from '#agent/testing.ts';
import type { ViewObjects } from '#agent/view.ts';
import type * as m from '#contract/model.ts';
import {
  type AddressPlan,
  addressPlan,
  containsAddress,
  decode,
  formatAddress,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import type { Store } from '#store/port.ts';
import { endpointLinks, type SimHost } from './host.ts';
import { admin, type Orchestrator } from './orchestrator.ts';
import type { World } from './world.ts';

/** Runs until nothing has changed for a while. */
export async function rest(world: World, people: Orchestrator): Promise<void> {
  let last = '';
  let same = 0;
  for (let round = 0; same < 2; round++) {
    assert.ok(round < 40, `no rest: ${people.busy} requests under way, ${world.sim.steps} steps`);
    await world.sim.run(35_000);
    const writes = [...world.hosts.values()].map((host) => Object.values(host.writes).join());
    const now = JSON.stringify([world.server.store.position(), writes, people.busy]);
    same = now === last && people.busy === 0 ? same + 1 : 0;
    last = now;
  }
}

export async function check(world: World, people: Orchestrator): Promise<void> {
  assert.deepEqual(world.anomalies, []);
  const { store, services } = world.server;
  const recorded = store.read((tx) => tx.list('endpoint'));

  // Each address belongs to one endpoint.
  const addresses = recorded.flatMap(({ value }) => value.addresses.map(({ address }) => address));
  assert.equal(new Set(addresses).size, addresses.length, 'an address belongs to two endpoints');

  // What was answered is so, and nothing else is.
  const answered = [...people.endpoints.values()].map((known) => [
    known.key,
    known.by,
    known.host.name,
    known.addresses.join(),
  ]);
  const stored = recorded.map(({ key, value }) => [
    key,
    value.allocator,
    value.host,
    value.addresses.map(({ address }) => address).join(),
  ]);
  assert.deepEqual(stored.sort(byFirst), answered.sort(byFirst));
  for (const { key, value } of recorded)
    assert.equal(
      value.phase,
      value.attachment.kind === 'none' ? 'pending' : 'ready',
      `${key}: ${value.message}`,
    );

  // Every agent has applied the newest revision and complains of nothing.
  const status = await world.sim.hold(services.status(admin, { params: {}, query: {}, body: undefined }));
  assert.equal(status.hosts.length, world.hosts.size);
  for (const host of status.hosts) {
    assert.deepEqual(host.problems, [], host.name);
    assert.ok(host.current, `${host.name} has applied ${host.applied?.revision} of ${status.revision}`);
  }
  for (const host of world.hosts.values()) await checkHost(host, store);
}

/** The kernel holds what a fresh agent, from the control plane's records alone, would write; so it has nothing to write. */
async function checkHost(host: SimHost, store: Store): Promise<void> {
  const { name, kernel, rules, conntrack } = host;
  const desired = await freshDesired(host, store);
  assert.deepEqual([...desired.refused], []);
  assert.deepEqual(planTable(buildRuleset(desired.rules), rules.table).changes, [], `rules of ${name}`);
  const links = await createFakeLinkDriver(kernel).apply(desired.links);
  assert.deepEqual([links.changes, [...links.failures]], [[], []], `links of ${name}`);
  const routes = await createFakeRouteDriver(kernel).apply(desired.routes);
  assert.deepEqual([routes.changes, [...routes.failures]], [[], []], `routes of ${name}`);

  const wired = new Set(desired.rules.endpoints.flatMap((endpoint) => endpoint.addresses.map(formatAddress)));
  const self = store.read((tx) => tx.get('host', name));
  const forbidden = forbiddenFlows(
    {
      model: desired.rules.model,
      endpoints: wired,
      own: new Set(self?.addresses),
      gateways: new Set(),
    },
    conntrack.table,
  );
  assert.deepEqual(forbidden, [], `flows of ${name} that are forbidden`);
  const own = (self?.ids ?? []).map(({ cidr }) => parseCidr(cidr));
  const orphans = conntrack.table
    .flatMap(({ source, destination }) => [source, destination])
    .filter((text) => !wired.has(text) && own.some((cidr) => containsAddress(cidr, parseAddress(text))));
  assert.deepEqual(orphans, [], `flows of endpoints that left ${name}`);
}

async function freshDesired(host: SimHost, store: Store): Promise<Desired> {
  const objects = seenBy(host.name, objectsOf(store));
  const endpoints = [...objects.endpoint]
    .filter(([, endpoint]) => endpoint.host === host.name)
    .map(([, endpoint]) => wiredOf(endpoint));
  return computeDesired({
    host: host.name,
    objects,
    endpoints,
    facts: host.kernel.facts(),
    uplinks: [],
    endpointLinks,
    mtu: 0,
    guardOthers: (await host.rules.guardsOthers()) ?? { 4: false, 6: false },
  });
}

/** What the control plane has to tell a host; of shared identity worked out anew, and compared with what it keeps. */
function seenBy(host: string, objects: ViewObjects): ViewObjects {
  const kept = [...objects.sharedpeer.values()]
    .filter((peer) => peer.host === host)
    .map(({ tenant, segment, addresses }) => ({ tenant, segment, addresses }));
  const plans = new Map([...objects.network.values()].map((one) => [one.name, planOf(one)]));
  const here = new Set(
    [...objects.endpoint.values()].filter((one) => one.host === host).map((one) => one.tenant),
  );
  const needed = [...objects.endpoint.values()].flatMap(({ tenant, segment, host: where, addresses }) => {
    const shared = addresses.filter(
      ({ network, address }) => decode(plans.get(network)!, parseAddress(address))?.tenant === 0,
    );
    const told = here.has(tenant) || objects.tenant.get(tenant)?.isolation === 'open';
    return shared.length > 0 && told && where !== host ? [{ tenant, segment, addresses: shared }] : [];
  });
  const sorted = (peers: readonly unknown[]): string[] => peers.map((peer) => JSON.stringify(peer)).sort();
  assert.deepEqual(sorted(kept), sorted(needed), `shared peers of ${host}`);
  const sharedpeer = new Map(needed.map((peer, n) => [`${host}/${n}`, { ...peer, host, revision: 1 }]));
  return { ...objects, sharedpeer };
}

function planOf({ cidr, layout }: m.LaidOut): AddressPlan {
  return addressPlan(parseCidr(cidr), layout);
}

/** Networks that are laid out: of flat ones agents are not told. */
export function isLaidOut(network: m.Network): network is m.LaidOut {
  return network.layout !== null;
}

function objectsOf(store: Store): ViewObjects {
  return store.read((tx) => {
    const all = <K extends Exclude<keyof ViewObjects, 'network'>>(kind: K) =>
      new Map(tx.list(kind).map(({ key, value }) => [key, value]));
    return {
      network: new Map(
        tx.list('network').flatMap(({ key, value }) => (isLaidOut(value) ? [[key, value] as const] : [])),
      ),
      topology: all('topology'),
      host: all('host'),
      tenant: all('tenant'),
      segment: all('segment'),
      endpoint: all('endpoint'),
      sharedpeer: all('sharedpeer'),
    };
  });
}

function byFirst([a = '']: readonly string[], [b = '']: readonly string[]): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** All that the world holds, as text; without the incarnation, which the store draws itself. */
export function stateText(world: World): string {
  const { store } = world.server;
  const objects = Object.entries(objectsOf(store)).map(([kind, table]) => [kind, [...table]]);
  const kernels = [...world.hosts.values()].map(({ name, kernel, rules, conntrack }) => [
    name,
    kernel.routes(),
    kernel.links(),
    [...(rules.table?.sets ?? [])].map(([set, { elements }]) => [set, [...elements]]),
    conntrack.table,
  ]);
  return JSON.stringify([store.position().revision, objects, kernels]);
}
