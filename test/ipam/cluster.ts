/**
 * A control plane over SQLite and the allocators of several agents, in one process, under many clients at once: servers and agents
 * crash, answers are lost, clients retry. Everything is drawn from one seed; the time is told.
 */
import { LocalAllocator } from '#agent/allocator.ts';
import { FakeFs } from '#agent/journal/fake-fs.ts';
import { addressPlan, formatAddress, parseCidr } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import type { IpamNetwork } from '#core/ipam/index.ts';
import { byKey, endpoint, host, network, segment, tenant } from '#server/services/fixtures.ts';
import { admin, countingRandom, silentLog, type World, world } from '#server/testing.ts';
import { History, surelyHeld, violations } from './history.ts';

export interface Load {
  readonly seed: number;
  readonly operations: number;
  readonly clients: number;
  readonly agents: number;
}
export interface Outcome {
  readonly operations: number;
  readonly lost: number;
  readonly refused: number;
  readonly crashes: number;
  readonly violations: readonly string[];
}

const quarantineMs = 40;
const layout = { host: 8, tenant: 8, segment: 4, endpoint: 4 };
const plan = addressPlan(parseCidr('10.0.0.0/8'), layout);
const ipam: IpamNetwork = { name: 'v4', plan, reserved: [], quarantineMs };
/** More names than a block has ids, so that blocks run full. */
const namesPerBlock = 20;

