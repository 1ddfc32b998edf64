/** A fabric where hosts know their leaf and nobody else: static routes on the switches, exported and confirmed by an operator. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Endpoint } from '#contract/model.ts';
import type { Lab } from '#lab/harness.ts';
import { inPrivateNamespaces } from '../../support/namespace.ts';
import { endBackground, eventually, place, reaches, settled, startLab, steady } from '../faults/support.ts';
import { romanaRoutes, watchWay } from './support.ts';

if (inPrivateNamespaces(import.meta.url)) {
  let lab: Lab;
  let a: Endpoint;
  let b: Endpoint;
  let c: Endpoint;
  before(async () => {
    // h1, h2, h3 in rack1, h4, h5 in rack2
    lab = await startLab({ hosts: 5, racks: 2, fabric: { kind: 'l3-static' }, absent: ['h5'] });
    [a, b, c] = await Promise.all([
      lab.endpoint(place('acme', 'web', 'a', 'h1')),
      lab.endpoint(place('acme', 'web', 'b', 'h2')),
      lab.endpoint(place('acme', 'web', 'c', 'h4')),
    ]);
    await settled(lab);
  });
  after(() => {
    endBackground();
    return lab.stop();
  });
  const streams = (): ReturnType<typeof steady> =>
    steady([
      ['a', b],
      ['b', a],
      ['a', c],
      ['c', a],
    ]);

  test('hosts of one rack meet on the leaf: it carries every packet, a third host none, and no host has a route to another', async () => {
    const seen = await watchWay(lab, 'ab', ['leaf1', 'spine', 'h2', 'h3'], a, b);
    for (let i = 0; i < 5; i++) await reaches(lab, 'a', b);
    const onLeaf = await seen('leaf1');
    assert.ok(onLeaf >= 10);
    assert.deepEqual([await seen('h2'), await seen('h3'), await seen('spine')], [onLeaf, 0, 0]);
    for (const host of ['h1', 'h2', 'h3', 'h4']) {
      const routes = await romanaRoutes(lab, host);
      assert.deepEqual(
        routes.filter((line) => line.includes(' via ')),
        [],
      );
    }
  });

  test('an agent that stops, dies and comes back loses not one packet', async () => {
    const packets = await streams();
    await lab.stopAgent('h1');
    await reaches(lab, 'a', c);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await lab.killAgent('h1');
    await reaches(lab, 'c', a);
    lab.startAgent('h1');
    await lab.agentReady('h1');
    await packets.stopWhole(100);
  });

  test('a host joins: no packet of others is lost, no other host writes a route, and the switches learn its own alone', async () => {
    const others = ['h1', 'h2', 'h3', 'h4'];
    const before = await Promise.all(others.map((host) => romanaRoutes(lab, host)));
    const switches = async () =>
      Promise.all(['spine', 'leaf1', 'leaf2'].map((name) => romanaRoutes(lab, name)));
    const [spine, leaf1, leaf2] = await switches();
    const packets = await streams();
    await lab.join('h5');
    const e = await lab.endpoint(place('acme', 'web', 'e', 'h5'));
    await reaches(lab, 'a', e);
    await reaches(lab, 'e', c);
    await packets.stopWhole(100);
    assert.deepEqual(await Promise.all(others.map((host) => romanaRoutes(lab, host))), before);
    const after = await switches();
    assert.deepEqual([after[0], after[1]], [spine, leaf1]);
    const added = after[2]?.filter((line) => leaf2?.includes(line) !== true) ?? [];
    assert.equal(added.length, 2);
    assert.ok(added.every((line) => / via (192\.168\.2\.2|fd00:2::2) dev h5\b/.test(line)));
    assert.ok(leaf2?.every((line) => after[2]?.includes(line)));
  });

  test('a range beyond the reservation waits for the leaf, and is used once an operator has exported and confirmed its routes', async () => {
    const before = (await lab.client.hostShow({ params: { name: 'h2' } })).reservations ?? [];
    const packets = await streams();
    await lab.client.hostAddId({ params: { name: 'h2' }, body: { allocator: 'server' } });
    const waiting = async () =>
      (await lab.client.hostShow({ params: { name: 'h2' } })).reservations?.flatMap(
        ({ pending }) => pending?.waitingFor ?? [],
      );
    await eventually('only the leaf is waited for', async () =>
      assert.deepEqual([...new Set(await waiting())], ['switch leaf1']),
    );
    await lab.exportRoutes();
    await eventually('active', async () => assert.deepEqual(await waiting(), []));
    const now = (await lab.client.hostShow({ params: { name: 'h2' } })).reservations ?? [];
    const added = now.filter(({ cidr }) => !before.some((old) => old.cidr === cidr)).map(({ cidr }) => cidr);
    assert.equal(added.length, 2);
    await settled(lab);
    const four = added.find((cidr) => !cidr.includes(':')) ?? '';
    const address = `${four.split('.').slice(0, 2).join('.')}.1.17`;
    const late = await lab.endpoint({
      ...place('acme', 'web', 'late', 'h2'),
      networks: ['v4'],
      addresses: [address],
    });
    assert.equal(late.addresses[0]?.address, address);
    await reaches(lab, 'c', late);
    await packets.stopWhole(100);
  });

  test('a host leaves: its routes go from the leaf, no packet of others is lost', async () => {
    const packets = await streams();
    await lab.removeEndpoint(place('acme', 'web', 'e', 'h5'));
    await lab.client.hostDelete({ params: { name: 'h5' }, query: { drain: true } });
    await eventually('gone', async () => {
      const { items } = await lab.client.hostList();
      assert.ok(items.every(({ name }) => name !== 'h5'));
    });
    await lab.killAgent('h5');
    await lab.exportRoutes();
    assert.ok((await romanaRoutes(lab, 'leaf2')).every((line) => !line.includes('dev h5')));
    await packets.stopWhole(100);
  });
}
