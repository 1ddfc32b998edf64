/**
 * The endpoints of this host, from both allocators, and the agent's own way to make and remove them: address durable, rules and
 * wiring in the kernel, then the answer. Imports contract, core, agent.
 *
 * 1. An answer to `create` means: durable, enforced and wired. A failed one leaves nothing, unless the endpoint was there before.
 * 2. The same question again gets the same endpoint, whatever changed since: networks, tenants, this host; another one under the same
 *    name is a conflict. The question is what was asked, with nothing filled in.
 * 3. `remove` is idempotent, and answered when the kernel holds nothing of the endpoint any more.
 */

import { isDeepStrictEqual } from 'node:util';
import { locationOf } from '#contract/location.ts';
import type * as m from '#contract/model.ts';
import {
  addressPlan,
  containsAddress,
  formatAddress,
  overlaps,
  parseAddress,
  parseCidr,
} from '#core/address/index.ts';
import { isRomanaError, RomanaError } from '#core/errors.ts';
import { type IpamNetwork, numbersIn, type Slot, type Wanted } from '#core/ipam/index.ts';
import { carversOf, isOpenTo, networksByDefault, pathIn } from '#core/plan/index.ts';
import type { Held, LocalAllocator } from './allocator.ts';
import type { WiredEndpoint } from './desired.ts';
import { type Claim, isUsable } from './holdings.ts';
import { demandSame, questionOf } from './question.ts';
import type { Outcome } from './reconciler.ts';
import type { ViewObjects, ViewState } from './view.ts';

/** What the agent's own API takes: the contract's endpoint without its host. */
export type LocalEndpointInput = Omit<m.EndpointInput, 'host'> & {
  readonly tenant: string;
  readonly segment: string;
};

/** What the journal keeps beside the addresses. */
export interface Wiring {
  readonly attachment: m.Attachment;
  readonly sourcePrefixes: readonly string[];
  readonly createdAt: string;
}

export function ipamNetwork(network: m.LaidOut): IpamNetwork {
  return {
    name: network.name,
    plan: addressPlan(parseCidr(network.cidr), network.layout),
    reserved: network.reserved.map(parseCidr),
    quarantineMs: network.quarantineSeconds * 1000,
  };
}

export function wiredFromHeld({ allocation, payload }: Held): WiredEndpoint {
  const wiring = payload as unknown as Wiring;
  return {
    key: allocation.key,
    uid: allocation.uid,
    tenant: allocation.key.split('/')[0]!,
    placed: allocation.addresses.map(({ network, address }) => ({ network, address })),
    attachment: wiring.attachment,
    sourcePrefixes: wiring.sourcePrefixes.map(parseCidr),
  };
}

export function claimOf({ key, addresses }: Held['allocation']): Claim {
  return { key, placed: addresses.map(({ network, address }) => ({ network, address })) };
}

/** Endpoints whose addresses the server gave, as far as they are to be in the kernel. */
export function wiredFromView(objects: ViewObjects, host: string): WiredEndpoint[] {
  return [...objects.endpoint]
    .filter(
      ([, endpoint]) =>
        locationOf(endpoint) === host && endpoint.allocator === 'server' && endpoint.phase !== 'removing',
    )
    .map(([key, endpoint]) => ({
      key,
      uid: endpoint.uid,
      tenant: endpoint.tenant,
      placed: endpoint.addresses.map(({ network, address }) => ({ network, address: parseAddress(address) })),
      attachment: endpoint.attachment,
      sourcePrefixes: endpoint.sourcePrefixes.map(parseCidr),
    }));
}

export interface EndpointsOptions {
  readonly host: string;
  readonly allocator: () => LocalAllocator;
  /** Throws `unavailable` until the agent may answer. */
  readonly view: () => ViewState;
  readonly reconcile: () => Promise<Outcome | null>;
  /** What the last finished pass came to. */
  readonly last: () => Outcome | null;
  readonly now: () => string;
  /** Waits for a further host id; answers whether it makes sense to try again. */
  readonly growth: (full: Slot) => Promise<boolean>;
}

export class LocalEndpoints {
  readonly #options: EndpointsOptions;
  /** The last request under way for each name: two at once would judge each other's half-done work. */
  readonly #turns = new Map<string, Promise<void>>();

