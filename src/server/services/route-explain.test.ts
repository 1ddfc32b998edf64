/** The way of a packet by names, and what a topology file would do to routes. */
import assert from 'node:assert/strict';
import { type TestContext, test } from 'node:test';
import type { RouteDiff, RouteExplanation } from '#contract/routing-model.ts';
import { admin, type World, world } from '../testing.ts';
import { endpoint, host, network, segment, six, tenant } from './fixtures.ts';

const file = (racks: number, more: Record<string, unknown> = {}) => ({
  topologies: [
    {
      slots: 4,
      fabric: 'l3-static',
      devices: [{ name: 'spine', platform: 'json', addresses: ['192.168.9.1', 'fd00:9::1'], ...more }],
      map: Array.from({ length: racks }, (_, i) => ({
        name: `r${i + 1}`,
        devices: [
          {
            name: `leaf${i + 1}`,
            platform: 'frr',
            addresses: [`192.168.${i + 1}.1`, `fd00:${i + 1}::1`],
            uplinks: [{ device: 'spine', local: [`192.168.0.${i + 1}1`], remote: [`192.168.0.${i + 1}0`] }],
          },
        ],
      })),
    },
  ],
});

async function site(t: TestContext): Promise<World> {
  const w = world();
  t.after(() => w.dispose());
  await network(w.services, 'main');
  await w.services.topologyApply(admin, { params: {}, query: {}, body: file(2) });
  for (const n of [1, 2]) {
    const addresses = [`192.168.${n}.11`, `fd00:${n}::11`];
    await host(w.services, `h${n}`, { group: `r${n}`, addresses, allocator: 'server' });
    await w.join(`h${n}`);
  }
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  for (const n of [1, 2]) await endpoint(w.services, `a/s/x${n}`, { host: `h${n}` });
  return w;
}

const explain = (w: World, source: string, destination: string): Promise<RouteExplanation> =>
  w.services.routeExplain(admin, { params: {}, query: { source, destination }, body: undefined });
const way = ({ hops, end }: RouteExplanation) => [...hops.map(({ at }) => at), `${end.kind} ${end.at}`];

test('from endpoint to endpoint: every device on the way, the route that matched, and whose the addresses are', async (t) => {
  const w = await site(t);
  const found = await explain(w, 'a/s/x1', 'a/s/x2');
  assert.deepEqual(way(found), ['h1', 'leaf1', 'spine', 'leaf2', 'h2', 'delivered h2']);
  assert.deepEqual(
    [found.source.what, found.destination.what, found.source.host, found.destination.host],
    ['endpoint a/s/x1', 'endpoint a/s/x2', 'h1', 'h2'],
  );
  assert.deepEqual(
    found.hops.map(({ route }) => route?.reason ?? 'default'),
    ['default', 'default', 'group r2', 'range of host h2', 'its own range: what no endpoint has is dropped'],
  );
  assert.deepEqual(found.notes, []);
  const { source, destination } = found;
  assert.deepEqual(way(await explain(w, source.address, destination.address)), way(found), 'by address');
});

