/**
 * Hosts with two links that speak BGP to two leaves: what agents, speakers, hosts and leaves may do without a packet being lost, and how
 * long a leaf may be missed that says nothing before it dies. BIRD on both sides; hold time 9 s.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Endpoint } from '#contract/model.ts';
import { ownTopology } from '#lab/fabric.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import {
  drift,
  endBackground,
  eventually,
  place,
  reaches,
  settled,
  startLab,
  steady,
} from '../faults/support.ts';
import {
  established,
  families,
  killSilently,
  outages,
  revive,
  romanaRoutes,
  sessionsOf,
  watchWay,
} from './support.ts';

const holdMs = 9_000;

if (inPrivateNamespaces(import.meta.url, { timeoutMs: 400_000 })) {
  let lab: Lab;
  let a: Endpoint;
  let a2: Endpoint;
  let b: Endpoint;
  let c: Endpoint;
  let c2: Endpoint;
  before(async () => {
    lab = await startLab({
      hosts: 4,
      racks: 2,
      fabric: { kind: 'bgp', daemon: 'bird', tor: 'bird', dualHomed: true },
      absent: ['h4'],
    });
    [a, a2, b, c, c2] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'a2', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'web', 'c', 'h3')),
      lab.endpoint(place('acme', 'web', 'c2', 'h3')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });
  const pairs = (): [string, Endpoint][] => [
    ['a', b],
    ['b', a],
    ['a', c],
    ['c', a],
    ['a2', c2],
    ['c2', a2],
  ];
  /** Of each session: another time means another session. */
  const began = async (namespace: string): Promise<string[]> => {
    const { control } = lab.daemons.place(namespace, 'bird');
    const { stdout } = await lab.exec(namespace, ['birdc', '-s', control, 'show', 'protocols']);
    const sessions = stdout.split('\n').filter((line) => / BGP /.test(line));
    assert.ok(sessions.every((line) => line.includes('Established')));
    return sessions.map((line) => line.split(/\s+/).slice(0, 5).join(' '));
  };

  test('each host learns the networks over both leaves, drops what is its own, and has no route to another host', async () => {
    for (const host of ['h1', 'h2', 'h3']) {
      const routes = await romanaRoutes(lab, host);
      const learned = routes.filter((line) => line.startsWith('10.0.0.0/8') || line.startsWith('fd10::/16'));
      assert.equal(learned.length, 2, routes.join('\n'));
      assert.equal(routes.filter((line) => line.startsWith('blackhole')).length, 2);
      for (const line of learned) assert.match(line, / dev up1 .* dev up2 /);
    }
  });

  test('an agent that stops, dies and comes back loses not one packet, and no session is new', async () => {
    const before = await Promise.all(['h1', 'leaf1a'].map(began));
    const packets = await steady(pairs());
    await lab.stopAgent('h1');
    await reaches(lab, 'a', c);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await lab.killAgent('h1');
    await reaches(lab, 'c', a);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await settled(lab);
    await packets.stopWhole(100);
    assert.deepEqual(await Promise.all(['h1', 'leaf1a'].map(began)), before);
  });

  test('speakers that read a new configuration: a further id elsewhere, and one beside the own; not one packet is lost, no session is new', async () => {
    const before = await Promise.all(['h1', 'leaf1a'].map(began));
    const packets = await steady(pairs());
    for (const name of ['h1', 'h3'])
      await lab.client.hostAddId({ params: { name }, body: { allocator: 'server' } });
    // the hosts announce what the leaves do not take yet
    await sleep(2_000);
    await lab.exportRoutes();
    await eventually('one range of two ids', async () => {
      const { reservations: doubled = [] } = await lab.client.hostShow({ params: { name: 'h3' } });
      assert.deepEqual(
        doubled.map(({ size, pending }) => [size, pending]),
        [
          [2, null],
          [2, null],
        ],
      );
    });
    await eventually('announced and active', async () => {
      const { reservations = [] } = await lab.client.hostShow({ params: { name: 'h1' } });
      assert.equal(reservations.length, 4);
      assert.deepEqual(
        reservations.flatMap(({ pending }) => pending?.waitingFor ?? []),
        [],
      );
    });
    const { reservations = [] } = await lab.client.hostShow({ params: { name: 'h1' } });
    await eventually('in the leaf', async () => {
      const leaf = await romanaRoutes(lab, 'leaf1a');
      for (const { cidr } of reservations)
        assert.ok(
          leaf.some((line) => line.startsWith(`${cidr} via`)),
          cidr,
        );
    });
    await packets.stopWhole(100);
    assert.deepEqual(await Promise.all(['h1', 'leaf1a'].map(began)), before);
  });

  test('a speaker killed with -9 comes back by graceful restart: not one packet is lost', async () => {
    const packets = await steady(pairs());
    for (let i = 0; i < 2; i++) {
      await Promise.all(lab.daemons.of('h1').map((daemon) => daemon.kill()));
      await sleep(3_000);
      await established(lab, 'h1', 2);
    }
    await packets.stopWhole(300);
  });

  test('the daemon of a leaf killed with -9 comes back: not one packet is lost', async () => {
    const packets = await steady(pairs());
    await Promise.all(lab.daemons.of('leaf1a').map((daemon) => daemon.kill()));
    await sleep(3_000);
    await established(lab, 'h1', 2);
    await packets.stopWhole(300);
  });

  test('a host joins: not one packet of others is lost', async () => {
    const packets = await steady(pairs());
    await lab.join('h4');
    const d = await lab.endpoint(place('acme', 'web', 'd', 'h4'));
    await reaches(lab, 'a', d);
    await reaches(lab, 'd', c);
    await packets.stopWhole(100);
  });

  test('a leaf dies without a word: the flows over it are missed for the hold time at most, and no host ever forwards for another', async () => {
    const hosts = ['h2', 'h4'];
    const seen = await watchWay(lab, 'ac', [...hosts, 'leaf1a', 'leaf1b'], a, c);
    const way = await outages(pairs());
    await sleep(1_000);
    assert.ok((await seen('leaf1a')) + (await seen('leaf1b')) > 0);
    await killSilently(lab, 'leaf1a');
    // The agent itself may be cut off from the control plane: how it gets there is the site's own default route.
    await eventually(
      'h1 without leaf1a',
      async () => assert.ok((await romanaRoutes(lab, 'h1')).every((line) => !line.includes(' dev up1'))),
      20_000,
    );
    // the spine and the other hosts miss the leaf by clocks of their own
    await sleep(5_000);
    const { longestMs, lost, sent } = await way.stop();
    console.log(`# a leaf died: at most ${longestMs} ms without an answer, ${lost} of ${sent} packets lost`);
    assert.ok(longestMs < holdMs + 3_000, `${longestMs} ms`);
    const calm = await steady(pairs());
    await sleep(1_500);
    await calm.stopWhole(100);
    assert.deepEqual(await Promise.all(hosts.map(seen)), [0, 0]);
  });

  test('it comes back: not one packet is lost', async () => {
    const packets = await steady(pairs());
    await revive(lab, 'leaf1a');
    for (const host of ['h1', 'h2']) await established(lab, host, 2);
    await sleep(2_000);
    await packets.stopWhole(300);
  });

  test('both leaves of a rack die and come back: what was reached before is reached again', async () => {
    for (const leaf of ['leaf1a', 'leaf1b']) await killSilently(lab, leaf);
    await sleep(holdMs + 3_000);
    const [probe] = await lab.probe([
      { from: 'a', family: 4, protocol: 'icmp', address: c.addresses[0]?.address ?? '' },
    ]);
    assert.equal(probe?.observed, 'deny');
    for (const leaf of ['leaf1a', 'leaf1b']) await revive(lab, leaf);
    for (const host of ['h1', 'h2']) await established(lab, host, 2);
    await eventually('reached again', () => reaches(lab, 'a', c));
    await reaches(lab, 'c', a2);
    const packets = await steady(pairs());
    await sleep(1_000);
    await packets.stopWhole(50);
  });

  test('a link that loses its carrier and gets it back: missed for less than a second', async () => {
    const way = await outages(pairs());
    await lab.exec('leaf1a', ['ip', 'link', 'set', 'h1', 'down']);
    await sleep(3_000);
    await lab.exec('leaf1a', ['ip', 'link', 'set', 'h1', 'up']);
    await established(lab, 'h1', 2);
    await sleep(1_000);
    const { longestMs, lost, sent } = await way.stop();
    console.log(
      `# a link flapped: at most ${longestMs} ms without an answer, ${lost} of ${sent} packets lost`,
    );
    assert.ok(longestMs < 1_000, `${longestMs} ms`);
  });

  test('own ranges deleted behind the back of the agent are back, and what BIRD learned outlives agent and server', async () => {
    // The link of the test before came back a moment ago.
    const before = await eventually('both leaves', async () => {
      const routes = await romanaRoutes(lab, 'h1');
      const learned = routes.filter((line) => line.includes('proto bird'));
      assert.equal(learned.length, families.length);
      for (const line of learned) assert.match(line, /dev up1.*dev up2/);
      return routes;
    });
    for (const line of before.filter((line) => line.startsWith('blackhole'))) {
      const cidr = line.split(' ')[1] ?? '';
      await lab.exec('h1', [
        'ip',
        ...(cidr.includes(':') ? ['-6'] : []),
        'route',
        'delete',
        'blackhole',
        cidr,
      ]);
    }
    await eventually('restored', async () => {
      assert.deepEqual(await romanaRoutes(lab, 'h1'), before);
      assert.deepEqual(await drift(lab, 'h1'), []);
    });
    await lab.killAgent('h1');
    await lab.killServer();
    await reaches(lab, 'a', c);
    assert.deepEqual(await romanaRoutes(lab, 'h1'), before);
    await lab.startServer();
    lab.startAgent('h1');
    await lab.agentReady('h1');
    assert.deepEqual(await romanaRoutes(lab, 'h1'), before);
  });

  test('a leaf with another AS number than stated: bgp status names it, traffic goes over the other leaf, and it heals', async () => {
    const right = ownTopology(lab.plan);
    const wrong = JSON.parse(JSON.stringify(right).replaceAll('"asn":65111', '"asn":65011')) as typeof right;
    assert.notDeepEqual(wrong, right);
    await lab.client.topologyApply({ body: wrong });
    await eventually(
      'named',
      async () => {
        const sessions = (await sessionsOf(lab, 'h1')).filter(({ peer }) => peer === 'leaf1a');
        assert.ok(sessions.length > 0);
        for (const { state, asn, lastError } of sessions) {
          assert.notEqual(state, 'established');
          assert.equal(asn, 65011);
          assert.match(lastError, /AS/);
        }
      },
      30_000,
    );
    await reaches(lab, 'a', c);
    await reaches(lab, 'c', a2);
    await lab.client.topologyApply({ body: right });
    await established(lab, 'h1', 2);
    await reaches(lab, 'a', c);
  });

  test('a host leaves: the leaves route to it no more, not one packet of others is lost', async () => {
    const packets = await steady(pairs());
    await lab.removeEndpoint(place('acme', 'web', 'd', 'h4'));
    await lab.client.hostDelete({ params: { name: 'h4' }, query: { drain: true } });
    await eventually('withdrawn', async () => {
      const { items } = await lab.client.hostList();
      assert.ok(items.every(({ name }) => name !== 'h4'));
      for (const leaf of ['leaf2a', 'leaf2b'])
        assert.ok((await romanaRoutes(lab, leaf)).every((line) => !line.includes('dev h4')));
    });
    await packets.stopWhole(100);
  });
}
