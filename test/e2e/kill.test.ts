/**
 * kill -9 at random moments while endpoints are made and removed: what was answered stands, what was not answered is whole or absent,
 * and nothing is doubled, lost or left over. One seed decides all moments; ROMANA_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { linkName } from '#agent/owned.ts';
import type { Endpoint } from '#contract/model.ts';
import { isRomanaError } from '#core/errors.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../support/namespace.ts';
import { full } from '../support/sizes.ts';
import {
  createLocally,
  drift,
  endBackground,
  eventually,
  keyOf,
  localEndpoints,
  ownLinks,
  type Place,
  place,
  reaches,
  removeLocally,
  settled,
  startLab,
  steady,
} from './faults/support.ts';

const rounds = full ? 25 : 5;
const workers = 4;

if (inPrivateNamespaces(import.meta.url, { timeoutMs: full ? 900_000 : 240_000 })) {
  const seed = Number(process.env['ROMANA_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const random = mulberry(seed);
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  before(async () => {
    console.log(`# seed ${seed}`);
    lab = await startLab({ hosts: 2 });
    [a, b] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  /** What is known of one name: an answer makes it certain, a lost answer leaves both open until somebody looks. */
  type Belief = { state: 'present'; uid: string } | { state: 'absent' } | { state: 'open' };
  const refusals = new Set<string>();
  interface Crowd {
    readonly places: readonly Place[];
    readonly beliefs: Map<string, Belief>;
    create(at: Place): Promise<Endpoint>;
    remove(at: Place): Promise<void>;
  }

  /** Makes and removes one name after the other until it is told to stop. */
  async function churn(crowd: Crowd, own: readonly Place[], stopped: () => boolean): Promise<number> {
    let answers = 0;
    for (let n = 0; !stopped(); n = (n + 1) % own.length) {
      const at = own[n];
      assert.ok(at !== undefined);
      const belief = crowd.beliefs.get(at.name);
      crowd.beliefs.set(at.name, { state: 'open' });
      try {
        if (belief?.state === 'present') {
          await crowd.remove(at);
          crowd.beliefs.set(at.name, { state: 'absent' });
        } else {
          const { uid } = await crowd.create(at);
          crowd.beliefs.set(at.name, { state: 'present', uid });
        }
        answers++;
      } catch (error) {
        // no answer, or none that says whether it was done; nothing else may go wrong
        refusals.add(isRomanaError(error) ? error.code : String(error));
        await sleep(20);
      }
    }
    return answers;
  }

  /** The server and the agents agree on one list, and it is what was answered. */
  async function consistent(crowd: Crowd, host: string): Promise<Endpoint[]> {
    const known = await eventually('server and kernel agree', async () => {
      const { items } = await lab.client.endpointList({ query: { host } });
      assert.deepEqual(
        items.filter(({ phase }) => phase !== 'ready').map(({ name, phase }) => `${name} ${phase}`),
        [],
      );
      const links = (await ownLinks(lab, host)).map((line) => line.split(' ')[0]);
      assert.deepEqual(links, items.map((item) => linkName(keyOf(item))).sort(), 'links');
      if (lab.host(host).allocator === 'agent') {
        const local = await localEndpoints(lab, host);
        assert.deepEqual(local.map(({ uid }) => uid).sort(), items.map(({ uid }) => uid).sort());
      }
      assert.deepEqual(await drift(lab, host), []);
      return items;
    });
    const uids = new Map(known.map(({ name, uid }) => [name, uid]));
    for (const [name, belief] of crowd.beliefs) {
      if (belief.state === 'present') assert.equal(uids.get(name), belief.uid, `${name} was answered`);
      if (belief.state === 'absent') assert.equal(uids.get(name), undefined, `${name} was removed`);
    }
    const { items: all } = await lab.client.endpointList({});
    const addresses = all.flatMap((item) => item.addresses.map(({ address }) => address));
    assert.equal(new Set(addresses).size, addresses.length, 'no address twice');
    // what nobody was told about is now settled by looking
    for (const { name } of crowd.places) {
      const uid = uids.get(name);
      crowd.beliefs.set(name, uid === undefined ? { state: 'absent' } : { state: 'present', uid });
    }
    return known;
  }

  async function survives(crowd: Crowd, host: string, kill: () => Promise<void>): Promise<void> {
    await lab.namespaces(crowd.places.map(({ name }) => name));
    let answers = 0;
    for (let round = 0; round < rounds; round++) {
      let stopped = false;
      const work = Array.from({ length: workers }, (_, w) =>
        churn(
          crowd,
          crowd.places.filter((_, i) => i % workers === w),
          () => stopped,
        ),
      );
      await sleep(Math.floor(random() * 700));
      await kill();
      stopped = true;
      answers += (await Promise.all(work)).reduce((sum, n) => sum + n, 0);
      const known = await consistent(crowd, host);
      for (const item of known.slice(-3)) {
        if (item.segment === 'web' && item.name !== a.name) await reaches(lab, a.name, item);
      }
    }
    assert.ok(answers > rounds, `only ${answers} answers`);
    for (const code of refusals) assert.ok(['unavailable', 'timeout'].includes(code), code);
    console.log(`# ${rounds} kills, ${answers} answers`);
  }

  test('the agent killed while endpoints come and go through its socket: answered is done, nothing is half-applied, old flows lose nothing', async () => {
    const packets = await steady([
      [a.name, b],
      [b.name, a],
    ]);
    const crowd: Crowd = {
      places: Array.from({ length: 12 }, (_, i) =>
        place('acme', i % 2 === 0 ? 'web' : 'db', `local${i}`, 'h1'),
      ),
      beliefs: new Map(),
      create: (at) => createLocally(lab, at),
      remove: (at) => removeLocally(lab, at),
    };
    await survives(crowd, 'h1', async () => {
      await lab.killAgent('h1');
      lab.startAgent('h1');
      await sleep(Math.floor(random() * 300));
      // half of the times again, while it starts
      if (random() < 0.5) {
        await lab.killAgent('h1');
        lab.startAgent('h1');
      }
      await lab.agentReady('h1');
    });
    await packets.stopWhole(100);
  });

  const served = (name: string): Crowd => ({
    places: Array.from({ length: 12 }, (_, i) =>
      place('acme', i % 2 === 0 ? 'web' : 'db', `${name}${i}`, 'h2'),
    ),
    beliefs: new Map(),
    create: ({ tenant, segment, name, host }) =>
      lab.client.endpointCreate({
        params: { tenant, segment },
        body: { name, host, attachment: { kind: 'veth-netns', netns: `/run/netns/${name}`, ifname: 'eth0' } },
      }),
    remove: async ({ tenant, segment, name }) => {
      await lab.client.endpointDelete({ params: { tenant, segment, name } });
      // answered as soon as it is decided; gone when its host has let go of it
      await eventually('gone', async () => {
        const { items } = await lab.client.endpointList({ query: { host: 'h2' } });
        assert.ok(!items.some((item) => item.name === name));
      });
    },
  });

  test('the agent killed while endpoints come and go through the server: its host has exactly what the server says', async () => {
    const crowd = served('made');
    await survives(crowd, 'h2', async () => {
      await lab.killAgent('h2');
      await sleep(Math.floor(random() * 200));
      lab.startAgent('h2');
      await lab.agentReady('h2');
    });
  });

  test('the control plane killed while it writes: answered is done, nothing is doubled or lost, old flows lose nothing', async () => {
    const packets = await steady([
      [a.name, b],
      [b.name, a],
    ]);
    await survives(served('kept'), 'h2', async () => {
      await lab.killServer();
      await lab.startServer();
    });
    await packets.stopWhole(100);
  });
}

function mulberry(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
