/** The reuse barrier of tenant and segment ids. With agents that are cut off: test/ownership. */
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import type { HostReport, Status } from '#contract/model.ts';
import { refusedWith } from '#store/conformance.ts';
import { admin, type World, world } from '../testing.ts';
import { agentReport, host, network, segment, six, tenant } from './fixtures.ts';

const worlds: World[] = [];
afterEach(() => {
  for (const w of worlds.splice(0)) w.dispose();
});

const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const none = { params: {}, query: {}, body: undefined };

async function cluster(hosts: readonly string[] = ['h1', 'h2']): Promise<World> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main');
  for (const name of hosts) {
    await host(w.services, name);
    await w.join(name);
  }
  return w;
}

function report(w: World, name: string, more: Partial<HostReport> = {}): Promise<unknown> {
  return agentReport(w.services, name, { acknowledged: w.store.position(), ...more });
}

const retiring = async (w: World): Promise<Status['retiring']> =>
  (await w.services.status(admin, none)).retiring;
const idOf = (object: { ids: readonly { id: number }[] }) => object.ids[0]?.id;
const rest = 30_000;

test('R1 without any agent an id is free at once; with agents it waits for each of them, then rests', async () => {
  const w = await cluster([]);
  await host(w.services, 'h9');
  await tenant(w.services, 'a');
  await w.services.tenantDelete(admin, named('a'));
  assert.equal(idOf(await tenant(w.services, 'b')), 1);

  for (const name of ['h1', 'h2']) {
    await host(w.services, name);
    await w.join(name);
  }
  await w.services.tenantDelete(admin, named('b'));
  const [entry] = await retiring(w);
  assert.deepEqual(entry?.waitingFor, ['h1', 'h2'], 'h9 never joined');
  assert.equal(idOf(await tenant(w.services, 'c')), 2);
  await report(w, 'h1');
  assert.deepEqual((await retiring(w))[0]?.waitingFor, ['h2']);
  assert.equal(idOf(await tenant(w.services, 'd')), 3);
  await report(w, 'h2');
  assert.equal((await retiring(w))[0]?.resting, true);
  w.clock.time += rest - 1;
  assert.equal(idOf(await tenant(w.services, 'e')), 4);
  w.clock.time += 1;
  assert.equal(idOf(await tenant(w.services, 'f')), 1);
  assert.deepEqual(await retiring(w), []);
});

test('R2 a position before the deletion, of another store, or none acknowledges nothing', async () => {
  const w = await cluster(['h1']);
  await tenant(w.services, 'a');
  const before = w.store.position();
  await w.services.tenantDelete(admin, named('a'));
  for (const acknowledged of [before, null, { incarnation: 'another', revision: 1000 }]) {
    await report(w, 'h1', { acknowledged, applied: w.store.position() });
    assert.deepEqual((await retiring(w))[0]?.waitingFor, ['h1']);
  }
});

test('R3 a host that holds endpoints with the id keeps it, and is named; also when it finds out late', async () => {
  const w = await cluster();
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  await segment(w.services, 'a', 't');
  await w.services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined });
  const orphan = { network: 'main', tenant: 1, segment: 1 };
  await report(w, 'h1', { orphans: [orphan] });
  await report(w, 'h2');
  assert.deepEqual(
    (await retiring(w)).map(({ field, owner, id, heldBy, waitingFor }) => ({
      field,
      owner,
      id,
      heldBy,
      waitingFor,
    })),
    [{ field: 'segment', owner: 'a/s', id: 1, heldBy: ['h1'], waitingFor: [] }],
  );
  await assert.rejects(segment(w.services, 'a', 'u', 1), refusedWith('id_retiring'));
  // The same segment number of another tenant is another id.
  await tenant(w.services, 'b');
  assert.equal(idOf(await segment(w.services, 'b', 's')), 1);
  // h2 acknowledged first, then says that it holds one.
  await report(w, 'h2', { orphans: [orphan] });
  await report(w, 'h1');
  assert.deepEqual((await retiring(w))[0]?.heldBy, ['h2']);
  await report(w, 'h2', {
    orphans: [
      { ...orphan, segment: 2 },
      { ...orphan, tenant: 2 },
    ],
  });
  assert.equal((await retiring(w))[0]?.resting, true);
});