  constructor(options: EndpointsOptions) {
    this.#options = options;
  }

  create(input: LocalEndpointInput): Promise<m.Endpoint> {
    return this.#inTurn(`${input.tenant}/${input.segment}/${input.name}`, () => this.#create(input));
  }

  async #create(input: LocalEndpointInput): Promise<m.Endpoint> {
    const { objects } = this.#options.view();
    const allocator = this.#options.allocator();
    const key = keyOf(input);
    const taken = objects.endpoint.get(key);
    if (taken !== undefined && taken.allocator === 'server') {
      throw new RomanaError(
        'already_exists',
        `Endpoint ${key} exists already; the server gave it ${addressList(taken)}.`,
      );
    }
    const before = allocator.get(key);
    if (taken?.phase === 'removing' && before?.allocation.uid === taken.uid) {
      throw new RomanaError(
        'endpoint_removing',
        `Endpoint ${key} is being removed by the control plane; try again later.`,
      );
    }
    const wiring: Wiring = {
      attachment: input.attachment ?? { kind: 'none' },
      sourcePrefixes: input.sourcePrefixes ?? [],
      createdAt: this.#options.now(),
    };
    if (before !== undefined) demandSame(before, input);
    const held = before ?? (await this.#allocate(input, wiring));
    const outcome = await this.#options.reconcile();
    const wired = outcome?.phases.get(key);
    const problem =
      wired?.problem ??
      (wired?.phase === 'ready' || wiring.attachment.kind === 'none' ? null : outcome?.problems[0]);
    if (problem !== null && wired?.phase !== 'ready') {
      if (before === undefined) {
        await allocator.release(key, { uid: held.allocation.uid });
        await this.#options.reconcile();
      }
      // What the whole pass lacked is not the caller's mistake: the same question may succeed later.
      throw new RomanaError(
        outcome?.applied === true ? 'attachment_invalid' : 'kernel_refused',
        problem?.message ?? 'The endpoint could not be wired; see `romana agent status`.',
        { details: { endpoint: key, cause: problem?.code } },
      );
    }
    return this.#describe(held, wired?.phase ?? 'pending');
  }

