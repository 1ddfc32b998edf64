/** A store that was restored from a copy: what it refuses, whom it waits for, and what it learns. With agents: test/ownership. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import type { HostReport, HostReportAnswer, Status } from '#contract/model.ts';
import type { Store } from '#store/port.ts';
import { openSqliteStore } from '#store/sqlite/index.ts';
import { ManualClock } from '#store/testing.ts';
import { openStore } from '../restored.ts';
import { admin, agentOf, countingRandom, silentLog } from '../testing.ts';
import { byKey, endpoint, host, network, segment, tenant } from './fixtures.ts';
import { createServices, type Services } from './index.ts';
import { begin } from './waiting.ts';

const none = { params: {}, query: {}, body: undefined };
const named = (name: string) => ({ params: { name }, query: {}, body: undefined });
const open: Site[] = [];
afterEach(() => {
  for (const site of open.splice(0)) site.dispose();
});

/** A control plane whose database file can be copied and put back. */
class Site {
  readonly folder = mkdtempSync(join(tmpdir(), 'romana-restored-'));
  readonly path = join(this.folder, 'romana.db');
  readonly clock = new ManualClock();
  readonly random = countingRandom();
  store!: Store;
  services!: Services;

  async start(restored = false): Promise<void> {
    this.store = await openStore({ path: this.path, clock: this.clock, log: silentLog, restored });
    const { store, clock, random } = this;
    this.services = createServices({ store, clock, random, log: silentLog });
  }

  async copy(): Promise<void> {
    this.store.close();
    cpSync(this.path, `${this.path}.copy`);
    await this.start();
  }

  putBack(): void {
    this.store.close();
    cpSync(`${this.path}.copy`, this.path);
  }

  async join(...names: string[]): Promise<void> {
    for (const name of names) {
      await host(this.services, name);
      await this.store.transaction('test', (tx) =>
        tx.put('host', name, { ...tx.get('host', name)!, joined: true }),
      );
    }
  }

  report(name: string, more: Partial<HostReport> = {}): Promise<HostReportAnswer> {
    const position = this.store.position();
    const body = { applied: position, acknowledged: position, listed: position, holds: 0, orphans: [] };
    return this.services.hostReport(agentOf(name), {
      params: { name },
      query: {},
      body: { ...body, problems: [], version: '1', registered: [], phases: [], gone: [], ...more },
    });
  }

  async status(): Promise<Status> {
    return this.services.status(admin, none);
  }

  async waitsFor(): Promise<readonly string[] | undefined> {
    return (await this.status()).waiting?.hosts;
  }