test('what nobody has is dropped, what is outside leaves; both are said', async (t) => {
  const w = await site(t);
  const dropped = await explain(w, 'a/s/x1', '10.129.1.17');
  assert.equal(dropped.end.kind, 'dropped');
  assert.match(dropped.destination.what, /^nobody's, in network main$/);
  const outside = await explain(w, 'a/s/x1', '198.51.100.1');
  assert.deepEqual([outside.end.kind, outside.destination.what], ['leaves', 'in no network of Romana']);
  const foreign = await explain(w, '198.51.100.1', 'a/s/x1');
  assert.deepEqual([foreign.end.kind, foreign.hops], ['leaves', []]);
});

test('an address of a range that no endpoint has is dropped at its host, and not said to be delivered', async (t) => {
  const w = await site(t);
  const { destination } = await explain(w, 'a/s/x1', 'a/s/x2');
  assert.equal(
    (await explain(w, 'a/s/x1', destination.address)).end.reason.includes('endpoint a/s/x2'),
    true,
  );
  const gone = await explain(w, 'a/s/x1', destination.address.replace(/\d+$/, '99'));
  assert.deepEqual(way(gone), ['h1', 'leaf1', 'spine', 'leaf2', 'h2', 'dropped h2']);
  assert.match(gone.end.reason, /no endpoint is known to have it/);
});

test('an address of a device is told to be its own, and the way ends there', async (t) => {
  const w = await site(t);
  const found = await explain(w, 'a/s/x1', '192.168.2.1');
  assert.equal(found.destination.what, 'device leaf2 itself');
  const own = await explain(w, 'a/s/x1', '192.168.1.1');
  assert.deepEqual(way(own), ['h1', 'leaf1', 'delivered leaf1']);
  assert.equal(own.end.reason, 'It is an address of device leaf1 itself.');
});

test('hosts stand for their own addresses, of the family that the other has', async (t) => {
  const w = await site(t);
  await network(w.services, 'six', six);
  const found = await explain(w, 'h1', 'fd00:2::11');
  assert.deepEqual([found.source.address, found.source.what], ['fd00:1::11', 'host h1 itself']);
  assert.equal((await explain(w, 'h1', 'h2')).destination.address, '192.168.2.11');
});

test('names that are nobody, and pairs of two families, are refused', async (t) => {
  const w = await site(t);
  await assert.rejects(explain(w, 'a/s/none', 'h1'), { code: 'not_found' });
  await assert.rejects(explain(w, 'h1', 'nobody'), { code: 'not_found' });
  await assert.rejects(explain(w, '10.1.1.17', 'fd00:2::11'), { code: 'input_invalid' });
});

test('notes: a range that is not in use yet, a host that is fenced, lost or never joined', async (t) => {
  const w = await site(t);
  const params = { name: 'h2' };
  const grown = await w.services.hostAddId(admin, { params, query: {}, body: { allocator: 'server' } });
  const cidr = grown.reservations?.find(({ pending }) => pending !== null)?.cidr ?? assert.fail();
  const pending = await explain(w, 'h1', cidr.replace(/\/.*/, ''));
  assert.match(pending.notes[0] ?? '', /is not in use yet: .* waiting for h1, switch leaf2\./);
  assert.match(pending.destination.what, /^no endpoint's, in the range of host h2/);
  await host(w.services, 'h3', { group: 'r1', addresses: ['192.168.1.13'] });
  assert.match((await explain(w, 'h1', 'h3')).notes.join(), /h3 has not joined/);
  await w.store.transaction('test', (tx) => tx.put('host', 'h2', { ...grown, lost: true }));
  assert.match((await explain(w, 'h1', 'h2')).notes.join(), /Nobody reaches host h2/);
  await w.services.hostDelete(admin, { params, query: { dead: true }, body: undefined });
  assert.match((await explain(w, 'h1', 'h2')).notes.join(), /h2 is fenced/);
});

// --- what a file would change

const diff = (w: World, body: ReturnType<typeof file>): Promise<RouteDiff> =>
  w.services.routeDiff(admin, { params: {}, query: {}, body });

test('diff: the same file changes nothing; a further rack changes the spine, and comes with its own devices', async (t) => {
  const w = await site(t);
  const before = w.store.position();
  const none = await diff(w, file(2));
  assert.deepEqual([none.nodes, none.blocked, none.left], [[], null, 0]);
  const more = await diff(w, file(3, { budget: 3 }));
  assert.deepEqual(
    more.nodes.map(({ type, name, presence }) => `${type} ${name} ${presence}`),
    ['device leaf3 new', 'device spine both'],
  );
  const spine = more.nodes[1];
  assert.deepEqual(
    spine?.added.map(({ reason }) => reason),
    ['group r3'],
  );
  assert.equal(spine?.budget, 3);
  assert.ok((spine?.routes ?? 0) >= 3);
  assert.equal(
    more.added,
    more.nodes.reduce((sum, { added }) => sum + added.length, 0),
  );
  assert.deepEqual(w.store.position(), before, 'nothing is kept');
  assert.equal(
    (await w.services.routeList(admin, { params: {}, query: {}, body: undefined })).items.length,
    5,
  );
});

test('diff: a file under which host ids would move has no routes, and says which hosts', async (t) => {
  const w = await site(t);
  const [topology] = file(2).topologies;
  const map = [{ name: 'other' }, ...(topology?.map ?? [])];
  const blocked = await diff(w, { topologies: [{ ...topology!, map: map as never }] });
  assert.deepEqual([blocked.nodes, blocked.blocked?.hosts.map(({ name }) => name)], [[], ['h1', 'h2']]);
});
