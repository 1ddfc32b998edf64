/**
 * Tenant ids under partitions: hosts are cut off, allocate by themselves, crash back to what their disk has, while tenants come and go
 * until ids run out. Whatever a host has in its kernel or on its disk, and whatever the control plane holds: no id has two owners.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import fc from 'fast-check';
import { holdingsOf, olderOf } from '#agent/holdings.ts';
import { View } from '#agent/view.ts';
import type { Position } from '#contract/model.ts';
import { parseAddress } from '#core/address/index.ts';
import { isRomanaError } from '#core/errors.ts';
import { host, network, segment, tenant } from '#server/services/fixtures.ts';
import { admin, agentOf, type World, world } from '#server/testing.ts';

interface Live {
  readonly key: string;
  /** Of the tenant it was made for. */
  readonly owner: string;
  readonly tenantId: number;
  readonly address: string;
}

/** What an agent has, without its loops: those are the simulation's matter. */
interface Station {
  readonly name: string;
  view: View;
  saved: string | null;
  savedAt: Position | null;
  live: Live[];
  made: number;
}

const hosts = ['h1', 'h2', 'h3'];
const worlds: World[] = [];
after(() => {
  for (const w of worlds) w.dispose();
});

function sync(w: World, station: Station): void {
  station.view.take({ type: 'snapshot' });
  w.store.read((tx) => {
    for (const kind of ['network', 'host', 'tenant', 'segment'] as const)
      for (const { key, value } of tx.list(kind))
        station.view.take({ type: 'object', kind, key, value } as never);
  });
  station.view.take({ type: 'synced', position: w.store.position() });
}

function save(station: Station): void {
  station.saved = station.view.toText();
  station.savedAt = station.view.state?.position ?? null;
}

function allocate(station: Station, pick: number): void {
  const tenants = [...(station.view.state?.objects.tenant.values() ?? [])];
  const chosen = tenants[pick % Math.max(1, tenants.length)];
  const tenantId = chosen?.ids[0]?.id;
  if (chosen === undefined || tenantId === undefined) return;
  if (station.view.state?.objects.segment.get(`${chosen.name}/s`) === undefined) return;
  const n = (station.made++ % 14) + 1;
  // 8/2/6/8: host, tenant, segment 1, endpoint
  const address = `10.${station.name.slice(1)}.${(tenantId << 6) | 1}.${n}`;
  if (station.live.some((other) => other.address === address)) return;
  station.live.push({ key: `${chosen.name}/s/e${station.made}`, owner: chosen.uid, tenantId, address });
}

async function report(w: World, station: Station): Promise<void> {
  const { state } = station.view;
  if (state === null) return;
  const claims = station.live.map(({ key, address }) => ({
    key,
    placed: [{ network: 'main', address: parseAddress(address) }],
  }));
  await w.services.hostReport(agentOf(station.name), {
    params: { name: station.name },
    query: {},
    body: {
      applied: state.position,
      acknowledged: olderOf(state.position, station.savedAt),
      ...holdingsOf(claims, state.objects),
      problems: [],
      version: '1',
      registered: station.live.map(({ key, address }) => {
        const [tenantName = '', segmentName = '', name = ''] = key.split('/');
        return {
          tenant: tenantName,
          segment: segmentName,
          name,
          uid: `${station.name} ${name}`,
          addresses: [{ network: 'main', address }],
          attachment: { kind: 'none' as const },
          sourcePrefixes: [],
        };
      }),
      phases: [],
      gone: w.store.read((tx) =>
        tx
          .list('endpoint', { host: station.name })
          .filter(({ key }) => !station.live.some((endpoint) => endpoint.key === key))
          .map(({ value: { tenant: of, segment: inside, name, uid } }) => ({
            tenant: of,
            segment: inside,
            name,
            uid,
          })),
      ),
    },
  });
}

/** Every place where an id means somebody: the store, views in use and on disk, live endpoints. */
function demandOneOwner(w: World, stations: readonly Station[]): void {
  const owners = new Map<number, string>();
  const say = (id: number | undefined, owner: string, where: string): void => {
    if (id === undefined) return;
    const other = owners.get(id);
    assert.ok(
      other === undefined || other === owner,
      `id ${id} belongs to ${other} and, ${where}, to ${owner}`,
    );
    owners.set(id, owner);
  };
  w.store.read((tx) => {
    for (const { value } of tx.list('tenant')) say(value.ids[0]?.id, value.uid, 'in the store');
  });
  for (const station of stations) {
    for (const { tenantId, owner } of station.live) say(tenantId, owner, `live on ${station.name}`);
    const onDisk = new View();
    if (station.saved !== null) onDisk.load(station.saved);
    for (const [view, where] of [
      [station.view, 'in use'],
      [onDisk, 'on disk'],
    ] as const)
      for (const { ids, uid } of view.state?.objects.tenant.values() ?? [])
        say(ids[0]?.id, uid, `${where} on ${station.name}`);
  }
}