  dispose(): void {
    this.store.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Hosts h1 and h2 with agents, tenant a (id 1) with segment s (id 1); a copy of that was made. */
async function site(): Promise<Site> {
  const made = new Site();
  open.push(made);
  await made.start();
  await network(made.services, 'main');
  await made.join('h1', 'h2');
  await tenant(made.services, 'a');
  await segment(made.services, 'a', 's');
  await made.copy();
  return made;
}

async function restored(): Promise<Site> {
  const made = await site();
  made.putBack();
  await made.start(true);
  return made;
}

const held = (key: string, address: string): HostReport['registered'][number] => {
  const [tenantName = '', segmentName = '', name = ''] = key.split('/');
  return {
    tenant: tenantName,
    segment: segmentName,
    name,
    uid: `uid of ${key}`,
    addresses: [{ network: 'main', address }],
    attachment: { kind: 'none' },
    sourcePrefixes: [],
  };
};
const refused = { code: 'unavailable', details: { waitingFor: ['h1', 'h2'] } };

test('N1 nothing is given out before every host is heard: whatever takes an id or address is refused and names them', async () => {
  const w = await restored();
  const { services } = w;
  const refusals: (() => Promise<unknown>)[] = [
    () =>
      network(services, 'other', {
        cidr: '172.16.0.0/12',
        layout: { host: 8, tenant: 4, segment: 4, endpoint: 4 },
      }),
    () => services.networkUpdate(admin, { params: { name: 'main' }, query: {}, body: { tenants: [] } }),
    () => services.networkDelete(admin, named('main')),
    () => services.topologyApply(admin, { params: {}, query: {}, body: { groups: [] } }),
    () => host(services, 'h3'),
    () => services.hostUpdate(admin, { params: { name: 'h1' }, query: {}, body: { labels: { a: 'b' } } }),
    () => services.hostAddId(admin, { params: { name: 'h1' }, query: {}, body: { allocator: 'server' } }),
    () => tenant(services, 'b'),
    () => services.tenantAddId(admin, { params: { name: 'a' }, query: {}, body: {} }),
    () => segment(services, 'a', 't'),
    () => services.segmentAddId(admin, { params: { tenant: 'a', name: 's' }, query: {}, body: {} }),
    () => endpoint(services, 'a/s/e'),
  ];
  for (const ask of refusals) await assert.rejects(ask(), refused, String(ask));
  await w.report('h1', { wanted: [{ network: 'main', ids: 2 }] });
  assert.equal((await services.hostShow(admin, named('h1'))).ids.length, 1, 'growth waits too');
  assert.deepEqual(await w.waitsFor(), ['h2']);
  await w.report('h2');
  assert.equal(await w.waitsFor(), undefined);
  assert.equal((await tenant(services, 'b')).ids[0]?.id, 2);
  await w.report('h1', { wanted: [{ network: 'main', ids: 2 }] });
  assert.notDeepEqual((await services.hostShow(admin, named('h1'))).reservations?.length, 1);
});

test('N2 a host is heard only with a view of this incarnation, kept on disk, against which everything was told', async () => {
  const w = await site();
  const before = w.store.position();
  w.putBack();
  await w.start(true);
  const now = w.store.position();
  assert.notEqual(now.incarnation, before.incarnation);
  for (const late of [
    { acknowledged: before },
    { acknowledged: null },
    { listed: before },
    { listed: null },
    { listed: undefined },
  ] as Partial<HostReport>[]) {
    await w.report('h1', late);
    assert.deepEqual(await w.waitsFor(), ['h1', 'h2'], JSON.stringify(late));
  }
  await w.report('h1');
  assert.deepEqual(await w.waitsFor(), ['h2']);
});

test('N3 a host that is fenced or gone is waited for no more; one that never joined is until it is deleted', async () => {
  const w = new Site();
  open.push(w);
  await w.start();
  await network(w.services, 'main');
  await w.join('h1', 'h2');
  await host(w.services, 'h3');
  await w.services.hostDelete(admin, { ...named('h2'), query: { dead: true } });
  await w.copy();
  w.putBack();
  await w.start(true);
  assert.deepEqual(await w.waitsFor(), ['h1', 'h3'], 'h2 was fenced already');
  await w.services.hostDelete(admin, named('h3'));
  assert.deepEqual(await w.waitsFor(), ['h1']);
  await w.services.hostDelete(admin, { ...named('h1'), query: { dead: true } });
  assert.equal(await w.waitsFor(), undefined);
});

test('N4 without hosts nothing is waited for', async () => {
  const w = new Site();
  open.push(w);
  await w.start();
  const { incarnation } = w.store.position();
  w.store.close();
  await w.start(true);
  assert.notEqual(w.store.position().incarnation, incarnation);
  assert.equal(await w.waitsFor(), undefined);
});

test('N5 a crash between the two steps: the next start finishes what began, also without the option', async () => {
  const w = await site();
  const { incarnation } = w.store.position();
  w.putBack();
  const half = openSqliteStore({ path: w.path, clock: w.clock });
  await half.transaction('test', (tx) => begin(tx, { from: incarnation, since: 'then' }));
  half.close();
  await w.start();
  assert.notEqual(w.store.position().incarnation, incarnation);
  assert.deepEqual(await w.waitsFor(), ['h1', 'h2']);
  const second = w.store.position().incarnation;
  await w.report('h1');
  w.store.close();
  await w.start();
  assert.equal(w.store.position().incarnation, second, 'once');
  assert.deepEqual(await w.waitsFor(), ['h2'], 'who was heard stays heard over a restart');
});

test('N6 endpoints made after the copy are on record again before the wait ends, with their further host ids', async () => {
  const w = await restored();
  const keys = ['a/s/one', 'a/s/two'];
  const answer = await w.report('h1', {
    listed: null,
    registered: [held(keys[0]!, '10.1.1.17'), held(keys[1]!, '10.7.1.17')],
  });
  assert.deepEqual(answer.rejected, []);
  assert.deepEqual(
    (await w.services.hostShow(admin, named('h1'))).ids.map(({ id }) => id),
    [1, 7],
  );
  for (const key of keys) assert.equal((await w.services.endpointShow(admin, byKey(key))).host, 'h1');
  await w.report('h1');
  await w.report('h2');
  for (let n = 3; n <= 8; n++) assert.notEqual((await host(w.services, `h${n}`)).ids[0]?.id, 7);
});

test('N7 a host id that another host has on record is not taken from it', async () => {
  const w = await restored();
  const answer = await w.report('h1', { listed: null, registered: [held('a/s/one', '10.2.1.17')] });
  assert.equal(answer.rejected[0]?.error.code, 'address_mismatch');
  assert.deepEqual(
    (await w.services.hostShow(admin, named('h2'))).ids.map(({ id }) => id),
    [2],
  );
  assert.deepEqual(await w.waitsFor(), ['h1', 'h2']);
});

test('N8 tenant and segment ids that live on a host and nobody has on record go to nobody until it is rid of them', async () => {
  const w = await restored();
  const orphans = [
    { network: 'main', tenant: 2, segment: 1 },
    { network: 'main', tenant: 1, segment: 2 },
    { network: 'main', tenant: 0, segment: 0 },
    { network: 'lost', tenant: 5, segment: 5 },
  ];
  await w.report('h1', { holds: 2, orphans });
  await w.report('h2');
  assert.deepEqual(
    (await w.status()).retiring.map(({ field, id, owner, heldBy }) => [field, id, owner, heldBy]),
    [
      ['segment', 2, 'a/(unknown)', ['h1']],
      ['tenant', 2, '(unknown)', ['h1']],
    ],
  );
  assert.equal((await tenant(w.services, 'b')).ids[0]?.id, 3);
  assert.equal((await segment(w.services, 'a', 't')).ids[0]?.id, 3);
  await assert.rejects(tenant(w.services, 'c', { id: 2 }), { code: 'id_retiring' });
  await w.report('h2');
  await w.report('h1');
  assert.ok((await w.status()).retiring.every(({ resting }) => resting));
  w.clock.time += 30_000;
  assert.equal((await tenant(w.services, 'c')).ids[0]?.id, 2);
});

test('N9 an id that was resting in the copy and lives on a host does not get free', async () => {
  const w = await site();
  await tenant(w.services, 'gone');
  await w.services.tenantDelete(admin, named('gone'));
  for (const name of ['h1', 'h2']) await w.report(name);
  assert.equal((await w.status()).retiring[0]?.resting, true);
  await w.copy();
  w.putBack();
  w.clock.time += 30_000;
  await w.start(true);
  const orphans = [{ network: 'main', tenant: 2, segment: 1 }];
  await w.report('h2');
  await w.report('h1', { holds: 1, orphans });
  assert.equal(await w.waitsFor(), undefined);
  assert.equal((await tenant(w.services, 'b')).ids[0]?.id, 3);
  await w.report('h1');
  await w.report('h2');
  w.clock.time += 30_000;
  assert.equal((await tenant(w.services, 'c')).ids[0]?.id, 2);
});