  /** Of an endpoint that is not there. A full block is no refusal while the host can get a further id. */
  async #allocate(input: LocalEndpointInput, wiring: Wiring): Promise<Held> {
    const { allocator, view, host } = this.#options;
    const now = (): Wanted => wantedOf(view().objects, host, input);
    for (let asked = now(); ; asked = now()) {
      // The view may change until the decision, and while it is made durable.
      const stands = (): void => demandStanding(now(), asked, asked.slots);
      let held: Held;
      try {
        held = await allocator().allocate(asked, wiring as never, stands);
      } catch (error) {
        if (error === hostIdWent) continue;
        const full = fullSlot(error, asked);
        // Ids may have come while the decision was under way.
        if (full === undefined || (sameIds(now(), asked) && !(await this.#options.growth(full)))) throw error;
        continue;
      }
      const uses = held.allocation.addresses.map(({ network, hostId }) => ({ network, hostIds: [hostId] }));
      try {
        demandStanding(now(), asked, uses);
      } catch (error) {
        await allocator().release(asked.key, { uid: held.allocation.uid });
        if (error === hostIdWent) continue;
        throw error;
      }
      return held;
    }
  }

  remove(key: string): Promise<void> {
    return this.#inTurn(key, () => this.#remove(key));
  }

  async #remove(key: string): Promise<void> {
    this.#options.view();
    const held = this.#options.allocator().get(key);
    const last = this.#options.last();
    if (held === undefined && last?.applied === true && !last.phases.has(key)) return;
    if (held !== undefined) await this.#options.allocator().release(key, { uid: held.allocation.uid });
    const outcome = await this.#options.reconcile();
    if (outcome?.applied === true) return;
    throw new RomanaError(
      'kernel_refused',
      `Endpoint ${key} is released but may still be wired; ${outcome?.problems[0]?.message ?? 'the agent is stopping'}. Remove it again.`,
    );
  }

  async #inTurn<T>(key: string, work: () => Promise<T>): Promise<T> {
    const turn = (this.#turns.get(key) ?? Promise.resolve()).then(work);
    const done = turn.then(
      () => undefined,
      () => undefined,
    );
    this.#turns.set(key, done);
    try {
      return await turn;
    } finally {
      if (this.#turns.get(key) === done) this.#turns.delete(key);
    }
  }

  list(phases: Outcome['phases']): m.Endpoint[] {
    return this.#options
      .allocator()
      .list()
      .map((held) => {
        const known = phases.get(held.allocation.key);
        return { ...this.#describe(held, known?.phase ?? 'pending'), message: known?.problem?.message ?? '' };
      });
  }

  #describe(held: Held, phase: m.Endpoint['phase']): m.Endpoint {
    const { allocation, payload } = held;
    const [tenant = '', segment = '', name = ''] = allocation.key.split('/');
    const wiring = payload as unknown as Wiring;
    return {
      tenant,
      segment,
      name,
      host: this.#options.host,
      addresses: allocation.addresses.map(({ network, address }) => ({
        network,
        address: formatAddress(address),
      })),
      attachment: wiring.attachment,
      sourcePrefixes: [...wiring.sourcePrefixes],
      allocator: 'agent',
      phase,
      message: '',
      uid: allocation.uid,
      revision: 0,
      createdAt: wiring.createdAt,
    };
  }
}

/** The slot whose blocks are full; none when a certain address or endpoint id was asked for: no further id would help. */
function fullSlot(error: unknown, { slots }: Wanted): Slot | undefined {
  if (!isRomanaError(error) || error.code !== 'block_full') return undefined;
  return slots.find(({ network }) => network === error.details?.['network']);
}

/** A host id is on its way back, or gone: no refusal, because the others still serve. */
const hostIdWent = new Error('a host id may not be used any more');

/** Throws when the numbers of which addresses are made are not there any more; further ids do no harm. `uses`: the host ids that count. */
function demandStanding(
  now: Wanted,
  before: Wanted,
  uses: readonly Pick<Slot, 'network' | 'hostIds'>[],
): void {
  const plain = ({ slots }: Wanted): unknown =>
    slots.map(({ tenantId: _tenant, segmentId: _segment, further: _further, ...slot }) => ({
      ...slot,
      hostIds: [],
    }));
  const numbersStand = before.slots.every((slot, index) => {
    const pairs = new Set(pairsOf(now.slots[index] ?? slot));
    return pairsOf(slot).every((pair) => pairs.has(pair));
  });
  if (!isDeepStrictEqual(plain(now), plain(before)) || !numbersStand) throw changedMeanwhile(before.key);
  const usable = (network: string): readonly number[] =>
    now.slots.find((slot) => slot.network === network)?.hostIds ?? [];
  if (!uses.every(({ network, hostIds: ids }) => ids.every((id) => usable(network).includes(id))))
    throw hostIdWent;
}

function pairsOf({ tenantId, segmentId, further = [] }: Slot): string[] {
  return [{ tenantId, segmentId }, ...further].map((pair) => `${pair.tenantId}/${pair.segmentId}`);
}

/** Whether the blocks are the same. */
function sameIds(a: Wanted, b: Wanted): boolean {
  const plain = ({ slots }: Wanted): unknown => slots.map((slot) => [slot.hostIds, pairsOf(slot)]);
  return isDeepStrictEqual(plain(a), plain(b));
}

function addressList(endpoint: m.Endpoint): string {
  return endpoint.addresses.map(({ address }) => address).join(', ');
}

function changedMeanwhile(key: string): RomanaError {
  return new RomanaError(
    'conflict',
    `The ids that the addresses of ${key} are made of changed meanwhile; ask again.`,
    { details: { key } },
  );
}

/** Names to numbers: the question that the allocator decides. */
export function wantedOf(objects: ViewObjects, host: string, input: LocalEndpointInput): Wanted {
  const state = objects.host.get(host)?.state ?? 'active';
  if (state !== 'active') {
    throw new RomanaError(
      'host_leaving',
      `Host ${host} is ${state} and takes no new endpoints; use another host.`,
      { details: { host, state } },
    );
  }
  const tenant = objects.tenant.get(input.tenant);
  if (tenant === undefined)
    throw new RomanaError(
      'not_found',
      `There is no tenant ${input.tenant}; create it with \`romana tenant create ${input.tenant}\`.`,
    );
  const segment = objects.segment.get(`${input.tenant}/${input.segment}`);
  if (segment === undefined) {
    throw new RomanaError(
      'not_found',
      `Tenant ${input.tenant} has no segment ${input.segment}; create it with \`romana segment create ${input.tenant}/${input.segment}\`.`,
    );
  }
  const fixed = (input.addresses ?? []).map(parseAddress);
  const networks =
    input.networks?.map((name) => networkNamed(objects, name)) ??
    defaultNetworks(objects, host, input.tenant);
  if (networks.length === 0 && objects.network.size > 0) {
    throw new RomanaError(
      'network_closed',
      `No network is open to tenant ${input.tenant}; create one, or add the tenant to one.`,
    );
  }
  const closed = networks.find((network) => !isOpenTo(network, input.tenant));
  if (closed !== undefined) {
    throw new RomanaError(
      'network_closed',
      `Network ${closed.name} is not open to tenant ${input.tenant}; use another network, or add the tenant to it.`,
    );
  }
  if (networks.length === 0)
    throw new RomanaError(
      'host_without_id',
      'There is no network yet; create one with `romana network create`.',
    );
  const slots = networks.map((network): Slot => {
    const plan = addressPlan(parseCidr(network.cidr), network.layout);
    const address = fixed.find((candidate) => containsAddress(plan.cidr, candidate));
    return {
      network: network.name,
      hostIds: hostIds(objects, host, network),
      ...numbersIn(network.name, tenant, segment),
      ...(address === undefined ? {} : { address }),
      ...(input.endpointId === undefined ? {} : { endpointId: input.endpointId }),
    };
  });
  for (const address of fixed) {
    if (!slots.some((slot) => slot.address === address)) {
      throw new RomanaError(
        'address_mismatch',
        `${formatAddress(address)} fits none of the networks ${networks.map(({ name }) => name).join(', ')}; ask for at most one address of each.`,
      );
    }
  }
  demandOutside(objects, input.sourcePrefixes ?? []);
  return { key: keyOf(input), question: questionOf(input), slots };
}

function keyOf({ tenant, segment, name }: LocalEndpointInput): string {
  return `${tenant}/${segment}/${name}`;
}

/** A source prefix inside a network would let the endpoint pass for anybody there. */
function demandOutside(objects: ViewObjects, prefixes: readonly string[]): void {
  for (const text of prefixes) {
    const prefix = parseCidr(text);
    const hit = [...objects.network.values()].find((network) => overlaps(parseCidr(network.cidr), prefix));
    if (hit !== undefined) {
      throw new RomanaError(
        'input_invalid',
        `Source prefix ${text} overlaps network ${hit.name} (${hit.cidr}); only prefixes outside every network are allowed.`,
      );
    }
  }
}

function networkNamed(objects: ViewObjects, name: string): m.LaidOut {
  const network = objects.network.get(name);
  if (network === undefined)
    throw new RomanaError('not_found', `There is no network ${name}, or it is flat and has no endpoints.`);
  return network;
}

/** As the server chooses. */
function defaultNetworks(objects: ViewObjects, host: string, tenant: string): m.LaidOut[] {
  const self = objects.host.get(host);
  const carvers = carversOf(objects.topology.get('')?.aggregates ?? []);
  const here = [...objects.network.values()].filter(
    ({ name }) => self === undefined || pathIn(self, carvers.get(name)) !== undefined,
  );
  const ordered = here.sort((a, b) =>
    a.createdAt === b.createdAt ? (a.name < b.name ? -1 : 1) : a.createdAt < b.createdAt ? -1 : 1,
  );
  return networksByDefault(ordered, ({ family }) => family, tenant);
}

function hostIds(objects: ViewObjects, host: string, network: m.Network): number[] {
  const ids = (objects.host.get(host)?.ids ?? [])
    .filter((held) => held.network === network.name && isUsable(held))
    .map(({ id }) => id);
  if (ids.length === 0) {
    throw new RomanaError(
      'host_without_id',
      `Host ${host} holds no host id of network ${network.name} that its agent allocates; give it one with \`romana host add-id ${host} --allocator agent\`.`,
    );
  }
  return ids;
}
