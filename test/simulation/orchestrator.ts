/**
 * People and orchestrators: they ask, hear an answer or none, and ask again until they know. What they were answered is kept here,
 * and must be true in the end.
 */
import type * as m from '#contract/model.ts';
import { operations } from '#contract/operations.ts';
import type { TopologyInput } from '#contract/topology.ts';
import { equalCidr, hostRoute, parseAddress } from '#core/address/index.ts';
import { isRomanaError, type RomanaError } from '#core/errors.ts';
import type { SimHost } from './host.ts';
import type { Seeded, Simulator } from './simulator.ts';
import { underlayOf, type World } from './world.ts';

export interface Known {
  readonly key: string;
  readonly tenant: string;
  readonly segment: string;
  readonly name: string;
  readonly host: SimHost;
  readonly by: 'agent' | 'server';
  readonly attachment: m.Attachment;
  readonly networks: readonly string[] | null;
  phase: 'creating' | 'live' | 'removing';
  addresses: readonly string[];
}

export interface NewEndpoint {
  readonly host: SimHost;
  readonly by: Known['by'];
  readonly segment: string;
  readonly name: string;
  readonly kind: 'none' | 'veth-netns' | 'existing-link';
  /** The namespace or link is not there yet. */
  readonly late?: boolean;
  readonly networks?: readonly string[];
}

export class Orchestrator {
  readonly endpoints = new Map<string, Known>();
  /** Keys of segments, `tenant/segment`, that may be used. */
  readonly segments = new Set<string>();
  readonly tenants = new Set<string>();
  /** Answered creates, removals and refusals so far. */
  readonly counts = { created: 0, removed: 0, refused: 0, asked: 0 };
  readonly refusals: Record<string, number> = {};
  /** Requests under way. */
  busy = 0;
  readonly #world: World;
  readonly #random: Seeded;
  readonly #sim: Simulator;
  /** Address → key of the endpoint that was told to have it. */
  readonly #owners = new Map<string, string>();
  #things = 0;

  constructor(world: World) {
    this.#world = world;
    this.#sim = world.sim;
    this.#random = world.random.fork('orchestrator');
  }

  async createNetwork(name: string, cidr: string, layout: m.NetworkInput['layout']): Promise<void> {
    const body = operations.networkCreate.body.parse({ name, cidr, layout, quarantineSeconds: 5 });
    await this.#insist(() => this.#services.networkCreate(admin, { params: {}, query: {}, body }));
  }

  async applyTopology(body: TopologyInput): Promise<void> {
    await this.#insist(() => this.#services.topologyApply(admin, { params: {}, query: {}, body }));
  }