type Step = readonly [what: string, host: number, pick: number];
/** `refresh` is what a host does that nothing disturbs. */
const often =
  'create create create delete delete time time allocate release refresh refresh refresh refresh refresh sync save report crash'.split(
    ' ',
  );
const steps = fc.array(
  fc.tuple(fc.constantFrom(...often), fc.nat({ max: hosts.length - 1 }), fc.nat({ max: 7 })),
  { minLength: 80, maxLength: 160 },
);

async function refusedOr(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!isRomanaError(error) || !['ids_exhausted', 'in_use', 'not_found'].includes(error.code)) throw error;
  }
}

async function play(script: readonly Step[]): Promise<{ reused: number }> {
  const w = world();
  worlds.push(w);
  await network(w.services, 'main', { layout: { host: 8, tenant: 2, segment: 6, endpoint: 8 } });
  const stations = hosts.map(
    (name): Station => ({ name, view: new View(), saved: null, savedAt: null, live: [], made: 0 }),
  );
  for (const name of hosts) {
    await host(w.services, name);
    await w.join(name);
  }
  const given = new Map<number, Set<string>>();
  let made = 0;
  for (const [what, index, pick] of script) {
    const station = stations[index]!;
    if (what === 'create') {
      const name = `t${made++}`;
      await refusedOr(tenant(w.services, name).then(() => segment(w.services, name, 's')));
    } else if (what === 'delete') {
      const rows = w.store.read((tx) => tx.list('tenant'));
      const name = rows[pick % Math.max(1, rows.length)]?.key;
      if (name !== undefined) {
        await refusedOr(
          w.services.segmentDelete(admin, {
            params: { tenant: name, name: 's' },
            query: {},
            body: undefined,
          }),
        );
        await refusedOr(w.services.tenantDelete(admin, { params: { name }, query: {}, body: undefined }));
      }
    } else if (what === 'sync') sync(w, station);
    else if (what === 'save') save(station);
    else if (what === 'crash') {
      station.view = new View();
      if (station.saved !== null) station.view.load(station.saved);
    } else if (what === 'allocate') allocate(station, pick);
    else if (what === 'release') station.live.splice(pick, 1);
    else if (what === 'report') await report(w, station);
    else if (what === 'refresh') {
      sync(w, station);
      save(station);
      await report(w, station);
    } else w.clock.time += 31_000;
    demandOneOwner(w, stations);
    w.store.read((tx) => {
      for (const { value } of tx.list('tenant')) {
        const id = value.ids[0]?.id;
        // Beyond the field they have none of their own.
        if (id !== undefined) given.set(id, (given.get(id) ?? new Set()).add(value.uid));
      }
    });
  }
  w.dispose();
  return { reused: [...given.values()].filter((uids) => uids.size > 1).length };
}

test('no tenant id has two owners while hosts are cut off, allocate, crash and come back', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (script) => void (await play(script))),
    { numRuns: 25, endOnFailure: true },
  );
});

test('ids run out while a cut-off host keeps live endpoints, and are given again when it has come back', async () => {
  const one = (what: string, h = 0, pick = 0): Step => [what, h, pick];
  const all = (what: string): Step[] => hosts.map((_, index) => one(what, index));
  const start = [
    one('create'),
    one('create'),
    one('create'),
    ...all('sync'),
    ...all('save'),
    ...all('report'),
  ];
  const cutOff = [one('allocate', 2, 0), one('delete'), one('delete'), one('delete')];
  const others = [0, 1].flatMap((h) => [one('sync', h), one('save', h), one('report', h)]);
  const more = [one('time'), one('create'), one('create'), one('create'), one('create')];
  assert.equal((await play([...start, ...cutOff, ...others, ...more])).reused, 0, 'the third host is away');
  const back = [one('sync', 2), one('save', 2), one('report', 2), ...more];
  assert.equal(
    (await play([...start, ...cutOff, ...others, ...back])).reused,
    2,
    'all but the id of its endpoint',
  );
  const released = [one('release', 2, 0), one('report', 2), ...more];
  assert.equal((await play([...start, ...cutOff, ...others, ...back, ...released])).reused, 3);
});