test('R4 a new tenant of the old name is another owner', async () => {
  const w = await cluster(['h1']);
  await tenant(w.services, 'a');
  await w.services.tenantDelete(admin, named('a'));
  assert.equal(idOf(await tenant(w.services, 'a')), 2);
  await assert.rejects(tenant(w.services, 'b', { id: 1 }), refusedWith('id_retiring'));
});

test('R5 segments of a deleted tenant wait with its id, in every network', async () => {
  const w = await cluster(['h1']);
  await network(w.services, 'six', six);
  await tenant(w.services, 'a');
  await segment(w.services, 'a', 's');
  await w.services.segmentDelete(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: undefined });
  assert.equal((await retiring(w)).length, 2);
  await w.services.tenantDelete(admin, named('a'));
  assert.deepEqual(
    (await retiring(w)).map(({ field, network: of, id }) => `${field} ${of} ${id}`),
    ['tenant main 1', 'tenant six 1'],
  );
  await report(w, 'h1', { orphans: [{ network: 'six', tenant: 1, segment: 9 }] });
  assert.deepEqual(
    (await retiring(w)).filter(({ resting }) => !resting).map(({ network: of }) => of),
    ['six'],
  );
  await w.services.networkDelete(admin, named('six'));
  assert.deepEqual(
    (await retiring(w)).map(({ network: of }) => of),
    ['main'],
  );
});

test('R6 acknowledgements are asked for again after a restart; what rests goes on resting', async () => {
  let w = await cluster();
  for (const name of ['a', 'b']) await tenant(w.services, name);
  await w.services.tenantDelete(admin, named('a'));
  for (const name of ['h1', 'h2']) await report(w, name);
  await w.services.tenantDelete(admin, named('b'));
  await report(w, 'h1');
  w = w.restart();
  const [waiting, resting] = await retiring(w);
  assert.deepEqual([waiting?.owner, waiting?.waitingFor, resting?.owner], ['b', ['h1', 'h2'], 'a']);
  w.clock.time += rest;
  assert.equal(idOf(await tenant(w.services, 'c')), 1);
  for (const name of ['h2', 'h1']) await report(w, name);
  w.clock.time += rest;
  assert.equal(idOf(await tenant(w.services, 'd')), 2);
});

test('R7 a retiring id is given to nobody; explaining an address names no owner', async () => {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', { layout: { host: 8, tenant: 1, segment: 8, endpoint: 7 } });
  await host(w.services, 'h1');
  await w.join('h1');
  await tenant(w.services, 'a');
  await w.services.tenantDelete(admin, named('a'));
  assert.deepEqual((await tenant(w.services, 'b')).ids, []);
  const explained = await w.services.addressExplain(admin, {
    params: { address: '10.1.128.129' },
    query: {},
    body: undefined,
  });
  assert.deepEqual([explained.ids?.tenant, explained.tenant], [1, null]);
});

test('R8 a deleted host is waited for no more', async () => {
  const w = await cluster();
  await tenant(w.services, 'a');
  await w.services.tenantDelete(admin, named('a'));
  await report(w, 'h1');
  await w.services.hostDelete(admin, { ...named('h2'), query: { dead: true } });
  assert.equal((await retiring(w))[0]?.resting, true);
});

test('`ipam show` names the hosts that keep ids from being used: deleted owners, fenced hosts', async () => {
  const w = await cluster();
  await tenant(w.services, 'a');
  await w.services.tenantDelete(admin, named('a'));
  await report(w, 'h1');
  const plain = { tree: 'false', tenants: 'false', blocks: 'false' } as const;
  const blocked = async (more: { network?: string } = {}) => {
    const query = { ...plain, ...more };
    const shown = await w.services.ipamShow(admin, { params: {}, query, body: undefined });
    return (shown.blocked ?? []).map(({ reason, what, hosts }) => [reason, what, ...hosts]);
  };
  assert.deepEqual(await blocked(), [['retiring', 'tenant id 1 of a', 'h2']]);
  assert.deepEqual(await blocked({ network: 'main' }), await blocked());
  await w.services.hostDelete(admin, { params: { name: 'h2' }, query: { dead: true }, body: undefined });
  assert.deepEqual(await blocked(), [
    ['retiring', 'tenant id 1 of a (rests)'],
    ['fenced', 'host ids 10.2.0.0/16 of h2', 'h2'],
  ]);
});