  async addHost(): Promise<SimHost> {
    const host = this.#world.addHost();
    const addresses = underlayOf(this.#world.hosts.size).map((text) => text.split('/')[0]);
    const body = operations.hostCreate.body.parse({ name: host.name, addresses });
    await this.#insist(() => this.#services.hostCreate(admin, { params: {}, query: {}, body }));
    await this.#insist(() => this.#world.server.join(host.name));
    host.start();
    return host;
  }

  async addServerIds(host: SimHost): Promise<void> {
    await this.#insist(() =>
      this.#services.hostAddId(admin, {
        params: { name: host.name },
        query: {},
        body: { allocator: 'server' },
      }),
    );
  }

  async createTenant(name: string, isolation: m.Tenant['isolation']): Promise<void> {
    const made = await this.#insist(() =>
      this.#services.tenantCreate(admin, { params: {}, query: {}, body: { name, isolation } }),
    );
    if (made) this.tenants.add(name);
  }

  async isolate(name: string, isolation: m.Tenant['isolation']): Promise<void> {
    await this.#insist(() =>
      this.#services.tenantUpdate(admin, { params: { name }, query: {}, body: { isolation } }),
    );
  }

  async createSegment(tenant: string, name: string): Promise<void> {
    const made = await this.#insist(() =>
      this.#services.segmentCreate(admin, { params: { tenant }, query: {}, body: { name } }),
    );
    if (made) this.segments.add(`${tenant}/${name}`);
  }

  /** Never one in which something is under way: an agent that was cut off would go on using it (names and ids are not kept back). */
  async deleteSegment(key: string): Promise<void> {
    const [tenant = '', name = ''] = key.split('/');
    this.segments.delete(key);
    if ([...this.endpoints.keys()].some((endpoint) => endpoint.startsWith(`${key}/`))) {
      this.segments.add(key);
      return;
    }
    const gone = await this.#insist(
      () => this.#services.segmentDelete(admin, { params: { tenant, name }, query: {}, body: undefined }),
      true,
    );
    if (!gone) this.segments.add(key);
  }

  async deleteTenant(name: string): Promise<void> {
    if ([...this.segments].some((key) => key.startsWith(`${name}/`))) return;
    this.tenants.delete(name);
    const gone = await this.#insist(
      () => this.#services.tenantDelete(admin, { params: { name }, query: {}, body: undefined }),
      true,
    );
    if (!gone) this.tenants.add(name);
  }

  async createEndpoint(wanted: NewEndpoint): Promise<void> {
    const { host, by, name, networks = null } = wanted;
    const [tenant = '', segment = ''] = wanted.segment.split('/');
    const key = `${wanted.segment}/${name}`;
    if (this.endpoints.has(key)) return;
    const attachment = this.#attach(wanted);
    const known: Known = {
      key,
      tenant,
      segment,
      name,
      host,
      by,
      attachment,
      networks,
      phase: 'creating',
      addresses: [],
    };
    this.endpoints.set(key, known);
    this.counts.asked++;
    this.busy++;
    await (by === 'agent' ? this.#createByAgent(known) : this.#createByServer(known));
    this.busy--;
  }

  async removeEndpoint(known: Known): Promise<void> {
    if (known.phase !== 'live') return;
    this.busy++;
    await this.#remove(known);
    this.busy--;
  }

  get #services() {
    return this.#world.server.services;
  }

  async #createByAgent(known: Known): Promise<void> {
    const { host, tenant, segment, name, attachment, networks } = known;
    for (let unsure = false; ; unsure = true) {
      const began = this.#sim.now;
      try {
        const made = await host.call((agent) =>
          agent.createEndpoint({
            tenant,
            segment,
            name,
            attachment,
            sourcePrefixes: [],
            ...(networks === null ? {} : { networks: [...networks] }),
          }),
        );
        this.#answered(known, made);
        if (host.disturbed < began) this.#demandWired(known);
        return;
      } catch (error) {
        if (isRomanaError(error) && definite(error)) {
          this.#refused(known, error);
          // An attempt before it may have left something.
          if (unsure) await this.#remove(known);
          else this.#forget(known);
          return;
        }
        await this.#sim.sleep(this.#random.between(50, 2_000));
        if (this.#random.chance(0.2)) {
          await this.#remove(known);
          return;
        }
      }
    }
  }

  async #createByServer(known: Known): Promise<void> {
    const { host, tenant, segment, name, attachment, networks } = known;
    const body = operations.endpointCreate.body.parse({
      name,
      host: host.name,
      attachment,
      ...(networks === null ? {} : { networks }),
    });
    for (;;) {
      try {
        const made = await this.#world.admin(async () =>
          this.#services.endpointCreate(admin, { params: { tenant, segment }, query: {}, body }),
        );
        this.#answered(known, made);
        return;
      } catch (error) {
        if (isRomanaError(error) && definite(error)) {
          this.#refused(known, error);
          this.#forget(known);
          return;
        }
        await this.#sim.sleep(this.#random.between(50, 500));
      }
    }
  }

  async #remove(known: Known): Promise<void> {
    known.phase = 'removing';
    this.#sim.note(`remove ${known.key}`);
    for (const address of known.addresses)
      if (this.#owners.get(address) === known.key) this.#owners.delete(address);
    const { key, tenant, segment, name, host } = known;
    if (known.by === 'agent') {
      for (;;) {
        try {
          await host.call((agent) => agent.removeEndpoint(key));
          break;
        } catch {
          await this.#sim.sleep(this.#random.between(50, 1_000));
        }
      }
      this.#demandUnwired(known);
    } else {
      await this.#insist(() =>
        this.#services.endpointDelete(admin, {
          params: { tenant, segment, name },
          query: {},
          body: undefined,
        }),
      );
      // The host has still to confirm; until then its namespace and its name are in use.
      while (!this.#world.server.up || this.#recorded(key)) await this.#sim.sleep(500);
    }
    this.counts.removed++;
    this.#forget(known);
  }

  #recorded(key: string): boolean {
    return this.#world.server.store.read((tx) => tx.get('endpoint', key) !== undefined);
  }

  #answered(known: Known, made: m.Endpoint): void {
    const addresses = made.addresses.map(({ address }) => address);
    this.#sim.note(`created ${known.key} ${addresses.join(' ')}`);
    for (const address of addresses) {
      const owner = this.#owners.get(address);
      if (owner !== undefined && owner !== known.key)
        this.#world.anomaly(`${address} was given to ${known.key} and belongs to ${owner}`);
      this.#owners.set(address, known.key);
      this.#world.addresses.add(address);
    }
    known.addresses = addresses;
    known.phase = 'live';
    this.counts.created++;
  }

  #refused(known: Known, error: RomanaError): void {
    this.#sim.note(`refused ${known.key} ${error.code}`);
    if (error.code === 'internal') this.#world.anomaly(error.message);
    this.counts.refused++;
    this.refusals[error.code] = (this.refusals[error.code] ?? 0) + 1;
  }

  #demandWired({ key, host, attachment, addresses }: Known): void {
    if (attachment.kind === 'none') return;
    const elements = [...(host.rules.table?.sets ?? [])].flatMap(([name, set]) =>
      name.startsWith('endpoints') ? [...set.elements] : [],
    );
    for (const address of addresses) {
      if (!elements.some((element) => element.endsWith(` . ${address}`)))
        this.#world.anomaly(`${key} was answered before its rules stood on ${host.name}`);
      if (!routed(host, address))
        this.#world.anomaly(`${key} was answered before it was routed on ${host.name}`);
    }
  }

  #demandUnwired({ key, host, addresses }: Known): void {
    for (const address of addresses) {
      if (this.#owners.get(address) === undefined && routed(host, address))
        this.#world.anomaly(`${key} was said to be removed and has a route on ${host.name}`);
    }
  }

  /** The caller makes what the endpoint is attached to. */
  #attach({ host, kind, late }: NewEndpoint): m.Attachment {
    const { kernel } = host;
    const n = ++this.#things;
    if (kind === 'none') return { kind };
    if (kind === 'veth-netns') {
      const netns = `/run/netns/n${n}`;
      if (late === true) this.#sim.after(3_000, () => kernel.addNetns(netns));
      else kernel.addNetns(netns);
      return { kind, netns, ifname: 'eth0' };
    }
    const link = `tap${n}`;
    if (late === true) this.#sim.after(3_000, () => kernel.addLink(link));
    else kernel.addLink(link);
    return { kind, link };
  }

  #forget({ key, host, attachment }: Known): void {
    this.endpoints.delete(key);
    const { kernel } = host;
    // After what comes late has come.
    this.#sim.after(4_000, () => {
      if (attachment.kind === 'veth-netns') kernel.removeNetns(attachment.netns);
      if (attachment.kind === 'existing-link') kernel.deleteLink(attachment.link);
    });
  }

  /** Asks until the answer is sure; false when it is a refusal. */
  async #insist(work: () => Promise<unknown>, removal = false): Promise<boolean> {
    this.busy++;
    try {
      for (let unsure = false; ; unsure = true) {
        try {
          await this.#world.admin(async () => work());
          return true;
        } catch (error) {
          if (isRomanaError(error) && error.code === 'internal') this.#world.anomaly(error.message);
          if (isRomanaError(error) && definite(error)) return removal && unsure && error.code === 'not_found';
          await this.#sim.sleep(this.#random.between(50, 500));
        }
      }
    } finally {
      this.busy--;
    }
  }
}

export const admin = { kind: 'token', name: 'root', role: 'admin' } as const;

export function routed({ kernel }: SimHost, address: string): boolean {
  const wanted = hostRoute(parseAddress(address));
  return kernel.routes().some(({ cidr, link }) => link !== null && equalCidr(cidr, wanted));
}

/** Whether it is certain that nothing was done. */
function definite({ code }: RomanaError): boolean {
  return !['unavailable', 'timeout', 'kernel_refused', 'store_full', 'id_pending'].includes(code);
}