/** A generator of 32 bits (mulberry32): the same seed gives the same load. */
function random32(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Agent {
  readonly #id: number;
  readonly #now: () => number;
  readonly #random = countingRandom();
  #fs = new FakeFs();
  #luck = 0;
  /** Counts processes: what one answers after the next has begun nobody hears. */
  #process = 0;
  #opening: Promise<LocalAllocator>;

  constructor(id: number, now: () => number) {
    this.#id = id;
    this.#now = now;
    this.#opening = this.#open();
  }

  get allocator(): Promise<LocalAllocator> {
    return this.#opening;
  }

  /** Power fails after so many steps and bytes of the journal; of what was not synced then, `luck` decides what is there. */
  crash(steps: number, luck: number): void {
    this.#fs.fuel = Math.min(this.#fs.fuel, steps);
    this.#luck = luck;
  }

  /** No more power failures. */
  calm(): void {
    this.#fs.fuel = Number.POSITIVE_INFINITY;
  }

  async allocate(key: string): Promise<{ uid: string; addresses: string[] }> {
    const slots = [{ network: 'v4', hostIds: [this.#id], tenantId: 1, segmentId: 1 }];
    const { allocation } = await this.#ask((allocator) =>
      allocator.allocate({ key, question: '', slots }, null),
    );
    return {
      uid: allocation.uid,
      addresses: allocation.addresses.map(({ address }) => formatAddress(address)),
    };
  }

  async release(key: string): Promise<void> {
    await this.#ask((allocator) => allocator.release(key, {}));
  }

  async #ask<T>(call: (allocator: LocalAllocator) => Promise<T>): Promise<T> {
    const process = this.#process;
    try {
      const answer = await call(await this.#opening);
      if (process !== this.#process) throw new Error('the process that answers is dead');
      return answer;
    } finally {
      if (process === this.#process && this.#fs.fuel <= 0) {
        this.#process++;
        this.#fs = this.#fs.afterPowerFailure(this.#luck);
        this.#opening = this.#open();
      }
    }
  }

  #open(): Promise<LocalAllocator> {
    const uuid = (): string => `agent${this.#id}-${this.#random.uuid()}`;
    return LocalAllocator.open({
      dir: 'journal',
      networks: [ipam],
      clock: { now: this.#now, monotonic: this.#now },
      random: { ...this.#random, uuid },
      log: silentLog,
      fs: this.#fs,
    });
  }
}

/** Runs the load to its end, lets everything come to rest, and judges. */
export async function runLoad(load: Load): Promise<Outcome> {
  let w: World = world();
  const { clock } = w;
  await network(w.services, 'v4', { layout, quarantineSeconds: 0 });
  await w.store.transaction('test', (tx) => {
    const found = tx.get('network', 'v4');
    // Milliseconds are finer than the contract, so that the load need not wait for seconds.
    if (found !== undefined) tx.put('network', 'v4', { ...found, quarantineSeconds: quarantineMs / 1000 });
  });
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  const agents: Agent[] = [];
  for (let i = 1; i <= load.agents; i++) {
    await host(w.services, `h${i}`, { allocator: 'agent' });
    agents.push(new Agent(i, () => clock.time));
  }
  const draw = random32(load.seed);
  const pick = (n: number): number => Math.floor(draw() * n);
  const history = new History(() => clock.time);
  let left = load.operations;
  let lost = 0;
  let crashes = 0;

  const serverCall = {
    async allocate(key: string, on: number) {
      const made = await endpoint(w.services, `a/s/${key}`, { host: `h${on + 1}` });
      return { uid: made.uid, addresses: made.addresses.map(({ address }) => address) };
    },
    async release(key: string) {
      await w.services.endpointDelete(admin, byKey(`a/s/${key}`)).catch((error: unknown) => {
        if (!isRomanaError(error) || error.code !== 'not_found') throw error;
      });
    },
  };
  const client = async (): Promise<void> => {
    while (left > 0) {
      left--;
      clock.time += pick(3);
      const on = pick(load.agents);
      const byAgent = draw() < 0.5;
      const key = `${byAgent ? 'p' : 'v'}${on}-${pick(namesPerBlock)}`;
      const kind = draw() < 0.55 ? 'allocate' : 'release';
      if (draw() < 0.004) {
        crashes++;
        if (draw() < 0.5) w = w.restart();
        else agents[pick(load.agents)]?.crash(1 + pick(600), draw());
      }
      const target = byAgent ? agents[on]! : serverCall;
      const operation = history.invoke(kind, key);
      const loses = draw() < 0.05;
      try {
        const result = kind === 'allocate' ? await target.allocate(key, on) : await target.release(key);
        if (loses) lost++;
        else history.answer(operation, result ?? 'done');
      } catch (error) {
        const certain = isRomanaError(error) && !['unavailable', 'internal'].includes(error.code);
        if (certain) history.answer(operation, 'refused');
        else lost++;
      }
    }
  };
  await Promise.all(Array.from({ length: load.clients }, client));
  for (const agent of agents) agent.calm();
  const found = violations(history.operations, quarantineMs);

  // At rest: everything answered is there, and nothing is left over once it is released.
  const lists = await Promise.all(agents.map(async (agent) => (await agent.allocator).list()));
  const held = new Map(
    lists
      .flat()
      .map(({ allocation }) => [
        allocation.key,
        { uid: allocation.uid, addresses: allocation.addresses.map(({ address }) => formatAddress(address)) },
      ]),
  );
  const nothing = { params: {}, query: {}, body: undefined };
  for (const made of (await w.services.endpointList(admin, nothing)).items)
    held.set(made.name, { uid: made.uid, addresses: made.addresses.map(({ address }) => address) });
  for (const [key, { uid, addresses }] of surelyHeld(history.operations)) {
    const now = held.get(key);
    if (now === undefined || now.uid !== uid || now.addresses.join() !== addresses.join())
      found.push(`${key} was answered ${addresses.join()} and does not have it`);
  }
  const owned = [...held.values()].flatMap(({ addresses }) => addresses);
  if (new Set(owned).size !== owned.length) found.push('an address has two owners at rest');
  for (const { code, message } of (await w.services.ipamCheck(admin, nothing)).findings)
    found.push(`${code}: ${message}`);
  for (const key of held.keys()) {
    const on = Number(/^[pv](\d+)-/.exec(key)?.[1]);
    await (key.startsWith('p') ? agents[on]! : serverCall).release(key);
  }
  for (const agent of agents) {
    for (const { allocation } of (await agent.allocator).list())
      found.push(`${allocation.key} leaked on its agent`);
  }
  for (const { key } of w.store.read((tx) => tx.heldAllocations())) found.push(`${key} leaked on the server`);
  w.dispose();
  const refused = history.operations.filter((operation) => operation.refused).length;
  return { operations: history.operations.length, lost, refused, crashes, violations: found };
}
