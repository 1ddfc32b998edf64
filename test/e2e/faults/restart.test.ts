/** An agent, or the control plane, that stops, dies or comes back disturbs nothing that is already right. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { Recorder } from './recorder.ts';
import {
  agentStatus,
  createLocally,
  drift,
  endBackground,
  eventually,
  localEndpoints,
  ownLinks,
  place,
  reaches,
  removeLocally,
  routesOf,
  settled,
  startLab,
  steady,
  tableWithHandles,
} from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  // a1, a2 on h1 (its agent allocates), b1 on h2 (the server allocates): streams cross h1 locally and to a remote host
  let a1: Endpoint;
  let a2: Endpoint;
  let b1: Endpoint;
  before(async () => {
    lab = await startLab({ hosts: 2 });
    [a1, a2, b1] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a1', 'h1')),
      lab.endpoint(place('acme', 'web', 'a2', 'h1')),
      lab.endpoint(place('acme', 'web', 'b1', 'h2')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });

  const kernelOf = async (host: string): Promise<unknown> => ({
    table: await tableWithHandles(lab, host),
    links: await ownLinks(lab, host),
    routes: await routesOf(lab, host),
  });
  const streams = (): ReturnType<typeof steady> =>
    steady([
      ['a1', a2],
      ['a1', b1],
      ['b1', a1],
    ]);

  const ends = {
    'stopped by SIGTERM': (host: string) => lab.stopAgent(host),
    'killed by SIGKILL': (host: string) => lab.killAgent(host),
  };
  for (const host of ['h1', 'h2']) {
    for (const [how, end] of Object.entries(ends)) {
      test(`the agent of ${host} ${how} and started again: no packet is lost, and it writes nothing`, async () => {
        const before = await kernelOf(host);
        const recorder = await Recorder.start(lab, host);
        const packets = await streams();
        await end(host);
        await reaches(lab, 'b1', a2);
        lab.startAgent(host);
        await lab.agentReady(host);
        await settled(lab);
        assert.equal((await agentStatus(lab, host)).writes, 0);
        const total = await packets.stopWhole(100);
        const recording = await recorder.stop();
        assert.deepEqual(
          [...recording.rules(), ...recording.routes(), ...recording.links()].filter(
            (line) => !/\bNEIGH\b/.test(line),
          ),
          [],
        );
        assert.deepEqual(await kernelOf(host), before);
        assert.deepEqual(await drift(lab, host), []);
        console.log(`# ${host} ${how}: ${total} packets, none lost`);
      });
    }
  }

  test('without the control plane an agent restarts from its disk: no packet is lost, nothing is written', async () => {
    const before = await kernelOf('h1');
    const packets = await streams();
    await lab.stopServer();
    await lab.killAgent('h1');
    lab.startAgent('h1');
    await lab.agentReady('h1');
    const status = await agentStatus(lab, 'h1');
    assert.equal(status.writes, 0);
    assert.equal(status.connected, false);
    await packets.stopWhole(50);
    assert.deepEqual(await kernelOf('h1'), before);
    assert.deepEqual((await localEndpoints(lab, 'h1')).map(({ name }) => name).sort(), ['a1', 'a2']);
  });

  test('while the control plane is away an allocating agent makes and removes endpoints; it learns of them when it returns', async () => {
    await lab.namespaces(['lone1', 'lone2']);
    const [lone1, lone2] = [place('acme', 'web', 'lone1', 'h1'), place('acme', 'web', 'lone2', 'h1')];
    const made = await createLocally(lab, lone1);
    const short = await createLocally(lab, lone2);
    assert.equal(made.phase, 'ready');
    await reaches(lab, 'lone1', a1);
    await reaches(lab, 'lone1', b1);
    await reaches(lab, 'b1', made);
    await reaches(lab, 'lone2', made);
    await removeLocally(lab, lone2);
    await removeLocally(lab, place('acme', 'web', 'a2', 'h1'));
    // once more with a death in between: what was answered is on the disk
    await lab.killAgent('h1');
    lab.startAgent('h1');
    await lab.agentReady('h1');
    assert.deepEqual((await createLocally(lab, lone1)).addresses, made.addresses);
    assert.deepEqual((await localEndpoints(lab, 'h1')).map(({ name }) => name).sort(), ['a1', 'lone1']);

    await lab.startServer();
    const listed = await eventually('registered', async () => {
      const { items } = await lab.client.endpointList({ query: { host: 'h1' } });
      assert.deepEqual(items.map(({ name, phase }) => `${name} ${phase}`).sort(), [
        'a1 ready',
        'lone1 ready',
      ]);
      return items;
    });
    const lone = listed.find(({ name }) => name === 'lone1');
    assert.deepEqual([lone?.uid, lone?.addresses], [made.uid, made.addresses]);
    await settled(lab);
    assert.ok(!listed.some(({ uid }) => uid === short.uid));
    await reaches(lab, 'b1', made);
    assert.deepEqual(await drift(lab, 'h1'), []);
  });

  test('the control plane killed and restarted during changes: agents return, nothing is doubled or lost, no packet either', async () => {
    const packets = await steady([
      ['a1', b1],
      ['b1', a1],
    ]);
    const answered = new Map<string, Endpoint>();
    const created = async (name: string): Promise<void> => {
      const params = { tenant: 'acme', segment: 'db' };
      const attachment = { kind: 'veth-netns', netns: `/run/netns/${name}` } as const;
      const endpoint = await lab.client.endpointCreate({ params, body: { name, host: 'h2', attachment } });
      answered.set(name, endpoint);
    };
    const names = Array.from({ length: 9 }, (_, i) => `churn${i + 1}`);
    await lab.namespaces([...names, 'own1']);
    for (let i = 0; i < names.length; i += 3) {
      const wishes = names.slice(i, i + 3).map((name) => created(name).catch(() => undefined));
      await Promise.race(wishes);
      await lab.killServer();
      await Promise.all(wishes);
      if (i === 3) await createLocally(lab, place('acme', 'db', 'own1', 'h1'));
      await lab.startServer();
    }
    // the same request again: done once or twice, it is one endpoint
    for (const name of names) {
      const first = answered.get(name);
      const again = await lab.client.endpointCreate({
        params: { tenant: 'acme', segment: 'db' },
        body: { name, host: 'h2', attachment: { kind: 'veth-netns', netns: `/run/netns/${name}` } },
      });
      if (first !== undefined) {
        assert.deepEqual([again.uid, again.addresses], [first.uid, first.addresses], name);
      }
    }
    const items = await eventually('all are ready', async () => {
      const list = await lab.client.endpointList({ query: { segment: 'db', tenant: 'acme' } });
      assert.deepEqual(
        list.items.map(({ name, phase }) => `${name} ${phase}`).sort(),
        [...names, 'own1'].map((name) => `${name} ready`).sort(),
      );
      return list.items;
    });
    await settled(lab);
    const addresses = items.flatMap((item) => item.addresses.map(({ address }) => address));
    assert.equal(new Set(addresses).size, addresses.length);
    for (const item of items) if (item.name !== 'own1') await reaches(lab, 'own1', item);
    await packets.stopWhole(100);
    for (const host of ['h1', 'h2']) assert.deepEqual(await drift(lab, host), []);
  });
}
